/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest bench for SCSI persistent reservations: media, stores and nexuses on
 * QEMU's command line
 */
#ifndef TESTS_QTEST_SCSI_PR_SETUP_H
#define TESTS_QTEST_SCSI_PR_SETUP_H

#include "scsi-pr-bench.h"
#include "scsi-pr-group.h"

/* Whether a QEMU of a test's own has machine virt, and not a PC */
static inline bool is_virt(void)
{
    return g_str_equal(qtest_get_arch(), "aarch64");
}

static inline const char *machine_options(void)
{
    return is_virt() ? "-M virt -cpu max" : "";
}

/* A file of the test's own, which the test's end removes */
static inline char *make_medium(void)
{
    char *path = NULL;
    int fd = g_file_open_tmp("scsi-pr-XXXXXX", &path, NULL);

    g_assert(fd >= 0 && ftruncate(fd, 1024 * 1024) == 0);
    close(fd);
    qtest_add_abrt_handler((void (*)(void *))unlink, g_strdup(path));
    g_test_queue_destroy((GDestroyNotify)unlink, g_strdup(path));
    return path;
}

static inline void *setup_medium(GString *cmd_line, void *arg)
{
    g_autofree char *path = make_medium();

    g_string_append_printf(cmd_line, " -nodefaults -blockdev driver=file,"
                           "filename=%s,node-name=medium", path);
    return arg;
}

/* URI of the store that make_file_store() has made, for several processes */
static char *file_store __attribute__((unused));

static inline void remove_file_store(void *directory)
{
    static const char *const names[] = { "", "-gate", "-wal", "-shm" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        g_autofree char *path = g_strdup_printf("%s/lu.pr%s",
                                                (char *)directory, names[i]);

        unlink(path);
    }
    rmdir(directory);
    g_free(directory);
    g_free(file_store);
    file_store = NULL;
}

static inline void make_file_store(void)
{
    char *directory = g_dir_make_tmp("scsi-pr-XXXXXX", NULL);

    g_assert(directory);
    g_test_queue_destroy(remove_file_store, directory);
    file_store = g_strdup_printf("file:%s/lu.pr", directory);
}

/* A scsi-hd with initiator port and ID "a" for target 1, "b" for 2, ... */
static inline void add_nexus(GString *cmd_line, int target, const char *drive,
                             const char *store)
{
    char id = 'a' + target - A;

    g_string_append_printf(cmd_line, " -device scsi-hd,id=%c,scsi-id=%d,"
                           "drive=%s,share-rw=on,"
                           "wwn=0x5000000000000000,pr-store=%s,"
                           "pr-initiator=iqn.2026-01.org.example:%c",
                           id, target, drive, store, id);
}

/* The medium "held", where writes can be held, and made to fail by @rules */
static inline void add_held(GString *cmd_line, const char *rules)
{
    g_string_append_printf(cmd_line, " -blockdev blkdebug,node-name=debug,"
                           "image=medium%s"
                           " -blockdev raw,node-name=held,file=debug", rules);
}

static inline void add_pair(GString *cmd_line, const char *store)
{
    add_nexus(cmd_line, A, "medium", store);
    add_nexus(cmd_line, B, "medium", store);
}

static inline void *setup_pair(GString *cmd_line, void *arg)
{
    setup_medium(cmd_line, arg);
    add_pair(cmd_line, "memory:quorum");
    return arg;
}

static inline void *setup_plain(GString *cmd_line, void *arg)
{
    setup_medium(cmd_line, arg);
    g_string_append(cmd_line, " -device scsi-hd,id=a,scsi-id=1,drive=medium,"
                    "share-rw=on,serial=plain");
    return arg;
}

#endif /* TESTS_QTEST_SCSI_PR_SETUP_H */
