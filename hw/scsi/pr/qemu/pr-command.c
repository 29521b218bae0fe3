/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: reservation commands.
 *
 * They never reach the device model: the library carries them out, and REPORT
 * SUPPORTED OPERATION CODES as well. It does not stop with the VM; a result
 * that comes then waits until the VM goes on, here or where it has migrated to.
 */
#include "qemu/osdep.h"
#include "scsi/constants.h"
#include "scsi/utils.h"
#include "migration/qemu-file.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "trace.h"

/* Bytes of data-in or data-out; the library has no longer ones. */
#define SCSI_PR_MAX_DATA SCSI_PR_MAX_DATA_OUT

/* Part of the migration stream. */
typedef enum SCSIPRCommandPhase {
    SCSI_PR_NEW,
    SCSI_PR_WANTS_DATA,         /* data-out; nobody was asked for it yet */
    SCSI_PR_FETCHES_DATA,
    SCSI_PR_SUBMITTED,          /* never in the stream */
    SCSI_PR_DONE,               /* has a result, which nobody was told yet */
    SCSI_PR_GIVES_DATA,         /* data-in */
    SCSI_PR_ENDED,              /* never in the stream */
} SCSIPRCommandPhase;

typedef struct SCSIPRCommand {
    SCSIRequest req;            /* must be first */
    SCSIPRDisk *pr;
    AioContext *ctx;            /* while submitted */
    SCSIPRCommandPhase phase;   /* atomic: the library's thread sets DONE */
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

/*
 * The result goes to the adapter. In the request's context, VM running.
 *
 * Once: the bottom half that comes with a result, and the VM's going on, may
 * both be pending, and come in any order.
 */
static void scsi_pr_command_finish(SCSIPRCommand *r)
{
    SCSIRequest *req = &r->req;

    req->retry = false;
    if (r->status == GOOD && r->buf_len) {
        r->phase = SCSI_PR_GIVES_DATA;
        scsi_req_data(req, r->buf_len);
        return;
    }
    r->phase = SCSI_PR_ENDED;
    if (r->status == CHECK_CONDITION) {
        scsi_req_build_sense(req, r->sense);
    }
    if (r->status != GOOD) {
        scsi_pr_complete_status(req, r->status);
    } else {
        scsi_pr_complete_good(req);
    }
}

static void scsi_pr_command_trace(SCSIPRCommand *r)
{
    SCSIRequest *req = &r->req;

    trace_scsi_pr_done(req->dev->id, req->lun, req->tag, r->status,
                       r->sense.key, r->sense.asc, r->sense.ascq);
}

/* In the request's context, after the library is done. */
static void scsi_pr_command_bh(void *opaque)
{
    SCSIPRCommand *r = opaque;
    SCSIRequest *req = &r->req;
    AioContext *ctx = r->ctx;

    scsi_pr_command_trace(r);
    pr_compat_enter_context(ctx);
    if (req->io_canceled || r->phase != SCSI_PR_DONE) {
        /*
         * Completed by scsi_req_cancel_complete() already, or the VM went on,
         * and told the result, before this was called.
         */
    } else if (pr_compat_vm_is_live()) {
        scsi_pr_command_finish(r);
    } else {
        scsi_req_retry(req);
    }
    scsi_req_unref(req);
    pr_compat_leave_context(ctx);
    aio_context_unref(ctx);
}

static void scsi_pr_command_take(void *opaque, const ScsiPrResult *result)
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
    qatomic_store_release(&r->phase, SCSI_PR_DONE);
}

/* On the library's thread. */
static void scsi_pr_command_done(void *opaque, const ScsiPrResult *result)
{
    SCSIPRCommand *r = opaque;

    scsi_pr_command_take(r, result);
    aio_bh_schedule_oneshot(r->ctx, scsi_pr_command_bh, r);
}

/* @data_out: how much of the buffer the initiator has filled. */
static void scsi_pr_command_submit(SCSIPRCommand *r, size_t data_out)
{
    SCSIRequest *req = &r->req;

    trace_scsi_pr_submit(req->dev->id, req->lun, req->tag, req->cmd.buf[0],
                         req->cmd.buf[1] & 0x1f);
    r->phase = SCSI_PR_SUBMITTED;
    if (scsi_pr_execute_now(r->pr->handle, req->cmd.buf, req->cmd.len,
                            r->buf, data_out, scsi_pr_command_take, r)) {
        scsi_pr_command_trace(r);
        scsi_pr_command_finish(r);
        return;
    }
    r->ctx = pr_compat_request_context(req);
    aio_context_ref(r->ctx);
    scsi_req_ref(req);          /* dropped in scsi_pr_command_bh() */
    scsi_pr_execute(r->pr->handle, req->cmd.buf, req->cmd.len,
                    r->buf, data_out, scsi_pr_command_done, r);
}

bool scsi_pr_command_may_run(SCSIRequest *req, SCSIPRDisk *s)
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

    if (r->phase == SCSI_PR_DONE) {
        scsi_pr_command_finish(r);
        return 0;
    }
    if (!scsi_pr_command_may_run(req, r->pr)) {
        return 0;
    }
    if (req->cmd.mode == SCSI_XFER_TO_DEV && req->cmd.xfer &&
        req->cmd.xfer <= SCSI_PR_MAX_DATA_OUT) {
        r->buf_len = req->cmd.xfer;
        r->buf = g_malloc0(r->buf_len);
        r->phase = SCSI_PR_WANTS_DATA;
        return -(int32_t)r->buf_len;
    }
    if (req->cmd.mode == SCSI_XFER_FROM_DEV && req->cmd.xfer) {
        return req->cmd.xfer;
    }
    scsi_pr_command_submit(r, 0);
    return 0;
}

/* The adapter goes on with the request, or the VM does. */
static void scsi_pr_command_continue(SCSIRequest *req)
{
    SCSIPRCommand *r = DO_UPCAST(SCSIPRCommand, req, req);

    switch (qatomic_load_acquire(&r->phase)) {
    case SCSI_PR_NEW:
        scsi_pr_command_submit(r, 0);
        break;
    case SCSI_PR_WANTS_DATA:
        r->phase = SCSI_PR_FETCHES_DATA;
        scsi_req_data(req, r->buf_len);
        break;
    case SCSI_PR_FETCHES_DATA:
        scsi_pr_command_submit(r, scsi_pr_data_out(req));
        break;
    case SCSI_PR_SUBMITTED:
    case SCSI_PR_ENDED:
        break;
    case SCSI_PR_DONE:
        scsi_pr_command_finish(r);
        break;
    case SCSI_PR_GIVES_DATA:
        r->phase = SCSI_PR_ENDED;
        scsi_pr_complete_good(req);
        break;
    }
}

static uint8_t *scsi_pr_command_get_buf(SCSIRequest *req)
{
    return DO_UPCAST(SCSIPRCommand, req, req)->buf;
}

static void scsi_pr_command_save(QEMUFile *f, SCSIRequest *req)
{
    SCSIPRCommand *r = DO_UPCAST(SCSIPRCommand, req, req);
    SCSIPRCommandPhase phase = qatomic_load_acquire(&r->phase);

    g_assert(phase != SCSI_PR_SUBMITTED);
    qemu_put_byte(f, phase);
    qemu_put_byte(f, r->status);
    qemu_put_byte(f, r->sense.key);
    qemu_put_byte(f, r->sense.asc);
    qemu_put_byte(f, r->sense.ascq);
    qemu_put_be32(f, r->buf_len);
    qemu_put_buffer(f, r->buf, r->buf_len);
}

/* Whether what was loaded is what a command like this can have come to. */
static bool scsi_pr_command_is_plausible(const SCSIPRCommand *r)
{
    const SCSICommand *cmd = &r->req.cmd;
    bool has_data = r->status == GOOD && cmd->mode == SCSI_XFER_FROM_DEV &&
        r->buf_len <= cmd->xfer;

    switch (r->phase) {
    case SCSI_PR_NEW:
        return r->buf_len == 0;
    case SCSI_PR_WANTS_DATA:
    case SCSI_PR_FETCHES_DATA:
        return cmd->mode == SCSI_XFER_TO_DEV && r->buf_len == cmd->xfer;
    case SCSI_PR_DONE:
        return has_data || r->buf_len == 0;
    case SCSI_PR_GIVES_DATA:
        return has_data;
    default:
        return false;
    }
}

/* False: the stream has no such command. */
static bool scsi_pr_command_read(QEMUFile *f, SCSIPRCommand *r)
{
    r->phase = qemu_get_ubyte(f);
    r->status = qemu_get_ubyte(f);
    r->sense.key = qemu_get_ubyte(f);
    r->sense.asc = qemu_get_ubyte(f);
    r->sense.ascq = qemu_get_ubyte(f);
    r->buf_len = qemu_get_be32(f);
    if (qemu_file_get_error(f) || r->buf_len > SCSI_PR_MAX_DATA ||
        !scsi_pr_command_is_plausible(r)) {
        r->buf_len = 0;
        return false;
    }
    r->buf = g_malloc0(r->buf_len);
    return qemu_get_buffer(f, r->buf, r->buf_len) == r->buf_len;
}

static void scsi_pr_command_load(QEMUFile *f, SCSIRequest *req)
{
    SCSIPRCommand *r = DO_UPCAST(SCSIPRCommand, req, req);

    if (!scsi_pr_command_read(f, r)) {
        error_report("%s: a reservation command in the migration stream is"
                     " damaged", scsi_pr_name(r->pr));
        qemu_file_set_error(f, -EINVAL);
        r->phase = SCSI_PR_DONE;
        r->status = BUSY;
        r->buf_len = 0;
    }
}

static const SCSIReqOps scsi_pr_command_ops = {
    .size         = sizeof(SCSIPRCommand),
    .free_req     = scsi_pr_command_free,
    .send_command = scsi_pr_command_send,
    .read_data    = scsi_pr_command_continue,
    .write_data   = scsi_pr_command_continue,
    .get_buf      = scsi_pr_command_get_buf,
    .save_request = scsi_pr_command_save,
    .load_request = scsi_pr_command_load,
};

void scsi_pr_command_hand_over(SCSIRequest *req, void *opaque)
{
    if (req->ops == &scsi_pr_command_ops &&
        qatomic_load_acquire(&DO_UPCAST(SCSIPRCommand, req, req)->phase) ==
            SCSI_PR_DONE) {
        scsi_req_retry(req);
    }
}

bool scsi_pr_is_reservation_command(uint8_t opcode)
{
    switch (opcode) {
    case PERSISTENT_RESERVE_IN:
    case PERSISTENT_RESERVE_OUT:
    case RESERVE:
    case RESERVE_10:
    case RELEASE:
    case RELEASE_10:
        return true;
    default:
        return false;
    }
}

SCSIRequest *scsi_pr_command_alloc(SCSIPRDisk *s, uint32_t tag, uint32_t lun,
                                   void *hba_private)
{
    SCSIRequest *req = scsi_req_alloc(&scsi_pr_command_ops, s->dev, tag, lun,
                                      hba_private);

    DO_UPCAST(SCSIPRCommand, req, req)->pr = s;
    return req;
}
