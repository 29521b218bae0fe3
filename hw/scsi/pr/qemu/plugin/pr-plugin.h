/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for a stock QEMU: what the overlay puts into QEMU's
 * own lists, and a plugin adds when it is loaded.
 */
#ifndef HW_SCSI_PR_PLUGIN_H
#define HW_SCSI_PR_PLUGIN_H

#include "qemu/module.h"

/* In place of QEMU's functions: redirect.h */
void scsi_pr_plugin_module_init(void (*fn)(void), module_init_type type);
void scsi_pr_plugin_register_hmp(const char *name, bool info,
                                 void (*cmd)(Monitor *mon, const QDict *qdict));
void scsi_pr_plugin_event_emit(unsigned event, QDict *qdict);

/* pr-plugin-qmp.c: commands and the schema */
void scsi_pr_plugin_qmp_init(void);

/* pr-plugin-trace.c. False with @errp: no event is named so. */
bool scsi_pr_plugin_trace(const char *pattern, Error **errp);

#endif /* HW_SCSI_PR_PLUGIN_H */
