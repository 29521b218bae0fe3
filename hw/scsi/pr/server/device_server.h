// SPDX-License-Identifier: GPL-2.0-or-later
//
// The device server of one I_T nexus: admits commands through its gate slot,
// and carries the reservation commands out on a thread of its own, in the
// order they came, because a store may have to wait for a disk or for another
// process.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
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
#include "store/store.h"

namespace scsi_pr {

// How a command ended.
struct Response {
  ScsiStatus status = ScsiStatus::kGood;
  Sense sense = sense::kNone;
  ByteVector data = {};
};

class DeviceServer {
 public:
  struct Options {
    std::chrono::milliseconds abort_timeout = Store::Waiting().abort_timeout;
    // Those that the emulator carries out, for REPORT SUPPORTED OPERATION CODES.
    std::vector<SupportedCommand> commands = {};
    // Outlives the server; may be null.
    NexusListener* listener = nullptr;
    // Of Store::Waiting, on the server's thread: how a fencing goes that this
    // server carries out.
    decltype(Store::Waiting::begun) fencing_begun = Store::Waiting().begun;
    decltype(Store::Waiting::late) drain_late = Store::Waiting().late;
    decltype(Store::Waiting::ended) fencing_ended = Store::Waiting().ended;
  };

  // Attaches `nexus` to `store`; `owner` as in Store::Attach(). Throws
  // std::system_error, with nothing attached, if there are no more threads.
  static Status Open(std::shared_ptr<Store> store, const Nexus& nexus, const std::string& owner,
                     Options options, std::unique_ptr<DeviceServer>* server);
  // Ends what was submitted, in BUSY if it waits for others; releases a legacy
  // reservation, then detaches.
  ~DeviceServer();
  DeviceServer(const DeviceServer&) = delete;
  DeviceServer& operator=(const DeviceServer&) = delete;

  const Nexus& nexus() const { return nexus_; }
  const Store& store() const { return *store_; }

  // Any thread, never blocks. See GateSlot.
  std::optional<Admission::Epoch> Enter(AccessClass access) { return slot_->Enter(access); }
  void Leave(Admission::Epoch epoch) { slot_->Leave(epoch); }
  bool IsAwaited(Admission::Epoch epoch) const { return slot_->IsAwaited(epoch); }
  bool IsBeingFenced() const { return slot_->is_being_fenced(); }
  bool Admits(AccessClass access) const { return slot_->admission().Admits(access); }
  // PERSISTENT RESERVATION INFORMATION LOST, and not a reservation, is why a
  // class is not admitted.
  bool InformationLost() const { return (slot_->admission().access() & kInformationLost) != 0; }
  // To be called for a command that was not admitted, on any thread, and for one
  // that ends in RESERVATION CONFLICT because of that; does not wait. A legacy reservation ends with the process of its holder, and nobody
  // else may be there to see that: looks at the store, once at a time.
  void Refused();
  std::optional<Sense> TakeUnitAttention() { return slot_->unit_attentions().Take(); }

  // `done` runs on the server's thread.
  void Execute(ByteVector cdb, ByteVector data_out, std::function<void(const Response&)> done);
  void Inspect(std::function<void(const nlohmann::json&)> done);
  // Runs `action` on the server's thread, behind what was submitted before, with
  // the waiting of this server's own fencings, which it then also counts.
  using AdministratorsAction = std::function<void(Store& store, const Store::Waiting& waiting)>;
  void Administer(AdministratorsAction action);
  // A reset of the logical unit, or the loss of this nexus, has happened. Takes
  // effect on the server's thread, behind what was submitted before.
  void ResetOccurred(Reset reset);

 private:
  using Job = std::function<void()>;

  DeviceServer(std::shared_ptr<Store> store, Nexus nexus, GateSlot* slot, Options options);

  void Submit(Job job);
  void Run();
  void Count(ByteSpan cdb, ScsiStatus status);
  Response Process(ByteSpan cdb, ByteSpan data_out);
  Response ProcessIn(ByteSpan cdb);
  Response ProcessOut(ByteSpan cdb, ByteSpan data_out);
  Response ProcessMaintenanceIn(ByteSpan cdb) const;
  Response ProcessLegacy(ByteSpan cdb);
  void ProcessReset(Reset reset);
  Response Update(const Store::Transition& transition);
  Store::Waiting Waiting();

  const std::shared_ptr<Store> store_;
  const Nexus nexus_;
  GateSlot* const slot_;
  const std::vector<SupportedCommand> commands_;
  const Options options_;
  std::atomic<bool> closing_{false};
  std::atomic<bool> looking_{false};  // what Refused() submits is under way
  // Only on the server's thread. Whether a legacy reservation was this nexus's
  // when the server last changed something; it may have ended since.
  bool held_legacy_ = false;
  Statistics statistics_;

  std::mutex mutex_;  // all below
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  bool stopping_ = false;
  std::thread thread_;
};

// What people and tools see of a store: the members "store", and "state" and
// "attached" of `snapshot`, or "error" where reading it ended in `status`.
nlohmann::json DescribeStore(const Store& store, const Status& status, const Snapshot& snapshot);
nlohmann::json AttachmentsToJson(const std::vector<Attachment>& attachments);

}  // namespace scsi_pr
