/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: the states of all devices that have one.
 *
 * Every command of such a device asks, and every command of others beside it. So
 * readers take no lock, RCU's neither: an entry, once made, stays in its chain for
 * good and is used again. There are as many as there were devices with state at
 * once. Only a device's own commands look for its entry, and they end before its
 * state does.
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "pr-internal.h"

/* Filled under the BQL; the last reference to a device may be dropped anywhere. */
SCSIPREntry *scsi_pr_chains[SCSI_PR_CHAINS];

void scsi_pr_insert(SCSIPRDisk *s)
{
    SCSIPREntry **chain = scsi_pr_chain(s->dev);
    SCSIPREntry *entry = scsi_pr_find_entry(chain, NULL);

    GLOBAL_STATE_CODE();
    if (!entry) {
        entry = g_new0(SCSIPREntry, 1);
        entry->next = *chain;
        qatomic_store_release(chain, entry);
    }
    entry->s = s;
    qatomic_store_release(&entry->dev, s->dev);
}

void scsi_pr_remove(SCSIPRDisk *s)
{
    SCSIPREntry *entry = scsi_pr_find_entry(scsi_pr_chain(s->dev), s->dev);

    qatomic_store_release(&entry->dev, NULL);
}
