/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The public header from C. Each check returns what is wrong, or NULL;
 * c_abi_test.cc turns them into tests.
 */
#include "c_abi_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scsi-pr/scsi-pr.h"

#define STRINGIZE_(x) #x
#define STRINGIZE(x) STRINGIZE_(x)
#define CHECK(condition)                                                         \
    do {                                                                         \
        if (!(condition)) return "line " STRINGIZE(__LINE__) ": " #condition;    \
    } while (0)

static const uint8_t kWrite10[10] = {0x2A};
static const uint8_t kReadKeys[10] = {0x5E, 0, 0, 0, 0, 0, 0, 0, 12, 0};
static const uint8_t kRegister[10] = {0x5F, 0, 0, 0, 0, 0, 0, 0, 24, 0};
static const uint8_t kReserve[10] = {0x5F, 1, 1, 0, 0, 0, 0, 0, 24, 0};
static const uint8_t kReportOpcodes[12] = {0xA3, 0x0C, 1, 0x12, 0, 0, 0, 0, 0, 64, 0, 0};
static const uint8_t kPreempt[10] = {0x5F, 4, 1, 0, 0, 0, 0, 0, 24, 0};

typedef struct Waiter {
    pthread_mutex_t mutex;
    pthread_cond_t done;
    int calls;
    uint8_t status;
    char text[512];
    ScsiPrSense sense;
    uint8_t data[64];
    size_t data_length;
} Waiter;

static const Waiter kWaiter = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                               .done = PTHREAD_COND_INITIALIZER};

static void on_result(void *opaque, const ScsiPrResult *result)
{
    Waiter *waiter = opaque;
    pthread_mutex_lock(&waiter->mutex);
    waiter->calls++;
    waiter->status = result->status;
    waiter->sense = result->sense;
    waiter->data_length = result->data_length;
    if (result->data_length > 0) {
        memcpy(waiter->data, result->data, result->data_length);
    }
    pthread_cond_signal(&waiter->done);
    pthread_mutex_unlock(&waiter->mutex);
}

/* What an administrator did has ended. */
static void on_done(void *opaque, const ScsiPrError *error)
{
    Waiter *waiter = opaque;
    ScsiPrResult result = {0};
    snprintf(waiter->text, sizeof waiter->text, "%s", error != NULL ? error->message : "");
    result.status = error != NULL ? 0xFF : 0;
    on_result(opaque, &result);
}

static void wait_for(Waiter *waiter)
{
    pthread_mutex_lock(&waiter->mutex);
    while (waiter->calls == 0) {
        pthread_cond_wait(&waiter->done, &waiter->mutex);
    }
    pthread_mutex_unlock(&waiter->mutex);
}

static Waiter execute(ScsiPrDevice *device, const uint8_t *cdb, uint8_t key, uint8_t action_key)
{
    Waiter waiter = kWaiter;
    uint8_t data[24] = {0};
    data[7] = key;
    data[15] = action_key;
    const size_t length = cdb[0] == 0x5F ? sizeof data : 0;
    scsi_pr_execute(device, cdb, cdb[0] == 0xA3 ? 12 : 10, length != 0 ? data : NULL, length, on_result, &waiter);
    memset(data, 0xFF, sizeof data); /* the library copied it */
    wait_for(&waiter);
    return waiter;
}

static ScsiPrDevice *open_incoming(const char *store, const char *initiator, bool incoming,
                                   ScsiPrError *error)
{
    static const ScsiPrSupportedCommand kInquiry = {{0x12, 1, 0xFF, 0xFF, 0xFF}, 6, false};
    const ScsiPrConfig config = {.store = store,
                                 .initiator = initiator,
                                 .target_port = 1,
                                 .owner = "C test",
                                 .commands = &kInquiry,
                                 .command_count = 1,
                                 .incoming = incoming};
    return scsi_pr_device_new(&config, error);
}

static ScsiPrDevice *open_device(const char *store, const char *initiator, ScsiPrError *error)
{
    return open_incoming(store, initiator, false, error);
}

/* What the gate says to a command that leaves again at once. */
static ScsiPrAdmission pass(ScsiPrDevice *device, const uint8_t *cdb, size_t length)
{
    ScsiPrTask task = {0};
    const ScsiPrAdmission admission = scsi_pr_enter(device, cdb, length, &task);
    scsi_pr_leave(device, &task);
    return admission;
}

static const char *fence(ScsiPrDevice *a, ScsiPrDevice *b)
{
    ScsiPrSense sense = {0};
    CHECK(pass(a, kWrite10, sizeof kWrite10) == SCSI_PR_ADMITTED);
    CHECK(pass(a, kReserve, sizeof kReserve) == SCSI_PR_EXECUTE);
    CHECK(execute(a, kRegister, 0, 1).status == 0x00);
    CHECK(execute(b, kRegister, 0, 2).status == 0x00);
    CHECK(execute(a, kReserve, 1, 0).status == 0x00);
    CHECK(pass(a, kWrite10, sizeof kWrite10) == SCSI_PR_ADMITTED);
    CHECK(pass(b, kWrite10, sizeof kWrite10) == SCSI_PR_CONFLICT);
    CHECK(execute(b, kReserve, 2, 0).status == 0x18);
    CHECK(execute(b, kPreempt, 2, 1).status == 0x00);
    CHECK(pass(a, kWrite10, sizeof kWrite10) == SCSI_PR_CONFLICT);
    CHECK(pass(b, kWrite10, sizeof kWrite10) == SCSI_PR_ADMITTED);
    CHECK(!scsi_pr_take_unit_attention(b, &sense));
    CHECK(scsi_pr_take_unit_attention(a, &sense));
    CHECK(sense.key == 0x6 && sense.asc == 0x2A && sense.ascq == 0x05);
    CHECK(!scsi_pr_take_unit_attention(a, &sense));
    return NULL;
}

static const char *read_back(ScsiPrDevice *device)
{
    static const uint8_t kExpected[12] = {0, 0, 0, 3, 0, 0, 0, 8, 0, 0, 0, 0};
    const Waiter keys = execute(device, kReadKeys, 0, 0);
    CHECK(keys.status == 0 && keys.calls == 1);
    CHECK(keys.data_length == 12 && memcmp(keys.data, kExpected, 12) == 0);
    const uint8_t reserved[10] = {0x5E, 0x1F};
    const Waiter refused = execute(device, reserved, 0, 0);
    CHECK(refused.status == 0x02 && refused.data_length == 0);
    CHECK(refused.sense.key == 5 && refused.sense.asc == 0x24 && refused.sense.ascq == 0);
    static const uint8_t kInquiry[10] = {0, 3, 0, 6, 0x12, 1, 0xFF, 0xFF, 0xFF, 0};
    const Waiter opcodes = execute(device, kReportOpcodes, 0, 0);
    CHECK(opcodes.status == 0 && opcodes.data_length == sizeof kInquiry);
    CHECK(memcmp(opcodes.data, kInquiry, sizeof kInquiry) == 0);
    char *info = scsi_pr_inspect(device);
    CHECK(info != NULL && strstr(info, "\"attached\"") != NULL);
    scsi_pr_text_free(info);
    return NULL;
}

const char *c_abi_check_devices(const char *store)
{
    ScsiPrError error = {0};
    ScsiPrDevice *a = open_device(store, "naa.5000000000000001", &error);
    ScsiPrDevice *b = open_device(store, "naa.5000000000000002", &error);
    CHECK(a != NULL && b != NULL);
    const char *wrong = fence(a, b);
    if (wrong == NULL) {
        wrong = read_back(b);
    }
    scsi_pr_device_free(a);
    scsi_pr_device_free(b);
    return wrong;
}

/* SPC-2 5.5.1; what waits here comes behind the reset */
static const char *reset(ScsiPrDevice *a, ScsiPrDevice *b)
{
    static const uint8_t kReserve6[10] = {0x16};
    static const uint8_t kRelease6[10] = {0x17};
    ScsiPrSense sense = {0};
    CHECK(execute(a, kReserve6, 0, 0).status == 0x00);
    CHECK(pass(a, kWrite10, sizeof kWrite10) == SCSI_PR_ADMITTED);
    CHECK(pass(b, kWrite10, sizeof kWrite10) == SCSI_PR_CONFLICT);
    CHECK(pass(b, kReserve6, 6) == SCSI_PR_EXECUTE);
    scsi_pr_reset(b, SCSI_PR_NEXUS_LOSS);
    CHECK(execute(b, kReserve6, 0, 0).status == 0x18);
    scsi_pr_reset(b, SCSI_PR_LOGICAL_UNIT_RESET);
    CHECK(execute(b, kRelease6, 0, 0).status == 0x00);
    CHECK(pass(b, kWrite10, sizeof kWrite10) == SCSI_PR_ADMITTED);
    CHECK(!scsi_pr_take_unit_attention(b, &sense));
    CHECK(scsi_pr_take_unit_attention(a, &sense));
    CHECK(sense.key == 0x6 && sense.asc == 0x29 && sense.ascq == 0x03);
    return NULL;
}

const char *c_abi_check_reset(const char *store)
{
    ScsiPrError error = {0};
    ScsiPrDevice *a = open_device(store, "naa.5000000000000001", &error);
    ScsiPrDevice *b = open_device(store, "naa.5000000000000002", &error);
    CHECK(a != NULL && b != NULL);
    const char *wrong = reset(a, b);
    scsi_pr_device_free(a);
    scsi_pr_device_free(b);
    return wrong;
}

/* From one memory: store to another. */
static const char *migrate(ScsiPrDevice *source, ScsiPrDevice *destination)
{
    ScsiPrError error = {0};
    ScsiPrTask task = {0};
    CHECK(execute(source, kRegister, 0, 1).status == 0x00);
    CHECK(pass(destination, kWrite10, sizeof kWrite10) == SCSI_PR_HANDED_OVER);
    CHECK(pass(destination, kReserve, sizeof kReserve) == SCSI_PR_HANDED_OVER);
    char *text = scsi_pr_identify(source, &error);
    CHECK(text != NULL && scsi_pr_recognize(destination, text, &error));
    scsi_pr_text_free(text);
    CHECK(!scsi_pr_recognize(destination, "{}", &error) && error.message != NULL);
    scsi_pr_error_clear(&error);

    CHECK(scsi_pr_enter(source, kWrite10, sizeof kWrite10, &task) == SCSI_PR_ADMITTED);
    CHECK(scsi_pr_hand_over(source, &error) == NULL && error.message != NULL);
    scsi_pr_error_clear(&error);
    scsi_pr_leave(source, &task);
    text = scsi_pr_hand_over(source, &error);
    CHECK(text != NULL);
    CHECK(!scsi_pr_fenced_since(source, &task));
    CHECK(pass(source, kWrite10, sizeof kWrite10) == SCSI_PR_HANDED_OVER);
    CHECK(!scsi_pr_arrive(destination, "", &error) && error.message != NULL);
    scsi_pr_error_clear(&error);
    CHECK(scsi_pr_arrive(destination, text, &error));
    scsi_pr_text_free(text);
    CHECK(scsi_pr_take_over(destination) == SCSI_PR_TAKEN);
    CHECK(pass(destination, kWrite10, sizeof kWrite10) == SCSI_PR_ADMITTED);
    CHECK(execute(destination, kReserve, 1, 0).status == 0x00);
    return NULL;
}

const char *c_abi_check_hand_over(void)
{
    ScsiPrError error = {0};
    ScsiPrDevice *source = open_device("memory:", "naa.5000000000000001", &error);
    ScsiPrDevice *destination = open_incoming("memory:", "naa.5000000000000001", true, &error);
    CHECK(source != NULL && destination != NULL);
    const char *wrong = migrate(source, destination);
    scsi_pr_device_free(source);
    scsi_pr_device_free(destination);
    scsi_pr_text_free(NULL);
    return wrong;
}

/* A task that a fencing came upon, whether it has left or not. */
static const char *fenced_since(ScsiPrDevice *a, ScsiPrDevice *b)
{
    static const uint8_t kPreemptAndAbort[10] = {0x5F, 5, 1, 0, 0, 0, 0, 0, 24, 0};
    ScsiPrTask before = {0};
    ScsiPrTask after = {0};
    CHECK(execute(a, kRegister, 0, 1).status == 0x00);
    CHECK(execute(b, kRegister, 0, 2).status == 0x00);
    CHECK(scsi_pr_enter(b, kWrite10, sizeof kWrite10, &before) == SCSI_PR_ADMITTED);
    CHECK(!scsi_pr_fenced_since(b, &before));
    scsi_pr_leave(b, &before);
    CHECK(execute(a, kPreemptAndAbort, 1, 2).status == 0x00);
    CHECK(scsi_pr_fenced_since(b, &before));
    CHECK(scsi_pr_enter(b, kWrite10, sizeof kWrite10, &after) == SCSI_PR_ADMITTED);
    CHECK(!scsi_pr_fenced_since(b, &after));
    CHECK(scsi_pr_fenced_since(b, &before));
    scsi_pr_leave(b, &after);
    return NULL;
}

const char *c_abi_check_fenced_since(const char *store)
{
    ScsiPrError error = {0};
    ScsiPrDevice *a = open_device(store, "naa.5000000000000001", &error);
    ScsiPrDevice *b = open_device(store, "naa.5000000000000002", &error);
    CHECK(a != NULL && b != NULL);
    const char *wrong = fenced_since(a, b);
    scsi_pr_device_free(a);
    scsi_pr_device_free(b);
    return wrong;
}

static const char *check_error(const ScsiPrConfig *config)
{
    ScsiPrError error = {0};
    CHECK(scsi_pr_device_new(config, &error) == NULL);
    CHECK(error.message != NULL && strlen(error.message) > 10);
    CHECK(strchr(error.message, '\n') == NULL);
    CHECK(error.message[strlen(error.message) - 1] != '.');
    scsi_pr_error_clear(&error);
    CHECK(error.message == NULL && error.hint == NULL);
    return NULL;
}

const char *c_abi_check_errors(void)
{
    char too_long[SCSI_PR_MAX_MEDIUM + 2] = {0};
    memset(too_long, 'x', SCSI_PR_MAX_MEDIUM + 1);
    const ScsiPrConfig bad[] = {
        {.store = "nfs://host/x", .initiator = "naa.5000000000000001", .target_port = 1},
        {.store = "memory:", .initiator = "naa.1", .target_port = 1},
        {.store = "memory:", .initiator = "", .target_port = 1},
        {.store = "memory:", .initiator = "naa.5000000000000001", .target_port = 0},
        {.store = "file:/nonexistent/dir/lu.pr", .initiator = "naa.5000000000000001",
         .target_port = 1},
        {.store = "memory:", .initiator = "naa.5000000000000001", .target_port = 1,
         .medium = "file:a b"},
        {.store = "memory:", .initiator = "naa.5000000000000001", .target_port = 1,
         .medium = too_long},
        {.store = "file:/tmp/nonexistent.pr", .initiator = "naa.5000000000000001",
         .target_port = 1, .incoming = true},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *wrong = check_error(&bad[i]);
        if (wrong != NULL) {
            return wrong;
        }
    }
    return NULL;
}

/* A nexus with another medium than the device has by now is refused. */
static const char *check_medium(ScsiPrDevice *device, const char *store)
{
    ScsiPrError error = {0};
    ScsiPrConfig other = {.store = store, .initiator = "naa.5000000000000002", .target_port = 1,
                          .owner = "u", .medium = "file:8:1:1", .medium_name = "one.img"};
    CHECK(!scsi_pr_set_medium(device, "a b", "name", &error));
    scsi_pr_error_clear(&error);
    CHECK(scsi_pr_set_medium(device, "file:8:1:2", "two.img", &error));
    const char *wrong = check_error(&other);
    if (wrong != NULL) {
        return wrong;
    }
    other.accept_medium = true;
    ScsiPrDevice *second = scsi_pr_device_new(&other, &error);
    CHECK(second != NULL);
    scsi_pr_device_free(second);
    CHECK(scsi_pr_set_medium(device, NULL, NULL, &error));
    return NULL;
}

const char *c_abi_check_same_nexus(const char *store)
{
    ScsiPrError error = {0};
    ScsiPrDevice *device = open_device(store, "naa.5000000000000001", &error);
    CHECK(device != NULL);
    const ScsiPrConfig again = {
        .store = store, .initiator = "naa.5000000000000001", .target_port = 1, .owner = "t"};
    const char *wrong = check_error(&again);
    if (wrong == NULL) {
        wrong = check_medium(device, store);
    }
    scsi_pr_device_free(device);
    return wrong;
}

/* How many changes and preemptions a device heard of; and of its fencings. */
typedef struct News {
    atomic_int changes, preempted, begun, ended;
} News;

static void on_changed(void *opaque, uint64_t version, uint32_t generation, uint64_t count)
{
    (void)version;
    (void)generation;
    ((News *)opaque)->changes += (int)count;
}

static void on_preempted(void *opaque) { ((News *)opaque)->preempted++; }
static void on_begun(void *opaque) { ((News *)opaque)->begun++; }

static void on_ended(void *opaque, uint32_t milliseconds, const char *failed)
{
    ((News *)opaque)->ended += milliseconds < 10000 && failed == NULL;
}

/* False if it does not come within some seconds. */
static bool await_news(const atomic_int *what, int value)
{
    const struct timespec pause = {.tv_nsec = 1000 * 1000};
    for (int i = 0; i < 10000 && *what != value; i++) {
        nanosleep(&pause, NULL);
    }
    return *what == value;
}

static const char *administer(ScsiPrDevice *device, News *news)
{
    Waiter preempted = kWaiter, again = kWaiter, loaded = kWaiter, cleared = kWaiter;
    Waiter damaged = kWaiter;
    ScsiPrError error = {0};
    CHECK(execute(device, kRegister, 0, 7).status == 0x00);
    char *saved = scsi_pr_save(device, &error);
    CHECK(saved != NULL && strstr(saved, "0x0000000000000007") != NULL);
    scsi_pr_preempt(device, 7, on_done, &preempted);
    wait_for(&preempted);
    CHECK(preempted.status == 0 && preempted.text[0] == '\0');
    CHECK(news->begun == 1 && news->ended == 1);
    scsi_pr_preempt(device, 7, on_done, &again);
    wait_for(&again);
    CHECK(again.status == 0xFF && strstr(again.text, "0x0000000000000007") != NULL);
    CHECK(scsi_pr_load(device, saved, false, on_done, &loaded, &error));
    scsi_pr_text_free(saved);
    wait_for(&loaded);
    CHECK(loaded.status == 0);
    scsi_pr_clear(device, on_done, &cleared);
    wait_for(&cleared);
    CHECK(cleared.status == 0);
    CHECK(!scsi_pr_load(device, "{}", true, on_done, &damaged, &error));
    CHECK(damaged.calls == 0 && error.message != NULL);
    scsi_pr_error_clear(&error);
    CHECK(await_news(&news->changes, 4));
    CHECK(await_news(&news->preempted, 2));
    return NULL;
}

const char *c_abi_check_administration(const char *store)
{
    static const ScsiPrEvents events = {.preempted = on_preempted,
                                        .fencing_begun = on_begun,
                                        .fencing_ended = on_ended,
                                        .changed = on_changed};
    News news = {0};
    ScsiPrError error = {0};
    const ScsiPrConfig config = {.store = store,
                                 .initiator = "naa.5000000000000001",
                                 .target_port = 1,
                                 .owner = "C test",
                                 .events = &events,
                                 .opaque = &news};
    ScsiPrDevice *device = scsi_pr_device_new(&config, &error);
    CHECK(device != NULL);
    const char *wrong = administer(device, &news);
    scsi_pr_device_free(device);
    return wrong;
}

const char *c_abi_check_reports(void)
{
    /* READ(10), and PERSISTENT RESERVE IN as another device has it */
    static const uint8_t report[] = {0,    0, 0, 16, 0x28, 0, 0, 0, 0, 0, 0, 10,
                                     0x5e, 0, 0, 31, 0,    1, 0, 10};
    uint8_t cdb[12] = {0xa3, 0x0c, 1, 0x28};
    size_t length = 0;

    CHECK(!scsi_pr_reports(cdb, sizeof(cdb)));
    CHECK(!scsi_pr_reports(cdb, 6));
    cdb[3] = 0x16;
    CHECK(scsi_pr_reports(cdb, sizeof(cdb)));

    uint8_t *merged = scsi_pr_merge_reports(report, sizeof(report), false, &length);
    CHECK(length == 4 + 8 * (1 + 18));
    CHECK(merged[3] == length - 4);
    CHECK(merged[4] == 0x16);
    scsi_pr_data_free(merged);
    merged = scsi_pr_merge_reports(NULL, 0, true, &length);
    CHECK(length == 4 + 20 * 18);
    scsi_pr_data_free(merged);
    scsi_pr_data_free(NULL);
    return NULL;
}
