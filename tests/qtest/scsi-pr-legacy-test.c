/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: RESERVE and RELEASE of
 * SPC-2, and what resets make of them
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-setup.h"

/* RESERVE and RELEASE of SPC-2, (6) or (10) */
static Result legacy(Bench *b, int target, uint8_t opcode, uint8_t byte1)
{
    const uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = { opcode, byte1 };

    return command(b, target, cdb, NULL, 0, 0);
}

/* RESERVE and RELEASE of SPC-2, through all four operation codes */
static void test_legacy(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint8_t inquiry[VIRTIO_SCSI_CDB_SIZE] = { INQUIRY, 0, 0, 0, 36 };
    const uint8_t list[VIRTIO_SCSI_CDB_SIZE] = {
        RESERVE_10, [7] = 0xff, [8] = 0xff
    };
    const uint8_t third_party[VIRTIO_SCSI_CDB_SIZE] = {
        RESERVE_10, 0x12, [8] = 8       /* 3RDPTY, LONGID */
    };
    const uint8_t device_id[8] = {};
    Bench *b = bench_new_pair(obj, alloc);

    assert_good(legacy(b, A, RESERVE, 0));
    assert_good(write_block(b, A, 0, 0xa0));
    assert_conflict(legacy(b, B, RESERVE_10, 0));
    assert_good(legacy(b, B, RELEASE, 0));
    assert_conflict(write_block(b, B, 0, 0xb0));
    assert_conflict(read_block(b, B, 0));
    assert_conflict(test_unit_ready(b, B));
    assert_good(command(b, B, inquiry, NULL, 0, 36));
    /* SPC-2 5.5.1: the holder's own, too */
    assert_conflict(pr_in(b, A, READ_KEYS, 64));
    assert_conflict(pr_out(b, A, REGISTER, 0, 0, KEY_A));
    assert_good(legacy(b, A, RELEASE_10, 0));
    assert_good(write_block(b, B, 0, 0xb0));

    /* Without 3RDPTY the length is ignored: nothing is transferred */
    assert_good(command(b, B, list, NULL, 0, 0));
    assert_conflict(legacy(b, A, RESERVE, 0));
    assert_good(legacy(b, B, RELEASE, 0));
    assert_check(legacy(b, A, RESERVE, 0x10), ILLEGAL_REQUEST, 0x24, 0x00);
    assert_check(command(b, A, third_party, device_id, sizeof(device_id), 0),
                 ILLEGAL_REQUEST, 0x24, 0x00);
    bench_free(b);
}

/* 6.12.2, SPC-4 5.13.11.3: nothing is lost */
static void test_replace_lost(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);

    assert_check(pr_out(b, A, REPLACE_LOST, WRITE_EXCLUSIVE, 0, KEY_A),
                 ILLEGAL_REQUEST, 0x26, 0x04);
    bench_free(b);
}

/* SPC-2 5.5.1: a logical unit reset ends it, whoever asks for that */
static void test_lun_reset(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);

    assert_good(legacy(b, A, RESERVE, 0));
    assert_conflict(write_block(b, B, 0, 0xb0));
    reset_logical_unit(b, B);
    assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x29, 0x00);
    /* comes behind the reset */
    assert_good(legacy(b, B, RELEASE, 0));
    assert_good(write_block(b, B, 0, 0xb0));
    assert_check(test_unit_ready(b, A), UNIT_ATTENTION, 0x29, 0x03);
    assert_good(test_unit_ready(b, A));

    /* but takes nothing from persistent reservations */
    reserve_for_a(b);
    reset_logical_unit(b, B);
    reset_logical_unit(b, A);
    assert_check(test_unit_ready(b, A), UNIT_ATTENTION, 0x29, 0x00);
    assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x29, 0x00);
    assert_conflict(legacy(b, B, RELEASE, 0));
    assert_conflict(write_block(b, B, 0, 0xb1));
    assert_good(write_block(b, A, 0, 0xa1));
    bench_free(b);
}

/* Unplugging the holder releases; plugging another nexus does not */
static void test_legacy_unplug(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);

    assert_good(legacy(b, A, RESERVE, 0));
    qtest_qmp_device_add(global_qtest, "scsi-hd", "c",
                         "{'drive': 'medium', 'share-rw': true,"
                         " 'scsi-id': 3, 'wwn': 5764607523034234880,"
                         " 'pr-store': 'memory:quorum',"
                         " 'pr-initiator': 'iqn.2026-01.org.example:c'}");
    test_unit_ready(b, B);      /* REPORTED LUNS DATA HAS CHANGED */
    assert_good(legacy(b, B, RELEASE, 0));
    assert_conflict(write_block(b, B, 0, 0xb0));
    qtest_qmp_device_del(global_qtest, "a");
    test_unit_ready(b, B);
    assert_good(write_block(b, B, 0, 0xb0));
    bench_free(b);
}

/* Who holds a reservation made by RESERVE, as another VM or this one sees it */
static void assert_legacy_holder(const char *initiator)
{
    /* the answer comes behind resets that are under way */
    QDict *info = query_device("a");
    QDict *state = qdict_get_qdict(info, "state");
    QDict *holder = qdict_get_qdict(state, "legacy-holder");

    g_assert_cmpstr(holder ? qdict_get_str(holder, "initiator") : NULL, ==,
                    initiator);
    qobject_unref(info);
}

/*
 * SAM-4 6.3.4: a reset of the machine is the loss of its own nexuses. The
 * reservations of other VMs are none of its business.
 */
static void test_system_reset(void *obj, void *data, QGuestAllocator *alloc)
{
    Bench *b = bench_new_pair(obj, alloc);
    QTestState *other;

    assert_good(legacy(b, A, RESERVE, 0));
    assert_legacy_holder("iqn.2026-01.org.example:a");
    other = qtest_initf("%s -nodefaults -device virtio-scsi-pci"
                        " -blockdev null-co,size=1048576,node-name=medium"
                        " -device scsi-hd,drive=medium,share-rw=on,wwn=0x5,"
                        "pr-store=%s,pr-initiator=iqn.2026-01.org.example:o",
                        machine_options(), file_store);
    assert_legacy_holder("iqn.2026-01.org.example:a");
    system_reset(other);
    /* its own query comes behind its reset */
    qobject_unref(qtest_qmp(other, "{'execute': 'query-scsi-pr'}"));
    assert_legacy_holder("iqn.2026-01.org.example:a");
    system_reset(global_qtest);
    assert_legacy_holder(NULL);
    qtest_quit(other);
    bench_free(b);
}

/* As setup_pair(), with a store for other processes too */
static void *setup_file_pair(GString *cmd_line, void *arg)
{
    make_file_store();
    setup_medium(cmd_line, arg);
    add_pair(cmd_line, file_store);
    return arg;
}

static void register_scsi_pr_legacy_test(void)
{
    QOSGraphTestOptions pair = { .before = setup_pair };
    QOSGraphTestOptions file_pair = { .before = setup_file_pair };

    add_test_group("scsi-pr-legacy-group");
    add_test("scsi-pr-legacy", test_legacy, &pair);
    add_test("scsi-pr-replace-lost", test_replace_lost, &pair);
    add_test("scsi-pr-lun-reset", test_lun_reset, &pair);
    add_test("scsi-pr-legacy-unplug", test_legacy_unplug, &pair);
    add_test("scsi-pr-system-reset", test_system_reset, &file_pair);
}

libqos_init(register_scsi_pr_legacy_test);
