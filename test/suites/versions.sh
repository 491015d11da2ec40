# The suites that depend on the server's version in other Debian releases, EAV_RELEASES (default:
# trixie), with the servers they ship. Where there can be no such chroot, infra/chroots.sh says why.
# When all suites are run this one is begun first, beside those that have the processor at work.

begin_versions() {
    local release
    for release in ${EAV_RELEASES-trixie}; do
        beside "$release" "$OUT/versions-$release.log" infra/chroots.sh test "$release"
    done
}

suite_versions() {
    local release log status passes
    [ ${#names[@]} -eq 0 ] || local EAV_RELEASES="${names[*]}"
    [ ${#beside[@]} -gt 0 ] || begin_versions
    for release in ${EAV_RELEASES-trixie}; do
        log=$OUT/versions-$release.log status=0
        wait "${beside[$release]}" || status=$?
        unset "beside[$release]"
        passes=$(sed -nE 's/^([0-9]+) passed, [0-9]+ failed, [0-9]+ skipped$/\1/p' "$log")
        if [ $status -eq 77 ]; then
            skip "$release" "$(tail -n 1 "$log")"
        elif [ $status -eq 0 ] && [ -n "$passes" ]; then
            add_counts "$passes" 0
            printf '   ok       %s (%d)\n' "$release" "$passes"
        else
            add_counts "${passes:-0}" 0
            fail "$release" "$log"
            grep -E '^   (FAILED|skipped) ' "$log" | sed 's/^/   /'
        fi
    done
}
