// SPDX-License-Identifier: GPL-2.0-or-later
//
// A model of a nexus that goes from host to host while it is fenced, for spin: hosts 0 and 1
// have QEMUs and daemons, a third one sends PREEMPT AND ABORT. docs/many-hosts.md says what is
// checked and what is left out.
//
// The engine is variables; every compare-and-write is one atomic step, and any of them may be
// applied at any later time, or never, when nobody waits for its answer any more. Nobody is
// declared dead: hosts.pml has that.
//
// A planted bug is a macro; each must be found.

#define N 2
#define NOBODY 2
#define NOT(h) (1 - (h))

#ifndef COMINGS
#define COMINGS 2    // attachments after the first one
#endif
#ifndef HAND_OVERS
#define HAND_OVERS 2
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef LATE
#define LATE 1       // writes without an answer
#endif
#ifndef FENCINGS
#define FENCINGS 1   // attempts
#endif

// ---- the engine: NexusRecord, ChangeRecord, AckRecord, StateRecord
typedef NexusRecord { byte host = NOBODY; byte heir = NOBODY; bool owned };
NexusRecord nexus;
unsigned revision : 4;  // of the nexus's record; never the same again within the bounds
byte change = 0;        // the id of the intent; 0: none
byte ack[N];
bool committed = false;
#define IS_AT(record, h) (record.host == (h) || record.heir == (h))

// ---- of each host: what is sent and has no answer,
typedef Sent { bool pending; NexusRecord next; unsigned compares : 4; bool compares_change };
Sent late[N];
// its QEMU,
mtype = { kGone, kRuns, kDying };  // a dying one runs no more, but what it has sent goes on
mtype qemu[N] = kGone;
bool owns[N];           // ClusterStore::Ownership, and the tenure
bool handing_over[N];   // the errand is repeated until it is carried out
bool ended[N];          // the daemon has not detached it yet
// its gate, and Participant.
bool allowed[N];
byte in_flight[N];
byte shut_for[N];
bool looks[N];          // what is read from now on is awaited
bool fenced_good = false;

byte comings = COMINGS, hand_overs = HAND_OVERS, kills = KILLS, lates = LATE;

// ---------------------------------------------------------------- The engine

// (1) Whoever owns the nexus has the record.
inline Write(new_host, new_heir, new_owned) {
  nexus.host = new_host;
  nexus.heir = new_heir;
  nexus.owned = new_owned;
  revision++;
  assert(revision != 0);
  assert(!owns[0] || (nexus.host == 0 && nexus.owned));
  assert(!owns[1] || (nexus.host == 1 && nexus.owned))
}

#define HOLDS(compared, by_change) \
  ((compared) == revision && (!(by_change) || change == 0))

inline WriteLate() { Write(late[h].next.host, late[h].next.heir, late[h].next.owned) }

inline ForgetLate() {
  late[h].pending = false; late[h].compares = 0; late[h].compares_change = false;
  late[h].next.host = NOBODY; late[h].next.heir = NOBODY; late[h].next.owned = false
}

proctype Later(byte h) {
end:
  do
  :: atomic { late[h].pending ->
       if
       :: HOLDS(late[h].compares, late[h].compares_change) -> WriteLate()
#ifdef TAKE_OVER_WITHOUT_COMPARE
       :: late[h].next.host == h && late[h].next.owned && !HOLDS(late[h].compares, false) ->
          WriteLate()
#endif
#ifdef DETACH_WITHOUT_COMPARE
       :: late[h].next.host == NOBODY && !HOLDS(late[h].compares, false) -> WriteLate()
#endif
       :: else
       fi;
       ForgetLate() }
  :: atomic { late[h].pending -> ForgetLate() }  // lost
  od
}

// ---------------------------------------------------------------- NexusChange

// `done`: it was applied, and answered.
inline SendIt(h, by_change) {
  if
  :: atomic { done = false;
       if
       :: HOLDS(compared, by_change) -> Write(next.host, next.heir, next.owned); done = true
#ifdef TAKE_OVER_WITHOUT_COMPARE
       :: next.host == h && next.owned && !by_change && compared != revision ->
          Write(next.host, next.heir, next.owned); done = true
#endif
#ifdef DETACH_WITHOUT_COMPARE
       :: next.host == NOBODY && compared != revision ->
          Write(next.host, next.heir, next.owned); done = true
#endif
       :: else
       fi }
  :: atomic { lates > 0 && !late[h].pending ->
       lates--; done = false;
       late[h].pending = true; late[h].compares = compared; late[h].compares_change = by_change;
       late[h].next.host = next.host; late[h].next.heir = next.heir;
       late[h].next.owned = next.owned }
  fi
}

inline Read() {
  next.host = nexus.host; next.heir = nexus.heir; next.owned = nexus.owned; compared = revision
}

inline Forget() {
  d_step { next.host = NOBODY; next.heir = NOBODY; next.owned = false; compared = 0; done = false }
}

// NexusOperation::Show(), and the answer.
inline Own(h) {
  if
  :: done ->
#ifndef ANSWER_BEFORE_THE_GATE
     looks[h] = true;
     !looks[h];
#endif
     d_step {
       if
       :: qemu[h] == kRuns -> owns[h] = true; assert(nexus.host == h && nexus.owned)
       :: else
       fi }
  :: else
  fi
}

// A QEMU and the daemon of its host; the operations of a nexus are one after the other.
proctype Host(byte h) {
  NexusRecord next; unsigned compared : 4; bool done;
end:
  do
  // Attach: the slot first, allowed nothing; the kernel's locks let one process in at a time.
  :: atomic { qemu[h] == kGone && !ended[h] && comings > 0 ->
       comings--; qemu[h] = kRuns; allowed[h] = false };
     d_step { Read() };
     if
     :: next.host == NOBODY || (next.host == h && next.heir == NOBODY) ->
        d_step { next.host = h; next.owned = true };
        SendIt(h, true);
        Own(h)
     :: next.host == NOT(h) && (next.heir == NOBODY || next.heir == h) ->
        next.heir = h;
        SendIt(h, true)
     :: else
     fi;
     if
     :: atomic { !done && qemu[h] == kRuns && !owns[h] -> qemu[h] = kGone; ended[h] = true }
     :: else
     fi;
     Forget()

  // Hand over: nothing of it is under way.
  :: atomic { owns[h] && qemu[h] == kRuns && hand_overs > 0 &&
#ifndef HAND_OVER_WITH_COMMANDS
       in_flight[h] == 0 &&
#endif
       !handing_over[h] ->
       hand_overs--; owns[h] = false; handing_over[h] = true }
  :: handing_over[h] && qemu[h] == kRuns -> handing_over[h] = false  // it is to own it again
  :: atomic { handing_over[h] -> Read() };
     if
     :: next.host == h && next.owned ->
        next.owned = false;
        SendIt(h, false);
        handing_over[h] = !done
     :: else -> handing_over[h] = false
     fi;
     Forget()

  // Take over: the heir, or the source that takes it back.
  :: atomic { qemu[h] == kRuns && !owns[h] && !handing_over[h] && IS_AT(nexus, h) -> Read() };
     if
#ifdef TAKE_BACK_WITHOUT_WRITING
     :: next.host == h && next.owned -> owns[h] = true
     :: (next.host == h && !next.owned) || (next.heir == h && !next.owned) ->
#else
#ifdef TAKE_FROM_THE_OWNER
     :: next.host == h || next.heir == h ->
#else
     :: next.host == h || (next.heir == h && !next.owned) ->
#endif
#endif
        d_step { next.host = h; next.heir = NOBODY; next.owned = true };
        SendIt(h, false);
        Own(h)
     :: else
     fi;
     Forget()

  // Detach: the kernel's locks have gone with the process. Until it is carried out.
  :: atomic { ended[h] -> handing_over[h] = false; Read() };
     if
     :: next.host == h && next.heir == NOBODY ->
        d_step { next.host = NOBODY; next.owned = false };
        SendIt(h, false); ended[h] = !done
     :: next.host == h && next.heir != NOBODY ->
        next.owned = false;
        SendIt(h, false); ended[h] = !done
     :: next.host != h && next.heir == h ->
        next.heir = NOBODY;
        SendIt(h, false); ended[h] = !done
     :: else -> ended[h] = false
     fi;
     Forget()
  od
}

// ---------------------------------------------------------------- Commands

proctype Command(byte h) {
end:
  do
  :: atomic { owns[h] && qemu[h] == kRuns && allowed[h] ->
       assert(in_flight[NOT(h)] == 0);  // (2) the nexus is on one host
       in_flight[h]++ };
     d_step { assert(!fenced_good);     // (3) it reaches the medium
       in_flight[h]-- }
  od
}

proctype Killer(byte h) {
end:
  do
  :: atomic { kills > 0 && qemu[h] == kRuns -> kills--; qemu[h] = kDying }
  :: atomic { qemu[h] == kDying && in_flight[h] == 0 ->
       qemu[h] = kGone; owns[h] = false; allowed[h] = false; ended[h] = true }
  od
}

// ---------------------------------------------------------------- Participant

proctype Participant(byte h) {
  byte seen; bool is_out, is_here, is_awaited;
end:
  do
  :: d_step { is_awaited = looks[h]; seen = change; is_out = committed; is_here = IS_AT(nexus, h) };
     d_step {
       if
       :: shut_for[h] != seen -> shut_for[h] = 0
       :: else
       fi;
       if
       :: seen != 0 && shut_for[h] != seen ->
          shut_for[h] = seen; allowed[h] = false
       :: else
       fi;
       if
       :: shut_for[h] == 0 && qemu[h] != kGone -> allowed[h] = !is_out && is_here
       :: else
       fi;
       if
       :: is_awaited -> looks[h] = false
       :: else
       fi;
       is_awaited = false; seen = 0; is_out = false; is_here = false }
  :: atomic { change != 0 && ack[h] != change && shut_for[h] == change &&
#ifdef ACK_BEFORE_DRAIN
       true
#else
       in_flight[h] == 0
#endif
       -> ack[h] = change }
  od
}

// ---------------------------------------------------------------- Change

proctype Change() {
  byte id = 1; bool all;
end:
  do
  :: id > FENCINGS || committed -> break
  :: else ->
     change = id;
     do
     // Asked(): each answer shows the record and the acknowledgements of one step.
     :: d_step {
          all = (!IS_AT(nexus, 0) || ack[0] == id) && (!IS_AT(nexus, 1) || ack[1] == id) };
        if
        :: all ->
           atomic {
             if
             :: change == id -> committed = true; change = 0
             :: else
             fi };
           d_step {
             if
             :: committed -> fenced_good = true
             :: else
             fi };
           break
        :: else
        fi
     // It is given up, or somebody loses patience.
     :: atomic { change = 0; break }
     od;
     atomic { all = false; id++ }
  od
}

init {
  atomic {
    nexus.host = 0; nexus.owned = true; qemu[0] = kRuns; owns[0] = true; allowed[0] = true;
    run Host(0); run Host(1);
    run Command(0); run Command(1);
    run Killer(0); run Killer(1);
    run Participant(0); run Participant(1);
    run Later(0); run Later(1);
    run Change()
  }
}
