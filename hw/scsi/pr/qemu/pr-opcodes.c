/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: the commands of scsi-hd itself, for
 * REPORT SUPPORTED OPERATION CODES (SPC-4 6.35).
 *
 * A bit is one where its value makes a difference to a command that ends GOOD.
 * Fields in which scsi_disk_emulate_command() and scsi_disk_dma_command() take
 * only zero count as reserved; those commands of MMC that a disk refuses,
 * although it knows their codes, are not here.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "scsi/constants.h"
#include "pr-internal.h"

#define LBA4 0xff, 0xff, 0xff, 0xff
#define LBA8 LBA4, LBA4
#define LENGTH2 0xff, 0xff
#define LENGTH4 LENGTH2, LENGTH2

#define DPO 0x10
#define FUA 0x08

static const ScsiPrSupportedCommand scsi_pr_disk_commands[] = {
    { { TEST_UNIT_READY }, 6 },
    { { REQUEST_SENSE, 0x01, 0, 0, 0xff }, 6 },
    { { FORMAT_UNIT, 0x30 }, 6 },
    { { READ_6, 0x1f, 0xff, 0xff, 0xff }, 6 },
    { { WRITE_6, 0x1f, 0xff, 0xff, 0xff }, 6 },
    { { INQUIRY, 0x01, 0xff, LENGTH2 }, 6 },
    { { MODE_SELECT, 0x10, 0, 0, 0xff }, 6 },
    { { MODE_SENSE, 0x08, 0xff, 0, 0xff }, 6 },
    { { START_STOP, 0, 0, 0, 0xf3 }, 6 },
    { { ALLOW_MEDIUM_REMOVAL, 0, 0, 0, 0x03 }, 6 },
    { { READ_CAPACITY_10, 0, LBA4, 0, 0, 0x01 }, 10 },
    { { READ_10, DPO | FUA, LBA4, 0, LENGTH2 }, 10 },
    { { WRITE_10, DPO | FUA, LBA4, 0, LENGTH2 }, 10 },
    { { SEEK_10, 0, LBA4 }, 10 },
    { { WRITE_VERIFY_10, DPO, LBA4, 0, LENGTH2 }, 10 },
    /* succeeds without a look at the medium, wherever it points */
    { { VERIFY_10, DPO }, 10 },
    /* always all of the cache */
    { { SYNCHRONIZE_CACHE }, 10 },
    /* UNMAP and NDOB; the latter is looked at here too */
    { { WRITE_SAME_10, 0x09, LBA4, 0, LENGTH2 }, 10 },
    { { UNMAP, 0, 0, 0, 0, 0, 0, LENGTH2 }, 10 },
    /* of MMC, but not refused */
    { { READ_TOC, 0x02, 0x0f, 0, 0, 0, 0xff, LENGTH2 }, 10 },
    { { MODE_SELECT_10, 0x10, 0, 0, 0, 0, 0, LENGTH2 }, 10 },
    { { MODE_SENSE_10, 0x08, 0xff, 0, 0, 0, 0, LENGTH2 }, 10 },
    { { READ_16, DPO | FUA, LBA8, LENGTH4 }, 16 },
    { { WRITE_16, DPO | FUA, LBA8, LENGTH4 }, 16 },
    { { WRITE_VERIFY_16, DPO, LBA8, LENGTH4 }, 16 },
    { { VERIFY_16, DPO }, 16 },
    { { WRITE_SAME_16, 0x09, LBA8, LENGTH4 }, 16 },
    { { SERVICE_ACTION_IN_16, SAI_READ_CAPACITY_16, LBA8, LENGTH4, 0x01 }, 16,
      true },
    { { REPORT_LUNS, 0, 0xff, 0, 0, 0, LENGTH4 }, 12 },
    { { READ_12, DPO | FUA, LBA4, LENGTH4 }, 12 },
    { { WRITE_12, DPO | FUA, LBA4, LENGTH4 }, 12 },
    { { WRITE_VERIFY_12, DPO, LBA4, LENGTH4 }, 12 },
    { { VERIFY_12, DPO }, 12 },
};

/* Those commands in which byte 1 may have DPO and FUA. */
static bool scsi_pr_has_dpo(uint8_t opcode)
{
    switch (opcode) {
    case READ_10:
    case READ_12:
    case READ_16:
    case WRITE_10:
    case WRITE_12:
    case WRITE_16:
    case WRITE_VERIFY_10:
    case WRITE_VERIFY_12:
    case WRITE_VERIFY_16:
    case VERIFY_10:
    case VERIFY_12:
    case VERIFY_16:
        return true;
    default:
        return false;
    }
}

ScsiPrSupportedCommand *scsi_pr_device_commands(SCSIDevice *dev, size_t *count)
{
    ScsiPrSupportedCommand *commands = g_memdup2(scsi_pr_disk_commands,
                                                 sizeof(scsi_pr_disk_commands));

    *count = ARRAY_SIZE(scsi_pr_disk_commands);
    /* MODE SENSE says whether DPO and FUA are supported; say the same. */
    if (object_property_get_bool(OBJECT(dev), "dpofua", &error_abort)) {
        return commands;
    }
    for (size_t i = 0; i < *count; i++) {
        if (scsi_pr_has_dpo(commands[i].usage[0])) {
            commands[i].usage[1] &= ~(DPO | FUA);
        }
    }
    return commands;
}
