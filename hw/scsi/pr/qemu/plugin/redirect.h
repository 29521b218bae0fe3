/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for a stock QEMU: functions of QEMU that come too late
 * in a plugin, or fill lists that have no room. The shim and the generated code
 * are compiled with this before everything else, and call ours instead.
 */
#define register_module_init scsi_pr_plugin_module_init     /* pr-plugin.c */
#define monitor_register_hmp scsi_pr_plugin_register_hmp    /* pr-plugin-hmp.c */
#define qapi_event_emit scsi_pr_plugin_event_emit           /* pr-plugin-qmp.c */
