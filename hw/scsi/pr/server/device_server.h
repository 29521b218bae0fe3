// SPDX-License-Identifier: GPL-2.0-or-later
//
// The device server of one I_T nexus: admits commands through its gate slot, and
// carries the reservation commands out in the order they came: at once, or where a store
// may have to wait for a disk or for another process, on a thread of its own.
//
// The nexus may be handed over from one process to another (docs/design.md). Only
// its owner admits commands, takes unit attention conditions, and releases a legacy
// reservation.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/access.h"
#include "core/legacy.h"
#include "core/status.h"
#include "server/statistics.h"
#include "spc/sense.h"
#include "spc/supported_commands.h"
#include "store/mutex.h"
#include "store/store.h"

namespace scsi_pr {

// How a command ended.
struct Response {
  ScsiStatus status = ScsiStatus::kGood;
  Sense sense = sense::kNone;
  ByteVector data = {};
};

// What taking a nexus over ended in.
enum class Ownership {
  kTaken,
  kTakenMaybeFenced,  // a fencing may have been there since it was handed over
  kNotTaken,          // it is still another process's
};

class DeviceServer : private NexusListener {
 public:
  struct Options {
    std::chrono::milliseconds abort_timeout = Store::Waiting().abort_timeout;
    // Those that the emulator carries out, for REPORT SUPPORTED OPERATION CODES.
    std::vector<SupportedCommand> commands = {};
    // Outlives the server; may be null. Hears also how the fencings go that this server
    // carries out, on the server's thread.
    NexusListener* listener = nullptr;
    // The nexus is another process's, or a saved one: TakeOver() makes it ours.
    bool incoming = false;
  };

  // Attaches `nexus` to `store`; `owner` as in Store::Attach(). Throws
  // std::system_error, with nothing attached, if there are no more threads.
  static Status Open(std::shared_ptr<Store> store, const Nexus& nexus, const Attacher& owner,
                     Options options, std::unique_ptr<DeviceServer>* server);
  // Ends what was submitted, in BUSY if it waits for others; releases a legacy
  // reservation, then detaches.
  ~DeviceServer() override;
  DeviceServer(const DeviceServer&) = delete;
  DeviceServer& operator=(const DeviceServer&) = delete;

  const Nexus& nexus() const { return nexus_; }
  const Store& store() const { return *store_; }

  // Any thread, never blocks. See GateSlot.
  std::optional<Admission::Epoch> Enter(AccessClass access, Admission::WhyNot* why = nullptr) {
    return slot_->Enter(access, tenure_.load(std::memory_order_relaxed), why);
  }
  // Of a command that has nothing on its way to the medium: see Admission.
  std::optional<Admission::WhyNot> Refuses(AccessClass access) const {
    return slot_->admission().Refuses(access, tenure_.load());
  }
  bool IsOwner() const {
    const Admission::Tenure tenure = tenure_.load();
    return tenure != Admission::kNoTenure && slot_->admission().IsPresent(tenure);
  }
  void Leave(Admission::Epoch epoch) { slot_->Leave(epoch); }
  bool IsAwaited(Admission::Epoch epoch) const { return slot_->IsAwaited(epoch); }
  bool FencedSince(Admission::Epoch epoch) const { return slot_->admission().HasDrained(epoch); }
  bool IsBeingFenced() const { return slot_->is_being_fenced(); }
  bool Admits(AccessClass access) const { return slot_->admission().Admits(access); }
  // To be called for a command that was not admitted, on any thread; does not wait.
  // Of those that end in RESERVATION CONFLICT: a legacy reservation ends with the
  // process of its holder, and nobody else may be there to see that. Looks at the
  // store, once at a time.
  void Refused(Admission::WhyNot why);
  std::optional<Sense> TakeUnitAttention() {
    return IsOwner() ? slot_->unit_attentions().Take() : std::nullopt;
  }

  // What is in force, and who is attached. Any thread; waits for nothing that is
  // under way on the server's thread.
  Status Look(Snapshot* snapshot) { return store_->Look(snapshot); }
  // That, with this nexus and what was counted, as scsi_pr_inspect() shows it.
  nlohmann::json Inspect();

  // Carries a reservation command out on the caller's thread, if it has to wait neither for
  // an earlier one nor for anything else. False: nothing was done; Execute() it is.
  bool TryExecute(ByteSpan cdb, ByteSpan data_out, Response* response);
  // `done` runs on the server's thread.
  void Execute(ByteVector cdb, ByteVector data_out, std::function<void(const Response&)> done);
  // Runs `action` on the server's thread, behind what was submitted before, with
  // the waiting of this server's own fencings, which it then also counts.
  using AdministratorsAction = std::function<void(Store& store, const Store::Waiting& waiting)>;
  void Administer(AdministratorsAction action);
  // A reset of the logical unit, or the loss of this nexus, has happened. Takes
  // effect on the server's thread, behind what was submitted before.
  void ResetOccurred(Reset reset);

  // The device shows another medium from now on. Any thread, waits for nobody.
  Status SetMedium(const std::string& medium, const std::string& name) {
    return store_->SetMedium(slot_, medium, name);
  }

  // Handing over: see scsi-pr.h. Any thread but the server's; they may wait for
  // what is under way there, but for TakeOver(), which never waits.
  Status Identify(std::string* text);
  Status Recognize(const std::string& text);
  Status HandOver(std::string* text);
  Status Arrive(const std::string& text);
  Ownership TakeOver();

 private:
  using Job = std::function<void()>;
  enum class When { kNow, kEventually };  // what would wait is not done, or waits

  DeviceServer(std::shared_ptr<Store> store, Nexus nexus, Options options);
  void Start(GateSlot* slot);

  // Everybody who has claimed the nexus may have tasks to abort; the rest is for
  // its owner, also for the next one.
  void AbortTasks() override;
  void Fenced() override;
  void Preempted() override;
  void Changed(uint64_t version, uint32_t generation, uint64_t count) override;
  void StoreFailed(const Status& status) override;
  void TellOwner();

  void FencingBegun() override;
  void DrainLate(const std::vector<Attachment>& pending) override;
  void Proved(const std::vector<HostProof>& proofs) override;
  void FencingEnded(std::chrono::milliseconds waited, const Status& status) override;

  void Submit(Job job);
  bool BeginNow() TRY_ACQUIRE(true, kAtWork);
  void EndWork() RELEASE(kAtWork);
  Status Wait(const std::function<Status()>& job);
  bool NextJob(Job* job) TRY_ACQUIRE(true, kAtWork);
  void Run() EXCLUDES(kAtWork);
  void TellUnexpected(const Status& status);
  void Count(ByteSpan cdb, ScsiStatus status) REQUIRES(kAtWork);
  // Nothing, with nothing done: it would have to wait. Only with When::kNow.
  using MaybeResponse = std::optional<Response>;
  MaybeResponse Process(ByteSpan cdb, ByteSpan data_out, When when) REQUIRES(kAtWork);
  MaybeResponse ProcessIn(ByteSpan cdb, When when);
  MaybeResponse ProcessOut(ByteSpan cdb, ByteSpan data_out, When when) REQUIRES(kAtWork);
  Response ProcessMaintenanceIn(ByteSpan cdb) const;
  MaybeResponse ProcessLegacy(ByteSpan cdb, When when) REQUIRES(kAtWork);
  void ProcessReset(Reset reset) REQUIRES(kAtWork);
  MaybeResponse Update(const Store::Transition& transition, When when) REQUIRES(kAtWork);
  Store::Waiting Waiting();

  const std::shared_ptr<Store> store_;
  const Nexus nexus_;
  GateSlot* slot_ = nullptr;
  const std::vector<SupportedCommand> commands_;
  const Options options_;
  // Admission::kNoTenure: not the owner.
  std::atomic<Admission::Tenure> tenure_{Admission::kNoTenure};
  std::atomic<bool> hurrying_{false};  // nothing may wait for others
  std::atomic<bool> fenced_{false};    // the owner has still to be told
  std::atomic<bool> preempted_{false};
  std::atomic<bool> looking_{false};  // what Refused() submits is under way
  // Whether a legacy reservation was this nexus's when the server last changed
  // something; it may have ended since.
  bool held_legacy_ GUARDED_BY(kAtWork) = false;
  Statistics statistics_;

  Mutex ownership_mutex_;
  // What was handed over, here or by what has arrived, until it is taken.
  std::optional<HandedOver> handed_ GUARDED_BY(ownership_mutex_);

  Mutex mutex_;
  Condition wake_;
  std::deque<Job> jobs_ GUARDED_BY(mutex_);
  bool working_ GUARDED_BY(mutex_) = false;  // somebody is kAtWork
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// What people and tools see of a store: the members "store", and "state" and
// "attached" of `snapshot`, or "error" where reading it ended in `status`.
nlohmann::json DescribeStore(const Store& store, const Status& status, const Snapshot& snapshot);

}  // namespace scsi_pr
