/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: block jobs of the host, which write
 * without asking the gate, and devices that get another medium.
 *
 * Of a medium that others share, an overlay or a copy is another medium; and
 * what a job writes into a shared one may overwrite what others wrote when this
 * VM had been fenced. QEMU's op blockers keep such jobs away: from every node
 * between the device and its medium, for a job may name any of them. A parent
 * of our own of the device's root node hears when the graph changes.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qemu/notify.h"
#include "qemu/timer.h"
#include "block/block_int.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "trace.h"

typedef struct SCSIPRJobs {
    SCSIPRDisk *s;
    BlockBackend *root;         /* NULL: no medium */
    GSList *nodes;              /* referenced, and blocked if it is shared */
    Error *elsewhere, *past;    /* why */
    uint64_t offset;            /* where the medium begins in the lowest */
    bool gone;                  /* the device has no medium any more */
    QEMUBH *bh;
    QEMUTimer *timer;           /* in its place, where it comes untimely */
    Notifier removed;
} SCSIPRJobs;

/* What remains: copying it away, other sizes, eject, and so on. */
static const struct {
    BlockOpType op;
    size_t why;
} scsi_pr_blocked[] = {
    { BLOCK_OP_TYPE_EXTERNAL_SNAPSHOT, offsetof(SCSIPRJobs, elsewhere) },
    { BLOCK_OP_TYPE_MIRROR_SOURCE, offsetof(SCSIPRJobs, elsewhere) },
    { BLOCK_OP_TYPE_REPLACE, offsetof(SCSIPRJobs, elsewhere) },
    { BLOCK_OP_TYPE_COMMIT_SOURCE, offsetof(SCSIPRJobs, elsewhere) },
    { BLOCK_OP_TYPE_COMMIT_TARGET, offsetof(SCSIPRJobs, past) },
    { BLOCK_OP_TYPE_MIRROR_TARGET, offsetof(SCSIPRJobs, past) },
    { BLOCK_OP_TYPE_BACKUP_TARGET, offsetof(SCSIPRJobs, past) },
    { BLOCK_OP_TYPE_STREAM, offsetof(SCSIPRJobs, past) },
};

static Error *scsi_pr_why(SCSIPRJobs *jobs, size_t i)
{
    return *(Error **)((char *)jobs + scsi_pr_blocked[i].why);
}

/*
 * The parent: it has no permissions, and lets others have all. Jobs want to see
 * BlockBackends only above what they work on. Whoever changes the graph drains.
 */

static void scsi_pr_jobs_drained_end(void *opaque)
{
    SCSIPRJobs *jobs = opaque;

    qemu_bh_schedule(jobs->bh);
}

static const BlockDevOps scsi_pr_jobs_ops = {
    .drained_end = scsi_pr_jobs_drained_end,
};

static void scsi_pr_jobs_detach(SCSIPRJobs *jobs)
{
    BlockBackend *blk = g_steal_pointer(&jobs->root);
    AioContext *ctx;

    if (blk) {
        ctx = blk_get_aio_context(blk);
        pr_compat_enter_context(ctx);
        blk_unref(blk);
        pr_compat_leave_context(ctx);
    }
}

static void scsi_pr_jobs_attach(SCSIPRJobs *jobs, BlockDriverState *bs)
{
    AioContext *ctx = bdrv_get_aio_context(bs);

    jobs->root = blk_new(ctx, 0, BLK_PERM_ALL);
    blk_set_allow_aio_context_change(jobs->root, true);
    blk_set_dev_ops(jobs->root, &scsi_pr_jobs_ops, jobs);
    pr_compat_enter_context(ctx);
    /* There is nothing that somebody else could have against it. */
    blk_insert_bs(jobs->root, bs, &error_abort);
    pr_compat_leave_context(ctx);
}

/*
 * The nodes
 */

static GSList *scsi_pr_nodes(BlockDriverState *bs)
{
    GSList *nodes = NULL;

    PR_COMPAT_GRAPH_RDLOCK_GUARD();
    for (; bs; bs = bs->drv ? bdrv_primary_bs(bs) : NULL) {
        bdrv_ref(bs);
        nodes = g_slist_prepend(nodes, bs);
    }
    return nodes;
}

void scsi_pr_node_unref(void *bs)
{
    AioContext *ctx = bdrv_get_aio_context(bs);

    pr_compat_enter_context(ctx);
    bdrv_unref(bs);
    pr_compat_leave_context(ctx);
}

/*
 * Has @nodes blocked, and takes them, instead of those before. To let go of a
 * node may change the graph, and whoever does that runs bottom halves: last.
 */
static void scsi_pr_jobs_block(SCSIPRJobs *jobs, GSList *nodes)
{
    GSList *before = jobs->nodes, *each;
    size_t i;

    jobs->nodes = nodes;
    for (i = 0; i < ARRAY_SIZE(scsi_pr_blocked); i++) {
        BlockOpType op = scsi_pr_blocked[i].op;
        Error *why = scsi_pr_why(jobs, i);

        for (each = before; each; each = each->next) {
            bdrv_op_unblock(each->data, op, why);
        }
        for (each = nodes; each && jobs->s->dev->conf.share_rw;
             each = each->next) {
            bdrv_op_block(each->data, op, why);
        }
    }
    g_slist_free_full(before, scsi_pr_node_unref);
}

/*
 * What happens
 */

static bool scsi_pr_same_nodes(GSList *a, GSList *b)
{
    while (a && b && a->data == b->data) {
        a = a->next;
        b = b->next;
    }
    return !a && !b;
}

/* The device may have another medium. */
static void scsi_pr_jobs_tell(SCSIPRDisk *s)
{
    Error *err = NULL;
    ScsiPrError error = {};
    SCSIPRMedium medium;

    if (!scsi_pr_medium(s, &medium, &err)) {
        scsi_pr_event_store_failed(s, error_get_pretty(err));
        error_free(err);
        return;
    }
    if (g_strcmp0(medium.id, s->medium) != 0) {
        trace_scsi_pr_medium(scsi_pr_name(s), medium.id ? medium.id : "");
        if (!scsi_pr_set_medium(s->handle, medium.id, medium.name, &error)) {
            scsi_pr_event_store_failed(s, error.message);
            scsi_pr_error_clear(&error);
        }
        g_free(s->medium);
        s->medium = g_steal_pointer(&medium.id);
    }
    scsi_pr_medium_clear(&medium);
}

void scsi_pr_jobs_look(SCSIPRDisk *s)
{
    SCSIPRJobs *jobs = s->jobs;
    BlockDriverState *bs = blk_bs(s->dev->conf.blk);
    GSList *nodes;
    uint64_t offset;
    bool same;

    if (!jobs || jobs->gone || !bs) {
        return;
    }
    if (jobs->root && blk_bs(jobs->root) != bs) {
        scsi_pr_jobs_detach(jobs);
    }
    if (!jobs->root) {
        scsi_pr_jobs_attach(jobs, bs);
    }
    nodes = scsi_pr_nodes(bs);
    offset = scsi_pr_node_offset(bs);
    same = !jobs->nodes || (offset == jobs->offset &&
                            scsi_pr_same_nodes(nodes, jobs->nodes));
    jobs->offset = offset;
    scsi_pr_jobs_block(jobs, nodes);
    /* What nodes have open does not change; at first the library knows it. */
    if (!same) {
        scsi_pr_jobs_tell(s);
    }
}

static void scsi_pr_jobs_timer(void *opaque)
{
    scsi_pr_jobs_look(opaque);
}

/* A snapshot that is written lets bottom halves run, but has no BQL (7.2). */
static void scsi_pr_jobs_bh(void *opaque)
{
    SCSIPRDisk *s = opaque;

    if (qemu_in_main_thread()) {
        scsi_pr_jobs_look(s);
    } else {
        timer_mod(s->jobs->timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME));
    }
}

static void scsi_pr_jobs_end(SCSIPRJobs *jobs)
{
    jobs->gone = true;
    scsi_pr_jobs_block(jobs, NULL);
    scsi_pr_jobs_detach(jobs);
}

/* The device loses its medium (drive_del): nothing of ours may keep it. */
static void scsi_pr_jobs_removed(Notifier *notifier, void *data)
{
    scsi_pr_jobs_end(container_of(notifier, SCSIPRJobs, removed));
}

void scsi_pr_jobs_init(SCSIPRDisk *s)
{
    BlockBackend *blk = s->dev->conf.blk;
    SCSIPRJobs *jobs = g_new0(SCSIPRJobs, 1);

    jobs->s = s;
    error_setg(&jobs->elsewhere, "device '%s' shares this medium (pr-store,"
               " share-rw=on), and would go on with another one than the"
               " others;"
               " copy it with blockdev-backup while no other VM has it, or"
               " unplug the device first",
               scsi_pr_name(s));
    error_setg(&jobs->past, "device '%s' shares this medium (pr-store,"
               " share-rw=on), and this would write to it past its persistent"
               " reservations; unplug the device first", scsi_pr_name(s));
    jobs->bh = qemu_bh_new(scsi_pr_jobs_bh, s);
    jobs->timer = timer_new_ms(QEMU_CLOCK_REALTIME, scsi_pr_jobs_timer, s);
    jobs->removed.notify = scsi_pr_jobs_removed;
    blk_add_remove_bs_notifier(blk, &jobs->removed);
    s->jobs = jobs;
    scsi_pr_jobs_look(s);
}

void scsi_pr_jobs_cleanup(SCSIPRDisk *s)
{
    SCSIPRJobs *jobs = g_steal_pointer(&s->jobs);

    if (!jobs) {
        return;
    }
    notifier_remove(&jobs->removed);
    scsi_pr_jobs_end(jobs);
    qemu_bh_delete(jobs->bh);
    timer_free(jobs->timer);
    error_free(jobs->elsewhere);
    error_free(jobs->past);
    g_free(jobs);
}
