/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: the I/O barrier of PREEMPT
 * AND ABORT (SPC-3 5.6.8.5) among the devices of one QEMU
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-setup.h"

/* A third nexus, which has nothing to do with the fencing of B */
enum { C = 3 };

enum { KEY_C = 0xc };

static uint32_t registered_keys(Bench *b, int target)
{
    Result r = pr_in(b, target, READ_KEYS, 64);

    assert_good(r);
    return ldl_be_p(&r.data[4]) / 8;
}

static void register_all(Bench *b)
{
    settle(b, C);
    assert_good(pr_out(b, A, REGISTER, 0, 0, KEY_A));
    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
    assert_good(pr_out(b, C, REGISTER, 0, 0, KEY_C));
    assert_good(pr_out(b, B, PR_RESERVE, WRITE_EXCLUSIVE_RO, KEY_B, 0));
}

static Sent send_fencing(Bench *b, int target, uint64_t key, uint64_t whom)
{
    return send_pr_out(b, target, PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_RO, key,
                       whom);
}

static const char *event_device(QDict *event)
{
    return qdict_get_str(qdict_get_qdict(event, "data"), "device");
}

/* The PREEMPT AND ABORT of a device waits for B's commands. */
static void await_late(const char *device)
{
    QDict *event = qtest_qmp_eventwait_ref(global_qtest, "SCSI_PR_DRAIN_LATE");
    QDict *data = qdict_get_qdict(event, "data");
    QList *list = qdict_get_qlist(data, "waits-for");
    QDict *whom = qobject_to(QDict, qlist_peek(list));

    g_assert_cmpstr(event_device(event), ==, device);
    g_assert_cmpstr(qdict_get_str(data, "path"), !=, "");
    g_assert_cmpuint(qlist_size(list), ==, 1);
    g_assert_cmpstr(qdict_get_str(whom, "initiator"), ==,
                    "iqn.2026-01.org.example:b");
    g_assert_cmpint(qdict_get_int(whom, "target-port"), ==, 1);
    g_assert_cmpint(qdict_get_int(whom, "process-id"), !=, getpid());
    g_assert_cmpint(kill(qdict_get_int(whom, "process-id"), 0), ==, 0);
    g_assert_nonnull(strstr(qdict_get_str(whom, "owner"), "device b"));
    qobject_unref(event);
}

/*
 * A command on its way to the medium ends before GOOD. Until then its nexus is
 * listed, sends nothing more, and delays nobody else.
 * Clause: 5.6.8.5: whose tasks; 5.6.8.5: ending them; 5.6.8.5: b
 */
static void test_waits(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    Sent write, fencing;
    QDict *event;

    register_all(b);
    write = hold_write(b, 1, 0xb1, "w");
    fencing = send_fencing(b, A, KEY_A, KEY_B);
    await_late("a");

    g_assert_false(has_ended(b, &fencing));
    g_assert_cmpuint(registered_keys(b, C), ==, 3);
    assert_conflict(write_block(b, B, 2, 0xb2));
    assert_good(write_block(b, A, 3, 0xa3));
    assert_good(write_block(b, C, 4, 0xc4));
    g_assert_false(has_ended(b, &fencing));

    release(b, "w");
    assert_good(await_command(b, &fencing));
    assert_good(await_command(b, &write));
    g_assert_cmpuint(registered_keys(b, C), ==, 2);
    g_assert_cmphex(read_block(b, A, 1).data[0], ==, 0xb1);
    g_assert_cmphex(read_block(b, A, 2).data[0], ==, 0);

    event = qtest_qmp_eventwait_ref(global_qtest, "SCSI_PR_PREEMPTED");
    g_assert_cmpstr(event_device(event), ==, "b");
    qobject_unref(event);
    assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x2a, 0x05);
    assert_conflict(write_block(b, B, 2, 0xb2));
    bench_free(b);
}

/* Commands that do not end in time: BUSY, nothing has changed, try again */
static void test_gives_up(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    Sent write, fencing;
    Result r;

    register_all(b);
    write = hold_write(b, 1, 0xb1, "w");
    fencing = send_fencing(b, A, KEY_A, KEY_B);
    r = await_command(b, &fencing);
    g_assert_cmphex(r.status, ==, BUSY);
    g_assert_false(has_ended(b, &write));

    g_assert_cmpuint(registered_keys(b, C), ==, 3);
    r = pr_in(b, C, READ_RESERVATION, 64);
    g_assert_cmphex(ldq_be_p(&r.data[8]), ==, KEY_B);
    assert_good(test_unit_ready(b, B));
    assert_good(write_block(b, B, 2, 0xb2));

    release(b, "w");
    assert_good(await_command(b, &write));
    fencing = send_fencing(b, A, KEY_A, KEY_B);
    assert_good(await_command(b, &fencing));
    assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x2a, 0x05);
    assert_conflict(write_block(b, B, 2, 0xb3));
    bench_free(b);
}

/*
 * 5.6.8.4.3, own key: waits for what it has sent before; later commands go on
 * Clause: 5.6.8.5: whose tasks
 */
static void test_self(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    Sent write, fencing;

    register_all(b);
    write = hold_write(b, 1, 0xb1, "w");
    fencing = send_fencing(b, B, KEY_B, KEY_B);
    await_late("b");
    assert_good(write_block(b, B, 2, 0xb2));
    g_assert_false(has_ended(b, &fencing));
    release(b, "w");
    assert_good(await_command(b, &fencing));
    assert_good(await_command(b, &write));
    assert_good(write_block(b, B, 1, 0xb3));
    g_assert_cmpuint(registered_keys(b, C), ==, 3);
    bench_free(b);
}

static int64_t event_time_us(QDict *event)
{
    QDict *time = qdict_get_qdict(event, "timestamp");

    return qdict_get_int(time, "seconds") * 1000000 +
        qdict_get_int(time, "microseconds");
}

/* However often a nexus is preempted, it tells at most once a second */
static void test_preempted_event(void *obj, void *data, QGuestAllocator *alloc)
{
    const int64_t times = 5;
    Bench *b = bench_new_pair(obj, alloc);
    int64_t told = 0, last = 0;

    assert_good(pr_out(b, A, REGISTER, 0, 0, KEY_A));
    for (int i = 0; i < times; i++) {
        assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
        assert_good(pr_out(b, A, i % 2 ? PREEMPT : PREEMPT_AND_ABORT,
                           WRITE_EXCLUSIVE_RO, KEY_A, KEY_B));
        assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x2a, 0x05);
    }
    while (told < times) {
        QDict *event = qtest_qmp_eventwait_ref(global_qtest,
                                               "SCSI_PR_PREEMPTED");
        int64_t now = event_time_us(event);

        g_assert_cmpstr(event_device(event), ==, "b");
        told += qdict_get_int(qdict_get_qdict(event, "data"), "count");
        /* the clock of the timer has milliseconds */
        g_assert(!last || now - last >= 990 * 1000);
        last = now;
        qobject_unref(event);
    }
    g_assert_cmpint(told, ==, times);
    bench_free(b);
}

static bool is_locked(const char *path)
{
    QDict *answer = qtest_qmp(global_qtest, "{'execute': 'query-block'}");
    const QListEntry *entry;
    bool locked = false, found = false;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(answer, "return"), entry) {
        QDict *info = qobject_to(QDict, qlist_entry_obj(entry));

        if (g_strcmp0(qdict_get_try_str(info, "qdev"), path) == 0) {
            found = true;
            locked = qdict_get_bool(info, "locked");
        }
    }
    g_assert(found);
    qobject_unref(answer);
    return locked;
}

static void await_unlocked(const char *path)
{
    int64_t start = g_get_monotonic_time();

    while (is_locked(path)) {
        g_assert(g_get_monotonic_time() - start <= TIMEOUT_US);
    }
}

static Result prevent_removal(Bench *b, int target, bool prevent)
{
    const uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = {
        ALLOW_MEDIUM_REMOVAL, 0, 0, 0, prevent
    };

    return command(b, target, cdb, NULL, 0, 0);
}

/*
 * PREVENT ALLOW MEDIUM REMOVAL ends with a PREEMPT AND ABORT of its nexus, its
 * own too; neither with PREEMPT nor with a fencing of somebody else
 * Clause: 5.6.8.5: f
 */
static void test_prevent(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    Sent fencing;

    assert_good(pr_out(b, A, REGISTER, 0, 0, KEY_A));
    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
    assert_good(prevent_removal(b, A, true));
    assert_good(prevent_removal(b, B, true));

    assert_good(pr_out(b, A, PREEMPT, WRITE_EXCLUSIVE_RO, KEY_A, KEY_B));
    qtest_qmp_eventwait(global_qtest, "SCSI_PR_PREEMPTED");
    g_assert_true(is_locked("b"));
    assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x2a, 0x05);

    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
    fencing = send_fencing(b, A, KEY_A, KEY_B);
    assert_good(await_command(b, &fencing));
    await_unlocked("b");
    g_assert_true(is_locked("a"));
    /* the unit attention condition has waited for an initiator */
    assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x2a, 0x05);

    assert_good(prevent_removal(b, B, true));
    g_assert_true(is_locked("b"));
    fencing = send_fencing(b, A, KEY_A, KEY_A);
    assert_good(await_command(b, &fencing));
    await_unlocked("a");
    g_assert_true(is_locked("b"));
    bench_free(b);
}

/* B's way to the medium leads through blkdebug, where writes can be held */
static void *setup_held(GString *cmd_line, void *arg)
{
    setup_medium(cmd_line, arg);
    add_held(cmd_line, "");
    add_nexus(cmd_line, A, "medium", "memory:quorum");
    add_nexus(cmd_line, B, "held", "memory:quorum");
    add_nexus(cmd_line, C, "medium", "memory:quorum");
    return arg;
}

static void *setup_held_impatient(GString *cmd_line, void *arg)
{
    g_string_append(cmd_line, " -global scsi-hd.pr-abort-timeout=300");
    return setup_held(cmd_line, arg);
}

static void *setup_removable(GString *cmd_line, void *arg)
{
    g_string_append(cmd_line, " -global scsi-hd.removable=on");
    return setup_pair(cmd_line, arg);
}

static void register_scsi_pr_fence_test(void)
{
    QOSGraphTestOptions pair = { .before = setup_pair };
    QOSGraphTestOptions held = { .before = setup_held };
    QOSGraphTestOptions impatient = { .before = setup_held_impatient };
    QOSGraphTestOptions removable = { .before = setup_removable };

    add_test_group("scsi-pr-fence-group");
    add_test("scsi-pr-fence-waits", test_waits, &held);
    add_test("scsi-pr-fence-gives-up", test_gives_up, &impatient);
    add_test("scsi-pr-fence-self", test_self, &held);
    add_test("scsi-pr-fence-event", test_preempted_event, &pair);
    add_test("scsi-pr-fence-prevent", test_prevent, &removable);
}

libqos_init(register_scsi_pr_fence_test);
