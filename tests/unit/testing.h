// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the tests share: short names for nexuses, states and commands, so that
// a case of a table is one line.
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "command_bytes.h"
#include "core/state.h"
#include "core/status.h"
#include "core/transition.h"
#include "spc/bytes.h"
#include "spc/opcodes.h"
#include "spc/persistent_reserve.h"
#include "spc/sense.h"

namespace scsi_pr {

// How GoogleTest shows values; found by argument-dependent lookup.
inline void PrintTo(const Sense& sense, std::ostream* out) {
  *out << std::hex << int{sense.key} << '/' << int{sense.asc} << '/' << int{sense.ascq} << std::dec;
}
inline void PrintTo(ScsiStatus status, std::ostream* out) {
  *out << "status " << std::hex << static_cast<int>(status) << "h" << std::dec;
}
inline void PrintTo(Status::Code code, std::ostream* out) {
  constexpr const char* kNames[] = {"ok",     "invalid", "corrupt",   "unsupported",
                                    "in use", "busy",    "I/O error", "unknown"};
  *out << kNames[static_cast<int>(code)];
}
inline void PrintTo(const Nexus& nexus, std::ostream* out) {
  *out << nexus.initiator.ToText() << " at ";
  if (nexus.target_port == Nexus::kAllTargetPorts) {
    *out << "all ports";
  } else {
    *out << "port " << nexus.target_port;
  }
}
inline void PrintTo(const Registration& registration, std::ostream* out) {
  PrintTo(registration.nexus, out);
  *out << " key " << std::hex << registration.key << std::dec;
}
inline void PrintTo(const UnitAttention& attention, std::ostream* out) {
  PrintTo(attention.nexus, out);
  *out << " gets ";
  PrintTo(attention.sense, out);
}
inline void PrintTo(const State& state, std::ostream* out) {
  *out << "generation " << state.generation << " aptpl " << state.aptpl;
  for (const Registration& registration : state.registrations) {
    *out << "; ";
    PrintTo(registration, out);
  }
  if (state.reservation) *out << "; reserved as " << TypeName(state.reservation->type);
  if (state.reservation && state.reservation->holder) {
    *out << " by ";
    PrintTo(*state.reservation->holder, out);
  }
  if (state.legacy_holder) {
    *out << "; RESERVE by ";
    PrintTo(*state.legacy_holder, out);
  }
  if (state.information_lost) *out << "; lost";
}

}  // namespace scsi_pr

namespace scsi_pr::testing {

// Says which clauses of the standard, or rows of its tables, the running test
// is about; each is a line of tests/clauses.txt. scripts/clauses makes a page of
// them (docs/testing.md).
template <typename... Text>
void Clause(const Text&... clauses) {
  (::testing::Test::RecordProperty(std::string("clause ") + clauses, "tested"), ...);
}

// An initiator port by its text, or a failed test.
inline TransportId Port(std::string_view text) {
  std::string error;
  const auto id = TransportId::FromText(text, &error);
  EXPECT_TRUE(id) << text << " " << error;
  return id.value_or(TransportId());
}

inline Nexus MakeNexus(std::string_view initiator, uint16_t target_port = 1) {
  return Nexus{Port(initiator), target_port};
}

// `number` of at most 48 bits; different numbers, different nexuses.
inline Nexus NumberedNexus(uint64_t number) {
  std::string digits = "0000000000000000";
  for (size_t i = digits.size(); number != 0; number /= 16) {
    digits[--i] = "0123456789abcdef"[number % 16];
  }
  return MakeNexus("naa." + digits);
}

inline Nexus A() { return MakeNexus("naa.5000000000000001"); }
inline Nexus B() { return MakeNexus("naa.5000000000000002"); }
inline Nexus C() { return MakeNexus("naa.5000000000000003"); }
inline Nexus D() { return MakeNexus("naa.5000000000000004"); }

// The same initiator port at another target port, or at all of them.
inline Nexus At(const Nexus& nexus, uint16_t target_port) {
  return Nexus{nexus.initiator, target_port};
}
inline Nexus AtAll(const Nexus& nexus) { return At(nexus, Nexus::kAllTargetPorts); }

// The usual keys of A ... D.
inline constexpr uint64_t kKeyA = 0xA;
inline constexpr uint64_t kKeyB = 0xB;
inline constexpr uint64_t kKeyC = 0xC;
inline constexpr uint64_t kKeyD = 0xD;

// SPC-3 6.11.4.3, abbreviated.
inline constexpr Type kWE = Type::kWriteExclusive;
inline constexpr Type kEA = Type::kExclusiveAccess;
inline constexpr Type kWERO = Type::kWriteExclusiveRegistrantsOnly;
inline constexpr Type kEARO = Type::kExclusiveAccessRegistrantsOnly;
inline constexpr Type kWEAR = Type::kWriteExclusiveAllRegistrants;
inline constexpr Type kEAAR = Type::kExclusiveAccessAllRegistrants;
inline constexpr Type kAllTypes[] = {kWE, kEA, kWERO, kEARO, kWEAR, kEAAR};

// Of the standard's words, not of the code's.
constexpr bool AllRegistrants(Type type) { return type == kWEAR || type == kEAAR; }
constexpr bool RegistrantsOnly(Type type) { return type == kWERO || type == kEARO; }

// Given().Registered(A(), kKeyA).Reserved(kWERO, A())
class Given {
 public:
  Given&& Registered(const Nexus& nexus, uint64_t key) && {
    state_.registrations.push_back({nexus, key});
    return std::move(*this);
  }
  // `who` counts only for the types that have a single holder.
  Given&& Reserved(Type type, const Nexus& who) && {
    state_.reservation = Reservation{type, std::nullopt};
    if (!AllRegistrants(type)) state_.reservation->holder = who;
    return std::move(*this);
  }
  Given&& LegacyHolder(const Nexus& nexus) && {
    state_.legacy_holder = nexus;
    return std::move(*this);
  }
  Given&& Lost() && {
    state_.information_lost = true;
    return std::move(*this);
  }
  Given&& Aptpl() && {
    state_.aptpl = true;
    return std::move(*this);
  }
  Given&& Generation(uint32_t generation) && {
    state_.generation = generation;
    return std::move(*this);
  }
  operator State() && { return std::move(state_); }  // NOLINT: that is its purpose

 private:
  State state_;
};

// A, B and C are registered; A has made the reservation.
inline State ReservedByA(Type type) {
  return Given()
      .Registered(A(), kKeyA)
      .Registered(B(), kKeyB)
      .Registered(C(), kKeyC)
      .Reserved(type, A());
}

// PERSISTENT RESERVE OUT with modifiers.
struct Command : PersistentReserveOut {
  Command&& Aptpl() && {
    aptpl = true;
    return std::move(*this);
  }
  Command&& SpecIPt() && {
    spec_i_pt = true;
    return std::move(*this);
  }
  Command&& AllTgPt() && {
    all_tg_pt = true;
    return std::move(*this);
  }
  // SPEC_I_PT with the initiator ports of these.
  Command&& List(const std::vector<Nexus>& nexuses) && {
    spec_i_pt = true;
    for (const Nexus& nexus : nexuses) transport_ids.push_back(nexus.initiator);
    return std::move(*this);
  }
  Command&& Unreg() && {
    unreg = true;
    return std::move(*this);
  }
  Command&& Scope(uint8_t code) && {
    scope = code;
    return std::move(*this);
  }
  Command&& TypeCode(uint8_t code) && {
    type = code;
    return std::move(*this);
  }
};

inline Command Out(OutAction action, uint64_t key, uint64_t action_key = 0, uint8_t type = 0) {
  Command command;
  command.action = action;
  command.type = type;
  command.reservation_key = key;
  command.service_action_reservation_key = action_key;
  return command;
}
inline Command Out(OutAction action, uint64_t key, uint64_t action_key, Type type) {
  return Out(action, key, action_key, static_cast<uint8_t>(type));
}
inline Command Register(uint64_t key, uint64_t new_key) {
  return Out(OutAction::kRegister, key, new_key);
}
inline Command RegisterIgnore(uint64_t new_key, uint64_t ignored_key = 0) {
  return Out(OutAction::kRegisterAndIgnoreExistingKey, ignored_key, new_key);
}
inline Command Reserve(uint64_t key, Type type) { return Out(OutAction::kReserve, key, 0, type); }
inline Command Release(uint64_t key, Type type) { return Out(OutAction::kRelease, key, 0, type); }
inline Command Clear(uint64_t key) { return Out(OutAction::kClear, key); }
inline Command Preempt(uint64_t key, uint64_t victim, Type type) {
  return Out(OutAction::kPreempt, key, victim, type);
}
inline Command PreemptAndAbort(uint64_t key, uint64_t victim, Type type) {
  return Out(OutAction::kPreemptAndAbort, key, victim, type);
}
inline Command ReplaceLost(uint64_t new_key, Type type) {
  return Out(OutAction::kReplaceLostReservation, 0, new_key, type);
}
// As the published parameter list gives it: with a relative target port.
inline Command Move(uint64_t key, uint64_t new_key, const Nexus& destination) {
  Command command = Out(OutAction::kRegisterAndMove, key, new_key);
  command.transport_ids = {destination.initiator};
  command.target_port = destination.target_port;
  return command;
}

inline constexpr Capabilities kDurable{.persist_through_power_loss = true};
inline constexpr Capabilities kVolatile{.persist_through_power_loss = false};
inline constexpr Capabilities kAborts{.persist_through_power_loss = true, .abort_tasks = true};

inline Outcome Perform(const State& state, const Nexus& nexus,
                       const PersistentReserveOut& command) {
  return Apply(state, kDurable, nexus, command);
}

// The command ends in GOOD; returns what it did.
inline Outcome Good(const State& state, const Nexus& nexus, const PersistentReserveOut& command) {
  Outcome outcome = Perform(state, nexus, command);
  EXPECT_EQ(outcome.status, ScsiStatus::kGood);
  EXPECT_EQ(FindViolation(outcome.state), std::nullopt);
  return outcome;
}

// The command is refused, and nothing at all has changed.
inline void ExpectUnchanged(const Outcome& outcome, const State& before, ScsiStatus status,
                            Sense sense) {
  EXPECT_EQ(outcome.status, status);
  EXPECT_EQ(outcome.sense, sense);
  EXPECT_EQ(outcome.state, before);
  EXPECT_TRUE(outcome.unit_attentions.empty());
  EXPECT_TRUE(outcome.preempted.empty());
}
inline void ExpectConflict(const State& state, const Nexus& nexus,
                           const PersistentReserveOut& command) {
  ExpectUnchanged(Perform(state, nexus, command), state, ScsiStatus::kReservationConflict,
                  sense::kNone);
}
inline void ExpectCheck(const State& state, const Nexus& nexus, const PersistentReserveOut& command,
                        Sense sense) {
  ExpectUnchanged(Perform(state, nexus, command), state, ScsiStatus::kCheckCondition, sense);
}

using Attentions = std::vector<UnitAttention>;

// The key with which `nexus` is registered; 0 if it is not.
inline uint64_t KeyOf(const State& state, const Nexus& nexus) {
  const Registration* registration = state.Find(nexus);
  return registration == nullptr ? 0 : registration->key;
}

// The conditions that `nexus`, which sent nothing, finds.
inline std::vector<Sense> ToldTo(const Outcome& outcome, const Nexus& nexus) {
  std::vector<Sense> told;
  for (const UnitAttention& attention : outcome.unit_attentions) {
    if (attention.Reaches(nexus)) told.push_back(attention.sense);
  }
  return told;
}

}  // namespace scsi_pr::testing
