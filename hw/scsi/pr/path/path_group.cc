// SPDX-License-Identifier: GPL-2.0-or-later
//
// What all operations on a group share: its paths, and the steps that are written down before
// and after they are taken.
#include "path/path_group.h"

#include <algorithm>
#include <utility>

#include "core/document.h"

namespace scsi_pr {

namespace {

using Code = Status::Code;

// Whether it is known what has become of the command.
bool IsDefinite(const Reply& reply) {
  return reply.answer != Answer::kDead && reply.answer != Answer::kUnknown;
}

}  // namespace

PathGroup::PathGroup(GroupState state, Options options)
    : state_(std::move(state)), options_(std::move(options)), initiators_(state_.paths.size()) {
  troubles_.resize(state_.paths.size());
}

std::vector<std::string> PathGroup::TakeNotes() { return std::exchange(notes_, {}); }

// Paths

std::optional<size_t> PathGroup::FindPath(const std::string& device) const {
  const auto found = std::ranges::find(state_.paths, device, &GroupPath::device);
  if (found == state_.paths.end()) return std::nullopt;
  return static_cast<size_t>(found - state_.paths.begin());
}

// The one that has made the reservation before others.
std::vector<size_t> PathGroup::Order() const {
  std::vector<size_t> order;
  if (state_.reserved) order.push_back(*state_.reserved);
  for (size_t i = 0; i < state_.paths.size(); i++) {
    if (state_.reserved != i) order.push_back(i);
  }
  return order;
}

std::optional<size_t> PathGroup::LivePath() {
  for (const size_t i : Order()) {
    if (state_.paths[i].registered && Use(i) != nullptr) return i;
  }
  return std::nullopt;
}

Initiator* PathGroup::Use(size_t path) {
  if (state_.paths[path].dead) return nullptr;
  std::unique_ptr<Initiator>& initiator = initiators_[path];
  if (initiator) return initiator.get();
  const std::string& device = state_.paths[path].device;
  Status status = OpenPath(device, &initiator);
  Reply reply;
  if (status.ok()) status = CheckUnit(device, *initiator, &reply);
  if (!status.ok()) MarkDead(path, status.message());
  return initiator.get();
}

Status PathGroup::OpenPath(const std::string& device, std::unique_ptr<Initiator>* initiator) const {
  std::unique_ptr<Transport> transport;
  if (Status status = options_.open(device, &transport); !status.ok()) return status;
  *initiator =
      std::make_unique<Initiator>(device, std::move(transport), options_.patience, options_.trace);
  return Status();
}

// Whether the path leads to the group's logical unit, which the first one names.
Status PathGroup::CheckUnit(const std::string& device, Initiator& initiator, Reply* reply) {
  std::vector<std::string> names;
  *reply = initiator.Identify(&names);
  if (!reply->good()) {
    return Status::Error(
        Code::kIo,
        device + " does not tell which logical unit it leads to: INQUIRY: " + reply->text);
  }
  if (names.empty()) {
    return Status::Error(Code::kInvalid,
                         "the logical unit of " + device + " has no name that the world knows",
                         "Give it one (page 83h of its vital product data; for a disk of QEMU's: "
                         "wwn).");
  }
  if (state_.unit.empty()) state_.unit = names.front();
  if (std::ranges::find(names, state_.unit) != names.end()) return Status();
  return Status::Error(Code::kInvalid,
                       device + " leads to " + names.front() + ", and group " + state_.name +
                           " is of " + state_.unit,
                       "A group has paths to one logical unit only.");
}

void PathGroup::MarkDead(size_t path, const std::string& why) {
  state_.paths[path].dead = true;
  troubles_[path] = why;
  initiators_[path].reset();
  if (options_.trace) options_.trace(state_.paths[path].device + ": passed over: " + why);
}

// All paths get another chance.
void PathGroup::Revive() {
  for (GroupPath& path : state_.paths) path.dead = false;
}

void PathGroup::CloseAll() {
  for (auto& initiator : initiators_) initiator.reset();
  Revive();
}

// Steps

// What may have come of a step that somebody has begun and not ended. Each reading of the
// reservation sets `reserved` right (Note()), and what is registered once too often does no harm.
void PathGroup::Settle() {
  if (!state_.pending) return;
  const auto [step, path] = *state_.pending;
  switch (step) {
    case Step::kRegister: state_.paths[path].registered = true; break;
    case Step::kReserve:
    case Step::kPreempt:
    case Step::kReserve6: state_.reserved = path; break;
    case Step::kUnregister:
    case Step::kRelease:
    case Step::kRelease6:
    case Step::kFence: break;
  }
  if (options_.trace) {
    options_.trace(state_.paths[path].device + ": an earlier command ended in the middle of " +
                   std::string(StepName(step)));
  }
  state_.pending.reset();
}

Status PathGroup::Change(Step step, size_t path, const Send& send,
                         const std::function<void()>& if_good, Reply* reply) {
  state_.pending = PendingStep{step, path};
  if (Status status = Save(); !status.ok()) return status;
  *reply = send(*initiators_[path]);
  if (reply->good()) if_good();
  if (reply->answer == Answer::kDead) MarkDead(path, reply->text);
  if (IsDefinite(*reply)) state_.pending.reset();
  return Save();
}

Reply PathGroup::FindOwner(size_t path, std::optional<HeldReservation>* held, Owner* owner) {
  Initiator& initiator = *initiators_[path];
  *owner = Owner::kNobody;
  Reply reply = initiator.ReadReservation(held);
  if (reply.good() && *held) {
    const bool of_all = IsAllRegistrants((*held)->type) && IsAllRegistrants(state_.type);
    *owner = (*held)->key == state_.key || of_all ? Owner::kUs : Owner::kOther;
    std::vector<uint64_t> keys;
    if (of_all) reply = initiator.ReadKeys(&keys);
    const auto is_ours = [this](uint64_t key) { return key == state_.key; };
    if (!std::ranges::all_of(keys, is_ours)) *owner = Owner::kShared;
  }
  if (reply.answer == Answer::kDead) MarkDead(path, reply.text);
  return reply;
}

// `path` has shown who owns the reservation.
void PathGroup::Note(Owner owner, size_t path) {
  const bool ours = owner == Owner::kUs || owner == Owner::kShared;
  if (!ours) state_.reserved.reset();
  // Nobody has noted which path has made it: any may release it (TakeOverAndRelease()).
  if (ours && !state_.reserved) state_.reserved = path;
}

Status PathGroup::Failed(size_t path, const char* what, const Reply& reply) const {
  const std::string message = "group " + state_.name + ": " + what + " by " +
                              state_.paths[path].device + " ended in " + reply.text;
  switch (reply.answer) {
    case Answer::kBusy: return Status::Error(Code::kBusy, message, "Try again.");
    case Answer::kConflict:
      return Status::Error(Code::kInUse, message, "scsi-pr path status shows who has it.");
    case Answer::kUnknown:
      return Status::Error(Code::kUnknown, message, "Try again: it finds out.");
    default: break;
  }
  return Status::Error(Code::kIo, message, "Look into the kernel's log, and at the storage.");
}

Status PathGroup::NoPath() const {
  std::string message = "no path of group " + state_.name + " works";
  for (size_t i = 0; i < state_.paths.size(); i++) {
    if (troubles_[i].empty()) continue;
    message += "; " + state_.paths[i].device + ": " + troubles_[i];
  }
  const bool sent = state_.pending && state_.pending->step != Step::kRegister;
  if (!sent) return Status::Error(Code::kIo, message, "Repair one of them, or add another one.");
  return Status::Error(Code::kUnknown,
                       message + "; whether " + std::string(StepName(state_.pending->step)) +
                           " was carried out is not known",
                       "Repair a path and try again: it finds out.");
}

Status PathGroup::ReservedByAnother(const HeldReservation& held) const {
  const std::string who =
      held.key == 0 ? "other hosts have" : "key " + KeyToText(held.key) + " has";
  return Status::Error(Code::kInUse,
                       "group " + state_.name + ": " + who + " reserved the logical unit, " +
                           std::string(TypeName(held.type)),
                       "Close the group there; or, if that host is gone for good, take it over: "
                       "scsi-pr path open --forced " +
                           state_.name);
}

// Others

Status PathGroup::Look(View* view) {
  for (const size_t i : Order()) {
    if (Use(i) == nullptr) continue;
    Owner owner = Owner::kNobody;
    Reply reply = FindOwner(i, &view->held, &owner);
    view->ours = owner == Owner::kUs || owner == Owner::kShared;
    if (reply.good()) reply = initiators_[i]->ReadKeys(&view->keys);
    view->persistent = reply.answer != Answer::kUnsupported;
    if (reply.good() || !view->persistent) return Status();
    if (reply.answer != Answer::kDead) return Failed(i, "PERSISTENT RESERVE IN", reply);
    MarkDead(i, reply.text);
  }
  return NoPath();
}

Status PathGroup::PreemptAndAbort(uint64_t key) {
  if (key == 0 || key == state_.key || !state_.persistent) {
    const char* why = !state_.persistent ? "the storage has no persistent reservations"
                      : key == 0         ? "key 0 is nobody's"
                                         : "the key is this host's own";
    return Status::Error(Code::kInvalid, "group " + state_.name + ": nobody is fenced: " + why);
  }
  Settle();
  bool again = true;  // paths that were dead before get one more chance
  for (int round = 0; round < kMostRounds; round++) {
    const auto path = LivePath();
    if (!path && !std::exchange(again, false)) break;
    if (!path) CloseAll();
    if (!path) continue;
    Reply reply;
    Status status = Change(
        Step::kFence, *path,
        [&](Initiator& by) { return by.PreemptAndAbort(state_.key, key, state_.type); }, [] {},
        &reply);
    if (!status.ok()) return status;
    if (reply.answer == Answer::kDead) continue;
    if (!reply.good() && reply.answer != Answer::kConflict) {
      return Failed(*path, "PREEMPT AND ABORT", reply);
    }
    if (const auto done = IsFenced(*path, key)) return *done;
  }
  return NoPath();
}

// Whether nobody is registered with `key` any more, and that keeps out; or nobody can say. Nothing:
// try again.
std::optional<Status> PathGroup::IsFenced(size_t path, uint64_t key) {
  std::optional<HeldReservation> held;
  Owner owner = Owner::kNobody;
  std::vector<uint64_t> keys;
  Reply reply = FindOwner(path, &held, &owner);
  if (reply.good()) reply = initiators_[path]->ReadKeys(&keys);
  if (!reply.good()) return std::nullopt;
  const auto has = [&](uint64_t wanted) { return std::ranges::find(keys, wanted) != keys.end(); };
  Note(owner, path);
  state_.pending.reset();
  if (Status status = Save(); !status.ok()) return status;
  if (!has(state_.key)) {
    return Status::Error(Code::kInUse,
                         "group " + state_.name + ": this host is not registered any more",
                         "Another one has fenced it. Open the group again once that is settled.");
  }
  if (has(key)) return std::nullopt;
  // Without it, who is not registered has access, too.
  if (!held || !IsGroupType(held->type)) {
    return Status::Error(Code::kInvalid,
                         "group " + state_.name +
                             ": the logical unit is not reserved for those "
                             "who are registered: nobody is fenced",
                         "Open the group: scsi-pr path open " + state_.name);
  }
  return Status();
}

}  // namespace scsi_pr
