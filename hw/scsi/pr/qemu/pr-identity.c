/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: who a logical unit is, as guests see
 * it in the device identification page (SPC-3 7.6.3).
 *
 * An identity is text that can be part of a file name:
 *
 *   naa.0123456789abcdef   also with 32 digits
 *   eui.0123456789abcdef   also with 24 or 32 digits
 *   vendor.TEXT            T10 vendor ID based
 *   name.TEXT              SCSI name string
 *   sha256.DIGEST          of either, if TEXT would be too long
 *
 * where TEXT has %XX for whatever is not in [A-Za-z0-9._-]. Different
 * identities never have one text.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "scsi/constants.h"
#include "pr-compat.h"
#include "pr-internal.h"

/* A file name has 255 bytes, and the store puts something behind it. */
#define SCSI_PR_MAX_TEXT 160

static char *scsi_pr_escape(const uint8_t *text, size_t len)
{
    GString *escaped = g_string_new(NULL);

    for (size_t i = 0; i < len; i++) {
        if (g_ascii_isalnum(text[i]) || (text[i] && strchr("._-", text[i]))) {
            g_string_append_c(escaped, text[i]);
        } else {
            g_string_append_printf(escaped, "%%%02X", text[i]);
        }
    }
    return g_string_free(escaped, false);
}

/* @text stands for the @len bytes at @raw. */
static char *scsi_pr_make_name(const char *scheme, const char *text,
                               const uint8_t *raw, size_t len)
{
    g_autofree char *digest = NULL;

    if (strlen(text) <= SCSI_PR_MAX_TEXT) {
        return g_strdup_printf("%s.%s", scheme, text);
    }
    digest = g_compute_checksum_for_data(G_CHECKSUM_SHA256, raw, len);
    return g_strdup_printf("sha256.%s", digest);
}

static char *scsi_pr_name_text(const char *scheme, const uint8_t *text,
                               size_t len)
{
    g_autofree char *escaped = scsi_pr_escape(text, len);

    return scsi_pr_make_name(scheme, escaped, text, len);
}

static char *scsi_pr_name_number(const char *scheme, const uint8_t *number,
                                 size_t len)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (size_t i = 0; i < len; i++) {
        g_string_append_printf(text, "%02x", number[i]);
    }
    return scsi_pr_make_name(scheme, text->str, number, len);
}

/*
 * An emulated disk: what its properties say
 */

/* The value of a property, or NULL if there is none, or it is empty. */
static char *scsi_pr_text_property(SCSIDevice *dev, const char *name)
{
    char *value = object_property_get_str(OBJECT(dev), name, NULL);

    if (value && !*value) {
        g_clear_pointer(&value, g_free);
    }
    return value;
}

char *scsi_pr_emulated_identity(SCSIDevice *dev)
{
    g_autofree char *id = scsi_pr_text_property(dev, "device_id");

    if (dev->wwn) {
        return g_strdup_printf("naa.%016" PRIx64, dev->wwn);
    }
    if (!id) {
        id = scsi_pr_text_property(dev, "serial");
    }
    return id ? scsi_pr_name_text("vendor", (uint8_t *)id, strlen(id)) : NULL;
}

/*
 * A device of the host: what the page says
 */

#define DEVICE_IDENTIFICATION_PAGE 0x83

/* A designation descriptor (SPC-3 table 323) */
#define DESIGNATOR_HEADER 4
#define ASSOCIATION 0x30        /* 0: the logical unit */
#define DESIGNATOR_TYPE 0x0f

/* The better ones first; the other types are no worldwide names. */
static const struct {
    uint8_t type;
    const char *scheme;
    bool is_text;
} scsi_pr_designators[] = {
    { 3, "naa" },
    { 2, "eui" },
    { 8, "name", true },
    { 1, "vendor", true },
};

/* The longest designator of this type, or NULL; @page: all of it. */
static const uint8_t *scsi_pr_find_designator(const uint8_t *page, size_t len,
                                              uint8_t type)
{
    const uint8_t *found = NULL;
    size_t at = 4, next;

    for (; at + DESIGNATOR_HEADER <= len; at = next) {
        const uint8_t *each = &page[at];

        next = at + DESIGNATOR_HEADER + each[3];
        if (next > len) {
            break;
        }
        if (!(each[1] & ASSOCIATION) && (each[1] & DESIGNATOR_TYPE) == type &&
            each[3] && (!found || each[3] > found[3])) {
            found = each;
        }
    }
    return found;
}

char *scsi_pr_passthrough_identity(SCSIDevice *dev)
{
    uint8_t page[252] = {};
    uint8_t cdb[6] = {
        INQUIRY, 1, DEVICE_IDENTIFICATION_PAGE, 0, sizeof(page)
    };
    size_t len;

    if (pr_compat_sg_io_from_dev(dev, cdb, sizeof(cdb), page,
                                 sizeof(page)) < 0) {
        return NULL;
    }
    len = MIN(4 + lduw_be_p(&page[2]), sizeof(page));
    for (size_t i = 0; i < ARRAY_SIZE(scsi_pr_designators); i++) {
        const char *scheme = scsi_pr_designators[i].scheme;
        const uint8_t *found = scsi_pr_find_designator(
            page, len, scsi_pr_designators[i].type);

        if (found) {
            return scsi_pr_designators[i].is_text
                ? scsi_pr_name_text(scheme, &found[DESIGNATOR_HEADER], found[3])
                : scsi_pr_name_number(scheme, &found[DESIGNATOR_HEADER],
                                      found[3]);
        }
    }
    return NULL;
}
