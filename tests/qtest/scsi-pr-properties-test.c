/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: properties
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-setup.h"

static void assert_refused(const char *name, int64_t value, const char *why)
{
    QDict *answer = qtest_qmp(global_qtest,
                              "{'execute': 'device_add', 'arguments': {"
                              "'driver': 'scsi-hd', 'id': 'd',"
                              " 'drive': 'medium', 'share-rw': true,"
                              " 'serial': 'd', 'pr-store': 'memory:', 'pr-accept-medium': true,"
                              " %s: %" PRId64 "}}", name, value);

    g_assert_cmpstr(qdict_get_str(qdict_get_qdict(answer, "error"), "desc"),
                    ==, why);
    qobject_unref(answer);
}

static QDict *get_property(const char *path, const char *name)
{
    return qtest_qmp(global_qtest, "{'execute': 'qom-get', 'arguments':"
                     " {'path': %s, 'property': %s}}", path, name);
}

static void assert_properties(const char *path, int64_t timeout, bool tas)
{
    QDict *answer = get_property(path, "pr-abort-timeout");

    g_assert_cmpint(qdict_get_int(answer, "return"), ==, timeout);
    qobject_unref(answer);
    answer = get_property(path, "pr-tas");
    g_assert_cmpint(qdict_get_bool(answer, "return"), ==, tas);
    qobject_unref(answer);
}

/* By -global and device_add; what is out of range is refused with the reason */
static void test_properties(void *obj, void *data, QGuestAllocator *alloc)
{
    QDict *answer;

    assert_properties("/machine/peripheral/b", 300, true);
    assert_refused("pr-abort-timeout", 0,
                   "pr-abort-timeout must be from 1 to 600000");
    assert_refused("pr-abort-timeout", 600001,
                   "pr-abort-timeout must be from 1 to 600000");
    assert_refused("pr-target-port", 0,
                   "pr-target-port must be from 1 to 65535");
    assert_refused("pr-target-port", 65536,
                   "pr-target-port must be from 1 to 65535");
    qtest_qmp_device_add(global_qtest, "scsi-hd", "d",
                         "{'drive': 'medium', 'share-rw': true,"
                         " 'serial': 'd', 'pr-store': 'memory:', 'pr-accept-medium': true,"
                         " 'pr-initiator': 'iqn.2026-01.org.example:d',"
                         " 'pr-abort-timeout': 600000, 'pr-tas': false}");
    assert_properties("/machine/peripheral/d", 600000, false);
    answer = qtest_qmp(global_qtest, "{'execute': 'qom-set', 'arguments':"
                       " {'path': '/machine/peripheral/d',"
                       " 'property': 'pr-tas', 'value': true}}");
    g_assert_cmpstr(qdict_get_str(qdict_get_qdict(answer, "error"), "desc"),
                    ==, "pr-tas cannot be changed while the device is plugged");
    qobject_unref(answer);
}

static void plug_b(void)
{
    qtest_qmp_device_add(global_qtest, "scsi-hd", "b",
                         "{'drive': 'medium', 'share-rw': true,"
                         " 'scsi-id': 2, 'serial': 'plain',"
                         " 'pr-store': 'memory:', 'pr-accept-medium': true,"
                         " 'pr-initiator': 'iqn.2026-01.org.example:b'}");
}

/*
 * The class of a disk that is at work already gets other methods when another
 * disk of it is the first with a store; they come and go, and it stays as it is.
 */
static void test_first_store(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);

    settle(b, A);
    assert_check(pr_in(b, A, READ_KEYS, 8), ILLEGAL_REQUEST, 0x20, 0x00);
    for (int i = 0; i < 3; i++) {
        plug_b();
        settle(b, B);
        settle(b, A);
        assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
        assert_good(pr_out(b, B, PR_RESERVE, WRITE_EXCLUSIVE, KEY_B, 0));
        assert_check(pr_in(b, A, READ_KEYS, 8), ILLEGAL_REQUEST, 0x20, 0x00);
        assert_good(write_block(b, A, 0, 0xa0));
        qtest_qmp_device_del(global_qtest, "b");
    }
    settle(b, A);
    assert_good(write_block(b, A, 0, 0xa0));
    bench_free(b);
}

static void *setup_global(GString *cmd_line, void *arg)
{
    g_string_append(cmd_line, " -global scsi-hd.pr-abort-timeout=300"
                    " -global scsi-hd.pr-tas=on");
    return setup_pair(cmd_line, arg);
}

static void register_scsi_pr_properties_test(void)
{
    QOSGraphTestOptions global = { .before = setup_global };
    QOSGraphTestOptions plain = { .before = setup_plain };

    add_test_group("scsi-pr-properties-group");
    add_test("scsi-pr-properties", test_properties, &global);
    add_test("scsi-pr-first-store", test_first_store, &plain);
}

libqos_init(register_scsi_pr_properties_test);
