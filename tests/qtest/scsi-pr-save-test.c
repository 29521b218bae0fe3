/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: VMs that are saved to a
 * file and restored, and snapshots
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-travel.h"

enum { APTPL = 1 };

/* Ends the process. */
static void vm_save(Vm *vm, const char *file)
{
    g_autofree char *uri = g_strdup_printf("exec:cat >%s", file);

    migrate_to(vm->qts, uri);
    await_migration(vm->qts, "completed");
    qtest_quit(vm->qts);
}

static void vm_restore(Vm *vm, const char *args, const char *file)
{
    g_autofree char *uri = g_strdup_printf("exec:cat %s", file);
    QTestState *restored = vm_destination(args);

    migrate_from(restored, uri);
    await_migration(restored, "completed");
    vm_move(vm, restored);
}

/* While it is not there nobody has nexus A. */
static void save_and_restore(Vm *vm, const char *args)
{
    g_autofree char *directory = make_directory();
    g_autofree char *file = g_strdup_printf("%s/vm", directory);

    vm_save(vm, file);
    vm_restore(vm, args, file);
}

static void reserve_with(Bench *a, uint8_t aptpl)
{
    uint8_t list[24] = { [15] = KEY_A, [20] = aptpl };

    assert_good(pr_out_list(a, A, REGISTER, 0, sizeof(list), list,
                            sizeof(list)));
    assert_good(pr_out(a, A, PR_RESERVE, WRITE_EXCLUSIVE_RO, KEY_A, 0));
}

static void assert_reserved(Bench *a, bool reserved)
{
    Result r = pr_in(a, A, READ_RESERVATION, 64);

    assert_good(r);
    g_assert_cmpuint(ldl_be_p(&r.data[4]), ==, reserved ? 16 : 0);
    assert_keys(a, A, reserved ? 1 : 0);
}

/* The state of a memory: store is in the file. */
static void test_memory(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *args = args_a("memory:,pr-accept-medium=on");
    Vm *vm = vm_new(args);

    settle(vm->bench, A);
    reserve_with(vm->bench, 0);
    save_and_restore(vm, args);
    assert_reserved(vm->bench, true);
    vm_free(vm);
}

/*
 * That of a file: store is in the store: without APTPL the logical unit loses
 * it when the last nexus goes, and the restored guest is told.
 * Clause: 5.6.3: power cycle without APTPL
 */
static void test_alone(void *obj, void *data, QGuestAllocator *alloc)
{
    uint8_t aptpl = GPOINTER_TO_INT(data);
    g_autofree char *args = args_a(file_store);
    Vm *vm = vm_new(args);

    settle(vm->bench, A);
    reserve_with(vm->bench, aptpl);
    save_and_restore(vm, args);
    if (!aptpl) {
        assert_check(test_unit_ready(vm->bench, A), UNIT_ATTENTION, 0x2a,
                     0x05);
    }
    assert_good(test_unit_ready(vm->bench, A));
    assert_reserved(vm->bench, aptpl);
    vm_free(vm);
}

/* As long as another nexus is attached nothing is lost. */
static void test_among_others(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    Vm *vm = vm_registered(args, b);

    save_and_restore(vm, args);
    assert_good(test_unit_ready(vm->bench, A));
    assert_goes_on(vm, b);
    vm_free(vm);
    bench_free(b);
}

/* A parked write in a file, whose nexus was fenced since */
static void test_parked_fenced(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *directory = make_directory();
    g_autofree char *file = g_strdup_printf("%s/vm", directory);
    g_autofree char *args = args_a(file_store);
    Sent write;
    Vm *vm = vm_with_parked_write("", b, &write);

    vm_save(vm, file);
    fence(b);
    vm_restore(vm, args, file);
    assert_parked_is_aborted(vm, b, &write);
    vm_free(vm);
    bench_free(b);
}

#if QEMU_VERSION_MAJOR >= 10
/* cpr-reboot: the host may restart between the two. */
static void test_cpr_reboot(void *obj, void *data, QGuestAllocator *alloc)
{
    static const char mode[] = "{'execute': 'migrate-set-parameters',"
        " 'arguments': {'mode': 'cpr-reboot'}}";
    g_autofree char *directory = make_directory();
    g_autofree char *uri = g_strdup_printf("file:%s/vm", directory);
    g_autofree char *args = args_a(file_store);
    Vm *vm = vm_new(args);

    settle(vm->bench, A);
    reserve_with(vm->bench, APTPL);
    qtest_qmp_assert_success(vm->qts, mode);
    migrate_to(vm->qts, uri);
    await_migration(vm->qts, "completed");
    qtest_quit(vm->qts);
    vm_move(vm, vm_destination(args));
    qtest_qmp_assert_success(vm->qts, mode);
    migrate_from(vm->qts, uri);
    await_migration(vm->qts, "completed");
    vm_cont(vm->qts);
    assert_good(test_unit_ready(vm->bench, A));
    assert_reserved(vm->bench, true);
    vm_free(vm);
}
#endif

/*
 * Snapshots, in an image that is there for nothing else
 */

/* @store: of nexus A. NULL if images cannot be made here */
static char *args_with_snapshots(const char *store)
{
    const char *img = getenv("QTEST_QEMU_IMG");
    g_autofree char *directory = make_directory();
    g_autofree char *create = g_strdup_printf(
        "%s create -q -f qcow2 %s/snapshots 1M", img, directory);
    g_autofree char *args = args_a(store);

    if (!img || system(create) != 0) {
        g_test_skip("QTEST_QEMU_IMG is not set");
        return NULL;
    }
    return g_strdup_printf("%s -blockdev qcow2,node-name=snapshots,"
                           "file.driver=file,file.filename=%s/snapshots",
                           args, directory);
}

static void await_job(QTestState *qts)
{
    for (;;) {
        QDict *answer = qtest_qmp(qts, "{'execute': 'query-jobs'}");
        QDict *job = qobject_to(QDict, qlist_entry_obj(
            qlist_first(qdict_get_qlist(answer, "return"))));
        bool ended = g_str_equal(qdict_get_str(job, "status"), "concluded");

        g_assert_cmpstr(qdict_get_try_str(job, "error"), ==, NULL);
        qobject_unref(answer);
        if (ended) {
            break;
        }
        g_usleep(1000);
    }
    qtest_qmp_assert_success(
        qts, "{'execute': 'job-dismiss', 'arguments': {'id': 'job'}}");
}

/* @command: snapshot-save or snapshot-load */
static void run_snapshot_job(QTestState *qts, const char *command)
{
    qtest_qmp_assert_success(
        qts, "{'execute': %s, 'arguments': {'job-id': 'job', 'tag': 'then',"
        " 'vmstate': 'snapshots', 'devices': ['snapshots']}}", command);
    await_job(qts);
}

/* Returns what load_snapshot() wants to know, which is not in guest memory. */
static uint16_t save_snapshot(Vm *vm)
{
    uint16_t used;

    has_ended(vm->bench, &(Sent) {});
    used = vm->bench->vq[REQUEST_QUEUE]->last_used_idx;
    run_snapshot_job(vm->qts, "snapshot-save");
    return used;
}

static void load_snapshot(Vm *vm, uint16_t used)
{
    run_snapshot_job(vm->qts, "snapshot-load");
    vm->bench->vq[REQUEST_QUEUE]->last_used_idx = used;
    if (!vm_is_running(vm->qts)) {
        vm_cont(vm->qts);
    }
}

/* The state of a memory: store is part of the snapshot. */
static void test_snapshot_memory(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *args = args_with_snapshots("memory:,pr-accept-medium=on");
    uint16_t then;
    Vm *vm;

    if (!args) {
        return;
    }
    vm = vm_new(args);
    settle(vm->bench, A);
    reserve_with(vm->bench, 0);
    then = save_snapshot(vm);
    assert_good(write_block(vm->bench, A, 1, 0xa1));
    assert_good(pr_out(vm->bench, A, CLEAR, 0, KEY_A, 0));
    assert_reserved(vm->bench, false);
    load_snapshot(vm, then);
    assert_reserved(vm->bench, true);
    vm_free(vm);
}

/*
 * That of a file: store is not: others have gone on meanwhile. A guest that
 * believes to be registered is told, whenever it goes back.
 */
static void test_snapshot_file(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_with_snapshots(file_store);
    uint16_t then;
    Vm *vm;

    if (!args) {
        bench_free(b);
        return;
    }
    vm = vm_registered(args, b);
    then = save_snapshot(vm);
    assert_goes_on(vm, b);
    load_snapshot(vm, then);
    assert_goes_on(vm, b);
    fence(b);
    for (int i = 0; i < 2; i++) {
        load_snapshot(vm, then);
        assert_fenced(vm->bench);
        assert_keys(b, B, 1);
    }
    vm_free(vm);
    bench_free(b);
}

/*
 * A reservation by RESERVE belongs to a living initiator: with a file: store it
 * ends when a VM that was saved is gone, and when its guest goes back in time.
 */
typedef void Absence(Vm *vm, const char *args);

static void saved(Vm *vm, const char *args)
{
    save_and_restore(vm, args);
}

static void back_in_time(Vm *vm, const char *args)
{
    load_snapshot(vm, save_snapshot(vm));
}

static void check_legacy(Bench *b, const char *store, Absence *absence,
                         bool stays)
{
    const uint8_t reserve[VIRTIO_SCSI_CDB_SIZE] = { RESERVE };
    g_autofree char *args = args_with_snapshots(store);
    Vm *vm;
    Result r;

    if (!args) {
        return;
    }
    vm = vm_new(args);
    settle(b, B);
    settle(vm->bench, A);
    assert_good(command(vm->bench, A, reserve, NULL, 0, 0));
    absence(vm, args);
    assert_good(write_block(vm->bench, A, 1, 0xa1));
    /* Who has it can do nothing by PERSISTENT RESERVE (SPC-2 5.5.1). */
    r = pr_in(vm->bench, A, READ_KEYS, 64);
    g_assert_cmphex(r.status, ==, stays ? RESERVATION_CONFLICT : GOOD);
    if (!stays) {
        assert_good(write_block(b, B, 1, 0xb1));
    }
    vm_free(vm);
}

static void test_legacy_saved(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);

    check_legacy(b, file_store, saved, false);
    check_legacy(b, "memory:,pr-accept-medium=on", saved, true);
    bench_free(b);
}

static void test_legacy_snapshot(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);

    check_legacy(b, file_store, back_in_time, false);
    check_legacy(b, "memory:,pr-accept-medium=on", back_in_time, true);
    bench_free(b);
}

static void register_scsi_pr_save_test(void)
{
    add_test_group("scsi-pr-save");
    add_alone_test("save-memory", test_memory, NULL);
    add_alone_test("save-alone", test_alone, NULL);
    add_alone_test("save-aptpl", test_alone, (void *)(intptr_t)APTPL);
    add_travel_test("save-among-others", test_among_others, 0);
    add_travel_test("save-parked-fenced", test_parked_fenced, 0);
#if QEMU_VERSION_MAJOR >= 10
    add_alone_test("save-cpr-reboot", test_cpr_reboot, NULL);
#endif
    add_alone_test("snapshot-memory", test_snapshot_memory, NULL);
    add_travel_test("snapshot-file", test_snapshot_file, 0);
    add_travel_test("save-legacy", test_legacy_saved, 0);
    add_travel_test("snapshot-legacy", test_legacy_snapshot, 0);
}

libqos_init(register_scsi_pr_save_test);
