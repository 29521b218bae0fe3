#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What every build script needs: where things are, how a step is announced and
# timed, how an error is told, and how to know that nothing has changed.
#
# Sourced, never run. Progress goes to stderr, so that a script's stdout holds
# only its result (a path, a summary) and can be used in $(…).

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
BUILD=${SCSI_PR_BUILD:-$TOP/build}   # another one: where the sources are installed, or shared
LOGS=$BUILD/log
export PREFIX_DIR=$BUILD/prefix   # where our own library is installed for QEMU to find
export PYTHON=/usr/bin/python3

# Debian's own tools first: a pyenv or conda python would lack Debian's modules.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH LC_ALL=C.UTF-8

# say TEXT...: one line of progress.
say() { printf '%s\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }

# die WHAT [WHAT-TO-DO]...: the end, with a hint per further argument.
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    local hint
    for hint in "$@"; do
        printf '       %s\n' "$hint" >&2
    done
    exit 1
}

# QEMU's configure rejects such a directory, half-way and less clearly.
case $TOP in
*[[:space:]:]*) die "the checkout's path contains a space or a colon: '$TOP'" \
    "Move it to a path without: QEMU's build system cannot work there." ;;
esac
mkdir -p "$LOGS"

# elapsed SINCE: seconds since an earlier $EPOCHREALTIME, with one decimal.
elapsed() {
    local us=$((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}))
    printf '%d.%d' $((us / 1000000)) $((us % 1000000 / 100000))
}

# step LOG TITLE COMMAND...: runs COMMAND with its output in build/log/LOG.log,
# says what is done and how long it took; on failure shows the end of the log.
step() {
    local log=$LOGS/$1.log title=$2 start=$EPOCHREALTIME rc=0
    shift 2
    say "==> $title ..."
    ("$@") >"$log" 2>&1 </dev/null || rc=$?
    if ((rc)); then
        printf '    FAILED after %s s: %s; the end of %s:\n' "$(elapsed "$start")" "$title" "$log" >&2
        tail -n 30 "$log" | cut -c 1-200 | sed 's/^/    | /' >&2
        return "$rc"
    fi
    say "    done in $(elapsed "$start") s: $title"
}

# hash_of PATH...: one hash over the names and contents of files and of the
# files in directories; a missing path counts as empty.
hash_of() {
    local path
    for path in "$@"; do
        if [ -e "$path" ]; then
            find "$path" -type f ! -name '*.pyc' -print0
        fi
    done | sort -z | xargs -0 -r sha256sum | sha256sum | cut -d' ' -f1
}

# A stamp is a file that holds the hash of what was built.
stamp_is() { [ -f "$1" ] && [ "$(<"$1")" = "$2" ]; }
stamp_set() {
    mkdir -p "$(dirname "$1")"
    printf '%s\n' "$2" >"$1"
}

# lock NAME: one build of NAME at a time; held until this process ends.
lock() {
    local file=$BUILD/lock/$1
    mkdir -p "$BUILD/lock"
    exec {LOCK_FD}>"$file"
    if ! flock -n "$LOCK_FD"; then
        say "==> waiting for another build of $1 to finish ..."
        flock "$LOCK_FD"
    fi
}
