/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest bench for SCSI persistent reservations: tests in qgraph
 */
#ifndef TESTS_QTEST_SCSI_PR_GROUP_H
#define TESTS_QTEST_SCSI_PR_GROUP_H

#include "libqos/virtio.h"
#include "standard-headers/linux/virtio_scsi.h"
#include "libqos/virtio-scsi.h"
#include "libqos/qgraph.h"
#include "libqos/qgraph_internal.h"

/*
 * Groups of tests. qgraph keeps all tests of a node on a small stack while it
 * looks for the ways to them: too many of them at one adapter abort qos-test.
 * Hence a node of the graph for each file, which is no device.
 */
typedef struct TestGroup {
    QOSGraphObject obj;         /* must be first */
    QVirtioSCSI *scsi;
} TestGroup;

/* A test as its file sees it: with the adapter, not the group. */
typedef struct GroupedTest {
    QOSTestFunc function;
    QOSBeforeTest before;
    void *arg;                  /* of @before */
    void *result;               /* of @before, for @function */
} GroupedTest;

/* Of this file */
static const char *test_group __attribute__((unused));

static inline void *test_group_new(void *scsi, QGuestAllocator *alloc,
                                   void *arg)
{
    TestGroup *group = g_new0(TestGroup, 1);

    group->scsi = scsi;
    return group;
}

/* Before the first add_test() of a file */
static inline void add_test_group(const char *name)
{
    test_group = name;
    qos_node_create_driver(name, test_group_new);
    qos_delete_cmd_line(name);
    qos_graph_node_set_availability(name, true);
    qos_node_consumes(name, "virtio-scsi", NULL);
}

static inline void *before_grouped_test(GString *cmd_line, void *arg)
{
    GroupedTest *test = arg;

    test->result = test->before(cmd_line, test->arg);
    return test;
}

static inline void run_grouped_test(void *obj, void *arg,
                                    QGuestAllocator *alloc)
{
    GroupedTest *test = arg;

    test->function(((TestGroup *)obj)->scsi, test->result, alloc);
}

static inline GroupedTest *grouped_test_new(QOSTestFunc function,
                                            const QOSGraphTestOptions *opts)
{
    GroupedTest *test = g_new0(GroupedTest, 1);

    test->function = function;
    test->before = opts->before;
    test->arg = opts->arg;
    return test;
}

/* As qos_add_test() for "virtio-scsi"; @opts must have @before. */
static inline void add_test(const char *name, QOSTestFunc function,
                            const QOSGraphTestOptions *opts)
{
    QOSGraphTestOptions grouped = *opts;

    grouped.before = before_grouped_test;
    grouped.arg = grouped_test_new(function, opts);
    qos_add_test(name, test_group, run_grouped_test, &grouped);
}

static inline void *before_iothread_test(GString *cmd_line, void *arg)
{
    g_string_append(cmd_line, " -object iothread,id=io0");
    return before_grouped_test(cmd_line, arg);
}

static inline void run_iothread_test(void *obj, void *arg,
                                     QGuestAllocator *alloc)
{
    GroupedTest *test = arg;

    test->function(&((QVirtioSCSIPCI *)obj)->scsi, test->result, alloc);
}

/* As add_test(), where the adapter has an iothread: libqos has one such */
static inline void add_iothread_test(const char *name, QOSTestFunc function,
                                     const QOSGraphTestOptions *opts)
{
    QOSGraphTestOptions with_iothread = *opts;

    with_iothread.before = before_iothread_test;
    with_iothread.arg = grouped_test_new(function, opts);
    with_iothread.edge.extra_device_opts = "iothread=io0";
    qos_add_test(name, "virtio-scsi-pci", run_iothread_test, &with_iothread);
}

#endif /* TESTS_QTEST_SCSI_PR_GROUP_H */
