/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: blocks of memory that every command
 * needs one of.
 *
 * Each thread keeps those that it does not need just now. To allocate and free one
 * would cost a READ more than all else that we do for it: virtio-scsi makes a whole
 * batch of requests before it frees any, and malloc() is good at a few only.
 */
#include "qemu/osdep.h"
#include "qemu/notify.h"
#include "qemu/thread.h"
#include "pr-spare.h"

/* As many as a virtqueue has room for. */
#define SCSI_PR_SPARE_MAX 128

typedef struct SCSIPRSpares {
    QSLIST_HEAD(, SCSIPRSpare) list;
    unsigned count;
    Notifier thread_ends;
} SCSIPRSpares;

static __thread SCSIPRSpares scsi_pr_spares;

void *scsi_pr_take_spare(size_t size)
{
    SCSIPRSpares *spares = &scsi_pr_spares;
    SCSIPRSpare *spare = QSLIST_FIRST(&spares->list);

    if (!spare) {
        return g_malloc0(size);
    }
    QSLIST_REMOVE_HEAD(&spares->list, next);
    spares->count--;
    return spare;
}

static void scsi_pr_free_spares(Notifier *notifier, void *data)
{
    while (scsi_pr_spares.count) {
        g_free(scsi_pr_take_spare(0));
    }
}

void scsi_pr_give_spare(SCSIPRSpare *spare)
{
    SCSIPRSpares *spares = &scsi_pr_spares;

    if (spares->count == SCSI_PR_SPARE_MAX) {
        g_free(spare);
        return;
    }
    if (!spares->thread_ends.notify) {
        spares->thread_ends.notify = scsi_pr_free_spares;
        qemu_thread_atexit_add(&spares->thread_ends);
    }
    QSLIST_INSERT_HEAD(&spares->list, spare, next);
    spares->count++;
}
