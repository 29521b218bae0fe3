/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: what is particular to scsi-block and
 * scsi-generic, which hand CDBs on to a device of the host.
 *
 * Its own persistent reservations are those of the host's I_T nexus: what we
 * carry out never gets there. What it says about itself is corrected where it
 * would contradict that.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "scsi/constants.h"
#include "scsi/utils.h"
#include "pr-compat.h"
#include "pr-answers.h"

/* Service action of MAINTENANCE IN, and in its CDB (SPC-4 6.35) */
#define REPORT_SUPPORTED_OPERATION_CODES 0x0c
#define REPORTING_OPTIONS 0x07

/*
 * Which devices can have a store
 */

static bool scsi_pr_check_type(SCSIDevice *dev, Error **errp)
{
    if (dev->type == TYPE_DISK || dev->type == TYPE_ZBC) {
        return true;
    }
    error_setg(errp, "pr-store is for disks, and this is a device of type"
               " 0x%02x%s", dev->type, dev->type == TYPE_ROM ? " (CD-ROM)"
               : dev->type == TYPE_TAPE ? " (tape)" : "");
    error_append_hint(errp, "Leave pr-store out.\n");
    return false;
}

/*
 * When a process is killed the kernel does not wait for what it has sent
 * through a character device, so a fencing cannot either.
 */
static bool scsi_pr_check_orphans(SCSIPRDisk *s, Error **errp)
{
    if (!blk_is_sg(s->dev->conf.blk) || s->accept_orphans) {
        return true;
    }
    error_setg(errp, "pr-store does not work with a character device"
               " (/dev/sgN): use scsi-block with the disk's block device"
               " (/dev/sdX)");
    error_append_hint(errp, "The kernel does not wait for the commands of a"
                      " killed process that went through a character device:"
                      " a fenced VM could still write.\nIf you can live with"
                      " that, set scsi-generic's pr-accept-orphans=on.\n");
    return false;
}

static bool scsi_pr_policy_reports(BlockBackend *blk, bool is_read)
{
    BlockdevOnError policy = blk_get_on_error(blk, is_read);

    return policy != BLOCKDEV_ON_ERROR_STOP &&
        policy != BLOCKDEV_ON_ERROR_IGNORE;
}

static bool scsi_pr_check_policy(SCSIDevice *dev, Error **errp)
{
    BlockBackend *blk = dev->conf.blk;

    if (!pr_compat_conflict_is_error() ||
        (scsi_pr_policy_reports(blk, false) &&
         scsi_pr_policy_reports(blk, true))) {
        return true;
    }
    error_setg(errp, "with pr-store, this version of QEMU works only with"
               " werror=report or werror=enospc, and with rerror=report");
    error_append_hint(errp, "It takes the RESERVATION CONFLICT of a disk that"
                      " another host has reserved for an I/O error, and the"
                      " guest would not hear of it.\n");
    return false;
}

static bool scsi_pr_check_passthrough(SCSIPRDisk *s, Error **errp)
{
    /* What the guest has prevented where it comes from is not known. */
    s->prevents = runstate_check(RUN_STATE_INMIGRATE);
    return scsi_pr_check_type(s->dev, errp) &&
        scsi_pr_check_orphans(s, errp) &&
        scsi_pr_check_policy(s->dev, errp) &&
        scsi_pr_check_backend(s->dev, errp);
}

/* The device gives account of its commands itself. */
static ScsiPrSupportedCommand *scsi_pr_no_commands(SCSIDevice *dev,
                                                   size_t *count)
{
    *count = 0;
    return NULL;
}

/*
 * Whose command is it?
 */

static bool scsi_pr_is_report(const uint8_t *cdb)
{
    return cdb[0] == MAINTENANCE_IN &&
        (cdb[1] & 0x1f) == REPORT_SUPPORTED_OPERATION_CODES;
}

static bool scsi_pr_is_passthrough_command(const uint8_t *cdb)
{
    return scsi_pr_is_report(cdb) ? scsi_pr_reports(cdb, scsi_cdb_length(
                                                             (uint8_t *)cdb))
                                  : scsi_pr_is_reservation_command(cdb[0]);
}

static bool scsi_pr_is_corrected(const uint8_t *cdb)
{
    return scsi_pr_is_report(cdb) ? (cdb[2] & REPORTING_OPTIONS) == 0
                                  : scsi_pr_mode_is_asked(cdb);
}

/*
 * PREVENT ALLOW MEDIUM REMOVAL of a fenced nexus is undone
 */

typedef struct SCSIPRAllow {
    SCSIDevice *dev;            /* referenced */
    PRCompatSense kept;
    int tries;
} SCSIPRAllow;

static void scsi_pr_allow(SCSIPRAllow *allow);

static void scsi_pr_allow_reply(void *opaque, SCSIRequest *inner,
                                GByteArray *data)
{
    SCSIPRAllow *allow = opaque;
    SCSISense sense = scsi_pr_asked_sense(inner);

    pr_compat_restore_sense(allow->dev, &allow->kept);
    if (sense.key == UNIT_ATTENTION && allow->tries++ < 3) {
        /* It was for the guest. */
        scsi_device_set_ua(allow->dev, sense);
        scsi_pr_allow(allow);
    } else {
        object_unref(OBJECT(allow->dev));
        g_free(allow);
    }
}

static void scsi_pr_allow(SCSIPRAllow *allow)
{
    uint8_t cdb[6] = { ALLOW_MEDIUM_REMOVAL };
    SCSIDevice *dev = allow->dev;

    pr_compat_keep_sense(dev, &allow->kept);
    scsi_pr_ask(scsi_pr_class(dev)->alloc_req(dev, 0, dev->lun, cdb, NULL),
                cdb, 0, scsi_pr_allow_reply, allow);
}

/* Only if it has sent one: the device may not know the command at all. */
static void scsi_pr_allow_passthrough_removal(SCSIPRDisk *s)
{
    SCSIPRAllow *allow;

    if (qatomic_xchg(&s->prevents, false)) {
        allow = g_new0(SCSIPRAllow, 1);
        allow->dev = SCSI_DEVICE(object_ref(OBJECT(s->dev)));
        scsi_pr_allow(allow);
    }
}

static void scsi_pr_note_prevention(SCSIPRDisk *s, const uint8_t *cdb)
{
    if (cdb[0] == ALLOW_MEDIUM_REMOVAL) {
        qatomic_set(&s->prevents, (cdb[4] & 3) != 0);
    }
}

const SCSIPRKind scsi_pr_passthrough = {
    .attaches_realized = true,
    .identity = scsi_pr_passthrough_identity,
    .how_to_identify = "The host's disk names itself neither by NAA or EUI-64"
                       " nor by text: set pr-store=",
    .check = scsi_pr_check_passthrough,
    .commands = scsi_pr_no_commands,
    .is_library_command = scsi_pr_is_passthrough_command,
    .is_answered = scsi_pr_is_corrected,
    .alloc_answer = scsi_pr_filter_alloc,
    .note_command = scsi_pr_note_prevention,
    .allow_medium_removal = scsi_pr_allow_passthrough_removal,
};
