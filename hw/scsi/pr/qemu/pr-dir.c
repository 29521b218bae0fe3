/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: pr-dir, a directory where every
 * shared disk has the store that its identity names.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "scsi/constants.h"
#include "pr-compat.h"
#include "pr-internal.h"

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

/*
 * The root directory when QEMU started. Devices of the command line are plugged
 * before -run-with chroot= takes effect, others after: below another root a
 * path leads to another file, and two stores for one medium would each let in
 * whom the other shuts out.
 */
static struct stat scsi_pr_root;

void scsi_pr_remember_root(void)
{
    if (stat("/", &scsi_pr_root) != 0) {
        scsi_pr_root.st_ino = 0;
    }
}

bool scsi_pr_check_root(const char *path, Error **errp)
{
    struct stat now;

    if (stat("/", &now) == 0 && now.st_dev == scsi_pr_root.st_dev &&
        now.st_ino == scsi_pr_root.st_ino) {
        return true;
    }
    error_setg(errp, "QEMU has another root directory than when it started"
               " (chroot), where %s is not what it was", path);
    error_append_hint(errp, "Name the device on the command line, which comes"
                      " before that, or start QEMU without chroot.\n");
    return false;
}

bool scsi_pr_dir_applies(SCSIDevice *dev, const char *dir)
{
    return dir && *dir && dev->conf.share_rw &&
        (dev->type == TYPE_DISK || dev->type == TYPE_ZBC);
}

char *scsi_pr_dir_store(SCSIDevice *dev, const char *dir, Error **errp)
{
    const SCSIPRKind *kind = scsi_pr_class(dev)->kind;
    g_autofree char *identity = kind->identity(dev);

    if (!scsi_pr_check_root(dir, errp) || !scsi_pr_check_dir(dir, errp)) {
        return NULL;
    }
    if (!identity) {
        error_setg(errp, "with pr-dir, a shared disk needs an identity that is"
                   " the same in every VM");
        error_append_hint(errp, "%s; pr-dir= for a disk without persistent"
                          " reservations.\n", kind->how_to_identify);
        return NULL;
    }
    return g_strdup_printf("file:%s/%s.pr", dir, identity);
}
