/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for a stock QEMU: what the loader, scsi-pr.so, knows
 * of scsi-pr-BUILD-ID.so, which is made for one build of QEMU.
 */
#ifndef HW_SCSI_PR_PLUGIN_INTERFACE_H
#define HW_SCSI_PR_PLUGIN_INTERFACE_H

#include <stdint.h>

/*
 * A note of the file says which QEMU it is made for, so that this is known
 * before any code of it runs: the build ID in hexadecimal digits and, for
 * people, package and version; both end in a zero byte.
 */
#define SCSI_PR_NOTE_NAME "scsi-pr"
#define SCSI_PR_NOTE_MADE_FOR 1

typedef struct ScsiPrPlugin {
    int api_version;            /* of QEMU's plugins, of this QEMU */
    int (*install)(uint64_t id, const void *info, int argc, char **argv);
} ScsiPrPlugin;

/* The number changes with the struct: two versions may lie side by side. */
#define SCSI_PR_PLUGIN_VARIABLE scsi_pr_plugin_1
#define SCSI_PR_PLUGIN_SYMBOL "scsi_pr_plugin_1"

#endif /* HW_SCSI_PR_PLUGIN_INTERFACE_H */
