// SPDX-License-Identifier: GPL-2.0-or-later
//
// A store whose nexuses all live on one host and share one gate, and whose processes change the
// state themselves: how a change becomes effective for all of them, whatever dies in between.
//
// A change: take the right to change; publish the committed record first if somebody
// died before he had; apply; put the record to come where all can see it; with preempted
// nexuses shut and drain (gate/fence.h); make it durable where APTPL asks for that;
// commit, by one word; publish; only then the status.
//
// A nexus that comes while a fencing waits begins with what both states allow.
#pragma once

#include <memory>

#include "store/durable.h"
#include "store/gate_store.h"

namespace scsi_pr {

class Fence;

class LocalStore : public GateStore {
 public:
  // `directory`: where stores in use are known; null: nowhere.
  LocalStore(std::string uri, std::shared_ptr<const RuntimeDirectory> directory,
             std::shared_ptr<Sharing> sharing, std::unique_ptr<Durable> durable);
  ~LocalStore() override;

  Capabilities capabilities() const override { return durable_->capabilities(); }
  Status Identify(StoreIdentity* identity) override;
  Status Arrive(GateSlot* slot, HandedOver* handed) override;
  Status Read(std::shared_ptr<const Record>* record) override;
  Status Update(const Transition& transition, const Waiting& waiting, Outcome* outcome) override;
  bool TryRead(std::shared_ptr<const Record>* record) override;
  bool TryUpdate(const Transition& transition, Outcome* outcome) override;

 private:
  // The right to change, among processes, and among the threads of this one.
  class Right;

  Status TryAttach(const Comer& comer, GateSlot** slot, bool* later) override;
  Status AllowedFor(const Nexus& nexus, AccessMask* access, uint64_t* version) override
      REQUIRES(kMembersLock);
  Status ReadOnHost(RecordPointer* record) override { return Read(record); }
  bool HasVersionsOf(const HandedOver& handed) const override;

  void BeginTurns();
  bool TakesTurns() const;
  Status PutInPlace(GateSlot* slot, HandedOver* handed);
  Status PowerOnIfFirst(RecordPointer record) REQUIRES(kRightToChange) EXCLUDES(kMembersLock);
  bool IsPublished(const Record& record) const;
  bool HolderIsGone(const State& state) const;
  bool IsShown(const Record& record) const;
  Status LoadPublished(RecordPointer* record) REQUIRES(kRightToChange) EXCLUDES(kMembersLock);
  Status ReleaseForTheGone(RecordPointer* record) REQUIRES(kRightToChange) EXCLUDES(kMembersLock);
  Status Commit(const Record& before, State state, std::vector<UnitAttention> unit_attentions,
                RecordPointer* committed) REQUIRES(kRightToChange) EXCLUDES(kMembersLock);
  Status Finish(const Record& next, bool survives, RecordPointer* committed)
      REQUIRES(kRightToChange) EXCLUDES(kMembersLock);
  void Enforce(const Record& next) REQUIRES(kRightToChange, kMembersLock);
  Status FenceAndCommit(const Record& before, const Outcome& outcome, const Waiting& waiting)
      REQUIRES(kRightToChange) EXCLUDES(kMembersLock);
  Status Shut(Fence& fence) REQUIRES(kRightToChange) EXCLUDES(kMembersLock);
  void Reopen(Fence& fence) REQUIRES(kRightToChange) EXCLUDES(kMembersLock);
  Status NotDrained(const Fence& fence, const Waiting& waiting) const;
  void Repair();

  const std::unique_ptr<Durable> durable_;
  Mutex changing_;  // the right to change, among the threads of this process
};

}  // namespace scsi_pr
