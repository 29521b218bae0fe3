// SPDX-License-Identifier: GPL-2.0-or-later
//
// A model of the proofs that a silent host is gone, for spin: a PREEMPT AND ABORT of the one nexus
// of that host, whose intent stands; the host acknowledges nothing. How it is declared dead, how it
// joins, and what may be applied late is in hosts.pml, and here as simple as can be.
//
// Everybody may be arbitrarily slow, but for the watchdog, which is never late. Time is discrete,
// and the clocks are one. A planted bug is a macro; each must be found.

#define CONFIRMED 1
#define WATCHDOG 2
#define STORAGE 3
#ifndef PROOF
#define PROOF WATCHDOG
#endif
#ifndef COMMANDS
#define COMMANDS 1
#endif
#ifndef KILLS
#define KILLS 1     // of the daemon
#endif
#ifndef T_MAX
#define T_MAX 10
#endif
#define D 1
#define W 2     // two, for a time of one leaves nothing between
#ifdef ONE_TURN_IS_ENOUGH
#define TURNS 1
#elif defined(TWO_TURNS_ARE_ENOUGH)
#define TURNS 2
#else
#define TURNS 3     // kWatchdogTurns
#endif

byte now = 0;
bool over = false;

// ---- the engine
mtype = { kAlive, kSuspect, kDead };
mtype state = kAlive;
bool proof = false;
bool intent = true, committed = false;

// ---- the silent host
bool up = true;
bool allowed = true;
byte in_flight = 0;
byte admit_until = D;
bool member = true;
byte reset_at = W;       // the watchdog; it resets when that is over
byte kills = 0;
#ifdef PET_ANYWAY
#define MAY_PET true
#else
#define MAY_PET (now <= admit_until || in_flight == 0)
#endif

// ---- the storage
bool lets_through = true;

// ---- the proof
bool good = false;

// A host that is reset or switched off takes what it has with it. What is on its way may arrive.
proctype Clock() {
  do
  :: d_step { now < T_MAX ->
       now++;
       if
       :: PROOF == WATCHDOG && up && reset_at < now -> up = false; in_flight = 0
       :: else
       fi }
  :: d_step { PROOF == CONFIRMED && up -> up = false; in_flight = 0 }
  :: now >= T_MAX -> break
  od;
  over = true
}

proctype Command() {
end:
  do
  :: atomic { up && allowed && !over -> in_flight++ };
     if
     :: atomic { !up -> goto gone }
     :: d_step { up && now > admit_until -> in_flight-- }
     :: d_step { up && now <= admit_until -> skip };
        if
#ifndef FABRIC_DELIVERS
        :: atomic { !up -> goto gone }
        :: d_step { up ->
#else
        :: d_step {
#endif
             assert(!good || !lets_through);   // it reaches the medium
             if
             :: up -> in_flight--
             :: else
             fi }
        fi
     fi;
gone: skip
  od
}

// Membership, as in hosts.pml.
proctype Membership() {
  byte t; mtype found;
end:
  do
  :: up && !over ->
     d_step { t = now; found = state };
     if
     :: atomic { up && member && found == kAlive ->
          if
          :: t + D > admit_until -> admit_until = t + D
          :: else
          fi }
     :: atomic { up && member && found == kSuspect ->
          if
          :: state == kSuspect -> state = kAlive
          :: else
          fi }
     :: atomic { up && member && found == kDead -> // Lose()
          member = false; allowed = false; admit_until = 0 }
#ifdef REGISTER_BEFORE_DRAIN
        lets_through = true;
#endif
#ifndef JOIN_BEFORE_DRAIN
     :: atomic { up && !member && in_flight == 0 ->
#else
     :: atomic { up && !member ->
#endif
          lets_through = true;
          state = kAlive; proof = false; member = true;
          allowed = !intent && !committed; admit_until = now + D }
     :: !up -> break
     :: else
     fi
  od
}

// WatchdogKeeper::Tick(): first it decides.
proctype Keeper() {
  bool decided = false;
end:
  do
  :: atomic { up && !over && !decided && MAY_PET -> decided = true }
  :: atomic { up && decided -> reset_at = now + W; decided = false }
  // The kernel pets when the device is closed; who comes next opens it, and so pets, by a decision
  // of his own.
  :: atomic { up && !over && kills < KILLS -> kills++; reset_at = now + W; decided = false }
#ifdef OPEN_ANYWAY
  :: atomic { up && !over && kills > 0 && !decided -> decided = true }
#endif
  od
}

// Change and Declaration, and Seeking: on the fencer's host.
proctype Fencer() {
  byte r;
  atomic { state == kAlive -> state = kSuspect };
  atomic { r = now };
  if
  :: atomic { state == kSuspect && now > r + D -> state = kDead }
  :: over -> goto done
  fi;
  atomic { r = now };
#if PROOF == CONFIRMED
#ifndef BELIEVE_ANYTHING
  if
  :: atomic { !up }
  :: over -> goto done
  fi;
#endif
#elif PROOF == WATCHDOG && !defined(A_LEASE_IS_ENOUGH)
  if
  :: atomic { now > r + TURNS * W }
  :: over -> goto done
  fi;
#elif PROOF == STORAGE
  atomic {
    if
    :: state == kDead -> lets_through = false
    :: else -> goto done
    fi };
#endif
  atomic {
    if
    :: state == kDead -> proof = true
    :: else -> goto done
    fi };
  atomic {
    if
    :: state == kDead && proof
    :: else -> goto done
    fi };
  d_step { committed = true; intent = false; good = true };
done: skip
}

init {
  atomic {
    byte n = 0;
    run Clock(); run Membership(); run Fencer();
#if PROOF == WATCHDOG
    run Keeper();
#endif
    do
    :: n < COMMANDS -> run Command(); n++
    :: else -> break
    od;
    n = 0
  }
}
