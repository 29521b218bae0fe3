/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: what the CDBs of reservation commands
 * say about data.
 */
#include "qemu/osdep.h"
#include "scsi/constants.h"
#include "scsi/utils.h"
#include "pr-internal.h"

/*
 * QEMU takes RESERVE(10) and RELEASE(10) for commands that send data to the
 * initiator. They have a parameter list only with a third-party reservation,
 * which we refuse; else its length shall be ignored (SPC-2 r20 7.16, 7.21).
 */
static void scsi_pr_correct_cdb(SCSICommand *cmd)
{
    if (cmd->buf[0] == RESERVE_10 || cmd->buf[0] == RELEASE_10) {
        cmd->xfer = 0;
        cmd->mode = SCSI_XFER_NONE;
    }
}

const bool scsi_pr_questionable[256] = {
    [ALLOW_MEDIUM_REMOVAL] = true,
    [MAINTENANCE_IN] = true,
    [MODE_SENSE] = true,
    [MODE_SENSE_10] = true,
    [PERSISTENT_RESERVE_IN] = true,
    [PERSISTENT_RESERVE_OUT] = true,
    [RELEASE] = true,
    [RELEASE_10] = true,
    [RESERVE] = true,
    [RESERVE_10] = true,
};

/* Whether all of the CDB is there, and we answer it. */
static bool scsi_pr_is_ours(const SCSIPRKind *kind, uint8_t *buf,
                            size_t buf_len)
{
    int len = scsi_cdb_length(buf);

    return len > 0 && len <= buf_len &&
        (kind->is_library_command(buf) || kind->is_answered(buf));
}

/*
 * A passthrough device has the adapter say how much data there is, which knows
 * it from the initiator. For what we answer the CDB alone counts.
 */
static int scsi_pr_parse_ours(SCSIDevice *dev, SCSICommand *cmd, uint8_t *buf,
                              size_t buf_len)
{
    int ret = scsi_req_parse_cdb(dev, cmd, buf, buf_len);

    if (ret == 0) {
        scsi_pr_correct_cdb(cmd);
    }
    return ret;
}

/* What is not ours: READ and WRITE get here without a question. */
static int scsi_pr_parse_others(SCSIDevice *dev, SCSICommand *cmd,
                                uint8_t *buf, size_t buf_len,
                                void *hba_private)
{
    const SCSIPRClass *wrapped = scsi_pr_class(dev);

    return wrapped->parse_cdb
        ? wrapped->parse_cdb(dev, cmd, buf, buf_len, hba_private)
        : scsi_req_parse_cdb(dev, cmd, buf, buf_len);
}

/* Not inlined: who goes past it shall not save registers for it. */
static __attribute__((noinline)) int
scsi_pr_parse_questionable(SCSIDevice *dev, SCSICommand *cmd, uint8_t *buf,
                           size_t buf_len, void *hba_private)
{
    return scsi_pr_state(dev) &&
        scsi_pr_is_ours(scsi_pr_class(dev)->kind, buf, buf_len)
        ? scsi_pr_parse_ours(dev, cmd, buf, buf_len)
        : scsi_pr_parse_others(dev, cmd, buf, buf_len, hba_private);
}

int scsi_pr_parse_cdb(SCSIDevice *dev, SCSICommand *cmd, uint8_t *buf,
                      size_t buf_len, void *hba_private)
{
    return buf_len && scsi_pr_questionable[buf[0]]
        ? scsi_pr_parse_questionable(dev, cmd, buf, buf_len, hba_private)
        : scsi_pr_parse_others(dev, cmd, buf, buf_len, hba_private);
}
