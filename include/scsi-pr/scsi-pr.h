/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libscsi-pr: SCSI-3 persistent reservations (SPC-3) for a device emulator.
 *
 * A ScsiPrDevice is the device server's view of one I_T nexus at one logical
 * unit. Every command on its way to the medium enters its gate and leaves it
 * (scsi_pr_enter, scsi_pr_leave); the reservation commands are handed over
 * (scsi_pr_execute); the unit attention conditions that other nexuses'
 * commands caused are fetched (scsi_pr_take_unit_attention). All nexuses that
 * open the same store share one reservation state, also those of other
 * processes. A PREEMPT AND ABORT of one of them ends in GOOD when no command
 * of the preempted ones is in its gate any more, and none can enter.
 *
 * Threads: every function may be called from any thread, if not said
 * otherwise. scsi_pr_enter, scsi_pr_leave and scsi_pr_take_unit_attention do
 * not wait for a store; they take a lock only to refuse a command. Callbacks
 * run on threads of the library; they must hand over to the emulator's own
 * thread and return. They may call the three named, nothing else.
 *
 * Ownership: the library copies what it is given. What it returns is freed
 * with the function that its declaration names.
 */
#ifndef SCSI_PR_H
#define SCSI_PR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ScsiPrDevice ScsiPrDevice;

/* Why something failed, for people. Free with scsi_pr_error_clear(). */
typedef struct ScsiPrError {
    char *message;      /* one line of UTF-8, no full stop */
    char *hint;         /* what to do, a sentence; may be NULL */
} ScsiPrError;

void scsi_pr_error_clear(ScsiPrError *error);

/* What a device hears of other nexuses. Each may be NULL. */
typedef struct ScsiPrEvents {
    /*
     * A fencing waits for the commands of this nexus (SPC-3 5.6.8.5): abort
     * those that are not on their way to the medium, and let each leave. Until
     * scsi_pr_is_being_fenced() is false others may come to that: look again.
     */
    void (*abort_tasks)(void *opaque);
    /*
     * A PREEMPT AND ABORT of this nexus, maybe its own, is committed, and its
     * commands have ended: undo PREVENT ALLOW MEDIUM REMOVAL (SPC-3
     * 5.6.8.5 f). Once too often at worst.
     */
    void (*fenced)(void *opaque);
    /*
     * Another nexus has preempted this one: its registration or reservation is
     * gone, the unit attention condition pending. Once too often at worst.
     */
    void (*preempted)(void *opaque);
    /*
     * The PREEMPT AND ABORT under way waits for more than a second already.
     * @json: an array of the nexuses that it waits for, as the member
     * "attached" of ScsiPrInfo in qapi/scsi-pr.json.
     */
    void (*drain_late)(void *opaque, const char *json);
    /*
     * A change by way of this device, an initiator's or the administrator's,
     * begins to wait for the commands of nexuses that it preempts; and it has
     * ended, after so many milliseconds of waiting. @failed: why nothing has
     * changed, for people, or NULL. On the thread of the callbacks.
     */
    void (*fencing_begun)(void *opaque);
    void (*fencing_ended)(void *opaque, uint32_t milliseconds,
                          const char *failed);
    /*
     * A PREEMPT AND ABORT (SPC-3 5.6.8.5) by way of this device, an
     * initiator's or the administrator's, is in force, and for the commands of
     * a preempted nexus somebody has not waited but believed a proof that they
     * are over. Before fencing_ended; only of a cluster: store, where a host
     * was declared dead. @json: an array of ScsiPrProof in qapi/scsi-pr.json,
     * valid during the callback. On the thread of the callbacks.
     */
    void (*proved)(void *opaque, const char *json);
    /*
     * The state of the store has changed, whoever did it, and the change is in
     * force: @count changes since the last call. The last one made this
     * @version, which counts the changes of the store, and this PRgeneration
     * (SPC-3 6.11.3).
     */
    void (*changed)(void *opaque, uint64_t version, uint32_t generation,
                    uint64_t count);
    /*
     * The store cannot be used: @why, for people. Told once, until it works
     * again or fails differently, to all devices of the process that share it,
     * whatever has met the failure: a command, a reset, or what repairs the
     * gate after another process's death. Reservations stay as they were.
     */
    void (*store_failed)(void *opaque, const char *why);
} ScsiPrEvents;

/* A command that the emulator carries out itself (SPC-4 6.35). */
typedef struct ScsiPrSupportedCommand {
    /*
     * CDB usage data: the operation code; the service action, if there is one,
     * in bits 4-0 of byte 1; else one bits where the emulator looks at the CDB.
     * Bytes beyond the CDB are zero.
     */
    uint8_t usage[16];
    uint8_t cdb_length;         /* bytes: 6, 10, 12 or 16 */
    bool has_service_action;    /* all commands of one code or none */
} ScsiPrSupportedCommand;

/* Bytes of ScsiPrConfig.medium. */
#define SCSI_PR_MAX_MEDIUM 200

typedef struct ScsiPrConfig {
    /* "memory:", "memory:NAME", "file:/PATH" or "cluster:NAME" */
    const char *store;
    /*
     * TransportID of the initiator port (SPC-3 7.5.4) as text:
     * "iqn.NAME[,i,0xISID]", "naa.16HEX", a WWPN, "srp.32HEX"
     */
    const char *initiator;
    /* relative target port identifier, 1 ... 65535 */
    uint16_t target_port;
    /*
     * Who this is, for the error messages of others: "VM a, device disk0". What
     * cannot be printed is replaced, and what is too long cut.
     */
    const char *owner;
    /*
     * How long a PREEMPT AND ABORT of this nexus waits for the commands of
     * others before it ends in BUSY; milliseconds, 0 for the default of 10000
     */
    uint32_t abort_timeout_ms;
    /*
     * Which medium the device has: a text without blanks that two devices of
     * the host have in common exactly if it is one medium; and its name, for
     * people. NULL: not known. While a nexus is attached with a medium, neither
     * another one is attached to its store, nor it to another store, unless
     * accept_medium: the user says that it is one medium after all, or that
     * two have one state.
     */
    const char *medium;
    const char *medium_name;
    bool accept_medium;
    /*
     * Of a file: or cluster: store. Where what is in force is kept, and the
     * socket of scsi-prd, an absolute path; NULL or "": where it usually is.
     * And of a file: store, whether it may be on a file system of which it is
     * not known that all processes that see the file are of one host, and see
     * one file.
     */
    const char *runtime_dir;
    bool accept_file_system;
    /*
     * How long a file: store's disk, or a cluster: store's scsi-prd, may take
     * to open it before that is refused; milliseconds, 0 for the default of 5000
     */
    uint32_t patience_ms;
    /* copied; NULL for none. @opaque is handed to them */
    const ScsiPrEvents *events;
    void *opaque;
    /*
     * For REPORT SUPPORTED OPERATION CODES: the emulator's own commands, without
     * those of scsi_pr_execute(). NULL and 0: none.
     */
    const ScsiPrSupportedCommand *commands;
    size_t command_count;
    /*
     * The device is to continue one that was saved, or that another process
     * hands over; see "Handing a nexus over" below. The nexus may still be
     * attached there, and a file: store must exist.
     */
    bool incoming;
} ScsiPrConfig;

/*
 * Attaches the nexus. The first one that attaches to a store powers the
 * logical unit on (SPC-3 5.6.3). May wait for a disk and up to five seconds
 * for another process.
 *
 * NULL with *error filled in: unknown URI or TransportID, a store that is
 * damaged, newer, not accessible or on a full file system, a nexus that is
 * attached already, a medium that is not the others'. Nothing is changed
 * then.
 */
ScsiPrDevice *scsi_pr_device_new(const ScsiPrConfig *config, ScsiPrError *error);

/*
 * The device has another medium from now on, as in ScsiPrConfig. Does not wait.
 * False with *error if that one has another store, or the store another medium:
 * then nothing has changed here, and what the device writes does not ask whom
 * it should.
 */
bool scsi_pr_set_medium(ScsiPrDevice *device, const char *medium,
                        const char *name, ScsiPrError *error);

/*
 * Detaches the nexus. Its registration and persistent reservation stay, a
 * reservation made by RESERVE (SPC-2) is released. Commands that
 * are still under way end first, and their callbacks have run when this
 * returns. No other call may be under way or follow.
 */
void scsi_pr_device_free(ScsiPrDevice *device);

typedef enum ScsiPrAdmission {
    SCSI_PR_ADMITTED,   /* carry the command out */
    SCSI_PR_CONFLICT,   /* end it in RESERVATION CONFLICT status */
    SCSI_PR_EXECUTE,    /* a reservation command: scsi_pr_execute() */
    /*
     * SPC-4 5.13.5.3.2: end it in CHECK CONDITION status, DATA PROTECT (7h),
     * PERSISTENT RESERVATION INFORMATION LOST (44h/01h)
     */
    SCSI_PR_INFORMATION_LOST,
    /*
     * The nexus was handed over and is another process's, or not taken over
     * yet: end it in BUSY status (SAM-3 5.3.1)
     */
    SCSI_PR_HANDED_OVER,
    /*
     * The command may not run now, and that is no conflict: the host has not
     * heard in time that it may still admit commands, or a change of the
     * reservations is under way that may take the nexus's access away. End it
     * in BUSY status; nothing of the nexus has to be given up for it
     */
    SCSI_PR_SUSPENDED,
} ScsiPrAdmission;

/*
 * A command's stay in the gate; all zero before its first. One thread at a
 * time may use it, and it must have left when the device is freed.
 */
typedef struct ScsiPrTask {
    bool entered;
    uint64_t epoch;     /* the library's */
} ScsiPrTask;

/*
 * SPC-3 5.6.1, tables 33 and 34: lets the command with this CDB enter if it
 * may be processed now. Call it when the command is about to be sent to the
 * medium, not when it is received. A task that has entered already is
 * admitted. Costs the same for one and for thousands of registrations.
 * @cdb_length in bytes.
 */
ScsiPrAdmission scsi_pr_enter(ScsiPrDevice *device,
                              const uint8_t *cdb, size_t cdb_length,
                              ScsiPrTask *task);

/*
 * Nothing of the command can reach the medium any more: it has completed, or
 * was aborted, or has to enter again before it goes on. No effect for a task
 * that is not in the gate.
 */
void scsi_pr_leave(ScsiPrDevice *device, ScsiPrTask *task);

/*
 * Whether a fencing waits for this task, and for tasks of this nexus at all:
 * see ScsiPrEvents.abort_tasks. Not any more once it has been given up.
 */
bool scsi_pr_is_awaited(ScsiPrDevice *device, const ScsiPrTask *task);
bool scsi_pr_is_being_fenced(ScsiPrDevice *device);

/*
 * Whether a fencing of the nexus has begun since this task entered; it may have
 * left meanwhile. A task that leaves, but is to go on later, must be aborted
 * then: no fencing waits for it. Ask when scsi_pr_hand_over() has returned; or
 * with a copy of the task, when it has entered again.
 */
bool scsi_pr_fenced_since(ScsiPrDevice *device, const ScsiPrTask *task);

/* Fixed part of sense data (SPC-3 4.5.3). */
typedef struct ScsiPrSense {
    uint8_t key;
    uint8_t asc;
    uint8_t ascq;
} ScsiPrSense;

typedef struct ScsiPrResult {
    uint8_t status;         /* SAM-3 5.3: 00h, 02h, 08h or 18h */
    ScsiPrSense sense;      /* with CHECK CONDITION (02h) */
    const uint8_t *data;    /* data-in, already cut to the allocation length */
    size_t data_length;     /* bytes; valid during the callback */
} ScsiPrResult;

typedef void ScsiPrCallback(void *opaque, const ScsiPrResult *result);

/*
 * Bytes. No parameter list is longer; do not fetch one that an initiator says
 * is: without data the command ends in PARAMETER LIST LENGTH ERROR.
 */
#define SCSI_PR_MAX_DATA_OUT 65536

/*
 * Carries out PERSISTENT RESERVE IN and OUT (SPC-3 6.11, 6.12), RESERVE and
 * RELEASE (SPC-2), and MAINTENANCE IN, of which there is only REPORT SUPPORTED
 * OPERATION CODES (SPC-4 6.35); scsi_pr_enter() answers SCSI_PR_ADMITTED for
 * it. @data is the data-out that was really transferred, @data_length in
 * bytes; both are copied.
 *
 * Returns at once. The callback runs exactly once; where there is no memory for
 * the command, on the calling thread, with BUSY. When it says GOOD for a
 * command that changed something, the change is committed and in force for
 * every nexus, and for PREEMPT AND ABORT no command of the preempted ones is on
 * its way. When the store failed nothing has changed: BUSY (another process
 * did not let go in time, or commands did not end within abort_timeout_ms) or
 * CHECK CONDITION, HARDWARE ERROR, INTERNAL TARGET FAILURE. Only of a cluster:
 * store, when a change was sent and nobody answers any more, it is not known
 * whether it has changed: CHECK CONDITION, ABORTED COMMAND, LOGICAL UNIT
 * COMMUNICATION TIME-OUT.
 */
void scsi_pr_execute(ScsiPrDevice *device,
                     const uint8_t *cdb, size_t cdb_length,
                     const uint8_t *data, size_t data_length,
                     ScsiPrCallback *callback, void *opaque);

/*
 * The same on the calling thread, if that has to wait for nothing: neither for
 * a command before it, nor another process, a disk, or commands to end. The
 * callback has run when this returns true. False: nothing was done, and
 * scsi_pr_execute() is to do it. Takes some microseconds, and up to two
 * milliseconds with 4096 registrations.
 */
bool scsi_pr_execute_now(ScsiPrDevice *device,
                         const uint8_t *cdb, size_t cdb_length,
                         const uint8_t *data, size_t data_length,
                         ScsiPrCallback *callback, void *opaque);

/*
 * REPORT SUPPORTED OPERATION CODES (SPC-4 6.35) of an emulator that hands most
 * commands on to a device, which has a report of its own.
 *
 * Whether the CDB asks for one command, and it is one of scsi_pr_execute(); then
 * the CDB itself is for scsi_pr_execute(). Otherwise the device answers.
 */
bool scsi_pr_reports(const uint8_t *cdb, size_t cdb_length);

/*
 * What to return when the CDB asks for all commands and the device has returned
 * @data, @data_length bytes of it, which may be anything: its descriptors, with
 * those of scsi_pr_execute() in place of what it says about them. With
 * @timeouts (RCTD) the latter have command timeouts descriptors, without times.
 * Not cut to the allocation length; *@merged_length bytes. Free with
 * scsi_pr_data_free().
 */
uint8_t *scsi_pr_merge_reports(const uint8_t *data, size_t data_length,
                               bool timeouts, size_t *merged_length);

/* NULL is ignored. */
void scsi_pr_data_free(uint8_t *data);

typedef enum ScsiPrReset {
    /*
     * LOGICAL UNIT RESET (SAM-4 7.7) came over this I_T nexus. Releases a
     * reservation made by RESERVE, whoever holds it.
     */
    SCSI_PR_LOGICAL_UNIT_RESET,
    /*
     * The initiator is gone or starts anew (SAM-4 6.3.4): a reset of the
     * machine or the adapter. Releases a reservation made by RESERVE if this
     * nexus holds it.
     */
    SCSI_PR_NEXUS_LOSS,
} ScsiPrReset;

/*
 * A reset has happened (SPC-2 5.5.1). Persistent reservations and
 * registrations stay (SPC-3 5.6.1). Returns at once; takes effect behind the
 * commands under way. A store that fails leaves the reservation as it was.
 */
void scsi_pr_reset(ScsiPrDevice *device, ScsiPrReset reset);

/*
 * The oldest unit attention condition that waits for this nexus, if any.
 * Taking it is reporting it.
 */
bool scsi_pr_take_unit_attention(ScsiPrDevice *device, ScsiPrSense *sense);

/*
 * Handing a nexus over: migration, and saving to a file.
 *
 * A file: store knows source and destination. The nexus stays attached all the
 * while, with its unit attention conditions and a reservation by RESERVE, and
 * has one owner at most: only he is admitted. So it is with a cluster: store,
 * where the destination may be another host. The state of a memory: store
 * travels.
 *
 *   source                                destination (ScsiPrConfig.incoming)
 *   scsi_pr_identify()       -- text -->  scsi_pr_recognize()
 *   VM stops, tasks leave
 *   scsi_pr_hand_over()      -- text -->  scsi_pr_arrive()
 *                                         scsi_pr_take_over(), VM runs
 *
 * A source that goes on nevertheless (the migration failed or was cancelled,
 * or it was a snapshot) takes over as well. Texts are JSON, for the library
 * alone; the destination takes them for hostile. A device's functions below are
 * called one at a time.
 */

/* Frees what the functions below return; NULL is ignored. */
void scsi_pr_text_free(char *text);

/*
 * Which store this is: at the beginning of a migration, long before the VM
 * stops. NULL with *error: the store failed. May wait for a disk.
 */
char *scsi_pr_identify(ScsiPrDevice *device, ScsiPrError *error);

/*
 * Whether the device's store is the one that scsi_pr_identify() has named. False
 * with *error if it is not, e.g. because it is on another host, or if @identity
 * is no such text. For memory: stores, whether it is one, too.
 */
bool scsi_pr_recognize(ScsiPrDevice *device, const char *identity,
                       ScsiPrError *error);

/*
 * Gives the ownership up; scsi_pr_enter() answers SCSI_PR_HANDED_OVER from now
 * on. To be called when nothing is sent any more, and every task has left.
 * Reservation commands under way end first, those that wait for others in
 * BUSY: their callbacks have run when this returns. May wait for a disk.
 *
 * NULL with *error, and still the owner, if the store failed or a task is still
 * in the gate. Again before scsi_pr_take_over(): the same, anew.
 */
char *scsi_pr_hand_over(ScsiPrDevice *device, ScsiPrError *error);

/*
 * What scsi_pr_hand_over() has returned in another process, or in this one some
 * time ago (a snapshot). Puts the state of a memory: store into place. A file:
 * store keeps its own, for others may have changed it since; a registration that
 * the nexus had, and has no more, is told by REGISTRATIONS PREEMPTED. While
 * the VM is stopped; may wait for a disk.
 *
 * False with *error, and nothing has changed, if @text is damaged, newer, or of
 * another nexus, or if the store failed.
 */
bool scsi_pr_arrive(ScsiPrDevice *device, const char *text, ScsiPrError *error);

typedef enum ScsiPrOwnership {
    /* Ours, and nobody has fenced the nexus since it was handed over. */
    SCSI_PR_TAKEN,
    /*
     * Ours, but others may have fenced the nexus meanwhile: commands that were
     * sent before it was handed over, or that have arrived with the VM, must be
     * aborted, as for ScsiPrEvents.abort_tasks.
     */
    SCSI_PR_TAKEN_ABORT,
    /* Still another process's: call again in a while. */
    SCSI_PR_NOT_TAKEN,
} ScsiPrOwnership;

/*
 * Takes the ownership, when the VM is about to run. Never waits. It is free when
 * its owner has handed it over, or when he is gone and his last write with him.
 */
ScsiPrOwnership scsi_pr_take_over(ScsiPrDevice *device);

/*
 * For people and management software: to look. None of these waits for a disk,
 * for another process, or for a command under way: they can be called where
 * nothing may wait. The texts are freed with scsi_pr_text_free().
 */

/*
 * The state in force, and who is attached: the members of ScsiPrInfo in
 * qapi/scsi-pr.json but for "path", "device", "operations" and
 * "statistics.aborted-tasks". A store that cannot be read shows in the member
 * "error". NULL if that cannot be said.
 */
char *scsi_pr_inspect(ScsiPrDevice *device);

/*
 * The canonical document of the state (hw/scsi/pr/core/document.h). NULL with
 * *error: the store cannot be read.
 */
char *scsi_pr_save(ScsiPrDevice *device, ScsiPrError *error);

/*
 * And to change it. These functions return at once; the callback runs exactly
 * once, behind the commands under way, with @error (the library's, and valid
 * during the callback only) or NULL. On an error nothing has changed, unless it
 * says that this is not known. A store that fails is one.
 */
typedef void ScsiPrDoneCallback(void *opaque, const ScsiPrError *error);

/*
 * Puts the state of such a document into place, whole. PRgeneration never goes
 * back; a reservation made by RESERVE is not brought into being.
 *
 * False with *error, and the callback does not run: @document is damaged, newer,
 * or more than the store can keep. The callback's error: it would take a
 * registration (also by another key) or a reservation away from an attached
 * nexus, and not @force. Otherwise who loses one is preempted as by
 * scsi_pr_preempt().
 */
bool scsi_pr_load(ScsiPrDevice *device, const char *document, bool force,
                  ScsiPrDoneCallback *callback, void *opaque,
                  ScsiPrError *error);

/*
 * PREEMPT AND ABORT (SPC-3 5.6.8.5) by an administrator, who is no I_T nexus:
 * as an initiator would do it that registers, preempts, and unregisters. The
 * reservation of a holder that is preempted is released. @key as in SERVICE
 * ACTION RESERVATION KEY: 0 stands for all registrants of a reservation of an
 * all registrants type. Error: nobody registered with the key, a reservation
 * made by RESERVE, or commands did not end within abort_timeout_ms.
 */
void scsi_pr_preempt(ScsiPrDevice *device, uint64_t key,
                     ScsiPrDoneCallback *callback, void *opaque);

/*
 * CLEAR (SPC-3 5.6.8.6) by an administrator. Releases a reservation made by
 * RESERVE, too.
 */
void scsi_pr_clear(ScsiPrDevice *device,
                   ScsiPrDoneCallback *callback, void *opaque);

#ifdef __cplusplus
}
#endif

#endif /* SCSI_PR_H */
