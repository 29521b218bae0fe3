/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest bench for SCSI persistent reservations: scsi-block and scsi-generic on
 * disks of the kernel that the tests run under (tests/passthrough)
 */
#ifndef TESTS_QTEST_SCSI_PR_PASSTHROUGH_H
#define TESTS_QTEST_SCSI_PR_PASSTHROUGH_H

#define FIRST_QUEUE REQUEST_QUEUE
#include "scsi-pr-vm.h"

/*
 * Names of environment variables that have the path of a device node: of a disk
 * of scsi_debug, and of one of LIO, whose second path is another I_T nexus.
 */
typedef struct Type {
    const char *driver;         /* of QEMU */
    const char *options;
    const char *debug, *lio;
} Type;

static Type types[] __attribute__((unused)) = {
    { "scsi-block", "", "SCSI_PR_DEBUG_BLOCK", "SCSI_PR_LIO_BLOCK" },
    { "scsi-generic", ",pr-accept-orphans=on", "SCSI_PR_DEBUG_SG",
      "SCSI_PR_LIO_SG" },
};

static inline const char *node(const char *variable)
{
    const char *path = getenv(variable);

    if (!path) {
        g_error("%s is not set: run these tests by scripts/check passthrough",
                variable);
    }
    return path;
}

static inline void add_host_medium(GString *args, const char *variable)
{
    g_string_append_printf(args, " -blockdev driver=host_device,"
                           "node-name=medium,filename=%s", node(variable));
}

/*
 * libqos initializes a ring word by word, and never uses a descriptor again: a
 * test has as many as its commands need, for each word takes its time where
 * these tests run.
 */
static inline void add_ring(GString *args, int descriptors)
{
    g_string_append_printf(args, " -nodefaults"
                           " -global virtio-scsi-device.virtqueue_size=%d",
                           descriptors);
}

/* Without pr-store */
static inline void add_plain(GString *args, const Type *type, int target)
{
    g_string_append_printf(args, " -device %s,id=%c,scsi-id=%d,drive=medium,"
                           "share-rw=on", type->driver, 'a' + target - A,
                           target);
}

/* @options: begin with a comma */
static inline void add_reserved(GString *args, const Type *type, int target,
                                const char *store, const char *options)
{
    add_plain(args, type, target);
    g_string_append_printf(args, "%s,pr-store=%s,"
                           "pr-initiator=iqn.2026-01.org.example:%c%s",
                           type->options, store, 'a' + target - A, options);
}

/* Runs a command of the kernel's own, and returns what it says. */
static inline char *shell(const char *format, const char *variable)
{
    g_autofree char *command = g_strdup_printf(format, node(variable));
    char *argv[] = { (char *)"sh", (char *)"-c", command, NULL };
    char *out = NULL;
    g_autofree char *err = NULL;
    int status;

    g_assert(g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
                          &out, &err, &status, NULL));
    if (status) {
        g_error("%s: %s%s", command, out, err);
    }
    return out;
}

/* What the disk itself knows, heard by its other path */
static inline void assert_disk_has_keys(const char *expected)
{
    g_autofree char *said = shell("sg_persist --in --read-keys %s",
                                  "SCSI_PR_LIO_OTHER");

    g_assert_nonnull(strstr(said, expected));
}

#define NO_KEYS "NO registered reservation keys"

/* Past all conditions, QEMU's and the disk's */
static inline void settle_all(Bench *b, int target)
{
    for (int i = 0; i < 8; i++) {
        if (test_unit_ready(b, target).status == GOOD) {
            return;
        }
    }
    assert_good(test_unit_ready(b, target));
}

static inline Bench *bench_new_settled(QVirtioSCSI *scsi,
                                       QGuestAllocator *alloc)
{
    Bench *b = bench_new(scsi, alloc);

    settle_all(b, A);
    settle_all(b, B);
    return b;
}

#endif /* TESTS_QTEST_SCSI_PR_PASSTHROUGH_H */
