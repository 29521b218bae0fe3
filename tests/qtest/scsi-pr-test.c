/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations (SPC-3)
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
/* moved between the series that we build with */
#include "scsi-pr-setup.h"

/*
 * What an unregistered nexus may do
 * Clause: 5.6.1: completion; table 33: WRITE(10); table 33: TEST UNIT READY
 * Clause: table 34: RESERVE / not registered; table 34: CLEAR / not registered
 */
static void test_conflict(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);

    assert_good(write_block(b, B, 0, 0xb0));
    reserve_for_a(b);
    assert_good(write_block(b, A, 0, 0xa0));
    assert_conflict(write_block(b, B, 0, 0xb1));
    g_assert_cmphex(read_block(b, B, 0).data[0], ==, 0xa0);
    assert_good(test_unit_ready(b, B));
    assert_conflict(pr_out(b, B, PR_RESERVE, WRITE_EXCLUSIVE_RO, KEY_B, 0));
    assert_conflict(pr_out(b, B, CLEAR, 0, KEY_B, 0));
    bench_free(b);
}

/*
 * Preempting, and the unit attention condition that it establishes
 * Clause: 5.6.8.4.3: a; 5.6.8.4.3: b; 5.6.8.4.3: c; 5.6.8.4.3: e
 */
static void test_preempt(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint8_t inquiry[VIRTIO_SCSI_CDB_SIZE] = { INQUIRY, 0, 0, 0, 36 };
    Bench *b = bench_new_pair(obj, alloc);

    reserve_for_a(b);
    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));
    assert_good(pr_out(b, B, PREEMPT, WRITE_EXCLUSIVE_RO, KEY_B, KEY_A));

    /* INQUIRY neither reports nor clears it */
    assert_good(command(b, A, inquiry, NULL, 0, 36));
    assert_check(test_unit_ready(b, A), UNIT_ATTENTION, 0x2a, 0x05);
    assert_good(test_unit_ready(b, A));
    assert_good(test_unit_ready(b, B));

    assert_conflict(write_block(b, A, 1, 0xa1));
    assert_good(write_block(b, B, 1, 0xb1));
    g_assert_cmphex(read_block(b, A, 1).data[0], ==, 0xb1);
    bench_free(b);
}

/*
 * Parameter data, and what the allocation length does to it
 * Clause: 6.11.3: PRGENERATION; 6.11.3: ADDITIONAL LENGTH; 6.11.3: keys
 * Clause: 6.11.4.1; 6.11.6; table 103: PERSISTENT RESERVATION TYPE MASK
 */
static void test_data_in(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    Result r;

    reserve_for_a(b);

    r = pr_in(b, B, READ_KEYS, 64);
    assert_good(r);
    g_assert_cmpuint(ldl_be_p(&r.data[0]), ==, 1);      /* PRGENERATION */
    g_assert_cmpuint(ldl_be_p(&r.data[4]), ==, 8);
    g_assert_cmphex(ldq_be_p(&r.data[8]), ==, KEY_A);

    r = pr_in(b, B, READ_KEYS, 4);
    assert_good(r);
    g_assert_cmpuint(ldl_be_p(&r.data[0]), ==, 1);
    assert_good(pr_in(b, B, READ_KEYS, 0));

    r = pr_in(b, B, READ_RESERVATION, 64);
    assert_good(r);
    g_assert_cmpuint(ldl_be_p(&r.data[4]), ==, 16);
    g_assert_cmphex(ldq_be_p(&r.data[8]), ==, KEY_A);
    g_assert_cmphex(r.data[21], ==, WRITE_EXCLUSIVE_RO);

    r = pr_in(b, B, REPORT_CAPABILITIES, 8);
    assert_good(r);
    g_assert_cmpuint(lduw_be_p(&r.data[0]), ==, 8);
    g_assert_cmphex(lduw_be_p(&r.data[4]), ==, 0xea01); /* all six types */

    r = pr_in(b, B, READ_FULL_STATUS, 256);
    assert_good(r);
    g_assert_cmphex(ldq_be_p(&r.data[8]), ==, KEY_A);
    g_assert_cmphex(r.data[20], ==, 0x01);              /* R_HOLDER */
    g_assert_cmpuint(lduw_be_p(&r.data[26]), ==, 1);    /* target port */
    g_assert_cmphex(r.data[32], ==, 0x05);              /* iSCSI, no ISID */
    g_assert_cmpstr((char *)&r.data[36], ==, "iqn.2026-01.org.example:a");
    bench_free(b);
}

/*
 * Wrong lengths, and service actions that do not exist (or not yet)
 * Clause: 6.12.1: parameter list length; table 106: reserved codes
 * Clause: table 97: reserved
 */
static void test_bad_input(void *obj, void *data, QGuestAllocator *alloc)
{
    const size_t huge = SCSI_PR_MAX_DATA_OUT + 24;
    g_autofree uint8_t *list = g_malloc0(huge);
    Bench *b = bench_new_pair(obj, alloc);

    list[15] = KEY_A;
    assert_check(pr_out_list(b, A, REGISTER, 0, 23, list, 23),
                 ILLEGAL_REQUEST, 0x1a, 0x00);
    assert_check(pr_out_list(b, A, REGISTER, 0, 25, list, 25),
                 ILLEGAL_REQUEST, 0x1a, 0x00);
    assert_check(pr_out_list(b, A, REGISTER, 0, 0, NULL, 0),
                 ILLEGAL_REQUEST, 0x1a, 0x00);
    assert_check(pr_out_list(b, A, REGISTER, 0, huge, list, huge),
                 ILLEGAL_REQUEST, 0x1a, 0x00);
    assert_check(pr_out_list(b, A, 0x1f, 0, 24, list, 24),
                 ILLEGAL_REQUEST, 0x24, 0x00);
    assert_check(pr_in(b, A, 0x1f, 64), ILLEGAL_REQUEST, 0x24, 0x00);
    g_assert_cmpuint(ldq_be_p(pr_in(b, A, READ_KEYS, 64).data), ==, 0);
    bench_free(b);
}

/* The state as QMP shows it, and that management software can find out */
static void test_query(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    QDict *info, *state, *holder;

    reserve_for_a(b);
    assert_good(pr_out(b, B, REGISTER, 0, 0, KEY_B));

    info = query_device("b");
    state = qdict_get_qdict(info, "state");
    holder = qdict_get_qdict(qdict_get_qdict(state, "reservation"), "holder");
    g_assert_cmpstr(qdict_get_str(info, "initiator"), ==,
                    "iqn.2026-01.org.example:b");
    g_assert_cmpstr(qdict_get_str(info, "store"), ==, "memory:quorum");
    g_assert_cmpint(qdict_get_int(state, "pr-generation"), ==, 2);
    g_assert_false(qdict_get_bool(state, "aptpl"));
    g_assert_cmpuint(qlist_size(qdict_get_qlist(state, "registrations")),
                     ==, 2);
    g_assert_cmpstr(qdict_get_str(qdict_get_qdict(state, "reservation"),
                                  "type"), ==,
                    "write-exclusive-registrants-only");
    g_assert_cmpstr(qdict_get_str(holder, "initiator"), ==,
                    "iqn.2026-01.org.example:a");
    qobject_unref(info);
    bench_free(b);
}

/* Unplugging a nexus that is not the last one takes nothing from it */
static void test_unplug(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);

    reserve_for_a(b);
    qtest_qmp_device_del(global_qtest, "a");
    settle(b, B);
    assert_conflict(write_block(b, B, 0, 0xb0));
    qtest_qmp_device_add(global_qtest, "scsi-hd", "a",
                         "{'drive': 'medium', 'share-rw': true,"
                         " 'scsi-id': 1, 'wwn': 5764607523034234880,"
                         " 'pr-store': 'memory:quorum',"
                         " 'pr-initiator': 'iqn.2026-01.org.example:a'}");
    settle(b, A);
    assert_good(write_block(b, A, 0, 0xa0));
    bench_free(b);
}

/*
 * Without pr-store: what every operation code does, written to the file that
 * SCSI_PR_TRANSCRIPT names. It must not differ from what upstream's QEMU does.
 */
static void test_transcript(void *obj, void *data, QGuestAllocator *alloc)
{
    const char *path = g_getenv("SCSI_PR_TRANSCRIPT");
    g_autoptr(GString) text = g_string_new("");
    Bench *b = bench_new(&((QVirtioSCSIPCI *)obj)->scsi, alloc);

    for (int opcode = 0; opcode < 256; opcode++) {
        const uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = { opcode, [4] = 1, [8] = 1 };
        Result r = command(b, A, cdb, NULL, 0, DATA_MAX);

        g_string_append_printf(text, "%02x: %02x %02x %x/%02x/%02x", opcode,
                               r.response, r.status, r.key, r.asc, r.ascq);
        for (int i = 0; i < DATA_MAX; i++) {
            g_string_append_printf(text, "%s%02x", i ? "" : " ", r.data[i]);
        }
        g_string_append_c(text, '\n');
    }
    if (path) {
        g_assert(g_file_set_contents(path, text->str, text->len, NULL));
    }
    bench_free(b);
}

static void register_scsi_pr_test(void)
{
    QOSGraphTestOptions pair = { .before = setup_pair };
    QOSGraphTestOptions plain = {
        .before = setup_plain,
        .edge.extra_device_opts = "virtqueue_size=1024",
    };

    add_test_group("scsi-pr-group");
    add_test("scsi-pr-conflict", test_conflict, &pair);
    add_test("scsi-pr-preempt", test_preempt, &pair);
    add_test("scsi-pr-data-in", test_data_in, &pair);
    add_test("scsi-pr-bad-input", test_bad_input, &pair);
    add_test("scsi-pr-query", test_query, &pair);
    add_test("scsi-pr-unplug", test_unplug, &pair);
    qos_add_test("scsi-pr-transcript", "virtio-scsi-pci", test_transcript,
                 &plain);
}

libqos_init(register_scsi_pr_test);
