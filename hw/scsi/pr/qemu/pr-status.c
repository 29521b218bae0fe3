/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: the end of requests, as far as the
 * adapter's model matters.
 */
#include "qemu/osdep.h"
#include "scsi/constants.h"
#include "scsi/utils.h"
#include "hw/usb/msd.h"
#include "pr-compat.h"
#include "pr-internal.h"

static bool scsi_pr_adapter_is(SCSIRequest *req, const char *type)
{
    return object_dynamic_cast(OBJECT(req->bus->qbus.parent), type) != NULL;
}

void scsi_pr_settle_residual(SCSIRequest *req)
{
    if (scsi_pr_adapter_is(req, "pvscsi")) {
        req->residual = 0;
    }
}

void scsi_pr_complete_good(SCSIRequest *req)
{
    scsi_pr_settle_residual(req);
    scsi_req_complete(req, GOOD);
}

/*
 * @residual cannot tell: with a scatter list, dma_buf_write() makes it what the
 * list has left, whatever was asked for. An adapter without one transfers all
 * that it was asked for, or waits; only USB's bulk-only transport goes on with
 * less, when the host has announced less.
 */
size_t scsi_pr_data_out(SCSIRequest *req)
{
    if (req->sg) {
        return MIN(req->cmd.xfer, req->sg->size);
    }
    if (scsi_pr_adapter_is(req, TYPE_USB_STORAGE)) {
        return MIN(req->cmd.xfer,
                   USB_STORAGE_DEV(req->bus->qbus.parent)->scsi_off);
    }
    return req->cmd.xfer;
}

/*
 * USB's bulk-only transport says only whether a command has failed. Without
 * sense data Linux then tells of an error of the transport, which sg_persist
 * takes for success: a fencing that was given up would pass for one that has
 * worked. SPC-4 has additional sense codes (2Ch) that tell a status.
 */
static bool scsi_pr_status_as_sense(int status, SCSISense *sense)
{
    switch (status) {
    case RESERVATION_CONFLICT:
        *sense = (SCSISense) { DATA_PROTECT, 0x2c, 0x09 };
        return true;
    case BUSY:
        *sense = (SCSISense) { ABORTED_COMMAND, 0x2c, 0x07 };
        return true;
    case TASK_ABORTED:
        *sense = (SCSISense) { ABORTED_COMMAND, 0x00, 0x00 };
        return true;
    default:
        return false;
    }
}

void scsi_pr_complete_status(SCSIRequest *req, int status)
{
    SCSISense sense;

    /* pvscsi would turn a residual into an error of the adapter. */
    req->residual = 0;
    if (scsi_pr_adapter_is(req, TYPE_USB_STORAGE) &&
        scsi_pr_status_as_sense(status, &sense)) {
        scsi_req_build_sense(req, sense);
        status = CHECK_CONDITION;
    }
    scsi_req_complete(req, status);
}
