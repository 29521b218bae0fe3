/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for a stock QEMU: the plugin that -plugin names. It
 * needs nothing of QEMU, so that any QEMU can load it, and opens the shared
 * object beside itself that is made for the QEMU that runs. If there is none,
 * QEMU does not start: its disks would have no reservations.
 *
 * All this happens in a constructor: nothing of QEMU's has been called by us
 * then, and QEMU has not yet asked for our API version.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "interface.h"
#include "notes.h"

#define EXPORT __attribute__((visibility("default")))
#define PREFIX "scsi-pr-"
#define SUFFIX ".so"

EXPORT int qemu_plugin_version;
static const ScsiPrPlugin *plugin;

static char directory[PATH_MAX] = ".";
static char build_id[SCSI_PR_ID_SIZE];

/* One message, written at once: others may write to the same log. */
static char message[16384];
static size_t message_length;

static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
    size_t room = sizeof(message) - message_length - 1;
    va_list ap;
    int length;

    va_start(ap, format);
    length = vsnprintf(message + message_length, room, format, ap);
    va_end(ap);
    if (length > 0) {
        message_length += (size_t)length < room ? (size_t)length : room - 1;
    }
}

static int is_ours(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0 &&
           length > strlen(SUFFIX) &&
           strcmp(entry->d_name + length - strlen(SUFFIX), SUFFIX) == 0;
}

static void say_made_for(const char *name)
{
    char path[PATH_MAX];
    ScsiPrMadeFor made_for;
    const char *problem = "the name is too long";

    if (snprintf(path, sizeof(path), "%s/%s", directory, name) <
        (int)sizeof(path)) {
        problem = scsi_pr_look_at_file(path, &made_for);
    }
    if (problem) {
        say(" nobody (%s: %s)", name, problem);
    } else {
        say(" %s (build ID %s)", made_for.qemu, made_for.id);
    }
}

static void say_what_is_here(void)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, is_ours, alphasort);

    if (count < 0) {
        say("%s cannot be listed: %s.", directory, strerror(errno));
        return;
    }
    say("%s has plugins for%s", directory, count ? "" : " no QEMU");
    for (int i = 0; i < count; i++) {
        say(i ? "," : "");
        say_made_for(entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    say(".");
}

static void __attribute__((noreturn)) refuse(const char *what, const char *why)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

    path[length < 0 ? 0 : length] = '\0';
    say("%s: scsi-pr: no plugin for this QEMU (%s, build ID %s): %s: %s\n",
        program_invocation_short_name, path,
        build_id[0] ? build_id : "unknown", what, why);
    say("It does not start, for its disks would have no reservations. Install,"
        " or make, what belongs to it (scsi-pr-plugin-build; in a checkout of"
        " qemu-scsi-pr: make plugin). ");
    say_what_is_here();
    message[message_length++] = '\n';
    fwrite(message, 1, message_length, stderr);
    /* As QEMU does where a plugin cannot be loaded. */
    exit(1);
}

static void find_directory(void)
{
    Dl_info me;
    const char *slash;

    if (dladdr(&qemu_plugin_version, &me) && me.dli_fname) {
        slash = strrchr(me.dli_fname, '/');
        if (slash) {
            snprintf(directory, sizeof(directory), "%.*s",
                     (int)(slash - me.dli_fname), me.dli_fname);
        }
    }
}

static void __attribute__((constructor)) choose(void)
{
    char path[PATH_MAX + sizeof(build_id) + sizeof(PREFIX SUFFIX)];
    ScsiPrMadeFor made_for;
    const char *problem;
    void *object;

    find_directory();
    scsi_pr_own_build_id(build_id);
    snprintf(path, sizeof(path), "%s/" PREFIX "%s" SUFFIX, directory, build_id);
    problem = scsi_pr_look_at_file(path, &made_for);
    if (problem) {
        refuse(path, problem);
    }
    if (strcmp(made_for.id, build_id)) {
        refuse(path, "the file is made for another QEMU");
    }
    object = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!object) {
        refuse("the plugin cannot be loaded", dlerror());
    }
    plugin = dlsym(object, SCSI_PR_PLUGIN_SYMBOL);
    if (!plugin) {
        refuse(path, "the file is of another version than scsi-pr.so");
    }
    qemu_plugin_version = plugin->api_version;
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc,
                               char **argv);
EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc,
                               char **argv)
{
    return plugin->install(id, info, argc, argv);
}
