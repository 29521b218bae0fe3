// SPDX-License-Identifier: GPL-2.0-or-later
//
// One change of a logical unit's state, from the host where the command is to its end: a state
// machine like Membership, for one command. Who loses access is shut before the commit, who
// gains it is opened after.
//
//   begin    change: absent → begun; the answer brings state, nexuses, hosts
//   intent   change: begun → intent, if somebody loses access; this host fences its own
//   wait     until each host with a victim has acknowledged, or is dead: declared so by waiting,
//            and, if the change aborts, with a proof
//   commit   if change is still there: put state, delete change
//   settle   a change that fails is taken away; only then is not-GOOD final
//
// Whoever has lost patience may take the change away at any time before the commit, which
// then fails.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/engine.h"
#include "agent/membership.h"
#include "agent/records.h"

namespace scsi_pr::agent {

class Change {
 public:
  enum class Result {
    kGood,     // committed: in force
    kForeign,  // somebody else is changing the state; nothing has changed
    kBusy,     // not in time; nothing has changed
    kRefused,  // the engine, or what is in it, does not let it be; nothing has changed
    kUnknown,  // sent, and the engine stays away: nobody can say whether it is in force
  };

  struct Options {
    std::string host;
    std::string lu;
    std::string id;                // a nonce
    Time deadline = 0;             // then it is given up,
    Time settle = 5 * kSecond;     // and so much later nobody knows
    Time patience = 30 * kSecond;  // of the others
    Time silent = kSecond;         // a host without an acknowledgement so long is suspected
  };

  // What the command makes of what there is.
  struct Decision {
    bool changes = true;               // false: there is nothing to commit
    std::string document;              // the next state
    std::vector<std::string> victims;  // nexuses that lose access, wherever they are
    bool aborts = false;
  };

  // Called by its own functions; these must not be called from here.
  class Outside {
   public:
    virtual ~Outside() = default;
    // Answered() comes in any case. One request at a time.
    virtual void Send(uint64_t request, const Transaction& transaction) = 0;
    // Decided() comes. Nobody else changes the state meanwhile.
    virtual void Decide(const std::optional<StateRecord>& state) = 0;
    // Participant::Fence() of this host; Fenced() comes.
    virtual void Fence(const ChangeRecord& change) = 0;
    // Once. `why` where that is not clear from the result.
    virtual void Ended(Result result, const Failure& why) = 0;
    // The change is nowhere any more, or others will see to that: Participant::Release().
    virtual void Over() = 0;
  };

  Change(Options options, Keys keys, Outside& outside, std::function<std::string()> nonce);

  void Tick(Time now);
  Time NextTick() const;
  void Answered(Time now, uint64_t request, const Answer& answer);
  void Decided(Time now, Decision decision);
  void Fenced(Time now);

  bool is_over() const { return phase_ == Phase::kOver; }
  const std::string& id() const { return options_.id; }

 private:
  enum class Phase { kBeginning, kDeciding, kIntending, kWaiting, kCommitting, kSettling, kOver };

  // What there is.
  struct Read {
    std::optional<StateRecord> state;
    int64_t state_revision = 0;
    ChangeRecord change;  // id empty: none
    int64_t change_revision = 0;
    std::map<std::string, HostRecord> hosts;
    std::map<std::string, int64_t> host_revisions;
    std::map<std::string, std::string> nexuses;  // → host
    std::map<std::string, std::string> acks;     // host → id
  };

  Status DecodeFound(const Answer& answer, Read* there) const;
  Status DecodeBelow(const KeyValue& found, Read* there) const;
  void Send(std::vector<Compare> compares = {}, std::vector<Write> writes = {});
  void Failed(Time now, const Answer& answer);
  void Step(Time now);
  void Begin();
  void Intend();
  void Wait(Time now);
  bool AreAllDone() const;
  bool IsDone(const std::string& host) const;
  bool DeclareNext(Time now);
  void Commit();
  void Settle(Time now, Result result, const Failure& why = {});
  void TakeAway(Time now);
  void Tell(Result result, const Failure& why = {});
  void End();
  bool IsOurs() const { return there_.change.id == options_.id; }
  ChangeRecord Record(bool is_intent) const;

  const Options options_;
  const Keys keys_;
  Outside& outside_;
  const std::function<std::string()> nonce_;

  Phase phase_ = Phase::kBeginning;
  Read there_;  // as of the last answer
  Decision decision_;
  std::vector<std::string> asked_;  // hosts with a victim, but for this one
  std::map<std::string, Declaration> declarations_;
  bool fenced_ = false;
  bool may_commit_ = false;  // a commit has been sent, and may be applied while the change is there
  Time waiting_since_ = 0;
  Result result_ = Result::kBusy;  // once it is settled
  Failure why_;
  bool told_ = false;
  std::optional<uint64_t> pending_;
  uint64_t requests_ = 0;
  Time next_ = 0;
};

}  // namespace scsi_pr::agent
