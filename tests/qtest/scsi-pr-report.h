/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest bench for SCSI persistent reservations: REPORT SUPPORTED OPERATION
 * CODES (SPC-4 6.35)
 */
#ifndef TESTS_QTEST_SCSI_PR_REPORT_H
#define TESTS_QTEST_SCSI_PR_REPORT_H

#include "scsi-pr-bench.h"

/* Service action of MAINTENANCE IN */
#define RSOC 0x0c

/* REPORTING OPTIONS, and RCTD beside it */
enum { ALL, WITHOUT_ACTION, WITH_ACTION, EITHER, RCTD = 0x80 };

static inline Result report(Bench *b, int target, uint8_t options,
                            uint8_t opcode, uint16_t action,
                            size_t allocation)
{
    uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = {
        MAINTENANCE_IN, RSOC, options, opcode
    };

    stw_be_p(&cdb[4], action);
    stl_be_p(&cdb[6], allocation);
    return command(b, target, cdb, NULL, 0, allocation);
}

#endif /* TESTS_QTEST_SCSI_PR_REPORT_H */
