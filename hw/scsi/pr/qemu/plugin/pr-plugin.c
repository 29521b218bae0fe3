/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for a stock QEMU: begins where the overlay is called
 * by QEMU. Plugins are loaded after the options are parsed and before the
 * board and any device is made.
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "../pr-compat.h"
#include "interface.h"
#include "pr-plugin.h"

/* QEMU would say only that an error code was returned. */
static void G_NORETURN scsi_pr_refuse(Error *err)
{
    error_reportf_err(err, "scsi-pr: ");
    exit(1);
}

static void scsi_pr_check_is_new(void)
{
    ObjectClass *klass = object_class_by_name("scsi-hd");
    Error *err = NULL;

    if (klass && object_class_property_find(klass, "pr-store")) {
        error_setg(&err, "this QEMU has persistent reservations already");
        error_append_hint(&err, "Leave this -plugin out, or give it only"
                          " once.\n");
        scsi_pr_refuse(err);
    }
}

static void scsi_pr_take_argument(const char *argument)
{
    const char *pattern;
    Error *err = NULL;

    if (!strstart(argument, "trace=", &pattern)) {
        error_setg(&err, "the plugin has no argument '%s'", argument);
        error_append_hint(&err, "It takes trace=PATTERN. Stores are named by"
                          " properties of the disks: pr-store, pr-dir.\n");
    } else {
        scsi_pr_plugin_trace(pattern, &err);
    }
    if (err) {
        scsi_pr_refuse(err);
    }
}

/* Functions of the shim and of its trace events that QEMU shall call. */
static GSList *scsi_pr_functions[MODULE_INIT_MAX];

/* When we are loaded: QEMU has called those of its own long ago. */
void scsi_pr_plugin_module_init(void (*fn)(void), module_init_type type)
{
    scsi_pr_functions[type] = g_slist_append(scsi_pr_functions[type], fn);
}

static void scsi_pr_call(module_init_type type)
{
    for (GSList *each = scsi_pr_functions[type]; each; each = each->next) {
        ((void (*)(void))each->data)();
    }
}

static int scsi_pr_install(uint64_t id, const void *info, int argc, char **argv)
{
    scsi_pr_check_is_new();
    scsi_pr_call(MODULE_INIT_TRACE);
    for (int i = 0; i < argc; i++) {
        scsi_pr_take_argument(argv[i]);
    }
    scsi_pr_plugin_qmp_init();
    scsi_pr_call(MODULE_INIT_QOM);
    scsi_pr_call(MODULE_INIT_MIGRATION);
    return 0;
}

__attribute__((visibility("default"))) extern const ScsiPrPlugin
    SCSI_PR_PLUGIN_VARIABLE;
const ScsiPrPlugin SCSI_PR_PLUGIN_VARIABLE = {
    .api_version = QEMU_PLUGIN_VERSION,
    .install = scsi_pr_install,
};
