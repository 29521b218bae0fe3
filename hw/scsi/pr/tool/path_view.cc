// SPDX-License-Identifier: GPL-2.0-or-later
//
// How path groups are shown.
#include <algorithm>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/document.h"
#include "spc/text.h"
#include "tool/path.h"

namespace scsi_pr::tool {

namespace {

using nlohmann::json;

std::string OpenText(const GroupState& group) {
  if (group.open) return "open (" + std::string(ModeName(*group.open)) + ")";
  return group.retain ? "closed, its reservation retained" : "closed";
}

size_t OwnRegistrations(const GroupView& view) {
  return static_cast<size_t>(std::ranges::count(view.unit.keys, view.group.key));
}

std::string ReservationText(const GroupView& view) {
  const PathGroup::View& unit = view.unit;
  const GroupState& group = view.group;
  if (!view.status.ok()) return "not known: " + view.status.message();
  if (!unit.persistent) {
    return group.reserved ? "RESERVE(6) by " + group.paths[*group.reserved].device
                          : "none of this host (the storage has no persistent reservations)";
  }
  if (!unit.held) return "none";
  const std::string type(TypeName(unit.held->type));
  if (unit.ours && unit.held->key == 0) return type + ", this host's and others'";
  return type + (unit.ours ? ", this host's" : ", of key " + KeyToText(unit.held->key));
}

std::string PathText(const GroupState& group, size_t i) {
  const GroupPath& path = group.paths[i];
  std::string text = path.registered ? "registered" : "not registered";
  if (!group.persistent) text = "no persistent reservations";
  if (path.dead) text = "dead: passed over since the last open";
  return text + (group.reserved == i ? ", has made the reservation" : "");
}

}  // namespace

bool GroupView::lost() const {
  if (!group.open || !status.ok() || !unit.persistent) return false;
  return OwnRegistrations(*this) == 0 || (*group.open != OpenMode::kNoReserve && !unit.ours);
}

std::string GroupLine(const GroupState& group) {
  return Printable(group.name) + "  " + OpenText(group) + ", " +
         std::to_string(group.paths.size()) + " paths to " + Printable(group.unit);
}

std::string GroupText(const GroupView& view) {
  const GroupState& group = view.group;
  std::ostringstream out;
  out << "Group         " << group.name << "\n"
      << "Logical unit  " << (group.unit.empty() ? "not known" : Printable(group.unit)) << "\n"
      << "Key           " << KeyToText(group.key) << "\n"
      << "State         " << OpenText(group) << (view.lost() ? ", AND LOST" : "") << "\n"
      << "Reservation   " << ReservationText(view) << "\n";
  if (view.status.ok() && view.unit.persistent) {
    out << "Registrations " << view.unit.keys.size() << ", of this host " << OwnRegistrations(view)
        << "\n";
  }
  if (group.pending) {
    out << "Interrupted   " << StepName(group.pending->step) << " by "
        << Printable(group.paths[group.pending->path].device)
        << "; the next command finds out what has come of it\n";
  }
  out << "Paths         " << group.paths.size() << "\n";
  for (size_t i = 0; i < group.paths.size(); i++) {
    out << "  " << Printable(group.paths[i].device) << "  " << PathText(group, i) << "\n";
  }
  return out.str();
}

json GroupViewToJson(const GroupView& view) {
  json result = GroupToJson(view.group);
  result["state"] = view.lost() ? "lost" : view.group.open ? "open" : "closed";
  if (!view.status.ok()) {
    result["error"] = view.status.message();
    return result;
  }
  json unit = {{"ours", view.unit.ours}, {"keys", json::array()}};
  for (const uint64_t key : view.unit.keys) unit["keys"].push_back(KeyToText(key));
  if (view.unit.held) {
    unit["reservation"] = {{"key", KeyToText(view.unit.held->key)},
                           {"type", TypeName(view.unit.held->type)}};
  }
  result["logical-unit"] = std::move(unit);
  return result;
}

}  // namespace scsi_pr::tool
