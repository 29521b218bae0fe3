/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blkpr COMMAND DEVICE ARGUMENT...: Linux's persistent reservation ioctls
 * (linux/pr.h), for a guest whose util-linux has no blkpr(8).
 *
 *   register OLD NEW FLAGS    reserve KEY TYPE FLAGS    release KEY TYPE
 *   preempt OLD NEW TYPE      preempt-abort OLD NEW TYPE
 *   clear KEY
 *
 * TYPE is enum pr_type, FLAGS 1 is PR_FL_IGNORE_KEY; for preempt OLD is the
 * sender's key and NEW the victim's. Exit status: 0 done, 1 wrong usage, 2 the
 * kernel refused (the negated errno on stdout), 3 the device did (on stdout,
 * with the SCSI status in the low byte).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pr.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

static int send(int fd, const char *command, const uint64_t *a)
{
    struct pr_registration registration = { a[0], a[1], a[2], 0 };
    struct pr_reservation reserve = { a[0], a[1], a[2] };
    struct pr_reservation release = { a[0], a[1], 0 };
    struct pr_preempt preempt = { a[0], a[1], a[2], 0 };
    struct pr_clear clear = { a[0], 0, 0 };
    const struct {
        const char *name;
        unsigned long request;
        void *argument;
    } commands[] = {
        { "register", IOC_PR_REGISTER, &registration },
        { "reserve", IOC_PR_RESERVE, &reserve },
        { "release", IOC_PR_RELEASE, &release },
        { "preempt", IOC_PR_PREEMPT, &preempt },
        { "preempt-abort", IOC_PR_PREEMPT_ABORT, &preempt },
        { "clear", IOC_PR_CLEAR, &clear },
    };

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, command) == 0) {
            int result = ioctl(fd, commands[i].request,
                               commands[i].argument);
            return result < 0 ? -errno : result;
        }
    }
    fprintf(stderr, "blkpr: unknown command '%s'\n", command);
    exit(1);
}

int main(int argc, char **argv)
{
    uint64_t arguments[3] = { 0 };
    int fd, result;

    if (argc < 4 || argc > 6 || (fd = open(argv[2], O_RDWR)) < 0) {
        perror("usage: blkpr COMMAND DEVICE ARGUMENT...");
        return 1;
    }
    for (int i = 3; i < argc; i++) {
        arguments[i - 3] = strtoull(argv[i], NULL, 0);
    }
    result = send(fd, argv[1], arguments);
    printf("%d\n", result);
    return result == 0 ? 0 : result < 0 ? 2 : 3;
}
