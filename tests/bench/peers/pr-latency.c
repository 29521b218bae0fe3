/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pr-latency ROUNDS DEVICE...: sends reservation commands to each device in turn and
 * says how long they take, without APTPL and with it. For each command and device:
 *
 *   COMMAND NUMBER  Q1 MEDIAN Q3 P99  R1 R2 R3
 *
 * NUMBER is that of the device, from 0; microseconds; then quartiles of the ratio to
 * device 0 in the same round. A command that was refused once is not sent again, and
 * has a status instead of figures: COMMAND NUMBER refused STATUS.
 *
 * A DEVICE is a node that takes SG_IO, or with PR_LATENCY_ISCSI a URL of libiscsi's.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "transport.h"

#define DEVICES_MAX 8
#define ROUNDS_MAX 2000

enum { TUR, REGISTER, KEYS, RESERVE, RELEASE, REGISTER_APTPL, RESERVE_APTPL,
       RELEASE_APTPL, COMMANDS };

static const char *const names[COMMANDS] = {
    "TEST-UNIT-READY", "REGISTER-AND-IGNORE", "READ-KEYS", "RESERVE", "RELEASE",
    "REGISTER-AND-IGNORE-APTPL", "RESERVE-APTPL", "RELEASE-APTPL",
};

static double times[COMMANDS][DEVICES_MAX][ROUNDS_MAX];
static int refused[COMMANDS][DEVICES_MAX];

static void put_be64(uint8_t *to, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        to[i] = value >> (56 - 8 * i);
    }
}

static int pr_out(struct device *device, uint8_t action, uint64_t key,
                  uint64_t action_key, int aptpl)
{
    uint8_t cdb[10] = { 0x5f, action, 5, [8] = 24 };
    uint8_t list[24] = { [20] = aptpl };

    put_be64(&list[0], key);
    put_be64(&list[8], action_key);
    return device_send(device, cdb, sizeof(cdb), list, sizeof(list), 1);
}

static int send_command(struct device *device, int command, int round)
{
    static uint8_t tur[6], read_keys[10] = { 0x5e, [7] = 0x20 }, data[8192];
    int aptpl = command >= REGISTER_APTPL;
    uint64_t key = 0x100 + round;

    switch (command) {
    case TUR:
        return device_send(device, tur, sizeof(tur), NULL, 0, 0);
    case KEYS:
        return device_send(device, read_keys, sizeof(read_keys), data,
                           sizeof(data), 0);
    case REGISTER:
    case REGISTER_APTPL:
        return pr_out(device, 6, 0, key, aptpl);
    case RESERVE:
    case RESERVE_APTPL:
        return pr_out(device, 1, key, 0, 0);
    default:
        return pr_out(device, 2, key, 0, 0);
    }
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec * 1e-3;
}

static void measure(struct device *devices, int count, int round)
{
    for (int command = 0; command < COMMANDS; command++) {
        for (int turn = 0; turn < count; turn++) {
            int i = (turn + round) % count;     /* none is always the first */
            double begun;

            if (command == REGISTER && !refused[command][i]) {
                /* What turns APTPL off, after the last round, has to be durable. */
                send_command(&devices[i], command, round);
            }
            begun = now();
            if (!refused[command][i]) {
                refused[command][i] = send_command(&devices[i], command, round);
                times[command][i][round] = now() - begun;
            }
        }
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void tell(double *values, int count, const double *parts, int how_many)
{
    qsort(values, count, sizeof(*values), compare);
    for (int i = 0; i < how_many; i++) {
        printf(" %.3f", values[(int)((count - 1) * parts[i] + 0.5)]);
    }
}

static void tell_command(int command, int device, int rounds)
{
    static const double parts[] = { 0.25, 0.5, 0.75, 0.99 };
    double sorted[ROUNDS_MAX], ratios[ROUNDS_MAX];

    for (int i = 0; i < rounds; i++) {
        sorted[i] = times[command][device][i];
        ratios[i] = sorted[i] / times[command][0][i];
    }
    printf("%s %d", names[command], device);
    if (refused[command][device]) {
        printf(" refused %#x\n", refused[command][device]);
        return;
    }
    tell(sorted, rounds, parts, 4);
    tell(ratios, rounds, parts, 3);
    putchar('\n');
}

int main(int argc, char **argv)
{
    int rounds = argc > 2 ? atoi(argv[1]) : 0, count = argc - 2;
    struct device devices[DEVICES_MAX];

    if (rounds < 1 || rounds > ROUNDS_MAX || count > DEVICES_MAX) {
        fprintf(stderr, "usage: pr-latency ROUNDS DEVICE...\n");
        return 2;
    }
    for (int i = 0; i < count; i++) {
        device_open(&devices[i], argv[2 + i]);
        /* Past unit attention conditions. */
        for (int tries = 0; send_command(&devices[i], TUR, 0) && tries < 5;) {
            tries++;
        }
    }
    for (int i = 0; i < rounds; i++) {
        measure(devices, count, i);
    }
    for (int command = 0; command < COMMANDS; command++) {
        for (int i = 0; i < count; i++) {
            tell_command(command, i, rounds);
        }
    }
    return 0;
}
