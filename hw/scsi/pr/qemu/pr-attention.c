/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: unit attention conditions.
 *
 * They wait in the library, and are reported after QEMU's own: with CHECK
 * CONDITION instead of the next command, or as the answer to REQUEST SENSE.
 * Taking one there is atomic; QEMU's slot for conditions, which a reset may
 * overwrite at any time, is not involved. Resets leave ours alone.
 */
#include "qemu/osdep.h"
#include "scsi/constants.h"
#include "scsi/utils.h"
#include "pr-internal.h"
#include "trace.h"

/*
 * REQUEST SENSE (SPC-3 6.27): the condition is the parameter data
 */

typedef struct SCSIPRSenseRequest {
    SCSIPRAnswer answer;        /* must be first */
    SCSISense sense;
} SCSIPRSenseRequest;

static int32_t scsi_pr_sense_send(SCSIRequest *req, uint8_t *buf)
{
    SCSIPRSenseRequest *r = DO_UPCAST(SCSIPRSenseRequest, answer.req, req);
    bool fixed = (req->cmd.buf[1] & 1) == 0;
    uint8_t data[SCSI_SENSE_LEN];
    int len = scsi_build_sense_buf(data, MIN(req->cmd.xfer, sizeof(data)),
                                   r->sense, fixed);

    return scsi_pr_answer(req, data, len);
}

static const SCSIReqOps scsi_pr_sense_ops = {
    .size         = sizeof(SCSIPRSenseRequest),
    .free_req     = scsi_pr_answer_free,
    .send_command = scsi_pr_sense_send,
    .read_data    = scsi_pr_answer_read_data,
    .get_buf      = scsi_pr_answer_get_buf,
};

static SCSIRequest *scsi_pr_sense_alloc(SCSIPRDisk *s, uint32_t tag,
                                        uint32_t lun, void *hba_private,
                                        SCSISense sense)
{
    SCSIRequest *req = scsi_req_alloc(&scsi_pr_sense_ops, s->dev, tag, lun,
                                      hba_private);

    DO_UPCAST(SCSIPRSenseRequest, answer.req, req)->sense = sense;
    return req;
}

/*
 * Every other command: CHECK CONDITION
 */

/*
 * QEMU tells sense data of a unit attention condition from others by the
 * operations of the request, and keeps only the others for REQUEST SENSE once
 * an adapter has reported them by autosense. So it has to be those, which have
 * no name outside scsi-bus.c: they are those of a request that it makes while a
 * condition is pending.
 */
const SCSIReqOps *scsi_pr_find_attention_ops(SCSIDevice *dev)
{
    uint8_t cdb[6] = { TEST_UNIT_READY };
    SCSISense before = dev->unit_attention;
    const SCSIReqOps *ops;
    SCSIRequest *req;

    dev->unit_attention = SENSE_CODE(RESET);
    req = scsi_req_new(dev, 0, dev->lun, cdb, sizeof(cdb), NULL);
    ops = req->ops;
    scsi_req_unref(req);
    dev->unit_attention = before;
    return ops;
}

static int32_t scsi_pr_attention_send(SCSIRequest *req, uint8_t *buf)
{
    scsi_pr_settle_residual(req);
    req->ops = scsi_pr_state(req->dev)->attention_ops;
    return req->ops->send_command(req, buf);
}

static SCSIRequest *scsi_pr_attention_alloc(SCSIPRDisk *s, uint32_t tag,
                                            uint32_t lun, void *hba_private,
                                            SCSISense sense)
{
    /* Not those of QEMU yet: they would look for a condition in its slot. */
    static const SCSIReqOps ops = {
        .size         = sizeof(SCSIRequest),
        .send_command = scsi_pr_attention_send,
    };
    SCSIRequest *req = scsi_req_alloc(&ops, s->dev, tag, lun, hba_private);

    scsi_req_build_sense(req, sense);
    return req;
}

SCSIRequest *scsi_pr_unit_attention_req(SCSIPRDisk *s, uint32_t tag,
                                        uint32_t lun, uint8_t *buf,
                                        void *hba_private)
{
    ScsiPrSense taken;
    SCSISense sense;

    if (buf[0] == INQUIRY || buf[0] == REPORT_LUNS ||
        !scsi_pr_take_unit_attention(s->handle, &taken)) {
        return NULL;
    }
    sense = (SCSISense) {
        .key = taken.key, .asc = taken.asc, .ascq = taken.ascq,
    };
    trace_scsi_pr_unit_attention(s->dev->id, lun, sense.asc, sense.ascq);
    return buf[0] == REQUEST_SENSE
        ? scsi_pr_sense_alloc(s, tag, lun, hba_private, sense)
        : scsi_pr_attention_alloc(s, tag, lun, hba_private, sense);
}
