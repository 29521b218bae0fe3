/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: REPORT SUPPORTED OPERATION
 * CODES (SPC-4 6.35) says what the device does, no more and no less
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-report.h"
#include "scsi-pr-setup.h"

#define BLOCK 512

/* A command that does no harm, and ends in GOOD if it is supported */
typedef struct Harmless {
    uint8_t opcode;
    size_t out, in;             /* bytes */
    uint8_t cdb[VIRTIO_SCSI_CDB_SIZE];
} Harmless;

/* Other codes: zeroes, and room for data that the code alone asks for. */
static const Harmless harmless[] = {
    { REQUEST_SENSE, 0, 18, { [4] = 18 } },
    { READ_6, 0, BLOCK, { [4] = 1 } },
    { WRITE_6, BLOCK, 0, { [4] = 1 } },
    { READ_REVERSE, 0, BLOCK, { [4] = 1 } },
    { INQUIRY, 0, 36, { [4] = 36 } },
    { MODE_SELECT, 4, 0, { [1] = 0x10, [4] = 4 } },
    { MODE_SENSE, 0, 64, { [2] = 0x3f, [4] = 64 } },
    { START_STOP, 0, 0, { [4] = 1 } },
    { READ_CAPACITY_10, 0, 8 },
    { READ_10, 0, BLOCK, { [8] = 1 } },
    { WRITE_10, BLOCK, 0, { [8] = 1 } },
    { WRITE_VERIFY_10, BLOCK, 0, { [8] = 1 } },
    { WRITE_SAME_10, BLOCK, 0, { [8] = 1 } },
    { UNMAP, 8, 0, { [8] = 8 } },
    { MODE_SELECT_10, 8, 0, { [1] = 0x10, [8] = 8 } },
    { MODE_SENSE_10, 0, 64, { [2] = 0x3f, [8] = 64 } },
    { PERSISTENT_RESERVE_IN, 0, 8, { [8] = 8 } },
    { PERSISTENT_RESERVE_OUT, 24, 0, { [1] = REGISTER_AND_IGNORE, [8] = 24 } },
    { READ_16, 0, BLOCK, { [13] = 1 } },
    { WRITE_16, BLOCK, 0, { [13] = 1 } },
    { WRITE_VERIFY_16, BLOCK, 0, { [13] = 1 } },
    { WRITE_SAME_16, BLOCK, 0, { [13] = 1 } },
    { SERVICE_ACTION_IN_16, 0, 32,
      { [1] = SAI_READ_CAPACITY_16, [13] = 32 } },
    { REPORT_LUNS, 0, 16, { [9] = 16 } },
    { MAINTENANCE_IN, 0, 4, { [1] = RSOC, [9] = 4 } },
    { READ_12, 0, BLOCK, { [9] = 1 } },
    { WRITE_12, BLOCK, 0, { [9] = 1 } },
    { WRITE_VERIFY_12, BLOCK, 0, { [9] = 1 } },
};

static Result send_harmless(Bench *b, int target, uint8_t opcode)
{
    static const uint8_t zeroes[BLOCK];
    Harmless send = { .in = BLOCK };

    for (size_t i = 0; i < ARRAY_SIZE(harmless); i++) {
        if (harmless[i].opcode == opcode) {
            send = harmless[i];
        }
    }
    send.cdb[0] = opcode;
    return command(b, target, send.cdb, zeroes, send.out, send.in);
}

/* Of the descriptors in @all, the one of a command, or NULL. */
static const uint8_t *find_descriptor(const Result *all, uint8_t opcode,
                                      int action)
{
    const uint8_t *end = &all->data[4 + ldl_be_p(&all->data[0])];

    g_assert(end <= &all->data[DATA_MAX]);
    for (const uint8_t *d = &all->data[4]; d < end; d += 8) {
        if (d[0] == opcode && (action < 0 || lduw_be_p(&d[2]) == action)) {
            return d;
        }
    }
    return NULL;
}

/*
 * Every operation code, from the holder of a reservation: nothing conflicts,
 * and RESERVE and RELEASE end in GOOD (5.6.2).
 */
static void test_opcodes(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(&((QVirtioSCSIPCI *)obj)->scsi, alloc);
    Result all;

    reserve_for_a(b);
    all = report(b, A, ALL, 0, 0, DATA_MAX);
    assert_good(all);
    for (int opcode = 0; opcode < 256; opcode++) {
        bool reported = find_descriptor(&all, opcode, -1);
        Result r;

        if (opcode == PERSISTENT_RESERVE_OUT) {
            continue;           /* would unregister A: see below */
        }
        r = send_harmless(b, A, opcode);
        if (r.response != VIRTIO_SCSI_S_OK ||
            (r.status == GOOD) != reported) {
            g_test_message("operation code %02xh: response %u status %02xh "
                           "%x/%02x/%02x, %sreported", opcode, r.response,
                           r.status, r.key, r.asc, r.ascq,
                           reported ? "" : "not ");
            g_test_fail();
        }
        /* a disk knows the codes of MMC, and refuses them another way */
        if (!reported && r.asc != 0x20) {
            assert_check(r, ILLEGAL_REQUEST, 0x24, 0x00);
        }
    }
    g_assert(find_descriptor(&all, PERSISTENT_RESERVE_OUT, -1));
    assert_good(send_harmless(b, A, PERSISTENT_RESERVE_OUT));
    bench_free(b);
}

/* The service actions of the codes that have some; B is not registered */
static void test_service_actions(void *obj, void *data, QGuestAllocator *alloc)
{
    static const Harmless codes[] = {
        { PERSISTENT_RESERVE_IN, 0, 8, { [8] = 8 } },
        { PERSISTENT_RESERVE_OUT, 24, 0, { [8] = 24 } },
        { SERVICE_ACTION_IN_16, 0, 32, { [13] = 32 } },
        { MAINTENANCE_IN, 0, 4, { [9] = 4 } },
    };
    static const uint8_t zeroes[24];
    Bench *b = bench_new_pair(&((QVirtioSCSIPCI *)obj)->scsi, alloc);
    Result all = report(b, A, ALL, 0, 0, DATA_MAX);

    assert_good(all);
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        for (int action = 0; action < 32; action++) {
            Harmless send = codes[i];
            const uint8_t *d = find_descriptor(&all, send.opcode, action);
            Result r;

            send.cdb[0] = send.opcode;
            send.cdb[1] = action;
            r = command(b, B, send.cdb, zeroes, send.out, send.in);
            if (d) {
                g_assert_cmphex(d[5] & 1, ==, 1);       /* SERVACTV */
                g_assert_cmphex(r.asc, !=, 0x24);
            } else {
                assert_check(r, ILLEGAL_REQUEST, 0x24, 0x00);
            }
        }
    }
    bench_free(b);
}

/* DPO and FUA of READ(10), on by default since 10.1 */
static uint8_t usage_of_dpofua(Bench *b)
{
    QDict *answer = qtest_qmp(
        b->qts, "{'execute': 'qom-get', 'arguments':"
        " {'path': '/machine/peripheral/a', 'property': 'dpofua'}}");
    bool dpofua = qdict_get_bool(answer, "return");

    qobject_unref(answer);
    return dpofua ? 0x18 : 0;
}

/* The three formats, cut to the allocation length, and what is refused */
static void test_report(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    const uint8_t read_10[] = {
        0, 3, 0, 10, READ_10, usage_of_dpofua(b), 0xff, 0xff, 0xff, 0xff, 0,
        0xff, 0xff, 0
    };
    static const uint8_t read_keys[] = {
        0, 0x83, 0, 10, PERSISTENT_RESERVE_IN, READ_KEYS, 0, 0, 0, 0, 0,
        0xff, 0xff, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    };
    uint32_t length = ldl_be_p(report(b, A, ALL, 0, 0, 4).data);
    Result r;

    g_assert_cmpuint(length, >=, 40 * 8);
    g_assert_cmpuint(length, ==,
                     ldl_be_p(report(b, A, ALL, 0, 0, DATA_MAX).data));
    g_assert_cmpuint(length / 8 * 20, ==,
                     ldl_be_p(report(b, A, ALL | RCTD, 0, 0, 4).data));
    r = report(b, A, WITHOUT_ACTION, READ_10, 0, 64);
    assert_good(r);
    g_assert_cmpmem(r.data, sizeof(read_10), read_10, sizeof(read_10));
    r = report(b, A, WITH_ACTION | RCTD, PERSISTENT_RESERVE_IN, READ_KEYS, 64);
    assert_good(r);
    g_assert_cmpmem(r.data, sizeof(read_keys), read_keys, sizeof(read_keys));
    r = report(b, A, EITHER, 0xc0, 0, 64);
    assert_good(r);
    g_assert_cmphex(ldl_be_p(r.data), ==, 0x00010000);  /* not supported */

    assert_good(report(b, A, ALL, 0, 0, 0));
    assert_check(report(b, A, WITHOUT_ACTION, PERSISTENT_RESERVE_IN, 0, 64),
                 ILLEGAL_REQUEST, 0x24, 0x00);
    assert_check(report(b, A, WITH_ACTION, READ_10, 0, 64),
                 ILLEGAL_REQUEST, 0x24, 0x00);
    assert_check(report(b, A, 4, 0, 0, 64), ILLEGAL_REQUEST, 0x24, 0x00);
    bench_free(b);
}

/* A command that reads, to a reservation */
static void test_report_conflict(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);

    reserve_for_a(b);
    assert_good(report(b, B, ALL, 0, 0, 64));
    assert_good(pr_out(b, A, PR_RELEASE, WRITE_EXCLUSIVE_RO, KEY_A, 0));
    assert_good(pr_out(b, A, PR_RESERVE, EXCLUSIVE_ACCESS, KEY_A, 0));
    assert_conflict(report(b, B, ALL, 0, 0, 64));
    assert_good(report(b, A, ALL, 0, 0, 64));
    bench_free(b);
}

/* Without pr-store: as upstream */
static void test_report_plain(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);

    settle(b, A);
    assert_check(report(b, A, ALL, 0, 0, 0), ILLEGAL_REQUEST, 0x20, 0x00);
    bench_free(b);
}

static void register_scsi_pr_opcodes_test(void)
{
    QOSGraphTestOptions pair = { .before = setup_pair };
    QOSGraphTestOptions plain = { .before = setup_plain };
    QOSGraphTestOptions many = {
        .before = setup_pair,
        .edge.extra_device_opts = "virtqueue_size=1024",
    };

    add_test_group("scsi-pr-opcodes-group");
    qos_add_test("scsi-pr-opcodes", "virtio-scsi-pci", test_opcodes, &many);
    qos_add_test("scsi-pr-service-actions", "virtio-scsi-pci",
                 test_service_actions, &many);
    add_test("scsi-pr-report-opcodes", test_report, &pair);
    add_test("scsi-pr-report-opcodes-conflict", test_report_conflict, &pair);
    add_test("scsi-pr-report-opcodes-plain", test_report_plain, &plain);
}

libqos_init(register_scsi_pr_opcodes_test);
