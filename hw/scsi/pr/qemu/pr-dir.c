/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: pr-dir, a directory, or cluster:,
 * where every shared disk has the store that its identity names.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "scsi/constants.h"
#include "pr-compat.h"
#include "pr-internal.h"

#define SCSI_PR_CLUSTER "cluster:"

/* Of the NAME of a cluster: store. */
#define SCSI_PR_MAX_CLUSTER_NAME 160

static bool scsi_pr_check_dir(const char *dir, Error **errp)
{
    if (!g_path_is_absolute(dir)) {
        error_setg(errp, "pr-dir must be an absolute path or cluster:, not"
                   " '%s'", dir);
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

/* A name has no '%', and ',' is in no identity. */
static char *scsi_pr_cluster_store(const char *identity)
{
    g_autofree char *digest = NULL;
    char *store;

    if (strlen(identity) > SCSI_PR_MAX_CLUSTER_NAME) {
        digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, identity, -1);
        return g_strdup_printf(SCSI_PR_CLUSTER "sha256.%s", digest);
    }
    store = g_strconcat(SCSI_PR_CLUSTER, identity, NULL);
    return g_strdelimit(store, "%", ',');
}

char *scsi_pr_dir_store(SCSIDevice *dev, const char *dir, Error **errp)
{
    const SCSIPRKind *kind = scsi_pr_class(dev)->kind;
    g_autofree char *identity = kind->identity(dev);
    bool is_cluster = g_str_equal(dir, SCSI_PR_CLUSTER);

    if (!is_cluster &&
        (!scsi_pr_check_root(dir, errp) || !scsi_pr_check_dir(dir, errp))) {
        return NULL;
    }
    if (!identity) {
        error_setg(errp, "with pr-dir, a shared disk needs an identity that is"
                   " the same in every VM");
        error_append_hint(errp, "%s; pr-dir= for a disk without persistent"
                          " reservations.\n", kind->how_to_identify);
        return NULL;
    }
    return is_cluster ? scsi_pr_cluster_store(identity)
        : g_strdup_printf("file:%s/%s.pr", dir, identity);
}
