// SPDX-License-Identifier: GPL-2.0-or-later
#include "server/device_server.h"

#include <csignal>
#include <nlohmann/json.hpp>

#include "core/document.h"
#include "core/report.h"
#include "spc/opcodes.h"
#include "spc/persistent_reserve.h"
#include "spc/reserve.h"

namespace scsi_pr {

namespace {

// A thread that no signal of the emulator's is ever delivered to.
template <typename Function>
std::thread StartQuietThread(Function function) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(function);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

Response CheckCondition(Sense sense) { return {ScsiStatus::kCheckCondition, sense, {}}; }

}  // namespace

Status DeviceServer::Open(std::shared_ptr<Store> store, const Nexus& nexus,
                          const std::string& owner, std::unique_ptr<DeviceServer>* server) {
  GateSlot* slot = nullptr;
  if (Status status = store->Attach(nexus, owner, &slot); !status.ok()) return status;
  try {
    server->reset(new DeviceServer(store, nexus, slot));
  } catch (...) {
    store->Detach(slot);
    throw;
  }
  return Status();
}

DeviceServer::DeviceServer(std::shared_ptr<Store> store, Nexus nexus, GateSlot* slot)
    : store_(std::move(store)), nexus_(std::move(nexus)), slot_(slot) {
  thread_ = StartQuietThread([this] { Run(); });
}

DeviceServer::~DeviceServer() {
  ResetOccurred(Reset::kNexusLoss);
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  store_->Detach(slot_);
}

void DeviceServer::Submit(Job job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void DeviceServer::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
}

void DeviceServer::Execute(ByteVector cdb, ByteVector data_out,
                           std::function<void(const Response&)> done) {
  Submit([this, cdb = std::move(cdb), data_out = std::move(data_out), done = std::move(done)] {
    done(Process(cdb, data_out));
  });
}

void DeviceServer::Inspect(std::function<void(const nlohmann::json&)> done) {
  Submit([this, done = std::move(done)] {
    Snapshot snapshot;
    const Status status = store_->Read(&snapshot);
    nlohmann::json info = DescribeStore(*store_, status, snapshot);
    info.update(NexusToJson(nexus_));
    done(info);
  });
}

void DeviceServer::ResetOccurred(Reset reset) {
  Submit([this, reset] { ProcessReset(reset); });
}

void DeviceServer::Refused() {
  // Nothing but a legacy reservation refuses TEST UNIT READY and is no loss.
  const AccessMask access = slot_->access();
  if ((access & (Bit(AccessClass::kTestUnitReady) | kInformationLost)) != 0) return;
  if (looking_.exchange(true)) return;
  Submit([this] {
    Snapshot snapshot;
    // What fails here fails again for a command that can say so.
    (void)store_->Read(&snapshot);
    looking_ = false;
  });
}

Response DeviceServer::Process(ByteSpan cdb, ByteSpan data_out) {
  switch (cdb.empty() ? 0 : cdb[0]) {
    case opcode::kPersistentReserveIn:
      return ProcessIn(cdb);
    case opcode::kPersistentReserveOut:
      return ProcessOut(cdb, data_out);
    case opcode::kReserve6:
    case opcode::kReserve10:
    case opcode::kRelease6:
    case opcode::kRelease10:
      return ProcessLegacy(cdb);
    default:
      return CheckCondition(sense::kInvalidCommandOperationCode);
  }
}

Response DeviceServer::ProcessIn(ByteSpan cdb) {
  const auto parsed = ParsePersistentReserveIn(cdb);
  if (const Sense* sense = std::get_if<Sense>(&parsed)) return CheckCondition(*sense);
  const auto& command = std::get<PersistentReserveIn>(parsed);
  Snapshot snapshot;
  if (Status status = store_->Read(&snapshot); !status.ok()) return Failed(status);
  Remember(Status());
  const Refusal refusal = RefusePersistentReserve(snapshot.state);
  if (refusal.status != ScsiStatus::kGood) return {refusal.status, refusal.sense, {}};
  Response response;
  response.data = Report(command.action, snapshot.state, store_->capabilities());
  if (response.data.size() > command.allocation_length) {
    response.data.resize(command.allocation_length);
  }
  return response;
}

Response DeviceServer::ProcessOut(ByteSpan cdb, ByteSpan data_out) {
  const auto parsed = ParsePersistentReserveOut(cdb, data_out);
  if (const Sense* sense = std::get_if<Sense>(&parsed)) return CheckCondition(*sense);
  const auto& command = std::get<PersistentReserveOut>(parsed);
  return Update([&](const State& state) {
    return Apply(state, store_->capabilities(), nexus_, command);
  });
}

Response DeviceServer::ProcessLegacy(ByteSpan cdb) {
  const auto parsed = ParseReserve(cdb);
  if (const Sense* sense = std::get_if<Sense>(&parsed)) return CheckCondition(*sense);
  const auto action = std::get<LegacyAction>(parsed);
  return Update([&](const State& state) { return ApplyLegacy(state, nexus_, action); });
}

// Most resets find nothing to release: they do not touch the store, which might
// make them wait.
void DeviceServer::ProcessReset(Reset reset) {
  const bool held_by_another = !Admits(AccessClass::kTestUnitReady);
  if (!held_legacy_ && (reset == Reset::kNexusLoss || !held_by_another)) return;
  Update([&](const State& state) { return ApplyReset(state, nexus_, reset); });
}

Response DeviceServer::Update(const Store::Transition& transition) {
  Outcome outcome;
  if (Status status = store_->Update(transition, &outcome); !status.ok()) return Failed(status);
  Remember(Status());
  held_legacy_ = outcome.state.legacy_holder == nexus_;
  return {outcome.status, outcome.sense, {}};
}

// Truth over liveness: not GOOD, and nothing has changed.
Response DeviceServer::Failed(const Status& status) {
  Remember(status);
  if (status.code() == Status::Code::kBusy) return {ScsiStatus::kBusy, sense::kNone, {}};
  return CheckCondition(sense::kInternalTargetFailure);
}

void DeviceServer::Remember(const Status& status) {
  const std::lock_guard lock(mutex_);
  last_status_ = status;
}

Status DeviceServer::last_status() const {
  const std::lock_guard lock(mutex_);
  return last_status_;
}

nlohmann::json DescribeStore(const Store& store, const Status& status, const Snapshot& snapshot) {
  nlohmann::json info = {{"store", store.uri()}};
  if (!status.ok()) {
    info["error"] = status.message();
    return info;
  }
  info["state"] = StateToJson(snapshot.state);
  info["attached"] = nlohmann::json::array();
  for (const Attachment& attachment : snapshot.attached) {
    nlohmann::json item = NexusToJson(attachment.nexus);
    item["process-id"] = attachment.process_id;
    item["owner"] = attachment.owner;
    info["attached"].push_back(std::move(item));
  }
  return info;
}

}  // namespace scsi_pr
