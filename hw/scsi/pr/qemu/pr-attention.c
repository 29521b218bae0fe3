/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: unit attention conditions.
 *
 * A pending condition turns the next request into one of QEMU's own for that
 * purpose.
 */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "scsi/constants.h"
#include "scsi/utils.h"
#include "pr-internal.h"
#include "trace.h"

SCSIRequest *scsi_pr_unit_attention_req(SCSIPRState *s, uint32_t tag,
                                        uint32_t lun, uint8_t *buf,
                                        void *hba_private)
{
    ScsiPrSense taken;
    SCSISense sense;

    if (buf[0] == INQUIRY || buf[0] == REPORT_LUNS || buf[0] == REQUEST_SENSE) {
        return NULL;
    }
    QEMU_LOCK_GUARD(&s->unit_attention_lock);
    if (s->dev->unit_attention.key == UNIT_ATTENTION ||
        !scsi_pr_take_unit_attention(s->handle, &taken)) {
        return NULL;
    }
    sense = (SCSISense) {
        .key = taken.key, .asc = taken.asc, .ascq = taken.ascq,
    };
    trace_scsi_pr_unit_attention(s->dev->id, lun, sense.asc, sense.ascq);
    scsi_device_set_ua(s->dev, sense);
    return scsi_req_new(s->dev, tag, lun, buf, scsi_cdb_length(buf),
                        hba_private);
}
