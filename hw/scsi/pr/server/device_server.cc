// SPDX-License-Identifier: GPL-2.0-or-later
#include "server/device_server.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cluster/messages.h"
#include "core/document.h"
#include "core/guarded.h"
#include "core/report.h"
#include "server/reservation_commands.h"
#include "spc/opcodes.h"
#include "spc/persistent_reserve.h"
#include "spc/reserve.h"
#include "spc/text.h"
#include "store/quiet_thread.h"

namespace scsi_pr {

namespace {

Response CheckCondition(Sense sense) { return {ScsiStatus::kCheckCondition, sense}; }

// The lengths within the data stay as they are (SPC-3 4.3.4.6).
Response Data(ByteVector data, size_t allocation_length) {
  if (data.size() > allocation_length) data.resize(allocation_length);
  return {ScsiStatus::kGood, sense::kNone, std::move(data)};
}

// Truth over liveness: not GOOD, and nothing has changed; or nobody knows.
Response Failed(const Status& status) {
  switch (status.code()) {
    case Status::Code::kBusy: return {ScsiStatus::kBusy};
    case Status::Code::kUnknown: return CheckCondition(sense::kLogicalUnitCommunicationTimeOut);
    default: return CheckCondition(sense::kInternalTargetFailure);
  }
}

// With the reservation commands, by operation code.
std::vector<SupportedCommand> AllCommands(std::vector<SupportedCommand> commands) {
  const auto ours = ReservationCommands();
  commands.insert(commands.end(), ours.begin(), ours.end());
  std::ranges::stable_sort(commands, {}, &SupportedCommand::operation_code);
  return commands;
}

}  // namespace

Status DeviceServer::Open(std::shared_ptr<Store> store, const Nexus& nexus, const Attacher& owner,
                          Options options, std::unique_ptr<DeviceServer>* server) {
  const auto mode = options.incoming ? Store::AttachMode::kIncoming : Store::AttachMode::kNew;
  std::unique_ptr<DeviceServer> opened(new DeviceServer(store, nexus, std::move(options)));
  GateSlot* slot = nullptr;
  Status status = store->Attach(nexus, owner, mode, opened.get(), &slot);
  if (!status.ok()) return status;
  try {
    opened->Start(slot);
  } catch (...) {
    store->Detach(slot);
    throw;
  }
  *server = std::move(opened);
  return Status();
}

DeviceServer::DeviceServer(std::shared_ptr<Store> store, Nexus nexus, Options options)
    : store_(std::move(store)),
      nexus_(std::move(nexus)),
      commands_(AllCommands(std::move(options.commands))),
      options_(std::move(options)) {}

void DeviceServer::Start(GateSlot* slot) {
  slot_ = slot;
  if (!options_.incoming) tenure_ = Admission::kFirstTenure;
  thread_ = StartQuietThread([this] { Run(); });
  Submit([this] { TellOwner(); });
}

DeviceServer::~DeviceServer() {
  if (!thread_.joinable()) return;  // it has never attached
  ResetOccurred(Reset::kNexusLoss);
  hurrying_ = true;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyOne();
  thread_.join();
  store_->Detach(slot_);
}

void DeviceServer::Submit(Job job) {
  {
    const MutexLock lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.NotifyOne();
}

// Waits for one, and for whoever is at work. False: there is none, and none will come.
bool DeviceServer::NextJob(Job* job) {
  const MutexLock lock(mutex_);
  while (working_ || (!stopping_ && jobs_.empty())) wake_.Wait(mutex_);
  if (jobs_.empty()) return false;
  *job = std::move(jobs_.front());
  jobs_.pop_front();
  return working_ = true;
}

// Who waits for a job sees to it that he is told. The rest is no reason for the thread to end.
void DeviceServer::Run() {
  for (Job job; NextJob(&job); EndWork()) {
    const Status status = Guarded(store_->uri(), [&job] { return job(), Status(); });
    if (!status.ok()) TellUnexpected(status);
    job = nullptr;
  }
}

// What was thrown: nobody has told the administrator yet.
void DeviceServer::TellUnexpected(const Status& status) {
  static_cast<void>(Guarded(store_->uri(), [&] { return StoreFailed(status), Status(); }).ok());
}

bool DeviceServer::BeginNow() {
  const MutexLock lock(mutex_);
  if (working_ || !jobs_.empty()) return false;
  return working_ = true;
}

void DeviceServer::EndWork() {
  bool more = false;
  {
    const MutexLock lock(mutex_);
    working_ = false;
    kAtWork.Release();
    more = !jobs_.empty() || stopping_;
  }
  if (more) wake_.NotifyOne();
}

// What was thrown is thrown again on the server's thread, where it is told.
bool DeviceServer::TryExecute(ByteSpan cdb, ByteSpan data_out, Response* response) {
  if (!BeginNow()) return false;
  MaybeResponse now;
  const Status status = Guarded(store_->uri(), [&] {
    kAtWork.AssertHeld();
    return now = Process(cdb, data_out, When::kNow), Status();
  });
  const bool done = status.ok() && now;
  if (done) Count(cdb, now->status);
  EndWork();
  if (done) *response = std::move(*now);
  return done;
}

void DeviceServer::Execute(ByteVector cdb, ByteVector data_out,
                           std::function<void(const Response&)> done) {
  Submit([this, cdb = std::move(cdb), data_out = std::move(data_out), done = std::move(done)] {
    kAtWork.AssertHeld();
    Response response;
    const Status status = Guarded(store_->uri(), [&] {
      kAtWork.AssertHeld();
      response = *Process(cdb, data_out, When::kEventually);
      return Status();
    });
    if (!status.ok()) {
      TellUnexpected(status);
      response = Failed(status);
    }
    Count(cdb, response.status);
    done(response);
  });
}

nlohmann::json DeviceServer::Inspect() {
  Snapshot snapshot;
  const Status status = Guarded(store_->uri(), [&] { return Look(&snapshot); });
  nlohmann::json info = DescribeStore(*store_, status, snapshot);
  info.update(NexusToJson(nexus_));
  info["statistics"] = statistics_.ToJson();
  return info;
}

void DeviceServer::ResetOccurred(Reset reset) {
  Submit([this, reset] {
    kAtWork.AssertHeld();
    ProcessReset(reset);
  });
}

void DeviceServer::Refused(Admission::WhyNot why) {
  using enum Admission::WhyNot;
  if (why == kHeld || why == kFull || why == kDeadline) statistics_.Suspended();
  if (why != kNoAccess) return;
  statistics_.Conflict();
  // Nothing but a legacy reservation refuses TEST UNIT READY and is no loss.
  if (Admits(AccessClass::kTestUnitReady)) return;
  if (looking_.exchange(true)) return;
  Submit([this] {
    std::shared_ptr<const Record> record;
    // What fails here fails again for a command that can say so.
    static_cast<void>(store_->Read(&record).ok());
    looking_ = false;
  });
}

void DeviceServer::Count(ByteSpan cdb, ScsiStatus status) {
  if (status == ScsiStatus::kReservationConflict) statistics_.Conflict();
  if (cdb.size() < 2 || cdb[0] != opcode::kPersistentReserveOut) return;
  statistics_.PersistentReserveOut(cdb[1] & 0x1F, status == ScsiStatus::kGood);
}

DeviceServer::MaybeResponse DeviceServer::Process(ByteSpan cdb, ByteSpan data_out, When when) {
  if (!IsOwner()) return Response{ScsiStatus::kBusy};
  switch (cdb.empty() ? 0 : cdb[0]) {
    case opcode::kPersistentReserveIn: return ProcessIn(cdb, when);
    case opcode::kPersistentReserveOut: return ProcessOut(cdb, data_out, when);
    case opcode::kReserve6:
    case opcode::kReserve10:
    case opcode::kRelease6:
    case opcode::kRelease10: return ProcessLegacy(cdb, when);
    case opcode::kMaintenanceIn: return ProcessMaintenanceIn(cdb);
    default: return CheckCondition(sense::kInvalidCommandOperationCode);
  }
}

DeviceServer::MaybeResponse DeviceServer::ProcessIn(ByteSpan cdb, When when) {
  const auto parsed = ParsePersistentReserveIn(cdb);
  if (const Sense* sense = std::get_if<Sense>(&parsed)) return CheckCondition(*sense);
  const auto& command = std::get<PersistentReserveIn>(parsed);
  std::shared_ptr<const Record> record;
  if (when == When::kNow) {
    if (!store_->TryRead(&record)) return std::nullopt;
  } else if (Status status = store_->Read(&record); !status.ok()) {
    return Failed(status);
  }
  const Refusal refusal = RefusePersistentReserve(record->state);
  if (refusal.status != ScsiStatus::kGood) return Response{refusal.status, refusal.sense};
  return Data(Report(command.action, record->state, store_->capabilities()),
              command.allocation_length);
}

DeviceServer::MaybeResponse DeviceServer::ProcessOut(ByteSpan cdb, ByteSpan data_out, When when) {
  const auto parsed = ParsePersistentReserveOut(cdb, data_out);
  if (const Sense* sense = std::get_if<Sense>(&parsed)) return CheckCondition(*sense);
  const auto& command = std::get<PersistentReserveOut>(parsed);
  return Update(
      [&](const State& state) { return Apply(state, store_->capabilities(), nexus_, command); },
      when);
}

Response DeviceServer::ProcessMaintenanceIn(ByteSpan cdb) const {
  if (cdb.size() < 2 || (cdb[1] & 0x1F) != service_action::kReportSupportedOperationCodes) {
    return CheckCondition(sense::kInvalidFieldInCdb);
  }
  const auto parsed = ParseReportSupportedOperationCodes(cdb);
  if (const Sense* sense = std::get_if<Sense>(&parsed)) return CheckCondition(*sense);
  const auto& request = std::get<ReportSupportedOperationCodes>(parsed);
  auto report = ReportOperationCodes(request, commands_);
  if (const Sense* sense = std::get_if<Sense>(&report)) return CheckCondition(*sense);
  return Data(std::get<ByteVector>(std::move(report)), request.allocation_length);
}

DeviceServer::MaybeResponse DeviceServer::ProcessLegacy(ByteSpan cdb, When when) {
  const auto parsed = ParseReserve(cdb);
  if (const Sense* sense = std::get_if<Sense>(&parsed)) return CheckCondition(*sense);
  const auto action = std::get<LegacyAction>(parsed);
  return Update([&](const State& state) { return ApplyLegacy(state, nexus_, action); }, when);
}

// Most resets find nothing to release: they do not touch the store, which might
// make them wait.
void DeviceServer::ProcessReset(Reset reset) {
  if (!IsOwner()) return;
  const bool held_by_another = !Admits(AccessClass::kTestUnitReady);
  if (!held_legacy_ && (reset == Reset::kNexusLoss || !held_by_another)) return;
  Update([&](const State& state) { return ApplyReset(state, nexus_, reset); }, When::kEventually);
}

Store::Waiting DeviceServer::Waiting() {
  return {options_.abort_timeout, [this] { return hurrying_.load(); }, this};
}

void DeviceServer::FencingBegun() {
  if (options_.listener != nullptr) options_.listener->FencingBegun();
}

void DeviceServer::DrainLate(const std::vector<Attachment>& pending) {
  if (options_.listener != nullptr) options_.listener->DrainLate(pending);
}

void DeviceServer::Proved(const std::vector<HostProof>& proofs) {
  if (options_.listener != nullptr) options_.listener->Proved(proofs);
}

void DeviceServer::FencingEnded(std::chrono::milliseconds waited, const Status& status) {
  kAtWork.AssertHeld();
  statistics_.Fencing(waited, status.ok());
  if (options_.listener != nullptr) options_.listener->FencingEnded(waited, status);
}

void DeviceServer::Administer(AdministratorsAction action) {
  Submit([this, action = std::move(action)] { action(*store_, Waiting()); });
}

DeviceServer::MaybeResponse DeviceServer::Update(const Store::Transition& transition, When when) {
  Outcome outcome;
  if (when == When::kNow) {
    if (!store_->TryUpdate(transition, &outcome)) return std::nullopt;
  } else if (Status status = store_->Update(transition, Waiting(), &outcome); !status.ok()) {
    return Failed(status);
  }
  held_legacy_ = outcome.state.legacy_holder == nexus_;
  return Response{outcome.status, outcome.sense};
}

nlohmann::json DescribeStore(const Store& store, const Status& status, const Snapshot& snapshot) {
  nlohmann::json info = {{"store", Printable(store.uri())}};
  if (!status.ok()) {
    info["error"] = status.message();
    return info;
  }
  info["state"] = StateToJson(snapshot.state);
  info["attached"] = cluster::AttachmentsToJson(snapshot.attached);
  return info;
}

}  // namespace scsi_pr
