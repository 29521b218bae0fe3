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

#include "store/backing.h"
#include "store/failures.h"
#include "store/store.h"
#include "store/watcher.h"

namespace scsi_pr {

class Fence;

class LocalStore : public Store {
 public:
  LocalStore(std::string uri, std::unique_ptr<Backing> backing);

  Capabilities capabilities() const override { return backing_->capabilities(); }
  Status Attach(const Nexus& nexus, const std::string& owner, NexusListener* listener,
                GateSlot** slot) override;
  void Detach(GateSlot* slot) override;
  Status Read(Snapshot* snapshot) override;
  std::vector<Attachment> Attached() override;
  Status Update(const Transition& transition, const Waiting& waiting, Outcome* outcome) override;
  using Store::Update;

 private:
  class ChangeRight;

  bool TryLock();
  void Unlock();
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
