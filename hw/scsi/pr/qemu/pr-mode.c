/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: the control mode page (SPC-3 7.4.6),
 * which says in TAS what becomes of commands that PREEMPT AND ABORT aborts.
 *
 * The device model has no such page. MODE SENSE that asks for it, or for all
 * pages, is answered by the device model first; the page goes behind what it
 * said. Nothing of the page can be changed or saved: MODE SELECT of it is
 * refused by the device model as that of any page it does not know.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "scsi/constants.h"
#include "scsi/utils.h"
#include "pr-internal.h"

#define CONTROL_MODE_PAGE 0x0a
#define ALL_PAGES 0x3f
#define ALL_SUBPAGES 0xff

/* Page control (SPC-3 table 119), shifted */
#define CHANGEABLE_VALUES 1

#define TAS 0x40

/* What the mode data length of MODE SENSE(6) can say, in bytes. */
#define SCSI_PR_MODE_MAX 256

typedef struct SCSIPRModeRequest {
    SCSIPRAnswer answer;        /* must be first */
    SCSIPRState *pr;
} SCSIPRModeRequest;

/* Header, block descriptor and pages. */
typedef struct SCSIPRModeData {
    uint8_t buf[SCSI_PR_MODE_MAX];
    size_t len;                 /* bytes */
} SCSIPRModeData;

static size_t scsi_pr_mode_header(const uint8_t *cdb)
{
    return cdb[0] == MODE_SENSE ? 4 : 8;
}

/* How much the device model has, whatever the buffer holds behind it. */
static size_t scsi_pr_mode_length(const uint8_t *cdb, const uint8_t *buf)
{
    return cdb[0] == MODE_SENSE ? buf[0] + 1 : lduw_be_p(buf) + 2;
}

static void scsi_pr_mode_set_length(const uint8_t *cdb, SCSIPRModeData *data)
{
    if (cdb[0] == MODE_SENSE) {
        data->buf[0] = data->len - 1;
    } else {
        stw_be_p(data->buf, data->len - 2);
    }
}

/* How much of it comes before the first page. */
static size_t scsi_pr_mode_before_pages(const uint8_t *cdb, const uint8_t *buf)
{
    return scsi_pr_mode_header(cdb) +
        (cdb[0] == MODE_SENSE ? buf[3] : lduw_be_p(&buf[6]));
}

static void scsi_pr_mode_append(SCSIPRModeData *data, bool tas)
{
    const uint8_t page[12] = {
        CONTROL_MODE_PAGE, sizeof(page) - 2, [5] = tas ? TAS : 0
    };

    g_assert(data->len + sizeof(page) <= SCSI_PR_MODE_MAX);
    memcpy(&data->buf[data->len], page, sizeof(page));
    data->len += sizeof(page);
}

static int32_t scsi_pr_mode_send(SCSIRequest *req, uint8_t *buf)
{
    SCSIPRState *s = DO_UPCAST(SCSIPRModeRequest, answer.req, req)->pr;
    const uint8_t *cdb = req->cmd.buf;
    bool all = (cdb[2] & 0x3f) == ALL_PAGES;
    bool tas = s->tas && cdb[2] >> 6 != CHANGEABLE_VALUES;
    uint8_t all_pages[10];
    SCSIPRModeData data = {};
    SCSIPRQuietResult result;

    if (!scsi_pr_command_may_run(req, s)) {
        return 0;
    }
    memcpy(all_pages, cdb, sizeof(all_pages));
    all_pages[2] |= ALL_PAGES;
    result = scsi_pr_quiet(s->dev, all_pages, data.buf, sizeof(data.buf));
    if (result.status == GOOD && !all && cdb[3] && cdb[3] != ALL_SUBPAGES) {
        result = (SCSIPRQuietResult) {
            CHECK_CONDITION, SENSE_CODE(INVALID_FIELD)
        };
    }
    if (result.status != GOOD) {
        scsi_req_build_sense(req, result.sense);
        scsi_req_complete(req, result.status);
        return 0;
    }
    data.len = all ? scsi_pr_mode_length(cdb, data.buf)
                   : scsi_pr_mode_before_pages(cdb, data.buf);
    scsi_pr_mode_append(&data, tas);
    scsi_pr_mode_set_length(cdb, &data);
    return scsi_pr_answer(req, data.buf, data.len);
}

static const SCSIReqOps scsi_pr_mode_ops = {
    .size         = sizeof(SCSIPRModeRequest),
    .free_req     = scsi_pr_answer_free,
    .send_command = scsi_pr_mode_send,
    .read_data    = scsi_pr_answer_read_data,
    .get_buf      = scsi_pr_answer_get_buf,
};

SCSIRequest *scsi_pr_mode_sense_req(SCSIPRState *s, uint32_t tag, uint32_t lun,
                                    const uint8_t *buf, void *hba_private)
{
    uint8_t page = buf[2] & 0x3f;
    SCSIRequest *req;

    if ((buf[0] != MODE_SENSE && buf[0] != MODE_SENSE_10) ||
        (page != CONTROL_MODE_PAGE && page != ALL_PAGES)) {
        return NULL;
    }
    req = scsi_req_alloc(&scsi_pr_mode_ops, s->dev, tag, lun, hba_private);
    DO_UPCAST(SCSIPRModeRequest, answer.req, req)->pr = s;
    return req;
}
