/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: a device that does nothing.
 *
 * To a disk that is plugged later, -global of a property that it does not have
 * is a warning: QEMU without this code would give it no reservations. But that
 * QEMU does not start with "-device scsi-pr-required".
 */
#include "qemu/osdep.h"
#include "pr-compat.h"

static void scsi_pr_required_class_init(ObjectClass *klass,
                                        PRCompatClassData data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->desc = "does nothing; a QEMU without persistent reservations"
        " (pr-store, pr-dir) refuses it";
    dc->hotpluggable = false;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo scsi_pr_required_info = {
    .name = "scsi-pr-required",
    .parent = TYPE_DEVICE,
    .class_init = scsi_pr_required_class_init,
};

static void scsi_pr_register_types(void)
{
    type_register_static(&scsi_pr_required_info);
}

type_init(scsi_pr_register_types)
