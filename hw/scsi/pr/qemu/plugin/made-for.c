/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for a stock QEMU: the note that says which one this
 * shared object is made for. SCSI_PR_BUILD_ID and SCSI_PR_QEMU come from
 * scripts/plugin-build.
 */
#include "interface.h"

static const struct {
    uint32_t name_size, descriptor_size, type;
    char name[(sizeof(SCSI_PR_NOTE_NAME) + 3) / 4 * 4];
    char descriptor[sizeof(SCSI_PR_BUILD_ID "\0" SCSI_PR_QEMU)];
} note __attribute__((section(".note.scsi-pr"), aligned(4), used)) = {
    .name_size = sizeof(SCSI_PR_NOTE_NAME),
    .descriptor_size = sizeof(note.descriptor),
    .type = SCSI_PR_NOTE_MADE_FOR,
    .name = SCSI_PR_NOTE_NAME,
    .descriptor = SCSI_PR_BUILD_ID "\0" SCSI_PR_QEMU,
};
