/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What QEMU looks for in a module of its own: the mark of one build, which
 * scripts/plugin-build has read from the binary.
 */
void STAMP(void);
void STAMP(void)
{
}
