// SPDX-License-Identifier: GPL-2.0-or-later
//
// One change of a logical unit's state, from the host where the command is to its end: a state
// machine like Membership, for one command. Who loses access is shut before the commit, who
// gains it is opened after.
//
//   begin    change: absent → begun; the answer brings state and nexuses
//   intent   change: begun → intent, if somebody loses access; this host fences its own
//   claim    both in one, where what was read last is presumed to be so still: change: absent →
//            intent, if state and nexuses are
//   wait     until each host with a victim has acknowledged, or is dead: declared so by waiting,
//            and, if the change aborts, with a proof
//   commit   if change is still there: put state, delete change
//   publish  wait a second at most for the gates of the other hosts whose nexuses it concerns
//   settle   a change that fails is taken away; only then is not-GOOD final
//
// Nexuses do not attach while a change is there, but they may go, and one that is being migrated
// may go on with its heir. So both the host of a victim and its heir's shut it: wherever it is
// when the change is committed, it is shut.
//
// Whoever has lost patience may take the change away at any time before the commit, which
// then fails.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/engine.h"
#include "agent/membership.h"
#include "agent/reading.h"
#include "agent/records.h"
#include "store/store.h"

namespace scsi_pr::agent {

class Change {
 public:
  enum class Result {
    // Committed: in force, and shown by the gates of all others whom it concerns, or a second
    // has passed.
    kGood,
    kForeign,  // somebody else is changing it, or who is attached has changed; nothing has changed
    kBusy,     // not in time; nothing has changed
    kRefused,  // the engine, or what is in it, does not let it be; nothing has changed
    kUnknown,  // sent, and the engine stays away: nobody can say whether it is in force
  };

  // What was read last. The command is decided by that; and anew, if it is not so any more.
  struct Presumption {
    std::optional<StateRecord> state;
    int64_t state_revision = 0;
    std::map<std::string, NexusRecord> nexuses;
  };

  struct Options {
    std::string host;
    std::string lu;
    std::string id;                // a nonce
    Time deadline = 0;             // then it is given up,
    Time settle = 5 * kSecond;     // and so much later nobody knows
    Time patience = 30 * kSecond;  // of the others
    // A host without an acknowledgement so long, or for half of the time there is, is suspected.
    Time silent = kSecond;
    Time publication = kSecond;  // so long GOOD waits for the gates of other hosts
    std::shared_ptr<Declarations> declarations = std::make_shared<Declarations>();
    // Somebody else's change that has been in the way since then.
    std::string foreign;
    Time foreign_since = 0;
    std::optional<Presumption> presumption{};
  };

  // What the command makes of what there is.
  struct Decision {
    bool changes = true;   // false: there is nothing to commit
    std::string document;  // the next state
    std::vector<UnitAttention> unit_attentions;
    std::vector<Victim> victims;         // VictimsOf(), wherever they are
    std::vector<std::string> concerned;  // ConcernedBy()
    bool aborts = false;
    Time deadline = 0;  // another one from now on; 0: as it is
  };

  // Called by its own functions; these must not be called from here.
  class Outside {
   public:
    virtual ~Outside() = default;
    // Answered() comes in any case. One request at a time.
    virtual void Send(uint64_t request, const Transaction& transaction) = 0;
    // Decided() comes. Nobody else changes the state meanwhile, nor attaches; or it is presumed
    // so, and may come again. `nexuses`: those that are attached, on all hosts, by NexusKey().
    virtual void Decide(const std::optional<StateRecord>& state,
                        const std::map<std::string, NexusRecord>& nexuses) = 0;
    // Participant::Fence() of this host; Fenced() comes.
    virtual void Fence(const ChangeRecord& change) = 0;
    // It waits for a proof that nothing of this host, which is dead, is under way any more. Comes
    // again and again.
    virtual void NeedProof(const std::string& host) = 0;
    // It is in force: Participant::Committed(), with what was read (there()) at that revision.
    // Ended() comes when the others have followed.
    virtual void Committed(int64_t revision) = 0;
    // Once. `why` where that is not clear from the result.
    virtual void Ended(Result result, const Failure& why) = 0;
    // The last call: the change is nowhere any more, or others will see to that:
    // Participant::Release().
    virtual void Over() = 0;
  };

  Change(Options options, Keys keys, Outside& outside, std::function<std::string()> nonce);

  void Tick(Time now);
  Time NextTick() const;
  void Answered(Time now, uint64_t request, const Answer& answer);
  void Decided(Time now, Decision decision);
  void Fenced(Time now);
  // Something may have changed: these, or without any anything. What they say counts only where it
  // is compared by the commit.
  void Hear(Time now, const std::vector<News>& news);

  bool is_over() const { return phase_ == Phase::kOver; }
  const Reading& there() const { return there_; }
  bool is_committing() const { return phase_ == Phase::kCommitting; }
  const std::string& id() const { return options_.id; }
  // After kForeign: which one it is.
  const std::string& foreign() const { return there_.change.id; }
  // Of what was committed; if there was nothing to commit, of what was there.
  uint64_t version() const { return version_; }
  // Of the dead hosts whose commands it was to abort: what it took for the proof. Once it is sent.
  const std::vector<HostProof>& proofs() const { return proofs_; }

 private:
  enum class Phase {
    kBeginning,
    kDeciding,
    kConfirming,
    kClaiming,
    kIntending,
    kWaiting,
    kCommitting,
    kPublishing,
    kSettling,
    kOver
  };

  void Read();
  void Send(std::vector<Compare> compares, std::vector<Write> writes, std::vector<Range> reads);
  std::vector<Range> All() const;
  void Look(Time now);
  bool HearOf(const News& news);
  void AddHeard(int64_t since);
  bool GoOn();
  void Failed(Time now, const Answer& answer);
  void Step(Time now);
  void Begin();
  void Presume();
  void DecidedByPresumption();
  void StepBeginning(Time now);
  void Confirmed(Time now);
  void Claimed(Time now);
  void MeetForeign(Time now);
  void Intend();
  void Wait(Time now);
  std::map<std::string, bool> Asked() const;
  bool AreAllDone() const;
  bool AreRemainsGone() const;
  bool HasAcknowledged(const std::string& host) const;
  bool IsDone(const std::string& host, bool aborts) const;
  bool DeclareNext(Time now);
  bool Declare(Time now, const std::string& host);
  std::map<std::string, const HostRecord*> ToBeProved() const;
  void WaitAgain(Time now);
  void Commit();
  std::vector<UnitAttention> ToBeTold() const;
  void BeCommitted(Time now);
  void Publish(Time now);
  bool IsPublished() const;
  void Good();
  void Settle(Time now, Result result, const Failure& why = {});
  void TakeAway(Time now);
  void TakeAwayChange();
  void Tell(Result result, const Failure& why = {});
  void End();
  bool IsOurs() const { return there_.change.id == options_.id; }
  ChangeRecord Record(bool is_intent) const;

  const Options options_;
  const Keys keys_;
  Outside& outside_;
  const std::function<std::string()> nonce_;

  Time deadline_;
  Phase phase_ = Phase::kBeginning;
  // As of the last answers, and with the acknowledgements that were heard of since.
  Reading there_;
  std::map<std::string, Entry<AckRecord>> heard_;  // by host
  Decision decision_;
  std::vector<HostProof> proofs_;
  bool fenced_ = false;
  bool may_commit_ = false;  // a commit has been sent, and may be applied while the change is there
  uint64_t version_ = 0;
  bool look_again_ = false;
  Time waiting_since_ = 0;
  Time committed_at_ = 0;
  Result result_ = Result::kBusy;  // once it is settled
  Failure why_;
  bool told_ = false;
  std::optional<uint64_t> pending_;
  Transaction sent_;     // that request
  int64_t read_at_ = 0;  // the revision of the last answer
  uint64_t requests_ = 0;
  Time next_ = 0;
};

}  // namespace scsi_pr::agent
