/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: QMP events, and what goes to the log.
 *
 * Guests, also those of other VMs, decide how often something happens. So each
 * device tells each kind of event at most once a second, and how often it has
 * happened since it was told last.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "qapi/qapi-events-scsi-pr.h"
#include "qapi/qapi-visit-scsi-pr.h"
#include "qapi/qobject-input-visitor.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "trace.h"

#define SCSI_PR_EVENT_INTERVAL_MS 1000

static void scsi_pr_send_changed(SCSIDevice *dev, char *path, uint64_t count,
                                 const char *detail)
{
    ScsiPrEvent event = {
        .path = path, PR_COMPAT_OPTIONAL(device, DEVICE(dev)->id),
        .count = count,
    };

    qapi_event_send_scsi_pr_changed(&event);
}

static void scsi_pr_send_preempted(SCSIDevice *dev, char *path, uint64_t count,
                                   const char *detail)
{
    ScsiPrEvent event = {
        .path = path, PR_COMPAT_OPTIONAL(device, DEVICE(dev)->id),
        .count = count,
    };

    qapi_event_send_scsi_pr_preempted(&event);
}

static void scsi_pr_log(SCSIDevice *dev, const char *message)
{
    warn_report("%s: %s", object_get_canonical_path_component(OBJECT(dev)),
                message);
}

static void scsi_pr_send_store_error(SCSIDevice *dev, char *path,
                                     uint64_t count, const char *detail)
{
    ScsiPrStoreError event = {
        .path = path, PR_COMPAT_OPTIONAL(device, DEVICE(dev)->id),
        .count = count,
        .message = (char *)detail,
    };

    scsi_pr_log(dev, detail);
    qapi_event_send_scsi_pr_store_error(&event);
}

/* Of what the library says in JSON; NULL: it is none. */
static Visitor *scsi_pr_visit_json(const char *json)
{
    QObject *obj = qobject_from_json(json, NULL);
    Visitor *v = obj ? qobject_input_visitor_new(obj) : NULL;

    qobject_unref(obj);
    return v;
}

/* False: @json, see ScsiPrEvents.drain_late, is no such list. */
static bool scsi_pr_waits_for(const char *json, ScsiPrAttachmentList **list)
{
    Visitor *v = scsi_pr_visit_json(json);
    bool done = v && visit_type_ScsiPrAttachmentList(v, NULL, list, NULL);

    visit_free(v);
    return done;
}

static void scsi_pr_send_drain_late(SCSIDevice *dev, char *path,
                                    uint64_t count, const char *detail)
{
    ScsiPrDrainLate event = {
        .path = path, PR_COMPAT_OPTIONAL(device, DEVICE(dev)->id),
        .count = count,
    };

    event.has_waits_for = scsi_pr_waits_for(detail, &event.waits_for);
    qapi_event_send_scsi_pr_drain_late(&event);
    qapi_free_ScsiPrAttachmentList(event.waits_for);
}

static void scsi_pr_send_proved(SCSIDevice *dev, char *path, uint64_t count,
                                const char *detail)
{
    ScsiPrProved event = {
        .path = path, PR_COMPAT_OPTIONAL(device, DEVICE(dev)->id),
        .count = count,
    };
    Visitor *v = scsi_pr_visit_json(detail);

    if (v) {
        visit_type_ScsiPrProofList(v, NULL, &event.proofs, NULL);
        visit_free(v);
    }
    qapi_event_send_scsi_pr_proved(&event);
    qapi_free_ScsiPrProofList(event.proofs);
}

/* The initiator learns from BUSY status that it was given up, the host why. */
static void scsi_pr_send_fencing_failed(SCSIDevice *dev, char *path,
                                        uint64_t count, const char *detail)
{
    scsi_pr_log(dev, detail);
}

typedef void SCSIPRSend(SCSIDevice *dev, char *path, uint64_t count,
                        const char *detail);

static SCSIPRSend *const scsi_pr_send[SCSI_PR_EVENT__MAX] = {
    [SCSI_PR_EVENT_CHANGED] = scsi_pr_send_changed,
    [SCSI_PR_EVENT_PREEMPTED] = scsi_pr_send_preempted,
    [SCSI_PR_EVENT_STORE_ERROR] = scsi_pr_send_store_error,
    [SCSI_PR_EVENT_DRAIN_LATE] = scsi_pr_send_drain_late,
    [SCSI_PR_EVENT_PROVED] = scsi_pr_send_proved,
    [SCSI_PR_EVENT_FENCING_FAILED] = scsi_pr_send_fencing_failed,
};

/* Tells what was not told yet, if anything. */
static void scsi_pr_tell(SCSIPREvent *event)
{
    SCSIPRDisk *s = event->s;
    g_autofree char *path = object_get_canonical_path(OBJECT(s->dev));
    g_autofree char *detail = NULL;
    uint64_t count;

    WITH_QEMU_LOCK_GUARD(&s->event_lock) {
        count = event->count;
        event->count = 0;
        detail = g_steal_pointer(&event->detail);
    }
    if (count) {
        scsi_pr_send[event - s->events](s->dev, path, count, detail);
        timer_mod(event->timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  SCSI_PR_EVENT_INTERVAL_MS);
    }
}

static void scsi_pr_event_timer(void *opaque)
{
    scsi_pr_tell(opaque);
}

static void scsi_pr_event_bh(void *opaque)
{
    SCSIDevice *dev = opaque;
    SCSIPRDisk *s = scsi_pr_state(dev);

    /* NULL: unplugged meanwhile, and all was told */
    for (int i = 0; s && i < SCSI_PR_EVENT__MAX; i++) {
        SCSIPREvent *event = &s->events[i];

        if (event->timer && !timer_pending(event->timer)) {
            scsi_pr_tell(event);
        }
    }
    object_unref(OBJECT(dev));
}

/* Any thread. @detail: of the event, if its kind has any. */
static void scsi_pr_event(SCSIPRDisk *s, SCSIPREventKind kind, uint64_t count,
                          const char *detail)
{
    SCSIPREvent *event = &s->events[kind];
    bool first;

    WITH_QEMU_LOCK_GUARD(&s->event_lock) {
        first = !event->count;
        event->count += count;
        g_free(event->detail);
        event->detail = g_strdup(detail);
    }
    /* Else somebody is about to tell it: a peer must not flood the main loop. */
    if (first) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), scsi_pr_event_bh,
                                object_ref(OBJECT(s->dev)));
    }
}

void scsi_pr_event_changed(void *opaque, uint64_t version, uint32_t generation,
                           uint64_t count)
{
    SCSIPRDisk *s = opaque;

    trace_scsi_pr_changed(s->dev->id, s->dev->lun, version, generation);
    scsi_pr_event(s, SCSI_PR_EVENT_CHANGED, count, NULL);
}

void scsi_pr_event_preempted(void *opaque)
{
    SCSIPRDisk *s = opaque;

    trace_scsi_pr_preempted(s->dev->id, s->dev->lun);
    scsi_pr_event(s, SCSI_PR_EVENT_PREEMPTED, 1, NULL);
}

void scsi_pr_event_store_failed(void *opaque, const char *why)
{
    SCSIPRDisk *s = opaque;

    trace_scsi_pr_store_failed(s->dev->id, s->dev->lun, why);
    scsi_pr_event(s, SCSI_PR_EVENT_STORE_ERROR, 1, why);
}

void scsi_pr_event_fencing_begun(void *opaque)
{
    SCSIPRDisk *s = opaque;

    trace_scsi_pr_fencing_begun(s->dev->id, s->dev->lun);
}

void scsi_pr_event_drain_late(void *opaque, const char *json)
{
    SCSIPRDisk *s = opaque;

    trace_scsi_pr_drain_late(s->dev->id, s->dev->lun, json);
    scsi_pr_event(s, SCSI_PR_EVENT_DRAIN_LATE, 1, json);
}

void scsi_pr_event_proved(void *opaque, const char *json)
{
    SCSIPRDisk *s = opaque;

    trace_scsi_pr_proved(s->dev->id, s->dev->lun, json);
    scsi_pr_event(s, SCSI_PR_EVENT_PROVED, 1, json);
}

void scsi_pr_event_fencing_ended(void *opaque, uint32_t milliseconds,
                                 const char *failed)
{
    SCSIPRDisk *s = opaque;

    trace_scsi_pr_fencing_ended(s->dev->id, s->dev->lun, milliseconds,
                                failed ? failed : "committed");
    if (failed) {
        scsi_pr_event(s, SCSI_PR_EVENT_FENCING_FAILED, 1, failed);
    }
}

void scsi_pr_events_init(SCSIPRDisk *s)
{
    qemu_mutex_init(&s->event_lock);
    for (int i = 0; i < SCSI_PR_EVENT__MAX; i++) {
        s->events[i].s = s;
        s->events[i].timer = timer_new_ms(QEMU_CLOCK_REALTIME,
                                          scsi_pr_event_timer, &s->events[i]);
    }
}

void scsi_pr_events_cleanup(SCSIPRDisk *s)
{
    for (int i = 0; i < SCSI_PR_EVENT__MAX; i++) {
        scsi_pr_tell(&s->events[i]);
        timer_free(s->events[i].timer);
        s->events[i].timer = NULL;
    }
    qemu_mutex_destroy(&s->event_lock);
}
