/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: commands that a passthrough device
 * answers, and whose data is corrected before the initiator gets it.
 *
 * The device is asked for all it has, and what comes of that is cut to what the
 * initiator has room for.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "scsi/constants.h"
#include "scsi/utils.h"
#include "pr-answers.h"

/* A list of 800 commands with their timeouts, in bytes */
#define REPORT_MAX 16384

/* In the CDB of REPORT SUPPORTED OPERATION CODES */
#define RCTD 0x80

/* All pages, in bytes */
#define MODE_SENSE_10_MIN 4096

typedef struct SCSIPRFilter {
    SCSIPRAnswer answer;        /* must be first */
    SCSIPRDisk *pr;
    bool asked;
} SCSIPRFilter;

/* Sends a CDB to the device for @req; @reply gets @req as its opaque. */
static void scsi_pr_filter_ask(SCSIRequest *req, uint8_t *cdb, size_t size,
                               SCSIPRReply *reply)
{
    SCSIPRDisk *s = DO_UPCAST(SCSIPRFilter, answer.req, req)->pr;
    SCSIRequest *inner = scsi_pr_class(s->dev)->alloc_req(s->dev, req->tag,
                                                          req->lun, cdb, NULL);

    scsi_req_ref(req);          /* dropped by @reply */
    scsi_pr_ask(scsi_pr_io_wrap(inner, s), cdb, size, reply, req);
}

/* Ends a request as the device has ended what it was asked. */
static void scsi_pr_filter_pass_on(SCSIRequest *req, SCSIRequest *inner)
{
    if (inner->io_canceled) {
        scsi_req_cancel_async(req, NULL);
    } else if (inner->host_status != SCSI_HOST_OK) {
        scsi_req_complete_failed(req, inner->host_status);
    } else {
        memcpy(req->sense, inner->sense, inner->sense_len);
        req->sense_len = inner->sense_len;
        req->residual = 0;
        scsi_req_complete(req, inner->status);
    }
}

/* Whether there is an answer to correct. */
static bool scsi_pr_filter_succeeded(SCSIRequest *req, SCSIRequest *inner)
{
    if (req->io_canceled) {
        return false;           /* nobody is waiting for it any more */
    }
    if (inner->status != GOOD) {
        scsi_pr_filter_pass_on(req, inner);
        return false;
    }
    return true;
}

static void scsi_pr_filter_answer(SCSIRequest *req, const uint8_t *data,
                                  size_t len)
{
    if (scsi_pr_answer(req, data, len)) {
        scsi_pr_answer_read_data(req);
    }
}

/*
 * REPORT SUPPORTED OPERATION CODES (SPC-4 6.35), all of them
 */

static void scsi_pr_report_reply(void *opaque, SCSIRequest *inner,
                                 GByteArray *data)
{
    SCSIRequest *req = opaque;

    if (scsi_pr_filter_succeeded(req, inner)) {
        size_t len;
        uint8_t *merged = scsi_pr_merge_reports(data->data, data->len,
                                                req->cmd.buf[2] & RCTD, &len);

        scsi_pr_filter_answer(req, merged, len);
        scsi_pr_data_free(merged);
    }
    scsi_req_unref(req);
}

static void scsi_pr_report_ask(SCSIRequest *req)
{
    uint8_t cdb[SCSI_CMD_BUF_SIZE];

    memcpy(cdb, req->cmd.buf, sizeof(cdb));
    stl_be_p(&cdb[6], REPORT_MAX);
    scsi_pr_filter_ask(req, cdb, REPORT_MAX, scsi_pr_report_reply);
}

/*
 * MODE SENSE of the control mode page, or of all pages
 */

static void scsi_pr_mode_correct(SCSIRequest *req, GByteArray *data)
{
    SCSIPRDisk *s = DO_UPCAST(SCSIPRFilter, answer.req, req)->pr;

    scsi_pr_mode_set_tas(req->cmd.buf, data, s->tas);
    scsi_pr_filter_answer(req, data->data, data->len);
}

/* Of the device's pages nothing is wanted but what comes before them. */
static void scsi_pr_mode_reply_all(void *opaque, SCSIRequest *inner,
                                   GByteArray *data)
{
    SCSIRequest *req = opaque;

    if (scsi_pr_filter_succeeded(req, inner)) {
        scsi_pr_mode_drop_pages(req->cmd.buf, data);
        scsi_pr_mode_correct(req, data);
    }
    scsi_req_unref(req);
}

static void scsi_pr_mode_ask(SCSIRequest *req, bool all, SCSIPRReply *reply)
{
    uint8_t cdb[SCSI_CMD_BUF_SIZE];
    size_t size;

    memcpy(cdb, req->cmd.buf, sizeof(cdb));
    if (all) {
        scsi_pr_mode_ask_for_all(cdb);
        cdb[3] = 0;             /* no subpages */
    }
    if (cdb[0] == MODE_SENSE) {
        size = cdb[4] = UINT8_MAX;
    } else {
        size = MAX(lduw_be_p(&cdb[7]), MODE_SENSE_10_MIN);
        stw_be_p(&cdb[7], size);
    }
    scsi_pr_filter_ask(req, cdb, size, reply);
}

static void scsi_pr_mode_reply(void *opaque, SCSIRequest *inner,
                               GByteArray *data)
{
    SCSIRequest *req = opaque;
    const uint8_t *cdb = req->cmd.buf;
    bool has_subpage = cdb[3] && cdb[3] != 0xff;

    if (req->io_canceled) {
        /* nobody is waiting for it any more */
    } else if (inner->status == GOOD) {
        scsi_pr_mode_correct(req, data);
    } else if (scsi_pr_asked_sense(inner).key == ILLEGAL_REQUEST &&
               !has_subpage && !scsi_pr_mode_asks_for_all(cdb)) {
        /* The device does not have the page. */
        scsi_pr_mode_ask(req, true, scsi_pr_mode_reply_all);
    } else {
        scsi_pr_filter_pass_on(req, inner);
    }
    scsi_req_unref(req);
}

/*
 * Both
 */

static void scsi_pr_filter_begin(SCSIRequest *req)
{
    DO_UPCAST(SCSIPRFilter, answer.req, req)->asked = true;
    if (req->cmd.buf[0] == MAINTENANCE_IN) {
        scsi_pr_report_ask(req);
    } else {
        scsi_pr_mode_ask(req, false, scsi_pr_mode_reply);
    }
}

static int32_t scsi_pr_filter_send(SCSIRequest *req, uint8_t *buf)
{
    if (req->cmd.xfer == 0) {
        scsi_pr_filter_begin(req);
        return 0;
    }
    return req->cmd.xfer;
}

static void scsi_pr_filter_read_data(SCSIRequest *req)
{
    if (DO_UPCAST(SCSIPRFilter, answer.req, req)->asked) {
        scsi_pr_answer_read_data(req);
    } else {
        scsi_pr_filter_begin(req);
    }
}

static const SCSIReqOps scsi_pr_filter_ops = {
    .size         = sizeof(SCSIPRFilter),
    .free_req     = scsi_pr_answer_free,
    .send_command = scsi_pr_filter_send,
    .read_data    = scsi_pr_filter_read_data,
    .get_buf      = scsi_pr_answer_get_buf,
};

SCSIRequest *scsi_pr_filter_alloc(SCSIPRDisk *s, uint32_t tag, uint32_t lun,
                                  const uint8_t *cdb, void *hba_private)
{
    SCSIRequest *req = scsi_req_alloc(&scsi_pr_filter_ops, s->dev, tag, lun,
                                      hba_private);

    DO_UPCAST(SCSIPRFilter, answer.req, req)->pr = s;
    return req;
}
