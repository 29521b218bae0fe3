/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: unit attention conditions
 * (SAM-3 5.9.7), reported by autosense and by REQUEST SENSE (SPC-3 6.27)
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-setup.h"

/* REGISTRATIONS PREEMPTED waits for A. */
static void preempt_a(Bench *b)
{
    reserve_for_a(b);
    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
    assert_good(pr_out(b, B, PREEMPT, WRITE_EXCLUSIVE_RO, KEY_B, KEY_A));
}

#define assert_sense_data(r, key_, asc_, ascq_) do {            \
    Result s_ = (r);                                            \
    assert_good(s_);                                            \
    g_assert_cmphex(s_.data[0], ==, 0x70);                      \
    g_assert_cmphex(s_.data[2], ==, key_);                      \
    g_assert_cmpuint(s_.data[7], ==, 10);                       \
    g_assert_cmphex(s_.data[12], ==, asc_);                     \
    g_assert_cmphex(s_.data[13], ==, ascq_);                    \
} while (0)

/* As parameter data with GOOD, and nowhere else after that */
static void test_request_sense(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint8_t inquiry[VIRTIO_SCSI_CDB_SIZE] = { INQUIRY, 0, 0, 0, 36 };
    const uint8_t report_luns[VIRTIO_SCSI_CDB_SIZE] = {
        REPORT_LUNS, [9] = 16
    };
    Bench *b = bench_new_pair(obj, alloc);

    preempt_a(b);
    assert_good(command(b, A, inquiry, NULL, 0, 36));
    assert_good(command(b, A, report_luns, NULL, 0, 16));
    assert_sense_data(request_sense(b, A, false, 252),
                      UNIT_ATTENTION, 0x2a, 0x05);
    assert_sense_data(request_sense(b, A, false, 252), NO_SENSE, 0, 0);
    assert_good(test_unit_ready(b, A));
    /* and the one that preempted has none */
    assert_sense_data(request_sense(b, B, false, 252), NO_SENSE, 0, 0);
    bench_free(b);
}

/* DESC, and an allocation length that is shorter than the data */
static void test_request_sense_desc(void *obj, void *data,
                                    QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    Result r;

    preempt_a(b);
    r = request_sense(b, A, true, 252);
    assert_good(r);
    g_assert_cmphex(ldl_be_p(&r.data[0]), ==, 0x72062a05);
    g_assert_cmphex(ldl_be_p(&r.data[4]), ==, 0);

    assert_good(pr_out(b, A, REGISTER, 0, 0, KEY_A));
    assert_good(pr_out(b, B, CLEAR, 0, KEY_B, 0));
    r = request_sense(b, A, false, 13);
    assert_good(r);
    g_assert_cmphex(r.data[2], ==, UNIT_ATTENTION);
    g_assert_cmphex(r.data[12], ==, 0x2a);
    g_assert_cmpuint(r.data[7], ==, 10);
    assert_good(test_unit_ready(b, A));
    bench_free(b);
}

/* An allocation length of zero is no error; the condition has been reported */
static void test_request_sense_no_data(void *obj, void *data,
                                       QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);

    preempt_a(b);
    assert_good(request_sense(b, A, false, 0));
    assert_good(test_unit_ready(b, A));
    bench_free(b);
}

/* Two conditions, one each way, in the order in which they were established */
static void test_each_once(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);

    reserve_for_a(b);
    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
    assert_good(pr_out(b, A, PR_RELEASE, WRITE_EXCLUSIVE_RO, KEY_A, 0));
    assert_good(pr_out(b, A, PREEMPT, WRITE_EXCLUSIVE_RO, KEY_A, KEY_B));
    assert_sense_data(request_sense(b, B, false, 18),
                      UNIT_ATTENTION, 0x2a, 0x04);
    assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x2a, 0x05);
    /* what autosense has reported is not stored sense data any more */
    assert_sense_data(request_sense(b, B, false, 18), NO_SENSE, 0, 0);
    assert_good(test_unit_ready(b, B));
    bench_free(b);
}

/* A reset adds its own condition, which goes first, and clears none */
static void test_logical_unit_reset(void *obj, void *data,
                                    QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    Result r;

    preempt_a(b);
    reset_logical_unit(b, A);
    r = test_unit_ready(b, A);
    assert_check(r, UNIT_ATTENTION, 0x29, r.ascq);
    assert_check(test_unit_ready(b, A), UNIT_ATTENTION, 0x2a, 0x05);
    assert_good(test_unit_ready(b, A));

    /* the same by REQUEST SENSE; QEMU reports its own by autosense then, too */
    assert_good(pr_out(b, A, REGISTER, 0, 0, KEY_A));
    assert_good(pr_out(b, B, CLEAR, 0, KEY_B, 0));
    reset_logical_unit(b, A);
    r = request_sense(b, A, false, 18);
    assert_check(r, UNIT_ATTENTION, 0x29, r.ascq);
    assert_sense_data(request_sense(b, A, false, 18),
                      UNIT_ATTENTION, 0x2a, 0x03);
    assert_sense_data(request_sense(b, A, false, 18), NO_SENSE, 0, 0);
    assert_good(test_unit_ready(b, A));
    bench_free(b);
}

/* Resetting the adapter resets the bus behind it, and both nexuses */
static void test_bus_reset(void *obj, void *data, QGuestAllocator *alloc)
{
    QVirtioSCSI *scsi = obj;
    Bench *b = bench_new_pair(obj, alloc);
    Result r;

    preempt_a(b);
    bench_free(b);
    qvirtio_reset(scsi->vdev);
    qvirtio_set_acknowledge(scsi->vdev);
    qvirtio_set_driver(scsi->vdev);
    b = bench_new(scsi, alloc);

    r = test_unit_ready(b, A);
    assert_check(r, UNIT_ATTENTION, 0x29, r.ascq);
    assert_check(test_unit_ready(b, A), UNIT_ATTENTION, 0x2a, 0x05);
    assert_good(test_unit_ready(b, A));
    r = test_unit_ready(b, B);
    assert_check(r, UNIT_ATTENTION, 0x29, r.ascq);
    assert_good(test_unit_ready(b, B));
    /* persistent reservations survive */
    assert_conflict(write_block(b, A, 0, 0xa0));
    bench_free(b);
}

static void register_scsi_pr_attention_test(void)
{
    QOSGraphTestOptions pair = { .before = setup_pair };

    add_test_group("scsi-pr-attention-group");
    add_test("scsi-pr-request-sense", test_request_sense, &pair);
    add_test("scsi-pr-request-sense-desc", test_request_sense_desc, &pair);
    add_test("scsi-pr-request-sense-no-data", test_request_sense_no_data,
             &pair);
    add_test("scsi-pr-attention-once", test_each_once, &pair);
    add_test("scsi-pr-logical-unit-reset", test_logical_unit_reset, &pair);
    add_test("scsi-pr-bus-reset", test_bus_reset, &pair);
}

libqos_init(register_scsi_pr_attention_test);
