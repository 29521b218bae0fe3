/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: requests that the shim answers with
 * data at once.
 */
#include "qemu/osdep.h"
#include "scsi/constants.h"
#include "pr-internal.h"

int32_t scsi_pr_answer(SCSIRequest *req, const uint8_t *data, size_t len)
{
    SCSIPRAnswer *r = DO_UPCAST(SCSIPRAnswer, req, req);

    r->len = MIN(len, req->cmd.xfer);
    r->buf = g_memdup2(data, r->len);
    if (!r->len) {
        scsi_pr_complete_good(req);
        return 0;
    }
    return r->len;
}

void scsi_pr_answer_free(SCSIRequest *req)
{
    g_free(DO_UPCAST(SCSIPRAnswer, req, req)->buf);
}

void scsi_pr_answer_read_data(SCSIRequest *req)
{
    SCSIPRAnswer *r = DO_UPCAST(SCSIPRAnswer, req, req);
    size_t len = r->len;

    r->len = 0;
    if (len) {
        scsi_req_data(req, len);
    } else {
        scsi_pr_complete_good(req);
    }
}

uint8_t *scsi_pr_answer_get_buf(SCSIRequest *req)
{
    return DO_UPCAST(SCSIPRAnswer, req, req)->buf;
}

bool scsi_pr_is_answer(SCSIRequest *req)
{
    return req->ops->get_buf == scsi_pr_answer_get_buf;
}
