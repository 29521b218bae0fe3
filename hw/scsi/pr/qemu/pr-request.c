/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: requests.
 *
 * An I/O request is the device model's own, enlarged, with operations that
 * ask the gate first. A reservation command is a request of ours. A pending
 * unit attention condition turns the next request into one of QEMU's own for
 * that purpose.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "scsi/constants.h"
#include "scsi/utils.h"
#include "block/aio.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "trace.h"

/* Ends a request that must not be carried out. */
static void scsi_pr_complete_refused(SCSIRequest *req, ScsiPrAdmission why)
{
    /* pvscsi would turn a residual into an error of the adapter. */
    req->residual = 0;
    if (why == SCSI_PR_INFORMATION_LOST) {
        scsi_req_build_sense(req, (SCSISense) { DATA_PROTECT, 0x44, 0x01 });
        scsi_req_complete(req, CHECK_CONDITION);
        return;
    }
    trace_scsi_pr_conflict(req->dev->id, req->lun, req->tag, req->cmd.buf[0]);
    scsi_req_complete(req, RESERVATION_CONFLICT);
}

/*
 * I/O requests
 */

/* Request operations of a device model, and what takes their place. */
typedef struct SCSIPRIOOps {
    SCSIReqOps ops;             /* must be first */
    const SCSIReqOps *base;
    size_t offset;              /* of SCSIPRIORequest in the request */
} SCSIPRIOOps;

/* Lies behind the device model's own request. */
typedef struct SCSIPRIORequest {
    SCSIPRState *pr;
    uint32_t epoch;             /* admission_epoch it was admitted in, or 0 */
} SCSIPRIORequest;

static const SCSIPRIOOps *scsi_pr_io_ops(SCSIRequest *req)
{
    return container_of(req->ops, SCSIPRIOOps, ops);
}

static SCSIPRIORequest *scsi_pr_io(SCSIRequest *req)
{
    return (void *)((char *)req + scsi_pr_io_ops(req)->offset);
}

/* Ends the request and returns false if it may not go to the medium now. */
static bool scsi_pr_io_admit(SCSIRequest *req)
{
    SCSIPRIORequest *io = scsi_pr_io(req);
    ScsiPrAdmission admission;

    io->epoch = qatomic_read(&io->pr->admission_epoch);
    admission = scsi_pr_admit(io->pr->handle, req->cmd.buf, req->cmd.len);
    if (admission == SCSI_PR_ADMITTED) {
        return true;
    }
    scsi_pr_complete_refused(req, admission);
    return false;
}

/*
 * Data of an admitted request goes on without a question (SPC-3 5.6.1), but
 * not if the VM was stopped meanwhile, nor if a migration brought the request.
 */
static bool scsi_pr_io_readmit(SCSIRequest *req)
{
    SCSIPRIORequest *io = scsi_pr_io(req);

    return io->epoch == qatomic_read(&io->pr->admission_epoch) ||
           scsi_pr_io_admit(req);
}

static int32_t scsi_pr_io_send_command(SCSIRequest *req, uint8_t *buf)
{
    return scsi_pr_io_admit(req)
        ? scsi_pr_io_ops(req)->base->send_command(req, buf) : 0;
}

static void scsi_pr_io_read_data(SCSIRequest *req)
{
    if (scsi_pr_io_readmit(req)) {
        scsi_pr_io_ops(req)->base->read_data(req);
    }
}

static void scsi_pr_io_write_data(SCSIRequest *req)
{
    if (scsi_pr_io_readmit(req)) {
        scsi_pr_io_ops(req)->base->write_data(req);
    }
}

static SCSIPRIOOps *scsi_pr_wrap_ops(const SCSIReqOps *base)
{
    SCSIPRIOOps *wrapped = g_new0(SCSIPRIOOps, 1);

    wrapped->base = base;
    wrapped->offset = ROUND_UP(base->size, __alignof__(SCSIPRIORequest));
    wrapped->ops = *base;
    wrapped->ops.size = wrapped->offset + sizeof(SCSIPRIORequest);
    wrapped->ops.send_command = scsi_pr_io_send_command;
    wrapped->ops.read_data = scsi_pr_io_read_data;
    wrapped->ops.write_data = scsi_pr_io_write_data;
    return wrapped;
}

/* A device model has a handful of request operations; each is wrapped once. */
static const SCSIPRIOOps *scsi_pr_find_wrapped_ops(const SCSIReqOps *base)
{
    static SCSIPRIOOps *known[16];
    static QemuMutex lock;
    static gsize lock_ready;
    size_t i;

    for (i = 0; i < ARRAY_SIZE(known); i++) {
        SCSIPRIOOps *wrapped = qatomic_load_acquire(&known[i]);

        if (!wrapped) {
            break;
        }
        if (wrapped->base == base) {
            return wrapped;
        }
    }

    if (g_once_init_enter(&lock_ready)) {
        qemu_mutex_init(&lock);
        g_once_init_leave(&lock_ready, 1);
    }
    QEMU_LOCK_GUARD(&lock);
    for (i = 0; known[i] && known[i]->base != base; i++) {
        g_assert(i + 1 < ARRAY_SIZE(known));
    }
    if (!known[i]) {
        qatomic_store_release(&known[i], scsi_pr_wrap_ops(base));
    }
    return known[i];
}

/* @req was just allocated: nobody else has a pointer to it yet. */
static SCSIRequest *scsi_pr_enlarge(SCSIRequest *req, SCSIPRState *s)
{
    const SCSIPRIOOps *wrapped = scsi_pr_find_wrapped_ops(req->ops);

    req = g_realloc(req, wrapped->ops.size);
    req->ops = &wrapped->ops;
    *scsi_pr_io(req) = (SCSIPRIORequest) { .pr = s };
    return req;
}

/*
 * Reservation commands
 */

typedef struct SCSIPRCommand {
    SCSIRequest req;            /* must be first */
    SCSIPRState *pr;
    AioContext *ctx;            /* while submitted */
    bool submitted;
    uint8_t *buf;               /* data-out, then data-in */
    size_t buf_len;
    uint8_t status;
    SCSISense sense;
    char *store_failure;        /* why the store failed, if it did */
} SCSIPRCommand;

static void scsi_pr_command_free(SCSIRequest *req)
{
    SCSIPRCommand *r = DO_UPCAST(SCSIPRCommand, req, req);

    g_free(r->buf);
    free(r->store_failure);
}

/*
 * The initiator learns from the status that the store failed; whoever runs the
 * host must learn why. Once a failure: guests can repeat commands at will.
 */
static void scsi_pr_report_store(SCSIPRCommand *r)
{
    SCSIPRState *s = r->pr;

    if (!r->store_failure) {
        qatomic_set(&s->store_failure_reported, false);
        return;
    }
    trace_scsi_pr_store_failed(s->dev->id, s->dev->lun, r->store_failure);
    if (!qatomic_xchg(&s->store_failure_reported, true)) {
        warn_report("%s: %s", object_get_canonical_path_component(
                        OBJECT(s->dev)), r->store_failure);
    }
}

/* In the request's context, after the library is done. */
static void scsi_pr_command_bh(void *opaque)
{
    SCSIPRCommand *r = opaque;
    SCSIRequest *req = &r->req;
    AioContext *ctx = r->ctx;

    trace_scsi_pr_done(req->dev->id, req->lun, req->tag, r->status,
                       r->sense.key, r->sense.asc, r->sense.ascq);
    scsi_pr_report_store(r);
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
    r->store_failure = scsi_pr_last_failure(r->pr->handle);
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

static int32_t scsi_pr_command_send(SCSIRequest *req, uint8_t *buf)
{
    SCSIPRCommand *r = DO_UPCAST(SCSIPRCommand, req, req);

    if (scsi_pr_admit(r->pr->handle, req->cmd.buf, req->cmd.len) ==
        SCSI_PR_CONFLICT) {
        scsi_pr_complete_refused(req, SCSI_PR_CONFLICT);
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

static bool scsi_pr_is_reservation_command(uint8_t opcode)
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

static SCSIRequest *scsi_pr_command_alloc(SCSIPRState *s, uint32_t tag,
                                          uint32_t lun, void *hba_private)
{
    SCSIRequest *req = scsi_req_alloc(&scsi_pr_command_ops, s->dev, tag, lun,
                                      hba_private);

    DO_UPCAST(SCSIPRCommand, req, req)->pr = s;
    return req;
}

/*
 * Unit attention conditions
 */

/*
 * Lets QEMU report the oldest condition that waits in the library. QEMU has
 * room for one condition only; here it is free, or the request would not have
 * come this far.
 */
static SCSIRequest *scsi_pr_unit_attention_req(SCSIPRState *s, uint32_t tag,
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

SCSIRequest *scsi_pr_alloc_req(SCSIDevice *dev, uint32_t tag, uint32_t lun,
                               uint8_t *buf, void *hba_private)
{
    SCSIPRState *s = scsi_pr_state(dev);
    SCSIRequest *req;

    if (!s) {
        return scsi_pr_class(dev)->alloc_req(dev, tag, lun, buf, hba_private);
    }
    req = scsi_pr_unit_attention_req(s, tag, lun, buf, hba_private);
    if (req) {
        return req;
    }
    if (scsi_pr_is_reservation_command(buf[0])) {
        return scsi_pr_command_alloc(s, tag, lun, hba_private);
    }
    req = scsi_pr_class(dev)->alloc_req(dev, tag, lun, buf, hba_private);
    return scsi_pr_enlarge(req, s);
}
