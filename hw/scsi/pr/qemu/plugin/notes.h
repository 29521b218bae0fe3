/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for a stock QEMU: notes of ELF files, of those that
 * are loaded and of those that are not.
 */
#ifndef HW_SCSI_PR_PLUGIN_NOTES_H
#define HW_SCSI_PR_PLUGIN_NOTES_H

#include <stddef.h>

#define SCSI_PR_ID_SIZE 129     /* of a build ID's digits, with the zero */

/* The build ID of the executable that runs; "" if it has none. */
void scsi_pr_own_build_id(char id[SCSI_PR_ID_SIZE]);

/* What a file says about the QEMU that it is made for. */
typedef struct ScsiPrMadeFor {
    char id[SCSI_PR_ID_SIZE];
    char qemu[200];
} ScsiPrMadeFor;

/* NULL, or why the file at @path cannot be loaded here. */
const char *scsi_pr_look_at_file(const char *path, ScsiPrMadeFor *made_for);

#endif /* HW_SCSI_PR_PLUGIN_NOTES_H */
