/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: resets.
 *
 * Persistent reservations survive every reset. A reservation made by RESERVE
 * (SPC-2) does not, and which one it takes along depends on what was reset.
 */
#include "qemu/osdep.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "trace.h"

/*
 * An adapter that carries out LOGICAL UNIT RESET resets the device alone. When
 * the machine or the adapter is reset, the bus is in reset too: that is the
 * initiator's end, which says nothing to other initiators (SAM-4 6.3.4).
 *
 * virtio-scsi carries out I_T NEXUS RESET in the same way as LOGICAL UNIT
 * RESET; nothing tells them apart here.
 */
static ScsiPrReset scsi_pr_reset_kind(DeviceState *qdev)
{
    return bus_is_in_reset(qdev_get_parent_bus(qdev))
        ? SCSI_PR_NEXUS_LOSS : SCSI_PR_LOGICAL_UNIT_RESET;
}

void scsi_pr_reset_device(DeviceState *qdev)
{
    SCSIDevice *dev = SCSI_DEVICE(qdev);
    SCSIPRDisk *s = scsi_pr_state(dev);
    ScsiPrReset kind;

    if (scsi_pr_class(dev)->reset) {
        BlockDriverState *purging = s ? pr_compat_begin_purge(dev) : NULL;

        scsi_pr_class(dev)->reset(qdev);
        pr_compat_end_purge(purging);
    }
    /* Plugging a device resets it before it is realized: that is no event. */
    if (!s || !qdev->realized) {
        return;
    }
    kind = scsi_pr_reset_kind(qdev);
    trace_scsi_pr_reset(dev->id, dev->lun, kind == SCSI_PR_LOGICAL_UNIT_RESET
                        ? "logical unit" : "I_T nexus loss");
    scsi_pr_reset(s->handle, kind);
}
