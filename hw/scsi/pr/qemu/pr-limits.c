/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: I/O limits of a device that is being
 * fenced.
 *
 * Requests that wait for their turn under a limit (bps, iops) cannot be taken
 * back: they are on their way to the medium, and may stay so for longer than
 * any fencing waits. When one has waited for a while they are let through, as
 * QEMU does when it drains a node. Guests that fence each other only for that
 * gain little: not more than once a minute.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "block/block_int.h"
#include "block/throttle-groups.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "trace.h"

#define SCSI_PR_LIMITS_PATIENCE_MS 500
#define SCSI_PR_LIMITS_INTERVAL_MS 60000

static ThrottleGroupMember *scsi_pr_node_limits(BlockDriverState *bs)
{
    return bs->opaque;          /* block/throttle.c */
}

static ThrottleGroupMember *scsi_pr_backend_limits(SCSIPRDisk *s)
{
    return &blk_get_public(s->dev->conf.blk)->throttle_group_member;
}

static void scsi_pr_ignore_limits(ThrottleGroupMember *member)
{
    if (qatomic_fetch_inc(&member->io_limits_disabled) == 0) {
        throttle_group_restart_tgm(member);
    }
}

static void scsi_pr_obey_limits(ThrottleGroupMember *member)
{
    qatomic_dec(&member->io_limits_disabled);
}

/* The nodes with limits below the device; referenced. */
static GSList *scsi_pr_limiting_nodes(BlockDriverState *bs)
{
    GSList *nodes = NULL;

    PR_COMPAT_GRAPH_RDLOCK_GUARD();
    for (; bs && bs->drv; bs = bdrv_primary_bs(bs)) {
        if (g_str_equal(bs->drv->format_name, "throttle")) {
            bdrv_ref(bs);
            nodes = g_slist_prepend(nodes, bs);
        }
    }
    return nodes;
}

static void scsi_pr_limits_lift(SCSIPRDisk *s)
{
    BlockBackend *blk = s->dev->conf.blk;
    AioContext *ctx = blk_get_aio_context(blk);

    s->limits.nodes = scsi_pr_limiting_nodes(blk_bs(blk));
    trace_scsi_pr_limits_lifted(scsi_pr_name(s));
    pr_compat_enter_context(ctx);
    scsi_pr_ignore_limits(scsi_pr_backend_limits(s));
    for (GSList *each = s->limits.nodes; each; each = each->next) {
        scsi_pr_ignore_limits(scsi_pr_node_limits(each->data));
    }
    pr_compat_leave_context(ctx);
}

void scsi_pr_limits_wait(SCSIPRDisk *s)
{
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);

    if (!s->limits.since) {
        s->limits.since = now;
    }
    if (s->limits.lifted || now < s->limits.not_before ||
        now - s->limits.since < SCSI_PR_LIMITS_PATIENCE_MS) {
        return;
    }
    s->limits.lifted = true;
    s->limits.not_before = now + SCSI_PR_LIMITS_INTERVAL_MS;
    scsi_pr_limits_lift(s);
}

void scsi_pr_limits_end(SCSIPRDisk *s)
{
    GSList *nodes = g_steal_pointer(&s->limits.nodes);

    s->limits.since = 0;
    if (!s->limits.lifted) {
        return;
    }
    s->limits.lifted = false;
    scsi_pr_obey_limits(scsi_pr_backend_limits(s));
    for (GSList *each = nodes; each; each = each->next) {
        scsi_pr_obey_limits(scsi_pr_node_limits(each->data));
    }
    g_slist_free_full(nodes, scsi_pr_node_unref);
}
