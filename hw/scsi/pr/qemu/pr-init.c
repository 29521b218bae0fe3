/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: wraps the device classes.
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "pr-compat.h"
#include "pr-internal.h"

static SCSIPRClass scsi_pr_classes[] = {
    { .type_name = "scsi-hd", .kind = &scsi_pr_emulated },
    { .type_name = "scsi-block", .kind = &scsi_pr_passthrough },
    { .type_name = "scsi-generic", .kind = &scsi_pr_passthrough },
};

const SCSIPRClass *scsi_pr_class(SCSIDevice *dev)
{
    /* Once a request: compare pointers, not names. */
    ObjectClass *klass = object_get_class(OBJECT(dev));

    for (size_t i = 0; i < ARRAY_SIZE(scsi_pr_classes); i++) {
        if (scsi_pr_classes[i].klass == klass) {
            return &scsi_pr_classes[i];
        }
    }
    g_assert_not_reached();
}

static void scsi_pr_wrap_class(SCSIPRClass *wrapped)
{
    /* Not every build of QEMU has every device. */
    ObjectClass *klass = object_class_by_name(wrapped->type_name);
    SCSIDeviceClass *sc;

    if (!klass) {
        return;
    }
    sc = SCSI_DEVICE_CLASS(klass);
    wrapped->klass = klass;
    wrapped->realize = sc->realize;
    wrapped->unrealize = sc->unrealize;
    wrapped->qdev_unrealize = DEVICE_CLASS(klass)->unrealize;
    wrapped->alloc_req = sc->alloc_req;
    wrapped->parse_cdb = sc->parse_cdb;
    wrapped->reset = pr_compat_class_reset(DEVICE_CLASS(klass));
    sc->realize = scsi_pr_realize;
    sc->unrealize = scsi_pr_unrealize;
    DEVICE_CLASS(klass)->unrealize = scsi_pr_qdev_unrealize;
    sc->alloc_req = scsi_pr_alloc_req;
    sc->parse_cdb = scsi_pr_parse_cdb;
    pr_compat_set_class_reset(DEVICE_CLASS(klass), scsi_pr_reset_device);
    scsi_pr_add_properties(klass);
}

static void scsi_pr_init(void)
{
    scsi_pr_properties_init();
    scsi_pr_hmp_init();
    for (size_t i = 0; i < ARRAY_SIZE(scsi_pr_classes); i++) {
        scsi_pr_wrap_class(&scsi_pr_classes[i]);
    }
}

/*
 * Not that this has to do with migration: these functions run after all types
 * are registered and before any option is parsed, and that is what is needed.
 */
migration_init(scsi_pr_init)
