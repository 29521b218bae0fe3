// SPDX-License-Identifier: GPL-2.0-or-later
//
// Figure 12: what this host has reserved is released, by whichever path. And the single path
// function: RESERVE and RELEASE of SPC-2.
#include "path/path_group.h"

namespace scsi_pr {

namespace {

using Code = Status::Code;

}  // namespace

Status PathGroup::Close() {
  Settle();
  if (!state_.retain && !state_.paths.empty()) {  // 970
    CloseAll();                                   // 1210
    const Status status = state_.persistent ? ReleaseReservation() : ReleaseSinglePath();
    if (!status.ok()) return status;
  }
  state_.open.reset();
  state_.pending.reset();
  return Save();
}

// Boxes 628, 1042, 1220 and 1230. First by the path that has made it; if that is dead by another
// one, to which the others need not be told apart: they have the same key.
Status PathGroup::ReleaseReservation() {
  for (const size_t path : Order()) {
    if (Use(path) == nullptr) continue;
    bool released = false;
    const Status status = ReleaseBy(path, &released);
    if (!status.ok() || released) return status;
  }
  return NoPath();
}

// Leaves `*released` false where this path cannot do it and another one may.
Status PathGroup::ReleaseBy(size_t path, bool* released) {
  std::optional<HeldReservation> held;
  Owner owner = Owner::kNobody;
  Reply reply = FindOwner(path, &held, &owner);
  if (reply.answer == Answer::kDead) return Status();
  if (!reply.good()) return Failed(path, "READ RESERVATION", reply);
  Note(owner, path);
  if (owner == Owner::kNobody || owner == Owner::kOther) {
    *released = true;
    return Save();
  }
  if (IsAllRegistrants(held->type)) return Leave(released);
  Status status = Change(
      Step::kRelease, path, [&](Initiator& by) { return by.Release(state_.key, held->type); },
      [] {}, &reply);
  if (!status.ok() || reply.answer == Answer::kDead) return status;
  // Others have taken over in its place before, or somebody has fenced it.
  if (reply.answer == Answer::kConflict) status = RegisterPath(path, 0, &reply);
  if (!status.ok() || reply.answer == Answer::kDead) return status;
  if (!reply.good()) return Failed(path, "RELEASE", reply);
  reply = FindOwner(path, &held, &owner);
  if (reply.answer == Answer::kDead) return Status();
  if (!reply.good()) return Failed(path, "READ RESERVATION", reply);
  if (owner == Owner::kUs) return TakeOverAndRelease(path, held->type, released);
  Note(owner, path);
  *released = true;
  return Save();
}

// The holder's path is another one, and only the holder releases (SPC-3 5.6.10.2). To preempt one's
// own key makes this path the holder, without a moment in which nobody is.
Status PathGroup::TakeOverAndRelease(size_t path, Type type, bool* released) {
  Reply reply;
  Status status = Change(
      Step::kPreempt, path, [&](Initiator& by) { return by.Preempt(state_.key, state_.key, type); },
      [&] {
        for (GroupPath& each : state_.paths) each.registered = false;
        state_.paths[path].registered = true;
        state_.reserved = path;
      },
      &reply);
  if (!status.ok() || reply.answer == Answer::kDead) return status;
  if (!reply.good()) return Failed(path, "PREEMPT", reply);
  status = Change(
      Step::kRelease, path, [&](Initiator& by) { return by.Release(state_.key, type); },
      [&] { state_.reserved.reset(); }, &reply);
  if (!status.ok() || reply.answer == Answer::kDead) return status;
  if (!reply.good()) return Failed(path, "RELEASE", reply);
  *released = true;
  return RegisterAgain(path);
}

// An all registrants reservation is everybody's: releasing it would take it from the others.
Status PathGroup::Leave(bool* released) {
  for (size_t i = 0; i < state_.paths.size(); i++) {
    if (Status status = Unregister(i); !status.ok()) return status;
  }
  state_.reserved.reset();
  *released = true;
  return Save();
}

// The first path that answers is the one that is used.
Status PathGroup::OpenSinglePath(OpenMode mode) {
  if (mode == OpenMode::kNoReserve) {
    const Status status = ReleaseSinglePath();
    return status.ok() ? Opened(mode) : status;
  }
  for (const size_t path : Order()) {
    if (Use(path) == nullptr) continue;
    Reply reply;
    Status status = Change(
        Step::kReserve6, path, [](Initiator& by) { return by.Reserve6(); },
        [&] { state_.reserved = path; }, &reply);
    if (!status.ok()) return status;
    if (reply.good()) return Opened(mode);
    if (reply.answer == Answer::kConflict) {
      return Status::Error(
          Code::kInUse, "group " + state_.name + ": another host has reserved the logical unit",
          "Close the group there; this storage has no persistent reservations: nothing but a "
          "reset of the logical unit takes a reservation away.");
    }
    if (reply.answer == Answer::kUnsupported) {
      return Status::Error(
          Code::kInvalid,
          "the storage of group " + state_.name + " has no reservations of any kind",
          "scsi-pr path open --no-reserve opens it for all hosts.");
    }
    if (reply.answer != Answer::kDead) return Failed(path, "RESERVE(6)", reply);
  }
  return NoPath();
}

// Such a reservation is of one path, and no other one can release it.
Status PathGroup::ReleaseSinglePath() {
  if (!state_.reserved) return Status();
  const size_t path = *state_.reserved;
  if (Use(path) == nullptr) return NoPath();
  Reply reply;
  Status status = Change(
      Step::kRelease6, path, [](Initiator& by) { return by.Release6(); },
      [&] { state_.reserved.reset(); }, &reply);
  if (!status.ok() || reply.good()) return status;
  return reply.answer == Answer::kDead ? NoPath() : Failed(path, "RELEASE(6)", reply);
}

}  // namespace scsi_pr
