# SPDX-License-Identifier: GPL-2.0-or-later
#
# Names for what the scripts do; nothing is decided here.

export QEMU_SERIES ?=
export TARGETS ?=
export CONFIG ?= minimal
export PREFIX ?= /usr/local
export DESTDIR ?=

MAKEFLAGS += --no-print-directory
QEMU_DEPS = $(if $(filter full,$(CONFIG)),qemu-full,qemu)

.PHONY: help deps core qemu qemu-source plugin deb demo demo-overlay demo-hosts demo-cluster check check-long fuzz coverage bench bench-peers bench-hosts install clean distclean
.NOTPARALLEL:

help:
	@echo 'make demo         two VMs with the QEMU of Debian share a disk, and one fences the other'
	@echo 'make plugin       for the QEMU of Debian that is installed; the last line is a script'
	@echo '                  that starts it with the plugin'
	@echo 'make deb          Debian packages for this Debian, of the plugin, the tool, the library'
	@echo 'make demo-overlay the demo, with a QEMU of ours that has reservations built in'
	@echo 'make demo-hosts   three hosts share a disk: one fences another, one is cut off (as root)'
	@echo 'make demo-cluster Pacemaker with fence_scsi in two VMs: a node is fenced (as root)'
	@echo 'make check        all tests (some of them: scripts/check GROUP...)'
	@echo 'make check-long   the tests that take half an hour: the cluster, long storms (as root)'
	@echo 'make qemu         QEMU with persistent reservations; the last line is its path'
	@echo 'make fuzz         each fuzz target for a minute (longer: scripts/fuzz --seconds N)'
	@echo 'make coverage     how much of spc and core the unit tests reach'
	@echo 'make core         the library, the tool scsi-pr and the unit tests, without QEMU'
	@echo 'make bench        what a store costs I/O, and what reservation commands cost'
	@echo 'make bench-peers  the same commands to the kernel'"'"'s own target and to tgt (as root)'
	@echo 'make bench-hosts  many hosts: commands, idle hosts, 1,000 disks on 50 hosts'
	@echo 'make install      library, header and tool into PREFIX (below DESTDIR)'
	@echo 'make deps         install the Debian packages that demo and check need'
	@echo 'make qemu-source  fetch and unpack the source; the last line is its directory'
	@echo 'make clean        remove what was built; make distclean: and what was downloaded'
	@echo
	@echo 'QEMU_SERIES=$(QEMU_SERIES)        one of scripts/qemu-series.txt (default: 10.0, for check what suits this Debian)'
	@echo 'TARGETS=$(TARGETS)            or "x86_64 aarch64": which emulators (default: x86_64)'
	@echo 'CONFIG=$(CONFIG)      or full: everything a user may want, as in Debian'
	@echo 'PREFIX=$(PREFIX)'

deps:
	@scripts/deps check

core:
	@scripts/deps core agent bench
	@scripts/core

qemu:
	@scripts/deps core $(QEMU_DEPS)
	@scripts/core >/dev/null
	@scripts/qemu-build

qemu-source:
	@scripts/deps source
	@scripts/qemu-source

demo:
	@scripts/deps core plugin guest
	@scripts/guest-image >/dev/null
	@scripts/plugin-build >/dev/null
	@scripts/demo --stock

demo-overlay:
	@scripts/deps core $(QEMU_DEPS) guest
	@scripts/core >/dev/null
	@scripts/qemu-build >/dev/null
	@scripts/guest-image >/dev/null
	@scripts/demo

demo-hosts:
	@scripts/deps etcd network plugin guest
	@scripts/core >/dev/null
	@scripts/guest-image >/dev/null
	@scripts/plugin-build >/dev/null
	@scripts/demo-hosts --stock

plugin:
	@scripts/deps core plugin
	@scripts/plugin-build

deb:
	@scripts/deb

demo-cluster:
	@scripts/deps core $(QEMU_DEPS) cluster
	@scripts/core >/dev/null
	@scripts/qemu-build >/dev/null
	@scripts/guest-image >/dev/null
	@scripts/cluster-image >/dev/null
	@scripts/demo-cluster

check:
	@scripts/check

check-long:
	@scripts/check long

fuzz:
	@scripts/fuzz

coverage:
	@scripts/coverage

bench:
	@scripts/deps bench data-path
	@scripts/bench

bench-peers:
	@scripts/deps peers
	@scripts/bench peers

bench-hosts:
	@scripts/deps core agent etcd
	@scripts/bench hosts

install:
	@scripts/deps core
	@scripts/core install

clean:
	rm -rf build/core* build/prefix build/results build/log build/qemu-*/minimal build/qemu-*/full

distclean:
	rm -rf build
