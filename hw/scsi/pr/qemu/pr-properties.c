/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: properties. Setting one makes a device's
 * state.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "pr-internal.h"

/* What a device has of which no property was set; @dev is missing. */
static const SCSIPRDisk scsi_pr_defaults = {
    .target_port = 1,
    .abort_timeout = 10000,
    .run_changes = 1,
};

/* @opaque of a property: what SCSIPRDisk has of it, and what it may be. */
typedef struct SCSIPRProperty {
    const char *name;
    const char *type;
    const char *description;
    size_t offset;
    uint32_t max;               /* of a number; the least is 1 */
    const char *only;           /* the device type that has it; NULL: all */
} SCSIPRProperty;

static const void *scsi_pr_get_field(Object *obj, const SCSIPRProperty *p)
{
    const SCSIPRDisk *s = scsi_pr_find(SCSI_DEVICE(obj));

    return (const char *)(s ? s : &scsi_pr_defaults) + p->offset;
}

/* The field to set. NULL with @errp: too late for that. */
static void *scsi_pr_set_field(Object *obj, const SCSIPRProperty *p,
                               Error **errp)
{
    SCSIDevice *dev = SCSI_DEVICE(obj);
    SCSIPRDisk *s = scsi_pr_find(dev);

    if (DEVICE(obj)->realized) {
        error_setg(errp, "%s cannot be changed while the device is plugged",
                   p->name);
        return NULL;
    }
    if (!s) {
        s = g_memdup2(&scsi_pr_defaults, sizeof(scsi_pr_defaults));
        s->dev = dev;
        scsi_pr_insert(s);
        scsi_pr_wrap_class(dev);
    }
    return (char *)s + p->offset;
}

static void scsi_pr_get_str(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    char *const *field = scsi_pr_get_field(obj, opaque);
    char *value = *field ? *field : (char *)"";

    visit_type_str(v, name, &value, errp);
}

static bool scsi_pr_visit_str(Visitor *v, const SCSIPRProperty *p,
                              void *opaque, Error **errp)
{
    char **field = opaque;
    char *value;

    if (!visit_type_str(v, p->name, &value, errp)) {
        return false;
    }
    g_free(*field);
    *field = value;
    return true;
}

static void scsi_pr_get_number(Object *obj, Visitor *v, const char *name,
                               void *opaque, Error **errp)
{
    uint32_t value = *(const uint32_t *)scsi_pr_get_field(obj, opaque);

    visit_type_uint32(v, name, &value, errp);
}

static bool scsi_pr_visit_number(Visitor *v, const SCSIPRProperty *p,
                                 void *opaque, Error **errp)
{
    uint32_t *field = opaque;
    uint32_t value;

    if (!visit_type_uint32(v, p->name, &value, errp)) {
        return false;
    }
    if (value == 0 || value > p->max) {
        error_setg(errp, "%s must be from 1 to %" PRIu32, p->name, p->max);
        return false;
    }
    *field = value;
    return true;
}

static void scsi_pr_get_bool(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    bool value = *(const bool *)scsi_pr_get_field(obj, opaque);

    visit_type_bool(v, name, &value, errp);
}

static bool scsi_pr_visit_bool(Visitor *v, const SCSIPRProperty *p,
                               void *opaque, Error **errp)
{
    return visit_type_bool(v, p->name, opaque, errp);
}

/* Runs when the device is finalized; no request of it is left then. */
static void scsi_pr_release(Object *obj, const char *name, void *opaque)
{
    SCSIDevice *dev = SCSI_DEVICE(obj);
    SCSIPRDisk *s = scsi_pr_find(dev);

    if (!s) {
        return;
    }
    scsi_pr_remove(s);
    g_free(s->store);
    g_free(s->dir);
    g_free(s->initiator);
    g_free(s->runtime_dir);
    for (size_t i = 0; i < ARRAY_SIZE(s->refused); i++) {
        error_free(s->refused[i]);
    }
    g_free(s);
}

static const SCSIPRProperty scsi_pr_properties[] = {
    { "pr-store", "str",
      "Persistent reservations: URI of the store (memory:, file:/PATH,"
      " cluster:NAME)",
      offsetof(SCSIPRDisk, store) },
    { "pr-dir", "str",
      "Persistent reservations: directory, or cluster:, with a store for each"
      " shared disk that has no pr-store, named by the disk's identity",
      offsetof(SCSIPRDisk, dir) },
    { "pr-initiator", "str",
      "Persistent reservations: TransportID of the initiator port"
      " (default: from -uuid and the device's path)",
      offsetof(SCSIPRDisk, initiator) },
    { "pr-runtime-dir", "str",
      "Persistent reservations: directory on tmpfs for what is in force of file:"
      " and cluster: stores (default: /run/scsi-pr, else $XDG_RUNTIME_DIR,"
      " else /dev/shm)",
      offsetof(SCSIPRDisk, runtime_dir) },
    { "pr-target-port", "uint32",
      "Persistent reservations: relative target port identifier, 1 to 65535"
      " (default: 1)",
      offsetof(SCSIPRDisk, target_port), 65535 },
    { "pr-abort-timeout", "uint32",
      "Persistent reservations: how long a PREEMPT AND ABORT waits for the"
      " commands of the preempted, in milliseconds, 1 to 600000"
      " (default: 10000)",
      offsetof(SCSIPRDisk, abort_timeout), 600000 },
    { "pr-tas", "bool",
      "Persistent reservations: commands that a PREEMPT AND ABORT aborts end"
      " in TASK ABORTED status (default: off, without status)",
      offsetof(SCSIPRDisk, tas) },
    { "pr-accept-medium", "bool",
      "Persistent reservations: the medium is that of others that share the"
      " store, or has another store, whatever the host knows about it"
      " (default: off, refused)",
      offsetof(SCSIPRDisk, accept_medium) },
    { "pr-accept-file-system", "bool",
      "Persistent reservations: the store may be on any file system, for all"
      " that use it are of this host and see one file (default: off, local"
      " ones only)",
      offsetof(SCSIPRDisk, accept_file_system) },
    { "pr-accept-orphans", "bool",
      "Persistent reservations: work with a character device, although writes"
      " of a killed process may reach the disk after the VM was fenced"
      " (default: off)",
      offsetof(SCSIPRDisk, accept_orphans), .only = "scsi-generic" },
};

static const struct {
    const char *name;
    ObjectPropertyAccessor *get;
    bool (*visit)(Visitor *v, const SCSIPRProperty *p, void *field,
                  Error **errp);
} scsi_pr_types[] = {
    { "str", scsi_pr_get_str, scsi_pr_visit_str },
    { "uint32", scsi_pr_get_number, scsi_pr_visit_number },
    { "bool", scsi_pr_get_bool, scsi_pr_visit_bool },
};

static size_t scsi_pr_type(const SCSIPRProperty *p)
{
    size_t i = 0;

    while (!g_str_equal(scsi_pr_types[i].name, p->type)) {
        i++;
    }
    return i;
}

/*
 * A -global that is refused is no more than a warning to a device that is
 * plugged later: so it must be refused again when that is realized.
 */
static void scsi_pr_set(Object *obj, Visitor *v, const char *name,
                        void *opaque, Error **errp)
{
    const SCSIPRProperty *p = opaque;
    void *field = scsi_pr_set_field(obj, p, errp);
    Error **refused, *err = NULL;

    QEMU_BUILD_BUG_ON(ARRAY_SIZE(scsi_pr_properties) >
                      SCSI_PR_PROPERTIES_MAX);
    if (!field) {
        return;
    }
    refused = &scsi_pr_find(SCSI_DEVICE(obj))->refused[p - scsi_pr_properties];
    error_free(*refused);
    *refused = NULL;
    if (!scsi_pr_types[scsi_pr_type(p)].visit(v, p, field, &err)) {
        *refused = error_copy(err);
        error_propagate(errp, err);
    }
}

bool scsi_pr_check_properties(SCSIPRDisk *s, Error **errp)
{
    for (size_t i = 0; i < ARRAY_SIZE(s->refused); i++) {
        if (s->refused[i]) {
            error_propagate(errp, error_copy(s->refused[i]));
            return false;
        }
    }
    return true;
}

static void scsi_pr_add_property(ObjectClass *klass, const SCSIPRProperty *p)
{
    /* One of them frees what all have set. */
    object_class_property_add(klass, p->name, p->type,
                              scsi_pr_types[scsi_pr_type(p)].get, scsi_pr_set,
                              p == scsi_pr_properties ? scsi_pr_release : NULL,
                              (void *)p);
    object_class_property_set_description(klass, p->name, p->description);
}

void scsi_pr_add_properties(ObjectClass *klass)
{
    for (size_t i = 0; i < ARRAY_SIZE(scsi_pr_properties); i++) {
        const SCSIPRProperty *p = &scsi_pr_properties[i];

        if (!p->only || g_str_equal(p->only, object_class_get_name(klass))) {
            scsi_pr_add_property(klass, p);
        }
    }
}
