/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: what an administrator has started by
 * QMP, until SCSI_PR_COMPLETED tells that it has ended.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-events-scsi-pr.h"
#include "qemu/error-report.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "trace.h"

/* Of a device; they are carried out one after the other. */
#define SCSI_PR_OPERATIONS_MAX 16

/* The device may be unplugged meanwhile: what the event says is kept here. */
struct SCSIPROperation {
    SCSIDevice *dev;            /* referenced */
    char *name, *path, *id;
    ScsiPrCommand command;
    char *what;                 /* was done by the administrator */
    bool ended;                 /* atomic; what follows is before it */
    char *error, *hint;         /* how, or NULL */
    QTAILQ_ENTRY(SCSIPROperation) next;
};

/* Of all devices, the oldest first; protected by the BQL. */
static QTAILQ_HEAD(, SCSIPROperation) scsi_pr_all_operations =
    QTAILQ_HEAD_INITIALIZER(scsi_pr_all_operations);

ScsiPrOperationList *scsi_pr_operations(SCSIPRDisk *s)
{
    ScsiPrOperationList *list = NULL, **tail = &list;
    SCSIPROperation *op;

    QTAILQ_FOREACH(op, &scsi_pr_all_operations, next) {
        if (op->dev == s->dev) {
            ScsiPrOperation *shown = g_new0(ScsiPrOperation, 1);

            shown->operation = g_strdup(op->name);
            shown->command = op->command;
            QAPI_LIST_APPEND(tail, shown);
        }
    }
    return list;
}

static unsigned scsi_pr_count_operations(SCSIPRDisk *s)
{
    SCSIPROperation *op;
    unsigned count = 0;

    QTAILQ_FOREACH(op, &scsi_pr_all_operations, next) {
        count += op->dev == s->dev;
    }
    return count;
}

SCSIPROperation *scsi_pr_operation_new(SCSIPRDisk *s, ScsiPrCommand command,
                                       char *what, Error **errp)
{
    static uint64_t last;
    SCSIPROperation *op;

    if (scsi_pr_count_operations(s) >= SCSI_PR_OPERATIONS_MAX) {
        error_setg(errp, "%d operations of '%s' are under way already",
                   SCSI_PR_OPERATIONS_MAX, scsi_pr_name(s));
        error_append_hint(errp, "query-scsi-pr lists them; wait for the event"
                          " SCSI_PR_COMPLETED of one.\n");
        g_free(what);
        return NULL;
    }
    op = g_new0(SCSIPROperation, 1);
    op->dev = SCSI_DEVICE(object_ref(OBJECT(s->dev)));
    op->name = g_strdup_printf("scsi-pr-%" PRIu64, ++last);
    op->path = object_get_canonical_path(OBJECT(s->dev));
    op->id = g_strdup(DEVICE(s->dev)->id);
    op->command = command;
    op->what = what;
    QTAILQ_INSERT_TAIL(&scsi_pr_all_operations, op, next);
    return op;
}

const char *scsi_pr_operation_name(const SCSIPROperation *op)
{
    return op->name;
}

void scsi_pr_operation_free(SCSIPROperation *op)
{
    QTAILQ_REMOVE(&scsi_pr_all_operations, op, next);
    object_unref(OBJECT(op->dev));
    g_free(op->name);
    g_free(op->path);
    g_free(op->id);
    g_free(op->what);
    g_free(op->error);
    g_free(op->hint);
    g_free(op);
}

static void scsi_pr_operation_tell(SCSIPROperation *op)
{
    ScsiPrCompleted event = {
        .path = op->path, PR_COMPAT_OPTIONAL(device, op->id),
        .operation = op->name, PR_COMPAT_OPTIONAL(error, op->error),
        PR_COMPAT_OPTIONAL(hint, op->hint),
    };

    trace_scsi_pr_administer(op->dev->id, op->dev->lun, op->what,
                             op->error ? op->error : "done");
    if (!op->error) {
        info_report("%s: %s, by the administrator", op->id ? op->id : op->path,
                    op->what);
    }
    qapi_event_send_scsi_pr_completed(&event);
}

/* Bottom halves come the latest first; what has ended is told in order. */
static void scsi_pr_operation_bh(void *opaque)
{
    SCSIPROperation *op, *next;

    QTAILQ_FOREACH_SAFE(op, &scsi_pr_all_operations, next, next) {
        if (qatomic_load_acquire(&op->ended)) {
            scsi_pr_operation_tell(op);
            scsi_pr_operation_free(op);
        }
    }
}

void scsi_pr_operation_done(void *opaque, const ScsiPrError *error)
{
    SCSIPROperation *op = opaque;

    if (error) {
        op->error = g_strdup(error->message);
        op->hint = g_strdup(error->hint);
    }
    qatomic_store_release(&op->ended, true);
    aio_bh_schedule_oneshot(qemu_get_aio_context(), scsi_pr_operation_bh, NULL);
}
