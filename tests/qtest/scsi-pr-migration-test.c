/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: live migration
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-travel.h"

static const char *store_of(const void *kind)
{
    return g_str_equal(kind, "file") ? file_store : "memory:quorum";
}

/*
 * Registrations, reservation, PRgeneration and unit attention conditions: both
 * nexuses are the VM's. Twice, since what has arrived must be able to leave.
 */
static void test_state(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *args = args_pair(store_of(data));
    Vm *vm = vm_new(args);
    Result r;

    settle(vm->bench, A);
    settle(vm->bench, B);
    assert_good(pr_out(vm->bench, B, REGISTER, 0, 0, KEY_B));
    reserve_for_a(vm->bench);
    assert_good(pr_out(vm->bench, A, PREEMPT, WRITE_EXCLUSIVE_RO, KEY_A,
                       KEY_B));

    vm_migrate(vm, args);
    vm_migrate(vm, args);

    r = pr_in(vm->bench, A, READ_KEYS, 64);
    assert_good(r);
    g_assert_cmpuint(ldl_be_p(&r.data[0]), ==, 3);
    g_assert_cmpuint(ldl_be_p(&r.data[4]), ==, 8);
    g_assert_cmphex(ldq_be_p(&r.data[8]), ==, KEY_A);
    r = pr_in(vm->bench, A, READ_RESERVATION, 64);
    g_assert_cmphex(ldq_be_p(&r.data[8]), ==, KEY_A);
    g_assert_cmphex(r.data[21], ==, WRITE_EXCLUSIVE_RO);
    assert_check(test_unit_ready(vm->bench, B), UNIT_ATTENTION, 0x2a, 0x05);
    assert_conflict(write_block(vm->bench, B, 1, 0xb1));
    assert_good(write_block(vm->bench, A, 1, 0xa1));
    vm_free(vm);
}

/* A reservation by RESERVE; no reset on the way counts. */
static void test_legacy(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint8_t reserve[VIRTIO_SCSI_CDB_SIZE] = { RESERVE };
    const uint8_t release[VIRTIO_SCSI_CDB_SIZE] = { RELEASE };
    g_autofree char *args = args_pair(store_of(data));
    Vm *vm = vm_new(args);

    settle(vm->bench, A);
    settle(vm->bench, B);
    assert_good(command(vm->bench, A, reserve, NULL, 0, 0));
    vm_migrate(vm, args);
    assert_conflict(write_block(vm->bench, B, 1, 0xb1));
    assert_good(write_block(vm->bench, A, 1, 0xa1));
    assert_good(command(vm->bench, A, release, NULL, 0, 0));
    assert_good(write_block(vm->bench, B, 1, 0xb1));
    vm_free(vm);
}

/*
 * A write that an error of the host's disk has parked travels, and is carried
 * out at the destination.
 */
static void test_parked(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    Sent write;
    Vm *vm = vm_with_parked_write("", b, &write);

    vm_migrate(vm, args);
    g_assert_false(has_ended(vm->bench, &write));
    vm_cont(vm->qts);
    assert_good(await_command(vm->bench, &write));
    assert_block(b, 1, 0xa1);
    vm_free(vm);
    bench_free(b);
}

/*
 * It is never carried out when A was fenced: before it left, while it was
 * nobody's, or before the source goes on that did not get rid of it.
 * Clause: 5.6.8.5: ending them
 */
typedef enum Moment { BEFORE, MEANWHILE, TAKEN_BACK } Moment;

static void test_parked_fenced(void *obj, void *data, QGuestAllocator *alloc)
{
    Moment moment = GPOINTER_TO_INT(data);
    Bench *b = bench_new(obj, alloc);
    const char *more = moment == TAKEN_BACK ? " -device virtio-rng-pci" : "";
    g_autofree char *args = args_a(file_store);
    Sent write;
    Vm *vm = vm_with_parked_write(more, b, &write);

    if (moment == BEFORE) {
        fence(b);
    }
    if (moment == TAKEN_BACK) {
        vm_send_refused(vm, args);
    } else {
        vm_migrate(vm, args);
    }
    if (moment != BEFORE) {
        fence(b);
    }
    assert_parked_is_aborted(vm, b, &write);
    vm_free(vm);
    bench_free(b);
}

/*
 * What it ends in is up to the destination's pr-tas (7.4.6).
 * Clause: 5.6.8.5: ending them
 */
static void test_parked_fenced_tas(void *obj, void *data,
                                   QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    g_autofree char *tas = g_strconcat(args, " -global scsi-hd.pr-tas=on",
                                       NULL);
    Sent write;
    Vm *vm = vm_with_parked_write("", b, &write);

    vm_migrate(vm, tas);
    fence(b);
    vm_cont(vm->qts);
    g_assert_cmphex(await_command(vm->bench, &write).status, ==, TASK_ABORTED);
    assert_block(b, 1, 0);
    vm_free(vm);
    bench_free(b);
}

/* Fencings of a nexus of which nothing is on its way */
static void test_fenced(void *obj, void *data, QGuestAllocator *alloc)
{
    Moment moment = GPOINTER_TO_INT(data);
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    g_autofree char *paused = g_strconcat(args, " -S", NULL);
    Vm *vm = vm_registered(args, b);

    if (moment == BEFORE) {
        fence(b);
    }
    vm_migrate(vm, moment == MEANWHILE ? paused : args);
    if (moment != BEFORE) {
        fence(b);
    }
    if (moment == MEANWHILE) {
        vm_cont(vm->qts);
    }
    assert_fenced(vm->bench);
    vm_free(vm);
    bench_free(b);
}

/*
 * The library carries a command out while the VM is stopped: guest memory does
 * not change, and the status is told when the VM goes on, wherever that is.
 */
static void test_result_waits(void *obj, void *data, QGuestAllocator *alloc)
{
    bool migrate = GPOINTER_TO_INT(data);
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    Vm *vm = vm_registered(args, b);
    Sent write, fencing = send_waiting(vm, b, &write);

    end_fencing_while_stopped(vm, b, &write);
    if (migrate) {
        vm_migrate(vm, args);
    }
    g_assert_false(has_ended(vm->bench, &fencing));
    vm_cont(vm->qts);
    assert_good(await_command(vm->bench, &fencing));
    assert_conflict(write_block(b, B, 2, 0xb2));
    vm_free(vm);
    bench_free(b);
}

/*
 * Whether its result comes before the VM stops, while it does, or in the middle
 * of the hand-over: each command takes effect once, and ends once.
 */
static void test_results_race(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    Vm *vm = vm_registered(args, b);
    uint32_t generation;

    generation = ldl_be_p(&pr_in(b, B, READ_KEYS, 64).data[0]);
    for (int i = 1; i <= 6; i++) {
        Sent registering = send_pr_out(vm->bench, A, REGISTER_AND_IGNORE, 0, 0,
                                       KEY_A);

        if (i % 2) {
            vm_stop(vm->qts);
        }
        vm_migrate(vm, args);
        if (i % 2) {
            vm_cont(vm->qts);
        }
        assert_good(await_command(vm->bench, &registering));
        g_assert_cmpuint(ldl_be_p(&pr_in(b, B, READ_KEYS, 64).data[0]), ==,
                         generation + i);
    }
    vm_free(vm);
    bench_free(b);
}

/* A command that waits for another nexus does not delay the migration. */
static void test_waiting_ends_in_busy(void *obj, void *data,
                                      QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    Vm *vm = vm_registered(args, b);
    /* Nobody attaches while a fencing waits. */
    QTestState *destination = vm_destination(args);
    Sent write, fencing = send_waiting(vm, b, &write);

    qtest_qmp_eventwait(vm->qts, "SCSI_PR_DRAIN_LATE");
    vm_send(vm, destination);
    qtest_quit(vm_move(vm, destination));
    g_assert_cmphex(await_command(vm->bench, &fencing).status, ==, BUSY);
    release(b, "w");
    assert_good(await_command(b, &write));
    assert_keys(b, B, 2);
    vm_free(vm);
    bench_free(b);
}

/* Post-copy: the destination runs while the source still has most of memory. */
/* False, and skipped, where there is no userfaultfd */
static bool vm_migrate_postcopy(Vm *vm, const char *args)
{
    g_autofree char *uri = make_socket_uri();
    QTestState *destination = vm_destination(args);

    if (!set_capability(destination, "postcopy-ram") ||
        !set_capability(vm->qts, "postcopy-ram")) {
        g_test_skip("QEMU has no post-copy here (userfaultfd)");
        qtest_quit(destination);
        return false;
    }
    qtest_qmp_assert_success(
        vm->qts, "{'execute': 'migrate-set-parameters',"
        " 'arguments': {'max-bandwidth': 100000}}");
    migrate_from(destination, uri);
    migrate_to(vm->qts, uri);
    await_migration(vm->qts, "active");
    qmp_run(vm->qts, "migrate-start-postcopy");
    qtest_qmp_eventwait(destination, "RESUME");
    await_migration(vm->qts, "completed");
    qtest_quit(vm_move(vm, destination));
    return true;
}

static void test_postcopy(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    Vm *vm = vm_registered(args, b);

    if (vm_migrate_postcopy(vm, args)) {
        assert_goes_on(vm, b);
        fence(b);
        assert_fenced(vm->bench);
    }
    vm_free(vm);
    bench_free(b);
}

static void test_postcopy_memory(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *args = args_pair("memory:quorum");
    Vm *vm = vm_new(args);

    settle(vm->bench, A);
    settle(vm->bench, B);
    reserve_for_a(vm->bench);
    if (vm_migrate_postcopy(vm, args)) {
        assert_keys(vm->bench, A, 1);
        assert_conflict(write_block(vm->bench, B, 1, 0xb1));
        assert_good(write_block(vm->bench, A, 1, 0xa1));
    }
    vm_free(vm);
}

static void register_scsi_pr_migration_test(void)
{
    add_test_group("scsi-pr-migration");
    add_alone_test("migration-state-file", test_state, (void *)"file");
    add_alone_test("migration-state-memory", test_state, (void *)"memory");
    add_alone_test("migration-legacy-file", test_legacy, (void *)"file");
    add_alone_test("migration-legacy-memory", test_legacy, (void *)"memory");
    add_request_test("migration-parked", test_parked, 0);
    add_request_test("migration-parked-fenced-before", test_parked_fenced,
                     BEFORE);
    add_request_test("migration-parked-fenced-meanwhile", test_parked_fenced,
                     MEANWHILE);
    add_request_test("migration-parked-fenced-taken-back", test_parked_fenced,
                     TAKEN_BACK);
    add_travel_test("migration-parked-fenced-tas", test_parked_fenced_tas, 0);
    add_request_test("migration-results-race", test_results_race, 0);
    add_travel_test("migration-fenced-before", test_fenced, BEFORE);
    add_travel_test("migration-fenced-meanwhile", test_fenced, MEANWHILE);
    add_travel_test("migration-fenced-after", test_fenced, TAKEN_BACK);
    add_request_test("migration-result-waits", test_result_waits, false);
    add_request_test("migration-result-travels", test_result_waits, true);
    add_request_test("migration-waiting-ends-in-busy",
                     test_waiting_ends_in_busy, 0);
    add_travel_test("migration-postcopy", test_postcopy, 0);
    add_alone_test("migration-postcopy-memory", test_postcopy_memory, NULL);
}

libqos_init(register_scsi_pr_migration_test);
