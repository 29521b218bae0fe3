/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: which medium a device has, as a text
 * that two devices of the host have in common exactly if it is one medium.
 *
 * A regular file is its inode, and a block device its number, under whatever
 * name, format and filter. How long they are does not count: two views that
 * begin at one place share their blocks. What the host does not know by itself
 * (network protocols) has no text.
 */
#include "qemu/osdep.h"
#include <sys/sysmacros.h>
#include "qapi/error.h"
#include "qapi/qobject-input-visitor.h"
#include "qapi/visitor.h"
#include "block/block_int.h"
#include "qemu/cutils.h"
#include "pr-compat.h"
#include "pr-internal.h"


#define DESCRIPTORS "/proc/self/fd"
/* More than any QEMU has; the limit of a process may be a thousand million. */
#define MOST_DESCRIPTORS 65536

static bool scsi_pr_is_same_file(const struct stat *a, const struct stat *b)
{
    if ((a->st_mode & S_IFMT) != (b->st_mode & S_IFMT)) {
        return false;
    }
    return S_ISREG(a->st_mode)
        ? a->st_dev == b->st_dev && a->st_ino == b->st_ino
        : a->st_rdev == b->st_rdev;
}

/* Whether @link, of DESCRIPTORS, was opened as @filename. */
static bool scsi_pr_has_name(const char *link, const char *filename)
{
    g_autofree char *path = g_file_read_link(link, NULL);

    if (path && g_str_has_suffix(path, " (deleted)")) {
        path[strlen(path) - strlen(" (deleted)")] = '\0';
    }
    if (path && !g_path_is_absolute(filename)) {
        /* QEMU may have left the directory (-daemonize). */
        return g_str_has_suffix(path, filename);
    }
    return path && g_str_equal(path, filename);
}

/* Whether @fd is the very file of @info, if it is set, else one of that name. */
static bool scsi_pr_is_open_as(int fd, const char *filename, struct stat *info)
{
    g_autofree char *link = NULL;
    struct stat each;

    if (fstat(fd, &each) != 0) {
        return false;
    }
    link = g_strdup_printf(DESCRIPTORS "/%d", fd);
    if (info->st_mode ? !scsi_pr_is_same_file(&each, info)
                      : !scsi_pr_has_name(link, filename)) {
        return false;
    }
    *info = each;
    return true;
}

/* What this process has open, as above; @info is set then. */
static bool scsi_pr_find_open(const char *filename, struct stat *info)
{
    g_autoptr(GDir) dir = g_dir_open(DESCRIPTORS, 0, NULL);
    const char *number;

    while (dir && (number = g_dir_read_name(dir))) {
        if (scsi_pr_is_open_as(atoi(number), filename, info)) {
            return true;
        }
    }
    /* A profile of AppArmor's may forbid to list them; or there is no /proc. */
    for (int fd = 0; !dir && fd < MOST_DESCRIPTORS; fd++) {
        if (scsi_pr_is_open_as(fd, filename, info)) {
            return true;
        }
    }
    return false;
}

static void scsi_pr_stat_passed(const char *filename, struct stat *info,
                                char **path)
{
    g_autofree char *link = NULL;
    int fd = qemu_open(filename, O_RDWR, NULL);

    if (fd < 0) {
        fd = qemu_open(filename, O_RDONLY, NULL);
    }
    if (fd < 0) {
        return;
    }
    link = g_strdup_printf(DESCRIPTORS "/%d", fd);
    *path = g_file_read_link(link, NULL);
    if (fstat(fd, info) != 0) {
        info->st_mode = 0;
    }
    qemu_close(fd);
}

/*
 * The file that the node has open, and its path; st_mode 0 where nobody can
 * tell (no /proc, and nothing has the name). Only the node has the descriptor,
 * and the path may lead elsewhere by now.
 */
static bool scsi_pr_stat(BlockDriverState *bs, struct stat *info, char **path,
                         Error **errp)
{
    bool exists;

    *info = (struct stat) {};
    if (g_str_has_prefix(bs->filename, "/dev/fdset/")) {
        scsi_pr_stat_passed(bs->filename, info, path);
        return true;
    }
    *path = g_strdup(bs->filename);
    exists = stat(bs->filename, info) == 0;
    if (exists && scsi_pr_find_open(bs->filename, info)) {
        return true;
    }
    *info = (struct stat) {};
    if (scsi_pr_find_open(bs->filename, info) ||
        (!exists && !g_file_test(DESCRIPTORS, G_FILE_TEST_IS_DIR))) {
        return true;
    }
    error_setg(errp, "%s is not the file, or not any more, that node '%s' has"
               " open", bs->filename, bdrv_get_node_name(bs));
    error_append_hint(errp, "Put the right file in its place, or add the node"
                      " anew. If it is the same after all, set"
                      " pr-accept-medium=on.\n");
    return false;
}

/* Option offset= of a raw format: a number, or the text of -drive. */
static uint64_t scsi_pr_own_offset(BlockDriverState *bs)
{
    QObject *option = qdict_get(bs->options, "offset");
    QNum *number = qobject_to(QNum, option);
    QString *text = qobject_to(QString, option);
    uint64_t offset = 0;

    if (!g_str_equal(bs->drv->format_name, "raw")) {
        return 0;
    }
    if (text && qemu_strtosz(qstring_get_str(text), NULL, &offset) < 0) {
        return 0;
    }
    if (number) {
        qnum_get_try_uint(number, &offset);
    }
    return offset;
}

uint64_t scsi_pr_node_offset(BlockDriverState *bs)
{
    uint64_t offset = 0;

    PR_COMPAT_GRAPH_RDLOCK_GUARD();
    for (; bs && bs->drv; bs = bdrv_primary_bs(bs)) {
        offset += scsi_pr_own_offset(bs);
    }
    return offset;
}

static char *scsi_pr_file_id(const struct stat *info, uint64_t offset)
{
    g_autoptr(GString) id = g_string_new(NULL);

    if (S_ISREG(info->st_mode)) {
        g_string_printf(id, "file:%u:%u:%" PRIu64, major(info->st_dev),
                        minor(info->st_dev), (uint64_t)info->st_ino);
    } else if (S_ISBLK(info->st_mode)) {
        g_string_printf(id, "block:%u:%u", major(info->st_rdev),
                        minor(info->st_rdev));
    } else if (S_ISCHR(info->st_mode)) {
        g_string_printf(id, "char:%u:%u", major(info->st_rdev),
                        minor(info->st_rdev));
    } else {
        return NULL;
    }
    if (offset) {
        g_string_append_printf(id, "+%" PRIu64, offset);
    }
    return g_strdup(id->str);
}

bool scsi_pr_node_medium(BlockDriverState *bs, bool accept,
                         SCSIPRMedium *medium, Error **errp)
{
    static const char *const files[] = {
        "file", "host_device", "host_cdrom", NULL
    };
    g_autofree char *path = NULL;
    uint64_t offset = scsi_pr_node_offset(bs);
    struct stat info;

    while (bs && bs->drv && bdrv_primary_bs(bs)) {
        bs = bdrv_primary_bs(bs);
    }
    if (!bs || !bs->drv || !g_strv_contains(files, bs->drv->format_name)) {
        return true;
    }
    if (!scsi_pr_stat(bs, &info, &path, accept ? NULL : errp)) {
        return accept;
    }
    medium->id = scsi_pr_file_id(&info, offset);
    medium->name = offset
        ? g_strdup_printf("%s (offset %" PRIu64 ")", path, offset)
        : g_steal_pointer(&path);
    return true;
}

static bool scsi_pr_root_medium(SCSIPRDisk *s, SCSIPRMedium *medium,
                                Error **errp)
{
    BlockBackend *blk = s->dev->conf.blk;

    PR_COMPAT_GRAPH_RDLOCK_GUARD();
    return scsi_pr_node_medium(blk ? blk_bs(blk) : NULL, s->accept_medium,
                               medium, errp);
}

bool scsi_pr_medium(SCSIPRDisk *s, SCSIPRMedium *medium, Error **errp)
{
    const SCSIPRKind *kind = scsi_pr_class(s->dev)->kind;
    g_autofree char *identity = NULL;

    *medium = (SCSIPRMedium) {};
    if (!scsi_pr_root_medium(s, medium, errp)) {
        return false;
    }
    /* The device itself knows better, on whatever path of the host it is. */
    identity = kind->attaches_realized ? kind->identity(s->dev) : NULL;
    if (identity) {
        g_free(medium->id);
        medium->id = g_strdup_printf("unit:%s", identity);
    }
    return true;
}

void scsi_pr_medium_clear(SCSIPRMedium *medium)
{
    g_free(medium->id);
    g_free(medium->name);
    *medium = (SCSIPRMedium) {};
}

/* qom-set of drive puts another node in place, below a running device. */

static bool scsi_pr_may_set_drive(SCSIPRDisk *s, const char *node,
                                  Error **errp)
{
    BlockDriverState *bs = bdrv_lookup_bs(NULL, node, NULL);
    SCSIPRMedium medium = {};
    bool same;

    PR_COMPAT_GRAPH_RDLOCK_GUARD();
    /* What does not exist the device's own setter refuses. */
    if (!bs) {
        return true;
    }
    if (!scsi_pr_node_medium(bs, s->accept_medium, &medium, errp)) {
        return false;
    }
    same = g_strcmp0(medium.id, s->medium) == 0;
    if (!same) {
        error_setg(errp, "node '%s' is another medium, %s, than the one that"
                   " device '%s' shares (pr-store, share-rw=on)", node,
                   medium.name ? medium.name : "which the host does not know",
                   scsi_pr_name(s));
        error_append_hint(errp, "Unplug the device first.\n");
    }
    scsi_pr_medium_clear(&medium);
    return same;
}

void scsi_pr_set_drive(Object *obj, Visitor *v, const char *name,
                       void *opaque, Error **errp)
{
    ERRP_GUARD();
    SCSIDevice *dev = SCSI_DEVICE(obj);
    ObjectPropertyAccessor *set = scsi_pr_class(dev)->set_drive;
    SCSIPRDisk *s = scsi_pr_state(dev);
    g_autofree char *node = NULL;
    Visitor *again;
    QString *text;

    if (!s || !s->jobs) {
        set(obj, v, name, opaque, errp);
        return;
    }
    if (!visit_type_str(v, name, &node, errp) ||
        (dev->conf.share_rw && !scsi_pr_may_set_drive(s, node, errp))) {
        return;
    }
    text = qstring_from_str(node);
    again = qobject_input_visitor_new(QOBJECT(text));
    qobject_unref(text);
    set(obj, again, name, opaque, errp);
    visit_free(again);
    /* Before the next command may want to have the old node. */
    scsi_pr_jobs_look(s);
}
