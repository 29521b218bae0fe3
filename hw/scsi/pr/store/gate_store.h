// SPDX-License-Identifier: GPL-2.0-or-later
//
// A store with a gate on this host: how nexuses come to it, are handed over between its
// processes, go, and are looked at. Who changes the state, and how, is what LocalStore and
// cluster/cluster_store.h differ in.
//
// Coming and going needs the members' lock, for moments, and not the right to change.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "store/failures.h"
#include "store/mutex.h"
#include "store/registry.h"
#include "store/sharing.h"
#include "store/store.h"
#include "store/watcher.h"

namespace scsi_pr {

class GateStore : public Store {
 public:
  const Gate& gate() const { return sharing_->gate(); }

  Status Attach(const Nexus& nexus, const Attacher& owner, AttachMode mode, NexusListener* listener,
                GateSlot** slot) override;
  Status SetMedium(GateSlot* slot, const std::string& medium, const std::string& name) override;
  void Detach(GateSlot* slot) override;
  Status HandOver(GateSlot* slot, bool is_owner, HandedOver* handed) override;
  // Not of a store whose state travels.
  Status Arrive(GateSlot* slot, HandedOver* handed) override;
  bool TakeOver(GateSlot* slot, Admission::Tenure* tenure) override;
  bool MayBeFencedSince(const GateSlot& slot, const HandedOver& handed) const override;
  Status Look(Snapshot* snapshot) override;
  std::vector<Attachment> Attached() override;

 protected:
  using RecordPointer = std::shared_ptr<const Record>;

  // The members' lock, among processes, and among the threads of this one.
  class Members;

  // Who wants to attach, as in Attach().
  struct Comer {
    const Nexus& nexus;
    const Attacher& owner;
    const AttachMode mode;
    NexusListener* const listener;
  };

  // `directory`: where stores in use are known; null: nowhere. `repair`: see Watcher; its
  // thread calls it until StopWatching().
  GateStore(std::string uri, std::shared_ptr<const RuntimeDirectory> directory,
            std::shared_ptr<Sharing> sharing, std::function<void()> repair);

  // One attempt to attach, with AttachAsMember() in it. `*later`: it may succeed when somebody
  // has finished.
  virtual Status TryAttach(const Comer& comer, GateSlot** slot, bool* later) = 0;
  // What a nexus that attaches may do at once, and the version of the state that says so.
  virtual Status AllowedFor(const Nexus& nexus, AccessMask* access, uint64_t* version)
      REQUIRES(kMembersLock) = 0;
  // The state in force, as far as this host knows it.
  virtual Status ReadOnHost(RecordPointer* record) = 0;
  // Whether the versions of the store that it was handed over by count what those of this one do.
  virtual bool HasVersionsOf(const HandedOver& handed) const = 0;

  // `*joined`: it has claimed the slot of another process. `*leaving`: as `*later`.
  Status AttachAsMember(const Comer& comer, GateSlot** slot, bool* joined, bool* leaving)
      REQUIRES(kMembersLock);
  Status Busy(Locked locked) const;
  size_t IndexOf(const GateSlot& slot) const;
  void GoOnHere(const GateSlot& slot, HandedOver* handed) const;
  size_t ForgetTheDead() REQUIRES(kMembersLock);
  std::vector<Attachment> List(const std::vector<size_t>& slots) const;
  // `status`; tells the listeners where it is a failure, and news.
  Status Noted(Failures::Step step, Status status);
  bool AnyFailure() { return failures_.Any(); }
  Status InForce(RecordPointer* record);
  // First of all in the destructor of whoever has given `repair`.
  void StopWatching() { watcher_.Stop(); }

  Sharing& sharing() const { return *sharing_; }

 private:
  std::string AttachmentOf(const GateSlot& slot) const;
  Status Join(const Nexus& nexus, std::optional<size_t>* index, bool* leaving)
      REQUIRES(kMembersLock);
  Status TakeSlot(const Nexus& nexus, bool heir, size_t* index) REQUIRES(kMembersLock);
  Status StateMedium(const Attacher& owner, AttachMode mode, std::unique_ptr<Fact>* fact);
  std::vector<Attachment> ListAll() const;

  const std::shared_ptr<const RuntimeDirectory> directory_;
  const std::shared_ptr<Sharing> sharing_;
  Mutex members_;  // the members' lock, among the threads of this process
  Mutex media_mutex_;
  // Of the slots of this process.
  std::map<size_t, std::unique_ptr<Fact>> media_ GUARDED_BY(media_mutex_);
  Failures failures_;
  Watcher watcher_;  // last: its thread uses all of the above
};

}  // namespace scsi_pr
