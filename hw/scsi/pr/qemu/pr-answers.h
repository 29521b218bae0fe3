/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: commands that the shim answers by
 * what the device model says.
 */
#ifndef HW_SCSI_PR_ANSWERS_H
#define HW_SCSI_PR_ANSWERS_H

#include "pr-internal.h"

/* pr-ask.c */

/*
 * @req has ended: with @data, with another status than GOOD and sense data,
 * with a host status, or cancelled. Both are gone when this returns.
 */
typedef void SCSIPRReply(void *opaque, SCSIRequest *req, GByteArray *data);

/*
 * Sends @cdb, as long as its operation code says, by way of @req, which nobody
 * else knows, to the device model; data-in of @size bytes at most. @reply is
 * called once, in the context of the caller, maybe before this returns.
 */
void scsi_pr_ask(SCSIRequest *req, const uint8_t *cdb, size_t size,
                 SCSIPRReply *reply, void *opaque);

/* For @reply. */
SCSISense scsi_pr_asked_sense(const SCSIRequest *req);

/* How the device model has carried a command out. */
typedef struct SCSIPRQuietResult {
    int status;
    SCSISense sense;            /* with CHECK CONDITION */
} SCSIPRQuietResult;

/*
 * Lets the device model carry out an emulated command that ends at once, with
 * no adapter and no initiator that sees it; no unit attention condition or
 * sense data is lost by it. In the main loop, or where the device's requests
 * run. @cdb: as long as its operation code says; data-in is appended to @data,
 * @size bytes at most.
 */
SCSIPRQuietResult scsi_pr_quiet(SCSIDevice *dev, uint8_t *cdb,
                                GByteArray *data, size_t size);

/* pr-filter.c */

/*
 * Answers REPORT SUPPORTED OPERATION CODES of all commands, and MODE SENSE that
 * scsi_pr_mode_is_asked().
 */
SCSIRequest *scsi_pr_filter_alloc(SCSIPRDisk *s, uint32_t tag, uint32_t lun,
                                  const uint8_t *cdb, void *hba_private);

/* pr-mode.c; @cdb: of MODE SENSE, @data: what it returns, maybe cut off */

/* Whether it is MODE SENSE with the control mode page in it. */
bool scsi_pr_mode_is_asked(const uint8_t *cdb);

bool scsi_pr_mode_asks_for_all(const uint8_t *cdb);
void scsi_pr_mode_ask_for_all(uint8_t *cdb);

/* Leaves only what comes before the pages. */
void scsi_pr_mode_drop_pages(const uint8_t *cdb, GByteArray *data);

/* Sets TAS in the control mode page, and adds one if there is none. */
void scsi_pr_mode_set_tas(const uint8_t *cdb, GByteArray *data, bool tas);

#endif /* HW_SCSI_PR_ANSWERS_H */
