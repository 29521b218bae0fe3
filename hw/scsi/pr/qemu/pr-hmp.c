/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: HMP, what query-scsi-pr says for
 * people.
 */
#include "qemu/osdep.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-scsi-pr.h"
#include "pr-internal.h"

static void scsi_pr_print_reservation(Monitor *mon, const ScsiPrState *state)
{
    const ScsiPrReservation *reservation = state->reservation;
    const ScsiPrNexus *holder = reservation ? reservation->holder
                                            : state->legacy_holder;

    if (state->has_information_lost && state->information_lost) {
        monitor_printf(mon, "  Information lost, waits for REPLACE LOST"
                       " RESERVATION\n");
    }
    monitor_printf(mon, "  Reservation: %s",
                   reservation ? ScsiPrType_str(reservation->type)
                               : holder ? "made by RESERVE (SPC-2)" : "none");
    if (holder) {
        monitor_printf(mon, ", held by %s, target port %u", holder->initiator,
                       holder->target_port);
    } else if (reservation) {
        monitor_printf(mon, ", held by every registered I_T nexus");
    }
    monitor_printf(mon, "\n");
}

static void scsi_pr_print_state(Monitor *mon, const ScsiPrState *state)
{
    const ScsiPrRegistrationList *each;

    monitor_printf(mon, "  PRgeneration: %u, APTPL: %s\n",
                   state->pr_generation, state->aptpl ? "on" : "off");
    scsi_pr_print_reservation(mon, state);
    monitor_printf(mon, "  Registrations:%s\n",
                   state->registrations ? "" : " none");
    for (each = state->registrations; each; each = each->next) {
        const ScsiPrRegistration *registration = each->value;

        monitor_printf(mon, "    %s  %s, ", registration->key,
                       registration->initiator);
        if (registration->target_port) {
            monitor_printf(mon, "target port %u\n", registration->target_port);
        } else {
            monitor_printf(mon, "all target ports\n");
        }
    }
}

static void scsi_pr_print_attached(Monitor *mon,
                                   const ScsiPrAttachmentList *list)
{
    monitor_printf(mon, "  Attached:\n");
    for (; list; list = list->next) {
        const ScsiPrAttachment *attached = list->value;
        g_autofree char *host = attached->host
            ? g_strdup_printf("host %s, ", attached->host) : g_strdup("");

        monitor_printf(mon, "    %sprocess %u (%s): %s, target port %u, %s,"
                       " commands: %u%s\n", host,
                       attached->process_id, attached->owner,
                       attached->initiator, attached->target_port,
                       attached->live ? "live" : "gone", attached->commands,
                       attached->being_fenced ? ", being fenced" : "");
    }
}

static void scsi_pr_print_operations(Monitor *mon,
                                     const ScsiPrOperationList *list)
{
    for (; list; list = list->next) {
        monitor_printf(mon, "  Under way: %s, %s\n", list->value->operation,
                       ScsiPrCommand_str(list->value->command));
    }
}

static void scsi_pr_print_statistics(Monitor *mon,
                                     const ScsiPrStatistics *statistics)
{
    const ScsiPrOutCountList *each;

    monitor_printf(mon, "  Conflicts: %" PRIu64 ", suspended: %" PRIu64
                   ", aborted tasks: %" PRIu64 "\n"
                   "  Fencings: %" PRIu64 ", failed: %" PRIu64
                   ", last drain: %" PRIu64 " ms, longest: %" PRIu64 " ms\n",
                   statistics->conflicts, statistics->suspended,
                   statistics->aborted_tasks,
                   statistics->fencings, statistics->fencings_failed,
                   statistics->last_drain_time,
                   statistics->longest_drain_time);
    for (each = statistics->persistent_reserve_out; each; each = each->next) {
        monitor_printf(mon, "  PERSISTENT RESERVE OUT %s: %" PRIu64
                       ", failed: %" PRIu64 "\n",
                       ScsiPrOutAction_str(each->value->action),
                       each->value->count, each->value->failed);
    }
}

static void scsi_pr_print_info(Monitor *mon, const ScsiPrInfo *info)
{
    monitor_printf(mon, "%s: %s\n  I_T nexus: %s, target port %u\n",
                   info->device ? info->device : info->path, info->store,
                   info->initiator, info->target_port);
    if (info->error) {
        monitor_printf(mon, "  Error: %s\n", info->error);
    } else {
        scsi_pr_print_state(mon, info->state);
        scsi_pr_print_attached(mon, info->attached);
    }
    scsi_pr_print_operations(mon, info->operations);
    scsi_pr_print_statistics(mon, info->statistics);
}

static void hmp_info_scsi_pr(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    ScsiPrInfoList *list = qmp_query_scsi_pr(&err);

    if (!hmp_handle_error(mon, err) && !list) {
        monitor_printf(mon, "No SCSI device has pr-store set\n");
    }
    for (ScsiPrInfoList *each = list; each; each = each->next) {
        scsi_pr_print_info(mon, each->value);
    }
    qapi_free_ScsiPrInfoList(list);
}

void scsi_pr_hmp_init(void)
{
    monitor_register_hmp("scsi-pr", true, hmp_info_scsi_pr);
}
