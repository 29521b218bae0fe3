/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: which passthrough devices
 * can have a store. What is refused is told with what to do instead.
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-passthrough.h"

/* NULL or why not; @value NULL: @option is switched on, if there is one */
static char *try_plug(const char *variable, const char *driver,
                      const char *option, const char *value)
{
    static int count;
    g_autofree char *id = g_strdup_printf("tried%d", count++);
    QDict *node_options = qdict_new();
    QDict *options = qdict_new();
    QDict *answer;
    char *error = NULL;

    qdict_put_str(node_options, "driver", "host_device");
    qdict_put_str(node_options, "node-name", id);
    qdict_put_str(node_options, "filename", node(variable));
    qtest_qmp_assert_success(global_qtest,
                             "{'execute': 'blockdev-add', 'arguments': %p}",
                             node_options);
    qdict_put_str(options, "driver", driver);
    qdict_put_str(options, "drive", id);
    qdict_put_str(options, "pr-store", "memory:");
    qdict_put_str(options, "pr-initiator", "iqn.2026-01.org.example:tried");
    if (value) {
        qdict_put_str(options, option, value);
    } else if (option) {
        qdict_put_bool(options, option, true);
    }
    answer = qtest_qmp(global_qtest,
                       "{'execute': 'device_add', 'arguments': %p}", options);
    if (qdict_haskey(answer, "error")) {
        error = g_strdup(qdict_get_str(qdict_get_qdict(answer, "error"),
                                       "desc"));
    }
    qobject_unref(answer);
    return error;
}

static void assert_refused(const char *variable, const char *driver,
                           const char *option, const char *value,
                           const char *why)
{
    g_autofree char *error = try_plug(variable, driver, option, value);

    g_assert_nonnull(error);
    g_test_message("%s", error);
    g_assert_nonnull(strstr(error, why));
}

static void test_refused(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *error = NULL;

    assert_refused("SCSI_PR_DEBUG_SG", "scsi-generic", NULL, NULL,
                   "use scsi-block");
    assert_refused("SCSI_PR_CD_SG", "scsi-generic", "pr-accept-orphans", NULL,
                   "type 0x05 (CD-ROM)");
    if (QEMU_VERSION_MAJOR < 10) {
        assert_refused("SCSI_PR_DEBUG_BLOCK", "scsi-block", "werror", "stop",
                       "werror=report");
        assert_refused("SCSI_PR_DEBUG_BLOCK", "scsi-block", "rerror", "ignore",
                       "rerror=report");
    }
    error = try_plug("SCSI_PR_DEBUG_BLOCK", "scsi-block", "werror", "report");
    g_assert_cmpstr(error, ==, NULL);
}

/*
 * pr-dir: shared disks get the store that their identity names, as the kernel
 * has it; a private one and a CD-ROM have none.
 */
static char *directory;

static void assert_store(const char *id, const char *variable)
{
    g_autofree char *wwid = shell("cat /sys/block/$(basename %s)/device/wwid",
                                  variable);
    g_autofree char *store = g_strdup_printf("file:%s/%s.pr", directory,
                                             g_strchomp(wwid));
    QDict *info = query_device(id);

    g_assert_cmpstr(qdict_get_str(info, "store"), ==, store);
    qobject_unref(info);
}

static void test_dir(void *obj, void *data, QGuestAllocator *alloc)
{
    QDict *answer = qtest_qmp(global_qtest, "{'execute': 'query-scsi-pr'}");

    assert_store("lio", "SCSI_PR_LIO_BLOCK");
    assert_store("debug", "SCSI_PR_DEBUG_BLOCK");
    g_assert_cmpuint(qlist_size(qdict_get_qlist(answer, "return")), ==, 2);
    qobject_unref(answer);
}

static void add_disk(GString *cmd_line, const char *id, const char *driver,
                     const char *variable, bool shared)
{
    g_string_append_printf(cmd_line, " -blockdev driver=host_device,"
                           "node-name=node-%s,filename=%s", id,
                           node(variable));
    g_string_append_printf(cmd_line, " -device %s,id=%s,drive=node-%s,"
                           "share-rw=%s", driver, id, id,
                           shared ? "on" : "off");
}

static void *setup_dir(GString *cmd_line, void *arg)
{
    directory = make_directory();
    add_ring(cmd_line, 16);
    g_string_append_printf(cmd_line, " -uuid"
                           " 7e4d0000-0000-4000-8000-00000000000a"
                           " -global scsi-block.pr-dir=%s"
                           " -global scsi-generic.pr-dir=%s",
                           directory, directory);
    add_disk(cmd_line, "cd", "scsi-generic", "SCSI_PR_CD_SG", true);
    add_disk(cmd_line, "debug", "scsi-block", "SCSI_PR_DEBUG_BLOCK", true);
    add_disk(cmd_line, "private", "scsi-block", "SCSI_PR_LIO_OTHER", false);
    add_disk(cmd_line, "lio", "scsi-block", "SCSI_PR_LIO_BLOCK", true);
    return arg;
}

static void *setup_nothing(GString *cmd_line, void *arg)
{
    add_ring(cmd_line, 16);
    return arg;
}

static void register_scsi_pr_passthrough_plug_test(void)
{
    QOSGraphTestOptions nothing = { .before = setup_nothing };
    QOSGraphTestOptions dir = { .before = setup_dir };

    add_test_group("passthrough-pr-plug-group");
    add_test("passthrough-pr-refused", test_refused, &nothing);
    add_test("passthrough-pr-dir", test_dir, &dir);
}

libqos_init(register_scsi_pr_passthrough_plug_test);
