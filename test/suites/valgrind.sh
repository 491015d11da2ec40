# The regression tests with the server's processes under valgrind, in a copy of the server. A report
# with a frame of ours in it is a failure. Not among the suites that are run by default: it takes long.
#
# Debian's server tells valgrind nothing about its memory contexts: what is seen are the blocks that
# these take from malloc(). What reports the server causes alone is not looked at; what it does with
# our values and is right all the same is in test/valgrind/server.supp, with reasons.

. test/server_copy.sh
. test/suites/regress.sh

suite_valgrind() {
    local reports=$RUN/valgrind/reports ours=$OUT/valgrind-reports.log log=$OUT/valgrind-install.log
    if ! command -v valgrind >/dev/null; then
        fail "the package valgrind is not installed"
        return
    fi
    copy_server
    if ! quietly "$log" make -s WERROR=1 DESTDIR="$server_copy" install; then
        fail "make install in a copy of the server" "$log"
        return
    fi
    make_server_dir "$reports"
    start_with valgrind --quiet --trace-children=yes --num-callers=40 \
        --suppressions="$ROOT/test/valgrind/server.supp" --log-file="$reports/%p.log"
    local -x PG_CONFIG=$copied_pg_config
    suite_regress
    reports_of_ours "$reports"/*.log >"$ours"
    if [ -s "$ours" ]; then
        fail "valgrind" "$ours"
    else
        pass "valgrind has nothing to report"
    fi
}

# A report is a paragraph. Our frames are those of C++ sources, and those of the library where its
# names have been stripped.
reports_of_ours() { # LOG...
    sed -E 's/^==[0-9]+== ?//' "$@" | awk -v RS= -v ORS='\n\n' '/\.[ch]pp:[0-9]+\)|eav_ext\.so/'
}
