/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest bench for SCSI persistent reservations: the administrator's commands
 */
#ifndef TESTS_QTEST_SCSI_PR_ADMIN_H
#define TESTS_QTEST_SCSI_PR_ADMIN_H

#include "scsi-pr-setup.h"

/* Runs an administrator's command on a device; its answer, unref it. */
static inline QDict *administer_with(const char *name, const char *device,
                              QDict *arguments)
{
    qdict_put_str(arguments, "device", device);
    return qtest_qmp(global_qtest, "{'execute': %s, 'arguments': %p}", name,
                     arguments);
}

static inline QDict *administer(const char *name, const char *device)
{
    return administer_with(name, device, qdict_new());
}

/*
 * The data of SCSI_PR_COMPLETED of this operation, unref it. As every waiting
 * for an event it drops those that have come before.
 */
static inline QDict *await_completed(const char *operation)
{
    for (;;) {
        QDict *event = qtest_qmp_eventwait_ref(global_qtest,
                                               "SCSI_PR_COMPLETED");
        QDict *data = qobject_ref(qdict_get_qdict(event, "data"));

        qobject_unref(event);
        if (g_str_equal(qdict_get_str(data, "operation"), operation)) {
            return data;
        }
        qobject_unref(data);
    }
}

static inline const char *description(QDict *error)
{
    return error ? qdict_get_str(error, "desc") : "";
}

/* What a command has started; free it */
static inline char *assert_started(QDict *answer)
{
    char *operation;

    g_assert_cmpstr(description(qdict_get_qdict(answer, "error")), ==, "");
    operation = g_strdup(qdict_get_str(qdict_get_qdict(answer, "return"),
                                       "operation"));
    qobject_unref(answer);
    return operation;
}

/* What a command has started has been done */
static inline void assert_done(QDict *answer)
{
    g_autofree char *operation = assert_started(answer);
    QDict *completed = await_completed(operation);

    g_assert_cmpstr(qdict_get_try_str(completed, "error"), ==, NULL);
    qobject_unref(completed);
}

/* It was not, with a message that has @text in it */
static inline void assert_failed(QDict *answer, const char *text)
{
    g_autofree char *operation = assert_started(answer);
    QDict *completed = await_completed(operation);

    g_assert_nonnull(strstr(qdict_get_str(completed, "error"), text));
    qobject_unref(completed);
}

/* Refused at once, with a message that has @text in it */
static inline void assert_refused(QDict *answer, const char *class, const char *text)
{
    QDict *error = qdict_get_qdict(answer, "error");

    g_assert_nonnull(error);
    g_assert_cmpstr(qdict_get_str(error, "class"), ==, class);
    g_assert_nonnull(strstr(description(error), text));
    qobject_unref(answer);
}

static inline size_t registrations(const char *device)
{
    QDict *info = query_device(device);
    QDict *state = qdict_get_qdict(info, "state");
    size_t count = qlist_size(qdict_get_qlist(state, "registrations"));

    qobject_unref(info);
    return count;
}

/* A and B are registered, A has reserved for registrants */
static inline void reserve_for_both(Bench *b)
{
    reserve_for_a(b);
    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
}

#endif /* TESTS_QTEST_SCSI_PR_ADMIN_H */
