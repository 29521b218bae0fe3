/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: blocks of memory that are used again.
 */
#ifndef HW_SCSI_PR_SPARE_H
#define HW_SCSI_PR_SPARE_H

#include "qemu/queue.h"

typedef struct SCSIPRSpare {
    QSLIST_ENTRY(SCSIPRSpare) next;
} SCSIPRSpare;

/*
 * A block that begins with an SCSIPRSpare; always the same @size. Either new, all
 * zero, or as somebody has given it back on this thread. Any thread may do that.
 */
void *scsi_pr_take_spare(size_t size);
void scsi_pr_give_spare(SCSIPRSpare *spare);

#endif /* HW_SCSI_PR_SPARE_H */
