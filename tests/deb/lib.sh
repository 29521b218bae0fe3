#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the tests of the packages share: TAP, packages that differ from those of the
# archive, and virtual machines as libvirt would start them. Runs as root in a chroot that
# is thrown away (scripts/deb-try).
#
# Sourced. $DEBS has the packages, $TAP is the file for the results.
#
# shellcheck disable=SC2034 # used by who sources it

set -uo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 # nothing is asked; maintainer scripts too

LIB=/usr/lib/x86_64-linux-gnu/qemu
QEMU=/usr/bin/qemu-system-x86_64
WORK=$(mktemp -d)
OUTPUT=$WORK/output
NUMBER=0

# elapsed SINCE: whole seconds since $EPOCHSECONDS was that.
elapsed() { echo $((EPOCHSECONDS - $1)); }

verdict() {
    NUMBER=$((NUMBER + 1))
    echo "$1 $NUMBER - $2" | tee -a "$TAP"
}

# test_that TITLE COMMAND...: passes if the command succeeds; shows what it said.
test_that() {
    local title=$1 since=$EPOCHSECONDS result="not ok"
    shift
    if "$@" >"$OUTPUT" 2>&1; then result=ok; fi
    tail -n 60 "$OUTPUT" | sed 's/^/# /'
    verdict "$result" "$title ($(elapsed "$since") s)"
}

skip() { verdict ok "$1 # SKIP $2"; }

# fails COMMAND...: it ends with another status than 0, and not by a signal.
fails() {
    local rc=0
    "$@" || rc=$?
    ((rc > 0 && rc < 126))
}

# says PATTERN COMMAND...: its output matches, whatever its status; quiet_about: it does not.
says() {
    local pattern=$1 said
    shift
    said=$("$@" 2>&1)
    echo "$said"
    grep -qE "$pattern" <<<"$said"
}
quiet_about() { ! says "$@"; }

# all COMMAND-LINE...: each succeeds.
all() {
    local line
    for line in "$@"; do
        eval "$line" || { echo "failed: $line" && return 1; }
    done
}

install() { apt-get -q -y --no-install-recommends --allow-downgrades -o Dpkg::Use-Pty=0 install "$@"; }

# build_id FILE: that of an ELF file, without binutils.
build_id() {
    perl -0777 -ne 'print unpack("H*", $1) if /\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0(.{20})/s' "$1"
}

# repack FROM TO VERSION COMMAND: another package of what COMMAND leaves of its files.
repack() {
    local tree=$WORK/tree
    rm -rf "$tree"
    dpkg-deb -R "$1" "$tree"
    sed -i "s/^Version: .*/Version: $3/" "$tree/DEBIAN/control"
    (cd "$tree" && eval "$4")
    (cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | xargs -0 md5sum >DEBIAN/md5sums)
    dpkg-deb --root-owner-group -Znone -b "$tree" "$2" >/dev/null
}

# A shared disk and its store, for a QEMU of libvirt's user.
DISK=$WORK/disk.img
vm() {
    timeout 60 setpriv --reuid libvirt-qemu --regid libvirt-qemu --init-groups \
        qemu-system-x86_64-scsi-pr -nodefaults -no-user-config -display none -S -m 64 \
        -uuid "${UUID:-7e4d0000-0000-4000-8000-00000000000a}" -device virtio-scsi-pci \
        -blockdev "driver=raw,node-name=q,file.driver=file,file.filename=$DISK,file.locking=off" \
        -device scsi-hd,drive=q,share-rw=on,wwn=0x5000c50015ea71ac "$@"
}

# vm_says PATTERN: what it answers to query-scsi-pr.
vm_says() {
    printf '{"execute":"%s"}\n' qmp_capabilities query-scsi-pr quit >"$WORK/questions"
    says "$1" vm -qmp stdio <"$WORK/questions"
}

# A VM that goes on; its process is $VM.
start_vm() {
    UUID=7e4d0000-0000-4000-8000-00000000000b vm -daemonize -pidfile "$WORK/vm.pid" || return
    VM=$(<"$WORK/vm.pid")
}
vm_runs() { kill -0 "$VM" && grep -q "$LIB/scsi-pr-" "/proc/$VM/maps"; }
stop_vm() {
    kill "$VM"
    for _ in $(seq 100); do
        [ -d "/proc/$VM" ] || return 0
        sleep 0.1
    done
    return 1
}
