#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A private apt directory per suite: downloads sources and packages of another
# Debian release from this machine's own mirror, with apt's own signature
# checks, without root and without touching /etc/apt or /var/lib/apt.
#
# Sourced after lib.sh.

DEBIAN_RELEASES='bullseye|bookworm|trixie|forky|sid|oldoldstable|oldstable|stable|testing|unstable'

# apt_mirrors REGEX: the mirrors that the machine's apt uses for the releases
# that match; those known to be Debian's first, then any that might be (apt
# knows a mirror's origin only once it has fetched its lists).
apt_mirrors() {
    # shellcheck disable=SC2016 # apt's own variables
    local target='$(REPO_URI) $(RELEASE) $(COMPONENT)'
    {
        apt-get indextargets --format "$target" 'Origin: Debian' 'Component: main' || true
        apt-get indextargets --no-release-info --format "$target" 'Component: main'
    } 2>/dev/null | awk -v release="^($1)\$" '
        $1 !~ /^cdrom:/ && $2 ~ release && !seen[$1]++ { print $1 }'
}

# apt_keyring: Debian's archive keys; apt itself checks with them.
apt_keyring() {
    local file
    for file in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
        [ -r "$file" ] && echo "$file" && return
    done
    die "Debian's archive keys are not on this machine: $file is missing" \
        "Install them: apt-get install debian-archive-keyring"
}

# apt_private DIR ARG...: apt-get in a private directory.
apt_private() {
    local dir=$1
    shift
    apt-get -q -c "$dir/apt.conf" "$@"
}

# The machine's own apt.conf (proxy, credentials, timeouts) stays in force; its
# hooks do not: they are about the system's lists and caches.
apt_write_conf() {
    local dir=$1
    mkdir -p "$dir"/{none,state/lists/partial,cache/archives/partial}
    : >"$dir/status"
    cat >"$dir/apt.conf" <<END
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::Languages;
#clear APT::Architectures;
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "$dir/none";
Dir::Etc::preferences "$dir/none/preferences";
Dir::Etc::preferencesparts "$dir/none";
Dir::State "$dir/state";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Architectures { "$(dpkg --print-architecture)"; };
APT::Update::Error-Mode "any";
// The directory belongs to whoever builds; the user _apt could not enter it.
APT::Sandbox::User "$(id -un)";
END
}

# apt_write_sources DIR TYPE SUITES MIRROR SECURITY-MIRROR
apt_write_sources() {
    local dir=$1 type=$2 suites=$3 mirror=$4 security=$5 suite uri keyring
    keyring=$(apt_keyring)
    for suite in $suites; do
        case $suite in
        *-security) uri=$security ;;
        *) uri=$mirror ;;
        esac
        [ -n "$uri" ] && echo "$type [signed-by=$keyring] $uri $suite main"
    done >"$dir/sources.list"
}

# apt_open DIR TYPE SUITE...: makes DIR a private apt directory that knows the
# suites (TYPE is deb or deb-src). Which of the machine's mirrors carries them
# is found by trying: only Debian's are signed with Debian's key.
apt_open() {
    local dir=$1 type=$2 mirror security mirrors securities
    shift 2
    mirrors=$(apt_mirrors "$DEBIAN_RELEASES")
    [ -n "$mirrors" ] || die "apt on this machine has no Debian mirror" \
        "Add one to /etc/apt/sources.list (component main), then try again."
    securities=$(apt_mirrors "($DEBIAN_RELEASES)(-security|/updates)")
    apt_write_conf "$dir"
    for mirror in $mirrors; do
        for security in $securities ""; do
            echo "trying $mirror and ${security:-no security mirror} for $*"
            apt_write_sources "$dir" "$type" "$*" "$mirror" "$security"
            apt_private "$dir" update && return
        done
    done
    return 1
}

# debian_root DIR SUITE PACKAGE...: a minimal Debian in DIR, with the packages
# and what these depend on. Root only. No service of it is ever started here.
debian_root() {
    local dir=$1 suite=$2 mirror
    shift 2
    mirror=$(apt_mirrors "$DEBIAN_RELEASES" | head -n 1)
    rm -rf "$dir" && mkdir -p "$dir"
    debootstrap --variant=minbase --keyring="$(apt_keyring)" "$suite" "$dir" "$mirror" || return
    apt_as_installed "$dir" "$suite" "$mirror"
    printf '#!/bin/sh\nexit 101\n' >"$dir/usr/sbin/policy-rc.d"
    chmod 755 "$dir/usr/sbin/policy-rc.d"
    chroot "$dir" apt-get -q update &&
        DEBIAN_FRONTEND=noninteractive chroot "$dir" \
            apt-get -q -y --no-install-recommends install "$@" || return
    rm "$dir/usr/sbin/policy-rc.d"
}

# What an installer would have set up: the three suites, and the way to the network.
apt_as_installed() {
    local dir=$1 suite=$2 mirror=$3 security
    security=$(apt_mirrors "($DEBIAN_RELEASES)-security" | head -n 1)
    {
        echo "deb $mirror $suite main"
        echo "deb $mirror $suite-updates main"
        [ -z "$security" ] || echo "deb $security $suite-security main"
    } >"$dir/etc/apt/sources.list"
    cp /etc/resolv.conf /etc/hosts "$dir/etc/"
    apt-config dump --no-empty | grep -E '^Acquire::(https?|Check)' \
        >"$dir/etc/apt/apt.conf.d/90machine" || true
}
