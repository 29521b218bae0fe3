/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: buffers of the initiator
 * that are longer or shorter than what the CDB says (SAM-3 5.1, SPC-3 4.3.4)
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-setup.h"

#define LIST 24                 /* bytes of a parameter list */

/* PERSISTENT RESERVE OUT with a valid list of @list_len bytes, in a buffer. */
static Result register_with(Bench *b, uint32_t list_len, size_t buffer,
                            uint8_t key)
{
    uint8_t data[512];

    g_assert_cmpuint(buffer, <=, sizeof(data));
    /* Behind the list are no zeroes: they must not count. */
    memset(data, 0xff, sizeof(data));
    memset(data, 0, LIST);
    data[15] = key;
    return pr_out_list(b, A, REGISTER_AND_IGNORE, 0, list_len, data, buffer);
}

static void assert_key(Bench *b, uint64_t key)
{
    Result r = pr_in(b, A, READ_KEYS, 64);

    assert_good(r);
    g_assert_cmpuint(ldl_be_p(&r.data[4]), ==, 8);
    g_assert_cmphex(ldq_be_p(&r.data[8]), ==, key);
}

/* The PARAMETER LIST LENGTH counts, not how much room there is for more. */
static void test_longer_out(void *obj, void *data, QGuestAllocator *alloc)
{
    static const size_t buffers[] = { LIST, LIST + 1, LIST + 8, 64, 512 };
    Bench *b = bench_new_pair(obj, alloc);

    for (size_t i = 0; i < ARRAY_SIZE(buffers); i++) {
        Result r = register_with(b, LIST, buffers[i], i + 1);

        assert_good(r);
        g_assert_cmpuint(r.residual, ==, buffers[i] - LIST);
        assert_key(b, i + 1);
    }
    bench_free(b);
}

/*
 * Where the list does not come whole nothing is done. (virtio-scsi itself
 * refuses a buffer that is too short for the CDB.)
 */
static void test_shorter_out(void *obj, void *data, QGuestAllocator *alloc)
{
    static const size_t buffers[] = { 0, 1, 8, LIST - 1 };
    Bench *b = bench_new_pair(obj, alloc);

    assert_good(register_with(b, LIST, LIST, KEY_A));
    for (size_t i = 0; i < ARRAY_SIZE(buffers); i++) {
        g_assert_cmphex(register_with(b, LIST, buffers[i], 1).response, ==,
                        VIRTIO_SCSI_S_OVERRUN);
    }
    assert_key(b, KEY_A);
    bench_free(b);
}

/* A list of another length is refused however long the buffer is. */
static void test_other_lists(void *obj, void *data, QGuestAllocator *alloc)
{
    static const size_t lists[] = { 0, 1, 8, LIST - 1, LIST + 1, 64 };
    Bench *b = bench_new_pair(obj, alloc);

    assert_good(register_with(b, LIST, LIST, KEY_A));
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        assert_check(register_with(b, lists[i], lists[i], 1),
                     ILLEGAL_REQUEST, 0x1a, 0x00);
        assert_check(register_with(b, lists[i], 512, 1), ILLEGAL_REQUEST,
                     0x1a, 0x00);
    }
    assert_key(b, KEY_A);
    bench_free(b);
}

/* ALLOCATION LENGTH and buffer: the lesser one limits what comes. */
static void test_in(void *obj, void *data, QGuestAllocator *alloc)
{
    static const struct {
        uint16_t allocation;
        size_t buffer, comes;
    } cases[] = {
        { 16, 16, 16 }, { 16, 512, 16 }, { 8, 512, 8 }, { 512, 512, 16 },
        { 64, 512, 16 }
    };
    Bench *b = bench_new_pair(obj, alloc);

    assert_good(register_with(b, LIST, 512, KEY_A));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = {
            PERSISTENT_RESERVE_IN, READ_KEYS
        };
        Result r;

        stw_be_p(&cdb[7], cases[i].allocation);
        r = command(b, A, cdb, NULL, 0, cases[i].buffer);
        assert_good(r);
        g_assert_cmpuint(r.residual, ==, cases[i].buffer - cases[i].comes);
        g_assert_cmphex(ldl_be_p(&r.data[4]), ==, 8);
        g_assert_cmphex(r.data[15], ==, cases[i].comes < 16 ? 0 : KEY_A);
    }
    bench_free(b);
}

/* RESERVE has no data, whatever buffers come with it. */
static void test_no_data(void *obj, void *data, QGuestAllocator *alloc)
{
    static const uint8_t codes[] = { RESERVE, RELEASE, RESERVE_10, RELEASE_10 };
    static const uint8_t filled[512];
    Bench *b = bench_new_pair(obj, alloc);

    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = { codes[i] };

        assert_good(command(b, A, cdb, filled, sizeof(filled), 0));
        assert_good(command(b, A, cdb, NULL, 0, 512));
        assert_good(command(b, A, cdb, NULL, 0, 0));
    }
    bench_free(b);
}

static void register_scsi_pr_buffer_test(void)
{
    QOSGraphTestOptions pair = { .before = setup_pair };

    add_test_group("scsi-pr-buffer-group");
    add_test("scsi-pr-buffer-longer-out", test_longer_out, &pair);
    add_test("scsi-pr-buffer-shorter-out", test_shorter_out, &pair);
    add_test("scsi-pr-buffer-other-lists", test_other_lists, &pair);
    add_test("scsi-pr-buffer-in", test_in, &pair);
    add_test("scsi-pr-buffer-no-data", test_no_data, &pair);
}

libqos_init(register_scsi_pr_buffer_test);
