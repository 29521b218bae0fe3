/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for a stock QEMU: HMP. The table of `info` commands
 * has no room for another, but the command `info` has a pointer to it: it gets
 * a larger copy.
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "../pr-compat.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "monitor/monitor-internal.h"
#include "qapi/qapi-types-common.h"
#include "pr-plugin.h"

/*
 * Commands of modules are listed from the start, and get their function when
 * the module is loaded: in QEMU's own table, too late for the copy. Functions
 * are not told which command they are called for, so there is one for each.
 */
#define SCSI_PR_LATE_MAX 4

static const HMPCommand *scsi_pr_late[SCSI_PR_LATE_MAX];

static void scsi_pr_run_late(Monitor *mon, const HMPCommand *theirs,
                             const QDict *qdict)
{
    g_autoptr(HumanReadableText) text = NULL;
    Error *err = NULL;

    if (theirs->cmd) {
        theirs->cmd(mon, qdict);
    } else if (theirs->cmd_info_hrt) {
        text = theirs->cmd_info_hrt(&err);
        if (!hmp_handle_error(mon, err)) {
            monitor_puts(mon, text->human_readable_text);
        }
    } else {
        monitor_printf(mon, "Command \"info %s\" is not available.\n",
                       theirs->name);
    }
}

#define SCSI_PR_LATE(n)                                                     \
    static void scsi_pr_late_##n(Monitor *mon, const QDict *qdict)          \
    {                                                                       \
        scsi_pr_run_late(mon, scsi_pr_late[n], qdict);                      \
    }

SCSI_PR_LATE(0)
SCSI_PR_LATE(1)
SCSI_PR_LATE(2)
SCSI_PR_LATE(3)

static void scsi_pr_forward_late(const HMPCommand *theirs, HMPCommand *copy)
{
    static void (*const forward[])(Monitor *mon, const QDict *qdict) = {
        scsi_pr_late_0, scsi_pr_late_1, scsi_pr_late_2, scsi_pr_late_3,
    };
    static size_t count;

    if (!theirs->cmd && !theirs->cmd_info_hrt && count < SCSI_PR_LATE_MAX) {
        scsi_pr_late[count] = theirs;
        copy->cmd = forward[count++];
    }
}

static HMPCommand *scsi_pr_find_info(void)
{
    for (HMPCommand *each = hmp_cmds; each->name; each++) {
        if (hmp_compare_cmd("info", each->name) && each->sub_table) {
            return each;
        }
    }
    return NULL;
}

/* Monitors show them in the order of their names. */
static HMPCommand *scsi_pr_with(const HMPCommand *table, const HMPCommand *ours)
{
    HMPCommand *copy;
    size_t count = 0, to = 0;

    while (table[count].name) {
        count++;
    }
    copy = g_new0(HMPCommand, count + 2);
    for (size_t from = 0; from < count; from++) {
        if (to == from && strcmp(table[from].name, ours->name) > 0) {
            copy[to++] = *ours;
        }
        copy[to] = table[from];
        scsi_pr_forward_late(&table[from], &copy[to++]);
    }
    if (to == count) {
        copy[to] = *ours;
    }
    return copy;
}

void scsi_pr_plugin_register_hmp(const char *name, bool info,
                                 void (*cmd)(Monitor *mon, const QDict *qdict))
{
    static HMPCommand ours[] = {
#include "hmp-entry.h"          /* as scripts/qemu-overlay lists it */
    };
    HMPCommand *parent = scsi_pr_find_info();

    g_assert(info && g_str_equal(name, ours[0].name));
    ours[0].cmd = cmd;
    if (parent) {
        parent->sub_table = scsi_pr_with(parent->sub_table, ours);
    }
}
