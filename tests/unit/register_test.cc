// SPDX-License-Identifier: GPL-2.0-or-later
//
// REGISTER and REGISTER AND IGNORE EXISTING KEY (SPC-3 5.6.5, 5.6.8.3) for the
// sender's own nexus. With SPEC_I_PT and ALL_TG_PT: third_party_test.cc.
#include "register_tables.h"

namespace scsi_pr {
namespace {

using namespace testing;

void ExpectRow(const State& state, const Nexus& nexus, const RegisterRow& row) {
  const Command command = Out(row.action, row.key, row.action_key);
  if (row.result == Result::kConflict) return ExpectConflict(state, nexus, command);
  const State after = Good(state, nexus, command).state;
  EXPECT_EQ(KeyOf(after, nexus), row.result == Result::kRegisters ? row.action_key : 0);
  EXPECT_EQ(KeyOf(after, B()), KeyOf(state, B())) << "no effect on other registrations";
}

// Table regun: from a nexus that is not registered.
TEST(Register, FromUnregisteredNexus) {
  Clause("5.6.5: a", "5.6.5: new");
  for (const RegisterRow& row : kRegun) {
    Clause(std::string("table regun: ") + row.row);
    SCOPED_TRACE(row.row);
    ExpectRow(State{}, A(), row);
    ExpectRow(Given().Registered(B(), kKeyB), A(), row);
    // 5.6.5 a): regardless of any persistent reservation.
    for (Type type : kAllTypes) {
      ExpectRow(Given().Registered(B(), kKeyB).Reserved(type, B()), A(), row);
    }
  }
}

// Table regun, "Return GOOD status": that and nothing else, or a stranger could
// turn APTPL off for everybody.
TEST(Register, GoodAloneChangesNothing) {
  State state = Given().Registered(B(), kKeyB);
  state.aptpl = true;
  for (OutAction action : {kReg, kIgn}) {
    EXPECT_EQ(Good(state, A(), Out(action, 0, 0)).state, state);
  }
}

// Table regreg, rows of a single nexus.
TEST(Register, FromRegisteredNexus) {
  Clause("5.6.5: change");
  for (const RegisterRow& row : kRegregSingle) {
    Clause(std::string("table regreg: ") + row.row);
    SCOPED_TRACE(row.row);
    ExpectRow(Given().Registered(A(), kKeyA).Registered(B(), kKeyB), A(), row);
    for (Type type : kAllTypes) {
      ExpectRow(ReservedByA(type), A(), row);
      ExpectRow(Given().Registered(A(), kKeyA).Registered(B(), kKeyB).Reserved(type, B()), A(),
                row);
    }
  }
}

// 5.6.5: a changed key has no effect on the reservation.
TEST(Register, ChangingTheHoldersKeyKeepsTheReservation) {
  Clause("5.6.5: e");
  for (Type type : kAllTypes) {
    for (const Command& command : {Register(kKeyA, kNew), RegisterIgnore(kNew)}) {
      const State before = ReservedByA(type);
      const Outcome outcome = Good(before, A(), command);
      EXPECT_EQ(outcome.state.reservation, before.reservation);
      EXPECT_EQ(outcome.state.HolderKey(), AllRegistrants(type) ? 0 : kNew);
      EXPECT_TRUE(outcome.unit_attentions.empty());
    }
  }
}

// 5.6.5: multiple nexuses may use one key, and the ports of one initiator differ.
TEST(Register, OneKeyForManyNexuses) {
  Clause("5.6.5: one key", "5.6.5: d", "5.6.1: keys");
  Nexus other_port = A();
  other_port.target_port = 2;
  State state = Good(State{}, A(), Register(0, kNew)).state;
  state = Good(state, B(), Register(0, kNew)).state;
  state = Good(state, other_port, Register(0, kNew)).state;
  EXPECT_EQ(state.registrations.size(), 3u);
  state = Good(state, B(), Register(kNew, kKeyB)).state;
  EXPECT_EQ(KeyOf(state, A()), kNew);
  EXPECT_EQ(KeyOf(state, other_port), kNew);
}

TEST(Register, RegistrationsAreListedInTheirOrder) {
  State state = Good(State{}, C(), Register(0, kKeyC)).state;
  state = Good(state, A(), Register(0, kKeyA)).state;
  state = Good(state, C(), Register(kKeyC, kNew)).state;
  const std::vector<Registration> expected = {{C(), kNew}, {A(), kKeyA}};
  EXPECT_EQ(state.registrations, expected);
}

// 5.6.5 c), table 109: SCOPE and TYPE are ignored.
TEST(Register, IgnoresScopeAndType) {
  Clause("5.6.5: c");
  for (uint8_t code = 0; code < 16; code++) {
    const State plain = Good(State{}, A(), Register(0, kNew)).state;
    EXPECT_EQ(Good(State{}, A(), Register(0, kNew).Scope(code)).state, plain);
    EXPECT_EQ(Good(State{}, A(), Register(0, kNew).TypeCode(code)).state, plain);
    EXPECT_EQ(Good(State{}, A(), RegisterIgnore(kNew).Scope(code).TypeCode(code)).state, plain);
  }
}

// 5.6.3: the last successfully completed one counts, from any nexus.
TEST(Register, Aptpl) {
  Clause("5.6.5: b", "5.6.3: the last APTPL", "6.12.3: APTPL");
  State state = Good(State{}, A(), Register(0, kKeyA).Aptpl()).state;
  EXPECT_TRUE(state.aptpl);
  state = Good(state, B(), RegisterIgnore(kKeyB)).state;
  EXPECT_FALSE(state.aptpl);
  state = Good(state, B(), RegisterIgnore(kKeyB).Aptpl()).state;
  EXPECT_TRUE(state.aptpl);
  ExpectConflict(state, B(), Register(kWrong, kKeyB));
  state = Good(state, A(), Register(kKeyA, kNew)).state;
  EXPECT_FALSE(state.aptpl);
}

// Table 109: the other service actions ignore the bit.
TEST(Register, OthersDoNotTouchAptpl) {
  Clause("6.12.3: APTPL");
  State on = ReservedByA(kWERO);
  on.aptpl = true;
  for (const Command& command :
       {Release(kKeyA, kWERO), Reserve(kKeyA, kWERO), Clear(kKeyA), Preempt(kKeyA, kKeyB, kWERO)}) {
    EXPECT_TRUE(Good(on, A(), command).state.aptpl);
  }
  const State off = ReservedByA(kWERO);
  for (Command command :
       {Release(kKeyA, kWERO), Reserve(kKeyA, kWERO), Clear(kKeyA), Preempt(kKeyA, kKeyB, kWERO)}) {
    command.aptpl = true;
    EXPECT_FALSE(Good(off, A(), command).state.aptpl);
  }
}

// 6.12.3: who does not support APTPL says so.
TEST(Register, AptplWithoutMemoryIsRefused) {
  Clause("6.12.3: APTPL not supported");
  for (const Command& command : {Register(0, kNew).Aptpl(), RegisterIgnore(kNew).Aptpl()}) {
    ExpectUnchanged(Apply(State{}, kVolatile, A(), command), State{}, ScsiStatus::kCheckCondition,
                    sense::kInvalidFieldInParameterList);
  }
  EXPECT_EQ(Apply(State{}, kVolatile, A(), Register(0, kNew)).status, ScsiStatus::kGood);
}

State Full() {
  State state;
  for (size_t i = 0; i < State::kMaxRegistrations; i++) {
    state.registrations.push_back({NumberedNexus(i + 1), i + 1});
  }
  return state;
}

// 6.12.1, table regerr: INSUFFICIENT REGISTRATION RESOURCES.
TEST(Register, Limit) {
  Clause("6.12.1: resources", "table regerr: resources");
  const State full = Full();
  ASSERT_EQ(FindViolation(full), std::nullopt);
  ExpectCheck(full, A(), Register(0, kNew), sense::kInsufficientRegistrationResources);
  ExpectCheck(full, A(), RegisterIgnore(kNew).Aptpl(), sense::kInsufficientRegistrationResources);
  EXPECT_EQ(KeyOf(Good(full, NumberedNexus(7), Register(7, kNew)).state, NumberedNexus(7)), kNew);
  const State room = Good(full, NumberedNexus(7), Register(7, 0)).state;
  const State again = Good(room, A(), Register(0, kNew)).state;
  EXPECT_EQ(again.registrations.size(), State::kMaxRegistrations);
}

// 5.6.7, 5.6.8.3: without its holder's registration a reservation is released.
TEST(Unregister, HolderReleases) {
  Clause("5.6.8.3: holder", "5.6.7: automatic release", "5.6.8.1.1: e", "5.6.8.1.4");
  for (Type type : kAllTypes) {
    SCOPED_TRACE(TypeName(type));
    for (const Command& command : {Register(kKeyA, 0), RegisterIgnore(0)}) {
      const State after = Good(ReservedByA(type), A(), command).state;
      EXPECT_EQ(after.reservation.has_value(), AllRegistrants(type));
      EXPECT_EQ(after.registrations.size(), 2u);
    }
  }
}

TEST(Unregister, OthersDoNotRelease) {
  Clause("5.6.8.3: another nexus");
  for (Type type : kAllTypes) {
    const State before = ReservedByA(type);
    const Outcome outcome = Good(before, B(), Register(kKeyB, 0));
    EXPECT_EQ(outcome.state.reservation, before.reservation);
    EXPECT_TRUE(outcome.unit_attentions.empty());
  }
}

// 5.6.8.3: an all registrants reservation goes with the last registrant.
TEST(Unregister, LastRegistrantReleases) {
  Clause("5.6.8.3: last registrant", "5.6.7: last registrant", "5.6.8.1.3");
  for (Type type : {kWEAR, kEAAR}) {
    State state = ReservedByA(type);
    state = Good(state, A(), Register(kKeyA, 0)).state;
    state = Good(state, C(), RegisterIgnore(0)).state;
    EXPECT_TRUE(state.reservation);
    const Outcome last = Good(state, B(), Register(kKeyB, 0));
    EXPECT_FALSE(last.state.reservation);
    EXPECT_TRUE(last.unit_attentions.empty());
  }
}

// 5.6.8.3: RESERVATIONS RELEASED for every nexus still registered, and for
// nobody else; only when a registrants only reservation went.
TEST(Unregister, UnitAttentions) {
  Clause("5.6.8.3: unit attentions", "5.6.8.1.2");
  for (Type type : kAllTypes) {
    SCOPED_TRACE(TypeName(type));
    const Outcome outcome = Good(ReservedByA(type), A(), Register(kKeyA, 0));
    const Attentions told = {{B(), sense::kReservationsReleased},
                             {C(), sense::kReservationsReleased}};
    EXPECT_EQ(outcome.unit_attentions, RegistrantsOnly(type) ? told : Attentions{});
  }
}

}  // namespace
}  // namespace scsi_pr
