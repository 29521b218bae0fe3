// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/transition.h"

#include <algorithm>

namespace scsi_pr {

namespace {

// One PERSISTENT RESERVE OUT at work. The handlers below read like the
// clauses they implement; everything shared between them is a method here.
struct Transition {
  const State& before;
  const Capabilities& capabilities;
  const Nexus& nexus;
  const PersistentReserveOut& command;
  Outcome outcome;
  bool did_nothing = false;  // GOOD, but not even PRgeneration changes

  State& after() { return outcome.state; }

  void Check(Sense sense) {
    outcome.status = ScsiStatus::kCheckCondition;
    outcome.sense = sense;
  }
  void Conflict() { outcome.status = ScsiStatus::kReservationConflict; }

  Type type() const { return static_cast<Type>(command.type); }
  uint64_t victim_key() const { return command.service_action_reservation_key; }

  // TYPE and SCOPE valid for RESERVE and a preempted reservation (table 109).
  bool CheckScopeAndType() {
    if (command.scope == kLogicalUnitScope && IsKnownType(command.type)) return true;
    Check(sense::kInvalidFieldInCdb);
    return false;
  }

  void Establish(Type new_type) {
    after().reservation = Reservation{new_type, std::nullopt};
    if (!IsAllRegistrants(new_type)) after().reservation->holder = nexus;
  }

  void Attention(const Nexus& whom, Sense sense) {
    if (whom != nexus) outcome.unit_attentions.push_back({whom, sense});
  }
  void AttentionToRegistered(Sense sense) {
    for (const Registration& registration : after().registrations) {
      Attention(registration.nexus, sense);
    }
  }

  // Whoever loses the last right to a reservation takes it along (5.6.7).
  void ReleaseIfUnheld() {
    std::optional<Reservation>& reservation = after().reservation;
    if (!reservation) return;
    const bool held = reservation->holder ? after().Find(*reservation->holder) != nullptr
                                          : !after().registrations.empty();
    if (!held) reservation.reset();
  }
};

// Unregistering (5.6.8.3).
void Unregister(Transition& t) {
  std::erase_if(t.after().registrations,
                [&](const Registration& registration) { return registration.nexus == t.nexus; });
  t.ReleaseIfUnheld();
  const bool released = t.before.reservation && !t.after().reservation;
  if (released && RegistrantsHaveAccess(t.before.reservation->type)) {
    t.AttentionToRegistered(sense::kReservationsReleased);
  }
}

// Tables regun and regreg, from the point where the key has been verified.
void Register(Transition& t) {
  const uint64_t key = t.command.service_action_reservation_key;
  if (t.command.spec_i_pt || t.command.all_tg_pt ||
      (t.command.aptpl && !t.capabilities.persist_through_power_loss)) {
    return t.Check(sense::kInvalidFieldInParameterList);
  }
  const bool registered = t.before.Find(t.nexus) != nullptr;
  if (key == 0 && !registered) {
    t.did_nothing = true;
    return;
  }
  if (key == 0) {
    Unregister(t);
  } else if (registered) {
    std::ranges::find(t.after().registrations, t.nexus, &Registration::nexus)->key = key;
  } else if (t.before.registrations.size() == State::kMaxRegistrations) {
    return t.Check(sense::kInsufficientRegistrationResources);
  } else {
    t.after().registrations.push_back({t.nexus, key});
  }
  t.after().aptpl = t.command.aptpl;
}

// Reserving (5.6.6).
void Reserve(Transition& t) {
  if (!t.CheckScopeAndType()) return;
  if (!t.before.reservation) return t.Establish(t.type());
  if (!t.before.IsHolder(t.nexus) || t.before.reservation->type != t.type()) t.Conflict();
}

// Releasing (5.6.8.2).
void Release(Transition& t) {
  if (!t.before.IsHolder(t.nexus)) return;  // GOOD, and nothing is released
  const Type held = t.before.reservation->type;
  if (t.command.scope != kLogicalUnitScope || t.command.type != static_cast<uint8_t>(held)) {
    return t.Check(sense::kInvalidReleaseOfPersistentReservation);
  }
  t.after().reservation.reset();
  if (RegistrantsHaveAccess(held)) t.AttentionToRegistered(sense::kReservationsReleased);
}

// Clearing (5.6.8.6).
void Clear(Transition& t) {
  t.AttentionToRegistered(sense::kReservationsPreempted);
  t.after().registrations.clear();
  t.after().reservation.reset();
}

// Removes the registrations that `specified` names, but for the sender's own
// where `keep_own`. Returns whether it named any.
template <typename Predicate>
bool RemoveRegistrations(Transition& t, bool keep_own, Predicate specified) {
  bool any = false;
  std::erase_if(t.after().registrations, [&](const Registration& registration) {
    if (!specified(registration)) return false;
    any = true;
    if (keep_own && registration.nexus == t.nexus) return false;
    t.Attention(registration.nexus, sense::kRegistrationsPreempted);
    return true;
  });
  return any;
}

// Preempting the persistent reservation (5.6.8.4.3).
void PreemptReservation(Transition& t) {
  if (!t.CheckScopeAndType()) return;
  RemoveRegistrations(t, true, [&](const Registration& registration) {
    return t.victim_key() == 0 || registration.key == t.victim_key();
  });
  // SPC-3 r23 5.6.10.4.3 f): who keeps a registration learns that the
  // restrictions are others now.
  if (t.before.reservation->type != t.type()) {
    t.AttentionToRegistered(sense::kReservationsReleased);
  }
  t.Establish(t.type());
}

// Removing registrations (5.6.8.4.4).
void PreemptRegistrations(Transition& t) {
  const bool any = RemoveRegistrations(t, false, [&](const Registration& registration) {
    return registration.key == t.victim_key();
  });
  if (!any) return t.Conflict();
  t.ReleaseIfUnheld();
}

// Table 36.
void Preempt(Transition& t) {
  const std::optional<Reservation>& reservation = t.before.reservation;
  // A list that narrows the selection: to ignore it would preempt too many.
  if (t.command.spec_i_pt) return t.Check(sense::kInvalidFieldInParameterList);
  if (!reservation) return PreemptRegistrations(t);
  const bool all_registrants = IsAllRegistrants(reservation->type);
  if (t.victim_key() == 0 && !all_registrants) {
    return t.Check(sense::kInvalidFieldInParameterList);
  }
  // HolderKey() is 0 for the all registrants types.
  return t.victim_key() == t.before.HolderKey() ? PreemptReservation(t) : PreemptRegistrations(t);
}

// Half a fence is worse than none: refused until preempted tasks can be
// aborted wherever they run (5.6.8.5).
void PreemptAndAbort(Transition& t) { t.Check(sense::kInvalidFieldInCdb); }

// RESERVATION KEY (6.12.3) before anything else of the command is looked at.
enum class KeyRule : uint8_t {
  kMatch,           // the nexus is registered, with this key
  kMatchOrNew,      // likewise, or it is not registered and the key is 0
  kIgnored,
};

// Tables 34, 106 and 109, a row a service action.
struct Row {
  OutAction action;
  KeyRule key;
  bool increments_generation;
  void (*handler)(Transition&);
};

constexpr Row kRows[] = {
    {OutAction::kRegister, KeyRule::kMatchOrNew, true, Register},
    {OutAction::kReserve, KeyRule::kMatch, false, Reserve},
    {OutAction::kRelease, KeyRule::kMatch, false, Release},
    {OutAction::kClear, KeyRule::kMatch, true, Clear},
    {OutAction::kPreempt, KeyRule::kMatch, true, Preempt},
    {OutAction::kPreemptAndAbort, KeyRule::kIgnored, true, PreemptAndAbort},
    {OutAction::kRegisterAndIgnoreExistingKey, KeyRule::kIgnored, true, Register},
};

bool KeyHolds(KeyRule rule, const Registration* registration, uint64_t key) {
  switch (rule) {
    case KeyRule::kIgnored:
      return true;
    case KeyRule::kMatchOrNew:
      if (registration == nullptr) return key == 0;
      [[fallthrough]];
    case KeyRule::kMatch:
      return registration != nullptr && registration->key == key;
  }
  return false;
}

Outcome Unchanged(const State& state, ScsiStatus status, Sense sense = sense::kNone) {
  return Outcome{status, sense, state, {}};
}

}  // namespace

Outcome Apply(const State& state, const Capabilities& capabilities, const Nexus& nexus,
              const PersistentReserveOut& command) {
  const auto* row = std::ranges::find(kRows, command.action, &Row::action);
  if (!KeyHolds(row->key, state.Find(nexus), command.reservation_key)) {
    return Unchanged(state, ScsiStatus::kReservationConflict);
  }
  Transition t{state, capabilities, nexus, command, Unchanged(state, ScsiStatus::kGood)};
  row->handler(t);
  if (t.outcome.status != ScsiStatus::kGood) {
    return Unchanged(state, t.outcome.status, t.outcome.sense);
  }
  if (row->increments_generation && !t.did_nothing) t.after().generation++;
  return std::move(t.outcome);
}

Outcome ApplyLegacy(const State& state, const Nexus& nexus) {
  const bool compatible =
      state.IsHolder(nexus) || (state.reservation && state.Find(nexus) != nullptr &&
                                RegistrantsHaveAccess(state.reservation->type));
  if (compatible) return Unchanged(state, ScsiStatus::kGood);
  if (!state.registrations.empty()) return Unchanged(state, ScsiStatus::kReservationConflict);
  return Unchanged(state, ScsiStatus::kCheckCondition, sense::kInvalidCommandOperationCode);
}

}  // namespace scsi_pr
