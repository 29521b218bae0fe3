// SPDX-License-Identifier: GPL-2.0-or-later
//
// A host at a FakeUnit: a path group whose state survives the host's process.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fake_unit.h"
#include "path/path_group.h"

namespace scsi_pr::testing {

class Host {
 public:
  Host(FakeUnit& unit, uint64_t key, std::vector<std::string> devices,
       Type type = Type::kExclusiveAccessRegistrantsOnly)
      : unit_(unit), devices_(std::move(devices)) {
    saved_.name = "g";
    saved_.key = key;
    saved_.type = type;
    for (const std::string& device : devices_) unit.AddPath(device);
    Restart();
  }

  PathGroup* operator->() { return group_.get(); }
  const GroupState& state() const { return group_->state(); }
  const std::vector<std::string>& devices() const { return devices_; }
  // The text is what the group's file would have.
  const GroupState& saved() const { return saved_; }

  // Another process goes on with what was saved last.
  void Restart() {
    PathGroup::Options options;
    options.open = unit_.Opener();
    options.save = [this](const GroupState& state) {
      if (saves_left_ >= 0 && saves_left_-- == 0) throw Killed();
      EXPECT_TRUE(DecodeGroup(EncodeGroup(state), &saved_).ok());
      EXPECT_EQ(saved_, state);
      return Status();
    };
    options.trace = [this](const std::string& line) { trace.push_back(line); };
    options.patience = {std::chrono::milliseconds(1000), std::chrono::milliseconds(20),
                        std::chrono::milliseconds(1)};
    group_ = std::make_unique<PathGroup>(saved_, std::move(options));
  }

  // Figure 5: with all its devices.
  Host& Configured() {
    for (const std::string& device : devices_) EXPECT_TRUE(group_->Add(device).ok());
    return *this;
  }
  Host& Opened(OpenMode mode = OpenMode::kDefault) {
    const Status status = group_->Open(mode);
    EXPECT_TRUE(status.ok()) << status.message();
    return *this;
  }

  // The process is killed instead of saving once more than that.
  void KillAtSave(int n) { saves_left_ = n; }
  void KillNobody() { saves_left_ = -1; }

  std::vector<std::string> trace;

 private:
  FakeUnit& unit_;
  const std::vector<std::string> devices_;
  GroupState saved_;
  int saves_left_ = -1;
  std::unique_ptr<PathGroup> group_;
};

inline constexpr uint8_t kIn = opcode::kPersistentReserveIn;
inline constexpr uint8_t kOut = opcode::kPersistentReserveOut;
constexpr uint8_t Code(OutAction action) { return static_cast<uint8_t>(action); }
constexpr uint8_t Code(InAction action) { return static_cast<uint8_t>(action); }

// How often a command of that kind was sent, by any path or by that one.
inline int Count(const FakeUnit& unit, uint8_t code, uint8_t action,
                 const std::string& device = "") {
  int count = 0;
  for (const FakeUnit::Sent& each : unit.sent) {
    const bool here = device.empty() || each.device == device;
    count += here && each.operation_code == code && each.service_action == action;
  }
  return count;
}
inline int Count(const FakeUnit& unit, OutAction action, const std::string& device = "") {
  return Count(unit, kOut, Code(action), device);
}

}  // namespace scsi_pr::testing
