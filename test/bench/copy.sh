# What COPY alone costs, for scale: into our staging, a plain staging table, and history itself.

bench_copy() {
    local round target wall cpu file=$OUT/sample.tsv targets
    start_server eav.worker_enabled=off shared_preload_libraries="$(preload_libraries)"
    make_sample events
    query -c "\\copy (SELECT $COLUMNS FROM bench.sample ORDER BY seq) TO '$file'"
    say "COPY of $VALUES values as text"
    targets=(eav.entity_values_ingest reference.staging eav.entity_values_ts)
    if has_timescale; then
        make_hypertable
        targets+=(timescale.history)
    else
        echo "   TimescaleDB: skipped: not installed"
    fi
    for ((round = 0; round <= ROUNDS; round++)); do
        for target in "${targets[@]}"; do
            query -c "TRUNCATE $target" -c CHECKPOINT
            copy_script "$target" "$file" >"$OUT/copy.sql"
            read -r wall cpu < <(timed "copy-$target" "$OUT/copy.sql")
            record copy "$target" "$round" wall_s "$wall"
            record copy "$target" "$round" cpu_s "$cpu"
            [ "$round" -eq 0 ] || echo "$wall" >>"$OUT/copy.$target.wall"
        done
    done
    for target in "${targets[@]}"; do
        wall=$(median <"$OUT/copy.$target.wall")
        printf '   %-28s %6.2f s %10s values/s\n' "$target" "$wall" "$(per_second "$VALUES" "$wall")"
        rm "$OUT/copy.$target.wall"
    done
    stop_server
}

copy_script() { # TARGET FILE
    case $1 in
        eav.entity_values_ingest | reference.staging) echo "\\copy $1 ($COLUMNS) FROM '$2'" ;;
        *) # The time of the device is no default there.
            echo "ALTER TABLE $1 ALTER observed_at SET DEFAULT clock_timestamp();"
            echo "\\copy $1 ($COLUMNS) FROM '$2'"
            ;;
    esac
}

# Not in Debian; measured when somebody has installed it.
has_timescale() { compgen -G "$(pg_config_says --pkglibdir)/timescaledb.so" >/dev/null; }
preload_libraries() {
    if has_timescale; then echo eav_ext,timescaledb; else echo eav_ext; fi
}
make_hypertable() {
    query -c 'CREATE EXTENSION timescaledb' -c 'CREATE SCHEMA timescale' \
        -c 'CREATE TABLE timescale.history (LIKE eav.entity_values_ts INCLUDING DEFAULTS INCLUDING CONSTRAINTS)' \
        -c "SELECT create_hypertable('timescale.history', 'ingested_at', create_default_indexes => false,
                                     chunk_time_interval => interval '1 month')" \
        -c 'CREATE INDEX ON timescale.history USING brin (ingested_at)' \
        -c 'CREATE INDEX ON timescale.history (tenant_id, attribute_id, ingested_at)' >/dev/null
}
