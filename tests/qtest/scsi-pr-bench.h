/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest bench for SCSI persistent reservations (SPC-3)
 *
 * Two scsi-hd devices behind one virtio-scsi adapter show the same medium and
 * share a store: two I_T nexuses, A and B, of one logical unit.
 */
#ifndef TESTS_QTEST_SCSI_PR_BENCH_H
#define TESTS_QTEST_SCSI_PR_BENCH_H

#if __has_include("qobject/qlist.h")
#include "qobject/qlist.h"
#else
#include "qapi/qmp/qlist.h"
#endif
#include "libqtest-single.h"
#include "qemu/bswap.h"
#include "scsi/constants.h"
#include "libqos/virtio.h"
#include "standard-headers/linux/virtio_scsi.h"
#include "libqos/virtio-scsi.h"
#include "libqos/qgraph.h"

#define TIMEOUT_US (30 * 1000 * 1000)
#define CONTROL_QUEUE 0
#define REQUEST_QUEUE 2
/* The first queue that is set up: tests without task management save time */
#ifndef FIRST_QUEUE
#define FIRST_QUEUE CONTROL_QUEUE
#endif
#define SCSI_PR_MAX_DATA_OUT 65536
#define DATA_MAX 1024

/* SCSI targets of the two nexuses */
enum { A = 1, B = 2 };

enum { KEY_A = 0xa, KEY_B = 0xb };

/* PERSISTENT RESERVE OUT service actions (SPC-3 table 106) */
enum { REGISTER, PR_RESERVE, PR_RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT,
       REGISTER_AND_IGNORE, REGISTER_AND_MOVE, REPLACE_LOST };

/* PERSISTENT RESERVE IN service actions (SPC-3 table 97) */
enum { READ_KEYS, READ_RESERVATION, REPORT_CAPABILITIES, READ_FULL_STATUS };

enum { WRITE_EXCLUSIVE = 1, EXCLUSIVE_ACCESS = 3, WRITE_EXCLUSIVE_RO = 5 };

#define HEADS_MAX 1024

typedef struct Bench {
    QTestState *qts;
    QVirtioDevice *dev;
    QGuestAllocator *alloc;
    QVirtQueue *vq[REQUEST_QUEUE + 1];
    uint64_t tag;               /* of the last command */
    bool ended[HEADS_MAX];      /* commands by their descriptors */
} Bench;

/* A command that was sent and may be on its way. */
typedef struct Sent {
    uint64_t tag;
    uint32_t head;
    uint64_t resp_addr, in_addr;
    size_t in_len;
} Sent;

/* How a command ended. */
typedef struct Result {
    uint8_t response;           /* of virtio-scsi */
    uint8_t status;
    uint8_t key, asc, ascq;
    uint32_t residual;
    uint8_t data[DATA_MAX];     /* data-in */
} Result;

static inline uint64_t bench_copy(Bench *b, size_t len, const void *data)
{
    uint64_t addr = guest_alloc(b->alloc, len);

    qtest_memwrite(b->qts, addr, data, len);
    return addr;
}

static inline Sent send_command(Bench *b, int target, const uint8_t *cdb,
                                const void *out, size_t out_len, size_t in_len)
{
    static const uint8_t zeroes[DATA_MAX];
    QVirtQueue *vq = b->vq[REQUEST_QUEUE];
    struct virtio_scsi_cmd_req req = { .lun = { 1, target } };
    struct virtio_scsi_cmd_resp resp = { .response = 0xff, .status = 0xff };
    Sent sent = { .tag = ++b->tag, .in_len = in_len };

    req.tag = cpu_to_le64(sent.tag);
    memcpy(req.cdb, cdb, VIRTIO_SCSI_CDB_SIZE);
    sent.head = qvirtqueue_add(b->qts, vq, bench_copy(b, sizeof(req), &req),
                               sizeof(req), false, true);
    if (out_len) {
        qvirtqueue_add(b->qts, vq, bench_copy(b, out_len, out), out_len,
                       false, true);
    }
    sent.resp_addr = bench_copy(b, sizeof(resp), &resp);
    qvirtqueue_add(b->qts, vq, sent.resp_addr, sizeof(resp), true, !!in_len);
    if (in_len) {
        g_assert_cmpuint(in_len, <=, DATA_MAX);
        sent.in_addr = bench_copy(b, in_len, zeroes);
        qvirtqueue_add(b->qts, vq, sent.in_addr, in_len, true, false);
    }
    qvirtqueue_kick(b->qts, b->dev, vq, sent.head);
    return sent;
}

/* Whether the adapter has given the command back. */
static inline bool has_ended(Bench *b, const Sent *sent)
{
    uint32_t head;

    while (qvirtqueue_get_buf(b->qts, b->vq[REQUEST_QUEUE], &head, NULL)) {
        g_assert_cmpuint(head, <, HEADS_MAX);
        b->ended[head] = true;
    }
    return b->ended[sent->head];
}

static inline Result await_command(Bench *b, const Sent *sent)
{
    int64_t start = g_get_monotonic_time();
    struct virtio_scsi_cmd_resp resp;
    Result r = {};

    while (!has_ended(b, sent)) {
        g_assert(g_get_monotonic_time() - start <= TIMEOUT_US);
    }
    qtest_memread(b->qts, sent->resp_addr, &resp, sizeof(resp));
    if (sent->in_len) {
        qtest_memread(b->qts, sent->in_addr, r.data, sent->in_len);
    }
    r.response = resp.response;
    r.status = resp.status;
    r.key = resp.sense[2] & 0xf;
    r.asc = resp.sense[12];
    r.ascq = resp.sense[13];
    r.residual = le32_to_cpu(resp.resid);
    return r;
}

static inline Result command(Bench *b, int target, const uint8_t *cdb,
                             const void *out, size_t out_len, size_t in_len)
{
    Sent sent = send_command(b, target, cdb, out, out_len, in_len);

    return await_command(b, &sent);
}

static inline Result pr_out_list(Bench *b, int target, int action, int type,
                                 uint32_t list_len, const uint8_t *list,
                                 size_t len)
{
    uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = {
        PERSISTENT_RESERVE_OUT, action, type
    };

    stl_be_p(&cdb[5], list_len);
    return command(b, target, cdb, list, len, 0);
}

static inline Sent send_pr_out(Bench *b, int target, int action, int type,
                               uint64_t key, uint64_t action_key)
{
    const uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = {
        PERSISTENT_RESERVE_OUT, action, type, [8] = 24
    };
    uint8_t list[24] = {};

    stq_be_p(&list[0], key);
    stq_be_p(&list[8], action_key);
    return send_command(b, target, cdb, list, sizeof(list), 0);
}

static inline Result pr_out(Bench *b, int target, int action, int type,
                            uint64_t key, uint64_t action_key)
{
    Sent sent = send_pr_out(b, target, action, type, key, action_key);

    return await_command(b, &sent);
}

static inline Result pr_in(Bench *b, int target, int action,
                           uint16_t allocation)
{
    uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = { PERSISTENT_RESERVE_IN, action };

    stw_be_p(&cdb[7], allocation);
    return command(b, target, cdb, NULL, 0, allocation);
}

static inline Result request_sense(Bench *b, int target, bool desc,
                                   uint8_t allocation)
{
    const uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = {
        REQUEST_SENSE, desc, 0, 0, allocation
    };

    return command(b, target, cdb, NULL, 0, allocation);
}

static inline Result test_unit_ready(Bench *b, int target)
{
    const uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = { TEST_UNIT_READY };

    return command(b, target, cdb, NULL, 0, 0);
}

static inline Sent send_write(Bench *b, int target, uint8_t lba, uint8_t fill)
{
    const uint8_t cdb[VIRTIO_SCSI_CDB_SIZE] = {
        WRITE_10, 0, 0, 0, 0, lba, 0, 0, 1
    };
    uint8_t data[512];

    memset(data, fill, sizeof(data));
    return send_command(b, target, cdb, data, sizeof(data), 0);
}

static inline Result write_block(Bench *b, int target, uint8_t lba,
                                 uint8_t fill)
{
    Sent sent = send_write(b, target, lba, fill);

    return await_command(b, &sent);
}

/* To blkdebug below B's medium; see add_held() */
static inline void debug_command(Bench *b, const char *command,
                                 const char *tag)
{
    g_autofree char *answer = qtest_hmp(
        b->qts, "qemu-io -d /machine/peripheral/b \"%s %s\"", command, tag);

    g_assert_cmpstr(answer, ==, "");
}

/* Sends a write of B that stays on its way until release(). */
static inline Sent hold_write(Bench *b, uint8_t lba, uint8_t fill,
                              const char *tag)
{
    g_autofree char *where = g_strdup_printf("write_aio %s", tag);
    Sent sent;

    debug_command(b, "break", where);
    sent = send_write(b, B, lba, fill);
    debug_command(b, "wait_break", tag);
    return sent;
}

static inline void release(Bench *b, const char *tag)
{
    debug_command(b, "resume", tag);
}

static inline Result read_block(Bench *b, int target, uint8_t lba)
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

static inline Bench *bench_open(QTestState *qts, QVirtioDevice *dev,
                                QGuestAllocator *alloc)
{
    Bench *b = g_new0(Bench, 1);
    uint64_t features;

    b->qts = qts;
    b->dev = dev;
    b->alloc = alloc;
    features = qvirtio_get_features(b->dev);
    qvirtio_set_features(b->dev, features & ~(QVIRTIO_F_BAD_FEATURE |
                                 (1ull << VIRTIO_RING_F_EVENT_IDX)));
    for (int i = FIRST_QUEUE; i <= REQUEST_QUEUE; i++) {
        b->vq[i] = qvirtqueue_setup(b->dev, alloc, i);
    }
    qvirtio_set_driver_ok(b->dev);
    return b;
}

static inline Bench *bench_new(QVirtioSCSI *scsi, QGuestAllocator *alloc)
{
    return bench_open(global_qtest, scsi->vdev, alloc);
}

/* With both nexuses past POWER ON OCCURRED. */
static inline Bench *bench_new_pair(void *obj, QGuestAllocator *alloc)
{
    Bench *b = bench_new(obj, alloc);

    assert_check(test_unit_ready(b, A), UNIT_ATTENTION, 0x29, 0x00);
    assert_check(test_unit_ready(b, B), UNIT_ATTENTION, 0x29, 0x00);
    return b;
}

static inline void bench_free(Bench *b)
{
    for (int i = FIRST_QUEUE; i <= REQUEST_QUEUE; i++) {
        qvirtqueue_cleanup(b->dev->bus, b->vq[i], b->alloc);
    }
    g_free(b);
}

static inline uint8_t task_management(Bench *b, int target, uint32_t function,
                                      uint64_t tag)
{
    QVirtQueue *vq = b->vq[CONTROL_QUEUE];
    const struct virtio_scsi_ctrl_tmf_req req = {
        .type = cpu_to_le32(VIRTIO_SCSI_T_TMF),
        .subtype = cpu_to_le32(function),
        .lun = { 1, target },
        .tag = cpu_to_le64(tag),
    };
    struct virtio_scsi_ctrl_tmf_resp resp = { .response = 0xff };
    uint64_t resp_addr = bench_copy(b, sizeof(resp), &resp);
    uint32_t head = qvirtqueue_add(b->qts, vq,
                                   bench_copy(b, sizeof(req), &req),
                                   sizeof(req), false, true);

    qvirtqueue_add(b->qts, vq, resp_addr, sizeof(resp), true, false);
    qvirtqueue_kick(b->qts, b->dev, vq, head);
    qvirtio_wait_used_elem(b->qts, b->dev, vq, head, NULL, TIMEOUT_US);
    qtest_memread(b->qts, resp_addr, &resp, sizeof(resp));
    return resp.response;
}

static inline void reset_logical_unit(Bench *b, int target)
{
    g_assert_cmphex(task_management(b, target,
                                    VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET, 0),
                    ==, VIRTIO_SCSI_S_OK);
}

/* Past what plugging made: POWER ON, REPORTED LUNS DATA HAS CHANGED. */
static inline void settle(Bench *b, int target)
{
    for (int i = 0; i < 2; i++) {
        test_unit_ready(b, target);
    }
    assert_good(test_unit_ready(b, target));
}

/* A holds Write Exclusive - Registrants Only, B is not registered. */
static inline void reserve_for_a(Bench *b)
{
    assert_good(pr_out(b, A, REGISTER, 0, 0, KEY_A));
    assert_good(pr_out(b, A, PR_RESERVE, WRITE_EXCLUSIVE_RO, KEY_A, 0));
}

static inline void system_reset(QTestState *qts)
{
    qobject_unref(qtest_qmp(qts, "{'execute': 'system_reset'}"));
    qtest_qmp_eventwait(qts, "RESET");
}

/* What query-scsi-pr says of one device; unref it. */
static inline QDict *query_device(const char *id)
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

#endif /* TESTS_QTEST_SCSI_PR_BENCH_H */
