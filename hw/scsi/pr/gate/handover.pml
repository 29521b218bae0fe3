// SPDX-License-Identifier: GPL-2.0-or-later
//
// A model of handing a nexus over (docs/design.md) while it is fenced, for spin.
// docs/testing.md says what is checked and what is left out.
//
// Two processes have the nexus of one slot: each has commands, and hands it over
// and takes it whenever it can. A fencer sends PREEMPT AND ABORT, after which the
// nexus keeps its access or not, and lets it have access again (REGISTER). A killer
// kills the two between any two steps, and starts them again. When both are gone the
// nexus is not attached; who comes then attaches it anew, in the same slot.
//
// A step is one atomic operation of the code on what processes share. A planted
// bug is a macro; each must be found.

#define N 2
#define NONE 7
#define kNoTenure 15

#ifndef FENCINGS
#define FENCINGS 2
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifndef HAND_OVERS
#define HAND_OVERS 3
#endif
#ifndef COMMANDS
#define COMMANDS 3  // of the first process two at a time
#endif
#define OWNER(c) ((c) < 2 -> 0 : 1)

// A dying process runs no more, but what it has sent may still reach the medium.
mtype = { kRuns, kDying, kGone };
mtype life[N] = kRuns;
byte ended[N];  // how many threads of a process have seen its end
#define RUNS(p) (life[p] == kRuns)

// gate/admission.h; one access class.
typedef Admission {
  bool access;
  unsigned epoch : 2;
  unsigned tenure : 3;
  unsigned current : 3;
  unsigned draining : 3
};
Admission slot;
#define NEXT_EPOCH ((slot.epoch + 1) & 3)
#define NEXT_TENURE ((slot.tenure + 1) & 7)

bool attached = true;       // as long as one of the two runs
unsigned attachment : 2;
// gate/gate.h, and State: what is committed, as far as it is about the nexus.
unsigned published : 3;
bool fencing = false;       // it has shut the gate, and is not published
bool allowed = true;
#if KILLS < 2  // nobody ever attaches it anew, and asks for the version
#define COMMIT(state) skip
#else
#define COMMIT(state) published++; allowed = state
#endif

// store/backing.h: the kernel drops it when its process is gone.
byte owner_lock = 0;
// server/device_server.h: of each process.
byte tenure[N];

mtype = { kIdle, kAsks, kIn };
typedef Command {
  mtype where = kIdle;
  byte tenure;
  unsigned epoch : 2;
  // Of the proof: entered before the drain of a fencing; that has ended in GOOD.
  bool old;
  bool stale
};
Command command[COMMANDS];

// A request that is parked, and goes on wherever its nexus does.
bool parked = false;
bool travels = false;  // in the text: it outlives its process
unsigned parked_epoch : 2;
bool parked_old = false;    // as those of a command
bool parked_stale = false;

// What is handed over.
bool handed = false;
unsigned handed_epoch : 2;
unsigned handed_attachment : 2;
unsigned handed_version : 3;

bool keeps = true;  // of the fencing under way: its victim keeps its access
byte fencings_left = FENCINGS, hand_overs_left = HAND_OVERS;

#define IS_IN(c) (command[c].where == kIn)

inline Forget(c) {
  command[c].where = kIdle; command[c].tenure = 0; command[c].epoch = 0;
  command[c].old = false; command[c].stale = false
}

// ---------------------------------------------------------------- Commands

// Who is in is the owner, and nobody else is in, nor is anything of a former
// owner still on its way.
inline CheckOwner(c) {
  assert(owner_lock == OWNER(c));
  k = 0;
  do
  :: k < COMMANDS -> assert(!(IS_IN(k) && OWNER(k) != OWNER(c))); k++
  :: else -> break
  od;
  k = 0
}

inline Leave(c) {
  if
  :: slot.epoch == command[c].epoch -> slot.current--
  :: else -> slot.draining--
  fi
}

proctype Commands(byte c) {
  byte k;
end:
  do
  :: d_step { RUNS(OWNER(c)) && command[c].where == kIdle && tenure[OWNER(c)] != kNoTenure ->
       command[c].where = kAsks; command[c].tenure = tenure[OWNER(c)] }
  :: d_step { RUNS(OWNER(c)) && command[c].where == kAsks ->
       if
#ifdef ASK_BEFORE_ENTERING
       :: slot.access ->
#else
       :: slot.access && slot.tenure == command[c].tenure ->
#endif
          slot.current++;
          command[c].epoch = slot.epoch;
          command[c].where = kIn;
          CheckOwner(c)
       :: else -> Forget(c)
       fi }
  :: d_step { RUNS(OWNER(c)) && IS_IN(c) -> Leave(c); Forget(c) }
  // It leaves, but is to go on: scsi_pr_fenced_since() asks for its epoch.
  :: d_step { RUNS(OWNER(c)) && IS_IN(c) && !parked && !handed ->
       Leave(c);
       parked = true; parked_epoch = command[c].epoch; travels = false;
       parked_old = command[c].old; parked_stale = false;
       Forget(c) }
  od
}

// ---------------------------------------------------------------- Ownership

inline DropParked() {
  parked = false; travels = false; parked_epoch = 0; parked_old = false; parked_stale = false
}

// DeviceServer::HandOver(), LocalStore::HandOver().
inline HandOver(p) {
  d_step { hand_overs_left > 0 && tenure[p] != kNoTenure && tenure[p] == slot.tenure ->
           hand_overs_left--; epoch_then = slot.epoch };
#ifdef UNLOCK_FIRST
  owner_lock = (owner_lock == p -> NONE : owner_lock);
#endif
  d_step {
    if
#ifdef HAND_OVER_WITH_COMMANDS
    :: true ->
#else
    :: slot.current == 0 && slot.draining == 0 ->
#endif
       slot.tenure = NEXT_TENURE; ok = true
    :: else -> ok = false
    fi };
  if
  :: ok ->
     // The shim writes the text when the tenure is over.
     d_step {
       handed = true;
       handed_epoch = epoch_then;
       handed_attachment = attachment;
       handed_version = published;
#ifndef FORGET_WHO_IS_PARKED
       if
       :: parked && slot.epoch != parked_epoch -> DropParked()
       :: else
       fi;
#endif
       travels = parked };
     owner_lock = (owner_lock == p -> NONE : owner_lock);
     tenure[p] = kNoTenure
  :: else
  fi;
  d_step { epoch_then = 0; ok = false }
}

// LocalStore::Attach(), with what is allowed whatever becomes of a fencing under way.
inline Attach() {
  attached = true; attachment = (attachment + 1) & 3;
  slot.access = allowed && (!fencing || keeps);
  slot.epoch = 0; slot.tenure = 0; slot.current = 0; slot.draining = 0
}

#ifdef FORGET_THE_FENCING_UNDER_WAY
#define FENCED_BEFORE (published != handed_version)
#else
#define FENCED_BEFORE (published != handed_version || fencing)
#endif

// LocalStore::Arrive(): from here on the epochs of this attachment tell.
inline Arrive(p) {
  d_step { handed && tenure[p] == kNoTenure && handed_attachment != attachment ->
    if
    :: !FENCED_BEFORE -> handed_attachment = attachment; handed_epoch = slot.epoch
    :: else -> DropParked(); handed = false
    fi }
}

#ifdef COMPARE_VERSIONS_WHEN_TAKING_OVER
#define MAY_BE_FENCED_SINCE \
  (handed_attachment == attachment -> slot.epoch != handed_epoch : published != handed_version)
#else
#define MAY_BE_FENCED_SINCE (handed_attachment != attachment || slot.epoch != handed_epoch)
#endif

// LocalStore::TakeOver(), MayBeFencedSince(). What is parked goes on, or is aborted.
inline TakeOver(p) {
  d_step { tenure[p] == kNoTenure && owner_lock == NONE -> owner_lock = p };
  d_step {
    slot.tenure = NEXT_TENURE;
#ifndef KEEP_THE_COUNTS
    slot.current = 0; slot.draining = 0;
#endif
    tenure[p] = slot.tenure };
  d_step {
#ifdef TRUST_WHAT_ARRIVES
    assert(!(parked && parked_stale));
#else
    // What goes on enters: it must be none that a fencing has passed over, nor one
    // that a fencing under way will have passed over, when the access is not in question.
    assert(!(parked && (parked_stale || (parked_old && fencing)) && handed && !MAY_BE_FENCED_SINCE));
#endif
    DropParked(); handed = false; handed_epoch = 0; handed_attachment = 0; handed_version = 0 }
}

proctype Machine(byte p) {
  byte epoch_then;
  bool ok;
end_life:
  {
    d_step {
      if
      :: !attached -> Attach()
      :: else
      fi };
end_idle:
    do
    :: HandOver(p)
#ifndef COMPARE_VERSIONS_WHEN_TAKING_OVER
    :: Arrive(p)
#endif
    :: TakeOver(p)
    od
  } unless { !RUNS(p) };
  atomic { epoch_then = 0; ok = false; ended[p]++ };
end_dead:
  RUNS(p);
  goto end_life
}

// ---------------------------------------------------------------- the fence

// Whatever is in may reach the medium at any time: none that a GOOD has promised
// to be over.
inline CheckMedium() {
  k = 0;
  do
  :: k < COMMANDS -> assert(!(IS_IN(k) && command[k].stale)); k++
  :: else -> break
  od;
  k = 0
}

// A drain waits for commands that entered before it, and for no others.
inline CheckAwaited() {
  k = 0; awaited = false;
  do
  :: k < COMMANDS -> awaited = awaited || (IS_IN(k) && command[k].old); k++
  :: else -> break
  od;
  k = 0;
  assert(awaited);
  awaited = false
}

inline Shut() {
  fencing = true;
  if
  :: attached ->
     slot.access = slot.access && keeps;
     slot.epoch = NEXT_EPOCH;
     slot.draining = slot.draining + slot.current;
     slot.current = 0
  :: else
  fi;
  k = 0;
  do
  :: k < COMMANDS -> command[k].old = command[k].old || IS_IN(k); k++
  :: else -> break
  od;
  k = 0;
  parked_old = parked
}

inline Good() {
  k = 0;
  do
  :: k < COMMANDS -> command[k].stale = IS_IN(k) && command[k].old; k++
  :: else -> break
  od;
  k = 0;
  parked_stale = parked && parked_old;
  CheckMedium()
}

#define IN_OFFICE (owner_lock == NONE || tenure[owner_lock & 1] == slot.tenure)
#ifdef TRUST_A_CLAIM
#define IS_OWNED (RUNS(0) || RUNS(1))
#else
#define IS_OWNED (owner_lock != NONE)
#endif

proctype Fencer() {
  byte k;
  bool awaited, drained;
end:
  do
  :: d_step { fencings_left > 0 -> fencings_left--; keeps = true };
     if
     :: keeps = false
     :: true
     fi;
     d_step { Shut() };
     drained = false;
     do
     :: slot.draining == 0 -> drained = true; break
     :: slot.draining != 0 ->
        if
        :: !IS_OWNED -> drained = true; break
        // The deadline. Who has just taken over has yet to clear the counts.
        :: d_step { IS_OWNED ->
             if
             :: slot.draining != 0 && IN_OFFICE -> CheckAwaited()
             :: else
             fi };
           break
        fi
     od;
     if
     :: drained -> d_step {
          COMMIT(keeps);
          slot.access = keeps && attached;
          fencing = false;
          Good() }
     :: else -> d_step { slot.access = attached; fencing = false }
     fi;
     d_step { COMMIT(true); slot.access = attached }  // REGISTER
  od
}

// Signals, and the kernel.
proctype Killer() {
  byte p, k;
  byte kills = KILLS;
end:
  do
  :: atomic { kills > 0 -> kills--;
       if
       :: RUNS(0) -> p = 0
       :: RUNS(1) -> p = 1
       fi;
       life[p] = kDying };
     d_step {
       life[p] = kGone;
       k = 0;
       do
       :: k < COMMANDS ->
          if
          :: OWNER(k) == p -> Forget(k)
          :: else
          fi;
          k++
       :: else -> break
       od;
       k = 0;
       tenure[p] = kNoTenure;
       if
       :: !RUNS(0) && !RUNS(1) -> attached = false; slot.access = false
       :: else
       fi;
       if
       :: owner_lock == p ->
          owner_lock = NONE;
          if
          :: !travels -> DropParked()
          :: else
          fi
       :: else
       fi };
     if
     :: d_step { ended[p] == 1 -> ended[p] = 0; life[p] = kRuns }
     :: true
     fi;
     p = 0
  od
}

init {
  atomic {
    byte n = 0;
    slot.access = true;
    tenure[1] = kNoTenure;
    run Machine(0); run Machine(1); run Fencer(); run Killer();
    do
    :: n < COMMANDS -> run Commands(n); n++
    :: else -> break
    od;
    n = 0
  }
}
