/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: the I/O barrier of PREEMPT
 * AND ABORT (SPC-3 5.6.8.5) between two VMs
 *
 * The test's own VM has nexus B, which gets fenced; another one has nexus A.
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-vm.h"

/* What the media of both VMs are; the test's own */
static char *medium;

/* The VM with nexus A: registered, as B is, which holds the reservation. */
static Vm *fencer_new(Bench *b)
{
    g_autoptr(GString) args = g_string_new(NULL);
    Vm *f;

    g_string_printf(args, " -blockdev driver=file,filename=%s,node-name=medium"
                    " -global scsi-hd.pr-abort-timeout=20000", medium);
    add_nexus(args, A, "medium", file_store);
    f = vm_new(args->str);

    settle(b, B);
    settle(f->bench, A);
    assert_good(pr_out(f->bench, A, REGISTER, 0, 0, KEY_A));
    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
    assert_good(pr_out(b, B, PR_RESERVE, WRITE_EXCLUSIVE_RO, KEY_B, 0));
    return f;
}

/*
 * Without anything of B on its way: at once. What has not left the gate makes
 * it end in BUSY, after longer than all else takes here.
 */
static void assert_fences(Vm *f)
{
    int64_t start = g_get_monotonic_time();

    assert_good(pr_out(f->bench, A, PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_RO,
                       KEY_A, KEY_B));
    g_assert(g_get_monotonic_time() - start < 10 * 1000 * 1000);
    g_assert_cmpuint(ldl_be_p(&pr_in(f->bench, A, READ_KEYS, 64).data[4]), ==,
                     8);
}

/* A write of B that an error of the host's disk has parked */
static Sent park_write(Bench *b)
{
    Sent write = send_write(b, B, 1, 0xb1);

    qtest_qmp_eventwait(global_qtest, "STOP");
    g_assert_false(has_ended(b, &write));
    return write;
}

/*
 * What werror=stop has parked is aborted, not waited for, and never reaches the
 * medium. The initiator hears of it when its VM goes on.
 */
static Result fence_parked(Bench *b, Vm *f)
{
    Sent write = park_write(b);
    Result r;

    assert_fences(f);
    assert_good(write_block(f->bench, A, 2, 0xa2));
    g_assert_false(has_ended(b, &write));
    vm_cont(b->qts);
    r = await_command(b, &write);
    g_assert_cmphex(read_block(f->bench, A, 1).data[0], ==, 0);
    assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x2a, 0x05);
    assert_conflict(write_block(b, B, 1, 0xb2));
    g_assert_cmphex(read_block(f->bench, A, 1).data[0], ==, 0);
    return r;
}

/*
 * As ABORT TASK SET: without status
 * Clause: 5.6.8.5: ending them
 */
static void test_parked(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    Vm *f = fencer_new(b);
    QDict *info;

    g_assert_cmphex(fence_parked(b, f).response, ==, VIRTIO_SCSI_S_ABORTED);
    info = query_device("b");
    g_assert_cmpint(qdict_get_int(qdict_get_qdict(info, "statistics"),
                                  "aborted-tasks"), ==, 1);
    qobject_unref(info);
    vm_free(f);
    bench_free(b);
}

/*
 * TAS (7.4.6): with TASK ABORTED status
 * Clause: 5.6.8.5: ending them
 */
static void test_parked_tas(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    Vm *f = fencer_new(b);
    Result r = fence_parked(b, f);

    g_assert_cmphex(r.response, ==, VIRTIO_SCSI_S_OK);
    g_assert_cmphex(r.status, ==, TASK_ABORTED);
    vm_free(f);
    bench_free(b);
}

/* Parked only while a fencing waits for it already */
static void test_parked_late(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    Vm *f = fencer_new(b);
    Sent write = hold_write(b, 1, 0xb1, "w");
    Sent fencing = send_pr_out(f->bench, A, PREEMPT_AND_ABORT,
                               WRITE_EXCLUSIVE_RO, KEY_A, KEY_B);

    qtest_qmp_eventwait(f->qts, "SCSI_PR_DRAIN_LATE");
    release(b, "w");
    qtest_qmp_eventwait(b->qts, "STOP");
    assert_good(await_command(f->bench, &fencing));
    g_assert_false(has_ended(b, &write));
    vm_cont(b->qts);
    g_assert_cmphex(await_command(b, &write).response, ==,
                    VIRTIO_SCSI_S_ABORTED);
    g_assert_cmphex(read_block(f->bench, A, 1).data[0], ==, 0);
    vm_free(f);
    bench_free(b);
}

/* Without a fencing the parked write goes on; then it has ended. */
static void test_parked_goes_on(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    Vm *f = fencer_new(b);
    Sent write = park_write(b);

    vm_cont(b->qts);
    assert_good(await_command(b, &write));
    g_assert_cmphex(read_block(f->bench, A, 1).data[0], ==, 0xb1);
    assert_fences(f);
    vm_free(f);
    bench_free(b);
}

/*
 * Whatever ends commands on their way: they leave the gate, each once. In all
 * of these B's medium takes its time.
 */
typedef void Interruption(Bench *b, const Sent *write);

static void interrupt_by_reset(Bench *b, const Sent *write)
{
    reset_logical_unit(b, B);
    await_command(b, write);
}

static void interrupt_by_abort_task(Bench *b, const Sent *write)
{
    uint8_t response = task_management(b, B, VIRTIO_SCSI_T_TMF_ABORT_TASK,
                                       write->tag);

    g_assert_cmphex(response, ==, VIRTIO_SCSI_S_OK);
    await_command(b, write);
}

static void interrupt_by_stop(Bench *b, const Sent *write)
{
    vm_stop(b->qts);
    vm_cont(b->qts);
    assert_good(await_command(b, write));
}

static void interrupt_by_system_reset(Bench *b, const Sent *write)
{
    system_reset(b->qts);
}

static void interrupt_by_unplug(Bench *b, const Sent *write)
{
    qtest_qmp_device_del(b->qts, "b");
}

static void test_interruption(void *obj, void *data, QGuestAllocator *alloc)
{
    Interruption *interrupt = data;
    Bench *b = bench_new(obj, alloc);
    Vm *f = fencer_new(b);
    Sent writes[4];

    for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
        writes[i] = send_write(b, B, i, 0xb0);
    }
    /* comes behind them: all are on their way */
    assert_good(test_unit_ready(b, B));
    g_assert_false(has_ended(b, &writes[3]));
    interrupt(b, &writes[3]);
    if (interrupt == interrupt_by_abort_task) {
        /* the others go on */
        for (size_t i = 0; i < 3; i++) {
            assert_good(await_command(b, &writes[i]));
        }
    }
    assert_fences(f);
    vm_free(f);
    bench_free(b);
}

/* Names that a user may give, whatever becomes of them when they are cut. */
static char *repeated(const char *first, const char *text, int times)
{
    GString *name = g_string_new(first);

    for (int i = 0; i < times; i++) {
        g_string_append(name, text);
    }
    return g_string_free(name, false);
}

/* What another VM that is called so, with nexus A, is in query-scsi-pr of ours */
static void assert_shown_as(const char *name, const char *how)
{
    g_autofree char *args = g_strdup_printf(
        " -blockdev driver=file,filename=%s,node-name=medium"
        " -name \"guest=%s\"", medium, name);
    g_autoptr(GString) all = g_string_new(args);
    QTestState *qts;
    QDict *info;
    const QListEntry *entry;
    bool found = false;

    add_nexus(all, A, "medium", file_store);
    qts = vm_process(all->str);
    info = query_device("b");
    QLIST_FOREACH_ENTRY(qdict_get_qlist(info, "attached"), entry) {
        QDict *attached = qobject_to(QDict, qlist_entry_obj(entry));
        const char *owner = qdict_get_str(attached, "owner");

        g_assert_true(g_utf8_validate(owner, -1, NULL));
        found |= g_str_has_prefix(owner, how);
    }
    g_assert_true(found);
    qobject_unref(info);
    qtest_quit(qts);
}

/*
 * No name of one VM ends another one's QEMU, nor does it keep anybody from
 * seeing who is attached.
 */
static void test_names(void *obj, void *data, QGuestAllocator *alloc)
{
    static const struct {
        const char *first, *text, *how;
    } names[] = {
        { "", "\u0436", "VM \u0436\u0436" },   /* Cyrillic, two bytes each */
        { "a", "\u0436", "VM a\u0436" },
        { "", "\u732b", "VM \u732b" },          /* three */
        { "a", "\u732b", "VM a\u732b" },
        { "ab", "\u732b", "VM ab\u732b" },
        { "abc", "\U0001f408", "VM abc\U0001f408" },
        { "a", "\xff", "VM a" },                 /* no UTF-8 */
        { "a", "\xef\xb7\x90", "VM a" },         /* a noncharacter, U+FDD0 */
        { "a", "\x1b", "VM a" },                 /* a control character */
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        g_autofree char *name = repeated(names[i].first, names[i].text, 100);

        assert_shown_as(name, names[i].how);
    }
}

/* Who fences a VM with such a name for longer than a second is told of it. */
static void test_late_with_name(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    Vm *f = fencer_new(b);
    Sent write = hold_write(b, 1, 0xb1, "w");
    Sent fencing = send_pr_out(f->bench, A, PREEMPT_AND_ABORT,
                               WRITE_EXCLUSIVE_RO, KEY_A, KEY_B);
    QDict *event = qtest_qmp_eventwait_ref(f->qts, "SCSI_PR_DRAIN_LATE");
    QList *waits_for = qdict_get_qlist(qdict_get_qdict(event, "data"),
                                       "waits-for");
    QDict *victim = qobject_to(QDict, qlist_peek(waits_for));

    g_assert_true(g_str_has_prefix(qdict_get_str(victim, "owner"),
                                   "VM a\u0436\u0436"));
    qobject_unref(event);
    release(b, "w");
    assert_good(await_command(b, &write));
    assert_good(await_command(f->bench, &fencing));
    vm_free(f);
    bench_free(b);
}

static void setup_b(GString *cmd_line)
{
    make_file_store();
    g_free(medium);
    medium = make_medium();
    g_string_append_printf(cmd_line, " -nodefaults -blockdev driver=file,"
                           "filename=%s,node-name=medium", medium);
    add_nexus(cmd_line, B, "held", file_store);
}

/* The first write fails, and stops the VM */
static void *setup_error(GString *cmd_line, void *arg)
{
    setup_b(cmd_line);
    add_held(cmd_line, ",inject-error.0.event=write_aio,"
             "inject-error.0.once=on");
    g_string_append(cmd_line, " -global scsi-hd.werror=stop");
    return arg;
}

static void *setup_error_tas(GString *cmd_line, void *arg)
{
    g_string_append(cmd_line, " -global scsi-hd.pr-tas=on");
    return setup_error(cmd_line, arg);
}

static void *setup_slow(GString *cmd_line, void *arg)
{
    setup_b(cmd_line);
    g_string_append(cmd_line, " -blockdev null-co,node-name=held,size=1048576,"
                    "latency-ns=300000000,read-zeroes=on");
    return arg;
}

static void *setup_named(GString *cmd_line, void *arg)
{
    g_autofree char *name = repeated("a", "\u0436", 100);

    setup_b(cmd_line);
    add_held(cmd_line, "");
    g_string_append_printf(cmd_line, " -name guest=%s", name);
    return arg;
}

static void register_scsi_pr_fence_vm_test(void)
{
    static const struct {
        const char *name;
        Interruption *interrupt;
    } interruptions[] = {
        { "after-reset", interrupt_by_reset },
        { "after-abort-task", interrupt_by_abort_task },
        { "after-stop", interrupt_by_stop },
        { "after-system-reset", interrupt_by_system_reset },
        { "after-unplug", interrupt_by_unplug },
    };
    QOSGraphTestOptions error = { .before = setup_error };
    QOSGraphTestOptions error_tas = { .before = setup_error_tas };

    QOSGraphTestOptions named = { .before = setup_named };

    add_test_group("scsi-pr-fence-vm-group");
    add_test("scsi-pr-fence-names", test_names, &named);
    add_test("scsi-pr-fence-late-with-name", test_late_with_name, &named);
    add_test("scsi-pr-fence-parked", test_parked, &error);
    add_test("scsi-pr-fence-parked-tas", test_parked_tas, &error_tas);
    add_test("scsi-pr-fence-parked-goes-on", test_parked_goes_on, &error);
    add_test("scsi-pr-fence-parked-late", test_parked_late, &error);
    add_iothread_test("scsi-pr-fence-parked-iothread", test_parked, &error);
    for (size_t i = 0; i < ARRAY_SIZE(interruptions); i++) {
        QOSGraphTestOptions slow = {
            .before = setup_slow,
            .arg = interruptions[i].interrupt,
        };
        g_autofree char *name = g_strdup_printf("scsi-pr-fence-%s",
                                                interruptions[i].name);
        g_autofree char *iothread = g_strdup_printf("%s-iothread", name);

        add_test(name, test_interruption, &slow);
        /* A LOGICAL UNIT RESET in an iothread makes 7.2 itself abort(). */
        if (QEMU_VERSION_MAJOR > 7 ||
            interruptions[i].interrupt != interrupt_by_reset) {
            add_iothread_test(iothread, test_interruption, &slow);
        }
    }
}

libqos_init(register_scsi_pr_fence_vm_test);
