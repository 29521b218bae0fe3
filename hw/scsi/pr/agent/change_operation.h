// SPDX-License-Identifier: GPL-2.0-or-later
//
// A change that a client makes, or the daemon itself (change): Change, with what this host has
// to do for it. It goes on when its client has gone: what it has asked for may be committed.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/change.h"
#include "agent/logical_unit.h"
#include "agent/operation.h"

namespace scsi_pr::agent {

class ChangeOperation : public Operation, private Change::Outside {
 public:
  // For others to commit theirs, and for the commands of preempted nexuses.
  struct Limits {
    Time patience = 5 * kSecond;
    Time abort_timeout = 10 * kSecond;
  };
  // What the daemon itself makes of a state; the client is null then.
  using Transition = std::function<scsi_pr::Outcome(const State&)>;

  ChangeOperation(LogicalUnit& unit, std::shared_ptr<Client> client, Limits limits,
                  Transition transition = nullptr);
  ~ChangeOperation() override;

  const std::string& id() const { return id_; }

  void Begin(Time now) override;  // waits for its turn
  void BeginNow(Time now);        // it has come
  void Receive(const nlohmann::json& frame, Time now) override;
  // Something may have changed in the engine: these, or anything.
  void Hear(Time now, const std::vector<News>& news);
  bool is_committing() const { return change_ && change_->is_committing(); }
  void ClientGone(Time now) override;
  void Tick(Time now) override;
  Time NextTick() const override;
  // Participant::Outside::Fenced().
  void Fenced(Time now);

 private:
  void Send(uint64_t request, const Transaction& transaction) override;
  void Decide(const std::optional<StateRecord>& state,
              const std::map<std::string, NexusRecord>& nexuses) override;
  void Fence(const ChangeRecord& change) override;
  void NeedProof(const std::string& host) override;
  void Committed(int64_t revision) override;
  void Ended(Change::Result result, const Failure& why) override;
  void Over() override;

  void Later(std::function<void(Time)> act);
  void Try(Time now);
  Time TimeFor(bool aborts) const;
  bool IsShown() const;
  bool IsShownHere() const;
  bool IsDecided() const;
  void AskClient(Time now);
  void DecideSelf(Time now);
  void Decided(Time now);
  Change::Decision DecisionOf(const scsi_pr::Outcome& outcome, Time now);
  void GiveUpDeciding(Time now);
  void TellLate(Time now);
  void Finish(Time now);
  void TryLater(Time now);
  void FinishGood();
  Status WhyNot() const;

  LogicalUnit& unit_;
  const Limits limits_;
  const Transition transition_;
  const std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);
  std::string id_;
  std::unique_ptr<Change> change_;
  Time give_up_ = 0;  // beginning
  Time try_again_ = kNever;
  std::string foreign_;  // the change that was met
  Time foreign_since_ = 0;

  // What the change has asked for.
  std::optional<StateRecord> before_;
  std::map<std::string, NexusRecord> nexuses_;
  // By which state the client has decided what; nothing: it changes nothing.
  std::optional<std::optional<StateRecord>> decided_by_;
  std::optional<scsi_pr::Outcome> outcome_;
  bool changes_ = true;
  std::vector<std::string> preempted_;
  bool deciding_ = false;   // not shown here yet
  bool asked_ = false;      // the client has been asked, and not answered
  bool undecided_ = false;  // nor will it
  bool client_gone_ = false;
  bool answered_ = false;  // the client
  Time late_at_ = kNever;
  std::optional<Change::Result> result_;
  Failure why_;
  uint64_t sent_in_ = 0;   // the participant's epoch
  bool released_ = false;  // the participant goes by what it reads
  bool waits_for_show_ = false;
  Time show_until_ = 0;
};

}  // namespace scsi_pr::agent
