/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: how a device's state is found; a part of
 * pr-internal.h. In line, for every command asks.
 */
#ifndef HW_SCSI_PR_STATE_H
#define HW_SCSI_PR_STATE_H

#include "qemu/atomic.h"

typedef struct SCSIPREntry SCSIPREntry;
struct SCSIPREntry {
    SCSIDevice *dev;            /* NULL: free; set last, cleared first */
    SCSIPRDisk *s;
    SCSIPREntry *next;
};

#define SCSI_PR_CHAINS 256

extern SCSIPREntry *scsi_pr_chains[SCSI_PR_CHAINS];

static inline SCSIPREntry **scsi_pr_chain(const SCSIDevice *dev)
{
    /* Fibonacci hashing: the upper bits of the product depend on all others. */
    uint32_t hash = (uint32_t)((uintptr_t)dev >> 4) * 0x9e3779b9u;

    return &scsi_pr_chains[hash / (UINT32_MAX / SCSI_PR_CHAINS + 1)];
}

/* Of NULL: a free one. */
static inline SCSIPREntry *scsi_pr_find_entry(SCSIPREntry **chain,
                                              const SCSIDevice *dev)
{
    SCSIPREntry *entry = qatomic_load_acquire(chain);

    while (entry && qatomic_load_acquire(&entry->dev) != dev) {
        entry = entry->next;
    }
    return entry;
}

/*
 * The state of a device that has a property of ours set, or NULL; and if it
 * is realized with pr-store, or NULL. Any thread; lock-free. Valid as long as
 * the device.
 */
static inline SCSIPRDisk *scsi_pr_find(SCSIDevice *dev)
{
    SCSIPREntry *entry = scsi_pr_find_entry(scsi_pr_chain(dev), dev);

    return entry ? entry->s : NULL;
}

static inline SCSIPRDisk *scsi_pr_state(SCSIDevice *dev)
{
    SCSIPRDisk *s = scsi_pr_find(dev);

    return s && s->handle ? s : NULL;
}

/* In the main loop, and in any thread; no command of the device is under way. */
void scsi_pr_insert(SCSIPRDisk *s);
void scsi_pr_remove(SCSIPRDisk *s);

#endif /* HW_SCSI_PR_STATE_H */
