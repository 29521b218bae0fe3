// SPDX-License-Identifier: GPL-2.0-or-later
//
// A store whose nexuses all live on one host and share one gate: how a change
// becomes effective for all of them, whatever dies in between.
//
// A change: take the right to change; publish the committed record first if somebody
// died before he had; apply; put the record to come where all can see it; with preempted
// nexuses shut and drain (gate/fence.h); make it durable where APTPL asks for that;
// commit, by one word; publish; only then the status.
//
// Coming and going needs the members' lock, for moments, and not the right to change: a
// nexus that comes while a fencing waits begins with what both states allow.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "store/durable.h"
#include "store/failures.h"
#include "store/mutex.h"
#include "store/registry.h"
#include "store/sharing.h"
#include "store/store.h"
#include "store/watcher.h"

namespace scsi_pr {

class Fence;

class LocalStore : public Store {
 public:
  // `directory`: where stores in use are known; null: nowhere.
  LocalStore(std::string uri, std::shared_ptr<const RuntimeDirectory> directory,
             std::shared_ptr<Sharing> sharing, std::unique_ptr<Durable> durable);
  ~LocalStore() override;

  Capabilities capabilities() const override { return durable_->capabilities(); }
  Status Attach(const Nexus& nexus, const Attacher& owner, AttachMode mode, NexusListener* listener,
                GateSlot** slot) override;
  Status SetMedium(GateSlot* slot, const std::string& medium, const std::string& name) override;
  void Detach(GateSlot* slot) override;
  Status Identify(StoreIdentity* identity) override;
  Status HandOver(GateSlot* slot, bool is_owner, HandedOver* handed) override;
  Status Arrive(GateSlot* slot, HandedOver* handed) override;
  bool TakeOver(GateSlot* slot, Admission::Tenure* tenure) override;
  bool MayBeFencedSince(const GateSlot& slot, const HandedOver& handed) const override;
  Status Read(std::shared_ptr<const Record>* record) override;
  Status Look(Snapshot* snapshot) override;
  std::vector<Attachment> Attached() override;
  Status Update(const Transition& transition, const Waiting& waiting, Outcome* outcome) override;
  bool TryRead(std::shared_ptr<const Record>* record) override;
  bool TryUpdate(const Transition& transition, Outcome* outcome) override;

 private:
  using RecordPointer = std::shared_ptr<const Record>;

  // A lock among processes, and among the threads of this one.
  class Right;    // to change
  class Members;  // members' lock

  Status Busy(Locked locked) const;
  void BeginTurns();
  bool TakesTurns() const;
  size_t IndexOf(const GateSlot& slot) const;
  std::string AttachmentOf(const GateSlot& slot) const;
  void GoOnHere(const GateSlot& slot, HandedOver* handed) const;
  Status PutInPlace(GateSlot* slot, HandedOver* handed);
  Status Join(const Nexus& nexus, std::optional<size_t>* index, bool* leaving)
      REQUIRES(kMembersLock);
  Status TakeSlot(const Nexus& nexus, bool heir, size_t* index) REQUIRES(kMembersLock);
  Status TryAttach(const Nexus& nexus, const Attacher& owner, AttachMode mode,
                   NexusListener* listener, GateSlot** slot, bool* later);
  Status AttachAsMember(const Nexus& nexus, const Attacher& owner, AttachMode mode,
                        NexusListener* listener, GateSlot** slot, bool* leaving)
      REQUIRES(kMembersLock);
  Status StateMedium(const Attacher& owner, AttachMode mode, std::unique_ptr<Fact>* fact);
  Status AllowedFor(const Nexus& nexus, AccessMask* access, uint64_t* version)
      REQUIRES(kMembersLock);
  Status PowerOnIfFirst(RecordPointer record) REQUIRES(kRightToChange) EXCLUDES(kMembersLock);
  size_t ForgetTheDead() REQUIRES(kMembersLock);
  std::vector<Attachment> List(const std::vector<size_t>& slots) const;
  std::vector<Attachment> ListAll() const;
  // `status`; tells the listeners where it is a failure, and news.
  Status Noted(Failures::Step step, Status status);
  Status InForce(RecordPointer* record);
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

  const std::shared_ptr<const RuntimeDirectory> directory_;
  const std::shared_ptr<Sharing> sharing_;
  const std::unique_ptr<Durable> durable_;
  Mutex changing_;  // the right to change, among the threads of this process
  Mutex members_;   // the members' lock, likewise
  Mutex media_mutex_;
  // Of the slots of this process.
  std::map<size_t, std::unique_ptr<Fact>> media_ GUARDED_BY(media_mutex_);
  Failures failures_;
  Watcher watcher_;  // last: its thread uses all of the above
};

}  // namespace scsi_pr
