/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for a stock QEMU: what the overlay puts into QEMU's
 * own lists, and a plugin adds when it is loaded.
 */
#ifndef HW_SCSI_PR_PLUGIN_H
#define HW_SCSI_PR_PLUGIN_H

/* pr-plugin-qmp.c: commands, events, the schema */
void scsi_pr_plugin_qmp_init(void);

/* What the generated code calls, with a number of our schema. */
void scsi_pr_plugin_event_emit(unsigned event, QDict *qdict);

/* pr-plugin-trace.c. False with @errp: no event is named so. */
void scsi_pr_plugin_trace_init(void);
bool scsi_pr_plugin_trace(const char *pattern, Error **errp);

#endif /* HW_SCSI_PR_PLUGIN_H */
