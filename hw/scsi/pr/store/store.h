// SPDX-License-Identifier: GPL-2.0-or-later
//
// A store: where the reservation state of one logical unit lives, and how a
// change becomes effective for every nexus that shares it.
//
//   memory:            private to one device
//   memory:NAME        shared by the devices of this process that say NAME
//   file:/PATH         shared by all processes of this host (SQLite)
//
// One Store object serves all devices of a process that name the same store.
// Every method may be called from any thread; all may block on a disk or on
// another process, but for Detach(). None blocks longer than kPatience on
// another process.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/state.h"
#include "core/status.h"
#include "core/transition.h"
#include "gate/gate.h"

namespace scsi_pr {

// One nexus that is attached to a store, in whichever process.
struct Attachment {
  Nexus nexus;
  uint32_t process_id = 0;
  std::string owner;
};

// What a store shows: the state and who is attached, at one time.
struct Snapshot {
  State state;
  std::vector<Attachment> attached;
};

class Store {
 public:
  using Transition = std::function<Outcome(const State&)>;

  // How long an operation waits for another process before it gives up with
  // kBusy. Clustering software wants an answer far below its own time-outs.
  static constexpr std::chrono::milliseconds kPatience{5000};

  enum class OpenMode {
    kCreate,    // make an empty store if there is none
    kExisting,  // a tool that looks at a store: kInvalid if there is none
  };

  // Opens the store that `uri` names.
  static Status Open(std::string_view uri, OpenMode mode, std::shared_ptr<Store>* store);

  virtual ~Store() = default;

  const std::string& uri() const { return uri_; }
  virtual Capabilities capabilities() const = 0;

  // Attaches a nexus. The first one powers the logical unit on. `owner` tells
  // people who it is ("VM a, device disk0"). `*slot` lives until Detach().
  // kInUse, naming the other, if the nexus is attached anywhere already.
  virtual Status Attach(const Nexus& nexus, const std::string& owner, GateSlot** slot) = 0;
  virtual void Detach(GateSlot* slot) = 0;

  // A legacy reservation whose holder is not attached (any more: its process
  // died, say) is released by whoever next attaches, reads or changes.

  // The last committed state. It is published when this returns.
  virtual Status Read(Snapshot* snapshot) = 0;

  // Runs `transition` on the current state. If it ends in GOOD its new state
  // has been committed (durably where APTPL is or was on) and published to
  // every attached nexus when this returns. On error nothing has changed.
  virtual Status Update(const Transition& transition, Outcome* outcome) = 0;

 protected:
  explicit Store(std::string uri) : uri_(std::move(uri)) {}

 private:
  const std::string uri_;
};

}  // namespace scsi_pr
