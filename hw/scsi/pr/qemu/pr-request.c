/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: what a CDB becomes.
 */
#include "qemu/osdep.h"
#include "pr-compat.h"
#include "pr-internal.h"

/* The request that carries a command out; not one that reports something else. */
static SCSIRequest *scsi_pr_command_req(SCSIPRDisk *s, uint32_t tag,
                                        uint32_t lun, uint8_t *buf,
                                        void *hba_private)
{
    const SCSIPRClass *wrapped = scsi_pr_class(s->dev);
    const SCSIPRKind *kind = wrapped->kind;

    if (scsi_pr_questionable[buf[0]]) {
        if (kind->is_library_command(buf)) {
            return scsi_pr_command_alloc(s, tag, lun, hba_private);
        }
        if (kind->is_answered(buf)) {
            return kind->alloc_answer(s, tag, lun, buf, hba_private);
        }
        if (kind->note_command) {
            kind->note_command(s, buf);
        }
    }
    return scsi_pr_io_wrap(wrapped->alloc_req(s->dev, tag, lun, buf,
                                              hba_private), s);
}

/*
 * Of a device with a store. Not inlined: one without shall not save registers for
 * it.
 */
static __attribute__((noinline)) SCSIRequest *
scsi_pr_new_req(SCSIPRDisk *s, uint32_t tag, uint32_t lun, uint8_t *buf,
                void *hba_private)
{
    SCSIRequest *req = NULL;

    /*
     * Not while requests are loaded from a migration stream: each must be of
     * the kind that was saved.
     */
    if (pr_compat_vm_is_live()) {
        req = scsi_pr_unit_attention_req(s, tag, lun, buf, hba_private);
    }
    return req ? req : scsi_pr_command_req(s, tag, lun, buf, hba_private);
}

SCSIRequest *scsi_pr_alloc_req(SCSIDevice *dev, uint32_t tag, uint32_t lun,
                               uint8_t *buf, void *hba_private)
{
    SCSIPRDisk *s = scsi_pr_state(dev);

    return s ? scsi_pr_new_req(s, tag, lun, buf, hba_private)
        : scsi_pr_class(dev)->alloc_req(dev, tag, lun, buf, hba_private);
}
