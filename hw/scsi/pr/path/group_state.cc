// SPDX-License-Identifier: GPL-2.0-or-later
#include "path/group_state.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/document.h"
#include "core/envelope.h"

namespace scsi_pr {

namespace {

using nlohmann::json;

constexpr Envelope kEnvelope{"scsi-pr-path", "group", "the file of the path group", 1};

constexpr std::string_view kModes[] = {"default", "forced", "retain", "no-reserve", "single"};
constexpr std::string_view kSteps[] = {"register", "unregister", "reserve",  "release",
                                       "preempt",  "fence",      "reserve6", "release6"};

// The index of `name`; throws where it is none of them.
template <typename Names>
size_t IndexIn(const Names& names, const std::string& name) {
  const auto* found = std::ranges::find(names, name);
  if (found == std::end(names)) throw std::invalid_argument("\"" + name + "\" is not known");
  return static_cast<size_t>(found - std::begin(names));
}

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

size_t PathIndex(const json& object, const char* member, const GroupState& state) {
  const auto index = GetUnsigned<uint64_t>(object, member, 0);
  if (index >= state.paths.size()) throw std::invalid_argument("it names a path that is not there");
  return index;
}

GroupState FromJson(const json& group) {
  GroupState state;
  state.name = group.at("name").get<std::string>();
  if (!IsGroupName(state.name)) throw std::invalid_argument("\"name\" is no name of a group");
  state.key = KeyFromText(group.at("key").get<std::string>());
  if (state.key == 0) throw std::invalid_argument("\"key\" is 0");
  const auto type = TypeFromName(group.at("type").get<std::string>());
  if (!type || !IsGroupType(*type)) throw std::invalid_argument("\"type\" is none for a group");
  state.type = *type;
  state.unit = group.at("unit").get<std::string>();
  for (const json& path : group.at("paths")) {
    state.paths.push_back({path.at("device").get<std::string>(), path.at("registered").get<bool>(),
                           path.at("dead").get<bool>()});
  }
  if (group.contains("reserved")) state.reserved = PathIndex(group, "reserved", state);
  state.retain = group.at("retain").get<bool>();
  state.persistent = group.at("persistent").get<bool>();
  if (group.contains("open")) {
    state.open = static_cast<OpenMode>(IndexIn(kModes, group.at("open").get<std::string>()));
  }
  if (group.contains("pending")) {
    const json& pending = group.at("pending");
    const size_t step = IndexIn(kSteps, pending.at("step").get<std::string>());
    state.pending = PendingStep{static_cast<Step>(step), PathIndex(pending, "path", state)};
  }
  return state;
}

}  // namespace

std::string_view ModeName(OpenMode mode) { return kModes[static_cast<size_t>(mode)]; }
std::string_view StepName(Step step) { return kSteps[static_cast<size_t>(step)]; }

bool IsGroupName(std::string_view name) {
  constexpr size_t kMost = 64;
  const auto allowed = [](char c) { return IsAlphanumeric(c) || c == '.' || c == '_' || c == '-'; };
  return !name.empty() && name.size() <= kMost && IsAlphanumeric(name.front()) &&
         std::ranges::all_of(name, allowed);
}

bool IsGroupType(Type type) { return RegistrantsHaveAccess(type); }

json GroupToJson(const GroupState& state) {
  json paths = json::array();
  for (const GroupPath& path : state.paths) {
    paths.push_back(
        {{"device", path.device}, {"registered", path.registered}, {"dead", path.dead}});
  }
  json group = {{"name", state.name},
                {"key", KeyToText(state.key)},
                {"type", TypeName(state.type)},
                {"unit", state.unit},
                {"paths", std::move(paths)},
                {"retain", state.retain},
                {"persistent", state.persistent}};
  if (state.reserved) group["reserved"] = *state.reserved;
  if (state.open) group["open"] = ModeName(*state.open);
  if (state.pending) {
    group["pending"] = {{"step", StepName(state.pending->step)}, {"path", state.pending->path}};
  }
  return group;
}

std::string EncodeGroup(const GroupState& state) {
  return Seal(kEnvelope, kEnvelope.schema, GroupToJson(state));
}

Status DecodeGroup(std::string_view text, GroupState* state) {
  try {
    int schema = 0;
    json group;
    if (Status status = Unseal(kEnvelope, text, &schema, &group); !status.ok()) return status;
    *state = FromJson(group);
    return Status();
  } catch (const std::exception& e) {
    return kEnvelope.Corrupt(e.what());
  }
}

}  // namespace scsi_pr
