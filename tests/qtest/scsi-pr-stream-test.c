/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QTest testcases for SCSI persistent reservations: streams that are damaged,
 * or made to do damage
 *
 * Wherever something of ours is wrong the destination refuses the whole, by an
 * orderly end with an error.
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "scsi-pr-travel.h"

typedef struct Stream {
    char *bytes;
    gsize len;
    char *file;
} Stream;

/* Behind the last @what, which is there */
static char *behind_last(const Stream *s, const void *what, size_t len)
{
    char *end = s->bytes + s->len;
    char *found = NULL, *at = s->bytes;

    while ((at = memmem(at, end - at, what, len)) != NULL) {
        at += len;
        found = at;
    }
    g_assert_nonnull(found);
    return found;
}

/* The first @what behind the last @cdb; the adapter's part comes between. */
static char *in_request(const Stream *s, const void *cdb, size_t cdb_len,
                        const void *what, size_t len)
{
    char *request = behind_last(s, cdb, cdb_len);
    char *found = memmem(request, s->bytes + s->len - request, what, len);

    g_assert_nonnull(found);
    return found;
}

static Stream stream_of(Vm *vm)
{
    g_autofree char *directory = make_directory();
    Stream s = { .file = g_strdup_printf("%s/vm", directory) };
    g_autofree char *uri = g_strdup_printf("exec:cat >%s", s.file);

    migrate_to(vm->qts, uri);
    await_migration(vm->qts, "completed");
    g_assert_true(g_file_get_contents(s.file, &s.bytes, &s.len, NULL));
    return s;
}

static void stream_free(Stream *s)
{
    g_free(s->bytes);
    g_free(s->file);
}

static void assert_refused(const Stream *s, const char *args)
{
    g_autofree char *uri = g_strdup_printf("exec:cat %s", s->file);
    QTestState *qts;

    g_assert_true(g_file_set_contents(s->file, s->bytes, s->len, NULL));
    qts = vm_destination(args);
    migrate_from(qts, uri);
    assert_has_refused(qts);
}

/* Refused with @bytes at that place, which are put back then */
static void refuse(const Stream *s, const char *args, char *place,
                   const void *bytes, size_t len)
{
    g_autofree char *before = g_memdup2(place, len);

    memcpy(place, bytes, len);
    assert_refused(s, args);
    memcpy(place, before, len);
}

/* A text of ours in the section of that name, @len with what follows it */
static void refuse_texts(const Stream *s, const char *args, const char *name,
                         size_t len)
{
    static const uint8_t too_long[] = { 0xff, 0xff, 0xff, 0xff };
    static const uint8_t empty[4];
    char *text = behind_last(s, name, len);
    uint8_t shorter[4];

    stl_be_p(shorter, ldl_be_p(text) - 1);
    refuse(s, args, text, too_long, sizeof(too_long));
    refuse(s, args, text, empty, sizeof(empty));
    refuse(s, args, text, shorter, sizeof(shorter));
    refuse(s, args, text + 4, "", 1);
    refuse(s, args, text + 4, "[", 1);
    refuse(s, args, text + 40, "~", 1);
}

static void test_texts(void *obj, void *data, QGuestAllocator *alloc)
{
    /* Sections: name, instance, version */
    static const char store[] = "0:1:0/scsi-pr-store\0\0\0\0\0\0\0\1";
    static const char nexus[] = "0:1:0/scsi-pr\0\0\0\0\0\0\0\1";
    g_autofree char *args = args_a(data ? "memory:,pr-accept-medium=on" : file_store);
    Vm *vm = vm_new(args);
    Stream s;

    settle(vm->bench, A);
    s = stream_of(vm);
    refuse_texts(&s, args, store, sizeof(store) - 1);
    refuse_texts(&s, args, nexus, sizeof(nexus) - 1);
    stream_free(&s);
    vm_free(vm);
}

/* What becomes of an I/O request stands behind what the device model has. */
static void test_io_request(void *obj, void *data, QGuestAllocator *alloc)
{
    static const uint8_t cdb[] = { WRITE_10, 0, 0, 0, 0, 1, 0, 0, 1 };
    /* sector, number of sectors, length of a buffer; ours */
    static const uint8_t saved[] = {
        0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0
    };
    Bench *b = bench_new(obj, alloc);
    g_autofree char *parking = args_parking();
    g_autofree char *args = args_a(file_store);
    Vm *vm = vm_registered(parking, b);
    Stream s;

    send_write(vm->bench, A, 1, 0xa1);
    qtest_qmp_eventwait(vm->qts, "STOP");
    s = stream_of(vm);
    refuse(&s, args, in_request(&s, cdb, sizeof(cdb), saved, sizeof(saved)) +
           sizeof(saved) - 1, "\x07", 1);
    stream_free(&s);
    vm_free(vm);
    bench_free(b);
}

/*
 * A PREEMPT AND ABORT that has its result: phase 4, GOOD, no sense data, no
 * data; behind it the end of requests.
 */
static void test_command(void *obj, void *data, QGuestAllocator *alloc)
{
    static const uint8_t cdb[] = {
        PERSISTENT_RESERVE_OUT, PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_RO,
        0, 0, 0, 0, 0, 24
    };
    static const uint8_t result[] = { 4, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    static const uint8_t wrong[][9] = {
        { 3 },                              /* is under way */
        { 6 },                              /* no such phase */
        { 1 },                              /* waits for no data-out */
        { 2, 0, 0, 0, 0, 0, 0, 0, 23 },     /* not as long as the CDB says */
        { 4, 0, 0, 0, 0, 0, 0, 0, 1 },      /* has data-in */
        { 4, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff },
        { 5 },
    };
    Bench *b = bench_new(obj, alloc);
    g_autofree char *args = args_a(file_store);
    Vm *vm = vm_registered(args, b);
    Sent write = hold_write(b, 1, 0xb1, "w");
    char *place;
    Stream s;

    send_pr_out(vm->bench, A, PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_RO, KEY_A,
                KEY_B);
    end_fencing_while_stopped(vm, b, &write);
    s = stream_of(vm);
    place = in_request(&s, cdb, sizeof(cdb), result, sizeof(result));
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        refuse(&s, args, place, wrong[i], sizeof(wrong[i]));
    }
    stream_free(&s);
    vm_free(vm);
    bench_free(b);
}

static void register_scsi_pr_stream_test(void)
{
    add_test_group("scsi-pr-stream");
    add_alone_test("stream-texts-file", test_texts, NULL);
    add_alone_test("stream-texts-memory", test_texts, (void *)"memory");
    add_travel_test("stream-io-request", test_io_request, 0);
    add_travel_test("stream-command", test_command, 0);
}

libqos_init(register_scsi_pr_stream_test);
