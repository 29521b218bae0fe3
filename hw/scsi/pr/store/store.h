// SPDX-License-Identifier: GPL-2.0-or-later
//
// A store: where the reservation state of one logical unit lives, and how a
// change becomes effective for every nexus that shares it.
//
//   memory:            private to one device
//   memory:NAME        shared by the devices of this process that say NAME
//   file:/PATH         shared by all processes of this host
//   cluster:NAME       shared by the processes of many hosts (cluster/cluster_store.h)
//
// One Store object serves all devices of a process that name the same store. What is in
// force is in memory: only Open(), and a change that must survive a power loss, wait for a
// disk, and no longer than they say.
// Every method may be called from any thread. None waits longer than kPatience for
// another process, but for a change that fences; what never waits says so.
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
#include "store/handed_over.h"
#include "store/record.h"

namespace scsi_pr {

// One nexus that is attached to a store, in whichever process.
struct Attachment {
  Nexus nexus;
  uint32_t process_id = 0;
  std::string owner;
  // Whether its process lives, or anything that it sent to the medium is still in
  // the kernel: the kernel says so. Who died is forgotten by the next change.
  bool live = true;
  uint32_t commands = 0;      // in its gate, i.e. on their way to the medium
  bool being_fenced = false;  // a PREEMPT AND ABORT waits for them
  std::string host = {};      // of a cluster: store; of what is on another one the rest is less
};

// What was taken for a proof that nothing of a host, which was declared dead, can reach the medium
// any more.
struct HostProof {
  std::string host;
  // Which one: "confirmed", "watchdog", "storage", "lease" (docs/many-hosts-setup.md), or what a
  // newer scsi-prd takes for one.
  std::string proof;
  std::string text = {};  // who said so, or how it was found, for people; may be empty

  friend bool operator==(const HostProof&, const HostProof&) = default;
};

// What a store shows: the state and who is attached, at one time.
struct Snapshot {
  uint64_t version = 0;
  State state;
  std::vector<Attachment> attached;
};

// How a change goes that has nexuses to preempt, for who makes it. Called in this order,
// on the thread that makes it; must not block, nor call the store.
class FencingListener {
 public:
  virtual ~FencingListener() = default;
  // It begins to wait for the commands of those whom it preempts.
  virtual void FencingBegun() {}
  // Once, if that takes longer than Fence::kLate: for whom.
  virtual void DrainLate(const std::vector<Attachment>& /*pending*/) {}
  // The change is in force, and that these hosts, which were declared dead, have no command of
  // those whom it preempts under way any more rests on proofs. Not called where all hosts have
  // answered; nor if the answer of this host's own daemon was lost, whose log has them then.
  virtual void Proved(const std::vector<HostProof>& /*proofs*/) {}
  // It has ended, how long it has waited, and how the change has ended.
  virtual void FencingEnded(std::chrono::milliseconds /*waited*/, const Status&) {}
};

// What the owner of an attached nexus hears of the others and of the store, beside the
// fencings of his own. Called on a thread of the store's or of somebody who uses it, one
// call at a time; must not block, nor call the store. Not called any more once Detach()
// has returned.
class NexusListener : public FencingListener {
 public:
  // A fencing waits for the commands of this nexus: abort those that have not
  // reached the medium, and let each leave the gate (GateSlot::Leave).
  virtual void AbortTasks() = 0;
  // A PREEMPT AND ABORT of this nexus is committed, its tasks have ended: what
  // else of it must be undone (SPC-3 5.6.8.5 f). As Preempted() once too often
  // at worst; also for the one who sent it, if it preempted itself.
  virtual void Fenced() {}
  // A preempting command of another nexus has taken the registration or the
  // reservation away. May come once too often if the other's process died.
  virtual void Preempted() = 0;
  // Changes are in force, whoever made them: `count` since the last call, the
  // last of them led to this version and this PRgeneration.
  virtual void Changed(uint64_t /*version*/, uint32_t /*generation*/, uint64_t /*count*/) {}
  // The store cannot be used, whoever found it so in this process. Once until
  // it works again or fails differently; not for tasks that a PREEMPT AND ABORT
  // has waited for in vain.
  virtual void StoreFailed(const Status&) {}
};

class Store {
 public:
  using Transition = std::function<Outcome(const State&)>;

  // How long an operation waits for another process before it gives up with
  // kBusy. Clustering software wants an answer far below its own time-outs.
  static constexpr std::chrono::milliseconds kPatience{5000};

  // How an operation waits.
  struct Waiting {
    // For the commands of preempted nexuses to end (PREEMPT AND ABORT).
    std::chrono::milliseconds abort_timeout{10000};
    // Asked every few milliseconds; true ends the operation with kBusy.
    std::function<bool()> cancelled = [] { return false; };
    FencingListener* listener = nullptr;  // outlives the operation; may be null
  };

  enum class OpenMode {
    kCreate,    // make an empty store if there is none
    kExisting,  // a tool that changes a store: kInvalid if there is none
    kIncoming,  // for a nexus that was handed over: likewise, if it is file:
  };
  // A mode is enough.
  struct OpenOptions {
    OpenOptions(OpenMode how) : mode(how) {}  // NOLINT(google-explicit-constructor)

    OpenMode mode;
    std::string runtime_directory = {};  // store/runtime_directory.h
    bool accept_file_system = false;     // of a file: store, whatever that is
    std::string user = {};               // who opens it, for people
    // How long opening may wait for the disk.
    std::chrono::milliseconds patience = kPatience;
  };

  // Opens the store that `uri` names.
  static Status Open(std::string_view uri, const OpenOptions& options,
                     std::shared_ptr<Store>* store);

  virtual ~Store() = default;

  const std::string& uri() const { return uri_; }
  virtual Capabilities capabilities() const = 0;

  enum class AttachMode {
    kNew,
    // To go on with a nexus that another process hands over. If it is attached
    // there, that attachment goes on in the same slot, and who attaches is not its
    // owner before TakeOver(). One at most may wait so for Arrive().
    kIncoming,
  };

  // Attaches a nexus. The first one powers the logical unit on. `*slot` lives
  // until Detach(). kInUse, naming the other, if the nexus is attached anywhere
  // already, or if who is attached has a medium that is not `owner`'s and that does
  // not insist.
  // `listener` may be null, and outlives the attachment.
  virtual Status Attach(const Nexus& nexus, const Attacher& owner, AttachMode mode,
                        NexusListener* listener, GateSlot** slot) = 0;
  // The attached nexus shows another medium from now on, as in Attacher. Waits for
  // nobody. On error it counts as the old one.
  virtual Status SetMedium(GateSlot* slot, const std::string& medium, const std::string& name) = 0;
  // No command of the nexus of this process is on its way any more. It stays
  // attached if another process has it attached, too.
  virtual void Detach(GateSlot* slot) = 0;

  virtual Status Identify(StoreIdentity* identity) = 0;
  // Gives the ownership of an attached nexus up, if `is_owner`: from then on
  // nobody can enter its slot. On error (kBusy: a command is on its way) it is as
  // before. The slot stays attached.
  virtual Status HandOver(GateSlot* slot, bool is_owner, HandedOver* handed) = 0;
  // What HandOver() has left, in another process or earlier in this one. Puts the
  // state of a store that is private into place; any store: makes the unit
  // attention conditions of the nexus complete. `*handed` is of this store and of
  // the slot's nexus; what does not hold here is adapted.
  virtual Status Arrive(GateSlot* slot, HandedOver* handed) = 0;
  // Takes the ownership. Never waits; false while another process has it.
  virtual bool TakeOver(GateSlot* slot, Admission::Tenure* tenure) = 0;
  // Whether somebody may have fenced the nexus since then. For its owner.
  virtual bool MayBeFencedSince(const GateSlot& slot, const HandedOver& handed) const = 0;

  // A legacy reservation whose holder is not attached (any more: its process
  // died, say) is released by whoever next attaches, reads or changes.

  // The last committed state. It is in force when this returns: waits for somebody who is
  // just publishing it.
  virtual Status Read(std::shared_ptr<const Record>* record) = 0;

  // The last committed state, and who is attached, for people. Never waits.
  virtual Status Look(Snapshot* snapshot) = 0;

  // Who is attached and lives. Never waits, and may be called by a transition.
  virtual std::vector<Attachment> Attached() = 0;

  // Runs `transition` on the current state. If it ends in GOOD its new state
  // has been committed (durably where APTPL is or was on) and published to
  // every attached nexus when this returns, and before that every command of
  // the nexuses in Outcome::preempted has ended. On error nothing has changed.
  virtual Status Update(const Transition& transition, const Waiting& waiting, Outcome* outcome) = 0;

  // Read() and Update(), if nothing has to be waited for: no lock, disk or fencing. They
  // take at most the time that the state's size makes them take, and call no listener.
  // False, with nothing done, if that cannot be; then Read() and Update() can tell why.
  virtual bool TryRead(std::shared_ptr<const Record>* record) = 0;
  virtual bool TryUpdate(const Transition& transition, Outcome* outcome) = 0;

 protected:
  explicit Store(std::string uri) : uri_(std::move(uri)) {}

 private:
  const std::string uri_;
};

}  // namespace scsi_pr
