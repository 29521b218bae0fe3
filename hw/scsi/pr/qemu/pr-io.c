/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: I/O requests.
 *
 * An I/O request is the device model's own, with operations of its own that
 * enter the gate before they go to the medium. It leaves when it has ended.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "scsi/constants.h"
#include "migration/qemu-file.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "pr-spare.h"
#include "trace.h"

void scsi_pr_complete_refused(SCSIRequest *req, ScsiPrAdmission why)
{
    switch (why) {
    case SCSI_PR_INFORMATION_LOST:
        scsi_req_build_sense(req, (SCSISense) { DATA_PROTECT, 0x44, 0x01 });
        scsi_pr_complete_status(req, CHECK_CONDITION);
        break;
    case SCSI_PR_HANDED_OVER:
    case SCSI_PR_SUSPENDED:
        trace_scsi_pr_busy(req->dev->id, req->lun, req->tag, req->cmd.buf[0],
                           why == SCSI_PR_SUSPENDED
                           ? "the host may not admit commands, or a change is"
                             " under way"
                           : "the nexus is another process's");
        scsi_pr_complete_status(req, BUSY);
        break;
    default:
        trace_scsi_pr_conflict(req->dev->id, req->lun, req->tag,
                               req->cmd.buf[0]);
        scsi_pr_complete_status(req, RESERVATION_CONFLICT);
    }
}

/* What an I/O request has beyond the device model's own. */
typedef struct SCSIPRIORequest {
    SCSIPRSpare spare;          /* must be first */
    SCSIReqOps ops;             /* the request's: where we are found by it */
    const SCSIReqOps *base;     /* the device model's */
    SCSIPRDisk *pr;
    ScsiPrTask task;            /* its stay in the gate */
    uint32_t run_changes;       /* when it entered; 0: it has never */
    uint8_t fate;               /* SCSIPRFate: what happens when it goes on */
    Notifier ended;
} SCSIPRIORequest;

static SCSIPRIORequest *scsi_pr_io(SCSIRequest *req)
{
    return container_of(req->ops, SCSIPRIORequest, ops);
}

static void scsi_pr_io_leave(SCSIPRIORequest *io)
{
    if (io->task.entered) {
        scsi_pr_leave(io->pr->handle, &io->task);
    }
}

static int32_t scsi_pr_io_send_command(SCSIRequest *req, uint8_t *buf);

static bool scsi_pr_is_io(SCSIRequest *req)
{
    return req->ops->send_command == scsi_pr_io_send_command;
}

/* On completion or cancellation, when no I/O is under way any more; the
 * former may be followed by the latter. */
static void scsi_pr_io_ended(Notifier *notifier, void *data)
{
    scsi_pr_io_leave(container_of(notifier, SCSIPRIORequest, ended));
}

/* The task aborted status of SPC-3 7.4.6, or none. */
static void scsi_pr_io_end_aborted(SCSIRequest *req)
{
    if (scsi_pr_io(req)->pr->tas) {
        scsi_pr_complete_status(req, TASK_ABORTED);
    } else {
        scsi_req_cancel_async(req, NULL);
    }
}

/* Ends the request and returns false if it may not go to the medium now. */
static bool scsi_pr_io_ask(SCSIRequest *req, uint32_t run_changes)
{
    SCSIPRIORequest *io = scsi_pr_io(req);
    ScsiPrTask before = {};
    ScsiPrAdmission admission;

    switch (io->fate) {
    case SCSI_PR_ABORTED:
        scsi_pr_io_end_aborted(req);
        return false;
    case SCSI_PR_BUSY:
        scsi_pr_complete_refused(req, SCSI_PR_HANDED_OVER);
        return false;
    }
    if (io->run_changes != run_changes) {
        before = io->task;
        scsi_pr_io_leave(io);
        io->run_changes = run_changes;
    }
    admission = scsi_pr_enter(io->pr->handle, req->cmd.buf, req->cmd.len,
                              &io->task);
    if (admission != SCSI_PR_ADMITTED) {
        scsi_pr_complete_refused(req, admission);
        return false;
    }
    /* A fencing that began while it was out of the gate did not wait for it. */
    if (before.entered && scsi_pr_fenced_since(io->pr->handle, &before)) {
        scsi_pr_io_end_aborted(req);
        return false;
    }
    return true;
}

/*
 * Likewise. Data of a request that is in the gate goes on without a question
 * (SPC-3 5.6.1), but not if the VM was stopped meanwhile: what werror=stop has
 * parked must not slip past a reservation that was made in the meantime.
 */
static bool scsi_pr_io_enter(SCSIRequest *req)
{
    SCSIPRIORequest *io = scsi_pr_io(req);
    uint32_t run_changes = qatomic_read(&io->pr->run_changes);

    return (io->task.entered && io->run_changes == run_changes &&
            io->fate == SCSI_PR_GOES_ON) || scsi_pr_io_ask(req, run_changes);
}

static int32_t scsi_pr_io_send_command(SCSIRequest *req, uint8_t *buf)
{
    return scsi_pr_io_enter(req)
        ? scsi_pr_io(req)->base->send_command(req, buf) : 0;
}

static void scsi_pr_io_read_data(SCSIRequest *req)
{
    if (scsi_pr_io_enter(req)) {
        scsi_pr_io(req)->base->read_data(req);
    }
}

static void scsi_pr_io_write_data(SCSIRequest *req)
{
    if (scsi_pr_io_enter(req)) {
        scsi_pr_io(req)->base->write_data(req);
    }
}

/* Also of a request that never completed: one that a migration took along. */
static void scsi_pr_io_free(SCSIRequest *req)
{
    SCSIPRIORequest *io = scsi_pr_io(req);

    scsi_pr_io_leave(io);
    req->ops = io->base;
    if (req->ops->free_req) {
        req->ops->free_req(req);
    }
    scsi_pr_give_spare(&io->spare);
}

/* The lock: while the VM is stopped its task may be handed over, too. */
static bool scsi_pr_io_abort_parked(SCSIRequest *req)
{
    SCSIPRIORequest *io = scsi_pr_io(req);
    bool parked;

    pr_compat_lock_requests(req->dev);
    parked = !req->aiocb && !req->io_canceled &&
        scsi_pr_is_awaited(io->pr->handle, &io->task);
    if (parked) {
        io->fate = SCSI_PR_ABORTED;
        scsi_pr_io_leave(io);
    }
    pr_compat_unlock_requests(req->dev);
    return parked;
}

void scsi_pr_io_abort(SCSIRequest *req)
{
    if (!scsi_pr_is_io(req) || !scsi_pr_io_abort_parked(req)) {
        return;
    }
    trace_scsi_pr_abort(req->dev->id, req->lun, req->tag, req->cmd.buf[0]);
    qatomic_inc(&scsi_pr_io(req)->pr->aborted_tasks);
    /* Guest memory must not change while the VM is stopped. */
    if (pr_compat_vm_is_live()) {
        scsi_pr_io_end_aborted(req);
    }
}

void scsi_pr_io_hand_over(SCSIRequest *req, void *opaque)
{
    if (scsi_pr_is_io(req)) {
        scsi_pr_io_leave(scsi_pr_io(req));
    }
}

void scsi_pr_io_handed_over(SCSIRequest *req, void *opaque)
{
    SCSIPRIORequest *io;

    if (!scsi_pr_is_io(req)) {
        return;
    }
    io = scsi_pr_io(req);
    /* What has arrived and did not go on yet has never entered here. */
    if (io->run_changes && io->fate == SCSI_PR_GOES_ON &&
        scsi_pr_fenced_since(io->pr->handle, &io->task)) {
        io->fate = SCSI_PR_ABORTED;
    }
}

void scsi_pr_io_set_fate(SCSIRequest *req, void *opaque)
{
    if (scsi_pr_is_io(req) && scsi_pr_io(req)->fate == SCSI_PR_GOES_ON) {
        scsi_pr_io(req)->fate = GPOINTER_TO_UINT(opaque);
    }
}

/* Behind what the device model saves of its own. */
static void scsi_pr_io_save(QEMUFile *f, SCSIRequest *req)
{
    const SCSIReqOps *base = scsi_pr_io(req)->base;

    if (base->save_request) {
        base->save_request(f, req);
    }
    qemu_put_byte(f, scsi_pr_io(req)->fate);
}

static void scsi_pr_io_load(QEMUFile *f, SCSIRequest *req)
{
    const SCSIReqOps *base = scsi_pr_io(req)->base;
    uint8_t fate;

    if (base->load_request) {
        base->load_request(f, req);
    }
    fate = qemu_get_ubyte(f);
    if (fate > SCSI_PR_BUSY) {
        error_report("scsi-pr: a request in the migration stream is damaged");
        qemu_file_set_error(f, -EINVAL);
        fate = SCSI_PR_BUSY;
    }
    scsi_pr_io(req)->fate = fate;
}

static void scsi_pr_io_set_base(SCSIPRIORequest *io, const SCSIReqOps *base)
{
    io->base = base;
    io->ops = *base;
    io->ops.send_command = scsi_pr_io_send_command;
    io->ops.read_data = scsi_pr_io_read_data;
    io->ops.write_data = scsi_pr_io_write_data;
    io->ops.free_req = scsi_pr_io_free;
    io->ops.save_request = scsi_pr_io_save;
    io->ops.load_request = scsi_pr_io_load;
}

SCSIRequest *scsi_pr_io_wrap(SCSIRequest *req, SCSIPRDisk *s)
{
    SCSIPRIORequest *io = scsi_pr_take_spare(sizeof(*io));

    /* It may have served another request like this one. */
    if (io->base != req->ops) {
        scsi_pr_io_set_base(io, req->ops);
    }
    io->pr = s;
    io->task = (ScsiPrTask) {};
    io->run_changes = 0;
    io->fate = SCSI_PR_GOES_ON;
    io->ended.notify = scsi_pr_io_ended;
    req->ops = &io->ops;
    notifier_list_add(&req->cancel_notifiers, &io->ended);
    return req;
}
