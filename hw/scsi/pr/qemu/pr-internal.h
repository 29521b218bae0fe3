/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for SCSI disks: the shim between QEMU's device
 * models and libscsi-pr.
 *
 * No device model is changed. pr-init.c adds properties to the existing device
 * types, and wraps class methods once one is set; a device without pr-store
 * beside one with it goes through the wrappers untouched.
 */
#ifndef HW_SCSI_PR_INTERNAL_H
#define HW_SCSI_PR_INTERNAL_H

#include "pr-compat.h"
#include "qapi/qapi-types-scsi-pr.h"
#include "qemu/atomic.h"
#include "qemu/queue.h"
#include "qemu/timer.h"
#include "scsi-pr/scsi-pr.h"

typedef struct SCSIPRDisk SCSIPRDisk;

/* What differs between an emulated disk and a device that hands CDBs on. */
typedef struct SCSIPRKind {
    /* The device model must have looked at the device before .check. */
    bool attaches_realized;
    /* NULL: it has none; free with g_free(). Main loop. */
    char *(*identity)(SCSIDevice *dev);
    /* What to do then. */
    const char *how_to_identify;
    /* Whether the device may have a store. */
    bool (*check)(SCSIPRDisk *s, Error **errp);
    /* The device model's own commands, as far as it does not report them. */
    ScsiPrSupportedCommand *(*commands)(SCSIDevice *dev, size_t *count);
    /*
     * About commands of scsi_pr_questionable, "no" to others:
     * whether the library carries the command out, not the device model.
     */
    bool (*is_library_command)(const uint8_t *cdb);
    /* Whether the shim answers it by what it hears from the device model. */
    bool (*is_answered)(const uint8_t *cdb);
    /* The request that does. */
    SCSIRequest *(*alloc_answer)(SCSIPRDisk *s, uint32_t tag, uint32_t lun,
                                 const uint8_t *cdb, void *hba_private);
    /* A command comes to the device model; may be NULL. */
    void (*note_command)(SCSIPRDisk *s, const uint8_t *cdb);
    /* In the main loop; does not wait. */
    void (*allow_medium_removal)(SCSIPRDisk *s);
} SCSIPRKind;

extern const SCSIPRKind scsi_pr_emulated, scsi_pr_passthrough;

/* The methods of a device class as they were before they got wrapped. */
typedef struct SCSIPRClass {
    const char *type_name;
    const SCSIPRKind *kind;
    ObjectClass *klass;
    void (*realize)(SCSIDevice *dev, Error **errp);
    void (*unrealize)(SCSIDevice *dev);
    void (*qdev_unrealize)(DeviceState *qdev);  /* calls the former */
    SCSIRequest *(*alloc_req)(SCSIDevice *dev, uint32_t tag, uint32_t lun,
                              uint8_t *buf, void *hba_private);
    int (*parse_cdb)(SCSIDevice *dev, SCSICommand *cmd, uint8_t *buf,
                     size_t buf_len, void *hba_private);
    void (*reset)(DeviceState *qdev);
    ObjectPropertyAccessor *set_drive;
} SCSIPRClass;

/* News that may come faster than QMP clients like: pr-event.c. */
typedef enum SCSIPREventKind {
    SCSI_PR_EVENT_CHANGED,
    SCSI_PR_EVENT_PREEMPTED,
    SCSI_PR_EVENT_STORE_ERROR,
    SCSI_PR_EVENT_DRAIN_LATE,
    SCSI_PR_EVENT_PROVED,
    SCSI_PR_EVENT_FENCING_FAILED,       /* goes to the log only */
    SCSI_PR_EVENT__MAX,
} SCSIPREventKind;

typedef struct SCSIPREvent {
    SCSIPRDisk *s;
    QEMUTimer *timer;           /* armed: the last event is young */
    uint64_t count;             /* not told yet; under event_lock */
    char *detail;               /* of the last not told; likewise */
} SCSIPREvent;

/* The I_T nexus is another process's, although our VM runs: pr-takeover.c. */
typedef struct SCSIPRTakeOver {
    QEMUTimer *timer;           /* armed: tries again */
    int64_t since;              /* milliseconds, QEMU_CLOCK_REALTIME */
    bool warned;
} SCSIPRTakeOver;

/* Rows of the table of properties */
#define SCSI_PR_PROPERTIES_MAX 16

/* I/O limits while the device is being fenced: pr-limits.c. */
typedef struct SCSIPRLimits {
    int64_t since;              /* milliseconds, QEMU_CLOCK_REALTIME; or 0 */
    int64_t not_before;         /* likewise */
    bool lifted;
    GSList *nodes;
} SCSIPRLimits;

/* What a device has beyond its SCSIDevice; exists once a property is set. */
struct SCSIPRDisk {
    SCSIDevice *dev;

    /* properties */
    char *store;
    char *dir;
    char *initiator;
    char *runtime_dir;
    uint32_t target_port;       /* 1 to 65535 */
    uint32_t abort_timeout;     /* milliseconds */
    bool tas;
    bool accept_orphans;        /* of scsi-generic */
    bool accept_medium;
    bool accept_file_system;
    Error *refused[SCSI_PR_PROPERTIES_MAX]; /* values; by row of the table */

    /* while realized */
    ScsiPrDevice *handle;
    VMChangeStateEntry *vmsentry;
    const SCSIReqOps *attention_ops;    /* scsi_pr_find_attention_ops() */
    /*
     * Counts how often the VM has stopped or continued: a request that was
     * admitted before must be admitted again before it goes on. Never 0. Atomic.
     */
    uint32_t run_changes;
    QemuMutex event_lock;
    SCSIPREvent events[SCSI_PR_EVENT__MAX];
    size_t aborted_tasks;               /* since it was realized; atomic */
    QEMUTimer *abort_timer;             /* pr-abort.c */
    bool going;                         /* being unrealized; main loop */
    SCSIPRLimits limits;
    SCSIPRTakeOver take_over;
    char *travelling;                   /* pr-migration.c */
    Error *no_exec;                     /* likewise: a blocker of cpr-exec */
    bool prevents;                      /* pr-passthrough.c; atomic */
    char *medium;                       /* what the library knows; or NULL */
    struct SCSIPRJobs *jobs;            /* pr-jobs.c */

    QLIST_ENTRY(SCSIPRDisk) next;      /* scsi_pr_devices */
};

/* All realized devices with a store; protected by the BQL. */
typedef QLIST_HEAD(, SCSIPRDisk) SCSIPRDiskList;
extern SCSIPRDiskList scsi_pr_devices;

/* pr-init.c */

extern SCSIPRClass scsi_pr_classes[3];

/*
 * The one whose methods were wrapped, for a device of it. Once a request: compares
 * pointers, not names, and calls nothing.
 */
static inline SCSIPRClass *scsi_pr_class(SCSIDevice *dev)
{
    const ObjectClass *klass = OBJECT(dev)->class;
    SCSIPRClass *found = scsi_pr_classes;

    while (found->klass != klass) {
        found++;
        g_assert(found < scsi_pr_classes + ARRAY_SIZE(scsi_pr_classes));
    }
    return found;
}

/* When the device has got a state; it is not realized yet. */
void scsi_pr_wrap_class(SCSIDevice *dev);

/* The device's, for messages. */
static inline const char *scsi_pr_name(SCSIPRDisk *s)
{
    return object_get_canonical_path_component(OBJECT(s->dev));
}

/* pr-properties.c */

void scsi_pr_add_properties(ObjectClass *klass);

/* False with @errp: a property was given a value that was refused. */
bool scsi_pr_check_properties(SCSIPRDisk *s, Error **errp);

/* pr-device.c */

void scsi_pr_realize(SCSIDevice *dev, Error **errp);
void scsi_pr_unrealize(SCSIDevice *dev);
void scsi_pr_qdev_unrealize(DeviceState *qdev);

/* What the library says of an error, which is cleared. */
void scsi_pr_error_to_qemu(ScsiPrError *error, Error **errp);

/* pr-request.c */

SCSIRequest *scsi_pr_alloc_req(SCSIDevice *dev, uint32_t tag, uint32_t lun,
                               uint8_t *buf, void *hba_private);

/* pr-io.c */

/*
 * Makes the device model's own request ask the gate. @req was just allocated, and
 * is what is returned.
 */
SCSIRequest *scsi_pr_io_wrap(SCSIRequest *req, SCSIPRDisk *s);

/*
 * Aborts an I/O request that a fencing waits for, if nothing of it is on its
 * way to the medium. In the request's AioContext.
 */
void scsi_pr_io_abort(SCSIRequest *req);

/* What becomes of a request when it goes on; travels with it. */
typedef enum SCSIPRFate {
    SCSI_PR_GOES_ON,            /* it asks the gate */
    SCSI_PR_ABORTED,            /* a fencing has aborted it */
    SCSI_PR_BUSY,               /* its nexus was another process's */
} SCSIPRFate;

/*
 * For pr_compat_for_each_request(), while the VM is stopped; no effect on
 * others than I/O requests. They leave the gate before the nexus is handed
 * over; then those are aborted that a fencing has missed meanwhile. The last
 * one decides on what is parked; @opaque: SCSIPRFate.
 */
void scsi_pr_io_hand_over(SCSIRequest *req, void *opaque);
void scsi_pr_io_handed_over(SCSIRequest *req, void *opaque);
void scsi_pr_io_set_fate(SCSIRequest *req, void *opaque);

/* Ends a request that must not be carried out. */
void scsi_pr_complete_refused(SCSIRequest *req, ScsiPrAdmission why);

/* pr-command.c */

/* Commands that never reach any device model, whatever they say. */
bool scsi_pr_is_reservation_command(uint8_t opcode);

/* A request for the library. */
SCSIRequest *scsi_pr_command_alloc(SCSIPRDisk *s, uint32_t tag, uint32_t lun,
                                   void *hba_private);

/*
 * Ends the request, and returns false, if the gate refuses it. It does not
 * stay in the gate: for commands of which nothing goes to the medium.
 */
bool scsi_pr_command_may_run(SCSIRequest *req, SCSIPRDisk *s);

/*
 * For pr_compat_for_each_request(), when the library has no command any more:
 * those whose result waits for the VM go on with it.
 */
void scsi_pr_command_hand_over(SCSIRequest *req, void *opaque);

/* pr-answer.c */

/* A request that is answered at once, with data-in. */
typedef struct SCSIPRAnswer {
    SCSIRequest req;            /* must be first */
    uint8_t *buf;
    size_t len;                 /* bytes that are still to be transferred */
} SCSIPRAnswer;

/*
 * The answer of a send_command operation: what the initiator has room for of
 * @data, or GOOD status where that is nothing.
 */
int32_t scsi_pr_answer(SCSIRequest *req, const uint8_t *data, size_t len);

bool scsi_pr_is_answer(SCSIRequest *req);

/* The other operations of such a request. */
void scsi_pr_answer_free(SCSIRequest *req);
void scsi_pr_answer_read_data(SCSIRequest *req);
uint8_t *scsi_pr_answer_get_buf(SCSIRequest *req);

/* pr-status.c */

/*
 * Before a request completes for which less data was transferred than the
 * initiator has room for. QEMU's pvscsi calls that an overrun, whatever the
 * status, and Linux's driver then reports an error instead: of sense data or
 * of an answer to PERSISTENT RESERVE IN.
 */
void scsi_pr_settle_residual(SCSIRequest *req);

/* Completes a request of ours with GOOD status. */
void scsi_pr_complete_good(SCSIRequest *req);

/*
 * How much data-out has come, when the adapter goes on with a request that has
 * asked for all of it at once: buffers of the initiator may be shorter than
 * its CDB says, and longer.
 */
size_t scsi_pr_data_out(SCSIRequest *req);

/*
 * Completes a request with a status other than GOOD; sense data with CHECK
 * CONDITION are built. Where the adapter knows no statuses, sense data say it.
 */
void scsi_pr_complete_status(SCSIRequest *req, int status);

/* pr-opcodes.c */

/* The commands of the device model itself; free with g_free(). */
ScsiPrSupportedCommand *scsi_pr_device_commands(SCSIDevice *dev,
                                                size_t *count);

/* pr-attention.c */

/*
 * The operations of QEMU's requests that report a unit attention condition.
 * While @dev is being realized: nobody else sends a request then.
 */
const SCSIReqOps *scsi_pr_find_attention_ops(SCSIDevice *dev);

/*
 * The request that reports the oldest condition that waits in the library
 * instead of doing what @buf asks for (with REQUEST SENSE: by doing it), or
 * NULL.
 */
SCSIRequest *scsi_pr_unit_attention_req(SCSIPRDisk *s, uint32_t tag,
                                        uint32_t lun, uint8_t *buf,
                                        void *hba_private);

/* pr-abort.c */

void scsi_pr_abort_init(SCSIPRDisk *s);
void scsi_pr_abort_cleanup(SCSIPRDisk *s);

/* For ScsiPrEvents; @opaque: SCSIPRDisk. On a thread of the library. */
void scsi_pr_abort_tasks(void *opaque);
void scsi_pr_fenced(void *opaque);

/* pr-event.c */

void scsi_pr_events_init(SCSIPRDisk *s);
void scsi_pr_events_cleanup(SCSIPRDisk *s);

/* For ScsiPrEvents; @opaque: SCSIPRDisk. On a thread of the library. */
void scsi_pr_event_changed(void *opaque, uint64_t version, uint32_t generation,
                           uint64_t count);
void scsi_pr_event_preempted(void *opaque);
void scsi_pr_event_store_failed(void *opaque, const char *why);
void scsi_pr_event_fencing_begun(void *opaque);
void scsi_pr_event_drain_late(void *opaque, const char *json);
void scsi_pr_event_proved(void *opaque, const char *json);
void scsi_pr_event_fencing_ended(void *opaque, uint32_t milliseconds,
                                 const char *failed);

/* pr-operation.c; main loop, but for scsi_pr_operation_done() */

typedef struct SCSIPROperation SCSIPROperation;

/*
 * Before the library is asked to do @what, which is freed. NULL with @errp: too
 * many are under way.
 */
SCSIPROperation *scsi_pr_operation_new(SCSIPRDisk *s, ScsiPrCommand command,
                                       char *what, Error **errp);
const char *scsi_pr_operation_name(const SCSIPROperation *op);

/* It was not begun. */
void scsi_pr_operation_free(SCSIPROperation *op);

/* A ScsiPrDoneCallback; @opaque: the operation. */
void scsi_pr_operation_done(void *opaque, const ScsiPrError *error);

/* Those of a device that are under way. */
ScsiPrOperationList *scsi_pr_operations(SCSIPRDisk *s);

/* pr-hmp.c */

void scsi_pr_hmp_init(void);

/* pr-migration.c */

/* Adds the device to the migration stream; main loop. */
bool scsi_pr_migration_init(SCSIPRDisk *s, Error **errp);
void scsi_pr_migration_cleanup(SCSIPRDisk *s);

/* pr-host-key.c */

/* Before any device of the class is made; main loop. */
void scsi_pr_refuse_host_keys(DeviceClass *dc);

/* pr-takeover.c */

void scsi_pr_take_over_init(SCSIPRDisk *s);
void scsi_pr_take_over_cleanup(SCSIPRDisk *s);

/* Before anything else of a VM that goes on; main loop. */
void scsi_pr_take_over_now(SCSIPRDisk *s);

/* The VM has stopped. */
void scsi_pr_take_over_stop(SCSIPRDisk *s);

/* pr-backend.c */

/*
 * Whether what the device writes is known to have ended once the kernel has
 * freed this process's locks; main loop. Only checked when it is plugged:
 * docs/user.md tells what else to mind.
 */
bool scsi_pr_check_backend(SCSIDevice *dev, Error **errp);

/* pr-dir.c */

/*
 * Whether pr-dir=@dir, which may be NULL, gives the device a store: only to
 * disks that are shared.
 */
bool scsi_pr_dir_applies(SCSIDevice *dev, const char *dir);

/*
 * Its URI, by the device's identity as that is set now; free with g_free().
 * NULL with @errp: @dir cannot be used, or there is no identity. Main loop.
 */
char *scsi_pr_dir_store(SCSIDevice *dev, const char *dir, Error **errp);

/* At start-up; and whether a path still means the same. */
void scsi_pr_remember_root(void);
bool scsi_pr_check_root(const char *path, Error **errp);

/* pr-medium.c */

/* For ScsiPrConfig; NULL: not known. */
typedef struct SCSIPRMedium {
    char *id;
    char *name;
} SCSIPRMedium;

/*
 * What the device has; free with scsi_pr_medium_clear(). False with @errp: that
 * cannot be told any more, and pr-accept-medium is not on. Main loop.
 */
bool scsi_pr_medium(SCSIPRDisk *s, SCSIPRMedium *medium, Error **errp);

/* The same of a node; NULL has none. With @accept nothing is an error. */
bool scsi_pr_node_medium(BlockDriverState *bs, bool accept,
                         SCSIPRMedium *medium, Error **errp);
void scsi_pr_medium_clear(SCSIPRMedium *medium);

/* Where the node begins in the lowest one; bytes. */
uint64_t scsi_pr_node_offset(BlockDriverState *bs);

/* In place of the setter of the device's property drive. */
void scsi_pr_set_drive(Object *obj, Visitor *v, const char *name,
                       void *opaque, Error **errp);

/* pr-jobs.c */

/*
 * While the device is plugged: keeps the host's block jobs from a shared medium,
 * and tells the library if the device gets another one. After its model's own
 * realize; main loop.
 */
void scsi_pr_jobs_init(SCSIPRDisk *s);
void scsi_pr_jobs_cleanup(SCSIPRDisk *s);

/* The graph of nodes below the device may have changed. */
void scsi_pr_jobs_look(SCSIPRDisk *s);

/* Lets go of a node; main loop. */
void scsi_pr_node_unref(void *bs);

/* pr-limits.c; main loop, with the BQL */

/* Every few milliseconds while a fencing waits for the device; and then. */
void scsi_pr_limits_wait(SCSIPRDisk *s);
void scsi_pr_limits_end(SCSIPRDisk *s);

/* pr-identity.c; for SCSIPRKind */

char *scsi_pr_emulated_identity(SCSIDevice *dev);
char *scsi_pr_passthrough_identity(SCSIDevice *dev);

/* pr-cdb.c */

/*
 * By operation code: whether the questions of SCSIPRKind about a CDB have any other
 * answer than no. They are not asked about a READ or a WRITE.
 */
extern const bool scsi_pr_questionable[256];

int scsi_pr_parse_cdb(SCSIDevice *dev, SCSICommand *cmd, uint8_t *buf,
                      size_t buf_len, void *hba_private);

/* pr-reset.c */

void scsi_pr_reset_device(DeviceState *qdev);

#include "pr-state.h"

#endif /* HW_SCSI_PR_INTERNAL_H */
