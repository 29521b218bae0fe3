// SPDX-License-Identifier: GPL-2.0-or-later
//
// A model of changes across hosts, for spin: host 0, and host 2 if there are two fencers, take the
// access of the one nexus of host 1 away. docs/many-hosts.md says what is checked and what is left
// out.
//
// The engine is variables; every compare-and-write is one atomic step. A commit, and the joining
// of a host, may be applied at any later time. Everybody may be arbitrarily slow: that is the
// freeze. Time is discrete, and the clocks of both hosts are one.
//
// A planted bug is a macro; each must be found.

#ifndef ABORTS
#define ABORTS 1    // PREEMPT AND ABORT; 0: PREEMPT
#endif
#ifndef FENCERS
#define FENCERS 1   // at once; 2: three hosts
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 2  // changes of a fencer, one after the other
#endif
#ifndef COMMANDS
#define COMMANDS 1  // of the victim at a time
#endif
#ifndef T_MAX
#define T_MAX 4
#endif
#ifndef MARKS
#define MARKS 2     // of the record of host 1
#endif
#define D 1
#ifdef DEAD_TOO_EARLY
#define WAIT 0
#else
#define WAIT D
#endif

byte now = 1;
bool over = false;

// ---- the engine
byte change = 0;      // the id of the intent, never used twice; 0: none
byte ack = 0;         // the id that host 1 has acknowledged
byte committed = 0;   // the id that was; 0: none
mtype = { kAlive, kSuspect, kDead };
mtype state = kAlive; // of host 1
unsigned revision : 2;  // of its record
byte commit_sent[FENCERS] = 0; // the id; 0: nothing
bool join_sent = false;
unsigned join_revision : 2;

// ---- host 1: its gate,
bool allowed = true;
byte in_flight = 0;
byte admit_until = 1 + D;
// Membership, Participant
bool member = true;
bool closed = false;
bool current = false; // what it reads counts
byte shut_for = 0;
bool drained = false;

// ---- the proof
bool good = false;    // the command has ended in GOOD
bool given_up[FENCERS * ATTEMPTS + 1] = false; // the attempts that have ended in another status

inline Write(next) { state = next; revision++ }

proctype Clock() {
  do
  :: now < T_MAX -> now++
  :: now >= T_MAX -> break
  od;
  over = true
}

// ---------------------------------------------------------------- Commands

// GateSlot::Enter(): counted, then late or not.
proctype Command() {
  bool after;
end:
  do
#ifdef CLOCK_BEFORE_COUNT
  :: d_step { now <= admit_until && !over -> skip };
     if
     :: atomic { allowed -> in_flight++; after = (committed != 0) };
        d_step { assert(state != kDead); assert(!after) };
        d_step { assert(!good || !ABORTS); in_flight-- }
     :: !allowed
     fi;
     after = false
#else
  :: atomic { allowed && !over -> in_flight++; after = (committed != 0) };
     if
     :: d_step { now <= admit_until ->
          assert(state != kDead);              // (1)
          assert(!after) };                    // (2)
        d_step { assert(!good || !ABORTS);     // (3) it reaches the medium
          in_flight-- }
     :: d_step { now > admit_until -> in_flight-- }
     fi;
     after = false
#endif
  od
}

// ---------------------------------------------------------------- Membership

// Membership::Outside::Shut(): gates, and Participant::Close().
inline Shut() {
  d_step { allowed = false; admit_until = 0; closed = true; current = false }
}

inline Admit(t) {
  d_step {
    if
    :: member && t + D > admit_until -> admit_until = t + D
    :: else
    fi }
}

inline ApplyJoin() {
  atomic {
    if
    :: join_sent && revision == join_revision -> Write(kAlive)
    :: else
    fi;
    join_sent = false }
}

proctype Membership() {
  byte t; unsigned seen : 2; mtype found;
end:
  do
  :: !over ->
     d_step { t = now; found = state; seen = revision };
     if
     :: found == kAlive && member ->
#ifdef LEASE_FROM_RECEIVE
        t = now;
#endif
        Admit(t)
     :: found == kSuspect && member ->
#ifdef BEAR_A_SUSPICION
        Admit(t)
#else
        t = now;
        atomic {
          if
          :: revision == seen -> Write(kAlive)
          :: else -> t = 0
          fi };
        if
        :: t != 0 -> Admit(t)
        :: else
        fi
#endif
     :: found == kDead && member -> // Lose()
        member = false;
#ifdef DRAIN_BEFORE_SHUT
        in_flight == 0;
#endif
        Shut();
#ifndef JOIN_BEFORE_DRAIN
#ifndef DRAIN_BEFORE_SHUT
        in_flight == 0;
#endif
#endif
#ifdef READ_BEFORE_JOINING
        d_step { closed = false; current = false }
#endif
     :: found != kAlive && !member -> // Join(), that may be applied later
        d_step { join_sent = true; join_revision = seen };
        if
        :: ApplyJoin()
        :: true
        fi
     :: found == kAlive && !member -> // BeMember()
        d_step {
          member = true;
#ifndef READ_BEFORE_JOINING
          closed = false; current = false
#endif
        };
        Admit(t)
     fi;
     d_step { t = 0; seen = 0; found = kAlive }
  od
}

// ---------------------------------------------------------------- Participant

proctype Participant() {
  byte seen; bool is_out;
end:
  do
  :: !over ->
     d_step { current = true; seen = change; is_out = (committed != 0) };
     d_step {
       if
#ifdef OPEN_BY_AN_OLD_READ
       :: true ->
#else
       :: current ->
#endif
          if
          :: shut_for != seen -> shut_for = 0
          :: else
          fi;
          if
          :: seen != 0 && shut_for != seen ->
             shut_for = seen; allowed = false;
#ifdef ACK_BEFORE_DRAIN
             drained = true
#else
             drained = !ABORTS
#endif
          :: else
          fi;
          if
#ifdef OPEN_BEFORE_JOINING
          :: true -> allowed = !is_out && shut_for == 0
#else
          :: !closed -> allowed = !is_out && shut_for == 0
          :: else
#endif
          fi
       :: else
       fi };
     d_step { current = false; seen = 0; is_out = false }
  :: d_step { shut_for != 0 && !drained && in_flight == 0 -> drained = true }
  :: atomic { shut_for != 0 && drained && ack != shut_for ->
       if
       :: change == shut_for -> ack = shut_for
       :: else
       fi }
  // Out of patience; at any time.
  :: atomic { shut_for != 0 && change == shut_for && !over ->
#ifdef REOPEN_WITHOUT_DELETING
       allowed = !committed
#else
       change = 0
#endif
     }
  od
}

// ---------------------------------------------------------------- Change

inline ApplyCommit(fencer) {
  atomic {
    if
#ifdef COMMIT_WITHOUT_THE_CHANGE
    :: commit_sent[fencer] != 0 && !committed ->
#else
    :: commit_sent[fencer] != 0 && change == commit_sent[fencer] ->
#endif
       assert(!given_up[commit_sent[fencer]]);   // (4)
       committed = commit_sent[fencer]; change = 0
    :: else
    fi;
    commit_sent[fencer] = 0 }
}

// What was sent, and had no answer.
proctype Late() {
end:
  do
  :: commit_sent[0] != 0 -> ApplyCommit(0)
#if FENCERS > 1
  :: commit_sent[1] != 0 -> ApplyCommit(1)
#endif
  :: join_sent -> ApplyJoin()
  od
}

// TakeAway(): afterwards it can not be committed any more.
inline Settle() {
  atomic {
#ifndef GIVE_UP_WITHOUT_DELETING
    if
    :: change == id -> change = 0
    :: else
    fi;
#endif
    if
    :: committed == id -> good = true
    :: else -> given_up[id] = true
    fi }
}

proctype Change(byte fencer) {
  byte id = fencer * ATTEMPTS + 1, r, marks_left = MARKS;
  bool marked; unsigned mark : 2;
end:
  do
  :: id > (fencer + 1) * ATTEMPTS || over || committed -> break
#if FENCERS > 1
  // Its owner may be dead, or slow.
  :: atomic { change != 0 && !over && !committed -> change = 0 }
#endif
  :: else ->
     atomic {
       if
       :: change == 0 && !committed -> change = id
       :: else -> goto next
       fi };
     // Wait(), Declaration::Next(): each look is an answer that comes now.
     do
     :: atomic { ack == id -> goto commit }
     :: d_step { ack != id && state == kAlive && marks_left > 0 && !over ->
          marks_left--; Write(kSuspect) }
     :: d_step { ack != id && state == kSuspect && !(marked && mark == revision) ->
#ifdef ANY_MARK_COUNTS
          r = (marked -> r : now);
#else
          r = now;
#endif
          marked = true; mark = revision }
     :: d_step { ack != id && state == kSuspect && marked && mark == revision && now > r + WAIT ->
          Write(kDead) }
#ifdef DECLARE_WITHOUT_COMPARE
     :: d_step { ack != id && state != kDead && marked && now > r + WAIT -> Write(kDead) }
#endif
#ifdef ABORT_THE_DEAD
     :: atomic { state == kDead -> goto commit }
#else
     :: atomic { state == kDead && !ABORTS -> goto commit }
#endif
     :: goto give_up                               // the deadline
     :: break                                      // killed
     od;
     break;
commit:
     commit_sent[fencer] = id;
     if
     :: atomic { commit_sent[fencer] == 0 ->
          if
          :: committed == id -> good = true; break
          :: else
          fi }
     :: true
     fi;
give_up:
     Settle();
next:
     atomic { id++; marked = false; mark = 0; r = 0 }
  od
}

init {
  atomic {
    byte n = 0;
    run Clock(); run Membership(); run Participant(); run Change(0); run Late();
#if FENCERS > 1
    run Change(1);
#endif
    do
    :: n < COMMANDS -> run Command(); n++
    :: else -> break
    od;
    n = 0
  }
}
