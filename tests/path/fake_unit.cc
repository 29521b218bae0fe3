// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_unit.h"

#include <utility>

#include "execute.h"
#include "spc/device_identification.h"

namespace scsi_pr::testing {

namespace {

bool IsPersistentReserve(uint8_t code) {
  return code == opcode::kPersistentReserveIn || code == opcode::kPersistentReserveOut;
}

bool IsLegacy(uint8_t code) { return code == opcode::kReserve6 || code == opcode::kRelease6; }

// Page 83h with a vendor specific designator, the target port's name, and the logical unit's.
ByteVector Identification(uint64_t naa) {
  ByteVector page = {0x00, 0x83, 0, 0, 0x02, 0x00, 0, 4, 'v', 'e', 'n', 'd', 0x61, 0x93, 0, 8};
  AppendBE(page, uint64_t{0x5001405000000099});
  for (const uint8_t byte : {0x01, 0x03, 0x00, 0x08}) page.push_back(byte);
  AppendBE(page, naa);
  StoreBE(std::span<uint8_t>(page), 2, static_cast<uint16_t>(page.size() - 4));
  return page;
}

TransportResult NoAnswer() { return {false, "the transport has failed"}; }

TransportResult CheckCondition(Sense sense) {
  return {true, "", ScsiStatus::kCheckCondition, sense};
}

FakeUnit::Sent Seen(const std::string& device, const ByteVector& cdb) {
  const auto action = static_cast<uint8_t>(IsPersistentReserve(cdb[0]) ? cdb[1] & 0x1F : 0);
  return {device, cdb[0], action};
}

}  // namespace

class FakeUnit::PathTransport : public Transport {
 public:
  PathTransport(FakeUnit* unit, std::string device) : unit_(unit), device_(std::move(device)) {
    unit_->open.insert(device_);
  }
  ~PathTransport() override { unit_->open.erase(unit_->open.find(device_)); }
  PathTransport(const PathTransport&) = delete;
  PathTransport& operator=(const PathTransport&) = delete;
  TransportResult Execute(const TransportCommand& command) override {
    return unit_->Execute(device_, command);
  }

 private:
  FakeUnit* const unit_;
  const std::string device_;
};

FakeUnit::FakeUnit() {
  const Status status = Store::Open("memory:", Store::OpenMode::kCreate, &store_);
  EXPECT_TRUE(status.ok()) << status.message();
}

FakeUnit::~FakeUnit() = default;

void FakeUnit::AddPath(const std::string& device) {
  Path path;
  const Nexus nexus = NumberedNexus(0x500140500000 + paths_.size() + 1);
  const Status status = DeviceServer::Open(store_, nexus, device, {}, &path.server);
  ASSERT_TRUE(status.ok()) << status.message();
  paths_.emplace(device, std::move(path));
}

OpenTransport FakeUnit::Opener() {
  return [this](const std::string& device, std::unique_ptr<Transport>* transport) {
    if (!paths_.contains(device)) {
      return Status::Error(Status::Code::kIo, device + " is not there");
    }
    *transport = std::make_unique<PathTransport>(this, device);
    return Status();
  };
}

Response FakeUnit::SendOut(const std::string& device, const PersistentReserveOut& command) {
  return testing::Execute(*paths_.at(device).server, OutCdb(command), OutData(command));
}

Response FakeUnit::SendLegacy(const std::string& device, LegacyAction action) {
  const uint8_t code = action == LegacyAction::kReserve ? opcode::kReserve6 : opcode::kRelease6;
  return testing::Execute(*paths_.at(device).server, {code, 0, 0, 0, 0, 0});
}

State FakeUnit::state() {
  std::shared_ptr<const Record> record;
  EXPECT_TRUE(store_->Read(&record).ok());
  return record->state;
}

std::string FakeUnit::Holder() {
  const State now = state();
  for (const auto& [device, path] : paths_) {
    if (now.legacy_holder == path.server->nexus()) return device;
    if (now.reservation && now.reservation->holder == path.server->nexus()) return device;
  }
  return "";
}

void FakeUnit::Cut(const std::string& device, bool carried_out) {
  paths_.at(device).cut = true;
  paths_.at(device).carried_out = carried_out;
}

void FakeUnit::Mend(const std::string& device) {
  paths_.at(device).cut = paths_.at(device).carried_out = false;
  paths_.at(device).cut_at.reset();
}

void FakeUnit::CutAt(const std::string& device, uint8_t operation_code, uint8_t service_action,
                     bool carried_out) {
  paths_.at(device).cut_at = Sent{device, operation_code, service_action};
  paths_.at(device).carried_out = carried_out;
}

TransportResult FakeUnit::Execute(const std::string& device, const TransportCommand& command) {
  Path& path = paths_.at(device);
  const Sent seen = Seen(device, command.cdb);
  const bool dies = kill_at_ >= 0 && kill_at_-- == 0;
  if (dies && !kill_after_) throw Killed();
  if (before && seen.operation_code != opcode::kInquiry) before(seen);
  if (path.cut_at == seen) path.cut = true;
  if (seen.operation_code != opcode::kInquiry) sent.push_back(seen);
  const bool lost = path.cut && !path.carried_out;
  if (path.cut) path.carried_out = false;  // what comes later is lost
  TransportResult result = lost ? NoAnswer() : CarryOut(path, command);
  if (dies) throw Killed();
  return path.cut ? NoAnswer() : result;
}

TransportResult FakeUnit::CarryOut(Path& path, const TransportCommand& command) {
  const uint8_t code = command.cdb[0];
  if (code == opcode::kInquiry) {
    return {true, "", ScsiStatus::kGood, sense::kNone, Identification(path.naa)};
  }
  if (canned_.count > 0) {
    canned_.count--;
    return {true, "", canned_.status, canned_.sense};
  }
  if (const auto attention = path.server->TakeUnitAttention()) return CheckCondition(*attention);
  const bool known = (IsPersistentReserve(code) && persistent_) || (IsLegacy(code) && legacy_);
  if (!known) return CheckCondition(sense::kInvalidCommandOperationCode);
  const Response response = testing::Execute(*path.server, command.cdb, command.data_out);
  return {true, "", response.status, response.sense, response.data};
}

}  // namespace scsi_pr::testing
