/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: properties, realize and unrealize.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/qht.h"
#include "qemu/rcu.h"
#include "qemu/uuid.h"
#include "qemu/xxhash.h"
#include "pr-compat.h"
#include "pr-internal.h"
#include "trace.h"

#define SCSI_PR_DEFAULT_ABORT_TIMEOUT_MS 10000
#define SCSI_PR_MAX_ABORT_TIMEOUT_MS 600000

SCSIPRStateList scsi_pr_devices = QLIST_HEAD_INITIALIZER(scsi_pr_devices);

/* SCSIPRState of every device that has a pr- property set, by device. */
static struct qht scsi_pr_states;

static bool scsi_pr_state_equal(const void *a, const void *b)
{
    return ((const SCSIPRState *)a)->dev == ((const SCSIPRState *)b)->dev;
}

static uint32_t scsi_pr_hash(SCSIDevice *dev)
{
    return qemu_xxhash2((uintptr_t)dev);
}

void scsi_pr_device_init(void)
{
    qht_init(&scsi_pr_states, scsi_pr_state_equal, 8, QHT_MODE_AUTO_RESIZE);
}

static SCSIPRState *scsi_pr_find(SCSIDevice *dev)
{
    const SCSIPRState key = { .dev = dev };

    RCU_READ_LOCK_GUARD();
    return qht_lookup(&scsi_pr_states, &key, scsi_pr_hash(dev));
}

SCSIPRState *scsi_pr_state(SCSIDevice *dev)
{
    SCSIPRState *s = scsi_pr_find(dev);

    return s && s->handle ? s : NULL;
}

/* The state to set a property in. NULL with @errp: too late for that. */
static SCSIPRState *scsi_pr_state_for_set(Object *obj, const char *name,
                                          Error **errp)
{
    SCSIDevice *dev = SCSI_DEVICE(obj);
    SCSIPRState *s = scsi_pr_find(dev);

    if (DEVICE(obj)->realized) {
        error_setg(errp, "%s cannot be changed while the device is plugged",
                   name);
        return NULL;
    }
    if (!s) {
        s = g_new0(SCSIPRState, 1);
        s->dev = dev;
        s->target_port = 1;
        s->abort_timeout = SCSI_PR_DEFAULT_ABORT_TIMEOUT_MS;
        s->admission_epoch = 1;
        qht_insert(&scsi_pr_states, s, scsi_pr_hash(dev), NULL);
    }
    return s;
}

/* @opaque of a string property: where SCSIPRState has it. */
#define SCSI_PR_FIELD(field) ((void *)offsetof(SCSIPRState, field))

static char **scsi_pr_field(SCSIPRState *s, void *opaque)
{
    return (char **)((char *)s + (uintptr_t)opaque);
}

static void scsi_pr_get_str(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    SCSIPRState *s = scsi_pr_find(SCSI_DEVICE(obj));
    char *value = s ? *scsi_pr_field(s, opaque) : NULL;

    value = value ? value : (char *)"";
    visit_type_str(v, name, &value, errp);
}

static void scsi_pr_set_str(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    SCSIPRState *s = scsi_pr_state_for_set(obj, name, errp);
    char *value;

    if (s && visit_type_str(v, name, &value, errp)) {
        char **field = scsi_pr_field(s, opaque);

        g_free(*field);
        *field = value;
    }
}

static void scsi_pr_get_target_port(Object *obj, Visitor *v, const char *name,
                                    void *opaque, Error **errp)
{
    SCSIPRState *s = scsi_pr_find(SCSI_DEVICE(obj));
    uint16_t value = s ? s->target_port : 1;

    visit_type_uint16(v, name, &value, errp);
}

static void scsi_pr_set_target_port(Object *obj, Visitor *v, const char *name,
                                    void *opaque, Error **errp)
{
    SCSIPRState *s = scsi_pr_state_for_set(obj, name, errp);
    uint16_t value;

    if (!s || !visit_type_uint16(v, name, &value, errp)) {
        return;
    }
    if (value == 0) {
        error_setg(errp, "%s must be from 1 to 65535", name);
        return;
    }
    s->target_port = value;
}

static void scsi_pr_get_abort_timeout(Object *obj, Visitor *v,
                                      const char *name, void *opaque,
                                      Error **errp)
{
    SCSIPRState *s = scsi_pr_find(SCSI_DEVICE(obj));
    uint32_t value = s ? s->abort_timeout : SCSI_PR_DEFAULT_ABORT_TIMEOUT_MS;

    visit_type_uint32(v, name, &value, errp);
}

static void scsi_pr_set_abort_timeout(Object *obj, Visitor *v,
                                      const char *name, void *opaque,
                                      Error **errp)
{
    SCSIPRState *s = scsi_pr_state_for_set(obj, name, errp);
    uint32_t value;

    if (!s || !visit_type_uint32(v, name, &value, errp)) {
        return;
    }
    if (value == 0 || value > SCSI_PR_MAX_ABORT_TIMEOUT_MS) {
        error_setg(errp, "%s must be from 1 to %d (milliseconds)", name,
                   SCSI_PR_MAX_ABORT_TIMEOUT_MS);
        return;
    }
    s->abort_timeout = value;
}

static bool scsi_pr_get_tas(Object *obj, Error **errp)
{
    SCSIPRState *s = scsi_pr_find(SCSI_DEVICE(obj));

    return s && s->tas;
}

static void scsi_pr_set_tas(Object *obj, bool value, Error **errp)
{
    SCSIPRState *s = scsi_pr_state_for_set(obj, "pr-tas", errp);

    if (s) {
        s->tas = value;
    }
}

/* Runs when the device is finalized; no request of it is left then. */
static void scsi_pr_release(Object *obj, const char *name, void *opaque)
{
    SCSIDevice *dev = SCSI_DEVICE(obj);
    SCSIPRState *s = scsi_pr_find(dev);

    if (!s) {
        return;
    }
    qht_remove(&scsi_pr_states, s, scsi_pr_hash(dev));
    g_free(s->store);
    g_free(s->initiator);
    g_free(s);
}

void scsi_pr_add_properties(ObjectClass *klass)
{
    object_class_property_add(klass, "pr-store", "str", scsi_pr_get_str,
                              scsi_pr_set_str, scsi_pr_release,
                              SCSI_PR_FIELD(store));
    object_class_property_set_description(klass, "pr-store",
        "Persistent reservations: URI of the store (memory:, file:/PATH)");

    object_class_property_add(klass, "pr-initiator", "str", scsi_pr_get_str,
                              scsi_pr_set_str, NULL,
                              SCSI_PR_FIELD(initiator));
    object_class_property_set_description(klass, "pr-initiator",
        "Persistent reservations: TransportID of the initiator port"
        " (default: from -uuid and the device's path)");

    object_class_property_add(klass, "pr-target-port", "uint16",
                              scsi_pr_get_target_port, scsi_pr_set_target_port,
                              NULL, NULL);
    object_class_property_set_description(klass, "pr-target-port",
        "Persistent reservations: relative target port identifier"
        " (default: 1)");

    object_class_property_add(klass, "pr-abort-timeout", "uint32",
                              scsi_pr_get_abort_timeout,
                              scsi_pr_set_abort_timeout, NULL, NULL);
    object_class_property_set_description(klass, "pr-abort-timeout",
        "Persistent reservations: how long a PREEMPT AND ABORT waits for the"
        " commands of the preempted, in milliseconds (default: 10000)");

    object_class_property_add_bool(klass, "pr-tas", scsi_pr_get_tas,
                                   scsi_pr_set_tas);
    object_class_property_set_description(klass, "pr-tas",
        "Persistent reservations: commands that a PREEMPT AND ABORT aborts end"
        " in TASK ABORTED status (default: off, without status)");
}

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

static bool scsi_pr_has_str_property(SCSIDevice *dev, const char *name)
{
    g_autofree char *value = object_property_get_str(OBJECT(dev), name, NULL);

    return value && *value;
}

/*
 * Cluster software compares the designators of INQUIRY's device
 * identification page (SPC-3 7.6.3) to tell shared disks apart.
 */
static bool scsi_pr_check_identity(SCSIDevice *dev, Error **errp)
{
    if (!dev->conf.share_rw || dev->wwn ||
        scsi_pr_has_str_property(dev, "serial") ||
        scsi_pr_has_str_property(dev, "device_id")) {
        return true;
    }
    error_setg(errp, "a shared disk with pr-store needs an identity that is"
               " the same in every VM");
    error_append_hint(errp, "Set wwn=0x... (recommended), serial= or"
                      " device_id=.\n");
    return false;
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

static bool scsi_pr_attach(SCSIPRState *s, Error **errp)
{
    g_autofree char *owner = scsi_pr_owner(s->dev);
    g_autofree char *initiator = s->initiator && *s->initiator
        ? g_strdup(s->initiator) : scsi_pr_default_initiator(s->dev, errp);
    static const ScsiPrEvents events = {
        .abort_tasks = scsi_pr_abort_tasks,
        .preempted = scsi_pr_event_preempted,
        .drain_late = scsi_pr_event_drain_late,
    };
    size_t command_count;
    g_autofree ScsiPrSupportedCommand *commands =
        scsi_pr_device_commands(s->dev, &command_count);
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
    };

    if (!initiator) {
        return false;
    }
    s->handle = scsi_pr_device_new(&config, &error);
    if (!s->handle) {
        error_setg(errp, "%s", error.message);
        if (error.hint) {
            error_append_hint(errp, "%s\n", error.hint);
        }
        scsi_pr_error_clear(&error);
        return false;
    }
    trace_scsi_pr_attach(owner, s->store, initiator, s->target_port);
    return true;
}

static bool scsi_pr_block_migration(SCSIPRState *s, Error **errp)
{
    error_setg(&s->migration_blocker,
               "a device with pr-store cannot be migrated yet");
    return pr_compat_block_migration(&s->migration_blocker, errp);
}

/*
 * Requests that were admitted and did not reach the medium yet (werror=stop
 * parks them) must not reach it later because of that.
 */
static void scsi_pr_vm_state_change(void *opaque, bool running, RunState state)
{
    SCSIPRState *s = opaque;
    uint32_t epoch = qatomic_read(&s->admission_epoch) + 1;

    trace_scsi_pr_recheck(s->dev);
    qatomic_set(&s->admission_epoch, epoch ? epoch : 1);
}

static void scsi_pr_close(SCSIPRState *s)
{
    ScsiPrDevice *handle = s->handle;

    if (s->vmsentry) {
        qemu_del_vm_change_state_handler(s->vmsentry);
        s->vmsentry = NULL;
    }
    if (s->migration_blocker) {
        pr_compat_unblock_migration(&s->migration_blocker);
    }
    if (handle) {
        /* Callbacks still run while it waits for them. */
        scsi_pr_device_free(handle);
        s->handle = NULL;
    }
    scsi_pr_events_cleanup(s);
}

static bool scsi_pr_open(SCSIPRState *s, Error **errp)
{
    if (!scsi_pr_check_identity(s->dev, errp) ||
        !scsi_pr_block_migration(s, errp)) {
        return false;
    }
    scsi_pr_events_init(s);
    if (!scsi_pr_attach(s, errp)) {
        scsi_pr_close(s);
        return false;
    }
    /* Registered before the device's own: runs before requests restart. */
    s->vmsentry = qdev_add_vm_change_state_handler(DEVICE(s->dev),
                                                   scsi_pr_vm_state_change, s);
    return true;
}

void scsi_pr_realize(SCSIDevice *dev, Error **errp)
{
    ERRP_GUARD();
    SCSIPRState *s = scsi_pr_find(dev);
    bool wanted = s && s->store && *s->store;

    if (wanted && !scsi_pr_open(s, errp)) {
        return;
    }
    scsi_pr_class(dev)->realize(dev, errp);
    if (!wanted) {
        return;
    }
    if (*errp) {
        scsi_pr_close(s);
    } else {
        s->attention_ops = scsi_pr_find_attention_ops(dev);
        QLIST_INSERT_HEAD(&scsi_pr_devices, s, next);
    }
}

void scsi_pr_unrealize(SCSIDevice *dev)
{
    SCSIPRState *s = scsi_pr_state(dev);

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

    if (scsi_pr_state(dev)) {
        pr_compat_wait_for_iothreads();
    }
    scsi_pr_class(dev)->qdev_unrealize(qdev);
}
