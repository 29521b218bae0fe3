/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: above a passthrough device.
 * They need disks of the kernel's and run in a guest: tests/passthrough.
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-passthrough.h"

#define RING 64
#define HELPER "/run/pr-helper" /* of upstream's qemu-pr-helper */

/* Tests with one command line share a QEMU: each ends with nothing reserved. */

/* Two initiators at one disk of the host, which hears of none of it */
static void test_conflict(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_settled(obj, alloc);
    Result r;

    reserve_for_a(b);
    assert_good(write_block(b, A, 0, 0xa0));
    assert_conflict(write_block(b, B, 0, 0xb0));
    g_assert_cmphex(read_block(b, B, 0).data[0], ==, 0xa0);
    assert_good(test_unit_ready(b, B));
    r = pr_in(b, B, READ_FULL_STATUS, 256);
    assert_good(r);
    g_assert_cmphex(ldq_be_p(&r.data[8]), ==, KEY_A);
    g_assert_cmpstr((char *)&r.data[36], ==, "iqn.2026-01.org.example:a");
    g_assert_cmpuint(ldl_be_p(&r.data[4]), ==, 24 + ldl_be_p(&r.data[28]));
    assert_disk_has_keys(NO_KEYS);

    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
    assert_good(pr_out(b, B, PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_RO, KEY_B,
                       KEY_A));
    assert_check(test_unit_ready(b, A), UNIT_ATTENTION, 0x2a, 0x05);
    assert_conflict(write_block(b, A, 0, 0xa1));
    assert_good(write_block(b, B, 0, 0xb1));
    g_assert_cmphex(read_block(b, A, 0).data[0], ==, 0xb1);
    assert_good(pr_out(b, B, CLEAR, 0, KEY_B, 0));
    bench_free(b);
}

/* RESERVE(6) and (10), which no adapter says the length of */
static void test_legacy(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint8_t reserve[VIRTIO_SCSI_CDB_SIZE] = { RESERVE_10 };
    const uint8_t release[VIRTIO_SCSI_CDB_SIZE] = { RELEASE };
    Bench *b = bench_new_settled(obj, alloc);

    assert_good(command(b, A, reserve, NULL, 0, 0));
    assert_conflict(read_block(b, B, 0));
    assert_good(read_block(b, A, 0));
    assert_good(command(b, A, release, NULL, 0, 0));
    assert_good(read_block(b, B, 0));
    bench_free(b);
}

/* Beside it, without pr-store: B's commands reach the disk */
static void check_beside(Bench *b)
{
    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
    assert_disk_has_keys("0xb\n");
    g_assert_cmpuint(ldl_be_p(&pr_in(b, A, READ_KEYS, 64).data[4]), ==, 0);
    assert_good(pr_out(b, A, REGISTER, 0, 0, KEY_A));
    g_assert_cmphex(ldq_be_p(&pr_in(b, B, READ_KEYS, 64).data[8]), ==, KEY_B);
    assert_good(pr_out(b, B, REGISTER, 0, KEY_B, 0));
    assert_disk_has_keys(NO_KEYS);
}

static void test_plain(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_settled(obj, alloc);

    check_beside(b);
    bench_free(b);
}

/* Likewise; but upstream's pr-manager carries B's commands, and none of A's. */
static void test_pr_manager(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_settled(obj, alloc);

    check_beside(b);
    g_free(shell("kill -KILL $(cat " HELPER ".pid) # %s", "SCSI_PR_HELPER"));
    assert_good(pr_in(b, A, READ_KEYS, 64));
    assert_good(read_block(b, B, 0));
    g_assert_cmphex(pr_in(b, B, READ_KEYS, 64).status, !=, GOOD);
    bench_free(b);
}

/*
 * Another host holds the disk's own reservation: its conflict is the guest's,
 * whatever werror= says
 */
static void test_reserved_by_others(void *obj, void *data,
                                    QGuestAllocator *alloc)
{
    Bench *b = bench_new_settled(obj, alloc);

    g_free(shell("sg_persist --out --register --param-sark=1 %s",
                 "SCSI_PR_LIO_OTHER"));
    g_free(shell("sg_persist --out --reserve --param-rk=1 --prout-type=1 %s",
                 "SCSI_PR_LIO_OTHER"));
    assert_conflict(write_block(b, A, 0, 0xa2));
    g_assert_true(vm_is_running(b->qts));
    reserve_for_a(b);           /* ours, and no matter */
    assert_conflict(write_block(b, A, 0, 0xa2));
    assert_good(read_block(b, A, 0));

    g_free(shell("sg_persist --out --clear --param-rk=1 %s",
                 "SCSI_PR_LIO_OTHER"));
    settle_all(b, A);
    assert_good(write_block(b, A, 0, 0xa3));
    g_assert_cmphex(read_block(b, A, 0).data[0], ==, 0xa3);
    assert_good(pr_out(b, A, CLEAR, 0, KEY_A, 0));
    bench_free(b);
}

/* PREEMPT AND ABORT waits for what another QEMU has sent to the disk. */
static void set_delay(const char *jiffies)
{
    g_autofree char *format = g_strdup_printf(
        "until echo %s >/sys/bus/pseudo/drivers/scsi_debug/delay; do"
        " usleep 50000; done # %%s", jiffies);

    g_free(shell(format, "SCSI_PR_DEBUG_BLOCK"));
}

/* INQUIRY, which scsi_debug answers without delay: all before it is there. */
static void assert_under_way(Bench *b, const Sent *write)
{
    const uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = { INQUIRY, [4] = 36 };

    assert_good(command(b, B, cdb, NULL, 0, 36));
    g_assert_false(has_ended(b, write));
}

/* How many commands the disk has got */
static int commands_of_disk(void)
{
    g_autofree char *said = shell("cat /sys/block/$(basename %s)/device/"
                                  "iorequest_cnt", "SCSI_PR_DEBUG_BLOCK");

    return strtol(said, NULL, 0);
}

/* What B has prevented is allowed again (5.6.8.5 f): the disk is told. */
static void await_allowance(int before)
{
    int64_t start = g_get_monotonic_time();

    while (commands_of_disk() == before) {
        g_assert(g_get_monotonic_time() - start <= TIMEOUT_US);
    }
}

static void fence_writes(Bench *b, Bench *f)
{
    const uint8_t prevent[VIRTIO_SCSI_CDB_SIZE] = {
        ALLOW_MEDIUM_REMOVAL, [4] = 1
    };
    Sent writes[4], fencing;
    int before;

    assert_good(command(b, B, prevent, NULL, 0, 0));
    set_delay("400");
    for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
        writes[i] = send_write(b, B, i, 0xb4);
    }
    assert_under_way(b, &writes[3]);
    before = commands_of_disk();
    fencing = send_pr_out(f, A, PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_RO, KEY_A,
                          KEY_B);
    assert_good(await_command(f, &fencing));
    for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
        g_assert_true(has_ended(b, &writes[i]));
        assert_good(await_command(b, &writes[i]));
    }
    await_allowance(before);
    set_delay("1");
}

static void test_fence(void *obj, void *data, QGuestAllocator *alloc)
{
    const Type *type = data;
    Bench *b = bench_new(obj, alloc);
    g_autoptr(GString) args = g_string_new(NULL);
    Vm *f;

    add_ring(args, RING);
    add_host_medium(args, type->debug);
    add_reserved(args, type, A, file_store, ",pr-abort-timeout=20000");
    f = vm_new(args->str);
    settle_all(b, B);
    settle_all(f->bench, A);
    assert_good(pr_out(f->bench, A, REGISTER, 0, 0, KEY_A));
    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
    assert_good(pr_out(b, B, PR_RESERVE, WRITE_EXCLUSIVE_RO, KEY_B, 0));

    fence_writes(b, f->bench);
    assert_good(write_block(f->bench, A, 3, 0xa4));
    assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x2a, 0x05);
    assert_conflict(write_block(b, B, 3, 0xb5));
    g_assert_cmphex(read_block(f->bench, A, 3).data[0], ==, 0xa4);
    vm_free(f);
    bench_free(b);
}

/* A VM goes to another process of the host with its registration. */
static void test_migration(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autoptr(GString) args = g_string_new(NULL);
    Vm *vm;

    make_file_store();
    add_ring(args, RING);
    add_host_medium(args, ((Type *)data)->lio);
    add_reserved(args, data, A, file_store, "");
    add_reserved(args, data, B, file_store, "");
    vm = vm_new(args->str);
    settle_all(vm->bench, A);
    settle_all(vm->bench, B);
    reserve_for_a(vm->bench);
    vm_migrate(vm, args->str);
    settle_all(vm->bench, A);
    settle_all(vm->bench, B);
    assert_good(write_block(vm->bench, A, 0, 0xa6));
    assert_conflict(write_block(vm->bench, B, 0, 0xb6));
    vm_free(vm);
}

static bool has_migrate_pr(QTestState *qts)
{
    QDict *answer = qtest_qmp(
        qts, "{'execute': 'qom-get', 'arguments':"
        " {'path': '/machine/peripheral/a', 'property': 'migrate-pr'}}");
    bool has = qdict_haskey(answer, "return");

    qobject_unref(answer);
    return has;
}

/*
 * The guest of a scsi-block without pr-store has registered with the disk itself;
 * the destination has another path to it, and pr-store, and must leave that
 * registration as it is.
 */
static void test_host_key(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autoptr(GString) plain = g_string_new(NULL);
    g_autoptr(GString) reserved = g_string_new(NULL);
    Vm *vm;

    add_ring(plain, RING);
    add_host_medium(plain, ((Type *)data)->lio);
    add_plain(plain, data, A);
    add_ring(reserved, RING);
    add_host_medium(reserved, "SCSI_PR_LIO_OTHER");
    add_reserved(reserved, data, A, "memory:", "");
    vm = vm_new(plain->str);
    settle_all(vm->bench, A);
    assert_good(pr_out(vm->bench, A, REGISTER, 0, 0, KEY_A));
    if (has_migrate_pr(vm->qts)) {
        vm_send_refused(vm, reserved->str);
        g_assert_true(vm_is_running(vm->qts));
        assert_disk_has_keys("0xa\n");
        assert_good(write_block(vm->bench, A, 0, 0xa7));
    } /* else QEMU sends no registration that anybody could take for the guest's */
    assert_good(pr_out(vm->bench, A, REGISTER, 0, KEY_A, 0));
    assert_disk_has_keys(NO_KEYS);
    vm_free(vm);
}

static void *setup_lio_pair(GString *cmd_line, void *arg)
{
    add_ring(cmd_line, RING);
    add_host_medium(cmd_line, ((Type *)arg)->lio);
    add_reserved(cmd_line, arg, A, "memory:quorum", "");
    add_reserved(cmd_line, arg, B, "memory:quorum", "");
    return arg;
}

/* As if the host's disk failed: 7.2 would stop, and we refuse that there. */
static void *setup_lio_stop(GString *cmd_line, void *arg)
{
    if (QEMU_VERSION_MAJOR >= 10) {
        g_string_append(cmd_line, " -global scsi-block.werror=stop"
                        " -global scsi-block.rerror=stop");
    }
    return setup_lio_pair(cmd_line, arg);
}

/* @medium_options: begin with a comma */
static void add_beside(GString *cmd_line, const Type *type,
                       const char *medium_options)
{
    add_ring(cmd_line, RING);
    add_host_medium(cmd_line, type->lio);
    g_string_append(cmd_line, medium_options);
    add_reserved(cmd_line, type, A, "memory:", "");
    add_plain(cmd_line, type, B);
}

static void *setup_beside(GString *cmd_line, void *arg)
{
    add_beside(cmd_line, arg, "");
    return arg;
}

static void *setup_pr_manager(GString *cmd_line, void *arg)
{
    g_free(shell("rm -f " HELPER ".*; %s --daemon --socket " HELPER ".socket"
                 " --pidfile " HELPER ".pid", "SCSI_PR_HELPER"));
    g_string_append(cmd_line, " -object pr-manager-helper,id=helper,path="
                    HELPER ".socket");
    add_beside(cmd_line, arg, ",pr-manager=helper");
    return arg;
}

static void *setup_victim(GString *cmd_line, void *arg)
{
    make_file_store();
    add_ring(cmd_line, RING);
    add_host_medium(cmd_line, ((Type *)arg)->debug);
    add_reserved(cmd_line, arg, B, file_store, "");
    return arg;
}

static void *setup_nothing(GString *cmd_line, void *arg)
{
    add_ring(cmd_line, RING);
    return arg;
}

static void register_scsi_pr_passthrough_test(void)
{
    static const struct {
        const char *name;
        QOSTestFunc function;
        QOSBeforeTest before;
    } tests[] = {
        { "conflict", test_conflict, setup_lio_pair },
        { "legacy", test_legacy, setup_lio_pair },
        { "plain", test_plain, setup_beside },
        { "pr-manager", test_pr_manager, setup_pr_manager },
        { "reserved-by-others", test_reserved_by_others, setup_lio_stop },
        { "fence", test_fence, setup_victim },
        { "migration", test_migration, setup_nothing },
    };

    QOSGraphTestOptions victim = { .before = setup_victim, .arg = &types[0] };
    QOSGraphTestOptions nothing = { .before = setup_nothing, .arg = &types[0] };

    add_iothread_test("passthrough-pr-block-fence-iothread", test_fence,
                      &victim);
    add_test_group("passthrough-pr-group");
    add_test("passthrough-pr-block-host-key", test_host_key, &nothing);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(tests); j++) {
            QOSGraphTestOptions options = {
                .before = tests[j].before, .arg = &types[i],
            };
            g_autofree char *name = g_strdup_printf(
                "passthrough-pr-%s-%s", types[i].driver + strlen("scsi-"),
                tests[j].name);

            add_test(name, tests[j].function, &options);
        }
    }
}

libqos_init(register_scsi_pr_passthrough_test);
