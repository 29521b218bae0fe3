/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: realize and unrealize.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/uuid.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "trace.h"

/* How long a disk may take to open the store of a device that is plugged. */
#define SCSI_PR_PLUG_PATIENCE_MS 1000

SCSIPRDiskList scsi_pr_devices = QLIST_HEAD_INITIALIZER(scsi_pr_devices);

/*
 * An iSCSI initiator port name that is the same whenever this VM runs: the VM
 * gives the name, as it does with libiscsi, and the device's path the ISID
 * (RFC 3720 10.12.5: type "random", 40 bits that are ours).
 */
static char *scsi_pr_default_initiator(SCSIDevice *dev, Error **errp)
{
    g_autofree char *path = qdev_get_dev_path(DEVICE(dev));
    g_autofree char *uuid = NULL;
    g_autofree char *digest = NULL;

    if (!qemu_uuid_set || qemu_uuid_is_null(&qemu_uuid)) {
        error_setg(errp, "pr-store needs to know who the initiator is");
        error_append_hint(errp, "Give the VM a -uuid of its own, or set the"
                          " device's pr-initiator.\n");
        return NULL;
    }
    uuid = qemu_uuid_unparse_strdup(&qemu_uuid);
    digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, path, -1);
    return g_strdup_printf("iqn.2008-11.org.linux-kvm:%s,i,0x80%.10s",
                           uuid, digest);
}

/* Tells the user of another process which device of which VM this is. */
static char *scsi_pr_owner(SCSIDevice *dev)
{
    const char *vm = qemu_get_vm_name();
    g_autofree char *path = qdev_get_dev_path(DEVICE(dev));
    const char *id = DEVICE(dev)->id;

    return g_strdup_printf("VM %s, device %s", vm ? vm : "without name",
                           id ? id : path);
}

void scsi_pr_error_to_qemu(ScsiPrError *error, Error **errp)
{
    error_setg(errp, "%s", error->message);
    if (error->hint) {
        error_append_hint(errp, "%s\n", error->hint);
    }
    scsi_pr_error_clear(error);
}

static bool scsi_pr_attach(SCSIPRDisk *s, Error **errp)
{
    g_autofree char *owner = scsi_pr_owner(s->dev);
    g_autofree char *initiator = s->initiator && *s->initiator
        ? g_strdup(s->initiator) : scsi_pr_default_initiator(s->dev, errp);
    static const ScsiPrEvents events = {
        .abort_tasks = scsi_pr_abort_tasks,
        .fenced = scsi_pr_fenced,
        .preempted = scsi_pr_event_preempted,
        .drain_late = scsi_pr_event_drain_late,
        .fencing_begun = scsi_pr_event_fencing_begun,
        .fencing_ended = scsi_pr_event_fencing_ended,
        .proved = scsi_pr_event_proved,
        .changed = scsi_pr_event_changed,
        .store_failed = scsi_pr_event_store_failed,
    };
    size_t command_count;
    g_autofree ScsiPrSupportedCommand *commands =
        scsi_pr_class(s->dev)->kind->commands(s->dev, &command_count);
    ScsiPrError error = {};
    ScsiPrConfig config = {
        .store = s->store,
        .initiator = initiator,
        .target_port = s->target_port,
        .owner = owner,
        .abort_timeout_ms = s->abort_timeout,
        .events = &events,
        .opaque = s,
        .commands = commands,
        .command_count = command_count,
        .incoming = runstate_check(RUN_STATE_INMIGRATE),
        .accept_medium = s->accept_medium,
        .accept_file_system = s->accept_file_system,
        /* The main loop waits, and with it the guests' monitors. */
        .patience_ms = phase_check(PHASE_MACHINE_READY)
            ? SCSI_PR_PLUG_PATIENCE_MS : 0,
        .runtime_dir = s->runtime_dir,
    };
    SCSIPRMedium medium;

    if (!initiator ||
        (g_str_has_prefix(s->store, "file:") &&
         !scsi_pr_check_root(s->store, errp)) ||
        !scsi_pr_medium(s, &medium, errp)) {
        return false;
    }
    config.medium = medium.id;
    config.medium_name = medium.name;
    s->handle = scsi_pr_device_new(&config, &error);
    s->medium = g_strdup(medium.id);
    scsi_pr_medium_clear(&medium);
    if (!s->handle) {
        scsi_pr_error_to_qemu(&error, errp);
        return false;
    }
    trace_scsi_pr_attach(owner, s->store, initiator, s->target_port);
    return true;
}

/*
 * Requests that were admitted and did not reach the medium yet (werror=stop
 * parks them) must not reach it later because of that.
 */
static void scsi_pr_vm_state_change(void *opaque, bool running, RunState state)
{
    SCSIPRDisk *s = opaque;
    uint32_t changes = qatomic_read(&s->run_changes) + 1;

    trace_scsi_pr_recheck(s->dev);
    qatomic_set(&s->run_changes, changes ? changes : 1);
    if (running) {
        scsi_pr_take_over_now(s);
    } else {
        scsi_pr_take_over_stop(s);
    }
}

static void scsi_pr_close(SCSIPRDisk *s)
{
    ScsiPrDevice *handle = s->handle;

    if (s->vmsentry) {
        qemu_del_vm_change_state_handler(s->vmsentry);
        s->vmsentry = NULL;
    }
    scsi_pr_jobs_cleanup(s);
    scsi_pr_migration_cleanup(s);
    scsi_pr_take_over_cleanup(s);
    if (handle) {
        /* Callbacks still run while it waits for them. */
        scsi_pr_device_free(handle);
        s->handle = NULL;
    }
    g_clear_pointer(&s->medium, g_free);
    scsi_pr_abort_cleanup(s);
    scsi_pr_events_cleanup(s);
}

static bool scsi_pr_open(SCSIPRDisk *s, Error **errp)
{
    if (!scsi_pr_class(s->dev)->kind->check(s, errp)) {
        return false;
    }
    s->going = false;
    scsi_pr_events_init(s);
    scsi_pr_abort_init(s);
    scsi_pr_take_over_init(s);
    if (!scsi_pr_attach(s, errp) || !scsi_pr_migration_init(s, errp)) {
        scsi_pr_close(s);
        return false;
    }
    /*
     * Before those of all devices: an adapter that goes on may have an
     * iothread send commands at once.
     */
    s->vmsentry = qemu_add_vm_change_state_handler_prio(
        scsi_pr_vm_state_change, s, -1);
    return true;
}

static bool scsi_pr_has_store(const SCSIPRDisk *s)
{
    return s->store && *s->store;
}

/* pr-store says more than pr-dir. False with @errp. */
static bool scsi_pr_apply_dir(SCSIPRDisk *s, Error **errp)
{
    if (scsi_pr_has_store(s) || !scsi_pr_dir_applies(s->dev, s->dir)) {
        return true;
    }
    g_free(s->store);
    s->store = scsi_pr_dir_store(s->dev, s->dir, errp);
    return s->store;
}

static void scsi_pr_realized(SCSIPRDisk *s)
{
    s->attention_ops = scsi_pr_find_attention_ops(s->dev);
    scsi_pr_jobs_init(s);
    QLIST_INSERT_HEAD(&scsi_pr_devices, s, next);
}

/* A device whose properties say who it is. */
static void scsi_pr_realize_attached(SCSIPRDisk *s, Error **errp)
{
    ERRP_GUARD();
    SCSIDevice *dev = s->dev;

    if (!scsi_pr_apply_dir(s, errp) ||
        (scsi_pr_has_store(s) && !scsi_pr_open(s, errp))) {
        return;
    }
    scsi_pr_class(dev)->realize(dev, errp);
    if (!scsi_pr_has_store(s)) {
        return;
    }
    if (*errp) {
        scsi_pr_close(s);
    } else {
        scsi_pr_realized(s);
    }
}

/* A device that is asked who it is when it is realized. */
static void scsi_pr_realize_unattached(SCSIPRDisk *s, Error **errp)
{
    ERRP_GUARD();
    SCSIDevice *dev = s->dev;
    const SCSIPRClass *wrapped = scsi_pr_class(dev);

    wrapped->realize(dev, errp);
    if (*errp) {
        return;
    }
    if (!scsi_pr_apply_dir(s, errp) ||
        (scsi_pr_has_store(s) && !scsi_pr_open(s, errp))) {
        if (wrapped->unrealize) {
            wrapped->unrealize(dev);
        }
    } else if (scsi_pr_has_store(s)) {
        scsi_pr_realized(s);
    }
}

void scsi_pr_realize(SCSIDevice *dev, Error **errp)
{
    SCSIPRDisk *s = scsi_pr_find(dev);

    if (!s) {
        scsi_pr_class(dev)->realize(dev, errp);
    } else if (!scsi_pr_check_properties(s, errp)) {
        return;
    } else if (scsi_pr_class(dev)->kind->attaches_realized) {
        scsi_pr_realize_unattached(s, errp);
    } else {
        scsi_pr_realize_attached(s, errp);
    }
}

void scsi_pr_unrealize(SCSIDevice *dev)
{
    SCSIPRDisk *s = scsi_pr_state(dev);

    if (s) {
        trace_scsi_pr_detach(s->store);
        QLIST_REMOVE(s, next);
        scsi_pr_close(s);
    }
    if (scsi_pr_class(dev)->unrealize) {
        scsi_pr_class(dev)->unrealize(dev);
    }
}

/*
 * An iothread that took requests from its queue just before the device went
 * may not have sent them yet. They would reach the medium after the nexus has
 * left the gate, where no fencing waits for them any more. Once they are sent,
 * unrealize cancels them and waits for their end.
 */
void scsi_pr_qdev_unrealize(DeviceState *qdev)
{
    SCSIDevice *dev = SCSI_DEVICE(qdev);
    SCSIPRDisk *s = scsi_pr_state(dev);
    BlockDriverState *purging = NULL;

    if (s) {
        pr_compat_wait_for_iothreads();
        s->going = true;
        purging = pr_compat_begin_purge(dev);
    }
    scsi_pr_class(dev)->qdev_unrealize(qdev);
    pr_compat_end_purge(purging);
}
