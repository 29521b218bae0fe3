/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for a stock QEMU: trace events. QEMU reads -trace
 * before it loads plugins, so an argument of the plugin stands in for it.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "trace/control.h"
#include "pr-plugin.h"

bool scsi_pr_plugin_trace(const char *pattern, Error **errp)
{
    bool found = false;
    TraceEventIter iter;
    TraceEvent *event;

    trace_event_iter_init_pattern(&iter, pattern);
    while ((event = trace_event_iter_next(&iter))) {
        found = true;
        if (trace_event_get_state_static(event)) {
            trace_event_set_state_dynamic(event, true);
        }
    }
    if (!found) {
        error_setg(errp, "there is no trace event '%s'", pattern);
        error_append_hint(errp, "All of ours are scsi_pr_*.\n");
    }
    return found;
}
