# SPDX-License-Identifier: GPL-2.0-or-later
#
# aarch64: the machine.

CONFIG_ARM_VIRT=y
