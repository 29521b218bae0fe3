/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: QMP events
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-admin.h"

static int64_t event_time_us(QDict *event)
{
    QDict *time = qdict_get_qdict(event, "timestamp");

    return qdict_get_int(time, "seconds") * 1000000 +
        qdict_get_int(time, "microseconds");
}

/*
 * Waits until events of this name have told @of_a occurrences for device a and
 * @of_b for b, neither more nor less, and no device more often than once a
 * second.
 */
static void await_events(const char *name, int64_t of_a, int64_t of_b)
{
    int64_t left[] = { of_a, of_b };
    int64_t last[] = { 0, 0 };

    while (left[0] || left[1]) {
        QDict *event = qtest_qmp_eventwait_ref(global_qtest, name);
        QDict *of = qdict_get_qdict(event, "data");
        int i = qdict_get_str(of, "device")[0] - 'a';
        int64_t now = event_time_us(event);

        g_assert(i == 0 || i == 1);
        g_assert_true(g_str_has_suffix(qdict_get_str(of, "path"),
                                       i ? "/b" : "/a"));
        left[i] -= qdict_get_int(of, "count");
        g_assert_cmpint(left[i], >=, 0);
        /* the clock of the timer has milliseconds */
        g_assert(!last[i] || now - last[i] >= 990 * 1000);
        last[i] = now;
        qobject_unref(event);
    }
}

/* Every change is told, to each device that shares the store */
static void test_changed(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);

    reserve_for_both(b);
    assert_conflict(pr_out(b, B, PR_RESERVE, WRITE_EXCLUSIVE, KEY_B, 0));
    await_events("SCSI_PR_CHANGED", 3, 3);
    assert_good(pr_out(b, A, PR_RELEASE, WRITE_EXCLUSIVE_RO, KEY_A, 0));
    assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x2a, 0x04);
    await_events("SCSI_PR_CHANGED", 1, 1);
    assert_done(administer("scsi-pr-clear", "a"));
    await_events("SCSI_PR_CHANGED", 1, 1);
    bench_free(b);
}

/* Of two disks, one that changes all the time does not hide the other */
static void test_changed_apart(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    const int times = 20;

    for (int i = 0; i < times; i++) {
        assert_good(pr_out(b, A, REGISTER_AND_IGNORE, 0, 0, KEY_A + i));
    }
    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
    await_events("SCSI_PR_CHANGED", times, 1);
    bench_free(b);
}

/* What happens within the second after an event is told, also at the end */
static void test_told_before_unplug(void *obj, void *data,
                                    QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);

    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
    await_events("SCSI_PR_CHANGED", 1, 1);
    assert_good(pr_out(b, B, REGISTER, 0, KEY_B, KEY_A));
    await_events("SCSI_PR_CHANGED", 1, 1);
    assert_good(pr_out(b, B, REGISTER, 0, KEY_A, KEY_B));
    qtest_qmp_send(global_qtest, "{'execute': 'device_del',"
                   " 'arguments': {'id': 'b'}}");
    await_events("SCSI_PR_CHANGED", 1, 1);
    bench_free(b);
}

/* The store's file, without "file:" */
static const char *store_path(void)
{
    return file_store + strlen("file:");
}

static void take_store_away(void)
{
    g_autofree char *aside = g_strdup_printf("%s-shm", store_path());

    /* a name that the test's end removes */
    g_assert_cmpint(rename(store_path(), aside), ==, 0);
}

static void bring_store_back(void)
{
    g_autofree char *aside = g_strdup_printf("%s-shm", store_path());

    g_assert_cmpint(rename(aside, store_path()), ==, 0);
}

static void turn_aptpl_on(Bench *b)
{
    uint8_t list[24] = { [15] = KEY_A, [20] = 1 };

    assert_good(pr_out_list(b, A, REGISTER_AND_IGNORE, 0, sizeof(list), list,
                            sizeof(list)));
}

/*
 * Told once, to all devices that share the store, until it works again; what
 * was in force stays in force, and no restart is needed. It is in memory, where
 * it can be read all the while.
 */
static void test_store_error(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);

    reserve_for_a(b);
    turn_aptpl_on(b);
    for (int i = 0; i < 2; i++) {
        take_store_away();
        for (int j = 0; j < 3; j++) {
            assert_check(pr_out(b, A, CLEAR, 0, KEY_A, 0), HARDWARE_ERROR,
                         0x44, 0x00);
            g_assert_cmpuint(registrations("b"), ==, 1);
            assert_good(write_block(b, A, 0, 0xa0));
            assert_conflict(write_block(b, B, 0, 0xb0));
        }
        await_events("SCSI_PR_STORE_ERROR", 1, 1);
        assert_failed(administer("scsi-pr-clear", "b"), store_path());
        bring_store_back();
        g_assert_cmpuint(registrations("b"), ==, 1);
        /* a failure that ends and comes again unseen is one and the same */
        turn_aptpl_on(b);
    }
    bench_free(b);
}

/*
 * A failure that no command of a guest has met; those that need not survive a
 * power loss do not meet it
 */
static void test_store_gone(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint8_t reserve[VIRTIO_SCSI_CDB_SIZE] = { RESERVE };
    Bench *b = bench_new_pair(obj, alloc);
    QDict *event;

    take_store_away();
    assert_good(command(b, A, reserve, NULL, 0, 0));
    reset_logical_unit(b, A);
    event = qtest_qmp_eventwait_ref(global_qtest, "SCSI_PR_STORE_ERROR");
    g_assert_nonnull(strstr(qdict_get_str(qdict_get_qdict(event, "data"),
                                          "message"), store_path()));
    qobject_unref(event);
    bring_store_back();
    bench_free(b);
}

static void *setup_apart(GString *cmd_line, void *arg)
{
    setup_medium(cmd_line, arg);
    add_nexus(cmd_line, A, "medium", "memory:one,pr-accept-medium=on");
    add_nexus(cmd_line, B, "medium", "memory:other,pr-accept-medium=on");
    return arg;
}

static void *setup_file_pair(GString *cmd_line, void *arg)
{
    make_file_store();
    setup_medium(cmd_line, arg);
    add_pair(cmd_line, file_store);
    return arg;
}

static void register_scsi_pr_event_test(void)
{
    QOSGraphTestOptions pair = { .before = setup_pair };
    QOSGraphTestOptions apart = { .before = setup_apart };
    QOSGraphTestOptions file_pair = { .before = setup_file_pair };

    add_test_group("scsi-pr-event-group");
    add_test("scsi-pr-event-changed", test_changed, &pair);
    add_test("scsi-pr-event-changed-apart", test_changed_apart, &apart);
    add_test("scsi-pr-event-told-before-unplug", test_told_before_unplug, &pair);
    add_test("scsi-pr-event-store-error", test_store_error, &file_pair);
    add_test("scsi-pr-event-store-gone", test_store_gone,
             &file_pair);
}

libqos_init(register_scsi_pr_event_test);
