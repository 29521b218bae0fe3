/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: aborting the tasks of a nexus that
 * is being fenced (SPC-3 5.6.8.5).
 *
 * The library counts what is in the gate and waits for it. What runs ends by
 * itself; here is found what does not run (parked by werror=stop, or waiting
 * for data of the guest), for that could take for ever. Every request is
 * looked at in the AioContext that executes it.
 */
#include "qemu/osdep.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "trace.h"

#define SCSI_PR_ABORT_INTERVAL_MS 20

typedef struct SCSIPRAbort {
    SCSIDevice *dev;            /* referenced */
    AioContext *ctx;            /* likewise */
} SCSIPRAbort;

static GSList *scsi_pr_requests_in(SCSIDevice *dev, AioContext *ctx)
{
    GSList *reqs = NULL;
    SCSIRequest *req;

    pr_compat_lock_requests(dev);
    QTAILQ_FOREACH(req, &dev->requests, next) {
        if (pr_compat_request_context(req) == ctx) {
            reqs = g_slist_prepend(reqs, scsi_req_ref(req));
        }
    }
    pr_compat_unlock_requests(dev);
    return reqs;
}

/* In @ctx. */
static void scsi_pr_abort_in_context_bh(void *opaque)
{
    g_autofree SCSIPRAbort *abort = opaque;
    GSList *reqs;

    pr_compat_enter_context(abort->ctx);
    reqs = scsi_pr_requests_in(abort->dev, abort->ctx);
    for (GSList *each = reqs; each; each = each->next) {
        scsi_pr_io_abort(each->data);
        scsi_req_unref(each->data);
    }
    pr_compat_leave_context(abort->ctx);
    g_slist_free(reqs);
    aio_context_unref(abort->ctx);
    blk_dec_in_flight(abort->dev->conf.blk);
    object_unref(OBJECT(abort->dev));
}

static void scsi_pr_abort_in_context(gpointer key, gpointer value,
                                     gpointer opaque)
{
    SCSIPRAbort *abort = g_new(SCSIPRAbort, 1);

    abort->dev = SCSI_DEVICE(object_ref(OBJECT(opaque)));
    abort->ctx = key;
    aio_context_ref(abort->ctx);
    /* An unplug under way waits: without the device its lock would be gone. */
    blk_inc_in_flight(abort->dev->conf.blk);
    aio_bh_schedule_oneshot(abort->ctx, scsi_pr_abort_in_context_bh, abort);
}

static void scsi_pr_abort_in_all_contexts(SCSIDevice *dev)
{
    g_autoptr(GHashTable) contexts = g_hash_table_new(NULL, NULL);
    SCSIRequest *req;

    pr_compat_lock_requests(dev);
    QTAILQ_FOREACH(req, &dev->requests, next) {
        g_hash_table_add(contexts, pr_compat_request_context(req));
    }
    pr_compat_unlock_requests(dev);
    g_hash_table_foreach(contexts, scsi_pr_abort_in_context, dev);
}

/*
 * What runs may come to be parked, and then ends no more by itself: looks again
 * while the fencing is under way. A device that is being unrealized has all of
 * its requests cancelled, and destroys their lock before it is ours to clean up,
 * which may run bottom halves.
 */
static void scsi_pr_abort_look(SCSIPRDisk *s)
{
    if (!s->going && scsi_pr_is_being_fenced(s->handle)) {
        scsi_pr_abort_in_all_contexts(s->dev);
        timer_mod(s->abort_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  SCSI_PR_ABORT_INTERVAL_MS);
    }
}

static void scsi_pr_abort_timer(void *opaque)
{
    SCSIPRDisk *s = opaque;

    if (scsi_pr_is_being_fenced(s->handle)) {
        scsi_pr_limits_wait(s);
    } else {
        scsi_pr_limits_end(s);
    }
    scsi_pr_abort_look(s);
}

static void scsi_pr_abort_bh(void *opaque)
{
    SCSIDevice *dev = opaque;
    SCSIPRDisk *s = scsi_pr_state(dev);

    /* NULL: unplugged meanwhile */
    if (s) {
        scsi_pr_abort_look(s);
    }
    object_unref(OBJECT(dev));
}

void scsi_pr_abort_tasks(void *opaque)
{
    SCSIPRDisk *s = opaque;

    aio_bh_schedule_oneshot(qemu_get_aio_context(), scsi_pr_abort_bh,
                            object_ref(OBJECT(s->dev)));
}

void scsi_pr_abort_init(SCSIPRDisk *s)
{
    s->abort_timer = timer_new_ms(QEMU_CLOCK_REALTIME, scsi_pr_abort_timer, s);
}

void scsi_pr_abort_cleanup(SCSIPRDisk *s)
{
    scsi_pr_limits_end(s);
    timer_free(s->abort_timer);
    s->abort_timer = NULL;
}

/*
 * SPC-3 5.6.8.5 f): what the nexus has prevented is allowed again. It comes
 * soon after the status of the PREEMPT AND ABORT, which waits for commands
 * only.
 */
static void scsi_pr_allow_medium_removal_bh(void *opaque)
{
    SCSIDevice *dev = opaque;
    SCSIPRDisk *s = scsi_pr_state(dev);

    /* Not if it was unplugged meanwhile. */
    if (s) {
        AioContext *ctx = blk_get_aio_context(dev->conf.blk);

        pr_compat_enter_context(ctx);
        scsi_pr_class(dev)->kind->allow_medium_removal(s);
        pr_compat_leave_context(ctx);
    }
    object_unref(OBJECT(dev));
}

void scsi_pr_fenced(void *opaque)
{
    SCSIPRDisk *s = opaque;

    trace_scsi_pr_fenced(s->dev->id, s->dev->lun);
    aio_bh_schedule_oneshot(qemu_get_aio_context(),
                            scsi_pr_allow_medium_removal_bh,
                            object_ref(OBJECT(s->dev)));
}
