#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A root file system for the kernel and the initramfs of scripts/guest-image, made of
# Debian's packages: a base, which is downloaded, and the image, which has what is ours, too.
# Each is made anew only when what it is made of has changed.
#
# Sourced after lib.sh and lib-apt.sh, by who defines base_packages ROOT (a Debian in ROOT)
# and add_files ROOT (what is ours).

pack_base() {
    local base=$1 root=$1.new
    base_packages "$root" || return
    chroot "$root" apt-get clean
    rm -rf "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info}
    tar -C "$root" -cf "$base.part" . && rm -rf "$root" && mv "$base.part" "$base"
}

# pack_image IMAGE BASE SIZE
pack_image() {
    local image=$1 base=$2 size=$3 root=$1.new
    rm -rf "$root" && mkdir -p "$root"
    tar -C "$root" -xf "$base" && add_files "$root" || return
    # What the first init and its agent call in any guest.
    ln -s /bin/busybox "$root/usr/local/bin/usleep"
    truncate -s "$size" "$image.part"
    mkfs.ext4 -q -d "$root" "$image.part" && rm -rf "$root" && mv "$image.part" "$image"
}

# root_image KIND SUITE SIZE RECIPE FILE...: prints the path of the image. RECIPE is what the
# base is made by, the FILEs are what is added. Earlier ones of that kind and release go.
root_image() {
    local kind=$1 suite=$2 size=$3 recipe=$4 start=$BUILD/$1/$2 base image
    shift 4
    recipe+=$(declare -f debian_root apt_as_installed base_packages pack_base)
    base=$start-$(sha256sum <<<"$recipe" | cut -c 1-16).tar
    image=$start-$({ echo "$recipe $size" && declare -f add_files pack_image && hash_of "$@"; } |
        sha256sum | cut -c 1-16).img
    [ "$(id -u)" = 0 ] || [ -f "$image" ] || die "a root file system is made in a chroot, by root"
    mkdir -p "$BUILD/$kind"
    lock "$kind-image"
    [ -f "$base" ] || [ -f "$image" ] || { rm -f "$start"-*.tar &&
        step "$kind-base" "$kind: packages of $suite" pack_base "$base"; } ||
        die "the packages could not be installed" "Does this machine's mirror carry $suite?"
    [ -f "$image" ] || { rm -f "$start"-*.img &&
        step "$kind-image" "$kind: the root file system" pack_image "$image" "$base" "$size"; } ||
        die "the root file system could not be made" "Is there enough space in $BUILD/$kind?"
    echo "$image"
}
