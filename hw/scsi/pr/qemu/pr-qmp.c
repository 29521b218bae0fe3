/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: QMP.
 *
 * A store may have to wait for a disk, and a preemption for commands of others:
 * every command is a coroutine, which sleeps while the library works.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-scsi-pr.h"
#include "qapi/qapi-visit-scsi-pr.h"
#include "qapi/qobject-input-visitor.h"
#include "qapi/qobject-output-visitor.h"
#include "qemu/coroutine.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "trace.h"

/* One call into the library, while its coroutine sleeps. */
typedef struct SCSIPRCall {
    SCSIDevice *dev;            /* referenced: it may be unplugged meanwhile */
    Coroutine *co;
    AioContext *ctx;
    char *json;                 /* what the library has returned, or NULL */
    Error *error;
} SCSIPRCall;

static void coroutine_fn scsi_pr_call_begin(SCSIPRCall *call, SCSIDevice *dev)
{
    *call = (SCSIPRCall) {
        .dev = SCSI_DEVICE(object_ref(OBJECT(dev))),
        .co = qemu_coroutine_self(),
        .ctx = qemu_get_current_aio_context(),
    };
}

static void scsi_pr_call_bh(void *opaque)
{
    SCSIPRCall *call = opaque;

    aio_co_wake(call->co);
}

/* On the library's thread. */
static void scsi_pr_call_done(void *opaque, const char *json,
                              const ScsiPrError *error)
{
    SCSIPRCall *call = opaque;

    call->json = g_strdup(json);
    if (error) {
        error_setg(&call->error, "%s", error->message);
        if (error->hint) {
            error_append_hint(&call->error, "%s\n", error->hint);
        }
    }
    aio_bh_schedule_oneshot(call->ctx, scsi_pr_call_bh, call);
}

/*
 * Sleeps until the library is done. What it has returned, to be freed; NULL
 * with *@errp, or if it returns nothing.
 */
static char *coroutine_fn scsi_pr_call_end(SCSIPRCall *call, Error **errp)
{
    qemu_coroutine_yield();
    object_unref(OBJECT(call->dev));
    error_propagate(errp, call->error);
    return call->json;
}

/* The end of a call that @what, done by the administrator, was. */
static void coroutine_fn scsi_pr_call_end_logged(SCSIPRCall *call,
                                                 const char *what,
                                                 Error **errp)
{
    ERRP_GUARD();
    g_autofree char *name =
        g_strdup(object_get_canonical_path_component(OBJECT(call->dev)));
    int id = call->dev->id;
    int lun = call->dev->lun;

    g_free(scsi_pr_call_end(call, errp));
    trace_scsi_pr_administer(id, lun, what,
                             *errp ? error_get_pretty(*errp) : "done");
    if (!*errp) {
        info_report("%s: %s, by the administrator", name, what);
    }
}

static bool scsi_pr_is_named(SCSIPRState *s, const char *name)
{
    g_autofree char *path = object_get_canonical_path(OBJECT(s->dev));

    return g_strcmp0(DEVICE(s->dev)->id, name) == 0 ||
           g_strcmp0(path, name) == 0;
}

/* The device with this ID or QOM path, or NULL with *@errp. */
static SCSIPRState *scsi_pr_by_name(const char *name, Error **errp)
{
    SCSIPRState *s;

    QLIST_FOREACH(s, &scsi_pr_devices, next) {
        if (scsi_pr_is_named(s, name)) {
            return s;
        }
    }
    error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND,
              "There is no device '%s' with pr-store", name);
    return NULL;
}

static ScsiPrInfo *scsi_pr_info_from_json(SCSIDevice *dev, const char *json,
                                          uint64_t aborted_tasks, Error **errp)
{
    g_autofree char *path = object_get_canonical_path(OBJECT(dev));
    QObject *obj = qobject_from_json(json, errp);
    QDict *dict = qobject_to(QDict, obj);
    ScsiPrInfo *info = NULL;
    Visitor *v;

    if (!obj) {
        return NULL;
    }
    qdict_put_str(dict, "path", path);
    if (DEVICE(dev)->id) {
        qdict_put_str(dict, "device", DEVICE(dev)->id);
    }
    qdict_put_int(qdict_get_qdict(dict, "statistics"), "aborted-tasks",
                  aborted_tasks);
    v = qobject_input_visitor_new(obj);
    visit_type_ScsiPrInfo(v, NULL, &info, errp);
    visit_free(v);
    qobject_unref(obj);
    return info;
}

static ScsiPrInfo *coroutine_fn scsi_pr_query(SCSIPRState *s, Error **errp)
{
    uint64_t aborted_tasks = stat64_get(&s->aborted_tasks);
    SCSIDevice *dev = s->dev;
    g_autofree char *json = NULL;
    SCSIPRCall call;

    scsi_pr_call_begin(&call, dev);
    scsi_pr_inspect(s->handle, scsi_pr_call_done, &call);
    json = scsi_pr_call_end(&call, errp);
    return json ? scsi_pr_info_from_json(dev, json, aborted_tasks, errp) : NULL;
}

ScsiPrInfoList *coroutine_fn qmp_query_scsi_pr(Error **errp)
{
    g_autoptr(GPtrArray) devices =
        g_ptr_array_new_with_free_func(object_unref);
    ScsiPrInfoList *list = NULL;
    SCSIPRState *s;

    /* Devices may come and go while a question is under way. */
    QLIST_FOREACH(s, &scsi_pr_devices, next) {
        g_ptr_array_add(devices, object_ref(OBJECT(s->dev)));
    }
    for (guint i = 0; i < devices->len; i++) {
        ScsiPrInfo *info;

        s = scsi_pr_state(SCSI_DEVICE(g_ptr_array_index(devices, i)));
        if (!s) {
            continue;
        }
        info = scsi_pr_query(s, errp);
        if (!info) {
            qapi_free_ScsiPrInfoList(list);
            return NULL;
        }
        QAPI_LIST_PREPEND(list, info);
    }
    return list;
}

static ScsiPrDocument *scsi_pr_document_from_json(const char *json,
                                                  Error **errp)
{
    QObject *obj = qobject_from_json(json, errp);
    ScsiPrDocument *document = NULL;
    Visitor *v;

    if (!obj) {
        return NULL;
    }
    v = qobject_input_visitor_new(obj);
    visit_type_ScsiPrDocument(v, NULL, &document, errp);
    visit_free(v);
    qobject_unref(obj);
    return document;
}

static char *scsi_pr_document_to_json(ScsiPrDocument *document)
{
    QObject *obj;
    Visitor *v = qobject_output_visitor_new(&obj);
    GString *json;

    visit_type_ScsiPrDocument(v, NULL, &document, &error_abort);
    visit_complete(v, &obj);
    visit_free(v);
    json = qobject_to_json(obj);
    qobject_unref(obj);
    return g_string_free(json, false);
}

ScsiPrDocument *coroutine_fn qmp_scsi_pr_save(const char *device, Error **errp)
{
    SCSIPRState *s = scsi_pr_by_name(device, errp);
    g_autofree char *json = NULL;
    SCSIPRCall call;

    if (!s) {
        return NULL;
    }
    scsi_pr_call_begin(&call, s->dev);
    scsi_pr_save(s->handle, scsi_pr_call_done, &call);
    json = scsi_pr_call_end(&call, errp);
    return json ? scsi_pr_document_from_json(json, errp) : NULL;
}

void coroutine_fn qmp_scsi_pr_load(const char *device,
                                   ScsiPrDocument *document,
                                   bool has_force, bool force, Error **errp)
{
    SCSIPRState *s = scsi_pr_by_name(device, errp);
    g_autofree char *json = NULL;
    SCSIPRCall call;

    if (!s) {
        return;
    }
    json = scsi_pr_document_to_json(document);
    scsi_pr_call_begin(&call, s->dev);
    scsi_pr_load(s->handle, json, has_force && force, scsi_pr_call_done, &call);
    scsi_pr_call_end_logged(&call, "a saved reservation state was loaded",
                            errp);
}

/* "0x" and up to 16 hexadecimal digits */
static bool scsi_pr_parse_key(const char *text, uint64_t *key, Error **errp)
{
    if (strstart(text, "0x", &text) && *text && strlen(text) <= 16 &&
        text[strspn(text, "0123456789abcdefABCDEF")] == '\0' &&
        qemu_strtou64(text, NULL, 16, key) == 0) {
        return true;
    }
    error_setg(errp, "Parameter 'key' expects \"0x\" and 1 to 16 hexadecimal"
               " digits");
    return false;
}

void coroutine_fn qmp_scsi_pr_preempt(const char *device, const char *key,
                                      Error **errp)
{
    SCSIPRState *s = scsi_pr_by_name(device, errp);
    g_autofree char *what = NULL;
    uint64_t value;
    SCSIPRCall call;

    if (!s || !scsi_pr_parse_key(key, &value, errp)) {
        return;
    }
    what = g_strdup_printf("PREEMPT AND ABORT of key 0x%016" PRIx64, value);
    scsi_pr_call_begin(&call, s->dev);
    scsi_pr_preempt(s->handle, value, scsi_pr_call_done, &call);
    scsi_pr_call_end_logged(&call, what, errp);
}

void coroutine_fn qmp_scsi_pr_clear(const char *device, Error **errp)
{
    SCSIPRState *s = scsi_pr_by_name(device, errp);
    SCSIPRCall call;

    if (!s) {
        return;
    }
    scsi_pr_call_begin(&call, s->dev);
    scsi_pr_clear(s->handle, scsi_pr_call_done, &call);
    scsi_pr_call_end_logged(&call, "CLEAR of all registrations", errp);
}
