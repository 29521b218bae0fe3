/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest bench for SCSI persistent reservations: VMs beside the one that qgraph
 * has started, and their migration
 */
#ifndef TESTS_QTEST_SCSI_PR_VM_H
#define TESTS_QTEST_SCSI_PR_VM_H

#include "scsi-pr-setup.h"
#include "libqos/generic-pcihost.h"
#include "libqos/libqos-pc.h"
#include "libqos/malloc-pc.h"
#include "libqos/pci-pc.h"
#include "libqos/virtio-pci.h"

#define VM_PCI_SLOT_OF_ADAPTER 4

/* Of the machine virt */
#define VM_VIRT_RAM 0x40000000
#define VM_VIRT_RAM_SIZE (128 * 1024 * 1024)
#define VM_VIRT_PAGE_SIZE 4096

typedef struct Vm {
    QTestState *qts;
    QGuestAllocator alloc;
    QGenericPCIBus virt;        /* unless the machine is a PC */
    QPCIBus *bus;
    QVirtioPCIDevice *pci;
    Bench *bench;
} Vm;

static inline QTestState *vm_process(const char *args)
{
    return qtest_initf("%s -nodefaults -device virtio-scsi-pci,addr=%d%s",
                       machine_options(), VM_PCI_SLOT_OF_ADAPTER, args);
}

static inline void vm_open_bus(Vm *vm)
{
    if (is_virt()) {
        alloc_init(&vm->alloc, 0, VM_VIRT_RAM, VM_VIRT_RAM + VM_VIRT_RAM_SIZE,
                   VM_VIRT_PAGE_SIZE);
        qpci_init_generic(&vm->virt, vm->qts, &vm->alloc, false);
        vm->bus = &vm->virt.bus;
    } else {
        pc_alloc_init(&vm->alloc, vm->qts, 0);
        vm->bus = qpci_new_pc(vm->qts, &vm->alloc);
    }
}

/* @args: its disks */
static inline Vm *vm_new(const char *args)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(VM_PCI_SLOT_OF_ADAPTER, 0) };
    Vm *vm = g_new0(Vm, 1);

    vm->qts = vm_process(args);
    vm_open_bus(vm);
    vm->pci = virtio_pci_new(vm->bus, &addr);
    g_assert_nonnull(vm->pci);
    qvirtio_pci_device_enable(vm->pci);
    qvirtio_start_device(&vm->pci->vdev);
    vm->bench = bench_open(vm->qts, &vm->pci->vdev, &vm->alloc);
    return vm;
}

static inline void vm_free(Vm *vm)
{
    bench_free(vm->bench);
    qos_object_destroy((QOSGraphObject *)vm->pci);
    if (!is_virt()) {
        qpci_free_pc(vm->bus);
    }
    alloc_destroy(&vm->alloc);
    qtest_quit(vm->qts);
    g_free(vm);
}

/* The guest is in that process now; returns the one that it was in. */
static inline QTestState *vm_move(Vm *vm, QTestState *to)
{
    QTestState *from = vm->qts;

    vm->qts = vm->bus->qts = vm->bench->qts = to;
    return from;
}

static inline void qmp_run(QTestState *qts, const char *command)
{
    qtest_qmp_assert_success(qts, "{'execute': %s}", command);
}

static inline void vm_stop(QTestState *qts)
{
    qmp_run(qts, "stop");
    qtest_qmp_eventwait(qts, "STOP");
}

static inline void vm_cont(QTestState *qts)
{
    qmp_run(qts, "cont");
    qtest_qmp_eventwait(qts, "RESUME");
}

static inline bool vm_is_running(QTestState *qts)
{
    QDict *answer = qtest_qmp(qts, "{'execute': 'query-status'}");
    bool running = qdict_get_bool(qdict_get_qdict(answer, "return"),
                                  "running");

    qobject_unref(answer);
    return running;
}

/* @capability: "postcopy-ram", ...; false if QEMU cannot do it here */
static inline bool set_capability(QTestState *qts, const char *capability)
{
    QDict *answer = qtest_qmp(
        qts, "{'execute': 'migrate-set-capabilities', 'arguments':"
        " {'capabilities': [{'capability': %s, 'state': true}]}}", capability);
    bool done = qdict_haskey(answer, "return");

    qobject_unref(answer);
    return done;
}

static inline void migrate_to(QTestState *qts, const char *uri)
{
    qtest_qmp_assert_success(
        qts, "{'execute': 'migrate', 'arguments': {'uri': %s}}", uri);
}

static inline void migrate_from(QTestState *qts, const char *uri)
{
    qtest_qmp_assert_success(
        qts, "{'execute': 'migrate-incoming', 'arguments': {'uri': %s}}", uri);
}

static inline char *migration_status(QTestState *qts)
{
    QDict *answer = qtest_qmp(qts, "{'execute': 'query-migrate'}");
    char *status = g_strdup(qdict_get_try_str(qdict_get_qdict(answer,
                                                              "return"),
                                              "status"));

    qobject_unref(answer);
    return status;
}

static inline void await_migration(QTestState *qts, const char *outcome)
{
    int64_t start = g_get_monotonic_time();

    for (;;) {
        g_autofree char *status = migration_status(qts);

        if (g_strcmp0(status, outcome) == 0) {
            return;
        }
        g_assert_cmpstr(status, !=, "completed");
        g_assert_cmpstr(status, !=, "failed");
        g_assert(g_get_monotonic_time() - start <= TIMEOUT_US);
        g_usleep(1000);
    }
}

/* A process that has refused what came to it has ended with an error. */
static inline void assert_has_refused(QTestState *qts)
{
    qtest_set_expected_status(qts, EXIT_FAILURE);
    while (qtest_probe_child(qts)) {
        g_usleep(1000);
    }
    qtest_quit(qts);
}

static inline void remove_directory(void *path)
{
    g_autofree char *command = g_strdup_printf("rm -r %s", (char *)path);

    g_assert_cmpint(system(command), ==, 0);
    g_free(path);
}

/* Of the test's own, which the test's end removes with all that is in it */
static inline char *make_directory(void)
{
    char *path = g_dir_make_tmp("scsi-pr-XXXXXX", NULL);

    g_assert(path);
    g_test_queue_destroy(remove_directory, g_strdup(path));
    return path;
}

static inline char *make_socket_uri(void)
{
    g_autofree char *directory = make_directory();

    return g_strdup_printf("unix:%s/migration", directory);
}

/* A process that waits for the VM that another one with @args has */
static inline QTestState *vm_destination(const char *args)
{
    g_autofree char *all = g_strdup_printf("%s -incoming defer", args);

    return vm_process(all);
}

/* Returns when the VM is in both processes. */
static inline void vm_send(Vm *vm, QTestState *destination)
{
    g_autofree char *uri = make_socket_uri();

    migrate_from(destination, uri);
    migrate_to(vm->qts, uri);
    await_migration(vm->qts, "completed");
    await_migration(destination, "completed");
}

/* Sends the VM to a new process with @args, and ends the source. */
static inline void vm_migrate(Vm *vm, const char *args)
{
    QTestState *destination = vm_destination(args);

    vm_send(vm, destination);
    qtest_quit(vm_move(vm, destination));
}

/* The destination refuses what comes late in the stream, and the source hears it. */
static inline void vm_send_refused(Vm *vm, const char *args)
{
    g_autofree char *uri = make_socket_uri();
    QTestState *destination = vm_destination(args);

    g_assert_true(set_capability(destination, "return-path"));
    g_assert_true(set_capability(vm->qts, "return-path"));
    migrate_from(destination, uri);
    migrate_to(vm->qts, uri);
    await_migration(vm->qts, "failed");
    assert_has_refused(destination);
}

#endif /* TESTS_QTEST_SCSI_PR_VM_H */
