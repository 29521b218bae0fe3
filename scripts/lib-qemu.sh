#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Which QEMU: the series, where Debian has its source, its targets, its directories.
#
# Sourced after lib.sh. QEMU_VERSION is set where it must be this version of
# Debian's source package and no other: the plugin's is beside the overlay's.
#
# shellcheck disable=SC2016,SC2034 # of awk; used by those who source it

QEMU_VERSION=${QEMU_VERSION:-}
CONFIG=${CONFIG:-minimal}
read -r -a QEMU_TARGETS <<<"${TARGETS:-x86_64}"
# What qemu-source ends with when Debian's archive does not have the source, whatever one does here.
NOT_IN_ARCHIVE=69

# series_table PROGRAM [OPTION...]: awk over the lines of scripts/qemu-series.txt.
series_table() { grep -v '^#' "$TOP/scripts/qemu-series.txt" | awk -F ' *[|] *' "${@:2}" "$1"; }

# series_field SERIES N: a field of its line.
series_field() { series_table '$1 == series { print $n }' -v series="$1" -v n="$2"; }

# series_of_release CODENAME: what `make check` builds on that release of Debian.
series_of_release() { series_table 'index(" " $5 " ", " " release " ") { print $1 }' -v release="$1"; }

mapfile -t ALL_SERIES < <(series_table '{ print $1 }') # the default first
QEMU_SERIES=${QEMU_SERIES:-${ALL_SERIES[0]}}
read -r -a QEMU_SUITES < <(series_field "$QEMU_SERIES" 2) ||
    die "unknown QEMU_SERIES '$QEMU_SERIES'" \
        "Use one of ${ALL_SERIES[*]} (the default is ${ALL_SERIES[0]})."
QEMU_MESON=$(series_field "$QEMU_SERIES" 4)
case $CONFIG in
minimal | full) ;;
*) die "unknown CONFIG '$CONFIG'" "Use minimal (the default) or full." ;;
esac

# built_for TARGETS: what a build's directory has behind its configuration, for there may be several.
built_for() { [ "$1" = x86_64 ] || echo "-${1// /-}"; }

QEMU_DIR=$BUILD/qemu-$QEMU_SERIES
[ -z "$QEMU_VERSION" ] || QEMU_DIR=$BUILD/plugin/qemu-${QEMU_VERSION#*:}
QEMU_SRC=$QEMU_DIR/src
QEMU_BUILD=$QEMU_DIR/$CONFIG$(built_for "${QEMU_TARGETS[*]}")
if [ -z "$QEMU_VERSION" ] && [ "$(series_field "$QEMU_SERIES" 3)" != - ]; then
    SOURCE_VERSION=$(series_field "$QEMU_SERIES" 3)
else
    SOURCE_VERSION=$QEMU_VERSION
fi

# why_not_in_archive: what apt said when qemu-source ended with NOT_IN_ARCHIVE; nothing if it did not say that.
why_not_in_archive() {
    grep -m 1 -E '^E: (.*/qemu_.* 404 +Not Found|Unable to find a source package|Can ?not find version)' "$LOGS/qemu-$QEMU_SERIES-download.log"
}

# qemu_tool_options: what configure must be told about this machine's tools; one a line.
qemu_tool_options() {
    case $QEMU_MESON in
    system) printf '%s\n' --meson=/usr/bin/meson --enable-fdt=system ;;
    *) printf '%s\n' --python="$PYTHON" --disable-download --enable-fdt=system ;;
    esac
}
