/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: the shim between QEMU's device
 * models and libscsi-pr.
 *
 * No device model is changed. pr-init.c wraps class methods of the existing
 * device types and adds properties to them; a device without pr-store goes
 * through the wrappers untouched.
 */
#ifndef HW_SCSI_PR_INTERNAL_H
#define HW_SCSI_PR_INTERNAL_H

#include "hw/scsi/scsi.h"
#include "qemu/queue.h"
#include "scsi-pr/scsi-pr.h"

/* The methods of a device class as they were before they got wrapped. */
typedef struct SCSIPRClass {
    const char *type_name;
    ObjectClass *klass;
    void (*realize)(SCSIDevice *dev, Error **errp);
    void (*unrealize)(SCSIDevice *dev);
    SCSIRequest *(*alloc_req)(SCSIDevice *dev, uint32_t tag, uint32_t lun,
                              uint8_t *buf, void *hba_private);
    int (*parse_cdb)(SCSIDevice *dev, SCSICommand *cmd, uint8_t *buf,
                     size_t buf_len, void *hba_private);
    void (*reset)(DeviceState *qdev);
} SCSIPRClass;

/* What a device has beyond its SCSIDevice; exists once a property is set. */
typedef struct SCSIPRState {
    SCSIDevice *dev;

    /* properties */
    char *store;
    char *initiator;
    uint16_t target_port;

    /* while realized */
    ScsiPrDevice *handle;
    VMChangeStateEntry *vmsentry;
    Error *migration_blocker;
    /* Taking and reporting a unit attention condition is one step. */
    QemuMutex unit_attention_lock;
    /*
     * Changes whenever the VM stops or continues: a request that was admitted
     * before must be admitted again before it goes on. Never 0. Atomic.
     */
    uint32_t admission_epoch;
    /* The host's log has the present failure of the store. Atomic. */
    bool store_failure_reported;

    QLIST_ENTRY(SCSIPRState) next;      /* scsi_pr_devices */
} SCSIPRState;

/* All realized devices with a store; protected by the BQL. */
typedef QLIST_HEAD(, SCSIPRState) SCSIPRStateList;
extern SCSIPRStateList scsi_pr_devices;

/* pr-init.c */

/* The class whose methods were wrapped, for a device of it. */
const SCSIPRClass *scsi_pr_class(SCSIDevice *dev);

/* pr-device.c */

void scsi_pr_device_init(void);
void scsi_pr_add_properties(ObjectClass *klass);

/*
 * The state of a device with pr-store, or NULL. Any thread; lock-free. Valid
 * as long as the device.
 */
SCSIPRState *scsi_pr_state(SCSIDevice *dev);

void scsi_pr_realize(SCSIDevice *dev, Error **errp);
void scsi_pr_unrealize(SCSIDevice *dev);

/* pr-request.c */

SCSIRequest *scsi_pr_alloc_req(SCSIDevice *dev, uint32_t tag, uint32_t lun,
                               uint8_t *buf, void *hba_private);

/* pr-cdb.c */

int scsi_pr_parse_cdb(SCSIDevice *dev, SCSICommand *cmd, uint8_t *buf,
                      size_t buf_len, void *hba_private);

/* pr-reset.c */

void scsi_pr_reset_device(DeviceState *qdev);

#endif /* HW_SCSI_PR_INTERNAL_H */
