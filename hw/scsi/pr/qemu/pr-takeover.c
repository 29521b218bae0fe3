/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: who owns the I_T nexus.
 *
 * Of the processes that have a nexus one at most is admitted. A VM that stops
 * for a migration or a snapshot hands it over (pr-migration.c); one that goes
 * on takes it, wherever it is.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "trace.h"

#define SCSI_PR_TAKE_OVER_INTERVAL_MS 20
#define SCSI_PR_TAKE_OVER_WARN_MS 1000

static int64_t scsi_pr_now(void)
{
    return qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
}

static void scsi_pr_set_fates(SCSIPRDisk *s, SCSIPRFate fate)
{
    pr_compat_for_each_request(s->dev, scsi_pr_io_set_fate,
                               GUINT_TO_POINTER(fate));
}

static void scsi_pr_retry_take_over(SCSIPRDisk *s)
{
    timer_mod(s->take_over.timer,
              scsi_pr_now() + SCSI_PR_TAKE_OVER_INTERVAL_MS);
}

static void scsi_pr_warn_not_ours(SCSIPRDisk *s)
{
    if (s->take_over.warned ||
        scsi_pr_now() - s->take_over.since < SCSI_PR_TAKE_OVER_WARN_MS) {
        return;
    }
    s->take_over.warned = true;
    warn_report("%s: the I_T nexus is still another process's: was this VM"
                " migrated, and both run?", scsi_pr_name(s));
    warn_report("%s: commands end in BUSY until that process hands the nexus"
                " over or ends", scsi_pr_name(s));
}

static void scsi_pr_take_over_timer(void *opaque)
{
    SCSIPRDisk *s = opaque;

    if (scsi_pr_take_over(s->handle) == SCSI_PR_NOT_TAKEN) {
        scsi_pr_warn_not_ours(s);
        scsi_pr_retry_take_over(s);
        return;
    }
    /* Of what a fencing may have aborted nothing is left: it ends in BUSY. */
    trace_scsi_pr_take_over(s->dev->id, s->dev->lun, "taken late");
}

void scsi_pr_take_over_now(SCSIPRDisk *s)
{
    switch (scsi_pr_take_over(s->handle)) {
    case SCSI_PR_TAKEN:
        trace_scsi_pr_take_over(s->dev->id, s->dev->lun, "taken");
        break;
    case SCSI_PR_TAKEN_ABORT:
        trace_scsi_pr_take_over(s->dev->id, s->dev->lun,
                                "taken, what is parked is aborted");
        scsi_pr_set_fates(s, SCSI_PR_ABORTED);
        break;
    case SCSI_PR_NOT_TAKEN:
        trace_scsi_pr_take_over(s->dev->id, s->dev->lun, "not taken");
        /*
         * Decided now: an iothread may come to it only when the nexus is ours
         * already, fenced meanwhile.
         */
        scsi_pr_set_fates(s, SCSI_PR_BUSY);
        s->take_over.since = scsi_pr_now();
        s->take_over.warned = false;
        scsi_pr_retry_take_over(s);
        break;
    }
}

void scsi_pr_take_over_stop(SCSIPRDisk *s)
{
    timer_del(s->take_over.timer);
}

void scsi_pr_take_over_init(SCSIPRDisk *s)
{
    s->take_over.timer = timer_new_ms(QEMU_CLOCK_REALTIME,
                                      scsi_pr_take_over_timer, s);
}

void scsi_pr_take_over_cleanup(SCSIPRDisk *s)
{
    timer_free(s->take_over.timer);
    s->take_over.timer = NULL;
}
