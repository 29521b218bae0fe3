/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: migration, saving to a file,
 * snapshots.
 *
 * A device puts two things into the stream. At its very beginning, while the VM
 * still runs, which store it has: a destination that does not see this store
 * refuses then. And the nexus itself, right before the device's own section:
 * the requests in there are loaded when it has arrived.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "migration/qemu-file.h"
#include "migration/register.h"
#include "migration/vmstate.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "trace.h"

/* Bytes; several times what a full state of a memory: store takes. */
#define SCSI_PR_TEXT_MAX (16 * 1024 * 1024)

/* Of the section at the beginning; the device's path comes before it. */
#define SCSI_PR_STORE_SECTION "scsi-pr-store"

/* What a section's name may have; QEMU cuts longer ones without a word. */
#define SCSI_PR_SECTION_NAME_MAX 255

static void scsi_pr_set_error(SCSIPRDisk *s, Error **errp, ScsiPrError *error)
{
    ERRP_GUARD();

    scsi_pr_error_to_qemu(error, errp);
    error_prepend(errp, "%s: ", scsi_pr_name(s));
}

static int scsi_pr_fail(SCSIPRDisk *s, ScsiPrError *error)
{
    Error *err = NULL;

    scsi_pr_set_error(s, &err, error);
    error_report_err(err);
    return -EINVAL;
}

/*
 * A text in the stream: its length in bytes, big-endian, and its bytes
 */

static void scsi_pr_put_text(QEMUFile *f, const char *text)
{
    size_t len = strlen(text);

    qemu_put_be32(f, len);
    qemu_put_buffer(f, (const uint8_t *)text, len);
}

/* NULL if there is none, or none that can be true. */
static char *scsi_pr_get_text(QEMUFile *f)
{
    uint32_t len = qemu_get_be32(f);
    g_autofree char *text = NULL;

    if (qemu_file_get_error(f) || len > SCSI_PR_TEXT_MAX) {
        return NULL;
    }
    text = g_malloc(len + 1);
    if (qemu_get_buffer(f, (uint8_t *)text, len) != len ||
        memchr(text, '\0', len)) {
        return NULL;
    }
    text[len] = '\0';
    return g_steal_pointer(&text);
}

static int scsi_pr_bad_stream(SCSIPRDisk *s)
{
    error_report("%s: the migration stream is damaged", scsi_pr_name(s));
    return -EINVAL;
}

/*
 * Which store it is
 */

static int scsi_pr_put_store(QEMUFile *f, void *opaque, Error **errp)
{
    SCSIPRDisk *s = opaque;
    ScsiPrError error = {};
    char *text = scsi_pr_identify(s->handle, &error);

    if (!text) {
        scsi_pr_set_error(s, errp, &error);
        return -EIO;
    }
    trace_scsi_pr_identify(s->dev->id, s->dev->lun, text);
    scsi_pr_put_text(f, text);
    scsi_pr_text_free(text);
    return 0;
}

PR_COMPAT_SAVE_SETUP(scsi_pr_save_setup, scsi_pr_put_store)

static int scsi_pr_get_store(QEMUFile *f, void *opaque, int version_id)
{
    SCSIPRDisk *s = opaque;
    ScsiPrError error = {};
    g_autofree char *text = scsi_pr_get_text(f);

    if (!text) {
        return scsi_pr_bad_stream(s);
    }
    trace_scsi_pr_recognize(s->dev->id, s->dev->lun, text);
    return scsi_pr_recognize(s->handle, text, &error)
        ? 0 : scsi_pr_fail(s, &error);
}

static const SaveVMHandlers scsi_pr_store_handlers = {
    .save_setup = scsi_pr_save_setup,
    .load_state = scsi_pr_get_store,
};

/*
 * The nexus
 */

static void scsi_pr_find_answer(SCSIRequest *req, void *opaque)
{
    bool *found = opaque;

    *found |= scsi_pr_is_answer(req);
}

static int scsi_pr_pre_save(void *opaque)
{
    SCSIPRDisk *s = opaque;
    ScsiPrError error = {};
    bool answer = false;
    char *text;

    /* Only with adapters that wait for the guest with data-in in hand. */
    pr_compat_for_each_request(s->dev, scsi_pr_find_answer, &answer);
    if (answer) {
        error_report("%s: the guest has not fetched sense data or mode pages"
                     " yet; try again", scsi_pr_name(s));
        return -EAGAIN;
    }
    pr_compat_for_each_request(s->dev, scsi_pr_io_hand_over, NULL);
    text = scsi_pr_hand_over(s->handle, &error);
    if (!text) {
        return scsi_pr_fail(s, &error);
    }
    pr_compat_for_each_request(s->dev, scsi_pr_io_handed_over, NULL);
    /* The library has given all results back. */
    pr_compat_for_each_request(s->dev, scsi_pr_command_hand_over, NULL);
    s->travelling = g_strdup(text);
    scsi_pr_text_free(text);
    trace_scsi_pr_hand_over(s->dev->id, s->dev->lun, strlen(s->travelling));
    return 0;
}

static int scsi_pr_post_save(void *opaque)
{
    SCSIPRDisk *s = opaque;

    g_clear_pointer(&s->travelling, g_free);
    return 0;
}

static int scsi_pr_post_load(void *opaque, int version_id)
{
    SCSIPRDisk *s = opaque;
    ScsiPrError error = {};
    bool arrived = scsi_pr_arrive(s->handle, s->travelling, &error);

    trace_scsi_pr_arrive(s->dev->id, s->dev->lun, strlen(s->travelling));
    g_clear_pointer(&s->travelling, g_free);
    return arrived ? 0 : scsi_pr_fail(s, &error);
}

static int scsi_pr_put_travelling(QEMUFile *f, void *pv, size_t size,
                                  const VMStateField *field,
                                  JSONWriter *vmdesc)
{
    scsi_pr_put_text(f, *(char **)pv);
    return 0;
}

static int scsi_pr_get_travelling(QEMUFile *f, void *pv, size_t size,
                                  const VMStateField *field)
{
    char **text = pv;

    g_free(*text);
    *text = scsi_pr_get_text(f);
    return *text ? 0 : -EINVAL;
}

static const VMStateInfo scsi_pr_text_info = {
    .name = "scsi-pr-text",
    .get = scsi_pr_get_travelling,
    .put = scsi_pr_put_travelling,
};

static const VMStateDescription scsi_pr_vmstate = {
    .name = "scsi-pr",
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_save = scsi_pr_pre_save,
    .post_save = scsi_pr_post_save,
    .post_load = scsi_pr_post_load,
    .fields = (const VMStateField[]) {
        {
            .name = "nexus",
            .info = &scsi_pr_text_info,
            .size = sizeof(char *),
            .flags = VMS_SINGLE,
            .offset = offsetof(SCSIPRDisk, travelling),
        },
        VMSTATE_END_OF_LIST()
    },
};

static char *scsi_pr_section_name(SCSIPRDisk *s, Error **errp)
{
    g_autofree char *path = vmstate_if_get_id(VMSTATE_IF(s->dev));
    char *name = g_strdup_printf("%s/%s", path, SCSI_PR_STORE_SECTION);

    if (strlen(name) > SCSI_PR_SECTION_NAME_MAX) {
        error_setg(errp, "the device's path is too long for migration: %s",
                   path);
        g_free(name);
        return NULL;
    }
    return name;
}

/*
 * A QEMU that replaces itself by exec() closes the descriptors that show others
 * that the nexus is attached: alone on a store without APTPL its registration
 * would be gone, although the guest never stopped.
 */
static bool scsi_pr_block_exec(SCSIPRDisk *s, Error **errp)
{
    error_setg(&s->no_exec, "device '%s' has pr-store, and the registrations of"
               " its I_T nexus do not outlive an exec() of QEMU; migrate to"
               " another QEMU process on this host instead", scsi_pr_name(s));
    return pr_compat_block_exec(&s->no_exec, errp);
}

bool scsi_pr_migration_init(SCSIPRDisk *s, Error **errp)
{
    g_autofree char *name = scsi_pr_section_name(s, errp);

    /* qdev registers the device's section when it is realized: behind ours */
    if (!name ||
        vmstate_register_with_alias_id(VMSTATE_IF(s->dev),
                                       VMSTATE_INSTANCE_ID_ANY,
                                       &scsi_pr_vmstate, s, -1, 0, errp) < 0 ||
        !scsi_pr_block_exec(s, errp)) {
        return false;
    }
    register_savevm_live(name, VMSTATE_INSTANCE_ID_ANY, 1,
                         &scsi_pr_store_handlers, s);
    return true;
}

void scsi_pr_migration_cleanup(SCSIPRDisk *s)
{
    unregister_savevm(VMSTATE_IF(s->dev), SCSI_PR_STORE_SECTION, s);
    vmstate_unregister(VMSTATE_IF(s->dev), &scsi_pr_vmstate, s);
    pr_compat_unblock_exec(&s->no_exec);
    g_clear_pointer(&s->travelling, g_free);
}
