#!/usr/bin/env bash
# What the documentation names exists: links, files, make targets, settings. What needs a server
# to be asked (functions, tables, columns, the README's SQL) is in test/tap/t/080_readme.pl.
set -euo pipefail
status=0
complain() {
    echo "$*"
    status=1
}
pages=$(find README.md CONTRIBUTING.md CHANGELOG.md docs -name '*.md' | sort)

# The anchors GitHub gives to the headings of a page.
anchors_of() {
    sed -n '/^```/,/^```/!s/^#\{1,6\} //p' "$1" | tr '[:upper:]' '[:lower:]' |
        sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

for page in $pages; do
    # Relative links, with or without an anchor; none in code.
    while read -r link; do
        file=${link%%#*} anchor=
        [[ $link != *'#'* ]] || anchor=${link#*#}
        target=$page
        [ -z "$file" ] || target=$(dirname "$page")/$file
        if [ ! -e "$target" ]; then
            complain "$page links to $link, which does not exist"
        elif [ -n "$anchor" ] && ! grep -qxF -- "$anchor" <(anchors_of "$target"); then
            complain "$page links to $link: there is no such heading"
        fi
    done < <(sed '/^```/,/^```/d; s/`[^`]*`//g' "$page" | grep -oE '\]\([^)]+\)' |
        sed 's/^](//; s/)$//' | grep -vE '^https?:' || true)

    # Files of the repository, where their path is given in backticks.
    while read -r path; do
        compgen -G "$path" >/dev/null || complain "$page names $path, which does not exist"
    done < <(grep -oE '`(src|include|sql|test|infra|docs)/[^` ]+`' "$page" | tr -d '`' | grep -vE 'NAME|NNNN' |
        sort -u || true)

    while read -r target; do
        grep -qE "^([a-z-]+ )*$target( [a-z-]+)*:" Makefile || complain "$page names make $target: no such target"
    done < <(grep -ohE '(^|`)make [a-z][a-z-]*' "$page" | sed 's/.*make //' | sort -u || true)
done

# A setting is named in the code, in the reference and in the README, or nowhere.
defined=$(grep -ohE '"eav\.[a-z_]+"' src/settings.cpp | tr -d '"' | sort -u)
for page in README.md docs/reference.md; do
    named=$(sed -n 's/^| `\(eav\.[a-z_]*\)` | .*\(sighup\|superuser\|user\|postmaster\) .*/\1/p' "$page" | sort -u)
    difference=$(diff <(echo "$defined") <(echo "$named") | sed -n 's/^[<>]/&/p' || true)
    [ -z "$difference" ] || complain "settings of src/settings.cpp (<) and of $page (>) differ:" "$difference"
done

# Decisions are numbered without a gap, and the list of them is complete.
number=0
for record in docs/decisions/[0-9]*.md; do
    number=$((number + 1))
    name=$(basename "$record")
    [ "${name%%-*}" = "$(printf '%04d' $number)" ] || complain "$record should have number $number"
    grep -qF "($name)" docs/decisions/README.md || complain "docs/decisions/README.md does not list $name"
done
exit $status
