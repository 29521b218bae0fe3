/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations (SPC-3)
 *
 * Two scsi-hd devices behind one virtio-scsi adapter show the same medium and
 * share a store: two I_T nexuses, A and B, of one logical unit.
 */
#include "qemu/osdep.h"
#include "libqtest-single.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
/* moved between the series that we build with */
#if __has_include("qobject/qlist.h")
#include "qobject/qlist.h"
#else
#include "qapi/qmp/qlist.h"
#endif
#include "scsi/constants.h"
#include "libqos/virtio.h"
#include "standard-headers/linux/virtio_scsi.h"
#include "libqos/virtio-scsi.h"
#include "libqos/qgraph.h"

#define TIMEOUT_US (30 * 1000 * 1000)
#define REQUEST_QUEUE 2
#define SCSI_PR_MAX_DATA_OUT 65536
#define DATA_MAX 512

/* SCSI targets of the two nexuses */
enum { A = 1, B = 2 };

enum { KEY_A = 0xa, KEY_B = 0xb };

/* PERSISTENT RESERVE OUT service actions (SPC-3 table 106) */
enum { REGISTER, PR_RESERVE, PR_RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT,
       REGISTER_AND_IGNORE };

/* PERSISTENT RESERVE IN service actions (SPC-3 table 97) */
enum { READ_KEYS, READ_RESERVATION, REPORT_CAPABILITIES, READ_FULL_STATUS };

enum { WRITE_EXCLUSIVE = 1, WRITE_EXCLUSIVE_RO = 5 };

typedef struct Bench {
    QVirtioDevice *dev;
    QGuestAllocator *alloc;
    QVirtQueue *vq[REQUEST_QUEUE + 1];
} Bench;

/* How a command ended. */
typedef struct Result {
    uint8_t response;           /* of virtio-scsi */
    uint8_t status;
    uint8_t key, asc, ascq;
    uint8_t data[DATA_MAX];     /* data-in */
} Result;

static uint64_t bench_copy(Bench *b, size_t len, const void *data)
{
    uint64_t addr = guest_alloc(b->alloc, len);

    qtest_memwrite(global_qtest, addr, data, len);
    return addr;
}

static Result command(Bench *b, int target, const uint8_t *cdb,
                      const void *out, size_t out_len, size_t in_len)
{
    static const uint8_t zeroes[DATA_MAX];
    QVirtQueue *vq = b->vq[REQUEST_QUEUE];
    struct virtio_scsi_cmd_req req = { .lun = { 1, target } };
    struct virtio_scsi_cmd_resp resp = { .response = 0xff, .status = 0xff };
    uint64_t resp_addr, in_addr = 0;
    uint32_t head;
    Result r = {};

    memcpy(req.cdb, cdb, VIRTIO_SCSI_CDB_SIZE);
    head = qvirtqueue_add(global_qtest, vq, bench_copy(b, sizeof(req), &req),
                          sizeof(req), false, true);
    if (out_len) {
        qvirtqueue_add(global_qtest, vq, bench_copy(b, out_len, out), out_len,
                       false, true);
    }
    resp_addr = bench_copy(b, sizeof(resp), &resp);
    qvirtqueue_add(global_qtest, vq, resp_addr, sizeof(resp), true, !!in_len);
    if (in_len) {
        g_assert_cmpuint(in_len, <=, DATA_MAX);
        in_addr = bench_copy(b, in_len, zeroes);
        qvirtqueue_add(global_qtest, vq, in_addr, in_len, true, false);
    }
    qvirtqueue_kick(global_qtest, b->dev, vq, head);
    qvirtio_wait_used_elem(global_qtest, b->dev, vq, head, NULL, TIMEOUT_US);

    qtest_memread(global_qtest, resp_addr, &resp, sizeof(resp));
    if (in_len) {
        qtest_memread(global_qtest, in_addr, r.data, in_len);
    }
    r.response = resp.response;
    r.status = resp.status;
    r.key = resp.sense[2] & 0xf;
    r.asc = resp.sense[12];
    r.ascq = resp.sense[13];
    return r;
}

static Result pr_out_list(Bench *b, int target, int action, int type,
                          uint32_t list_len, const uint8_t *list, size_t len)
{
    uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = {
        PERSISTENT_RESERVE_OUT, action, type
    };

    stl_be_p(&cdb[5], list_len);
    return command(b, target, cdb, list, len, 0);
}

static Result pr_out(Bench *b, int target, int action, int type,
                     uint64_t key, uint64_t action_key)
{
    uint8_t list[24] = {};

    stq_be_p(&list[0], key);
    stq_be_p(&list[8], action_key);
    return pr_out_list(b, target, action, type, sizeof(list),
                       list, sizeof(list));
}

static Result pr_in(Bench *b, int target, int action, uint16_t allocation)
{
    uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = { PERSISTENT_RESERVE_IN, action };

    stw_be_p(&cdb[7], allocation);
    return command(b, target, cdb, NULL, 0, allocation);
}

static Result test_unit_ready(Bench *b, int target)
{
    const uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = { TEST_UNIT_READY };

    return command(b, target, cdb, NULL, 0, 0);
}

static Result write_block(Bench *b, int target, uint8_t lba, uint8_t fill)
{
    const uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = {
        WRITE_10, 0, 0, 0, 0, lba, 0, 0, 1
    };
    uint8_t data[512];

    memset(data, fill, sizeof(data));
    return command(b, target, cdb, data, sizeof(data), 0);
}

static Result read_block(Bench *b, int target, uint8_t lba)
{
    const uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = {
        READ_10, 0, 0, 0, 0, lba, 0, 0, 1
    };

    return command(b, target, cdb, NULL, 0, 512);
}

#define assert_good(r) do {                                     \
    Result r_ = (r);                                            \
    g_assert_cmphex(r_.response, ==, VIRTIO_SCSI_S_OK);         \
    g_assert_cmphex(r_.status, ==, GOOD);                       \
} while (0)

#define assert_conflict(r) do {                                 \
    Result r_ = (r);                                            \
    g_assert_cmphex(r_.response, ==, VIRTIO_SCSI_S_OK);         \
    g_assert_cmphex(r_.status, ==, RESERVATION_CONFLICT);       \
} while (0)

#define assert_check(r, key_, asc_, ascq_) do {                 \
    Result r_ = (r);                                            \
    g_assert_cmphex(r_.status, ==, CHECK_CONDITION);            \
    g_assert_cmphex(r_.key, ==, key_);                          \
    g_assert_cmphex(r_.asc, ==, asc_);                          \
    g_assert_cmphex(r_.ascq, ==, ascq_);                        \
} while (0)

static Bench *bench_new(QVirtioSCSI *scsi, QGuestAllocator *alloc)
{
    Bench *b = g_new0(Bench, 1);
    uint64_t features;

    b->dev = scsi->vdev;
    b->alloc = alloc;
    features = qvirtio_get_features(b->dev);
    qvirtio_set_features(b->dev, features & ~(QVIRTIO_F_BAD_FEATURE |
                                 (1ull << VIRTIO_RING_F_EVENT_IDX)));
    for (int i = 0; i <= REQUEST_QUEUE; i++) {
        b->vq[i] = qvirtqueue_setup(b->dev, alloc, i);
    }
    qvirtio_set_driver_ok(b->dev);
    return b;
}

/* With both nexuses past POWER ON OCCURRED. */
static Bench *bench_new_pair(void *obj, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);

    assert_check(test_unit_ready(b, A), UNIT_ATTENTION, 0x29, 0x00);
    assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x29, 0x00);
    return b;
}

static void bench_free(Bench *b)
{
    for (int i = 0; i <= REQUEST_QUEUE; i++) {
        qvirtqueue_cleanup(b->dev->bus, b->vq[i], b->alloc);
    }
    g_free(b);
}

/* Past what plugging made: POWER ON, REPORTED LUNS DATA HAS CHANGED. */
static void settle(Bench *b, int target)
{
    for (int i = 0; i < 2; i++) {
        test_unit_ready(b, target);
    }
    assert_good(test_unit_ready(b, target));
}

/* A holds Write Exclusive - Registrants Only, B is not registered. */
static void reserve_for_a(Bench *b)
{
    assert_good(pr_out(b, A, REGISTER, 0, 0, KEY_A));
    assert_good(pr_out(b, A, PR_RESERVE, WRITE_EXCLUSIVE_RO, KEY_A, 0));
}

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
    assert_check(pr_out_list(b, A, PREEMPT_AND_ABORT, 0, 24, list, 24),
                 ILLEGAL_REQUEST, 0x24, 0x00);
    assert_check(pr_in(b, A, 0x1f, 64), ILLEGAL_REQUEST, 0x24, 0x00);
    g_assert_cmpuint(ldq_be_p(pr_in(b, A, READ_KEYS, 64).data), ==, 0);
    bench_free(b);
}

static QDict *query_device(const char *id)
{
    QDict *answer = qtest_qmp(global_qtest, "{'execute': 'query-scsi-pr'}");
    const QListEntry *entry;
    QDict *found = NULL;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(answer, "return"), entry) {
        QDict *info = qobject_to(QDict, qlist_entry_obj(entry));

        if (g_str_equal(qdict_get_str(info, "device"), id)) {
            found = qobject_ref(info);
        }
    }
    g_assert(found);
    qobject_unref(answer);
    return found;
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

static void *setup_medium(GString *cmd_line, void *arg)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("scsi-pr-XXXXXX", &path, NULL);

    g_assert(fd >= 0 && ftruncate(fd, 1024 * 1024) == 0);
    close(fd);
    g_string_append_printf(cmd_line, " -nodefaults -blockdev driver=file,"
                           "filename=%s,node-name=medium", path);
    qtest_add_abrt_handler((void (*)(void *))unlink, g_strdup(path));
    g_test_queue_destroy((GDestroyNotify)unlink, g_strdup(path));
    return arg;
}

static void *setup_pair(GString *cmd_line, void *arg)
{
    setup_medium(cmd_line, arg);
    for (int i = A; i <= B; i++) {
        char id = i == A ? 'a' : 'b';

        g_string_append_printf(cmd_line, " -device scsi-hd,id=%c,scsi-id=%d,"
                               "drive=medium,share-rw=on,"
                               "wwn=0x5000000000000000,pr-store=memory:quorum,"
                               "pr-initiator=iqn.2026-01.org.example:%c",
                               id, i, id);
    }
    return arg;
}

static void *setup_plain(GString *cmd_line, void *arg)
{
    setup_medium(cmd_line, arg);
    g_string_append(cmd_line, " -device scsi-hd,id=a,scsi-id=1,drive=medium,"
                    "share-rw=on,serial=plain");
    return arg;
}

static void register_scsi_pr_test(void)
{
    QOSGraphTestOptions pair = { .before = setup_pair };
    QOSGraphTestOptions plain = {
        .before = setup_plain,
        .edge.extra_device_opts = "virtqueue_size=1024",
    };

    qos_add_test("scsi-pr-conflict", "virtio-scsi", test_conflict, &pair);
    qos_add_test("scsi-pr-preempt", "virtio-scsi", test_preempt, &pair);
    qos_add_test("scsi-pr-data-in", "virtio-scsi", test_data_in, &pair);
    qos_add_test("scsi-pr-bad-input", "virtio-scsi", test_bad_input, &pair);
    qos_add_test("scsi-pr-query", "virtio-scsi", test_query, &pair);
    qos_add_test("scsi-pr-unplug", "virtio-scsi", test_unplug, &pair);
    qos_add_test("scsi-pr-transcript", "virtio-scsi-pci", test_transcript,
                 &plain);
}

libqos_init(register_scsi_pr_test);
