/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: properties
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-vm.h"

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

/* Of a disk that is to be plugged */
static QDict *disk_with(const char *store)
{
    QDict *arguments = qdict_new();

    qdict_put_str(arguments, "driver", "scsi-hd");
    qdict_put_str(arguments, "id", "d");
    qdict_put_str(arguments, "drive", "apart");
    qdict_put_str(arguments, "serial", "d");
    qdict_put_bool(arguments, "share-rw", true);
    if (store) {
        qdict_put_str(arguments, "pr-store", store);
    }
    return arguments;
}

static QDict *plug(QTestState *qts, QDict *arguments)
{
    return qtest_qmp(qts, "{'execute': 'device_add', 'arguments': %p}",
                     arguments);
}

/*
 * To a disk that is plugged later a -global that is refused is a warning. It
 * would come up without what it should have had.
 */
static void test_bad_global(void *obj, void *data, QGuestAllocator *alloc)
{
    static const struct {
        const char *global, *why;
    } cases[] = {
        { "pr-target-port=0", "pr-target-port must be from 1 to 65535" },
        { "pr-target-port=65536", "pr-target-port must be from 1 to 65535" },
        { "pr-target-port=one", "pr-target-port" },
        { "pr-abort-timeout=-1", "pr-abort-timeout" },
        { "pr-abort-timeout=600001",
          "pr-abort-timeout must be from 1 to 600000" },
        { "pr-tas=maybe", "pr-tas" },
        { "pr-store=floppy:/a", "floppy:/a" },
        { "pr-store=cluster:a/b", "names no logical unit" },
        { "pr-store=cluster:x -global scsi-hd.pr-runtime-dir=/dev/shm",
          "scsi-prd does not answer at /dev/shm/scsi-pr-agent.sock" },
        { "pr-dir=cluster: -global scsi-hd.pr-runtime-dir=/dev/shm",
          "scsi-prd does not answer at /dev/shm/scsi-pr-agent.sock" },
        { "pr-dir=relative", "relative" },
        { "pr-dir=/no/such/directory", "/no/such/directory" },
        { "pr-initiator=bogus", "bogus" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *store = g_str_has_prefix(cases[i].global, "pr-store") ||
            g_str_has_prefix(cases[i].global, "pr-dir")
            ? NULL : "memory:";
        g_autofree char *args = g_strdup_printf(
            " -blockdev null-co,node-name=apart -uuid"
            " 6c1a5b8c-3b0b-4c55-8a4c-0d1e2f304151 -global scsi-hd.%s",
            cases[i].global);
        QTestState *qts = vm_process(args);
        QDict *answer = plug(qts, disk_with(store));
        QDict *error = qdict_get_qdict(answer, "error");

        g_test_message("%s", cases[i].global);
        g_assert_nonnull(error);
        g_assert_nonnull(strstr(qdict_get_str(error, "desc"), cases[i].why));
        qobject_unref(answer);
        qtest_quit(qts);
    }
}

/* What the device itself says counts more. */
static void test_bad_global_overruled(void *obj, void *data,
                                      QGuestAllocator *alloc)
{
    QTestState *qts = vm_process(
        " -blockdev null-co,node-name=apart -global scsi-hd.pr-target-port=0"
        " -global scsi-hd.pr-tas=maybe");
    QDict *disk = disk_with("memory:"), *answer;

    qdict_put_int(disk, "pr-target-port", 2);
    qdict_put_str(disk, "pr-initiator", "iqn.2026-01.org.example:d");
    answer = plug(qts, qobject_ref(disk));
    g_assert_nonnull(strstr(qdict_get_str(qdict_get_qdict(answer, "error"),
                                          "desc"), "pr-tas"));
    qobject_unref(answer);
    qdict_put_bool(disk, "pr-tas", true);
    answer = plug(qts, disk);
    g_assert_true(qdict_haskey(answer, "return"));
    qobject_unref(answer);
    qtest_quit(qts);
}

/* A device that other QEMUs do not have; it does nothing, and stays. */
static void test_required(void *obj, void *data, QGuestAllocator *alloc)
{
    QTestState *qts = vm_process(" -device scsi-pr-required,id=pr");
    QDict *answer = qtest_qmp(qts, "{'execute': 'device_del',"
                              " 'arguments': {'id': 'pr'}}");

    g_assert_true(qdict_haskey(answer, "error"));
    qobject_unref(answer);
    answer = qtest_qmp(qts, "{'execute': 'device_add', 'arguments':"
                       " {'driver': 'scsi-pr-required', 'id': 'again'}}");
    g_assert_true(qdict_haskey(answer, "error"));
    qobject_unref(answer);
    qtest_quit(qts);
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
    add_test("scsi-pr-properties-bad-global", test_bad_global, &plain);
    add_test("scsi-pr-properties-bad-global-overruled",
             test_bad_global_overruled, &plain);
    add_test("scsi-pr-properties-required", test_required, &plain);
}

libqos_init(register_scsi_pr_properties_test);
