/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What differs between the QEMU series that this shim builds with: 7.2 to
 * 11.1. Nothing else of the shim looks at the version, or at what a header has.
 */
#ifndef HW_SCSI_PR_COMPAT_H
#define HW_SCSI_PR_COMPAT_H

/* A QEMU that we do not fit any more: an error, although it is built without. */
#pragma GCC diagnostic error "-Wimplicit-function-declaration"
#pragma GCC diagnostic error "-Wincompatible-pointer-types"
#pragma GCC diagnostic error "-Wint-conversion"

#include "qapi/error.h"
#include "qemu/error-report.h"
#include "hw/scsi/scsi.h"
#include "migration/blocker.h"
#include "scsi/constants.h"
#include <scsi/sg.h>

/* Headers moved in 11.0. */
#if __has_include("hw/core/qdev.h")
#include "hw/core/qdev.h"
#include "hw/core/vmstate-if.h"
#include "qemu/aio.h"
#include "qemu/aio-wait.h"
#else
#include "block/aio.h"
#include "block/aio-wait.h"
#include "hw/qdev-core.h"
#include "hw/vmstate-if.h"
#endif

#if QEMU_VERSION_MAJOR >= 10
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "qobject/qnum.h"
#include "qobject/qstring.h"
#include "qom/object_interfaces.h"
#include "system/block-backend.h"
#include "system/dma.h"
#include "system/iothread.h"
#include "system/runstate.h"
#include "system/system.h"
#else
#include "qapi/qmp/qdict.h"
#include "qapi/qmp/qjson.h"
#include "qapi/qmp/qlist.h"
#include "qapi/qmp/qnum.h"
#include "qapi/qmp/qstring.h"
#include "sysemu/block-backend.h"
#include "sysemu/dma.h"
#include "sysemu/runstate.h"
#include "sysemu/sysemu.h"
#endif

/* What a class_init function is called with; const since 10.1. */
typedef __typeof__(((TypeInfo *)NULL)->class_data) PRCompatClassData;

/* A device class's reset method, where it is not one of three phases. */
static inline DeviceReset pr_compat_class_reset(DeviceClass *dc)
{
#if QEMU_VERSION_MAJOR >= 10
    return dc->legacy_reset;
#else
    return dc->reset;
#endif
}

static inline void pr_compat_set_class_reset(DeviceClass *dc,
                                             DeviceReset reset)
{
#if QEMU_VERSION_MAJOR >= 10
    device_class_set_legacy_reset(dc, reset);
#else
    dc->reset = reset;
#endif
}

/* The context in which a request is completed. */
static inline AioContext *pr_compat_request_context(SCSIRequest *req)
{
#if QEMU_VERSION_MAJOR >= 10
    return req->ctx;
#else
    return blk_get_aio_context(req->dev->conf.blk);
#endif
}

/* For a request that does not come from an adapter. */
static inline void pr_compat_set_request_context(SCSIRequest *req)
{
#if QEMU_VERSION_MAJOR >= 10
    req->ctx = qemu_get_current_aio_context();
#endif
}

/* Requests of one device had one context once, and were under its lock. */
static inline void pr_compat_lock_requests(SCSIDevice *dev)
{
#if QEMU_VERSION_MAJOR >= 10
    qemu_mutex_lock(&dev->requests_lock);
#else
    aio_context_acquire(blk_get_aio_context(dev->conf.blk));
#endif
}

static inline void pr_compat_unlock_requests(SCSIDevice *dev)
{
#if QEMU_VERSION_MAJOR >= 10
    qemu_mutex_unlock(&dev->requests_lock);
#else
    aio_context_release(blk_get_aio_context(dev->conf.blk));
#endif
}

/*
 * What the completion of any request overwrites: sense data that an adapter
 * without autosense may still ask for (such adapters run under the BQL), and
 * once QEMU's unit attention condition too.
 */
typedef struct PRCompatSense {
    uint8_t sense[SCSI_SENSE_BUF_SIZE];
    uint32_t sense_len;
    bool sense_is_ua;
    SCSISense unit_attention;
} PRCompatSense;

static inline void pr_compat_keep_sense(SCSIDevice *dev, PRCompatSense *kept)
{
    memcpy(kept->sense, dev->sense, sizeof(kept->sense));
    kept->sense_len = dev->sense_len;
    kept->sense_is_ua = dev->sense_is_ua;
    kept->unit_attention = dev->unit_attention;
}

static inline void pr_compat_restore_sense(SCSIDevice *dev,
                                           const PRCompatSense *kept)
{
    memcpy(dev->sense, kept->sense, sizeof(kept->sense));
    dev->sense_len = kept->sense_len;
    dev->sense_is_ua = kept->sense_is_ua;
#if QEMU_VERSION_MAJOR < 10
    dev->unit_attention = kept->unit_attention;
#endif
}

/* Initializes an optional member of a QAPI struct, which is a pointer. */
#if QEMU_VERSION_MAJOR >= 10
#define PR_COMPAT_OPTIONAL(member, value) .member = (value)
#else
#define PR_COMPAT_OPTIONAL(member, value)                       \
    .has_##member = (value) != NULL, .member = (value)
#endif

/*
 * Calls @fn for each request of @dev, with the lock held that protects their
 * list and, while the VM is stopped, the requests.
 */
static inline void pr_compat_for_each_request(
    SCSIDevice *dev, void (*fn)(SCSIRequest *req, void *opaque), void *opaque)
{
    SCSIRequest *req;

    pr_compat_lock_requests(dev);
    QTAILQ_FOREACH(req, &dev->requests, next) {
        fn(req, opaque);
    }
    pr_compat_unlock_requests(dev);
}

/* AioContexts had a lock of their own once. */
static inline void pr_compat_enter_context(AioContext *ctx)
{
#if QEMU_VERSION_MAJOR < 10
    aio_context_acquire(ctx);
#endif
}

static inline void pr_compat_leave_context(AioContext *ctx)
{
#if QEMU_VERSION_MAJOR < 10
    aio_context_release(ctx);
#endif
}

/* The graph of block nodes got a lock of its own. */
#if QEMU_VERSION_MAJOR >= 10
#define PR_COMPAT_GRAPH_RDLOCK_GUARD() GRAPH_RDLOCK_GUARD_MAINLOOP()
#else
#define PR_COMPAT_GRAPH_RDLOCK_GUARD() GLOBAL_STATE_CODE()
#define GRAPH_RDLOCK
#endif

#if QEMU_VERSION_MAJOR >= 10
static inline void pr_compat_nothing(void *opaque)
{
}

static inline int pr_compat_wait_for_iothread(Object *obj, void *opaque)
{
    IOThread *iothread = (IOThread *)object_dynamic_cast(obj, TYPE_IOTHREAD);

    if (iothread) {
        aio_wait_bh_oneshot(iothread_get_aio_context(iothread),
                            pr_compat_nothing, NULL);
    }
    return 0;
}
#endif

/*
 * Returns when every iothread is done with the requests that it has at hand.
 * An AioContext with a lock of its own has it locked meanwhile, and purging
 * the device's requests waits for that.
 */
static inline void pr_compat_wait_for_iothreads(void)
{
#if QEMU_VERSION_MAJOR >= 10
    object_child_foreach(object_get_objects_root(),
                         pr_compat_wait_for_iothread, NULL);
#endif
}

/*
 * Around what purges @dev's requests from the main loop. Before 8.0 an iothread
 * completed requests that were complete when they were sent without the lock
 * of its AioContext: purged meanwhile, they were freed twice. None is under
 * way in a drained section, and none comes.
 */
static inline BlockDriverState *pr_compat_begin_purge(SCSIDevice *dev)
{
    BlockDriverState *bs = NULL;
#if QEMU_VERSION_MAJOR < 10
    AioContext *ctx = blk_get_aio_context(dev->conf.blk);

    if (ctx != qemu_get_current_aio_context()) {
        aio_context_acquire(ctx);
        bs = blk_bs(dev->conf.blk);
        if (bs) {
            bdrv_ref(bs);
            bdrv_drained_begin(bs);
        }
        aio_context_release(ctx);
    }
#endif
    return bs;
}

/* @bs: what pr_compat_begin_purge() returned. */
static inline void pr_compat_end_purge(BlockDriverState *bs)
{
#if QEMU_VERSION_MAJOR < 10
    if (bs) {
        AioContext *ctx = bdrv_get_aio_context(bs);

        aio_context_acquire(ctx);
        bdrv_drained_end(bs);
        bdrv_unref(bs);
        aio_context_release(ctx);
    }
#endif
}

/*
 * Whether the guest's memory may change. A suspended guest (S3) goes on
 * without any notice.
 */
static inline bool pr_compat_vm_is_live(void)
{
    return runstate_is_running() || runstate_check(RUN_STATE_SUSPENDED);
}

/*
 * Whether a RESERVATION CONFLICT of the host's disk is an I/O error to the
 * device model, subject to werror= and rerror=. (Stopping for it does not work
 * either: such a request cannot go on.)
 */
static inline bool pr_compat_conflict_is_error(void)
{
    return QEMU_VERSION_MAJOR < 10;
}

/*
 * Sends a command with data-in to a host's device, and waits; negative: it
 * failed. Distributions have the newer function in older versions.
 */
static inline int pr_compat_sg_io_from_dev(SCSIDevice *dev, uint8_t *cdb,
                                           uint8_t cdb_size, uint8_t *buf,
                                           uint8_t size)
{
#ifdef PRI_READ_KEYS
    return scsi_SG_IO(dev->conf.blk, SG_DXFER_FROM_DEV, cdb, cdb_size, buf,
                      size, dev->io_timeout, NULL);
#else
    return scsi_SG_IO_FROM_DEV(dev->conf.blk, cdb, cdb_size, buf, size,
                               dev->io_timeout);
#endif
}

/*
 * Refuses to migrate in mode cpr-exec (since 10.2), for *@reasonp. Frees that if
 * it fails, or there is no such mode.
 */
static inline bool pr_compat_block_exec(Error **reasonp, Error **errp)
{
#if QEMU_VERSION_MAJOR > 10 || \
    (QEMU_VERSION_MAJOR == 10 && QEMU_VERSION_MINOR >= 2)
    return migrate_add_blocker_modes(reasonp, BIT(MIG_MODE_CPR_EXEC),
                                     errp) == 0;
#else
    error_free(*reasonp);
    *reasonp = NULL;
    return true;
#endif
}

static inline void pr_compat_unblock_exec(Error **reasonp)
{
#if QEMU_VERSION_MAJOR > 10 || \
    (QEMU_VERSION_MAJOR == 10 && QEMU_VERSION_MINOR >= 2)
    migrate_del_blocker(reasonp);
#endif
}

/* A SaveVMHandlers.save_setup with the parameters of @implementation. */
#if QEMU_VERSION_MAJOR >= 10
#define PR_COMPAT_SAVE_SETUP(name, implementation)                      \
    static int name(QEMUFile *f, void *opaque, Error **errp)            \
    {                                                                   \
        return implementation(f, opaque, errp);                         \
    }
#else
#define PR_COMPAT_SAVE_SETUP(name, implementation)                      \
    static int name(QEMUFile *f, void *opaque)                          \
    {                                                                   \
        Error *err = NULL;                                              \
        int ret = implementation(f, opaque, &err);                      \
                                                                        \
        if (err) {                                                      \
            error_report_err(err);                                      \
        }                                                               \
        return ret;                                                     \
    }
#endif

/* For the plugin for a stock QEMU, in plugin/ */
#ifdef SCSI_PR_PLUGIN
#if QEMU_VERSION_MAJOR >= 11
#include "plugins/qemu-plugin.h"
#else
#include "qemu/qemu-plugin.h"
#endif
#if QEMU_VERSION_MAJOR >= 10
#include "qobject/qlist.h"
#else
#include "qapi/qmp/qlist.h"
#endif
#endif

#endif /* HW_SCSI_PR_COMPAT_H */
