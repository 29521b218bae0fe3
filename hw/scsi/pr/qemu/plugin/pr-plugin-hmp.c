/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for a stock QEMU: HMP. The table of `info` commands
 * has no room for another, but the command `info` has a pointer to it.
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "../pr-compat.h"
#include "monitor/monitor-internal.h"
#include "pr-plugin.h"

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
static HMPCommand *scsi_pr_insert(const HMPCommand *table, HMPCommand *ours)
{
    size_t count = 0, at = 0;
    HMPCommand *larger;

    while (table[count].name) {
        count++;
    }
    while (at < count && strcmp(table[at].name, ours->name) < 0) {
        at++;
    }
    larger = g_new0(HMPCommand, count + 2);
    memcpy(larger, table, at * sizeof(*table));
    larger[at] = *ours;
    memcpy(larger + at + 1, table + at, (count - at) * sizeof(*table));
    return larger;
}

/* As scripts/qemu-overlay lists it. */
void pr_compat_register_hmp_info(const char *name,
                                 void (*cmd)(Monitor *mon, const QDict *qdict))
{
    HMPCommand *info = scsi_pr_find_info();
    HMPCommand ours = {
        .name = name,
        .args_type = "",
        .params = "",
        .help = "show persistent reservations of SCSI devices",
        .flags = "p",
        .coroutine = true,
        .cmd = cmd,
    };

    if (info) {
        info->sub_table = scsi_pr_insert(info->sub_table, &ours);
    }
}
