#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Which QEMU: the series, the Debian release that carries it, its directories.
#
# Sourced after lib.sh. QEMU_VERSION is set where it must be this version of
# Debian's source package and no other: the plugin's is beside the overlay's.
#
# shellcheck disable=SC2034 # used by those who source it

QEMU_SERIES=${QEMU_SERIES:-10.0}
QEMU_VERSION=${QEMU_VERSION:-}
CONFIG=${CONFIG:-minimal}

case $QEMU_SERIES in
10.0) QEMU_SUITE=trixie ;;
7.2) QEMU_SUITE=bookworm ;;
*) die "unknown QEMU_SERIES '$QEMU_SERIES'" "Use 10.0 (the default) or 7.2." ;;
esac
case $CONFIG in
minimal | full) ;;
*) die "unknown CONFIG '$CONFIG'" "Use minimal (the default) or full." ;;
esac

QEMU_DIR=$BUILD/qemu-$QEMU_SERIES
[ -z "$QEMU_VERSION" ] || QEMU_DIR=$BUILD/plugin/qemu-${QEMU_VERSION#*:}
QEMU_SRC=$QEMU_DIR/src
QEMU_BUILD=$QEMU_DIR/$CONFIG

# qemu_tool_options: what configure must be told about this machine's tools; one a line.
qemu_tool_options() {
    case $QEMU_SERIES in
    7.2) printf '%s\n' --meson=/usr/bin/meson --enable-fdt=system ;;
    *) printf '%s\n' --python="$PYTHON" --disable-download --enable-fdt=system ;;
    esac
}
