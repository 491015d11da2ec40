# Makes an upgrade script: what an install script says that a released one did not say.
#
#   awk -f differences.awk RELEASED BY_HAND NEW
#
# RELEASED and NEW are install scripts, BY_HAND is what no comparison can know: how tables change
# that have rows in them, and what is dropped. The answer is BY_HAND, in which the line
# "-- differences" stands for the statements of NEW that RELEASED has not, in their order:
#
# - Functions, aggregates, views and triggers are created, or replaced if their name is there.
# - Whatever BY_HAND drops counts as never released.
# - The comment of a function is said again whenever the function is.
# - Parts from 98 on deal with all members, whoever made them: they run again.
# - A table, sequence, type or materialized view that reads otherwise than released must be mentioned
#   in BY_HAND, as must rows that are inserted otherwise: else there is no script, but an error.
#
# What RELEASED says and NEW does not is left to BY_HAND, and to the test that compares the catalogs.
# Statements begin at the beginning of a line, with a word in capitals.

function fail(message) {
    print FILENAME ":" FNR ": " message > "/dev/stderr"
    has_failed = 1
    exit 1
}

# Follows quotes over the characters of a line; true when the statement ends with it.
function ends_statement(line,    i, c, rest, tag) {
    if (atomic) {
        return line == "END;"
    }
    for (i = 1; i <= length(line); i++) {
        rest = substr(line, i)
        c = substr(line, i, 1)
        if (dollar != "") {
            if (index(rest, dollar) == 1) {
                i += length(dollar) - 1
                dollar = ""
            }
        } else if (quoted) {
            quoted = (c != "'")
        } else if (substr(rest, 1, 2) == "--") {
            break
        } else if (c == "'") {
            quoted = 1
        } else if (match(rest, /^\$[a-z_]*\$/)) {
            dollar = substr(rest, 1, RLENGTH)
            i += RLENGTH - 1
        } else if (c == ";") {
            return 1
        }
    }
    if (dollar == "" && !quoted && line ~ /^BEGIN ATOMIC$/) {
        atomic = 1
    }
    return 0
}

# "FUNCTION eav.name" of CREATE [OR REPLACE] [UNLOGGED] FUNCTION eav.name(...), COMMENT ON, DROP, ...
function object_of(text,    words, count, i, kind) {
    count = split(text, words, /[ \n(;,]+/)
    for (i = 1; i < count && i < 12; i++) {
        if (words[i] ~ /^(FUNCTION|AGGREGATE|VIEW|TABLE|SEQUENCE|TYPE|TRIGGER|POLICY|INTO|COLUMN|INDEX)$/) {
            kind = words[i] == "AGGREGATE" ? "FUNCTION" : words[i]
            if (kind == "INTO" || kind == "COLUMN") {
                kind = "TABLE"
            }
            if (words[i + 1] == "IF") {
                i += words[i + 2] == "NOT" ? 3 : 2
            }
            if (kind == "TRIGGER" || kind == "POLICY") {
                match(text, / ON [a-z_.]+/)
                return kind " " words[i + 1] substr(text, RSTART, RLENGTH)
            }
            if (words[i] == "COLUMN") {
                match(words[i + 1], /^[a-z_]+\.[a-z_0-9]+/)
                return kind " " substr(words[i + 1], RSTART, RLENGTH)
            }
            return kind " " words[i + 1]
        }
    }
    return ""
}

function statement(text,    object, verb) {
    object = object_of(text)
    verb = text
    sub(/[ \n;].*/, "", verb)
    if (file == 1) {
        released[text] = 1
        if (verb == "CREATE" || verb == "INSERT") {
            was_released[verb " " object] = 1
        }
    } else if (file == 2) {
        if (verb == "DROP") {
            dropped[object] = 1
        }
        mentioned[object] = 1
    } else if (!(text in released) || part >= 98 || object in dropped ||
               verb == "COMMENT" && object in emitted) {
        emit(text, verb, object)
    }
}

function emit(text, verb, object) {
    if (verb == "CREATE" && object ~ /^(FUNCTION|VIEW|TRIGGER) / && text !~ /^CREATE MATERIALIZED/) {
        if ((verb " " object) in was_released && !(object in dropped)) {
            sub(/^CREATE (OR REPLACE )?/, "CREATE OR REPLACE ", text)
        }
        if (object ~ /^FUNCTION /) {
            emitted[object] = 1
        }
    } else if ((verb == "CREATE" || verb == "INSERT") && object !~ /^INDEX /) {
        if ((verb " " object) in was_released && !(object in mentioned)) {
            fail(tolower(object) " is not as it was released, and " by_hand " does not say how it changes")
        }
        # It is there, and has been changed by hand.
        if ((verb " " object) in was_released && !(object in dropped)) {
            return
        }
    }
    differences = differences "\n" text "\n"
}

FNR == 1 {
    file++
    part = 0
    if (file == 2) {
        by_hand = FILENAME
    }
}
file == 2 {
    hand = hand $0 "\n"
}
/^-- sql\/[0-9][0-9]_/ && !inside {
    part = substr($0, 8, 2) + 0
}
!inside && /^[A-Z]/ {
    inside = 1
    text = ""
}
inside {
    text = text (text == "" ? "" : "\n") $0
    if (ends_statement($0)) {
        statement(text)
        inside = 0
        atomic = 0
    }
}
END {
    if (has_failed) {
        exit 1
    }
    if (inside || file != 3) {
        fail("a statement without an end, or not three files")
    }
    if (!match(hand, /\n-- differences\n/)) {
        fail(by_hand " has no line '-- differences'")
    }
    printf "%s%s%s", substr(hand, 1, RSTART), differences, substr(hand, RSTART + RLENGTH - 1)
}
