/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: adds properties to the device classes,
 * and wraps the methods of a class when the first device of it has one set. Until
 * then they are upstream's, untouched.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "pr-compat.h"
#include "pr-internal.h"

SCSIPRClass scsi_pr_classes[] = {
    { .type_name = "scsi-hd", .kind = &scsi_pr_emulated },
    { .type_name = "scsi-block", .kind = &scsi_pr_passthrough },
    { .type_name = "scsi-generic", .kind = &scsi_pr_passthrough },
};

static void scsi_pr_prepare_class(SCSIPRClass *prepared)
{
    prepared->klass = object_class_by_name(prepared->type_name);
    /* Not every build of QEMU has every device. */
    if (prepared->klass) {
        scsi_pr_add_properties(prepared->klass);
        scsi_pr_refuse_host_keys(DEVICE_CLASS(prepared->klass));
    }
}

/*
 * Others of the class may be at work in their iothreads. Whether a command of
 * theirs meets a method or what has taken its place makes no difference.
 */
void scsi_pr_wrap_class(SCSIDevice *dev)
{
    SCSIPRClass *wrapped = scsi_pr_class(dev);
    DeviceClass *dc = DEVICE_CLASS(wrapped->klass);
    SCSIDeviceClass *sc = SCSI_DEVICE_CLASS(wrapped->klass);
    ObjectProperty *drive;

    GLOBAL_STATE_CODE();
    if (sc->alloc_req == scsi_pr_alloc_req) {
        return;
    }
    wrapped->realize = sc->realize;
    wrapped->unrealize = sc->unrealize;
    wrapped->qdev_unrealize = dc->unrealize;
    wrapped->alloc_req = sc->alloc_req;
    wrapped->parse_cdb = sc->parse_cdb;
    wrapped->reset = pr_compat_class_reset(dc);
    sc->realize = scsi_pr_realize;
    sc->unrealize = scsi_pr_unrealize;
    dc->unrealize = scsi_pr_qdev_unrealize;
    qatomic_store_release(&sc->alloc_req, scsi_pr_alloc_req);
    qatomic_store_release(&sc->parse_cdb, scsi_pr_parse_cdb);
    pr_compat_set_class_reset(dc, scsi_pr_reset_device);
    drive = object_class_property_find(wrapped->klass, "drive");
    wrapped->set_drive = drive->set;
    drive->set = scsi_pr_set_drive;
}

static void scsi_pr_init(void)
{
    scsi_pr_remember_root();
    scsi_pr_hmp_init();
    for (size_t i = 0; i < ARRAY_SIZE(scsi_pr_classes); i++) {
        scsi_pr_prepare_class(&scsi_pr_classes[i]);
    }
}

/*
 * Not that this has to do with migration: these functions run after all types
 * are registered and before any option is parsed, and that is what is needed.
 */
migration_init(scsi_pr_init)
