/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: backends whose I/O may outlive this
 * process.
 *
 * A fencing takes a killed VM for drained once the kernel has freed the lock
 * that its process held. That must not happen before the VM's last write has
 * ended. The kernel waits for threads and for Linux AIO; for io_uring it does
 * not. What other protocols do is not known here. tests/aio shows it.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "block/block_int.h"
#include "pr-compat.h"
#include "pr-internal.h"

typedef enum SCSIPRBackend {
    SCSI_PR_BACKEND_ENDS,       /* I/O ends before the lock is free */
    SCSI_PR_BACKEND_OUTLIVES,
    SCSI_PR_BACKEND_UNKNOWN,
} SCSIPRBackend;

/* As raw_open_common() of block/file-posix.c decides. */
static SCSIPRBackend scsi_pr_file_backend(BlockDriverState *bs)
{
    const char *aio = qdict_get_try_str(bs->options, "aio");
    bool io_uring = aio ? g_str_equal(aio, "io_uring")
                        : bs->open_flags & BDRV_O_IO_URING;

    return io_uring ? SCSI_PR_BACKEND_OUTLIVES : SCSI_PR_BACKEND_ENDS;
}

/* @bs: a node without children. */
static SCSIPRBackend scsi_pr_backend(BlockDriverState *bs)
{
    static const char *const files[] = {
        "file", "host_device", "host_cdrom", NULL
    };
    static const char *const no_media[] = { "null-co", "null-aio", NULL };
    static const char *const io_urings[] = {
        "io_uring", "nvme-io_uring", NULL
    };
    const char *driver = bs->drv ? bs->drv->format_name : "null-co";

    if (g_strv_contains(files, driver)) {
        return scsi_pr_file_backend(bs);
    }
    if (g_strv_contains(no_media, driver)) {
        return SCSI_PR_BACKEND_ENDS;
    }
    return g_strv_contains(io_urings, driver) ? SCSI_PR_BACKEND_OUTLIVES
                                              : SCSI_PR_BACKEND_UNKNOWN;
}

static bool scsi_pr_check_protocol(BlockDriverState *bs, Error **errp)
{
    switch (scsi_pr_backend(bs)) {
    case SCSI_PR_BACKEND_OUTLIVES:
        error_setg(errp, "pr-store does not work with io_uring (node '%s'):"
                   " use aio=native or aio=threads",
                   bdrv_get_node_name(bs));
        error_append_hint(errp, "The kernel does not wait for the io_uring"
                          " requests of a killed process: a fenced VM could"
                          " still write.\n");
        return false;
    case SCSI_PR_BACKEND_UNKNOWN:
        warn_report_once("pr-store: writes by driver '%s' (node '%s') may"
                         " still be carried out after this process was"
                         " killed, and after a VM was fenced because of that",
                         bs->drv->format_name, bdrv_get_node_name(bs));
        return true;
    default:
        return true;
    }
}

/* Nodes that are never written to (backing files, mostly) do not matter. */
static bool GRAPH_RDLOCK scsi_pr_check_nodes(BlockDriverState *bs,
                                             Error **errp)
{
    BdrvChild *child;

    if (QLIST_EMPTY(&bs->children)) {
        return bdrv_is_read_only(bs) || scsi_pr_check_protocol(bs, errp);
    }
    QLIST_FOREACH(child, &bs->children, next) {
        if (!scsi_pr_check_nodes(child->bs, errp)) {
            return false;
        }
    }
    return true;
}

bool scsi_pr_check_backend(SCSIDevice *dev, Error **errp)
{
    BlockBackend *blk = dev->conf.blk;
    BlockDriverState *bs = blk ? blk_bs(blk) : NULL;

    PR_COMPAT_GRAPH_RDLOCK_GUARD();
    return !bs || scsi_pr_check_nodes(bs, errp);
}
