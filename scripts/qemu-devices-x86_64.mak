# SPDX-License-Identifier: GPL-2.0-or-later
#
# x86_64: the machines, and QEMU's own exits for tests.

CONFIG_I440FX=y
CONFIG_Q35=y
CONFIG_MICROVM=y
CONFIG_ISA_DEBUG=y
