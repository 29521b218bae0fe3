/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: reservation commands.
 *
 * They never reach the device model: the library carries them out, and REPORT
 * SUPPORTED OPERATION CODES as well.
 */
#include "qemu/osdep.h"
#include "scsi/constants.h"
#include "scsi/utils.h"
#include "block/aio.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "trace.h"

typedef struct SCSIPRCommand {
    SCSIRequest req;            /* must be first */
    SCSIPRState *pr;
    AioContext *ctx;            /* while submitted */
    bool submitted;
    uint8_t *buf;               /* data-out, then data-in */
    size_t buf_len;
    uint8_t status;
    SCSISense sense;
} SCSIPRCommand;

static void scsi_pr_command_free(SCSIRequest *req)
{
    SCSIPRCommand *r = DO_UPCAST(SCSIPRCommand, req, req);

    g_free(r->buf);
}

/* In the request's context, after the library is done. */
static void scsi_pr_command_bh(void *opaque)
{
    SCSIPRCommand *r = opaque;
    SCSIRequest *req = &r->req;
    AioContext *ctx = r->ctx;

    trace_scsi_pr_done(req->dev->id, req->lun, req->tag, r->status,
                       r->sense.key, r->sense.asc, r->sense.ascq);
    pr_compat_enter_context(ctx);
    if (req->io_canceled) {
        /* Completed by scsi_req_cancel_complete() already. */
    } else if (r->status == GOOD && r->buf_len) {
        scsi_req_data(req, r->buf_len);
    } else {
        if (r->status == CHECK_CONDITION) {
            scsi_req_build_sense(req, r->sense);
        }
        if (r->status != GOOD) {
            req->residual = 0;
        }
        scsi_req_complete(req, r->status);
    }
    scsi_req_unref(req);
    pr_compat_leave_context(ctx);
    aio_context_unref(ctx);
}

/* On the library's thread. */
static void scsi_pr_command_done(void *opaque, const ScsiPrResult *result)
{
    SCSIPRCommand *r = opaque;

    g_free(r->buf);
    r->buf = g_memdup2(result->data, result->data_length);
    r->buf_len = result->data_length;
    r->status = result->status;
    r->sense = (SCSISense) {
        .key = result->sense.key,
        .asc = result->sense.asc,
        .ascq = result->sense.ascq,
    };
    aio_bh_schedule_oneshot(r->ctx, scsi_pr_command_bh, r);
}

/* @data_out: how much of the buffer the initiator has filled. */
static void scsi_pr_command_submit(SCSIPRCommand *r, size_t data_out)
{
    SCSIRequest *req = &r->req;

    trace_scsi_pr_submit(req->dev->id, req->lun, req->tag, req->cmd.buf[0],
                         req->cmd.buf[1] & 0x1f);
    r->submitted = true;
    r->ctx = pr_compat_request_context(req);
    aio_context_ref(r->ctx);
    scsi_req_ref(req);          /* dropped in scsi_pr_command_bh() */
    scsi_pr_execute(r->pr->handle, req->cmd.buf, req->cmd.len,
                    r->buf, data_out, scsi_pr_command_done, r);
}

bool scsi_pr_command_may_run(SCSIRequest *req, SCSIPRState *s)
{
    ScsiPrTask task = {};
    ScsiPrAdmission admission = scsi_pr_enter(s->handle, req->cmd.buf,
                                              req->cmd.len, &task);

    scsi_pr_leave(s->handle, &task);
    if (admission == SCSI_PR_ADMITTED || admission == SCSI_PR_EXECUTE) {
        return true;
    }
    scsi_pr_complete_refused(req, admission);
    return false;
}

static int32_t scsi_pr_command_send(SCSIRequest *req, uint8_t *buf)
{
    SCSIPRCommand *r = DO_UPCAST(SCSIPRCommand, req, req);

    if (!scsi_pr_command_may_run(req, r->pr)) {
        return 0;
    }
    if (req->cmd.mode == SCSI_XFER_TO_DEV && req->cmd.xfer &&
        req->cmd.xfer <= SCSI_PR_MAX_DATA_OUT) {
        r->buf_len = req->cmd.xfer;
        r->buf = g_malloc0(r->buf_len);
        return -(int32_t)r->buf_len;
    }
    if (req->cmd.mode == SCSI_XFER_FROM_DEV && req->cmd.xfer) {
        return req->cmd.xfer;
    }
    scsi_pr_command_submit(r, 0);
    return 0;
}

static void scsi_pr_command_read_data(SCSIRequest *req)
{
    SCSIPRCommand *r = DO_UPCAST(SCSIPRCommand, req, req);

    if (r->submitted) {
        scsi_req_complete(req, GOOD);
    } else {
        scsi_pr_command_submit(r, 0);
    }
}

static void scsi_pr_command_write_data(SCSIRequest *req)
{
    SCSIPRCommand *r = DO_UPCAST(SCSIPRCommand, req, req);
    size_t len = r->buf_len;

    if (len) {
        r->buf_len = 0;
        scsi_req_data(req, len);
    } else {
        /* An initiator may send less than it announced. */
        scsi_pr_command_submit(r, req->cmd.xfer - MIN(req->residual,
                                                      req->cmd.xfer));
    }
}

static uint8_t *scsi_pr_command_get_buf(SCSIRequest *req)
{
    return DO_UPCAST(SCSIPRCommand, req, req)->buf;
}

static const SCSIReqOps scsi_pr_command_ops = {
    .size         = sizeof(SCSIPRCommand),
    .free_req     = scsi_pr_command_free,
    .send_command = scsi_pr_command_send,
    .read_data    = scsi_pr_command_read_data,
    .write_data   = scsi_pr_command_write_data,
    .get_buf      = scsi_pr_command_get_buf,
};

bool scsi_pr_is_library_command(uint8_t opcode)
{
    switch (opcode) {
    case PERSISTENT_RESERVE_IN:
    case PERSISTENT_RESERVE_OUT:
    case RESERVE:
    case RESERVE_10:
    case RELEASE:
    case RELEASE_10:
    case MAINTENANCE_IN:
        return true;
    default:
        return false;
    }
}

SCSIRequest *scsi_pr_command_alloc(SCSIPRState *s, uint32_t tag, uint32_t lun,
                                   void *hba_private)
{
    SCSIRequest *req = scsi_req_alloc(&scsi_pr_command_ops, s->dev, tag, lun,
                                      hba_private);

    DO_UPCAST(SCSIPRCommand, req, req)->pr = s;
    return req;
}
