/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: where a device's state is found.
 *
 * Every command asks, of devices without state too. So readers take no lock, RCU's
 * neither: an entry, once made, stays in its chain for good and is used again.
 * There are as many as there were devices with state at once. Only a device's own
 * commands look for its entry, and they end before its state does.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/main-loop.h"
#include "pr-internal.h"

#define SCSI_PR_CHAIN_BITS 8

typedef struct SCSIPREntry SCSIPREntry;
struct SCSIPREntry {
    SCSIDevice *dev;            /* NULL: free; set last, cleared first */
    SCSIPRState *s;
    SCSIPREntry *next;
};

/* Filled under the BQL; the last reference to a device may be dropped anywhere. */
static SCSIPREntry *scsi_pr_chains[1 << SCSI_PR_CHAIN_BITS];

static SCSIPREntry **scsi_pr_chain(const SCSIDevice *dev)
{
    /* Fibonacci hashing: the upper bits of the product depend on all others. */
    uint64_t hash = (uintptr_t)dev * UINT64_C(0x9e3779b97f4a7c15);

    return &scsi_pr_chains[hash >> (64 - SCSI_PR_CHAIN_BITS)];
}

/* Of NULL: a free one. */
static SCSIPREntry *scsi_pr_find_entry(SCSIPREntry **chain,
                                       const SCSIDevice *dev)
{
    SCSIPREntry *entry = qatomic_load_acquire(chain);

    while (entry && qatomic_load_acquire(&entry->dev) != dev) {
        entry = entry->next;
    }
    return entry;
}

SCSIPRState *scsi_pr_find(SCSIDevice *dev)
{
    SCSIPREntry *entry = scsi_pr_find_entry(scsi_pr_chain(dev), dev);

    return entry ? entry->s : NULL;
}

SCSIPRState *scsi_pr_state(SCSIDevice *dev)
{
    SCSIPRState *s = scsi_pr_find(dev);

    return s && s->handle ? s : NULL;
}

void scsi_pr_insert(SCSIPRState *s)
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

void scsi_pr_remove(SCSIPRState *s)
{
    SCSIPREntry *entry = scsi_pr_find_entry(scsi_pr_chain(s->dev), s->dev);

    qatomic_store_release(&entry->dev, NULL);
}
