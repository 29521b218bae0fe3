// SPDX-License-Identifier: GPL-2.0-or-later
//
// One logical unit on this host, as the daemon has it: its gate (Publisher), its part in all
// changes (Participant), and what the VMs of this host ask for (Operation). On the loop's
// thread.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/asker.h"
#include "agent/log.h"
#include "agent/membership.h"
#include "agent/metrics.h"
#include "agent/participant.h"
#include "agent/publisher.h"
#include "cluster/elsewhere.h"

namespace scsi_pr::agent {

class ChangeOperation;
class NexusOperation;
class Operation;

inline std::string UriOf(const std::string& name) { return "cluster:" + name; }

// What the logical units of a daemon have in common. It outlives them.
struct House {
  std::string host;
  Keys keys;
  std::shared_ptr<const RuntimeDirectory> directory;
  gid_t group;
  Asker& asker;
  Log& log;
  Metrics& metrics;
  std::function<std::string()> nonce;
  // Membership::See(). Not OK: all that is shown here is about to be shut.
  std::function<Status(const std::string& lu, const std::optional<StateRecord>& state)> see;
  // A fencing waits for a proof that this host, which was declared dead, is.
  std::function<void(const std::string& host)> need_proof;
  std::shared_ptr<Declarations> declarations = std::make_shared<Declarations>();
};

class LogicalUnit : private Participant::Outside {
 public:
  using Nexuses = std::map<std::string, NexusRecord>;

  // The memory is there, or made.
  LogicalUnit(House& house, std::string name, std::unique_ptr<Publisher> publisher);
  ~LogicalUnit() override;

  const std::string& name() const { return name_; }
  House& house() { return house_; }
  Publisher& publisher() { return *publisher_; }
  Participant& participant() { return participant_; }
  const Nexuses& nexuses() const { return nexuses_; }
  const std::optional<StateRecord>& state() const { return state_; }
  // Whether a nexus is attached in a slot here whose process lives.
  bool IsAttached(const std::string& nexus);
  // Whether such a process owns it.
  bool IsOwned(const std::string& nexus);
  // Whether it is the first one of its nexus.
  bool IsNext(const NexusOperation& operation) const;

  // As Membership::Outside asks for.
  void AdmitUntil(Time until) { publisher_->AdmitUntil(until); }
  void Close();
  // The store has been given a new life: what was shown of the one before does not count.
  void Forget();
  bool IsClosedAndEmpty();
  void Open(Time now);

  void Tick(Time now);
  Time NextTick() const;
  // Something may have changed, in the engine or here: these, or anything.
  void Look(Time now, const std::vector<News>& news = {});

  // Until it is over, whether its client is there or not. A change waits for its turn.
  void Run(std::shared_ptr<Operation> operation, Time now);
  void RunChange(std::shared_ptr<ChangeOperation> change, Time now);
  // The change of that id, if it is under way here.
  std::shared_ptr<ChangeOperation> FindChange(const std::string& id) const;
  // For the change of this host whose turn it is.
  ChangeOperation* changing() const { return changes_.empty() ? nullptr : changes_.front().get(); }
  // Those for whose commands a drain waits here.
  std::vector<Attachment> Late();

  // It is shown here, and nobody has ever changed or attached to it.
  bool IsUnknown() const { return !state_ && nexuses_.empty(); }
  // A VM uses it, whether it has attached anything or not.
  void Use() { uses_++; }
  void EndUse() { uses_--; }
  // Nobody here has anything of it any more, as far as that is known.
  bool IsIdle();

 private:
  void Send(uint64_t request, const Transaction& transaction) override;
  bool Publish(const std::optional<StateRecord>& state, const std::vector<Victim>& shut) override;
  bool IsConcerned(const StateRecord& next) const override;
  bool Shut(const std::vector<Victim>& victims) override;
  void Drain(const std::vector<std::string>& nexuses) override;
  void Attached(const Nexuses& nexuses) override;
  void Fenced(const std::string& id) override;
  bool IsUnderWay(const std::string& id) const override { return FindChange(id) != nullptr; }
  bool IsCommitting() const override;
  void Failed(const Status& why) override;

  bool PublishAgain();
  void StepLocked(Time now);
  void StepDrain(Time now);
  void StepChanges(Time now);
  void TellElsewhere();
  void Reconcile(Time now);
  bool IsBeingChanged(const std::string& nexus) const;
  void TakeBack(const std::string& key, const NexusRecord& record, Time now);
  void GiveBack(const Publisher::Slot& slot, Time now);
  void ReleaseForTheGone(Time now);

  House& house_;
  const std::string name_;
  const std::unique_ptr<Publisher> publisher_;
  // For answers that come when this is gone.
  const std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);
  Participant participant_;

  Nexuses nexuses_;                   // as last read
  bool is_read_ = false;              // they were, once
  std::optional<StateRecord> state_;  // as last published
  std::vector<Victim> shut_;          // for a change under way
  bool open_ = false;                 // something is published, and not closed since
  bool stale_ = false;                // to be published again
  bool closing_ = false;              // everybody is yet to be held
  bool failed_ = false;

  std::optional<std::vector<std::string>> draining_;
  Time next_drain_ = 0;
  Time next_lock_ = 0;
  std::optional<std::string> fenced_;  // the change of this host that may go on

  std::list<std::shared_ptr<Operation>> operations_;
  std::deque<std::shared_ptr<ChangeOperation>> changes_;
  size_t uses_ = 0;
  Time next_reconcile_ = 0;
  cluster::Elsewhere elsewhere_;  // as last told
};

}  // namespace scsi_pr::agent
