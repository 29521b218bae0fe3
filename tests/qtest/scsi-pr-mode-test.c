/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: the control mode page
 * (SPC-3 7.4.6)
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-setup.h"

#define CONTROL_PAGE 0x0a
#define ALL_PAGES 0x3f
#define PAGE_LENGTH 12
#define TAS 0x40
#define DBD 0x08

/* Page control (SPC-3 table 119) */
enum { CURRENT, CHANGEABLE, DEFAULT, SAVED };

typedef struct ModeSense {
    uint8_t opcode;
    uint8_t dbd;
    uint8_t control;
    uint8_t page;
    uint8_t subpage;
} ModeSense;

static Result mode_sense(Bench *b, ModeSense m, uint8_t allocation)
{
    uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = {
        m.opcode, m.dbd, m.control << 6 | m.page, m.subpage
    };

    cdb[m.opcode == MODE_SENSE ? 4 : 8] = allocation;
    return command(b, A, cdb, NULL, 0, allocation);
}

static size_t header_length(ModeSense m)
{
    return m.opcode == MODE_SENSE ? 4 : 8;
}

/* Bytes that are available, whatever the allocation length */
static size_t total_length(ModeSense m, const Result *r)
{
    return m.opcode == MODE_SENSE ? r->data[0] + 1 : lduw_be_p(r->data) + 2;
}

static size_t descriptor_length(ModeSense m, const Result *r)
{
    return m.opcode == MODE_SENSE ? r->data[3] : lduw_be_p(&r->data[6]);
}

static void assert_control_page(const uint8_t *page, bool tas)
{
    const uint8_t expected[PAGE_LENGTH] = {
        CONTROL_PAGE, PAGE_LENGTH - 2, [5] = tas ? TAS : 0
    };

    g_assert_cmpmem(page, PAGE_LENGTH, expected, sizeof(expected));
}

/* The page alone: behind the header and, without DBD, the block descriptor */
static void check_alone(Bench *b, ModeSense m, bool tas)
{
    Result r = mode_sense(b, m, 255);
    size_t descriptor = m.dbd ? 0 : 8;

    assert_good(r);
    g_assert_cmpuint(descriptor_length(m, &r), ==, descriptor);
    g_assert_cmpuint(total_length(m, &r), ==,
                     header_length(m) + descriptor + PAGE_LENGTH);
    if (descriptor) {
        const uint8_t *d = &r.data[header_length(m)];

        g_assert_cmpuint(ldl_be_p(d), ==, 2048);        /* blocks */
        g_assert_cmpuint(ldl_be_p(d + 4), ==, 512);     /* bytes */
    }
    assert_control_page(&r.data[header_length(m) + descriptor],
                        tas && m.control != CHANGEABLE);
}

/* Among all pages: once, in ascending order of page codes */
static void check_among_all(Bench *b, ModeSense m, bool tas)
{
    Result r = mode_sense(b, m, 255);
    size_t at = header_length(m) + descriptor_length(m, &r);
    size_t end = total_length(m, &r);
    int found = 0, last = -1;

    assert_good(r);
    while (at < end) {
        int page = r.data[at] & 0x3f;

        g_assert_cmpint(page, >, last);
        last = page;
        if (page == CONTROL_PAGE) {
            assert_control_page(&r.data[at], tas && m.control != CHANGEABLE);
            found++;
        }
        at += 2 + r.data[at + 1];
    }
    g_assert_cmpuint(at, ==, end);
    g_assert_cmpint(found, ==, 1);
}

/* What an allocation length cuts off changes nothing of what comes before */
static void check_truncation(Bench *b, ModeSense m)
{
    const uint8_t zeroes[DATA_MAX] = {};
    Result whole = mode_sense(b, m, 255);
    const uint8_t lengths[] = {
        0, 1, 2, 3, header_length(m), header_length(m) + 7,
        total_length(m, &whole) - 1, total_length(m, &whole)
    };

    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        Result r = mode_sense(b, m, lengths[i]);

        assert_good(r);
        g_assert_cmpmem(r.data, lengths[i], whole.data, lengths[i]);
        g_assert_cmpmem(&r.data[lengths[i]], DATA_MAX - lengths[i],
                        zeroes, DATA_MAX - lengths[i]);
    }
}

/* SPC-3 6.9.1: values that can be saved, subpages that do not exist */
static void check_errors(Bench *b, ModeSense m)
{
    ModeSense saved = m, subpage = m;

    saved.control = SAVED;
    assert_check(mode_sense(b, saved, 255), ILLEGAL_REQUEST, 0x39, 0x00);
    if (m.page == CONTROL_PAGE) {
        subpage.subpage = 0x01;
        assert_check(mode_sense(b, subpage, 255), ILLEGAL_REQUEST, 0x24, 0x00);
    }
    subpage.subpage = 0xff;
    assert_good(mode_sense(b, subpage, 255));
}

static void check_pages(Bench *b, uint8_t opcode, bool tas)
{
    for (int control = CURRENT; control <= DEFAULT; control++) {
        for (int dbd = 0; dbd <= DBD; dbd += DBD) {
            check_alone(b, (ModeSense) { opcode, dbd, control, CONTROL_PAGE },
                        tas);
            check_among_all(b, (ModeSense) { opcode, dbd, control, ALL_PAGES },
                            tas);
        }
    }
}

/* Only what names the page differs from what the device model says */
static void check_others(Bench *b, uint8_t opcode)
{
    Result caching = mode_sense(b, (ModeSense) { opcode, DBD, 0, 0x08 }, 255);

    assert_good(caching);
    g_assert_cmphex(caching.data[opcode == MODE_SENSE ? 4 : 8], ==, 0x08);
    assert_check(mode_sense(b, (ModeSense) { opcode, 0, 0, 0x02 }, 255),
                 ILLEGAL_REQUEST, 0x24, 0x00);
}

static void check_mode_sense(QVirtioSCSI *scsi, QGuestAllocator *alloc,
                             uint8_t opcode, bool tas)
{
    Bench *b = bench_new(scsi, alloc);
    const ModeSense one = { opcode, 0, CURRENT, CONTROL_PAGE };
    const ModeSense all = { opcode, 0, CURRENT, ALL_PAGES };

    settle(b, A);
    check_pages(b, opcode, tas);
    check_truncation(b, one);
    check_truncation(b, all);
    check_errors(b, one);
    check_errors(b, all);
    check_others(b, opcode);
    bench_free(b);
}

static void test_mode_sense_6(void *obj, void *data, QGuestAllocator *alloc)
{
    check_mode_sense(&((QVirtioSCSIPCI *)obj)->scsi, alloc, MODE_SENSE, true);
}

static void test_mode_sense_10(void *obj, void *data, QGuestAllocator *alloc)
{
    check_mode_sense(&((QVirtioSCSIPCI *)obj)->scsi, alloc, MODE_SENSE_10,
                     false);
}

/* Nothing of it can be changed (6.7): neither by (6) nor by (10) */
static void test_mode_select(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint8_t cdb6[VIRTIO_SCSI_CDB_SIZE] = {
        MODE_SELECT, 0x10, [4] = 4 + PAGE_LENGTH
    };
    const uint8_t cdb10[VIRTIO_SCSI_CDB_SIZE] = {
        MODE_SELECT_10, 0x10, [8] = 8 + PAGE_LENGTH
    };
    const uint8_t list6[4 + PAGE_LENGTH] = {
        [4] = CONTROL_PAGE, [5] = PAGE_LENGTH - 2
    };
    const uint8_t list10[8 + PAGE_LENGTH] = {
        [8] = CONTROL_PAGE, [9] = PAGE_LENGTH - 2
    };
    const ModeSense one = { MODE_SENSE, DBD, CURRENT, CONTROL_PAGE };
    Bench *b = bench_new_pair(obj, alloc);

    assert_check(command(b, A, cdb6, list6, sizeof(list6), 0),
                 ILLEGAL_REQUEST, 0x26, 0x00);
    assert_check(command(b, A, cdb10, list10, sizeof(list10), 0),
                 ILLEGAL_REQUEST, 0x26, 0x00);
    check_alone(b, one, true);
    bench_free(b);
}

/* Table 33: MODE SENSE conflicts as it does without the page */
static void test_mode_conflict(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = {
        MODE_SENSE, 0, CONTROL_PAGE, 0, 64
    };
    Bench *b = bench_new_pair(obj, alloc);

    assert_good(pr_out(b, A, REGISTER, 0, 0, KEY_A));
    assert_good(pr_out(b, A, PR_RESERVE, EXCLUSIVE_ACCESS, KEY_A, 0));
    assert_good(command(b, A, cdb, NULL, 0, 64));
    assert_conflict(command(b, B, cdb, NULL, 0, 64));
    bench_free(b);
}

static void *setup_pair_tas(GString *cmd_line, void *arg)
{
    g_string_append(cmd_line, " -global scsi-hd.pr-tas=on");
    return setup_pair(cmd_line, arg);
}

static void register_scsi_pr_mode_test(void)
{
    QOSGraphTestOptions pair = { .before = setup_pair };
    QOSGraphTestOptions tas = { .before = setup_pair_tas };
    QOSGraphTestOptions many = {
        .before = setup_pair,
        .edge.extra_device_opts = "virtqueue_size=1024",
    };
    QOSGraphTestOptions many_tas = {
        .before = setup_pair_tas,
        .edge.extra_device_opts = "virtqueue_size=1024",
    };

    add_test_group("scsi-pr-mode-group");
    qos_add_test("scsi-pr-mode-sense-6", "virtio-scsi-pci", test_mode_sense_6,
                 &many_tas);
    qos_add_test("scsi-pr-mode-sense-10", "virtio-scsi-pci",
                 test_mode_sense_10, &many);
    add_test("scsi-pr-mode-select", test_mode_select, &tas);
    add_test("scsi-pr-mode-conflict", test_mode_conflict, &pair);
}

libqos_init(register_scsi_pr_mode_test);
