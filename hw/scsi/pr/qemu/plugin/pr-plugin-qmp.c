/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for a stock QEMU: QMP. Code and schema are generated
 * from qapi/scsi-pr.json alone; the commands and the schema are added to
 * QEMU's.
 */
#include "qemu/osdep.h"
#include "../pr-compat.h"
#include "qapi/qapi-emit-events.h"
#include "qapi/util.h"
#include "monitor/monitor-internal.h"
#include "qapi/qapi-init-commands.h"
#include "qapi/qapi-introspect.h"
#include "pr-plugin.h"

static QmpCommandFunc *scsi_pr_query_their_schema;

static void scsi_pr_add_names(QList *schema, GHashTable *names)
{
    QListEntry *each;

    QLIST_FOREACH_ENTRY(schema, each) {
        QDict *entity = qobject_to(QDict, qlist_entry_obj(each));

        g_hash_table_add(names, (char *)qdict_get_str(entity, "name"));
    }
}

/*
 * Both have the types that are built in. Names of other types mean nothing:
 * QEMU's are numbers, ours the real ones.
 */
static void scsi_pr_query_schema(QDict *args, QObject **ret, Error **errp)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    QObject *ours = qobject_from_qlit(&qmp_schema_qlit);
    QList *theirs;
    QListEntry *each;

    scsi_pr_query_their_schema(args, ret, errp);
    theirs = qobject_to(QList, *ret);
    if (theirs) {
        scsi_pr_add_names(theirs, names);
        QLIST_FOREACH_ENTRY(qobject_to(QList, ours), each) {
            QObject *entity = qlist_entry_obj(each);
            const char *name = qdict_get_str(qobject_to(QDict, entity), "name");

            if (!g_hash_table_contains(names, name)) {
                qlist_append_obj(theirs, qobject_ref(entity));
            }
        }
    }
    qobject_unref(ours);
}

static void scsi_pr_extend_schema(void)
{
    QmpCommand *query =
        (QmpCommand *)qmp_find_command(&qmp_commands, "query-qmp-schema");

    if (query) {
        scsi_pr_query_their_schema = query->fn;
        query->fn = scsi_pr_query_schema;
    }
}

static void scsi_pr_add_commands(void)
{
    QmpCommandList ours;
    QmpCommand *each, *next;

    qmp_init_marshal(&ours);
    QTAILQ_FOREACH_SAFE(each, &ours, node, next) {
        QTAILQ_REMOVE(&ours, each, node);
        QTAILQ_INSERT_TAIL(&qmp_commands, each, node);
    }
}

/*
 * QEMU looks up by the number whether an event is limited in its rate, so it
 * must be one of QEMU's; its own table of names tells that of this build. This
 * one is not limited. Monitors are sent the name that is in @qdict.
 */
void scsi_pr_plugin_event_emit(unsigned event, QDict *qdict)
{
    static int number = -1;

    if (number < 0) {
        number = qapi_enum_parse(&QAPIEvent_lookup, "DEVICE_DELETED", 0, NULL);
    }
    qapi_event_emit(number, qdict);
}

void scsi_pr_plugin_qmp_init(void)
{
    scsi_pr_add_commands();
    scsi_pr_extend_schema();
}
