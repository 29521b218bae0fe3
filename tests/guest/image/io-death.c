/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * io-death METHOD MEDIUM WRITES TAG AWAITED [vhost]: what the death of a
 * process says about its I/O.
 *
 * A child has WRITES direct writes under way at MEDIUM, a disk or a file on
 * one, by METHOD: threads (pwrite), native (Linux AIO), io_uring; for a SCSI
 * disk also sg-block and sg-char (the SG_IO ioctl, of its block device or its
 * character device). It holds locks on several open file descriptions:
 *
 *   plain   a descriptor of a file
 *   mapped  the same, and the file is mapped
 *   medium  the descriptor that the I/O goes through
 *   ring    a descriptor that the io_uring has as a registered file
 *
 * With `vhost` it also owns a vhost device, as a VM with a vhost network card
 * does: that has a reference to the memory of its owner.
 *
 * It is killed. A line for each lock, and for `exit` (waitpid would return),
 * says what was true at once after it had become free:
 *
 *   NAME LANDED INFLIGHT
 *
 * LANDED counts writes that are on the medium, INFLIGHT those in the kernel.
 * The last line, `end`, is the same when nothing is in flight any more.
 *
 * Nothing is timed: once WRITES are in flight and the locks in the list
 * AWAITED ("plain,exit" or "-") have become free, /run/io-death is made; the
 * medium is expected to be stuck until then, and to move after it.
 * Exit status: 0 done, 1 wrong usage or failure, 2 not within 20 s.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <linux/vhost.h>
#include <pthread.h>
#include <scsi/sg.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOCK_FILE "/run/io-death.lock"
#define MOVE_ON "/run/io-death"
#define SIZE 65536
#define STRIDE (1 << 20)        /* neighbours would be merged */
#define MAX_WRITES 64
#define LOCK_BASE ((off_t)1 << 62)
#define PATIENCE_S 20
/* How long what must not happen is waited for. */
#define WINDOW_S 0.5

enum { PLAIN, MAPPED, MEDIUM, RING, EXIT, OBSERVED };
static const char *const names[] = { "plain", "mapped", "medium", "ring",
                                     "exit" };

static const char *medium;
static int writes, disk;
static bool passthrough;        /* by SG_IO */
static uint8_t *buffer;

static void *allocate(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        err(1, "mmap");
    }
    return p;
}

static int open_file(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd < 0) {
        err(1, "%s", path);
    }
    return fd;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* --- the child: locks --------------------------------------------------- */

static void lock(int fd, int which)
{
    struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET,
                           .l_start = LOCK_BASE + which, .l_len = 1 };

    if (fcntl(fd, F_OFD_SETLK, &range) != 0) {
        err(1, "F_OFD_SETLK of %s", names[which]);
    }
}

static int locked_file(int which)
{
    int fd = open_file(LOCK_FILE, O_RDWR | O_CREAT);

    lock(fd, which);
    return fd;
}

static void take_locks(void)
{
    int mapped;

    locked_file(PLAIN);
    mapped = locked_file(MAPPED);
    if (mmap(NULL, 1, PROT_READ, MAP_SHARED, mapped, 0) == MAP_FAILED) {
        err(1, "mmap of %s", LOCK_FILE);
    }
    lock(disk, MEDIUM);
}

/* --- the child: I/O ----------------------------------------------------- */

static void *pwrite_thread(void *opaque)
{
    if (pwrite(disk, buffer, SIZE, (intptr_t)opaque * STRIDE) != SIZE) {
        err(1, "pwrite");
    }
    return NULL;
}

static void submit_native(void)
{
    aio_context_t context = 0;

    if (syscall(SYS_io_setup, writes, &context) != 0) {
        err(1, "io_setup");
    }
    for (int i = 0; i < writes; i++) {
        struct iocb cb = { .aio_lio_opcode = IOCB_CMD_PWRITE,
                           .aio_fildes = disk, .aio_buf = (uintptr_t)buffer,
                           .aio_nbytes = SIZE,
                           .aio_offset = (int64_t)i * STRIDE };
        struct iocb *list = &cb;

        if (syscall(SYS_io_submit, context, 1, &list) != 1) {
            err(1, "io_submit");
        }
    }
}

static void submit_io_uring(void)
{
    struct io_uring_params params = { 0 };
    int lock_fd = locked_file(RING);
    int ring = syscall(SYS_io_uring_setup, MAX_WRITES, &params);
    struct io_uring_sqe *sqes;
    uint8_t *sq;

    if (ring < 0 || syscall(SYS_io_uring_register, ring,
                            IORING_REGISTER_FILES, &lock_fd, 1) != 0) {
        err(1, "io_uring");
    }
    close(lock_fd);
    sq = mmap(NULL, params.sq_off.array + MAX_WRITES * sizeof(uint32_t),
              PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    sqes = mmap(NULL, MAX_WRITES * sizeof(*sqes), PROT_READ | PROT_WRITE,
                MAP_SHARED, ring, IORING_OFF_SQES);
    if (sq == MAP_FAILED || sqes == MAP_FAILED) {
        err(1, "mmap of the ring");
    }
    for (int i = 0; i < writes; i++) {
        sqes[i] = (struct io_uring_sqe) {
            .opcode = IORING_OP_WRITE, .fd = disk,
            .addr = (uintptr_t)buffer, .len = SIZE,
            .off = (uint64_t)i * STRIDE };
        ((uint32_t *)(sq + params.sq_off.array))[i] = i;
    }
    __atomic_store_n((uint32_t *)(sq + params.sq_off.tail), writes,
                     __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, ring, writes, 0, 0, NULL, 0) != writes) {
        err(1, "io_uring_enter");
    }
}

static void sysfs_path(char *path, size_t size, const char *attribute)
{
    struct stat info;
    dev_t device;

    if (fstat(disk, &info) != 0) {
        err(1, "%s", medium);
    }
    device = S_ISBLK(info.st_mode) ? info.st_rdev : info.st_dev;
    snprintf(path, size, "/sys/dev/block/%u:%u/%s", major(device),
             minor(device), attribute);
}

static int sg_fd;

static void *sg_io_thread(void *opaque)
{
    uint32_t lba = (intptr_t)opaque * STRIDE / 512;
    uint8_t write_10[10] = { 0x2a, 0, lba >> 24, lba >> 16, lba >> 8, lba, 0,
                             SIZE / 512 >> 8, SIZE / 512 & 0xff };
    sg_io_hdr_t header = { .interface_id = 'S', .cmd_len = sizeof(write_10),
                           .cmdp = write_10, .dxferp = buffer,
                           .dxfer_direction = SG_DXFER_TO_DEV,
                           .dxfer_len = SIZE, .timeout = 60000 };

    if (ioctl(sg_fd, SG_IO, &header) != 0 || header.status) {
        err(1, "SG_IO");
    }
    return NULL;
}

static void submit_by_threads(void *(*function)(void *))
{
    pthread_t thread;

    for (intptr_t i = 0; i < writes; i++) {
        if (pthread_create(&thread, NULL, function, (void *)i) != 0) {
            errx(1, "pthread_create");
        }
    }
}

static void submit_threads(void)
{
    submit_by_threads(pwrite_thread);
}

static void submit_sg_block(void)
{
    sg_fd = disk;
    submit_by_threads(sg_io_thread);
}

static void submit_sg_char(void)
{
    char path[64], node[300];
    struct dirent *entry = NULL;
    DIR *dir;

    sysfs_path(path, sizeof(path), "device/scsi_generic");
    dir = opendir(path);
    while (dir && (entry = readdir(dir)) && entry->d_name[0] == '.') {
    }
    if (!dir || !entry) {
        err(1, "%s", path);
    }
    snprintf(node, sizeof(node), "/dev/%s", entry->d_name);
    closedir(dir);
    sg_fd = open_file(node, O_RDWR);
    submit_by_threads(sg_io_thread);
}

static const struct {
    const char *name;
    void (*submit)(void);
} methods[] = {
    { "threads", submit_threads },
    { "native", submit_native },
    { "io_uring", submit_io_uring },
    { "sg-block", submit_sg_block },
    { "sg-char", submit_sg_char },
};

static void child(const char *method, bool vhost)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (vhost && ioctl(open_file("/dev/vhost-scsi", O_RDWR),
                       VHOST_SET_OWNER) != 0) {
        err(1, "VHOST_SET_OWNER");
    }
    disk = open_file(medium, O_RDWR | O_DIRECT);
    take_locks();
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(methods[i].name, method) == 0) {
            methods[i].submit();
            for (;;) {
                pause();
            }
        }
    }
    errx(1, "unknown method '%s'", method);
}

/* --- the parent --------------------------------------------------------- */

static int landed(uint8_t tag)
{
    uint8_t *block = allocate(512);
    int count = 0;

    for (int i = 0; i < writes; i++) {
        /* the end of the write, which lands last if it is ever split */
        if (pread(disk, block, 512, i * STRIDE + SIZE - 512) != 512) {
            err(1, "pread");
        }
        count += block[0] == tag;
    }
    munmap(block, 512);
    return count;
}

/* The kernel does not count what is passed through among a disk's I/O. */
static int inflight(void)
{
    const char *format = passthrough ? "%d" : "%*d %d";
    int count = -1;
    char path[64];
    FILE *file;

    sysfs_path(path, sizeof(path),
               passthrough ? "device/device_busy" : "inflight");
    file = fopen(path, "r");
    if (!file || fscanf(file, format, &count) != 1) {
        err(1, "%s", path);
    }
    fclose(file);
    return count;
}

static bool is_free(int fd, int which)
{
    struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET,
                           .l_start = LOCK_BASE + which, .l_len = 1 };

    if (fcntl(fd, F_OFD_GETLK, &range) != 0) {
        err(1, "F_OFD_GETLK of %s", names[which]);
    }
    return range.l_type == F_UNLCK;
}

static bool is_over(pid_t pid, int locks, int which)
{
    siginfo_t info = { 0 };

    if (which != EXIT) {
        return is_free(which == MEDIUM ? disk : locks, which);
    }
    return waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == pid;
}

static void pause_until(double deadline, const char *purpose)
{
    if (now() > deadline) {
        fprintf(stderr, "io-death: not within %d s: %s\n", PATIENCE_S,
                purpose);
        exit(2);
    }
    usleep(1000);
}

static void report(const char *name, uint8_t tag)
{
    int in_kernel = inflight();

    printf("%s %d %d\n", name, landed(tag), in_kernel);
    fflush(stdout);
}

/* Reports what becomes free, and lets the medium go on in time. */
static void observe(pid_t pid, int locks, uint8_t tag, const char *awaited,
                    bool has_ring)
{
    bool over[OBSERVED] = { [RING] = !has_ring }, moving = false;
    double start = now();

    for (int left = OBSERVED - !has_ring; left > 0 || !moving;) {
        bool waiting = false;

        for (int i = 0; i < OBSERVED; i++) {
            if (!over[i] && is_over(pid, locks, i)) {
                over[i] = true;
                left--;
                report(names[i], tag);
            }
            waiting |= !over[i] && strstr(awaited, names[i]);
        }
        if (!moving && !waiting && now() > start + WINDOW_S) {
            moving = true;
            close(open_file(MOVE_ON, O_WRONLY | O_CREAT));
        }
        pause_until(start + PATIENCE_S, "a lock becomes free");
    }
}

int main(int argc, char **argv)
{
    double start = now();
    bool has_ring;
    uint8_t tag;
    int locks;
    pid_t pid;

    if (argc < 6 || argc > 7 || atoi(argv[3]) > MAX_WRITES) {
        errx(1, "usage: io-death METHOD MEDIUM WRITES TAG AWAITED [vhost]");
    }
    medium = argv[2];
    passthrough = strncmp(argv[1], "sg-", 3) == 0;
    writes = atoi(argv[3]);
    tag = strtoul(argv[4], NULL, 0);
    buffer = allocate(SIZE);
    memset(buffer, tag, SIZE);
    unlink(MOVE_ON);
    close(open_file(LOCK_FILE, O_RDWR | O_CREAT));

    pid = fork();
    if (pid == 0) {
        child(argv[1], argc == 7);
    }
    disk = open_file(medium, O_RDONLY | O_DIRECT);
    locks = open_file(LOCK_FILE, O_RDWR);
    while (inflight() != writes) {
        if (is_over(pid, locks, EXIT)) {
            return 1;       /* it has said why */
        }
        pause_until(start + PATIENCE_S, "all writes are in flight");
    }
    if (is_free(locks, PLAIN) || is_free(locks, MAPPED) ||
        is_free(disk, MEDIUM) || landed(tag) != 0) {
        errx(1, "a lock is free, or a write has landed, before the death");
    }
    has_ring = !is_free(locks, RING);
    kill(pid, SIGKILL);
    observe(pid, locks, tag, argv[5], has_ring);
    while (inflight() != 0) {
        pause_until(start + 2 * PATIENCE_S, "no write is in flight");
    }
    report("end", tag);
    return 0;
}
