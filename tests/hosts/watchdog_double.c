/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For LD_PRELOAD: any file is a watchdog whose time can be set. What is written to it is left
 * as it is, so that a test with the other end of a FIFO is the watchdog.
 */
#define _GNU_SOURCE
#include <linux/watchdog.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

static int timeout;

int ioctl(int fd, unsigned long request, ...)
{
    va_list list;
    void *argument;

    va_start(list, request);
    argument = va_arg(list, void *);
    va_end(list);
    if (request == WDIOC_SETTIMEOUT) {
        timeout = *(int *)argument;
        return 0;
    }
    if (request == WDIOC_GETTIMEOUT) {
        *(int *)argument = timeout;
        return 0;
    }
    return (int)syscall(SYS_ioctl, fd, request, argument);
}
