/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: commands that the device model
 * carries out for the shim, not for an initiator.
 *
 * The request has a bus of its own, which takes completion and data, and is
 * never on the device's list of requests: nothing finds it there to cancel it
 * or to go on with it. To a passthrough device it counts as its I/O.
 */
#include "qemu/osdep.h"
#include "scsi/constants.h"
#include "scsi/utils.h"
#include "pr-compat.h"
#include "pr-answers.h"

typedef struct SCSIPRAsk {
    SCSIBus bus;                /* a place for callbacks; nothing is plugged */
    GByteArray *data;
    SCSIPRReply *reply;
    void *opaque;
} SCSIPRAsk;

static SCSIPRAsk *scsi_pr_ask_of(SCSIRequest *req)
{
    return container_of(req->bus, SCSIPRAsk, bus);
}

static void scsi_pr_ask_transfer(SCSIRequest *req, uint32_t len)
{
    g_byte_array_append(scsi_pr_ask_of(req)->data, scsi_req_get_buf(req), len);
    scsi_req_continue(req);
}

static void scsi_pr_ask_end(SCSIRequest *req)
{
    SCSIPRAsk *ask = scsi_pr_ask_of(req);

    ask->reply(ask->opaque, req, ask->data);
    g_byte_array_unref(ask->data);
    g_free(ask);
    scsi_req_unref(req);
}

static void scsi_pr_ask_complete(SCSIRequest *req, size_t residual)
{
    scsi_pr_ask_end(req);
}

static const SCSIBusInfo scsi_pr_ask_info = {
    .transfer_data = scsi_pr_ask_transfer,
    .complete = scsi_pr_ask_complete,
    .fail = scsi_pr_ask_end,
    .cancel = scsi_pr_ask_end,
};

SCSISense scsi_pr_asked_sense(const SCSIRequest *req)
{
    return req->status == CHECK_CONDITION && req->sense_len
        ? scsi_parse_sense_buf(req->sense, req->sense_len)
        : SENSE_CODE(NO_SENSE);
}

void scsi_pr_ask(SCSIRequest *req, const uint8_t *cdb, size_t size,
                 SCSIPRReply *reply, void *opaque)
{
    SCSIPRAsk *ask = g_new0(SCSIPRAsk, 1);
    int32_t len;

    ask->bus.info = &scsi_pr_ask_info;
    ask->data = g_byte_array_new();
    ask->reply = reply;
    ask->opaque = opaque;
    req->bus = &ask->bus;
    pr_compat_set_request_context(req);
    req->cmd = (SCSICommand) {
        .len = scsi_cdb_length((uint8_t *)cdb),
        .mode = size ? SCSI_XFER_FROM_DEV : SCSI_XFER_NONE,
        .xfer = size,
        .lba = -1,
    };
    memcpy(req->cmd.buf, cdb, req->cmd.len);
    req->residual = size;

    scsi_req_ref(req);
    len = req->ops->send_command(req, req->cmd.buf);
    if (len > 0) {
        scsi_req_continue(req);
    }
    scsi_req_unref(req);
}

/*
 * Of a device model that ends it at once
 */

typedef struct SCSIPRQuiet {
    SCSIPRQuietResult result;
    GByteArray *data;
} SCSIPRQuiet;

static void scsi_pr_quiet_reply(void *opaque, SCSIRequest *req,
                                GByteArray *data)
{
    SCSIPRQuiet *quiet = opaque;

    quiet->result.status = req->status;
    quiet->result.sense = scsi_pr_asked_sense(req);
    g_byte_array_append(quiet->data, data->data, data->len);
}

SCSIPRQuietResult scsi_pr_quiet(SCSIDevice *dev, uint8_t *cdb,
                                GByteArray *data, size_t size)
{
    SCSIRequest *req = scsi_pr_class(dev)->alloc_req(dev, 0, dev->lun, cdb,
                                                     NULL);
    SCSIPRQuiet quiet = { .data = data };
    PRCompatSense kept;

    pr_compat_keep_sense(dev, &kept);
    scsi_pr_ask(req, cdb, size, scsi_pr_quiet_reply, &quiet);
    pr_compat_restore_sense(dev, &kept);
    return quiet.result;
}
