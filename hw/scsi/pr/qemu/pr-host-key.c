/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: a guest that comes with a registration
 * at the host's own disk.
 *
 * From QEMU 11.0 on a scsi-block without pr-store sends the key and the type of a
 * reservation that its guest has made at the host's disk (migrate-pr), and the
 * destination takes them over there by PREEMPT, past us. A device with pr-store
 * has its reservations elsewhere: the guest would be registered with a disk that
 * it cannot ask any more, and not with ours. So it does not arrive.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "migration/vmstate.h"
#include "pr-compat.h"
#include "pr-internal.h"

/* Upstream's, of the device's section; sent if there is a key */
#define SCSI_PR_HOST_KEY_SECTION "scsi-disk/pr"

static int scsi_pr_host_key_pre_load(void *opaque)
{
    SCSIDevice *dev = SCSI_DEVICE(opaque);
    SCSIPRDisk *s = scsi_pr_find(dev);

    if (!s || !s->handle) {
        return 0;
    }
    error_report("%s: the guest has registered with the host's disk itself, by"
                 " a device without pr-store, and would lose that registration"
                 " by coming to one with pr-store; have it unregister first, or"
                 " start the destination without pr-store", scsi_pr_name(s));
    return -EINVAL;
}

/* The class has it as long as it lives. */
static const VMStateDescription *
scsi_pr_refusing_section(const VMStateDescription *section)
{
    VMStateDescription *refusing = g_memdup2(section, sizeof(*section));

    refusing->pre_load = scsi_pr_host_key_pre_load;
    return refusing;
}

static const VMStateDescription *
scsi_pr_refusing_device(const VMStateDescription *device, size_t count)
{
    VMStateDescription *refusing = g_memdup2(device, sizeof(*device));
    const VMStateDescription **sections =
        g_new0(const VMStateDescription *, count + 1);

    for (size_t i = 0; i < count; i++) {
        const VMStateDescription *each = device->subsections[i];

        sections[i] = g_str_equal(each->name, SCSI_PR_HOST_KEY_SECTION)
            ? scsi_pr_refusing_section(each) : each;
    }
    refusing->subsections = sections;
    return refusing;
}

void scsi_pr_refuse_host_keys(DeviceClass *dc)
{
    const VMStateDescription *device = dc->vmsd;
    size_t count = 0;
    bool has_keys = false;

    if (!device || !device->subsections) {
        return;
    }
    for (; device->subsections[count]; count++) {
        has_keys |= g_str_equal(device->subsections[count]->name,
                                SCSI_PR_HOST_KEY_SECTION);
    }
    if (has_keys) {
        dc->vmsd = scsi_pr_refusing_device(device, count);
    }
}
