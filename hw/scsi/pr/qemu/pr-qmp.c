/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: QMP.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-scsi-pr.h"
#include "qapi/qapi-visit-scsi-pr.h"
#include "qapi/qobject-input-visitor.h"
#include "qemu/coroutine.h"
#include "qemu/main-loop.h"
#include "pr-compat.h"
#include "pr-internal.h"

/* One question to a device, while its coroutine sleeps. */
typedef struct SCSIPRQuery {
    Coroutine *co;
    AioContext *ctx;
    char *json;
} SCSIPRQuery;

static void scsi_pr_query_bh(void *opaque)
{
    SCSIPRQuery *query = opaque;

    aio_co_wake(query->co);
}

/* On the library's thread. */
static void scsi_pr_query_done(void *opaque, const char *json)
{
    SCSIPRQuery *query = opaque;

    query->json = g_strdup(json);
    aio_bh_schedule_oneshot(query->ctx, scsi_pr_query_bh, query);
}

static ScsiPrInfo *scsi_pr_info_from_json(SCSIDevice *dev, const char *json,
                                          Error **errp)
{
    g_autofree char *path = object_get_canonical_path(OBJECT(dev));
    QObject *obj = qobject_from_json(json, errp);
    ScsiPrInfo *info = NULL;
    Visitor *v;

    if (!obj) {
        return NULL;
    }
    qdict_put_str(qobject_to(QDict, obj), "path", path);
    if (DEVICE(dev)->id) {
        qdict_put_str(qobject_to(QDict, obj), "device", DEVICE(dev)->id);
    }
    v = qobject_input_visitor_new(obj);
    visit_type_ScsiPrInfo(v, NULL, &info, errp);
    visit_free(v);
    qobject_unref(obj);
    return info;
}

/* A store may have to wait for a disk: the main loop goes on meanwhile. */
static ScsiPrInfo *coroutine_fn scsi_pr_query(SCSIPRState *s, Error **errp)
{
    SCSIPRQuery query = {
        .co = qemu_coroutine_self(),
        .ctx = qemu_get_current_aio_context(),
    };
    ScsiPrInfo *info;

    scsi_pr_inspect(s->handle, scsi_pr_query_done, &query);
    qemu_coroutine_yield();
    info = scsi_pr_info_from_json(s->dev, query.json, errp);
    g_free(query.json);
    return info;
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
