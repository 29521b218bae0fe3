// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/administrator.h"

#include <algorithm>
#include <string>

#include "core/access.h"
#include "core/legacy.h"

namespace scsi_pr {

namespace {

constexpr uint64_t kKey = 1;  // any but 0

// A nexus that is not registered: initiators choose TransportIDs for others
// (SPEC_I_PT, REGISTER AND MOVE).
Nexus Administrator(const State& state) {
  for (unsigned number = 0;; number++) {
    std::string error;
    const auto initiator = TransportId::FromText(
        "iqn.2008-11.org.linux-kvm:scsi-pr.administrator." + std::to_string(number), &error);
    if (state.Find({*initiator, 1}) == nullptr) return {*initiator, 1};
  }
}

// Not by REGISTER, which a full table of registrations would refuse.
State WithRegistered(const State& state, const Nexus& nexus) {
  State with = state;
  with.registrations.push_back({nexus, kKey});
  return with;
}

PersistentReserveOut Command(const State& state, OutAction action) {
  PersistentReserveOut command;
  command.action = action;
  command.reservation_key = kKey;
  command.aptpl = state.aptpl;
  const Type type = state.reservation ? state.reservation->type : Type::kWriteExclusive;
  command.type = static_cast<uint8_t>(type);
  return command;
}

// Whether `nexus` has a registration that it could not use any more.
bool LosesRegistration(const State& state, const State& loaded, const Nexus& nexus) {
  const Registration* before = state.Find(nexus);
  const Registration* after = loaded.Find(nexus);
  return before != nullptr && (after == nullptr || after->key != before->key);
}

bool LosesReservation(const State& state, const State& loaded, const Nexus& nexus) {
  return state.IsHolder(nexus) && !loaded.IsHolder(nexus);
}

bool LosesAccess(const State& state, const State& loaded, const Nexus& nexus) {
  return (AllowedAccess(state, nexus) & ~AllowedAccess(loaded, nexus) & kFullAccess) != 0;
}

std::optional<Sense> NewsOfLoad(const State& state, const State& loaded, const Nexus& nexus) {
  if (LosesRegistration(state, loaded, nexus)) return sense::kRegistrationsPreempted;
  if (LosesReservation(state, loaded, nexus)) return sense::kReservationsPreempted;
  if (state.legacy_holder == nexus) return sense::kBusDeviceResetFunctionOccurred;
  const bool released = state.reservation && state.reservation != loaded.reservation;
  return released ? std::optional(sense::kReservationsReleased) : std::nullopt;
}

// Who has something to lose. A holder may be one of those that a registration for
// all target ports stands for: first, since of the conditions of one change a
// nexus is told the first.
std::vector<Nexus> Concerned(const State& state) {
  std::vector<Nexus> nexuses;
  if (state.legacy_holder) nexuses.push_back(*state.legacy_holder);
  if (state.reservation && state.reservation->holder) {
    nexuses.push_back(*state.reservation->holder);
  }
  for (const Registration& registration : state.registrations) {
    if (state.reservation && state.reservation->holder == registration.nexus) continue;
    nexuses.push_back(registration.nexus);
  }
  return nexuses;
}

bool Same(const State& a, const State& b) {
  State with = a;
  with.generation = b.generation;
  return with == b;
}

}  // namespace

Outcome AdministratorPreempt(const State& state, const Capabilities& capabilities, uint64_t key) {
  const Refusal refusal = RefusePersistentReserve(state);
  if (refusal.status != ScsiStatus::kGood) return Unchanged(state, refusal.status, refusal.sense);
  const Nexus administrator = Administrator(state);
  PersistentReserveOut preempt = Command(state, OutAction::kPreemptAndAbort);
  preempt.service_action_reservation_key = key;
  // A victim may have registered with the administrator's key, too.
  const auto kept = [&](const Nexus& nexus) { return nexus == administrator; };
  Outcome outcome =
      Apply(WithRegistered(state, administrator), capabilities, administrator, preempt);
  std::erase_if(outcome.preempted, kept);
  if (outcome.status != ScsiStatus::kGood) return Unchanged(state, outcome.status, outcome.sense);
  if (outcome.state.Find(administrator) != nullptr) {
    Outcome last = Apply(outcome.state, capabilities, administrator,
                         Command(outcome.state, OutAction::kRegister));
    outcome.state = std::move(last.state);
    std::ranges::move(last.unit_attentions, std::back_inserter(outcome.unit_attentions));
  }
  if (outcome.preempted.empty()) return Unchanged(state, ScsiStatus::kReservationConflict);
  outcome.state.generation = state.generation + 1;
  return outcome;
}

Outcome AdministratorClear(const State& state) {
  const Nexus administrator = Administrator(state);
  if (state.legacy_holder) return ApplyReset(state, administrator, Reset::kLogicalUnit);
  State relied_on = state;
  relied_on.information_lost = false;
  if (!state.information_lost && state.registrations.empty()) {
    return Unchanged(state, ScsiStatus::kGood);
  }
  return Apply(WithRegistered(relied_on, administrator), Capabilities(), administrator,
               Command(state, OutAction::kClear));
}

Outcome AdministratorLoad(const State& state, const State& loaded) {
  State after = loaded;
  if (after.legacy_holder != state.legacy_holder) after.legacy_holder.reset();
  Outcome outcome = Unchanged(state, ScsiStatus::kGood);
  if (Same(state, after)) return outcome;
  // Unless the counter has wrapped, an initiator that reads it must see a change.
  after.generation = std::max(state.generation + 1, loaded.generation);
  for (const Nexus& nexus : Concerned(state)) {
    const auto news = NewsOfLoad(state, after, nexus);
    if (news) outcome.unit_attentions.push_back({nexus, *news});
    const bool gone = state.Find(nexus) != nullptr && after.Find(nexus) == nullptr;
    if (gone || LosesAccess(state, after, nexus)) outcome.preempted.push_back(nexus);
  }
  outcome.state = std::move(after);
  return outcome;
}

std::vector<Nexus> LosersOfLoad(const State& state, const State& loaded,
                                const std::vector<Nexus>& attached) {
  std::vector<Nexus> losers;
  std::ranges::copy_if(attached, std::back_inserter(losers), [&](const Nexus& nexus) {
    const bool released = state.legacy_holder == nexus && loaded.legacy_holder != nexus;
    return released || LosesRegistration(state, loaded, nexus) ||
           LosesReservation(state, loaded, nexus);
  });
  return losers;
}

}  // namespace scsi_pr
