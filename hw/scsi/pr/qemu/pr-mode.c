/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: the control mode page (SPC-3 7.4.6),
 * which says in TAS what becomes of commands that PREEMPT AND ABORT aborts.
 *
 * The emulated disk has no such page, a passthrough device has one that speaks
 * of its own commands. MODE SENSE that asks for it, or for all pages, is
 * answered by either first; then what it said is corrected here.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "scsi/constants.h"
#include "pr-answers.h"

#define CONTROL_MODE_PAGE 0x0a
#define ALL_PAGES 0x3f

/* First byte of a page (SPC-3 table 244) */
#define PAGE_CODE 0x3f
#define SPF 0x40

/* Page control (SPC-3 table 119), shifted */
#define CHANGEABLE_VALUES 1

/* Byte 5 of the control mode page */
#define TAS 0x40

/* What the mode data length of MODE SENSE(6) can say, in bytes. */
#define MODE_SENSE_6_MAX 256

bool scsi_pr_mode_is_asked(const uint8_t *cdb)
{
    uint8_t page = cdb[2] & PAGE_CODE;

    return (cdb[0] == MODE_SENSE || cdb[0] == MODE_SENSE_10) &&
        (page == CONTROL_MODE_PAGE || page == ALL_PAGES);
}

bool scsi_pr_mode_asks_for_all(const uint8_t *cdb)
{
    return (cdb[2] & PAGE_CODE) == ALL_PAGES;
}

void scsi_pr_mode_ask_for_all(uint8_t *cdb)
{
    cdb[2] |= ALL_PAGES;
}

static size_t scsi_pr_mode_header(const uint8_t *cdb)
{
    return cdb[0] == MODE_SENSE ? 4 : 8;
}

/* How much there is, wherever it was cut off. */
static size_t scsi_pr_mode_length(const uint8_t *cdb, const GByteArray *data)
{
    return cdb[0] == MODE_SENSE ? data->data[0] + 1
                                : lduw_be_p(data->data) + 2;
}

static void scsi_pr_mode_set_length(const uint8_t *cdb, GByteArray *data)
{
    if (cdb[0] == MODE_SENSE) {
        data->data[0] = data->len - 1;
    } else {
        stw_be_p(data->data, data->len - 2);
    }
}

/* How much of it comes before the first page. */
static size_t scsi_pr_mode_before_pages(const uint8_t *cdb,
                                        const GByteArray *data)
{
    return scsi_pr_mode_header(cdb) + (cdb[0] == MODE_SENSE
                                       ? data->data[3]
                                       : lduw_be_p(&data->data[6]));
}

/* Of a page or subpage; 0 if what says so was cut off. */
static size_t scsi_pr_mode_page_length(const GByteArray *data, size_t at)
{
    const uint8_t *page = &data->data[at];

    if (!(page[0] & SPF)) {
        return data->len - at < 2 ? 0 : 2 + page[1];
    }
    return data->len - at < 4 ? 0 : 4 + lduw_be_p(&page[2]);
}

/*
 * Where the page is; or with @found false where it belongs: in the order of the
 * codes, among which 00h comes last.
 */
static size_t scsi_pr_mode_find(const uint8_t *cdb, const GByteArray *data,
                                bool *found)
{
    size_t at = scsi_pr_mode_before_pages(cdb, data);
    size_t len;

    *found = false;
    while (at < data->len) {
        uint8_t code = data->data[at] & (PAGE_CODE | SPF);

        if (code == CONTROL_MODE_PAGE) {
            *found = true;
            break;
        }
        if ((code & PAGE_CODE) > CONTROL_MODE_PAGE || !(code & PAGE_CODE)) {
            break;
        }
        len = scsi_pr_mode_page_length(data, at);
        if (!len) {
            break;
        }
        at += len;
    }
    return at;
}

static void scsi_pr_mode_insert(const uint8_t *cdb, GByteArray *data,
                                size_t at, uint8_t tas)
{
    const uint8_t page[12] = {
        CONTROL_MODE_PAGE, sizeof(page) - 2, [5] = tas
    };
    size_t len = data->len;

    if (at > len || (cdb[0] == MODE_SENSE &&
                     len + sizeof(page) > MODE_SENSE_6_MAX)) {
        return;
    }
    g_byte_array_set_size(data, len + sizeof(page));
    memmove(&data->data[at + sizeof(page)], &data->data[at], len - at);
    memcpy(&data->data[at], page, sizeof(page));
    scsi_pr_mode_set_length(cdb, data);
}

void scsi_pr_mode_drop_pages(const uint8_t *cdb, GByteArray *data)
{
    if (data->len >= scsi_pr_mode_header(cdb)) {
        g_byte_array_set_size(data, MIN(data->len,
                                        scsi_pr_mode_before_pages(cdb, data)));
        scsi_pr_mode_set_length(cdb, data);
    }
}

void scsi_pr_mode_set_tas(const uint8_t *cdb, GByteArray *data, bool tas)
{
    uint8_t bit = tas && cdb[2] >> 6 != CHANGEABLE_VALUES ? TAS : 0;
    size_t at, length;
    bool found;

    if (data->len < scsi_pr_mode_header(cdb)) {
        return;
    }
    length = scsi_pr_mode_length(cdb, data);
    g_byte_array_set_size(data, MIN(data->len, length));
    if (data->len < scsi_pr_mode_header(cdb)) {
        return;
    }
    at = scsi_pr_mode_find(cdb, data, &found);
    if (!found) {
        /* Nobody knows what was cut off. */
        if (data->len == length) {
            scsi_pr_mode_insert(cdb, data, at, bit);
        }
    } else if (at + 5 < data->len) {
        data->data[at + 5] = (data->data[at + 5] & ~TAS) | bit;
    }
}
