/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: what is particular to scsi-hd.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "scsi/constants.h"
#include "scsi/utils.h"
#include "pr-compat.h"
#include "pr-answers.h"

/*
 * Cluster software compares the designators of INQUIRY's device
 * identification page (SPC-3 7.6.3) to tell shared disks apart.
 */
static bool scsi_pr_check_identity(SCSIDevice *dev, Error **errp)
{
    g_autofree char *identity = scsi_pr_emulated_identity(dev);

    if (!dev->conf.share_rw || identity) {
        return true;
    }
    error_setg(errp, "a shared disk with pr-store needs an identity that is"
               " the same in every VM");
    error_append_hint(errp, "%s.\n", scsi_pr_emulated.how_to_identify);
    return false;
}

static bool scsi_pr_check_emulated(SCSIPRDisk *s, Error **errp)
{
    return scsi_pr_check_identity(s->dev, errp) &&
        scsi_pr_check_backend(s->dev, errp);
}

/*
 * MODE SENSE with the control mode page, which the device model does not have.
 * Nothing of the page can be changed or saved: MODE SELECT of it is refused by
 * the device model as that of any page it does not know.
 */

#define ALL_SUBPAGES 0xff

/* The most that MODE SENSE of the device model returns, in bytes. */
#define SCSI_PR_MODE_MAX 256

typedef struct SCSIPRModeRequest {
    SCSIPRAnswer answer;        /* must be first */
    SCSIPRDisk *pr;
} SCSIPRModeRequest;

static int32_t scsi_pr_mode_answer(SCSIRequest *req, GByteArray *data)
{
    SCSIPRDisk *s = DO_UPCAST(SCSIPRModeRequest, answer.req, req)->pr;
    const uint8_t *cdb = req->cmd.buf;

    if (!scsi_pr_mode_asks_for_all(cdb)) {
        scsi_pr_mode_drop_pages(cdb, data);
    }
    scsi_pr_mode_set_tas(cdb, data, s->tas);
    return scsi_pr_answer(req, data->data, data->len);
}

static int32_t scsi_pr_mode_send(SCSIRequest *req, uint8_t *buf)
{
    SCSIPRDisk *s = DO_UPCAST(SCSIPRModeRequest, answer.req, req)->pr;
    const uint8_t *cdb = req->cmd.buf;
    g_autoptr(GByteArray) data = g_byte_array_new();
    uint8_t all_pages[10];
    SCSIPRQuietResult result;

    if (!scsi_pr_command_may_run(req, s)) {
        return 0;
    }
    memcpy(all_pages, cdb, sizeof(all_pages));
    scsi_pr_mode_ask_for_all(all_pages);
    result = scsi_pr_quiet(s->dev, all_pages, data, SCSI_PR_MODE_MAX);
    if (result.status == GOOD && !scsi_pr_mode_asks_for_all(cdb) && cdb[3] &&
        cdb[3] != ALL_SUBPAGES) {
        result = (SCSIPRQuietResult) {
            CHECK_CONDITION, SENSE_CODE(INVALID_FIELD)
        };
    }
    if (result.status != GOOD) {
        scsi_req_build_sense(req, result.sense);
        scsi_pr_complete_status(req, result.status);
        return 0;
    }
    return scsi_pr_mode_answer(req, data);
}

static const SCSIReqOps scsi_pr_mode_ops = {
    .size         = sizeof(SCSIPRModeRequest),
    .free_req     = scsi_pr_answer_free,
    .send_command = scsi_pr_mode_send,
    .read_data    = scsi_pr_answer_read_data,
    .get_buf      = scsi_pr_answer_get_buf,
};

static SCSIRequest *scsi_pr_mode_alloc(SCSIPRDisk *s, uint32_t tag,
                                       uint32_t lun, const uint8_t *cdb,
                                       void *hba_private)
{
    SCSIRequest *req = scsi_req_alloc(&scsi_pr_mode_ops, s->dev, tag, lun,
                                      hba_private);

    DO_UPCAST(SCSIPRModeRequest, answer.req, req)->pr = s;
    return req;
}

static bool scsi_pr_is_emulated_command(const uint8_t *cdb)
{
    return cdb[0] == MAINTENANCE_IN || scsi_pr_is_reservation_command(cdb[0]);
}

static void scsi_pr_allow_emulated_removal(SCSIPRDisk *s)
{
    g_autoptr(GByteArray) nothing = g_byte_array_new();
    uint8_t cdb[6] = { ALLOW_MEDIUM_REMOVAL };

    scsi_pr_quiet(s->dev, cdb, nothing, 0);
}

const SCSIPRKind scsi_pr_emulated = {
    .identity = scsi_pr_emulated_identity,
    .how_to_identify = "Set wwn=0x... (recommended), serial= or device_id=",
    .check = scsi_pr_check_emulated,
    .commands = scsi_pr_device_commands,
    .is_library_command = scsi_pr_is_emulated_command,
    .is_answered = scsi_pr_mode_is_asked,
    .alloc_answer = scsi_pr_mode_alloc,
    .allow_medium_removal = scsi_pr_allow_emulated_removal,
};
