// SPDX-License-Identifier: GPL-2.0-or-later
//
// Figures 7 to 11: what each way to open makes of what READ RESERVATION says.
#include "path/path_group.h"

namespace scsi_pr {

namespace {

using Code = Status::Code;

enum class Action {
  kReserve,  // no key is returned: make the reservation
  kKeep,     // the key is this host's: nothing to do
  kTake,     // it is another's: preempt it, and abort its tasks
  kRelease,  // it is this host's: release it
  kNone,     // leave it as it is
  kFail,
};

// What to do if nobody has the reservation, if this host has it, if it shares it (of an all
// registrants type) and if another host has it. With the boxes.
struct Row {
  OpenMode mode;
  Action nobody, us, shared, other;
};
constexpr Row kRows[] = {
    {OpenMode::kDefault, Action::kReserve /*1150*/, Action::kKeep /*1142*/, Action::kKeep,
     Action::kFail /*1138*/},
    {OpenMode::kForced, Action::kReserve /*726*/, Action::kKeep /*830*/, Action::kTake,
     Action::kTake /*840*/},
    {OpenMode::kRetain, Action::kReserve /*984*/, Action::kKeep /*942*/, Action::kKeep,
     Action::kFail /*938*/},
    {OpenMode::kNoReserve, Action::kNone /*1084*/, Action::kRelease /*1042*/, Action::kNone,
     Action::kFail /*1038*/},
    {OpenMode::kSingle, Action::kReserve /*1150*/, Action::kKeep /*1142*/, Action::kFail,
     Action::kFail /*1138*/},
};

Action ActionFor(OpenMode mode, size_t owner) {
  const Row& row = kRows[static_cast<size_t>(mode)];
  const Action actions[] = {row.nobody, row.us, row.shared, row.other};
  return actions[owner];
}

}  // namespace

// Figure 7, and what an exclusive open means to others of this host.
Status PathGroup::CheckMayOpen(OpenMode mode) const {
  if (state_.paths.empty()) {
    return Status::Error(Code::kInvalid, "group " + state_.name + " has no path",
                         "Add its devices: scsi-pr path add " + state_.name + " DEVICE...");
  }
  if (!state_.open || (mode != OpenMode::kSingle && *state_.open != OpenMode::kSingle)) {
    return Status();
  }
  return Status::Error(Code::kInvalid,
                       "group " + state_.name + " is open already (" +
                           std::string(ModeName(*state_.open)) +
                           "), and single means that nobody else opens it",
                       "Close it first: scsi-pr path close " + state_.name);
}

Type PathGroup::TypeOf(OpenMode mode) const {
  return mode == OpenMode::kSingle ? Type::kExclusiveAccessRegistrantsOnly : state_.type;
}

Status PathGroup::Open(OpenMode mode) {
  if (Status status = CheckMayOpen(mode); !status.ok()) return status;
  Settle();
  Revive();
  if (Status status = CheckIsFree(mode); !status.ok()) return status;
  if (Status status = RegisterAll(); !status.ok()) return status;  // 520, 1110
  return state_.persistent ? OpenPersistent(mode) : OpenSinglePath(mode);
}

// Who is registered has access. So a host that was fenced must not register only to hear that it is
// refused: it asks first. What cannot be read now is found out later.
Status PathGroup::CheckIsFree(OpenMode mode) {
  for (const size_t path : Order()) {
    if (Use(path) == nullptr) continue;
    std::optional<HeldReservation> held;
    Owner owner = Owner::kNobody;
    const Reply reply = FindOwner(path, &held, &owner);
    if (reply.answer == Answer::kDead) continue;
    const bool fails = ActionFor(mode, static_cast<size_t>(owner)) == Action::kFail;
    return reply.good() && fails ? ReservedByAnother(*held) : Status();
  }
  return Status();
}

// Another host was faster since then.
Status PathGroup::Refuse(const HeldReservation& held) {
  for (size_t i = 0; i < state_.paths.size(); i++) {
    if (Status status = Unregister(i); !status.ok()) return status;
  }
  return ReservedByAnother(held);
}

Status PathGroup::OpenPersistent(OpenMode mode) {
  int rounds = 0;
  while (const auto path = LivePath()) {
    if (rounds++ == kMostRounds) {
      return Status::Error(Code::kBusy,
                           "group " + state_.name + ": the reservation changes all the while",
                           "Several hosts open it at once, or one fences this host. Try again.");
    }
    std::optional<HeldReservation> held;
    Owner owner = Owner::kNobody;
    const Reply reply = FindOwner(*path, &held, &owner);  // 820, 920, 1020, 1130
    if (reply.answer == Answer::kDead) continue;
    if (!reply.good()) return Failed(*path, "READ RESERVATION", reply);
    Note(owner, *path);
    if (const auto done = Act(mode, owner, *path, held)) return *done;
  }
  return NoPath();
}

// What is nothing: look again, by whichever path.
std::optional<Status> PathGroup::Act(OpenMode mode, Owner owner, size_t path,
                                     const std::optional<HeldReservation>& held) {
  switch (ActionFor(mode, static_cast<size_t>(owner))) {
    case Action::kReserve: return Reserve(mode, path);
    case Action::kKeep: return Keep(mode, *held);
    case Action::kTake: return Take(mode, path, *held);
    case Action::kRelease: {
      const Status status = ReleaseReservation();
      return status.ok() ? Opened(mode) : status;
    }
    case Action::kNone: return Opened(mode);
    case Action::kFail: break;
  }
  return Refuse(*held);
}

std::optional<Status> PathGroup::Reserve(OpenMode mode, size_t path) {
  Reply reply;
  Status status = Change(
      Step::kReserve, path, [&](Initiator& by) { return by.Reserve(state_.key, TypeOf(mode)); },
      [&] { state_.reserved = path; }, &reply);  // 1170
  if (!status.ok()) return status;
  if (reply.good()) return Opened(mode);
  // Somebody was faster, or this path has failed and may have made it all the same.
  if (reply.answer == Answer::kConflict || reply.answer == Answer::kDead) return std::nullopt;
  return Failed(path, "RESERVE", reply);
}

std::optional<Status> PathGroup::Take(OpenMode mode, size_t path, const HeldReservation& held) {
  Reply reply;
  Status status = Change(
      Step::kPreempt, path,
      [&](Initiator& by) { return by.PreemptAndAbort(state_.key, held.key, TypeOf(mode)); },
      [&] { state_.reserved = path; }, &reply);  // 860
  if (!status.ok()) return status;
  if (reply.answer == Answer::kConflict || reply.answer == Answer::kDead) return std::nullopt;
  if (!reply.good()) return Failed(path, "PREEMPT AND ABORT", reply);
  // Of an all registrants type everybody was preempted, this host's other paths, too.
  if (held.key == 0) status = RegisterAgain(path);
  return status.ok() ? Opened(mode) : status;
}

std::optional<Status> PathGroup::Keep(OpenMode mode, const HeldReservation& held) {
  if (held.type == TypeOf(mode)) return Opened(mode);
  return Status::Error(Code::kInvalid,
                       "group " + state_.name + ": this host has reserved the logical unit, " +
                           std::string(TypeName(held.type)) + ", and not " +
                           std::string(TypeName(TypeOf(mode))),
                       "Release that first: scsi-pr path open --no-reserve " + state_.name);
}

// 870, 942, 1084, 1142, 1180: the paths may be used.
Status PathGroup::Opened(OpenMode mode) {
  state_.open = mode;
  state_.retain = mode == OpenMode::kRetain;  // 960
  state_.pending.reset();
  return Save();
}

}  // namespace scsi_pr
