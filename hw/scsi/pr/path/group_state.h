// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a host knows of the paths to one logical unit: a plain value, and its text.
//
//   { "format": "scsi-pr-path", "schema": 1, "checksum": "sha256:…",
//     "group": { "name": "db", "key": "0x7f…", "type": "exclusive-access-registrants-only",
//                "unit": "naa.6001405…", "persistent": true, "retain": false,
//                "open": "default", "reserved": 0,
//                "pending": { "step": "reserve", "path": 0 },
//                "paths": [ { "device": "/dev/sda", "registered": true, "dead": false } ] } }
//
// "open", "reserved" and "pending" are absent where there is none; "unit" is empty until the first
// path has told it. For the rest see core/envelope.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/status.h"
#include "spc/persistent_reserve.h"

namespace scsi_pr {

// How a group is opened; docs/paths.md.
enum class OpenMode : uint8_t { kDefault, kForced, kRetain, kNoReserve, kSingle };

// A step that changes what the logical unit knows.
enum class Step : uint8_t {
  kRegister,
  kUnregister,
  kReserve,
  kRelease,
  kPreempt,   // of the reservation: the path holds it then
  kFence,     // of another host's registrations
  kReserve6,  // without persistent reservations
  kRelease6,
};

// A step that was begun, and of which it was not noted what has come of it.
struct PendingStep {
  Step step = Step::kRegister;
  size_t path = 0;

  friend bool operator==(const PendingStep&, const PendingStep&) = default;
};

struct GroupPath {
  std::string device;
  bool registered = false;
  bool dead = false;  // it has failed since the group was last opened, and is passed over

  friend bool operator==(const GroupPath&, const GroupPath&) = default;
};

struct GroupState {
  std::string name;
  uint64_t key = 0;  // of the host, by all paths; never 0
  Type type = Type::kExclusiveAccessRegistrantsOnly;
  std::string unit;  // what the logical unit calls itself
  std::vector<GroupPath> paths;
  // The path that has made the reservation, as far as this host knows: an index.
  std::optional<size_t> reserved;
  bool retain = false;  // the reservation survives a close
  std::optional<OpenMode> open;
  // Whether the storage has persistent reservations; else the single path function is in force.
  bool persistent = true;
  std::optional<PendingStep> pending;

  friend bool operator==(const GroupState&, const GroupState&) = default;
};

// "default", "forced", "retain", "no-reserve", "single".
std::string_view ModeName(OpenMode mode);
std::string_view StepName(Step step);

// 1 to 64 letters, digits, '.', '_' and '-', of which the first is a letter or digit: a group's
// name is part of file names and of those of systemd's units.
bool IsGroupName(std::string_view name);

// Only types by which all paths of a host have access: those of registrants.
bool IsGroupType(Type type);

nlohmann::json GroupToJson(const GroupState& state);

// One line, without a newline.
std::string EncodeGroup(const GroupState& state);
// Validates everything before it touches `*state`. kUnsupported for a newer schema, kCorrupt for
// anything else that is wrong.
Status DecodeGroup(std::string_view text, GroupState* state);

}  // namespace scsi_pr
