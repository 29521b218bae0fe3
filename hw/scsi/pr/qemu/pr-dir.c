/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: pr-dir, a directory where every
 * shared disk has the store that its identity names.
 *
 * The identity is what guests see in the device identification page (SPC-3
 * 7.6.3). Its store's name is one of
 *
 *   naa.0123456789abcdef.pr    wwn
 *   vendor.TEXT.pr             device_id, or serial which is its default
 *   sha256.DIGEST.pr           likewise, if TEXT would be too long
 *
 * where TEXT has %XX for whatever is not in [A-Za-z0-9._-]. Different
 * identities never have one name.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "block/block_int.h"
#include "scsi/constants.h"
#include "pr-compat.h"
#include "pr-internal.h"

/* A file name has 255 bytes, and the store puts something behind it. */
#define SCSI_PR_MAX_TEXT 160

static char *scsi_pr_escape(const char *text)
{
    GString *escaped = g_string_new(NULL);

    for (; *text; text++) {
        if (g_ascii_isalnum(*text) || strchr("._-", *text)) {
            g_string_append_c(escaped, *text);
        } else {
            g_string_append_printf(escaped, "%%%02X", (uint8_t)*text);
        }
    }
    return g_string_free(escaped, false);
}

/* The value of a property, or NULL if there is none, or it is empty. */
static char *scsi_pr_text(SCSIDevice *dev, const char *name)
{
    char *value = object_property_get_str(OBJECT(dev), name, NULL);

    if (value && !*value) {
        g_clear_pointer(&value, g_free);
    }
    return value;
}

/* NULL: it has none. */
static char *scsi_pr_identity(SCSIDevice *dev)
{
    g_autofree char *id = scsi_pr_text(dev, "device_id");
    g_autofree char *escaped = NULL;
    g_autofree char *digest = NULL;

    if (dev->wwn) {
        return g_strdup_printf("naa.%016" PRIx64, dev->wwn);
    }
    if (!id) {
        id = scsi_pr_text(dev, "serial");
    }
    if (!id) {
        return NULL;
    }
    escaped = scsi_pr_escape(id);
    if (strlen(escaped) <= SCSI_PR_MAX_TEXT) {
        return g_strdup_printf("vendor.%s", escaped);
    }
    digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, id, -1);
    return g_strdup_printf("sha256.%s", digest);
}

static bool scsi_pr_check_dir(const char *dir, Error **errp)
{
    if (!g_path_is_absolute(dir)) {
        error_setg(errp, "pr-dir must be an absolute path, not '%s'", dir);
        return false;
    }
    if (!g_file_test(dir, G_FILE_TEST_IS_DIR)) {
        error_setg(errp, "pr-dir '%s' is no directory", dir);
        error_append_hint(errp, "Create it, and let the user that runs QEMU"
                          " write to it.\n");
        return false;
    }
    return true;
}

bool scsi_pr_dir_applies(SCSIDevice *dev, const char *dir)
{
    return dir && *dir && dev->conf.share_rw &&
        (dev->type == TYPE_DISK || dev->type == TYPE_ZBC);
}

char *scsi_pr_dir_store(SCSIDevice *dev, const char *dir, Error **errp)
{
    g_autofree char *identity = scsi_pr_identity(dev);

    if (!scsi_pr_check_dir(dir, errp)) {
        return NULL;
    }
    if (!identity) {
        error_setg(errp, "with pr-dir, a shared disk needs an identity that is"
                   " the same in every VM");
        error_append_hint(errp, "%s; pr-dir= for a disk without persistent"
                          " reservations.\n",
                          object_property_find(OBJECT(dev), "wwn")
                          ? "Set wwn=0x... (recommended), serial= or device_id="
                          : "The host's disk has no NAA identifier: set"
                            " pr-store=");
        return NULL;
    }
    return g_strdup_printf("file:%s/%s.pr", dir, identity);
}

/* The node with the medium, below formats, filters and the like. */
static BlockDriverState *GRAPH_RDLOCK scsi_pr_medium(BlockDriverState *bs)
{
    while (bs && bs->file) {
        bs = bs->file->bs;
    }
    return bs;
}

static bool scsi_pr_stat(const char *filename, struct stat *info)
{
    int fd;
    bool known;

    if (!g_str_has_prefix(filename, "/dev/fdset/")) {
        return stat(filename, info) == 0;
    }
    fd = qemu_open(filename, O_RDWR, NULL);
    if (fd < 0) {
        return false;
    }
    known = fstat(fd, info) == 0;
    qemu_close(fd);
    return known;
}

void scsi_pr_dir_medium(SCSIDevice *dev, uint64_t *device, uint64_t *inode)
{
    BlockBackend *blk = dev->conf.blk;
    BlockDriverState *bs = blk ? blk_bs(blk) : NULL;
    struct stat info;

    PR_COMPAT_GRAPH_RDLOCK_GUARD();
    bs = scsi_pr_medium(bs);
    if (bs && bs->drv && g_str_equal(bs->drv->format_name, "file") &&
        scsi_pr_stat(bs->filename, &info) && S_ISREG(info.st_mode)) {
        *device = info.st_dev;
        *inode = info.st_ino;
    }
}
