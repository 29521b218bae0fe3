// SPDX-License-Identifier: GPL-2.0-or-later
//
// A model of the I/O barrier of PREEMPT AND ABORT (fence.h): gate, publication,
// drain, crash. Names are those of the code. scripts/model checks it;
// docs/testing.md ("The model of the barrier") says what is left out.
//
// Three participants, each a process with one nexus: a device server that
// sends PREEMPT AND ABORT and REGISTER, commands that go to the medium, and a
// watcher. A killer stops, continues and kills them between any two steps. The
// reservation is one of type Write Exclusive - All Registrants: whoever is
// registered may write, everybody may read.
//
// A step of the model (d_step, or one statement) is one atomic operation of the
// code on what processes share. A planted bug is a macro; each must be found.

#define N 3
#define NONE 7
#define ALL ((1 << N) - 1)
#define BIT(p) (1 << (p))
#define HAS(set, p) (((set) >> (p)) & 1)

#ifndef OPERATIONS
#define OPERATIONS 2  // reservation commands, whoever sends them
#endif
#ifndef SENDING
#define SENDING 2     // how many of the commands are ever sent
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef STOPS
#define STOPS 1
#endif
#ifndef RESTARTS
#define RESTARTS 1
#endif
#ifndef LATE
#define LATE 0        // the set of those that attach when others run already
#endif

// What the kernel knows of a process. A dying one runs no more, but what it has
// sent may still reach the medium; once it is gone, nothing of it does.
mtype = { kRuns, kStopped, kDying, kGone };
mtype life[N] = kRuns;
// Of the model: how many of the two threads of a process have seen its end. Its
// next life must not go on with the steps of this one.
byte ended[N];
#define RUNS(p) (life[p] == kRuns)
#define IS_OVER(p) (life[p] == kDying || life[p] == kGone)

// gate/admission.h. Access classes: everything but writes, writes.
#define kRead 1
#define kWrite 2
#define kFullAccess 3
#define kEpochMask 1

typedef Admission {
  unsigned access : 2;
  unsigned epoch : 1;
  unsigned current : 2;
  unsigned draining : 2;
  unsigned unfinished_drains : 1
};

// gate/gate.h: a slot for each participant.
Admission slot[N];
byte attached = ALL & ~(LATE);
byte published = 1;
byte fencing = 0;
byte pending = ALL;  // State: what the fencing under way, or the last one, leads to
bool rung = false;  // the doorbell, since the fencing under way was marked

// store/backing.h: the record, and the right to change it.
byte version = 1;
byte committed = ALL;    // State: the set of registered nexuses
// Locks that the kernel drops when their holder is gone: the right to change,
// and the proofs of life, one for each slot that is taken.
byte change_right = NONE;
byte slot_locks = ALL & ~(LATE);
// Held for a short while: who attaches, shuts, publishes or opens again does so alone.
byte members = NONE;
// And what only its holder writes: nobody sees a difference.
#define LOCK_MEMBERS(p, first) d_step { members == NONE -> members = p; first }

#define ALLOWED_ACCESS(state, p) (HAS(state, p) -> kFullAccess : kRead)

// The commands of all participants; the first has two on their way at a time.
#define COMMANDS 4
#define OWNER(c) ((c) < 2 -> 0 : (c) - 1)
mtype = { kIdle, kChecked, kIn };
typedef Command {
  mtype where = kIdle;
  unsigned access : 2;
  unsigned epoch : 1;
  // Of the proof, not of the code: entered before the drain of a fencing
  // began; and that fencing has ended in GOOD.
  bool old;
  bool stale
};
Command command[COMMANDS];

// Of the proof: the committed state before the last; whose gate a fencing has
// shut; nothing new begins any more.
byte predecessor = ALL;
byte shut = 0;
bool night = false;
byte operations_left = OPERATIONS;

#define ON_ITS_WAY(c) (command[c].where != kIdle)

inline ForgetCommands(p) {
  c = 0;
  do
  :: c < COMMANDS ->
     if
     :: OWNER(c) == p ->
        command[c].where = kIdle; command[c].access = 0; command[c].epoch = 0;
        command[c].old = false; command[c].stale = false
     :: else
     fi;
     c++
  :: else -> break
  od;
  c = 0
}

// ---------------------------------------------------------------- Commands

// (f) Admitted is what the published state allows; while a change is being
// published, also what its predecessor allowed. This includes: a preempted
// nexus writes no more until it has registered again.
// (e) Refused is only who has no access, or whose gate is shut.
inline CheckAdmission(p, class, admitted) {
  if
  :: admitted && class == kWrite ->
     assert(HAS(committed, p) || (published != version && HAS(predecessor, p)))
  :: !admitted ->
     assert(class == kWrite);
     assert(!HAS(committed, p) || HAS(shut, p) ||
            (published != version && !HAS(predecessor, p)))
  :: else
  fi
}

inline Count(c, p) {
  slot[p].current++;
  command[c].epoch = slot[p].epoch;
  command[c].where = kIn
}

inline Enter(c, p, class) {
  CheckAdmission(p, class, (slot[p].access & class) != 0);
  if
  :: (slot[p].access & class) != 0 ->
     command[c].access = class;
#ifdef DROP_THE_MEMORY_FENCE
     command[c].where = kChecked
#else
     Count(c, p)
#endif
  :: else
  fi
}

inline Leave(c, p) {
  if
#ifdef COUNT_WITHOUT_EPOCHS
  :: slot[p].draining == 0 -> slot[p].current--
#else
  :: slot[p].epoch == command[c].epoch -> slot[p].current--
#endif
  :: else -> slot[p].draining--
  fi;
  command[c].where = kIdle; command[c].access = 0; command[c].epoch = 0;
  command[c].old = false; command[c].stale = false
}

// A command leaves when it has ended or was aborted.
proctype Commands(byte c) provided (RUNS(OWNER(c))) {
end:
  do
  :: d_step { command[c].where == kIdle && HAS(slot_locks, OWNER(c)) && !night ->
              Enter(c, OWNER(c), kWrite) }
  // Only the first participant's second command may be one that needs no
  // registration: it is what a victim may send while its gate is shut.
  :: d_step { c == 1 && command[c].where == kIdle && HAS(slot_locks, OWNER(c)) && !night ->
              Enter(c, OWNER(c), kRead) }
  :: d_step { command[c].where == kChecked -> Count(c, OWNER(c)) }
  :: d_step { command[c].where == kIn -> Leave(c, OWNER(c)) }
  od
}

// (a) Whatever is on its way may reach the medium at any time, also of a
// process that is stopped or dying. It must be none that a GOOD has promised
// to be over.
#define REACHES_MEDIUM(c) assert(!(ON_ITS_WAY(c) && command[c].stale))
inline CheckMedium() {
  REACHES_MEDIUM(0); REACHES_MEDIUM(1); REACHES_MEDIUM(2); REACHES_MEDIUM(3)
}

// ---------------------------------------------------------------- the store

// (c), (d) Who gives the right to change back leaves every gate as the
// committed state says.
inline CheckGates() {
  i = 0;
  do
  :: i < N ->
     assert(!HAS(attached, i) || slot[i].access == ALLOWED_ACCESS(committed, i));
     i++
  :: else -> break
  od;
  i = 0;
  assert(published == version && fencing == 0)
}

inline Unlock() {
  atomic { CheckGates(); shut = 0; change_right = NONE }
}

inline Publish() {
  LOCK_MEMBERS(p, i = 0);
  do
  :: d_step { i < N ->
       if
       :: HAS(attached, i) -> slot[i].access = ALLOWED_ACCESS(committed, i)
       :: else
       fi;
       shut = shut & ~BIT(i);
       i++ }
  :: i >= N -> break
  od;
  atomic { published = version; predecessor = committed; i = 0 };
  atomic { fencing = 0; rung = false; members = NONE }
}

inline LoadPublished() {
  if
#ifdef IGNORE_THE_FENCING_MARK
  :: published != version ->
#else
  :: published != version || fencing != 0 ->
#endif
     Publish()
  :: else
  fi
}

// (b) Until the commit every preempted nexus is listed: nothing of it that
// entered before may be on its way then, nor anything that it may not send afterwards.
inline Save(state) {
  atomic {
    c = 0;
    do
    :: c < COMMANDS ->
#ifndef WITHOUT_THE_CHECK_OF_THE_COMMIT  // it finds a bug before (a) would
       assert(!(HAS(victims, OWNER(c)) && ON_ITS_WAY(c) && command[c].old));
       assert(!(HAS(victims & ~state, OWNER(c)) && command[c].access == kWrite));
#endif
       c++
    :: else -> break
    od;
    c = 0;
    assert(published == version);
    predecessor = committed;
    committed = state;
    version++
  }
}

// ---------------------------------------------------------------- the fence

// False (in shut_ok) if the epochs have run out.
inline BeginDrain(v) {
  if
  :: slot[v].draining == 0 -> slot[v].unfinished_drains = 0
  :: else
  fi;
  if
  :: slot[v].unfinished_drains == kEpochMask -> shut_ok = false
  :: else ->
     slot[v].unfinished_drains++;
     slot[v].access = slot[v].access & ALLOWED_ACCESS(after, v);
     slot[v].epoch = (slot[v].epoch + 1) & kEpochMask;
     slot[v].draining = slot[v].draining + slot[v].current;
     slot[v].current = 0;
     shut = shut | (BIT(v) & ~after);
     c = 0;
     do
     :: c < COMMANDS ->
        command[c].old = command[c].old || (OWNER(c) == v && ON_ITS_WAY(c));
        c++
     :: else -> break
     od;
     c = 0
  fi
}

inline Shut() {
#ifdef COLLECT_BEFORE_THE_LOCK
  slots = victims & attached;
  LOCK_MEMBERS(p, i = 0; pending = after);
#else
  LOCK_MEMBERS(p, i = 0; pending = after; slots = victims & attached);
#endif
  fencing = version + 1;
  rung = true;
  do
  :: d_step { i < N && shut_ok ->
       if
       :: HAS(slots, i) -> BeginDrain(i)
       :: else
       fi;
       i++;
       if
       :: i < N && !HAS(victims, i) -> i++
       :: else
       fi }
  :: i >= N || !shut_ok -> break
  od;
  atomic { i = 0; members = NONE }
}

#if defined(TRUST_A_PID)
#define IS_LIVE(p) true  // the number is in use: by a zombie, or by somebody else
#elif defined(TRUST_A_STATE)
#define IS_LIVE(p) RUNS(p)
#else
#define IS_LIVE(p) HAS(slot_locks, p)
#endif

#ifdef ONE_COUNT
#define DRAINING(p) (slot[p].draining + slot[p].current)
#else
#define DRAINING(p) slot[p].draining
#endif

// A drain waits for commands that entered before it began, and for no others.
inline CheckAwaited(v) {
  assert((OWNER(0) == v && ON_ITS_WAY(0) && command[0].old) ||
         (OWNER(1) == v && ON_ITS_WAY(1) && command[1].old) ||
         (OWNER(2) == v && ON_ITS_WAY(2) && command[2].old) ||
         (OWNER(3) == v && ON_ITS_WAY(3) && command[3].old))
}

// The deadline may pass at any time; drained tells.
inline Drain() {
  i = 0;
  do
  :: d_step { i < N && (!HAS(slots, i) || DRAINING(i) == 0 || !IS_LIVE(i)) -> i++ }
  :: d_step { i < N && HAS(slots, i) && DRAINING(i) != 0 && IS_LIVE(i) ->
       CheckAwaited(i);
       drained = false }
  :: i >= N || !drained -> break
  od;
  i = 0
}

#ifdef REOPEN_ONLY_WHOM_IT_SHUT
#define REOPENS(p) HAS(slots, p)
#else
#define REOPENS(p) HAS(attached, p)
#endif

// All: who has attached meanwhile began with less than he may have, too.
inline Reopen() {
  LOCK_MEMBERS(p, i = 0);
  do
  :: d_step { i < N ->
       if
       :: REOPENS(i) -> slot[i].access = ALLOWED_ACCESS(before, i)
       :: else
       fi;
       shut = shut & ~BIT(i);
       i++ }
  :: i >= N -> break
  od;
  atomic { i = 0; fencing = 0; rung = false; members = NONE }
}

// The status: what entered before is over.
inline Good() {
  atomic {
    c = 0;
    do
    :: c < COMMANDS ->
       if
       :: HAS(victims, OWNER(c)) && ON_ITS_WAY(c) && command[c].old -> command[c].stale = true
       :: else
       fi;
       c++
    :: else -> break
    od;
    c = 0;
    CheckMedium()
  }
}

inline FenceAndCommit() {
  Shut();
#ifdef COMMIT_BEFORE_THE_DRAIN
  if
  :: shut_ok -> Save(after); Publish(); Drain()
  :: else -> drained = false
  fi;
#else
  if
  :: shut_ok -> Drain()
  :: else -> drained = false
  fi;
  if
  :: drained -> Save(after); Publish()
  :: else
  fi;
#endif
  if
  :: drained -> Good()
  :: else ->
     Reopen();
     assert(committed == before)  // (c)
  fi
}

// ---------------------------------------------------------------- processes

#ifdef BEGIN_WITH_THE_OLD_ACCESS
#define BEGINS_WITH(p) ALLOWED_ACCESS(committed, p)
#else
#define BEGINS_WITH(p) \
  (fenced -> ALLOWED_ACCESS(committed, p) & ALLOWED_ACCESS(pending, p) : ALLOWED_ACCESS(committed, p))
#endif

// Takes a slot. Does not wait for a fencing under way: begins with what is allowed
// whatever becomes of it, and rings, lest the fencer has died before he could.
inline Attach(p) {
#ifdef ATTACH_WITHOUT_THE_LOCK
  fenced = fencing != 0;
#else
  LOCK_MEMBERS(p, fenced = fencing != 0);  // it keeps that as it is
#endif
  d_step {
    begin = BEGINS_WITH(p);
    if
    :: HAS(committed, p) && begin == kRead -> shut = shut | BIT(p)
    :: else
    fi
  };
  atomic {
    slot[p].current = 0; slot[p].draining = 0; slot[p].epoch = 0;
    slot[p].access = begin;
    attached = attached | BIT(p);
    slot_locks = slot_locks | BIT(p);
#ifndef ATTACH_WITHOUT_RINGING
    rung = rung || fenced;
#endif
    members = (members == p -> NONE : members);
    fenced = false; begin = 0
  }
}

// PREEMPT AND ABORT of one of the others, or of all of them (with the key that
// all have); one's own key would be as any other that keeps its access.
inline ChooseVictims(p) {
  if
  :: victims = committed & ~BIT(p)
  :: victims = committed & BIT((p + 1) % N)
  :: victims = committed & BIT((p + 2) % N)
  fi;
  after = committed & ~victims
}

inline Update(p) {
  d_step { operations_left > 0 && !night && change_right == NONE ->
           operations_left--; change_right = p };
  LoadPublished();
  if
  :: HAS(committed, p) ->
     atomic { ChooseVictims(p); shut_ok = true; drained = true; before = committed };
     if
     :: victims != 0 -> FenceAndCommit()
     :: else
     fi
  :: else ->  // REGISTER
     d_step { victims = 0; after = committed | BIT(p) };
     Save(after);
     Publish()
  fi;
  atomic { victims = 0; after = 0; before = 0; slots = 0; shut_ok = false; drained = false; Unlock() }
}

inline Reset() {
  atomic {
    victims = 0; after = 0; before = 0; slots = 0; shut_ok = false; drained = false; i = 0; c = 0;
    fenced = false; begin = 0
  }
}

proctype DeviceServer(byte p) provided (life[p] != kStopped) {
  byte i, c, victims, after, before, slots, begin;
  bool shut_ok, drained, fenced;
end_life:
  {
    if
    :: !HAS(slot_locks, p) -> Attach(p)
    :: HAS(slot_locks, p)
    fi;
end_idle:
    do
    :: Update(p)
    od
  } unless { IS_OVER(p) };
  Reset();
  ended[p]++;
end_dead:
  RUNS(p);
  goto end_life
}

// store/watcher.h. From the doorbell's ringing to the end of the fencing it
// looks every now and then; here: whenever it could get the right to change.
proctype Watcher(byte p) provided (life[p] != kStopped) {
  byte i;
end_life:
  {
end_asleep:
    do
#ifndef LEAVE_A_DEAD_FENCERS_GATE_SHUT
    :: atomic { HAS(slot_locks, p) && rung && fencing != 0 && change_right == NONE ->
                change_right = p };
       LoadPublished();
       Unlock()
#endif
    :: false
    od
  } unless { IS_OVER(p) };
  atomic { i = 0; ended[p]++ };
end_dead:
  RUNS(p);
  goto end_life
}

// At rest nobody is dying or stopped, and every command has left.
inline CheckAtRest() {
  i = 0;
  assert(change_right == NONE && members == NONE);
  do
  :: i < N ->
     if
     :: HAS(slot_locks, i) ->
        // (d)
        assert(fencing == 0 || !rung);
        assert(slot[i].access == ALLOWED_ACCESS(committed, i));
        assert(slot[i].draining == 0 && slot[i].current == 0)
     :: else
     fi;
     i++
  :: else -> break
  od;
  i = 0
}

// Signals, and the kernel.
proctype Killer() {
  byte p, i, c;
  byte kills = KILLS, stops = STOPS, restarts = RESTARTS;
  do
  :: atomic { kills > 0 && !night ->
       kills--;
       if
       :: !IS_OVER(0) -> p = 0
       :: !IS_OVER(1) -> p = 1
       :: !IS_OVER(2) -> p = 2
       fi;
       life[p] = kDying };
     // It waits for what is in the kernel, and drops the locks.
     d_step {
       life[p] = kGone;
       slot_locks = slot_locks & ~BIT(p);
       ForgetCommands(p);
       if
       :: change_right == p -> change_right = NONE
       :: else
       fi;
       if
       :: members == p -> members = NONE
       :: else
       fi
     };
     if
     :: d_step { restarts > 0 && ended[p] == 2 -> restarts--; ended[p] = 0; life[p] = kRuns }
     :: true
     fi;
     p = 0
  :: d_step { stops > 0 && !night && RUNS(0) -> stops--; life[0] = kStopped }
  :: d_step { stops > 0 && !night && RUNS(1) -> stops--; life[1] = kStopped }
  :: d_step { stops > 0 && !night && RUNS(2) -> stops--; life[2] = kStopped }
  :: d_step { life[0] == kStopped -> life[0] = kRuns }
  :: d_step { life[1] == kStopped -> life[1] = kRuns }
  :: d_step { life[2] == kStopped -> life[2] = kRuns }
  :: d_step { !night -> night = true; kills = 0; stops = 0; operations_left = 0 }
  :: timeout -> CheckAtRest(); break
  od
}

init {
  atomic {
    byte n = 0;
    do
    :: n < N ->
       slot[n].access = kFullAccess;
       run DeviceServer(n);
       run Watcher(n);
       n++
    :: else -> break
    od;
    n = 0;
    do
    :: n < SENDING -> run Commands(n); n++
    :: else -> break
    od;
    n = 0;
    run Killer()
  }
}
