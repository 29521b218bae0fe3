/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: which backends a device
 * with a store may write through
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
/* moved between the series that we build with */
#include "scsi-pr-bench.h"
#include "scsi-pr-group.h"

/* The tests share a QEMU: each has node names of its own. */
static const char *medium;

static void *setup(GString *cmd_line, void *arg)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("scsi-pr-XXXXXX", &path, NULL);

    g_assert(fd >= 0 && ftruncate(fd, 1024 * 1024) == 0);
    close(fd);
    g_string_append(cmd_line, " -nodefaults");
    medium = g_strdup(path);
    qtest_add_abrt_handler((void (*)(void *))unlink, (void *)medium);
    g_test_queue_destroy((GDestroyNotify)unlink, (void *)medium);
    return arg;
}

/* NULL or the error's text; free with g_free(). */
static char *execute(const char *command, QDict *arguments)
{
    QDict *answer = qtest_qmp(global_qtest, "{'execute': %s, 'arguments': %p}",
                              command, arguments);
    QDict *error = qdict_get_qdict(answer, "error");
    char *text = error ? g_strdup(qdict_get_str(error, "desc")) : NULL;

    qobject_unref(answer);
    return text;
}

/*
 * Adds a file node; with @aio NULL without that option. False: the test is
 * skipped, since the machine has no io_uring and QEMU 7.2 insists on it.
 */
static bool add_file(const char *node, const char *aio, bool read_only)
{
    QDict *options = qdict_new();
    g_autofree char *error = NULL;

    qdict_put_str(options, "driver", "file");
    qdict_put_str(options, "node-name", node);
    qdict_put_str(options, "filename", medium);
    qdict_put_bool(options, "read-only", read_only);
    if (aio) {
        qdict_put_str(options, "aio", aio);
    }
    error = execute("blockdev-add", options);
    if (error && strstr(error, "Unable to use io_uring")) {
        g_test_skip(error);
        return false;
    }
    g_assert_cmpstr(error, ==, NULL);
    return true;
}

static void add_node_above(const char *driver, const char *node,
                           const char *file)
{
    QDict *options = qdict_new();
    g_autofree char *error = NULL;

    qdict_put_str(options, "driver", driver);
    qdict_put_str(options, "node-name", node);
    qdict_put_str(options, "file", file);
    error = execute("blockdev-add", options);
    g_assert_cmpstr(error, ==, NULL);
}

/* NULL or why not. Each time another device, for each node its own store. */
static char *plug(const char *drive, bool with_store)
{
    static int count;
    g_autofree char *id = g_strdup_printf("disk%d", count++);
    g_autofree char *initiator =
        g_strdup_printf("iqn.2026-01.org.example:%s", id);
    QDict *options = qdict_new();

    qdict_put_str(options, "driver", "scsi-hd");
    qdict_put_str(options, "id", id);
    qdict_put_str(options, "drive", drive);
    qdict_put_bool(options, "share-rw", true);
    qdict_put_str(options, "serial", "backend");
    if (with_store) {
        qdict_put_str(options, "pr-store", "memory:");
        qdict_put_bool(options, "pr-accept-medium", true);
        qdict_put_str(options, "pr-initiator", initiator);
    }
    return execute("device_add", options);
}

static void assert_accepted(const char *drive)
{
    g_autofree char *error = plug(drive, true);

    g_assert_cmpstr(error, ==, NULL);
}

/* The error names the node and what to use instead. */
static void assert_refused(const char *drive, const char *node)
{
    g_autofree char *error = plug(drive, true);
    g_autofree char *name = g_strdup_printf("'%s'", node);

    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error, "io_uring"));
    g_assert_nonnull(strstr(error, name));
    g_assert_nonnull(strstr(error, "aio=native or aio=threads"));
}

static void test_threads(void *obj, void *data, QGuestAllocator *alloc)
{
    add_file("default", NULL, false);
    assert_accepted("default");
    add_file("threads", "threads", false);
    assert_accepted("threads");
    add_node_above("raw", "format-threads", "threads");
    assert_accepted("format-threads");
}

static void test_io_uring(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *without = NULL;

    if (!add_file("ring", "io_uring", false)) {
        return;
    }
    assert_refused("ring", "ring");
    /* a filter above a format above it */
    add_node_above("raw", "format-ring", "ring");
    add_node_above("copy-on-read", "filter", "format-ring");
    assert_refused("filter", "ring");
    /* a device without store may do as it likes */
    without = plug("ring", false);
    g_assert_cmpstr(without, ==, NULL);
}

/* -drive has the option as a flag */
static void test_io_uring_flag(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *said =
        qtest_hmp(global_qtest, "drive_add 0 if=none,id=legacy,format=raw,"
                  "aio=io_uring,file=%s", medium);
    g_autofree char *error = NULL;

    if (strstr(said, "Unable to use io_uring")) {
        g_test_skip(said);
        return;
    }
    g_assert_cmpstr(g_strstrip(said), ==, "OK");
    error = plug("legacy", true);
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error, "aio=native or aio=threads"));
}

/* What is never written to may be read by any way */
static void test_read_only(void *obj, void *data, QGuestAllocator *alloc)
{
    if (add_file("ring-read-only", "io_uring", true)) {
        assert_accepted("ring-read-only");
    }
}

static void register_scsi_pr_backend_test(void)
{
    QOSGraphTestOptions options = { .before = setup };

    add_test_group("scsi-pr-backend-group");
    add_test("scsi-pr-backend-threads", test_threads, &options);
    add_test("scsi-pr-backend-io-uring", test_io_uring, &options);
    add_test("scsi-pr-backend-io-uring-flag", test_io_uring_flag, &options);
    add_test("scsi-pr-backend-read-only", test_read_only, &options);
}

libqos_init(register_scsi_pr_backend_test);
