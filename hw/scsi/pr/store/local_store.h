// SPDX-License-Identifier: GPL-2.0-or-later
//
// A store whose nexuses all live on one host and share one gate: how a change
// becomes effective for all of them, whatever dies in between.
//
// A change: take the right to change; load the record, and publish it first if
// somebody died before he had; apply; with preempted nexuses shut and drain
// (gate/fence.h); commit; publish; only then the status.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "store/backing.h"
#include "store/change_right.h"
#include "store/failures.h"
#include "store/store.h"
#include "store/watcher.h"

namespace scsi_pr {

class Fence;

class LocalStore : public Store {
 public:
  LocalStore(std::string uri, std::unique_ptr<Backing> backing);

  Capabilities capabilities() const override { return backing_->capabilities(); }
  Status Attach(const Nexus& nexus, const Attacher& owner, AttachMode mode,
                NexusListener* listener, GateSlot** slot) override;
  using Store::Attach;
  void Detach(GateSlot* slot) override;
  Status Identify(StoreIdentity* identity) override;
  Status HandOver(GateSlot* slot, bool is_owner, HandedOver* handed) override;
  Status Arrive(GateSlot* slot, HandedOver* handed) override;
  bool TakeOver(GateSlot* slot, Admission::Tenure* tenure) override;
  bool MayBeFencedSince(const GateSlot& slot, const HandedOver& handed) const override;
  Status Read(Snapshot* snapshot) override;
  std::vector<Attachment> Attached() override;
  Status Update(const Transition& transition, const Waiting& waiting, Outcome* outcome) override;
  using Store::Update;

 private:
  friend class ChangeRight;

  bool TryLock();
  void Unlock();
  Status Busy() const;
  size_t IndexOf(const GateSlot& slot) const;
  std::string AttachmentOf(const GateSlot& slot) const;
  void GoOnHere(const GateSlot& slot, HandedOver* handed) const;
  Status PutInPlace(GateSlot* slot, Record* record, HandedOver* handed);
  Status Join(const Nexus& nexus, std::optional<size_t>* index);
  Status TakeFreeSlot(const Nexus& nexus, bool heir, size_t attached, Record* record,
                      size_t* index);
  size_t ForgetTheDead();
  std::vector<Attachment> List(const std::vector<size_t>& slots) const;
  std::vector<Attachment> ListAll() const;
  // `status`; tells the listeners where it is a failure, and news.
  Status Noted(Failures::Step step, Status status);
  Status Load(Record* record);
  Status PowerOn(Record* record);
  Status LoadPublished(Record* record);
  Status ReleaseForTheGone(Record* record);
  Status Commit(Record* record, State state, std::vector<UnitAttention> unit_attentions);
  void Settle();
  Status FenceAndCommit(Record* record, const Outcome& outcome, const Waiting& waiting);
  Status NotDrained(const Fence& fence, const Waiting& waiting) const;
  Status ReadLocked(Snapshot* snapshot);
  void Repair();

  const std::unique_ptr<Backing> backing_;
  std::mutex threads_;  // the right to change, among the threads of this process
  Failures failures_;
  Watcher watcher_;     // last: its thread uses all of the above
};

}  // namespace scsi_pr
