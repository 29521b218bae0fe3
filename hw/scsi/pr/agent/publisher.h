// SPDX-License-Identifier: GPL-2.0-or-later
//
// The gate of one logical unit on this host, for the daemon, its only publisher: who is allowed
// what, until when, and what every command that is in has come to. VMs attach their slots
// allowed nothing; only what is published opens them.
//
// Nothing here waits. What needs the members' lock, which a QEMU has for moments, says by
// false that it has not been done; then nothing of it has.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/records.h"
#include "store/host_locks.h"
#include "store/store.h"

namespace scsi_pr::agent {

// Of files that the daemon makes for its group.
struct stat LikeFor(gid_t group);

class Publisher {
 public:
  // Opens the memory of `name`, or makes it, for the daemon's group or `group`, closed. Not
  // made: it was there, and in use; what it allows, and until when, is as it was left. kBusy:
  // another daemon has it.
  static Status Open(std::shared_ptr<const RuntimeDirectory> directory, const std::string& name,
                     gid_t group, std::unique_ptr<Publisher>* publisher);

  // The version that all slots show. 0: none that this daemon knows of.
  uint64_t published() const { return published_; }
  std::shared_ptr<const Record> InForce();
  // The next version is of another life of the store: what it comes to has nothing to do with
  // what is in force.
  void Forget() {
    published_ = 0;
    is_other_life_ = true;
  }

  // What of the state's access a nexus gets; nothing: its slot stays held, and silent.
  struct Share {
    AccessMask most = ~AccessMask{0};
    bool held = false;  // for a change under way
  };
  using ShareOf = std::function<std::optional<Share>(const std::string& nexus)>;
  // kCorrupt: the document says nothing. `*done`: whether it could be done.
  Status Publish(const std::optional<StateRecord>& state, const ShareOf& share, bool* done);
  // For a change under way, these have no more than they keep; what the preempted have in is
  // asked to end, and what enters is not counted with it.
  bool Shut(const std::vector<Victim>& victims);
  bool HoldAll();
  // Nothing of them is in that was when they were shut.
  bool IsDrained(const std::vector<std::string>& nexuses);
  // Nothing is in any slot; what came in before the last AdmitUntil(0) at least.
  bool IsEmpty();
  void AdmitUntil(Time until);
  // A nexus that is attached anew hears of nothing that was before.
  bool Welcome(const std::string& nexus, uint64_t version);

  struct Slot {
    size_t index;
    std::string nexus;  // its key
    Attachment attachment;
    bool is_owned;  // a process that lives owns it
  };
  std::vector<Slot> Slots();
  // Whether any process but this one uses the memory.
  bool IsUsed() const;

 private:
  class Origin;
  class Members;

  explicit Publisher(std::unique_ptr<HostLocks> locks) : locks_(std::move(locks)) {}

  static std::optional<std::string> KeyOf(const GateSlot& slot);
  template <typename Act>
  bool ForSlots(const std::vector<Victim>& victims, Act act);
  void Tell(const StateRecord& state, const ShareOf& share);
  void BeginAnew(uint64_t version);

  const std::unique_ptr<HostLocks> locks_;
  uint64_t published_ = 0;
  bool is_other_life_ = false;
};

}  // namespace scsi_pr::agent
