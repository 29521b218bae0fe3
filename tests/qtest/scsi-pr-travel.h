/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest bench for SCSI persistent reservations: a VM that travels
 *
 * The VM with nexus A migrates on one host, or is saved. The test's own VM
 * stays where it is; it has nexus B at the same file: store, and a medium where
 * writes can be held.
 */
#ifndef TESTS_QTEST_SCSI_PR_TRAVEL_H
#define TESTS_QTEST_SCSI_PR_TRAVEL_H

#include "scsi-pr-vm.h"

/* What the media of all VMs are; the test's own */
static char *medium __attribute__((unused));

/* A second file: store, which the test's own VM has made */
static char *other_store __attribute__((unused));

/* Whether the adapter of the VM that travels has an iothread */
static bool with_iothread __attribute__((unused));

static inline GString *vm_disk(void)
{
    GString *args = g_string_new(NULL);

    g_string_printf(args, " -blockdev driver=file,filename=%s,"
                    "node-name=medium", medium);
    if (with_iothread) {
        g_string_append(args, " -object iothread,id=io0"
                        " -global virtio-scsi-pci.iothread=io0");
    }
    return args;
}

/* For processes that the VM with nexus A is in */
static inline char *args_a(const char *store)
{
    GString *args = vm_disk();

    add_nexus(args, A, "medium", store);
    return g_string_free(args, false);
}

/* The first write fails, and stops the VM */
static inline char *args_parking(void)
{
    GString *args = vm_disk();

    add_held(args, ",inject-error.0.event=write_aio,inject-error.0.once=on");
    g_string_append(args, " -global scsi-hd.werror=stop");
    add_nexus(args, A, "held", file_store);
    return g_string_free(args, false);
}

static inline char *args_pair(const char *store)
{
    GString *args = vm_disk();

    add_pair(args, store);
    return g_string_free(args, false);
}

/* Both are registered, and A holds the reservation. */
static inline Vm *vm_registered(const char *args, Bench *b)
{
    Vm *vm = vm_new(args);

    settle(b, B);
    settle(vm->bench, A);
    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
    assert_good(pr_out(vm->bench, A, REGISTER, 0, 0, KEY_A));
    assert_good(pr_out(vm->bench, A, PR_RESERVE, WRITE_EXCLUSIVE_RO, KEY_A,
                       0));
    return vm;
}

/* The same with @more devices, stopped by a write that has failed */
static inline Vm *vm_with_parked_write(const char *more, Bench *b, Sent *write)
{
    g_autofree char *parking = args_parking();
    g_autofree char *args = g_strconcat(parking, more, NULL);
    Vm *vm = vm_registered(args, b);

    *write = send_write(vm->bench, A, 1, 0xa1);
    qtest_qmp_eventwait(vm->qts, "STOP");
    return vm;
}

static inline void assert_keys(Bench *b, int target, unsigned count)
{
    Result r = pr_in(b, target, READ_KEYS, 64);

    assert_good(r);
    g_assert_cmpuint(ldl_be_p(&r.data[4]), ==, 8 * count);
}

/* B fences A, of which nothing may be in the gate. */
static inline void fence(Bench *b)
{
    assert_good(pr_out(b, B, PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_RO, KEY_B,
                       KEY_A));
    assert_keys(b, B, 1);
}

/* A's PREEMPT AND ABORT that waits for a write of B, which release() ends */
static inline Sent send_waiting(Vm *vm, Bench *b, Sent *write)
{
    *write = hold_write(b, 1, 0xb1, "w");
    return send_pr_out(vm->bench, A, PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_RO,
                       KEY_A, KEY_B);
}

/* What a fenced A sees, wherever it is */
static inline void assert_fenced(Bench *a)
{
    assert_check(test_unit_ready(a, A), UNIT_ATTENTION, 0x2a, 0x05);
    assert_good(test_unit_ready(a, A));
    assert_conflict(write_block(a, A, 7, 0xa7));
}

static inline void assert_block(Bench *b, uint8_t lba, uint8_t fill)
{
    g_assert_cmphex(read_block(b, B, lba).data[0], ==, fill);
}

/* The VM goes on, its nexus fenced: the parked write is not carried out. */
static inline void assert_parked_is_aborted(Vm *vm, Bench *b, Sent *write)
{
    vm_cont(vm->qts);
    g_assert_cmphex(await_command(vm->bench, write).response, ==,
                    VIRTIO_SCSI_S_ABORTED);
    assert_fenced(vm->bench);
    assert_block(b, 1, 0);
}

static inline void assert_goes_on(Vm *vm, Bench *b)
{
    g_assert_true(vm_is_running(vm->qts));
    assert_good(write_block(vm->bench, A, 1, 0xa1));
    assert_block(b, 1, 0xa1);
    assert_keys(b, B, 2);
}

/* A fencing by A waits for @write, and ends when the VM of A is stopped. */
static inline void end_fencing_while_stopped(Vm *vm, Bench *b, Sent *write)
{
    qtest_qmp_eventwait(vm->qts, "SCSI_PR_DRAIN_LATE");
    vm_stop(vm->qts);
    release(b, "w");
    assert_good(await_command(b, write));
    while (ldl_be_p(&pr_in(b, B, READ_KEYS, 64).data[4]) != 8) {
        g_usleep(1000);
    }
    /*
     * The unit attention of the preempted may have come behind the start of
     * the READ KEYS that told the end.
     */
    test_unit_ready(b, B);
}

static inline void make_medium_and_store(void)
{
    make_file_store();
    g_free(medium);
    medium = make_medium();
    with_iothread = false;
}

static inline void *setup(GString *cmd_line, void *arg)
{
    g_autofree char *directory = make_directory();

    make_medium_and_store();
    g_free(other_store);
    /* As on another host, which does not know what guards the medium here. */
    other_store = g_strdup_printf("file:%s/other.pr,pr-accept-medium=on",
                                  directory);
    g_string_append_printf(cmd_line, " -nodefaults"
                           " -blockdev driver=file,filename=%s,"
                           "node-name=medium", medium);
    add_held(cmd_line, "");
    add_nexus(cmd_line, B, "held", file_store);
    add_nexus(cmd_line, B + 1, "medium", other_store);
    return arg;
}

static inline void *setup_iothread(GString *cmd_line, void *arg)
{
    setup(cmd_line, arg);
    with_iothread = true;
    return arg;
}

/* For tests whose VM has both nexuses */
static inline void *setup_alone(GString *cmd_line, void *arg)
{
    make_medium_and_store();
    g_string_append(cmd_line, " -nodefaults");
    return arg;
}

static inline void add_test_with(const char *name, QOSTestFunc test,
                                 void *(*before)(GString *, void *),
                                 void *arg)
{
    QOSGraphTestOptions options = { .before = before, .arg = arg };
    g_autofree char *full = g_strdup_printf("scsi-pr-%s", name);

    add_test(full, test, &options);
}

static inline void add_travel_test(const char *name, QOSTestFunc test,
                                   intptr_t arg)
{
    add_test_with(name, test, setup, (void *)arg);
}

/* Twice: requests of main loop and iothread */
static inline void add_request_test(const char *name, QOSTestFunc test,
                                    intptr_t arg)
{
    g_autofree char *iothread = g_strconcat(name, "-iothread", NULL);

    add_travel_test(name, test, arg);
    add_test_with(iothread, test, setup_iothread, (void *)arg);
}

static inline void add_alone_test(const char *name, QOSTestFunc test,
                                  void *arg)
{
    add_test_with(name, test, setup_alone, arg);
}

#endif /* TESTS_QTEST_SCSI_PR_TRAVEL_H */
