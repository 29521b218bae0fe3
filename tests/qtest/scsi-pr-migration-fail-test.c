/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: migrations that fail, or
 * should
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-travel.h"

/* How a write ends in another process than the one the VM is in */
static Result write_in(QTestState *qts, Vm *vm)
{
    QVirtQueue *vq = vm->bench->vq[REQUEST_QUEUE];
    uint16_t used = vq->last_used_idx;
    QTestState *own = vm_move(vm, qts);
    Result r = write_block(vm->bench, A, 2, 0xa2);

    vm_move(vm, own);
    vq->last_used_idx = used;
    return r;
}

/* A source that goes on although it was migrated, until the destination ends */
static void test_one_owner(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    Vm *vm = vm_registered(args, b);
    QTestState *destination = vm_destination(args);
    Result r;

    vm_send(vm, destination);
    vm_cont(vm->qts);
    g_assert_cmphex(write_in(vm->qts, vm).status, ==, BUSY);
    assert_good(write_in(destination, vm));
    qtest_quit(destination);
    do {
        r = write_block(vm->bench, A, 2, 0xa2);
    } while (r.status == BUSY);
    assert_good(r);
    assert_keys(b, B, 2);
    vm_free(vm);
    bench_free(b);
}

/* Far from its end */
static QTestState *start_slow_migration(Vm *vm, const char *args)
{
    g_autofree char *uri = make_socket_uri();
    QTestState *destination = vm_destination(args);

    qtest_qmp_assert_success(
        vm->qts, "{'execute': 'migrate-set-parameters',"
        " 'arguments': {'max-bandwidth': 1000}}");
    migrate_from(destination, uri);
    migrate_to(vm->qts, uri);
    await_migration(vm->qts, "active");
    return destination;
}

static void test_cancelled(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    Vm *vm = vm_registered(args, b);
    QTestState *destination = start_slow_migration(vm, args);

    assert_goes_on(vm, b);
    qmp_run(vm->qts, "migrate_cancel");
    await_migration(vm->qts, "cancelled");
    assert_has_refused(destination);
    assert_goes_on(vm, b);
    vm_free(vm);
    bench_free(b);
}

static void test_destination_ends(void *obj, void *data,
                                  QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    Vm *vm = vm_registered(args, b);

    qtest_quit(start_slow_migration(vm, args));
    await_migration(vm->qts, "failed");
    assert_goes_on(vm, b);
    vm_free(vm);
    bench_free(b);
}

/* A PREEMPT AND ABORT of the guest waits all the while, and goes on waiting. */
static void test_destination_ends_fencing(void *obj, void *data,
                                          QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    Vm *vm = vm_registered(args, b);
    QTestState *destination = start_slow_migration(vm, args);
    Sent write, fencing = send_waiting(vm, b, &write);

    qtest_qmp_eventwait(vm->qts, "SCSI_PR_DRAIN_LATE");
    qtest_quit(destination);
    await_migration(vm->qts, "failed");
    g_assert_false(has_ended(vm->bench, &fencing));
    release(b, "w");
    assert_good(await_command(b, &write));
    assert_good(await_command(vm->bench, &fencing));
    assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x2a, 0x05);
    assert_keys(b, B, 1);
    vm_free(vm);
    bench_free(b);
}

/*
 * Handing the nexus over ends what waits for others, in BUSY. A migration that
 * fails right behind that lets the VM go on before anything else happens; this
 * command does as much, always. Told once.
 */
static void test_goes_on_at_once(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    g_autofree char *directory = make_directory();
    g_autofree char *file = g_strdup_printf("%s/devices", directory);
    Vm *vm = vm_registered(args, b);
    Sent write, fencing = send_waiting(vm, b, &write);

    qtest_qmp_eventwait(vm->qts, "SCSI_PR_DRAIN_LATE");
    qtest_qmp_assert_success(
        vm->qts, "{'execute': 'xen-save-devices-state', 'arguments':"
        " {'filename': %s, 'live': false}}", file);
    g_assert_cmphex(await_command(vm->bench, &fencing).status, ==, BUSY);
    release(b, "w");
    assert_good(await_command(b, &write));
    assert_goes_on(vm, b);
    vm_free(vm);
    bench_free(b);
}

static void test_refused_late(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    g_autofree char *more = g_strconcat(args, " -device virtio-rng-pci", NULL);
    Vm *vm = vm_registered(more, b);

    vm_send_refused(vm, args);
    qtest_qmp_eventwait(vm->qts, "RESUME");
    assert_goes_on(vm, b);
    vm_free(vm);
    bench_free(b);
}

/*
 * A destination that has no business with the store finds out at the beginning:
 * the source never stops.
 */
static void assert_refused_early(Bench *b, const char *source,
                                 const char *refusing)
{
    Vm *vm = vm_registered(source, b);
    g_autofree char *uri = make_socket_uri();
    QTestState *destination = vm_destination(refusing);

    migrate_from(destination, uri);
    migrate_to(vm->qts, uri);
    await_migration(vm->qts, "failed");
    assert_has_refused(destination);
    assert_goes_on(vm, b);
    g_assert_null(qtest_qmp_event_ref(vm->qts, "STOP"));
    vm_free(vm);
    bench_free(b);
}

static void test_other_store(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *args = args_a(file_store);
    g_autofree char *other = args_a(other_store);

    assert_refused_early(bench_new(obj, alloc), args, other);
}

static void test_other_kind_of_store(void *obj, void *data,
                                     QGuestAllocator *alloc)
{
    g_autofree char *args = args_a(file_store);
    g_autofree char *other = args_a("memory:,pr-accept-medium=on");

    assert_refused_early(bench_new(obj, alloc), args, other);
}

/* As upstream's QEMU has it */
static char *args_without_store(void)
{
    GString *args = vm_disk();

    g_string_append(args, " -device scsi-hd,id=a,scsi-id=1,drive=medium,"
                    "share-rw=on,wwn=0x5000000000000000");
    return g_string_free(args, false);
}

static void test_to_without_store(void *obj, void *data,
                                  QGuestAllocator *alloc)
{
    g_autofree char *args = args_a(file_store);
    g_autofree char *without = args_without_store();

    assert_refused_early(bench_new(obj, alloc), args, without);
}

static void test_from_without_store(void *obj, void *data,
                                    QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *without = args_without_store();
    g_autofree char *args = args_a(file_store);
    Vm *vm = vm_new(without);

    settle(b, B);
    settle(vm->bench, A);
    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
    assert_good(pr_out(b, B, PR_RESERVE, WRITE_EXCLUSIVE_RO, KEY_B, 0));
    vm_migrate(vm, args);
    assert_conflict(write_block(vm->bench, A, 1, 0xa1));
    vm_free(vm);
    bench_free(b);
}

/*
 * QEMU would replace itself, and end the nexus meanwhile: refused by us, or by a
 * QEMU that does not know that mode.
 */
static void test_exec(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    Vm *vm = vm_registered(args, b);
    QDict *answer = qtest_qmp(
        vm->qts, "{'execute': 'migrate-set-parameters', 'arguments':"
        " {'mode': 'cpr-exec', 'cpr-exec-command': ['false']}}");
    bool has_mode = qdict_haskey(answer, "return");

    qobject_unref(answer);
    if (has_mode) {
        g_autofree char *why = NULL;

        answer = qtest_qmp(vm->qts, "{'execute': 'migrate', 'arguments':"
                           " {'uri': 'exec:cat >/dev/null'}}");
        g_assert_true(qdict_haskey(answer, "error"));
        why = g_strdup(qdict_get_str(qdict_get_qdict(answer, "error"),
                                     "desc"));
        qobject_unref(answer);
        g_assert_nonnull(strstr(why, "device 'a' has pr-store"));
    }
    assert_goes_on(vm, b);
    vm_free(vm);
    bench_free(b);
}

static void register_scsi_pr_migration_fail_test(void)
{
    add_test_group("scsi-pr-migration-fail");
    add_travel_test("migration-one-owner", test_one_owner, 0);
    add_travel_test("migration-cancelled", test_cancelled, 0);
    add_travel_test("migration-destination-ends", test_destination_ends, 0);
    add_travel_test("migration-destination-ends-fencing",
                    test_destination_ends_fencing, 0);
    add_request_test("migration-goes-on-at-once", test_goes_on_at_once, 0);
    add_travel_test("migration-refused-late", test_refused_late, 0);
    add_travel_test("migration-other-store", test_other_store, 0);
    add_travel_test("migration-other-kind-of-store", test_other_kind_of_store,
                    0);
    add_travel_test("migration-to-without-store", test_to_without_store, 0);
    add_travel_test("migration-from-without-store", test_from_without_store, 0);
    add_travel_test("migration-exec", test_exec, 0);
}

libqos_init(register_scsi_pr_migration_fail_test);
