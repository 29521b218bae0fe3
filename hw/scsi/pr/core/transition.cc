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

  bool CheckAptpl() {
    if (!command.aptpl || capabilities.persist_through_power_loss) return true;
    Check(sense::kInvalidFieldInParameterList);
    return false;
  }

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
    if (whom == nexus) return;
    outcome.unit_attentions.push_back(
        {whom, sense, whom.Covers(nexus) ? std::optional(nexus) : std::nullopt});
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

// Removes the registration of `whom` (5.6.8.3).
void Unregister(Transition& t, const Nexus& whom) {
  std::erase_if(t.after().registrations,
                [&](const Registration& registration) { return registration.nexus.Covers(whom); });
  t.ReleaseIfUnheld();
  const bool released = t.before.reservation && !t.after().reservation;
  if (released && RegistrantsHaveAccess(t.before.reservation->type)) {
    t.AttentionToRegistered(sense::kReservationsReleased);
  }
}

// Registers `whom` with the command's key, in place of what it had. False,
// with the command ended, if there is no room.
bool Add(Transition& t, const Nexus& whom) {
  std::vector<Registration>& registrations = t.after().registrations;
  const uint64_t key = t.command.service_action_reservation_key;
  const auto known = std::ranges::find_if(
      registrations, [&](const Registration& r) { return r.nexus.Covers(whom); });
  if (known != registrations.end()) {
    known->key = key;
    return true;
  }
  // A registration for all target ports takes the place of those for one.
  std::erase_if(registrations, [&](const Registration& r) { return whom.Covers(r.nexus); });
  if (registrations.size() == State::kMaxRegistrations) {
    t.Check(sense::kInsufficientRegistrationResources);
    return false;
  }
  registrations.push_back({whom, key});
  return true;
}

bool RegisteredAnywhere(const State& state, const Nexus& whom) {
  return std::ranges::any_of(state.registrations, [&](const Registration& r) {
    return r.nexus.Covers(whom) || whom.Covers(r.nexus);
  });
}

// Table regun, a key that is not zero: the sender and, with SPEC_I_PT, each
// initiator port of the list; all of them or none.
void RegisterNew(Transition& t) {
  const bool ignore = t.command.action == OutAction::kRegisterAndIgnoreExistingKey;
  const uint16_t port = t.command.all_tg_pt ? Nexus::kAllTargetPorts : t.nexus.target_port;
  const Nexus sender{t.nexus.initiator, port};
  // As if received through each target port: at another one the sender is
  // registered, with a key that the command does not give.
  if (!ignore && RegisteredAnywhere(t.before, sender)) return t.Conflict();
  if (!Add(t, sender)) return;
  for (const TransportId& initiator : t.command.transport_ids) {
    const Nexus listed{initiator, port};
    if (listed == sender) continue;
    // SPC-3 r23 table 33, note a: REGISTER does not take over a registration.
    if (!ignore && RegisteredAnywhere(t.before, listed)) {
      return t.Check(sense::kInvalidFieldInParameterList);
    }
    if (!Add(t, listed)) return;
  }
}

// Tables regun and regreg, from the point where the key has been verified.
void Register(Transition& t) {
  if (!t.CheckAptpl()) return;
  const bool unregister = t.command.service_action_reservation_key == 0;
  const Registration* own = t.before.Find(t.nexus);
  if (own == nullptr && unregister) {
    t.did_nothing = true;
    return;
  }
  if (own == nullptr) {
    RegisterNew(t);
  } else if (t.command.spec_i_pt ||
             (t.command.all_tg_pt && own->nexus.target_port != Nexus::kAllTargetPorts)) {
    return t.Check(sense::kInvalidFieldInCdb);  // more than a single I_T nexus
  } else if (unregister) {
    Unregister(t, t.nexus);
  } else {
    Add(t, t.nexus);
  }
  t.after().aptpl = t.command.aptpl;
}

// Registering and moving the reservation (5.6.rm; SPC-3 r23 5.6.8).
void RegisterAndMove(Transition& t) {
  if (!t.CheckAptpl()) return;
  const std::optional<Reservation>& reservation = t.before.reservation;
  if (!reservation) return t.Check(sense::kInvalidFieldInCdb);
  if (IsAllRegistrants(reservation->type) || !t.before.IsHolder(t.nexus)) return t.Conflict();
  const uint16_t port = t.command.target_port != 0 ? t.command.target_port : t.nexus.target_port;
  const std::vector<TransportId>& listed = t.command.transport_ids;
  if (t.command.service_action_reservation_key == 0 || listed.size() != 1 ||
      listed.front() == t.nexus.initiator) {
    return t.Check(sense::kInvalidFieldInParameterList);
  }
  const Nexus destination{listed.front(), port};
  if (!Add(t, destination)) return;
  t.after().reservation->holder = destination;
  if (t.command.unreg) Unregister(t, t.nexus);
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

// Whether a preempt action specifies this registration (table prespec).
bool IsSpecified(const Transition& t, const Registration& registration) {
  const PersistentReserveOut& command = t.command;
  const bool all_keys = command.service_action_reservation_key == 0 && t.before.reservation &&
                        IsAllRegistrants(t.before.reservation->type);
  if (!all_keys && registration.key != command.service_action_reservation_key) return false;
  if (!command.spec_i_pt) return true;
  const Nexus here{registration.nexus.initiator, t.nexus.target_port};
  if (!command.all_tg_pt && !registration.nexus.Covers(here)) return false;
  return std::ranges::find(command.transport_ids, registration.nexus.initiator) !=
         command.transport_ids.end();
}

// Removes the registrations that the command specifies, but for the sender's
// own where `keep_own`. Returns whether it specified any.
bool RemoveRegistrations(Transition& t, bool keep_own) {
  bool any = false;
  std::erase_if(t.after().registrations, [&](const Registration& registration) {
    if (!IsSpecified(t, registration)) return false;
    any = true;
    if (t.command.action == OutAction::kPreemptAndAbort) {
      t.outcome.preempted.push_back(registration.nexus);
    }
    if (keep_own && registration.nexus.Covers(t.nexus)) return false;
    t.Attention(registration.nexus, sense::kRegistrationsPreempted);
    return true;
  });
  return any;
}

// Preempting the persistent reservation (5.6.8.4.3).
void PreemptReservation(Transition& t) {
  if (!t.CheckScopeAndType()) return;
  RemoveRegistrations(t, true);
  // SPC-3 r23 5.6.10.4.3 f): who keeps a registration learns that the
  // restrictions are others now.
  if (t.before.reservation->type != t.type()) {
    t.AttentionToRegistered(sense::kReservationsReleased);
  }
  t.Establish(t.type());
}

// Removing registrations (5.6.8.4.4).
void PreemptRegistrations(Transition& t) {
  if (!RemoveRegistrations(t, false)) return t.Conflict();
  t.ReleaseIfUnheld();
}

// Whether the command specifies a reservation holder. With an all registrants
// type only key 0 does (table 36).
bool SpecifiesHolder(const Transition& t) {
  const Reservation& reservation = *t.before.reservation;
  if (!reservation.holder) {
    return t.victim_key() == 0 && std::ranges::any_of(t.before.registrations, [&](const auto& r) {
             return IsSpecified(t, r);
           });
  }
  return IsSpecified(t, *t.before.Find(*reservation.holder));
}

// Table 36.
void Preempt(Transition& t) {
  const std::optional<Reservation>& reservation = t.before.reservation;
  if (!reservation) return PreemptRegistrations(t);
  if (t.victim_key() == 0 && !IsAllRegistrants(reservation->type)) {
    return t.Check(sense::kInvalidFieldInParameterList);
  }
  return SpecifiesHolder(t) ? PreemptReservation(t) : PreemptRegistrations(t);
}

// Replacing lost reservations (SPC-4 5.13.11.3). What was known before goes,
// without a unit attention condition, and PRgeneration starts anew. Nothing here
// may end in RESERVATION CONFLICT (5.13.5.3.2), not even another RESERVATION KEY
// than 0. Table 216: SPEC_I_PT and ALL_TG_PT are invalid.
void ReplaceLostReservation(Transition& t) {
  if (!t.before.information_lost) return t.Check(sense::kInvalidReleaseOfPersistentReservation);
  const uint64_t key = t.command.service_action_reservation_key;
  if (t.command.reservation_key != 0 || key == 0 || t.command.spec_i_pt || t.command.all_tg_pt) {
    return t.Check(sense::kInvalidFieldInParameterList);
  }
  if (!t.CheckAptpl() || !t.CheckScopeAndType()) return;
  t.after() = State{};
  t.after().aptpl = t.command.aptpl;
  t.after().registrations.push_back({t.nexus, key});
  t.Establish(t.type());
}

// RESERVATION KEY (6.12.3) before anything else of the command is looked at.
enum class KeyRule : uint8_t {
  kMatch,       // the nexus is registered, with this key
  kMatchOrNew,  // likewise, or it is not registered and the key is 0
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
    {OutAction::kPreemptAndAbort, KeyRule::kMatch, true, Preempt},
    {OutAction::kRegisterAndIgnoreExistingKey, KeyRule::kIgnored, true, Register},
    {OutAction::kRegisterAndMove, KeyRule::kMatch, true, RegisterAndMove},
    {OutAction::kReplaceLostReservation, KeyRule::kIgnored, false, ReplaceLostReservation},
};
static_assert(std::size(kRows) == std::size(kOutActions) && IndexIsCode(kRows));

// Nothing for an action that is none: who made the command has not parsed one.
const Row* FindRow(OutAction action) {
  const auto code = static_cast<size_t>(action);
  return code < std::size(kRows) ? &kRows[code] : nullptr;
}

bool KeyHolds(KeyRule rule, const Registration* registration, uint64_t key) {
  switch (rule) {
    case KeyRule::kIgnored: return true;
    case KeyRule::kMatchOrNew:
      if (registration == nullptr) return key == 0;
      [[fallthrough]];
    case KeyRule::kMatch: return registration != nullptr && registration->key == key;
  }
  return false;
}

}  // namespace

Outcome Apply(const State& state, const Capabilities& capabilities, const Nexus& nexus,
              const PersistentReserveOut& command) {
  const Refusal refusal = RefusePersistentReserve(state);
  const bool replaces = command.action == OutAction::kReplaceLostReservation;
  if (refusal.status != ScsiStatus::kGood && !(replaces && state.information_lost)) {
    return Unchanged(state, refusal.status, refusal.sense);
  }
  const Row* row = FindRow(command.action);
  const bool unsupported =
      command.action == OutAction::kPreemptAndAbort && !capabilities.abort_tasks;
  if (row == nullptr || unsupported) {
    return Unchanged(state, ScsiStatus::kCheckCondition, sense::kInvalidFieldInCdb);
  }
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

Refusal RefusePersistentReserve(const State& state) {
  if (state.information_lost) {
    return {ScsiStatus::kCheckCondition, sense::kPersistentReservationInformationLost};
  }
  if (state.legacy_holder) return {ScsiStatus::kReservationConflict, sense::kNone};
  return {};
}

}  // namespace scsi_pr
