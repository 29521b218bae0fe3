// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whether this host is a member, and until when it may admit commands: a state machine that is
// given the time, answers of the engine and what its host has done, and asks for what is next.
// No I/O, no thread, no clock, no chance of its own. docs/many-hosts.md has the arithmetic.
//
// A host's record in the engine says what others think of it. Reading it, unchanged, by a
// request that was sent at t, is a renewal: commands are admitted until t + D. Who waits for a
// silent host marks its record (kSuspect); from when he has seen the mark he waits
// more than D by his own clock, and then writes kDead if nothing has happened to the record
// (Declaration). A host that finds itself suspected takes the mark away. One that finds itself
// dead, or somebody else in its place, has lost: it shuts all, drains all, joins as a new
// incarnation, and opens a logical unit only by what it has read since.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/engine.h"
#include "agent/records.h"

namespace scsi_pr::agent {

class Membership {
 public:
  enum class Phase {
    kStarting,  // has not read its record yet; the gates are as a predecessor left them
    kMember,    // admits as long as it is renewed
    kLeaving,   // lost: all is shut, and drains
    kJoining,   // drained; writes its new incarnation
    kRefused,   // must not join; looks again each second
  };

  struct Options {
    std::string host;
    std::string machine_id;
    std::string boot_id;
    int protocol = 1;             // the latest that this program speaks
    Time duration = 8 * kSecond;  // D of a cluster that this host is the first of
    std::function<uint64_t()> date = [] { return uint64_t{0}; };  // HostRecord::joined
    std::vector<std::string> paths = {};                          // HostRecord::paths
  };

  // What outlives the process and the boot: which store it was.
  struct Memory {
    std::string life;  // empty: nothing is known
    uint64_t cluster = 0;
    int64_t revision = 0;   // that the store has had at least
    bool restored = false;  // the store of this life was put back; only a new life helps
    // What was in force here last, of the logical units of this life; the newest first.
    static constexpr size_t kMostUnits = 1000;
    std::vector<SeenVersion> units;

    friend bool operator==(const Memory&, const Memory&) = default;
  };

  // What it asks for. Called by its own functions; these must not be called from here.
  class Outside {
   public:
    virtual ~Outside() = default;
    // Answered() comes in any case, if the process lives. One request at a time.
    virtual void Send(uint64_t request, const Transaction& transaction) = 0;
    // In all gates, at once: nothing is allowed, nothing admitted.
    virtual void Shut() = 0;
    // Drained() comes when nothing is in any gate that entered before, and the host is registered
    // with its storage since then; of the latest call only.
    virtual void Drain() = 0;
    // What is allowed may be opened, by reads sent from now on: Participant::Open().
    virtual void Open() = 0;
    // In all gates, at once. Never less than before, but for Shut().
    virtual void Admit(Time until) = 0;
    virtual void Remember(const Memory& memory) = 0;
    // It was declared dead, while its gates were as they are now; Shut() comes next.
    virtual void WasDead(const HostRecord& /*record*/) {}
    // For people, once: why it is refused. A sentence without a full stop, and what to do.
    virtual void Refused(const Status& why) = 0;
  };

  // `nonce` gives words that nobody has ever used.
  Membership(Options options, Keys keys, Memory memory, Outside& outside,
             std::function<std::string()> nonce);

  // To be called when it is NextTick(), or later.
  void Tick(Time now);
  Time NextTick() const;
  void Answered(Time now, uint64_t request, const Answer& answer);
  void Drained(Time now);
  // A member begins anew, as if it had been declared dead: for what is so only while nothing of it
  // is under way.
  void Rejoin();
  // For its record: the watchdog that is armed here, 0 for none. Until this is called, the one
  // that a predecessor has armed.
  void SetWatchdog(Time watchdog) { watchdog_ = watchdog; }
  // What its record says; nothing: it has none.
  std::optional<Time> recorded_watchdog() const { return recorded_watchdog_; }

  // What the store has of a logical unit is to be in force here. Not OK: it was put back while
  // this host did not look; then nothing of it may be, and Disbelieve() is to follow.
  Status See(const std::string& lu, const std::optional<StateRecord>& state);
  // Nothing of the store of this life counts any more.
  void Disbelieve(const std::string& life, const Status& why);

  const Memory& memory() const { return memory_; }
  Phase phase() const { return phase_; }
  const std::string& incarnation() const { return incarnation_; }

 private:
  struct Pending {
    uint64_t request;
    Time sent;
    int64_t least_revision;
  };

  void Send(Time now, std::vector<Compare> compares = {}, std::vector<Write> writes = {});
  void Look(Time now) { Send(now); }
  // What was found, by a request that was sent at `sent`.
  void Found(Time now, Time sent, const Answer& answer);
  Status CheckStore(const Answer& answer, const Meta& meta, int64_t least_revision);
  void MakeMeta(Time now);
  void FoundRecord(Time now, Time sent, const HostRecord& record, int64_t revision);
  void BeMember(const std::string& incarnation);
  void Renew(Time now, HostRecord record, int64_t revision);
  void Join(Time now, int64_t revision);
  void Lose();
  void Refuse(const Status& why);

  const Options options_;
  const Keys keys_;
  Outside& outside_;
  const std::function<std::string()> nonce_;

  Phase phase_ = Phase::kStarting;
  Memory memory_;
  std::string incarnation_;  // ours, as far as we know
  std::string candidate_;    // that of the joining under way
  Time duration_ = 0;        // D for who joins now
  std::optional<Time> watchdog_;
  std::optional<Time> recorded_watchdog_;
  std::optional<Pending> pending_;
  uint64_t requests_ = 0;
  Time next_look_ = 0;
};

// Of one silent host: what the one who waits has to write next. He reads its record again and
// again, and hands over each one with the time at which the answer had come.
class Declaration {
 public:
  // How long after the mark was seen: longer than the other one may think to be admitted, with
  // clocks of which one runs 1 % faster.
  static Time Wait(Time duration);

  // `by`: this host. The record to be written, if the key has still `revision`; none: not yet,
  // or dead already.
  std::optional<HostRecord> Next(Time now, const HostRecord& record, int64_t revision,
                                 const std::string& by, const std::string& nonce);

 private:
  int64_t marked_ = 0;  // the revision of the mark
  Time seen_ = 0;
};

// By host. One for all who wait on this host and in one life of the store: who tries again and
// again, each time for less long than Declaration::Wait(), goes on from what was seen before.
using Declarations = std::map<std::string, Declaration>;

}  // namespace scsi_pr::agent
