// SPDX-License-Identifier: GPL-2.0-or-later
//
// Figures 5 and 6: paths come and go, and are registered.
#include <algorithm>
#include <utility>

#include "path/path_group.h"

namespace scsi_pr {

namespace {

using Code = Status::Code;

}  // namespace

Status PathGroup::Add(const std::string& device, Registering when) {
  Settle();
  std::optional<size_t> path = FindPath(device);
  if (path) {
    state_.paths[*path].dead = false;
  } else {
    std::unique_ptr<Initiator> initiator;
    Reply reply;
    if (Status status = OpenPath(device, &initiator); !status.ok()) return status;
    const bool known = !state_.unit.empty();
    const Status status = CheckUnit(device, *initiator, &reply);
    // One that is broken today is a path all the same, if it can be looked at later.
    if (!status.ok() && !(known && reply.answer == Answer::kDead)) return status;
    path = state_.paths.size();
    state_.paths.push_back({device});
    initiators_.push_back(std::move(initiator));
    troubles_.emplace_back();
    if (!status.ok()) MarkDead(*path, status.message());
  }
  if (Use(*path) == nullptr) {
    notes_.push_back(device + " does not work now: " + troubles_[*path]);
    return Save();
  }
  return when == Registering::kNow ? Configure(*path) : Save();
}

// Boxes 510 to 550. The second attempt is for who was mistaken about what is registered: after a
// reboot, which forgets the groups, or where somebody has died in the middle.
Status PathGroup::Configure(size_t path) {
  GroupPath& of = state_.paths[path];
  const uint64_t known_as = of.registered ? state_.key : 0;
  of.registered = false;
  Reply reply;
  for (const uint64_t key : {known_as, state_.key - known_as}) {
    Status status = Change(
        Step::kRegister, path, [&](Initiator& by) { return by.Register(key, state_.key); },
        [&] { of.registered = true; }, &reply);
    if (!status.ok() || reply.good()) return status;
    if (reply.answer != Answer::kConflict) break;
  }
  const bool none = std::ranges::none_of(state_.paths, &GroupPath::registered);
  if (reply.answer == Answer::kUnsupported && none) {
    state_.persistent = false;
    notes_.push_back(of.device + ": the storage has no persistent reservations: one path is used");
  } else {
    notes_.push_back(of.device + " is not registered yet (" + reply.text + "); open tries again");
  }
  return Save();
}

// Box 520, with the second attempt that boxes of figure 10 describe.
Status PathGroup::RegisterPath(size_t path, uint64_t known_as, Reply* reply) {
  const auto registered = [&] { state_.paths[path].registered = true; };
  const auto ignore = [&](bool aptpl) {
    return Change(
        Step::kRegister, path,
        [&](Initiator& by) { return by.RegisterAndIgnoreExistingKey(state_.key, aptpl); },
        registered, reply);
  };
  Status status = ignore(options_.aptpl);
  // Storage that keeps nothing refuses to be asked for it.
  if (status.ok() && options_.aptpl && reply->answer == Answer::kRefused) status = ignore(false);
  const Answer answer = reply->answer;
  if (!status.ok() || answer == Answer::kGood || answer == Answer::kDead ||
      answer == Answer::kUnsupported) {
    return status;
  }
  return Change(
      Step::kRegister, path, [&](Initiator& by) { return by.Register(known_as, state_.key); },
      registered, reply);
}

Status PathGroup::Register() {
  Settle();
  Revive();
  return RegisterAll();
}

Status PathGroup::RegisterAll() {
  bool any = false, unsupported = false, conflict = false, busy = false;
  for (size_t i = 0; i < state_.paths.size(); i++) {
    GroupPath& path = state_.paths[i];
    const uint64_t known_as = path.registered ? state_.key : 0;
    path.registered = false;
    if (Use(i) == nullptr) continue;
    Reply reply;
    if (Status status = RegisterPath(i, known_as, &reply); !status.ok()) return status;
    any |= reply.good();
    unsupported |= reply.answer == Answer::kUnsupported;
    conflict |= reply.answer == Answer::kConflict;
    busy |= reply.answer == Answer::kBusy;
    const bool skipped = !reply.good() && reply.answer != Answer::kUnsupported;
    if (skipped && !path.dead) MarkDead(i, reply.text);
  }
  state_.persistent = any || !unsupported;
  if (Status status = Save(); !status.ok()) return status;
  if (any || unsupported) return Status();
  if (conflict) {
    return Status::Error(
        Code::kInUse, "group " + state_.name + ": registering ends in RESERVATION CONFLICT",
        "Another host has the logical unit by RESERVE of SPC-2: release it there.");
  }
  if (busy) {
    return Status::Error(Code::kBusy, "group " + state_.name + ": the storage stays busy",
                         "Try again.");
  }
  return NoPath();
}

// The other paths have lost their registrations by a PREEMPT of our own key. One that cannot be
// registered is passed over: opening tries again.
Status PathGroup::RegisterAgain(size_t but_not) {
  for (size_t i = 0; i < state_.paths.size(); i++) {
    if (i == but_not || Use(i) == nullptr) continue;
    Reply reply;
    if (Status status = RegisterPath(i, 0, &reply); !status.ok()) return status;
  }
  return Status();
}

Status PathGroup::Remove(const std::string& device) {
  Settle();
  const auto path = FindPath(device);
  if (!path) {
    return Status::Error(Code::kInvalid, device + " is no path of group " + state_.name,
                         "scsi-pr path status shows its paths.");
  }
  // Whoever unregisters the holder's path releases the reservation (SPC-3 5.6.8.3).
  if (state_.open && (state_.reserved == *path || state_.paths.size() == 1)) {
    return Status::Error(Code::kInvalid,
                         "group " + state_.name + " is open, and " + device +
                             " has made its reservation or is its only path",
                         "Close the group first: scsi-pr path close " + state_.name);
  }
  if (!state_.open && (state_.reserved || state_.retain)) {  // boxes 620 to 628
    CloseAll();
    const Status status = state_.persistent ? ReleaseReservation() : ReleaseSinglePath();
    if (!status.ok()) return status;
    state_.retain = false;
  }
  if (Status status = Unregister(*path); !status.ok()) return status;
  Forget(*path);
  return Save();
}

// REGISTER, not its variant that ignores the key: what others have registered here stays. Also of a
// path that is taken for not registered: it may be, if somebody has died meanwhile.
Status PathGroup::Unregister(size_t path) {
  if (!state_.persistent) return Status();
  GroupPath& of = state_.paths[path];
  Reply reply{Answer::kDead, troubles_[path]};
  if (Use(path) != nullptr) {
    Status status = Change(
        Step::kUnregister, path, [&](Initiator& by) { return by.Register(state_.key, 0); },
        [&] { of.registered = false; }, &reply);
    if (!status.ok()) return status;
  }
  // In a conflict it was registered no more, or otherwise.
  if (reply.good() || reply.answer == Answer::kConflict) {
    of.registered = false;
    return Save();
  }
  if (reply.answer != Answer::kDead) return Failed(path, "REGISTER", reply);
  return UnregisterDead(path);
}

// Another path preempts this host's own key: nothing of it is registered any more, and the others
// register again. Not while the group is open: they would have no access for a moment.
Status PathGroup::UnregisterDead(size_t path) {
  const auto by = state_.open ? std::nullopt : LivePath();
  Reply reply{Answer::kDead};
  if (by) {
    Status status = Change(
        Step::kFence, *by,
        [&](Initiator& initiator) {
          return initiator.Preempt(state_.key, state_.key, state_.type);
        },
        [&] {
          for (GroupPath& each : state_.paths) each.registered = false;
        },
        &reply);
    if (!status.ok()) return status;
  }
  if (reply.good()) return RegisterAgain(path);
  notes_.push_back(state_.paths[path].device + " does not work (" + troubles_[path] +
                   "): its registration may stay at the logical unit");
  return Status();
}

void PathGroup::Forget(size_t path) {
  const auto at = static_cast<std::ptrdiff_t>(path);
  state_.paths.erase(state_.paths.begin() + at);
  initiators_.erase(initiators_.begin() + at);
  troubles_.erase(troubles_.begin() + at);
  state_.pending.reset();
  if (state_.reserved == path) state_.reserved.reset();
  if (state_.reserved && *state_.reserved > path) --*state_.reserved;
}

}  // namespace scsi_pr
