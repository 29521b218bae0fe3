/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: what a passthrough device
 * says about itself, where it would contradict what is carried out above it.
 * A has a store, B does not: what B says is what the disk says.
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-passthrough.h"
#include "scsi-pr-report.h"

/* 4 of SPC-2, 4 actions of IN, 9 of OUT, and this command */
#define OUR_COMMANDS 18

static bool is_reservation_command(const uint8_t *descriptor)
{
    switch (descriptor[0]) {
    case RESERVE:
    case RELEASE:
    case RESERVE_10:
    case RELEASE_10:
    case PERSISTENT_RESERVE_IN:
    case PERSISTENT_RESERVE_OUT:
        return true;
    case MAINTENANCE_IN:
        return lduw_be_p(&descriptor[2]) == RSOC;
    default:
        return false;
    }
}

static int compare_descriptors(const void *a, const void *b)
{
    return memcmp(a, b, 8);
}

/* Those of a list that are (not) reservation commands', in one order */
static GByteArray *descriptors(const Result *all, bool ours)
{
    const uint8_t *end = &all->data[4 + ldl_be_p(&all->data[0])];
    GByteArray *found = g_byte_array_new();

    g_assert(end <= &all->data[DATA_MAX]);
    for (const uint8_t *d = &all->data[4]; d < end; d += 8) {
        if (is_reservation_command(d) == ours) {
            g_byte_array_append(found, d, 8);
        }
    }
    qsort(found->data, found->len / 8, 8, compare_descriptors);
    return found;
}

static void assert_same(GByteArray *a, GByteArray *b)
{
    g_assert_cmpmem(a->data, a->len, b->data, b->len);
}

static void check_all(Bench *b)
{
    Result above = report(b, A, ALL, 0, 0, DATA_MAX);
    Result disk = report(b, B, ALL, 0, 0, DATA_MAX);
    g_autoptr(GByteArray) others = descriptors(&above, false);
    g_autoptr(GByteArray) ours = descriptors(&above, true);
    g_autoptr(GByteArray) disks = descriptors(&disk, false);

    assert_good(above);
    assert_good(disk);
    assert_same(others, disks);
    g_assert_cmpuint(ours->len, ==, OUR_COMMANDS * 8);
    for (size_t length = 0; length < 48; length += 11) {
        Result r = report(b, A, ALL, 0, 0, length);

        assert_good(r);
        g_assert_cmpmem(r.data, length, above.data, length);
    }
    g_assert_cmpuint(ldl_be_p(report(b, A, ALL | RCTD, 0, 0, 4).data), >,
                     ldl_be_p(above.data));
}

static void check_one(Bench *b)
{
    const uint8_t replace_lost[] = {
        0, 3, 0, 10, PERSISTENT_RESERVE_OUT, REPLACE_LOST
    };
    Result r = report(b, A, WITH_ACTION, PERSISTENT_RESERVE_OUT, REPLACE_LOST,
                      64);
    Result disk = report(b, B, WITHOUT_ACTION, READ_10, 0, 64);

    assert_good(r);
    g_assert_cmpmem(r.data, sizeof(replace_lost), replace_lost,
                    sizeof(replace_lost));
    r = report(b, A, WITH_ACTION, PERSISTENT_RESERVE_OUT, 0x1f, 64);
    g_assert_cmphex(ldl_be_p(r.data), ==, 0x00010000);  /* not supported */
    r = report(b, A, WITHOUT_ACTION, READ_10, 0, 64);
    assert_good(r);
    g_assert_cmpmem(r.data, 64, disk.data, 64);
}

static void test_report(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_settled(obj, alloc);

    check_all(b);
    check_one(b);
    bench_free(b);
}

/*
 * The control mode page (SPC-3 7.4.6)
 */

#define CONTROL_PAGE 0x0a
#define ALL_PAGES 0x3f
#define TAS 0x40

/* Page control (SPC-3 table 119) */
enum { CURRENT, CHANGEABLE, DEFAULT, SAVED };

static Result mode_sense(Bench *b, int target, uint8_t opcode, uint8_t page,
                         uint8_t allocation)
{
    uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = { opcode, 0, page };

    cdb[opcode == MODE_SENSE ? 4 : 8] = allocation;
    return command(b, target, cdb, NULL, 0, allocation);
}

/* TAS among the pages of a whole answer */
static uint8_t *find_tas(uint8_t opcode, Result *r)
{
    size_t end = opcode == MODE_SENSE ? r->data[0] + 1
                                      : lduw_be_p(r->data) + 2;
    size_t at = opcode == MODE_SENSE ? 4 + r->data[3]
                                     : 8 + lduw_be_p(&r->data[6]);

    while (at < end && (r->data[at] & 0x7f) != CONTROL_PAGE) {
        at += r->data[at] & 0x40 ? 4 + lduw_be_p(&r->data[at + 2])
                                 : 2 + r->data[at + 1];
    }
    g_assert_cmpuint(at + 5, <, end);
    return &r->data[at + 5];
}

/* All is as the disk has it, but TAS, which is as we do it. */
static void check_mode(Bench *b, uint8_t opcode, uint8_t page, bool tas)
{
    Result disk = mode_sense(b, B, opcode, page, 255);
    Result above = mode_sense(b, A, opcode, page, 255);
    uint8_t *bit = find_tas(opcode, &disk);

    assert_good(disk);
    assert_good(above);
    *bit = (*bit & ~TAS) | (tas ? TAS : 0);
    g_assert_cmpmem(above.data, 255, disk.data, 255);
    for (size_t length = 0; length < 32; length += 15) {
        Result r = mode_sense(b, A, opcode, page, length);

        assert_good(r);
        g_assert_cmpmem(r.data, length, disk.data, length);
    }
}

/* The disk may be told another value, by who has a right to it. */
static void select_tas(Bench *b, uint8_t byte5)
{
    Result r = mode_sense(b, A, MODE_SENSE, CONTROL_PAGE, 255);
    uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = { MODE_SELECT, 0x10 };
    size_t length = r.data[0] + 1;

    cdb[4] = length;
    *find_tas(MODE_SENSE, &r) = byte5;
    r.data[0] = r.data[2] = 0;
    assert_good(command(b, A, cdb, r.data, length, 0));
    settle_all(b, A);
    settle_all(b, B);
}

/* MODE SENSE(6) of one type, (10) of the other */
static void test_mode(void *obj, void *data, QGuestAllocator *alloc)
{
    uint8_t opcode = data == &types[0] ? MODE_SENSE : MODE_SENSE_10;
    Bench *b = bench_new_settled(obj, alloc);
    Result r;

    check_mode(b, opcode, CONTROL_PAGE, true);
    check_mode(b, opcode, ALL_PAGES, true);
    check_mode(b, opcode, CHANGEABLE << 6 | CONTROL_PAGE, false);
    check_mode(b, opcode, DEFAULT << 6 | CONTROL_PAGE, true);
    /* other pages, and what the disk refuses */
    r = mode_sense(b, A, MODE_SENSE, 0x08, 64);
    g_assert_cmpmem(r.data, 64, mode_sense(b, B, MODE_SENSE, 0x08, 64).data,
                    64);
    assert_check(mode_sense(b, A, MODE_SENSE, 0x3e, 64), ILLEGAL_REQUEST, 0x24,
                 0x00);
    select_tas(b, 0);
    check_mode(b, MODE_SENSE, CONTROL_PAGE, true);
    bench_free(b);
}

/* Both where the adapter has an iothread */
static void test_iothread(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);
    g_autoptr(GByteArray) ours = NULL;
    Result r;

    settle_all(b, A);
    r = mode_sense(b, A, MODE_SENSE, CONTROL_PAGE, 255);
    assert_good(r);
    g_assert_cmphex(*find_tas(MODE_SENSE, &r) & TAS, ==, TAS);
    assert_good(mode_sense(b, A, MODE_SENSE_10, ALL_PAGES, 0));
    r = report(b, A, ALL, 0, 0, DATA_MAX);
    assert_good(r);
    ours = descriptors(&r, true);
    g_assert_cmpuint(ours->len, ==, OUR_COMMANDS * 8);
    bench_free(b);
}

/* A disk that has neither the page nor a list of commands */
static void test_scarce(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_settled(obj, alloc);
    Result disk = mode_sense(b, B, MODE_SENSE, ALL_PAGES, 255);
    Result r = mode_sense(b, A, MODE_SENSE, ALL_PAGES, 255);
    size_t before = 4 + disk.data[3];

    assert_check(mode_sense(b, B, MODE_SENSE, CONTROL_PAGE, 255),
                 ILLEGAL_REQUEST, 0x24, 0x00);
    g_assert_cmpuint(r.data[0], ==, disk.data[0] + 12);
    g_assert_cmphex(*find_tas(MODE_SENSE, &r), ==, TAS);
    r = mode_sense(b, A, MODE_SENSE, CONTROL_PAGE, 255);
    assert_good(r);
    g_assert_cmpuint(r.data[0] + 1, ==, before + 12);
    g_assert_cmpmem(&r.data[1], before - 1, &disk.data[1], before - 1);
    g_assert_cmphex(*find_tas(MODE_SENSE, &r), ==, TAS);
    g_assert_cmpmem(mode_sense(b, A, MODE_SENSE, CONTROL_PAGE, 7).data, 7,
                    r.data, 7);

    assert_check(report(b, A, ALL, 0, 0, 64), ILLEGAL_REQUEST, 0x20, 0x00);
    assert_check(report(b, A, WITHOUT_ACTION, READ_10, 0, 64),
                 ILLEGAL_REQUEST, 0x20, 0x00);
    assert_good(report(b, A, WITH_ACTION, PERSISTENT_RESERVE_OUT, REGISTER,
                       64));
    bench_free(b);
}

/* Both ask the gate (SPC-3 table 33), as the disk's own MODE SENSE does */
static void test_gate(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint8_t port_groups[VIRTIO_SCSI_CDB_SIZE] = {
        MAINTENANCE_IN, 0x0a, [9] = 64
    };
    Bench *b = bench_new_settled(obj, alloc);

    assert_good(command(b, B, port_groups, NULL, 0, 64));
    assert_good(pr_out(b, A, REGISTER, 0, 0, KEY_A));
    assert_good(pr_out(b, A, PR_RESERVE, EXCLUSIVE_ACCESS, KEY_A, 0));
    assert_conflict(mode_sense(b, B, MODE_SENSE, CONTROL_PAGE, 64));
    assert_conflict(mode_sense(b, B, MODE_SENSE_10, ALL_PAGES, 0));
    assert_conflict(report(b, B, ALL, 0, 0, 64));
    assert_conflict(report(b, B, WITHOUT_ACTION, READ_10, 0, 64));
    assert_good(command(b, B, port_groups, NULL, 0, 64));
    assert_good(mode_sense(b, A, MODE_SENSE, CONTROL_PAGE, 64));
    assert_good(report(b, A, ALL, 0, 0, 64));
    bench_free(b);
}

static void setup_debug(GString *cmd_line, const Type *type)
{
    add_ring(cmd_line, 128);
    add_host_medium(cmd_line, type->debug);
}

static void *setup_beside(GString *cmd_line, void *arg)
{
    setup_debug(cmd_line, arg);
    add_reserved(cmd_line, arg, A, "memory:", ",pr-tas=on");
    add_plain(cmd_line, arg, B);
    return arg;
}

static void *setup_tas(GString *cmd_line, void *arg)
{
    setup_debug(cmd_line, arg);
    add_reserved(cmd_line, arg, A, "memory:", ",pr-tas=on");
    return arg;
}

static void *setup_scarce(GString *cmd_line, void *arg)
{
    add_ring(cmd_line, 64);
    add_host_medium(cmd_line, "SCSI_PR_SCARCE_BLOCK");
    add_reserved(cmd_line, arg, A, "memory:", ",pr-tas=on");
    add_plain(cmd_line, arg, B);
    return arg;
}

static void *setup_pair_debug(GString *cmd_line, void *arg)
{
    setup_debug(cmd_line, arg);
    add_reserved(cmd_line, arg, A, "memory:quorum", "");
    add_reserved(cmd_line, arg, B, "memory:quorum", "");
    return arg;
}

static void register_scsi_pr_passthrough_report_test(void)
{
    QOSGraphTestOptions scarce = { .before = setup_scarce, .arg = &types[0] };
    QOSGraphTestOptions tas = { .before = setup_tas, .arg = &types[0] };

    add_iothread_test("passthrough-pr-block-report-iothread", test_iothread,
                      &tas);
    add_test_group("passthrough-pr-report-group");
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        QOSGraphTestOptions beside = {
            .before = setup_beside, .arg = &types[i],
        };
        QOSGraphTestOptions pair = {
            .before = setup_pair_debug, .arg = &types[i],
        };
        const char *type = types[i].driver + strlen("scsi-");
        g_autofree char *report = g_strdup_printf("passthrough-pr-%s-report",
                                                  type);
        g_autofree char *mode = g_strdup_printf("passthrough-pr-%s-mode",
                                                type);
        g_autofree char *gate = g_strdup_printf("passthrough-pr-%s-gate",
                                                type);

        add_test(report, test_report, &beside);
        add_test(mode, test_mode, &beside);
        add_test(gate, test_gate, &pair);
    }
    add_test("passthrough-pr-block-scarce", test_scarce, &scarce);
}

libqos_init(register_scsi_pr_passthrough_report_test);
