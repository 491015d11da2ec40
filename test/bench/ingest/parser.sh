# The parser of src/core alone (parse.cpp), without a server, against jsonb input in the server, on
# the same events; for 1,000 at a time NDJSON there and an array here. The cost of the loop around
# jsonb input is measured and shown.

ingest_parser() {
    local events=$OUT/events.ndjson size loop whole ours theirs
    "$OUT/batches" write="$events" values=80000 || die "cannot write $events"
    say "cost of a value, events of 8 attributes, $(($(stat -c %s "$events") / 80000)) bytes a value"
    "$OUT/parse" "$events" >"$OUT/parse.txt" || die "parse failed: $(cat "$OUT/parse.txt")"
    sed 's/^/   /' "$OUT/parse.txt"
    start_server eav.worker_enabled=off
    query -c 'CREATE TABLE line (number serial, content text)' \
        -c "\\copy line (content) FROM '$events' WITH (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')" \
        -f $HERE/ingest/jsonb.sql >"$OUT/jsonb.txt"
    printf '   %-18s %12s %12s %12s %15s\n' 'events a payload' 'parser ns' 'jsonb ns' 'its loop ns' 'jsonb / parser'
    while IFS='|' read -r size loop whole; do
        ours=$(awk -v label="payloads of $size " 'index($0, label) == 1 {
            for (i = 2; i <= NF; i++) if ($i == "ns/value") print $(i - 1)}' "$OUT/parse.txt")
        [ -n "$ours" ] || die "no figure of the parser for payloads of $size"
        theirs=$(awk "BEGIN {printf \"%.1f\", $whole - $loop}")
        printf '   %-18s %12s %12s %12s %15s\n' "$size" "$ours" "$theirs" "$loop" "$(ratio "$theirs" "$ours")"
        record ingest "parser events=$size" 1 'parser_ns jsonb_ns loop_ns' "$ours $theirs $loop"
    done <"$OUT/jsonb.txt"
    stop_server
}
