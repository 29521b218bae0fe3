/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: what an administrator sees
 * and does, by QMP and HMP
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-admin.h"

static QDict *save(const char *device)
{
    QDict *answer = administer("scsi-pr-save", device);
    QDict *document = qobject_ref(qdict_get_qdict(answer, "return"));

    g_assert_nonnull(document);
    qobject_unref(answer);
    return document;
}

static QDict *load(const char *device, QDict *document, bool force)
{
    QDict *arguments = qdict_new();

    qdict_put(arguments, "document", qobject_ref(document));
    qdict_put_bool(arguments, "force", force);
    return administer_with("scsi-pr-load", device, arguments);
}

static QDict *preempt(const char *device, const char *key)
{
    QDict *arguments = qdict_new();

    qdict_put_str(arguments, "key", key);
    return administer_with("scsi-pr-preempt", device, arguments);
}

static const QDict *entry_with(const QList *list, const char *member,
                               const char *value)
{
    const QListEntry *entry;

    QLIST_FOREACH_ENTRY(list, entry) {
        const QDict *dict = qobject_to(QDict, qlist_entry_obj(entry));

        if (g_str_equal(qdict_get_str(dict, member), value)) {
            return dict;
        }
    }
    g_assert_not_reached();
}

/* Attached nexuses with their process, and what the devices have counted */
static void test_counters(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    const QDict *attached, *out;
    QDict *info, *statistics;

    reserve_for_a(b);
    assert_conflict(write_block(b, B, 0, 0xb0));
    assert_conflict(pr_out(b, B, PR_RESERVE, WRITE_EXCLUSIVE_RO, KEY_B, 0));
    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
    assert_good(pr_out(b, A, PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_RO, KEY_A,
                       KEY_B));

    info = query_device("b");
    attached = entry_with(qdict_get_qlist(info, "attached"), "initiator",
                          "iqn.2026-01.org.example:a");
    g_assert_true(qdict_get_bool(attached, "live"));
    g_assert_false(qdict_get_bool(attached, "being-fenced"));
    g_assert_cmpint(qdict_get_int(attached, "commands"), ==, 0);
    statistics = qdict_get_qdict(info, "statistics");
    g_assert_cmpint(qdict_get_int(statistics, "conflicts"), ==, 2);
    g_assert_cmpint(qdict_get_int(statistics, "fencings"), ==, 0);
    g_assert_cmpint(qdict_get_int(statistics, "aborted-tasks"), ==, 0);
    out = entry_with(qdict_get_qlist(statistics, "persistent-reserve-out"),
                     "action", "reserve");
    g_assert_cmpint(qdict_get_int(out, "count"), ==, 1);
    g_assert_cmpint(qdict_get_int(out, "failed"), ==, 1);
    qobject_unref(info);

    info = query_device("a");
    statistics = qdict_get_qdict(info, "statistics");
    g_assert_cmpint(qdict_get_int(statistics, "conflicts"), ==, 0);
    g_assert_cmpint(qdict_get_int(statistics, "fencings"), ==, 1);
    g_assert_cmpint(qdict_get_int(statistics, "fencings-failed"), ==, 0);
    g_assert_cmpint(qdict_get_int(statistics, "last-drain-time"), <=,
                    qdict_get_int(statistics, "longest-drain-time"));
    out = entry_with(qdict_get_qlist(statistics, "persistent-reserve-out"),
                     "action", "preempt-and-abort");
    g_assert_cmpint(qdict_get_int(out, "failed"), ==, 0);
    qobject_unref(info);
    bench_free(b);
}

/* A saved state comes back whole; whoever would lose by it is asked for */
static void test_save_load(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    QDict *empty = save("a"), *saved;
    Result r;

    reserve_for_both(b);
    saved = save("b");
    g_assert_cmpstr(qdict_get_str(saved, "format"), ==, "scsi-pr");

    assert_failed(load("a", empty, false), "device a");
    g_assert_cmpuint(registrations("a"), ==, 2);
    assert_done(load("a", empty, true));
    g_assert_cmpuint(registrations("b"), ==, 0);
    assert_check(test_unit_ready(b, A), UNIT_ATTENTION, 0x2a, 0x05);
    assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x2a, 0x05);

    assert_done(load("/machine/peripheral/b", saved, false));
    r = pr_in(b, A, READ_KEYS, 64);
    g_assert_cmpuint(ldl_be_p(&r.data[0]), ==, 4);      /* PRGENERATION */
    g_assert_cmphex(ldq_be_p(&r.data[8]), ==, KEY_A);
    g_assert_cmphex(ldq_be_p(&r.data[16]), ==, KEY_B);
    r = pr_in(b, B, READ_RESERVATION, 64);
    g_assert_cmphex(ldq_be_p(&r.data[8]), ==, KEY_A);
    qobject_unref(empty);
    qobject_unref(saved);
    bench_free(b);
}

/* Nothing changes unless all of the document is right */
static void test_load_errors(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    QDict *saved = save("a"), *state;

    reserve_for_both(b);
    state = qdict_get_qdict(saved, "state");
    qdict_put_int(state, "pr-generation", 7);
    assert_refused(load("a", saved, true), "GenericError", "checksum");
    qdict_put_int(saved, "schema", 99);
    assert_refused(load("a", saved, true), "GenericError", "schema 99");
    qdict_put_str(saved, "format", "other");
    assert_refused(load("a", saved, true), "GenericError", "format");
    qdict_put_str(state, "else", "");
    assert_refused(load("a", saved, true), "GenericError", "else");
    g_assert_cmpuint(registrations("a"), ==, 2);
    qobject_unref(saved);
    bench_free(b);
}

/* Each command needs a device that has a store */
static void test_no_device(void *obj, void *data, QGuestAllocator *alloc)
{
    static const char *const names[] = { "c", "medium", "/machine", "" };
    QDict *document = save("a");

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *name = names[i];

        assert_refused(administer("scsi-pr-save", name), "DeviceNotFound",
                       name);
        assert_refused(load(name, document, true), "DeviceNotFound", name);
        assert_refused(preempt(name, "0xa"), "DeviceNotFound", name);
        assert_refused(administer("scsi-pr-clear", name), "DeviceNotFound",
                       name);
    }
    qobject_unref(document);
}

static void test_preempt_errors(void *obj, void *data, QGuestAllocator *alloc)
{
    static const char *const bad[] = {
        "", "0x", "a", "10", "0xg", "0x-1", "0x 1", "0x0x1", "+0x1",
        "0x10000000000000000"
    };
    const uint8_t reserve[VIRTIO_SCSI_CDB_SIZE] = { RESERVE };
    Bench *b = bench_new_pair(obj, alloc);

    assert_good(command(b, A, reserve, NULL, 0, 0));
    assert_failed(preempt("a", "0xa"), "RESERVE");
    assert_done(administer("scsi-pr-clear", "b"));
    assert_check(test_unit_ready(b, A), UNIT_ATTENTION, 0x29, 0x03);

    reserve_for_both(b);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_refused(preempt("a", bad[i]), "GenericError", "key");
    }
    assert_failed(preempt("a", "0xc"), "0x000000000000000c");
    assert_failed(preempt("a", "0x0"), "key 0");
    g_assert_cmpuint(registrations("a"), ==, 2);
    bench_free(b);
}

/* Commands of device b that are on their way to the medium */
static int64_t commands_of_b(void)
{
    QDict *info = query_device("a");
    const QDict *attached = entry_with(qdict_get_qlist(info, "attached"),
                                       "initiator",
                                       "iqn.2026-01.org.example:b");
    int64_t commands = qdict_get_int(attached, "commands");

    qobject_unref(info);
    return commands;
}

static int64_t statistic(const char *device, const char *name)
{
    QDict *info = query_device(device);
    int64_t value = qdict_get_int(qdict_get_qdict(info, "statistics"), name);

    qobject_unref(info);
    return value;
}

/* The operations of device a that are under way; unref it */
static QList *operations_of_a(void)
{
    QDict *info = query_device("a");
    QList *operations = qobject_ref(qdict_get_qlist(info, "operations"));

    qobject_unref(info);
    return operations;
}

static void assert_under_way(const char *operation, const char *command)
{
    QList *operations = operations_of_a();
    const QDict *shown = entry_with(operations, "operation", operation);

    g_assert_cmpstr(qdict_get_str(shown, "command"), ==, command);
    qobject_unref(operations);
}

static void assert_nothing_under_way(void)
{
    QList *operations = operations_of_a();

    g_assert_true(qlist_empty(operations));
    qobject_unref(operations);
}

static void await_late(void)
{
    QDict *event = qtest_qmp_eventwait_ref(global_qtest, "SCSI_PR_DRAIN_LATE");
    QDict *late = qdict_get_qdict(event, "data");

    g_assert_cmpstr(qdict_get_str(late, "device"), ==, "a");
    entry_with(qdict_get_qlist(late, "waits-for"), "initiator",
               "iqn.2026-01.org.example:b");
    qobject_unref(event);
}

/* All that looks is answered while the operation is under way. */
static void assert_answers(void)
{
    g_autofree char *shown = qtest_hmp(global_qtest, "info scsi-pr");

    g_assert_nonnull(strstr(shown, "  Under way: "));
    qobject_unref(save("a"));
    qobject_unref(save("b"));
    g_assert_cmpint(commands_of_b(), ==, 1);
}

/*
 * The administrator's PREEMPT AND ABORT waits for commands on their way as an
 * initiator's does, and nothing else waits for it, QMP neither. Commands that
 * do not end in time are an error, and nothing has changed.
 */
static void test_preempt_waits(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    g_autofree char *operation = NULL;
    QDict *completed;
    Sent write;

    reserve_for_both(b);
    write = hold_write(b, 2, 0xb2, "w");
    g_assert_cmpint(commands_of_b(), ==, 1);
    assert_nothing_under_way();
    operation = assert_started(preempt("a", "0xB"));
    assert_under_way(operation, "preempt");
    assert_answers();
    await_late();
    assert_conflict(write_block(b, B, 3, 0xb3));
    assert_good(write_block(b, A, 3, 0xa3));
    assert_under_way(operation, "preempt");
    completed = await_completed(operation);
    g_assert_cmpstr(qdict_get_str(completed, "device"), ==, "a");
    g_assert_cmpstr(qdict_get_str(completed, "path"), ==,
                    "/machine/peripheral/a");
    g_assert_nonnull(strstr(qdict_get_str(completed, "error"), "device b"));
    g_assert_nonnull(strstr(qdict_get_str(completed, "hint"), "Try again"));
    qobject_unref(completed);

    g_assert_false(has_ended(b, &write));
    g_assert_cmpuint(registrations("a"), ==, 2);
    assert_nothing_under_way();
    assert_good(write_block(b, B, 3, 0xb3));
    g_assert_cmpint(statistic("a", "fencings-failed"), ==, 1);
    g_assert_cmpint(statistic("a", "longest-drain-time"), >=, 3000);

    release(b, "w");
    assert_good(await_command(b, &write));
    g_assert_cmpint(commands_of_b(), ==, 0);
    assert_done(preempt("a", "0xb"));
    assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x2a, 0x05);
    assert_conflict(write_block(b, B, 2, 0xb4));
    g_assert_cmpuint(registrations("a"), ==, 1);
    g_assert_cmpint(statistic("a", "fencings"), ==, 2);
    bench_free(b);
}

enum { NEWCOMER = 3 };

/*
 * A disk that is plugged while a fencing waits, in the victim's own process,
 * begins with what both states allow. It does not wait for the fencing: at most
 * QEMU itself, to put a node into a drive, for the write that the fencing waits
 * for, and the main loop lets that end.
 */
static void test_plug_meanwhile(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    Sent write, fencing;

    reserve_for_both(b);
    write = send_write(b, B, 2, 0xb2);
    fencing = send_pr_out(b, A, PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_RO, KEY_A,
                          KEY_B);
    await_late();
    qtest_qmp_device_add(global_qtest, "scsi-hd", "c",
                         "{'drive': 'apart', 'share-rw': true,"
                         " 'scsi-id': 3, 'serial': 'quorum',"
                         " 'pr-store': 'memory:quorum',"
                         " 'pr-accept-medium': true,"
                         " 'pr-initiator': 'iqn.2026-01.org.example:c'}");
    settle(b, NEWCOMER);
    assert_conflict(write_block(b, NEWCOMER, 0, 0xc0));
    assert_good(await_command(b, &write));
    assert_good(await_command(b, &fencing));
    g_assert_cmpuint(registrations("a"), ==, 1);
    assert_conflict(write_block(b, NEWCOMER, 0, 0xc1));
    bench_free(b);
}

/* An initiator's PREEMPT AND ABORT that waits does not hold QMP up either. */
static void test_looking_does_not_wait(void *obj, void *data,
                                       QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    Sent write, fencing;

    reserve_for_both(b);
    write = hold_write(b, 2, 0xb2, "w");
    fencing = send_pr_out(b, A, PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_RO, KEY_A,
                          KEY_B);
    await_late();
    assert_nothing_under_way();
    g_assert_cmpuint(registrations("a"), ==, 2);
    release(b, "w");
    assert_good(await_command(b, &write));
    assert_good(await_command(b, &fencing));
    g_assert_cmpuint(registrations("a"), ==, 1);
    bench_free(b);
}

enum { OPERATIONS_MAX = 16 };

/* No more than so many wait for one device; each is told for itself, in order. */
static void test_many_operations(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    g_autoptr(GPtrArray) started = g_ptr_array_new_with_free_func(g_free);
    Sent write;

    reserve_for_both(b);
    write = hold_write(b, 2, 0xb2, "w");
    for (int i = 0; i < OPERATIONS_MAX; i++) {
        g_ptr_array_add(started, assert_started(preempt("a", "0xb")));
    }
    assert_refused(preempt("a", "0xb"), "GenericError", "16 operations");
    assert_refused(administer("scsi-pr-clear", "a"), "GenericError",
                   "16 operations");
    release(b, "w");
    assert_good(await_command(b, &write));
    for (guint i = 0; i < started->len; i++) {
        QDict *completed = await_completed(g_ptr_array_index(started, i));

        g_assert_cmpint(qdict_haskey(completed, "error"), ==, i > 0);
        qobject_unref(completed);
    }
    g_assert_cmpuint(registrations("b"), ==, 1);
    assert_nothing_under_way();
    bench_free(b);
}

/* It is told also when the device goes, which does not wait for it either. */
static void test_operation_of_unplugged(void *obj, void *data,
                                        QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    g_autofree char *operation = NULL;
    QDict *completed;
    Sent write;

    reserve_for_both(b);
    write = send_write(b, B, 2, 0xb2);
    operation = assert_started(preempt("a", "0xb"));
    qobject_unref(qtest_qmp(global_qtest, "{'execute': 'device_del',"
                            " 'arguments': {'id': 'a'}}"));
    completed = await_completed(operation);
    g_assert_cmpstr(qdict_get_str(completed, "device"), ==, "a");
    qobject_unref(completed);
    assert_good(await_command(b, &write));
    bench_free(b);
}

static void test_clear(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);

    reserve_for_a(b);
    assert_conflict(write_block(b, B, 0, 0xb0));
    assert_done(administer("scsi-pr-clear", "b"));
    assert_check(test_unit_ready(b, A), UNIT_ATTENTION, 0x2a, 0x03);
    assert_good(write_block(b, B, 0, 0xb1));
    g_assert_cmpuint(registrations("a"), ==, 0);
    assert_done(administer("scsi-pr-clear", "b"));
    bench_free(b);
}

static void assert_in_schema(const QList *schema, const char *name,
                             const char *type)
{
    const QDict *entry = entry_with(schema, "name", name);

    g_assert_cmpstr(qdict_get_str(entry, "meta-type"), ==, type);
}

/* Management software finds out what there is */
static void test_introspection(void *obj, void *data, QGuestAllocator *alloc)
{
    static const char *const commands[] = {
        "query-scsi-pr", "scsi-pr-save", "scsi-pr-load", "scsi-pr-preempt",
        "scsi-pr-clear"
    };
    static const char *const events[] = {
        "SCSI_PR_CHANGED", "SCSI_PR_PREEMPTED", "SCSI_PR_STORE_ERROR",
        "SCSI_PR_DRAIN_LATE", "SCSI_PR_PROVED", "SCSI_PR_COMPLETED"
    };
    QDict *answer = qtest_qmp(global_qtest, "{'execute': 'query-qmp-schema'}");
    const QList *schema = qdict_get_qlist(answer, "return");

    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        assert_in_schema(schema, commands[i], "command");
    }
    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        assert_in_schema(schema, events[i], "event");
    }
    qobject_unref(answer);
}

static void assert_shown(const char *text)
{
    g_autofree char *answer = qtest_hmp(global_qtest, "info scsi-pr");
    g_auto(GStrv) lines = g_strsplit(answer, "\r\n", -1);
    g_autofree char *shown = g_strjoinv("\n", lines);

    if (!strstr(shown, text)) {
        g_test_message("%s", shown);
        g_assert_cmpstr(shown, ==, text);
    }
}

static void test_hmp(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint8_t reserve[VIRTIO_SCSI_CDB_SIZE] = { RESERVE };
    Bench *b = bench_new_pair(obj, alloc);
    g_autofree char *help = qtest_hmp(global_qtest, "help info");

    g_assert_nonnull(strstr(help, "info scsi-pr  -- "));
    assert_good(command(b, A, reserve, NULL, 0, 0));
    assert_shown("  Reservation: made by RESERVE (SPC-2), held by"
                 " iqn.2026-01.org.example:a, target port 1\n"
                 "  Registrations: none\n");
    assert_done(administer("scsi-pr-clear", "a"));
    assert_check(test_unit_ready(b, A), UNIT_ATTENTION, 0x29, 0x03);
    assert_shown("  Reservation: none\n");

    reserve_for_both(b);
    assert_shown("a: memory:quorum\n"
                 "  I_T nexus: iqn.2026-01.org.example:a, target port 1\n"
                 "  PRgeneration: 2, APTPL: off\n"
                 "  Reservation: write-exclusive-registrants-only, held by"
                 " iqn.2026-01.org.example:a, target port 1\n"
                 "  Registrations:\n"
                 "    0x000000000000000a  iqn.2026-01.org.example:a,"
                 " target port 1\n"
                 "    0x000000000000000b  iqn.2026-01.org.example:b,"
                 " target port 1\n"
                 "  Attached:\n");
    assert_shown("device b): iqn.2026-01.org.example:b, target port 1, live,"
                 " commands: 0\n");
    assert_shown("  PERSISTENT RESERVE OUT register: 1, failed: 0\n");
    bench_free(b);
}

static void test_hmp_without_store(void *obj, void *data,
                                   QGuestAllocator *alloc)
{
    assert_shown("No SCSI device has pr-store set");
}

static void *setup_held(GString *cmd_line, void *arg)
{
    setup_medium(cmd_line, arg);
    add_held(cmd_line, "");
    g_string_append(cmd_line, " -global scsi-hd.pr-abort-timeout=3000");
    add_nexus(cmd_line, A, "medium", "memory:quorum");
    add_nexus(cmd_line, B, "held", "memory:quorum");
    return arg;
}

/* What looks is answered long before a fencing is given up. */
static void *setup_patient(GString *cmd_line, void *arg)
{
    setup_held(cmd_line, arg);
    g_string_append(cmd_line, " -global scsi-hd.pr-abort-timeout=60000");
    return arg;
}

/*
 * Each has its medium: unplugging drains that. B's writes take their time, and
 * end by themselves, for QEMU itself may wait for them when a device goes.
 */
static void *setup_slow(GString *cmd_line, void *arg)
{
    g_string_append(cmd_line, " -nodefaults -blockdev null-co,node-name=apart,"
                    "size=1048576,read-zeroes=on"
                    " -blockdev null-co,node-name=slow,size=1048576,"
                    "latency-ns=3000000000,read-zeroes=on"
                    " -global scsi-hd.pr-abort-timeout=60000");
    add_nexus(cmd_line, A, "apart", "memory:quorum");
    add_nexus(cmd_line, B, "slow", "memory:quorum");
    return arg;
}

static void register_scsi_pr_qmp_test(void)
{
    QOSGraphTestOptions pair = { .before = setup_pair };
    QOSGraphTestOptions plain = { .before = setup_plain };
    QOSGraphTestOptions held = { .before = setup_held };
    QOSGraphTestOptions patient = { .before = setup_patient };
    QOSGraphTestOptions slow = { .before = setup_slow };

    add_test_group("scsi-pr-qmp-group");
    add_test("scsi-pr-qmp-counters", test_counters, &pair);
    add_test("scsi-pr-qmp-save-load", test_save_load, &pair);
    add_test("scsi-pr-qmp-load-errors", test_load_errors, &pair);
    add_test("scsi-pr-qmp-no-device", test_no_device, &pair);
    add_test("scsi-pr-qmp-preempt-errors", test_preempt_errors, &pair);
    add_test("scsi-pr-qmp-preempt-waits", test_preempt_waits, &held);
    add_test("scsi-pr-qmp-looking-does-not-wait", test_looking_does_not_wait,
             &patient);
    add_test("scsi-pr-qmp-plug-meanwhile", test_plug_meanwhile, &slow);
    add_test("scsi-pr-qmp-many-operations", test_many_operations, &patient);
    add_test("scsi-pr-qmp-operation-of-unplugged", test_operation_of_unplugged,
             &slow);
    add_test("scsi-pr-qmp-clear", test_clear, &pair);
    add_test("scsi-pr-qmp-introspection", test_introspection, &pair);
    add_test("scsi-pr-qmp-hmp", test_hmp, &pair);
    add_test("scsi-pr-qmp-hmp-without-store", test_hmp_without_store, &plain);
}

libqos_init(register_scsi_pr_qmp_test);
