/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: QMP.
 *
 * QEMU carries out one QMP command at a time, those of all monitors: none here
 * waits. What may take long goes on in pr-operation.c.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-scsi-pr.h"
#include "qapi/qapi-visit-scsi-pr.h"
#include "qapi/qobject-input-visitor.h"
#include "qapi/qobject-output-visitor.h"
#include "qemu/cutils.h"
#include "pr-compat.h"
#include "pr-internal.h"

static bool scsi_pr_is_named(SCSIPRDisk *s, const char *name)
{
    g_autofree char *path = object_get_canonical_path(OBJECT(s->dev));

    return g_strcmp0(DEVICE(s->dev)->id, name) == 0 ||
           g_strcmp0(path, name) == 0;
}

/* The device with this ID or QOM path, or NULL with *@errp. */
static SCSIPRDisk *scsi_pr_by_name(const char *name, Error **errp)
{
    SCSIPRDisk *s;

    QLIST_FOREACH(s, &scsi_pr_devices, next) {
        if (scsi_pr_is_named(s, name)) {
            return s;
        }
    }
    error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND,
              "There is no device '%s' with pr-store", name);
    return NULL;
}

static ScsiPrInfo *scsi_pr_info_from_json(SCSIPRDisk *s, const char *json,
                                          Error **errp)
{
    g_autofree char *path = object_get_canonical_path(OBJECT(s->dev));
    QObject *obj = qobject_from_json(json, errp);
    QDict *dict = qobject_to(QDict, obj);
    QDict *statistics = dict ? qdict_get_qdict(dict, "statistics") : NULL;
    ScsiPrInfo *info = NULL;
    Visitor *v;

    if (!obj) {
        return NULL;
    }
    if (statistics) {
        qdict_put_str(dict, "path", path);
        if (DEVICE(s->dev)->id) {
            qdict_put_str(dict, "device", DEVICE(s->dev)->id);
        }
        qdict_put(dict, "operations", qlist_new());
        qdict_put_int(statistics, "aborted-tasks",
                      qatomic_read(&s->aborted_tasks));
    }
    v = qobject_input_visitor_new(obj);
    visit_type_ScsiPrInfo(v, NULL, &info, errp);
    visit_free(v);
    qobject_unref(obj);
    return info;
}

static ScsiPrInfo *scsi_pr_query(SCSIPRDisk *s, Error **errp)
{
    char *json = scsi_pr_inspect(s->handle);
    ScsiPrInfo *info = NULL;

    if (json) {
        info = scsi_pr_info_from_json(s, json, errp);
    } else {
        error_setg(errp, "out of memory");
    }
    scsi_pr_text_free(json);
    if (info) {
        info->operations = scsi_pr_operations(s);
    } else {
        error_prepend(errp, "%s cannot be shown: ", scsi_pr_name(s));
    }
    return info;
}

ScsiPrInfoList *qmp_query_scsi_pr(Error **errp)
{
    ERRP_GUARD();
    ScsiPrInfoList *list = NULL;
    SCSIPRDisk *s;

    QLIST_FOREACH(s, &scsi_pr_devices, next) {
        ScsiPrInfo *info = scsi_pr_query(s, errp);

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

static char *scsi_pr_document_to_json(ScsiPrDocument *document, Error **errp)
{
    QObject *obj = NULL;
    Visitor *v = qobject_output_visitor_new(&obj);
    GString *json = NULL;

    if (visit_type_ScsiPrDocument(v, NULL, &document, errp)) {
        visit_complete(v, &obj);
        json = qobject_to_json(obj);
    }
    visit_free(v);
    qobject_unref(obj);
    return json ? g_string_free(json, false) : NULL;
}

ScsiPrDocument *qmp_scsi_pr_save(const char *device, Error **errp)
{
    SCSIPRDisk *s = scsi_pr_by_name(device, errp);
    ScsiPrDocument *document;
    ScsiPrError error = {};
    char *json;

    if (!s) {
        return NULL;
    }
    json = scsi_pr_save(s->handle, &error);
    if (!json) {
        scsi_pr_error_to_qemu(&error, errp);
        return NULL;
    }
    document = scsi_pr_document_from_json(json, errp);
    scsi_pr_text_free(json);
    return document;
}

/* The answer to a command that has started @operation; NULL if none. */
static ScsiPrStarted *scsi_pr_started(const SCSIPROperation *operation)
{
    ScsiPrStarted *started = NULL;

    if (operation) {
        started = g_new0(ScsiPrStarted, 1);
        started->operation = g_strdup(scsi_pr_operation_name(operation));
    }
    return started;
}

ScsiPrStarted *qmp_scsi_pr_load(const char *device, ScsiPrDocument *document,
                                bool has_force, bool force, Error **errp)
{
    SCSIPRDisk *s = scsi_pr_by_name(device, errp);
    g_autofree char *json = s ? scsi_pr_document_to_json(document, errp) : NULL;
    SCSIPROperation *operation;
    ScsiPrError error = {};

    if (!json) {
        return NULL;
    }
    operation = scsi_pr_operation_new(
        s, SCSI_PR_COMMAND_LOAD, g_strdup("a saved reservation state was"
                                          " loaded"), errp);
    if (operation &&
        !scsi_pr_load(s->handle, json, has_force && force,
                      scsi_pr_operation_done, operation, &error)) {
        scsi_pr_error_to_qemu(&error, errp);
        scsi_pr_operation_free(operation);
        return NULL;
    }
    return scsi_pr_started(operation);
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

ScsiPrStarted *qmp_scsi_pr_preempt(const char *device, const char *key,
                                   Error **errp)
{
    SCSIPRDisk *s = scsi_pr_by_name(device, errp);
    SCSIPROperation *operation;
    uint64_t value;

    if (!s || !scsi_pr_parse_key(key, &value, errp)) {
        return NULL;
    }
    operation = scsi_pr_operation_new(
        s, SCSI_PR_COMMAND_PREEMPT,
        g_strdup_printf("PREEMPT AND ABORT of key 0x%016" PRIx64, value), errp);
    if (operation) {
        scsi_pr_preempt(s->handle, value, scsi_pr_operation_done, operation);
    }
    return scsi_pr_started(operation);
}

ScsiPrStarted *qmp_scsi_pr_clear(const char *device, Error **errp)
{
    SCSIPRDisk *s = scsi_pr_by_name(device, errp);
    SCSIPROperation *operation;

    if (!s) {
        return NULL;
    }
    operation = scsi_pr_operation_new(
        s, SCSI_PR_COMMAND_CLEAR, g_strdup("CLEAR of all registrations"), errp);
    if (operation) {
        scsi_pr_clear(s->handle, scsi_pr_operation_done, operation);
    }
    return scsi_pr_started(operation);
}
