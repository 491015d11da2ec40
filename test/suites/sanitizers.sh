# The extension under the address and undefined behaviour sanitizers, in a server: what test/unit
# cannot reach. Regression tests and pgTAP, in a copy of the server; any report is a failure.
#
# The server itself is Debian's, and is not instrumented: what it allocates comes from the
# sanitizer's malloc, in blocks of memory contexts. At its exit it leaves them to the system, so
# leaks are not looked for.

. test/server_copy.sh
. test/suites/regress.sh
. test/suites/pgtap.sh

SANITIZERS=address,undefined

suite_sanitizers() {
    local tree=$RUN/sanitizers/tree log=$OUT/sanitizers-build.log flags
    local early=$RUN/sanitizers/early_start.so library
    library=$(g++ -print-file-name=libasan.so)
    # _FORTIFY_SOURCE replaces functions that the sanitizer watches, and gcc sees uninitialised
    # variables in the standard library once it is instrumented.
    flags="-O1 -fsanitize=$SANITIZERS -fno-sanitize-recover=all -fno-omit-frame-pointer"
    flags+=" -U_FORTIFY_SOURCE -D_GLIBCXX_ASSERTIONS -Wno-maybe-uninitialized"
    copy_server
    copy_sources "$tree"
    if ! quietly "$log" make -s -C "$tree" -j"$(nproc)" WERROR=1 CXX=g++ COPT="$flags" \
        DESTDIR="$server_copy" EAV_BOOTSTRAPPED=1 all install; then
        fail "the extension does not compile with sanitizers" "$log"
        return
    fi
    if ! quietly "$log" gcc -O1 -fPIC -shared -Wl,-z,initfirst -o "$early" \
        test/sanitizers/early_start.c; then
        fail "early_start.c does not compile" "$log"
        return
    fi
    # The server is no program of the sanitizer: its library has to be there first.
    start_with env LD_PRELOAD="$library:$early" \
        ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:disable_coredump=1 \
        UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1
    local -x PG_CONFIG=$copied_pg_config
    suite_regress
    # names on the command line are those of regression tests
    [ ${#names[@]} -gt 0 ] || suite_pgtap
}

# Of this checkout, so that the usual build stays as it is; what is unchanged is not compiled again.
copy_sources() { # DIR
    mkdir -p "$1"
    rm -rf "${1:?}"/{src,include,sql,infra}
    cp -pr Makefile eav_ext.control eav_ext.map src include sql infra "$1"
}
