/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: QMP events.
 *
 * A guest of another VM decides how often this one is preempted. So a device
 * tells at most once a second, and how often it was since it told last.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "block/aio.h"
#include "qapi/error.h"
#include "qapi/qapi-events-scsi-pr.h"
#include "qapi/qapi-visit-scsi-pr.h"
#include "qapi/qobject-input-visitor.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "trace.h"

#define SCSI_PR_EVENT_INTERVAL_MS 1000

static void scsi_pr_tell_preempted(SCSIPRState *s)
{
    g_autofree char *path = object_get_canonical_path(OBJECT(s->dev));
    uint32_t count = qatomic_xchg(&s->events.preempted, 0);

    if (count) {
        qapi_event_send_scsi_pr_preempted(
            path, PR_COMPAT_OPTIONAL(DEVICE(s->dev)->id), count);
        timer_mod(s->events.timer,
                  qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  SCSI_PR_EVENT_INTERVAL_MS);
    }
}

static void scsi_pr_event_timer(void *opaque)
{
    scsi_pr_tell_preempted(opaque);
}

static void scsi_pr_preempted_bh(void *opaque)
{
    SCSIDevice *dev = opaque;
    SCSIPRState *s = scsi_pr_state(dev);

    /* NULL: unplugged meanwhile */
    if (s && s->events.timer && !timer_pending(s->events.timer)) {
        scsi_pr_tell_preempted(s);
    }
    object_unref(OBJECT(dev));
}

void scsi_pr_event_preempted(void *opaque)
{
    SCSIPRState *s = opaque;

    trace_scsi_pr_preempted(s->dev->id, s->dev->lun);
    qatomic_inc(&s->events.preempted);
    aio_bh_schedule_oneshot(qemu_get_aio_context(), scsi_pr_preempted_bh,
                            object_ref(OBJECT(s->dev)));
}

/* A PREEMPT AND ABORT waits. */
typedef struct SCSIPRLate {
    SCSIDevice *dev;            /* referenced */
    char *json;
} SCSIPRLate;

static void scsi_pr_drain_late_bh(void *opaque)
{
    g_autofree SCSIPRLate *late = opaque;
    g_autofree char *path = object_get_canonical_path(OBJECT(late->dev));
    QObject *obj = qobject_from_json(late->json, &error_abort);
    Visitor *v = qobject_input_visitor_new(obj);
    ScsiPrAttachmentList *list = NULL;

    visit_type_ScsiPrAttachmentList(v, NULL, &list, &error_abort);
    visit_free(v);
    qobject_unref(obj);
    qapi_event_send_scsi_pr_drain_late(
        path, PR_COMPAT_OPTIONAL(DEVICE(late->dev)->id), list);
    qapi_free_ScsiPrAttachmentList(list);
    g_free(late->json);
    object_unref(OBJECT(late->dev));
}

void scsi_pr_event_drain_late(void *opaque, const char *json)
{
    SCSIPRState *s = opaque;
    SCSIPRLate *late = g_new(SCSIPRLate, 1);

    trace_scsi_pr_drain_late(s->dev->id, s->dev->lun, json);
    late->dev = SCSI_DEVICE(object_ref(OBJECT(s->dev)));
    late->json = g_strdup(json);
    aio_bh_schedule_oneshot(qemu_get_aio_context(), scsi_pr_drain_late_bh,
                            late);
}

void scsi_pr_events_init(SCSIPRState *s)
{
    s->events.timer = timer_new_ms(QEMU_CLOCK_REALTIME, scsi_pr_event_timer, s);
}

void scsi_pr_events_cleanup(SCSIPRState *s)
{
    timer_free(s->events.timer);
    s->events.timer = NULL;
}
