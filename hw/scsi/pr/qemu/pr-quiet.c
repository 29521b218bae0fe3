/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: commands that the device model
 * carries out for the shim, not for an initiator.
 *
 * The request has a bus of its own, which takes completion and data for
 * itself, and is never on the device's list of requests.
 */
#include "qemu/osdep.h"
#include "scsi/constants.h"
#include "scsi/utils.h"
#include "pr-compat.h"
#include "pr-internal.h"

static void scsi_pr_quiet_transfer(SCSIRequest *req, uint32_t len)
{
}

static void scsi_pr_quiet_complete(SCSIRequest *req, size_t residual)
{
}

static const SCSIBusInfo scsi_pr_quiet_info = {
    .transfer_data = scsi_pr_quiet_transfer,
    .complete = scsi_pr_quiet_complete,
};

static SCSIRequest *scsi_pr_quiet_alloc(SCSIDevice *dev, uint8_t *cdb,
                                        size_t size)
{
    /* No more than a place for callbacks; nobody plugs anything there. */
    static SCSIBus bus = { .info = &scsi_pr_quiet_info };
    SCSIRequest *req = scsi_pr_class(dev)->alloc_req(dev, 0, dev->lun, cdb,
                                                     NULL);

    req->bus = &bus;
    req->cmd = (SCSICommand) {
        .len = scsi_cdb_length(cdb),
        .mode = size ? SCSI_XFER_FROM_DEV : SCSI_XFER_NONE,
        .xfer = size,
        .lba = -1,
    };
    memcpy(req->cmd.buf, cdb, req->cmd.len);
    req->residual = size;
    return req;
}

SCSIPRQuietResult scsi_pr_quiet(SCSIDevice *dev, uint8_t *cdb,
                                uint8_t *buf, size_t size)
{
    SCSIRequest *req = scsi_pr_quiet_alloc(dev, cdb, size);
    SCSIPRQuietResult result = {};
    PRCompatSense kept;
    int32_t len;

    pr_compat_keep_sense(dev, &kept);
    len = req->ops->send_command(req, req->cmd.buf);
    pr_compat_restore_sense(dev, &kept);

    result.status = req->status;
    if (req->status == -1) {
        /* Data waits to be fetched. */
        result.status = GOOD;
        result.len = MIN(MAX(len, 0), size);
        memcpy(buf, req->ops->get_buf(req), result.len);
    } else if (req->status == CHECK_CONDITION) {
        result.sense = scsi_parse_sense_buf(req->sense, req->sense_len);
    }
    scsi_req_unref(req);
    return result;
}
