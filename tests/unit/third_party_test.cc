// SPDX-License-Identifier: GPL-2.0-or-later
//
// REGISTER and REGISTER AND IGNORE EXISTING KEY for more than the sender's own
// nexus: SPEC_I_PT and ALL_TG_PT (SPC-3 5.6.5, 6.12.3). Where the seed and the
// published SPC-3 differ, the published one is tested.
#include "register_tables.h"

namespace scsi_pr {
namespace {

using namespace testing;

Command With(Command command, bool spec_i_pt, bool all_tg_pt, const std::vector<Nexus>& list) {
  command.spec_i_pt = spec_i_pt;
  command.all_tg_pt = all_tg_pt;
  if (!spec_i_pt) return command;
  for (const Nexus& nexus : list) command.transport_ids.push_back(nexus.initiator);
  return command;
}

// B holds a reservation of this type; nobody else is registered.
State ReservedByB(Type type) { return Given().Registered(B(), kKeyB).Reserved(type, B()); }

// Table regspec: which nexuses a command of D through target port 2, with a
// list of A and C, registers.
struct RegspecRow {
  const char* row;  // SPEC_I_PT / ALL_TG_PT
  bool spec_i_pt, all_tg_pt;
  bool listed, other_ports;  // are registered
};
constexpr RegspecRow kRegspec[] = {
    {"0 / 0", false, false, false, false},
    {"0 / 1", false, true, false, true},
    {"1 / 0", true, false, true, false},
    {"1 / 1", true, true, true, true},
};

TEST(ThirdParty, TableRegspec) {
  for (const RegspecRow& row : kRegspec) {
    for (OutAction action : {kReg, kIgn}) {
      Clause(std::string("table regspec: ") + row.row);
      SCOPED_TRACE(row.row);
      const Command command = With(Out(action, 0, kNew), row.spec_i_pt, row.all_tg_pt, {A(), C()});
      const Outcome outcome = Good(State{}, At(D(), 2), command);
      EXPECT_EQ(KeyOf(outcome.state, At(D(), 2)), kNew) << "the sender, with a list, too";
      EXPECT_EQ(KeyOf(outcome.state, At(D(), 1)), row.other_ports ? kNew : 0);
      for (const Nexus& nexus : {A(), C()}) {
        EXPECT_EQ(KeyOf(outcome.state, At(nexus, 2)), row.listed ? kNew : 0);
        EXPECT_EQ(KeyOf(outcome.state, At(nexus, 65535)), row.listed && row.other_ports ? kNew : 0);
      }
      EXPECT_EQ(KeyOf(outcome.state, At(B(), 2)), 0u);
      EXPECT_EQ(outcome.state.registrations.size(), row.listed ? 3u : 1u);
      EXPECT_EQ(outcome.state.generation, 1u);
      EXPECT_TRUE(outcome.unit_attentions.empty());
    }
  }
}

// Table regun, for the last three rows of table regspec: from an unregistered
// nexus, regardless of any persistent reservation (5.6.5 a).
TEST(ThirdParty, TableRegun) {
  std::vector<State> states = {State{}, Given().Registered(B(), kKeyB).Aptpl()};
  for (Type type : kAllTypes) states.push_back(ReservedByB(type));
  for (const RegisterRow& row : kRegun) {
    Clause(std::string("table regun: ") + row.row);
    for (const RegspecRow& bits : kRegspec) {
      for (const State& state : states) {
        SCOPED_TRACE(std::string(row.row) + " with " + bits.row);
        const Command command = With(Out(row.action, row.key, row.action_key), bits.spec_i_pt,
                                     bits.all_tg_pt, {C(), D()});
        if (row.result == Result::kConflict) {
          ExpectConflict(state, A(), command);
          continue;
        }
        const Outcome outcome = Good(state, A(), command);
        EXPECT_EQ(outcome.state.reservation, state.reservation);
        EXPECT_TRUE(outcome.unit_attentions.empty());
        EXPECT_EQ(KeyOf(outcome.state, B()), KeyOf(state, B()));
        if (row.result == Result::kGoodAlone) {
          EXPECT_EQ(outcome.state, state);
        } else {
          EXPECT_EQ(KeyOf(outcome.state, A()), kNew);
          EXPECT_EQ(KeyOf(outcome.state, D()), bits.listed ? kNew : 0);
        }
      }
    }
  }
}

// Table regreg, "single I_T nexus specified": no.
TEST(ThirdParty, TableRegreg) {
  for (const RegisterRow& row : kRegregSeveral) {
    Clause(std::string("table regreg: ") + row.row);
    SCOPED_TRACE(row.row);
    const Command plain = Out(row.action, row.key, row.action_key);
    const Command several[] = {
        With(plain, true, false, {D()}), With(plain, true, true, {D()}),
        With(plain, true, false, {B()}), With(plain, true, false, {A(), D()}),
        With(plain, true, false, {A()}), With(plain, true, false, {}),
        With(plain, false, true, {}),
    };
    for (const Command& command : several) {
      for (Type type : kAllTypes) {
        if (row.result == Result::kConflict) {
          ExpectConflict(ReservedByA(type), A(), command);
        } else {
          ExpectCheck(ReservedByA(type), A(), command, sense::kInvalidFieldInCdb);
        }
      }
    }
  }
}

// Table regerr: any specified nexus is invalid. SPC-3 r23 table 33, note a: a
// listed initiator port that is registered is. Wherever it stands in the list.
TEST(ThirdParty, RegisterDoesNotTakeOver) {
  Clause("table regerr: invalid nexus");
  const Sense expected = sense::kInvalidFieldInParameterList;
  for (Type type : kAllTypes) {
    const State state = ReservedByB(type);
    const std::vector<std::vector<Nexus>> lists = {
        {B()}, {B(), A(), C()}, {A(), B(), C()}, {A(), C(), B()}};
    for (const auto& list : lists) {
      for (bool all_tg_pt : {false, true}) {
        ExpectCheck(state, D(), With(Register(0, kNew), true, all_tg_pt, list), expected);
        // With the same key as well.
        ExpectCheck(state, D(), With(Register(0, kKeyB), true, all_tg_pt, list), expected);
      }
    }
  }
}

// Only the nexuses specified count: B is registered at target port 1.
TEST(ThirdParty, RegisterAtAnotherTargetPort) {
  const State state = Given().Registered(B(), kKeyB);
  const State after = Good(state, At(D(), 2), Register(0, kNew).List({B()})).state;
  EXPECT_EQ(KeyOf(after, B()), kKeyB);
  EXPECT_EQ(KeyOf(after, At(B(), 2)), kNew);
  EXPECT_EQ(after.registrations.size(), 3u);
  ExpectCheck(state, At(D(), 2), Register(0, kNew).List({B()}).AllTgPt(),
              sense::kInvalidFieldInParameterList);
}

// REGISTER AND IGNORE EXISTING KEY supersedes (5.6.5); reservations stay.
TEST(ThirdParty, RegisterAndIgnoreTakesOver) {
  Clause("5.6.5: ignore");
  for (Type type : kAllTypes) {
    const State state = ReservedByA(type);
    const Outcome outcome = Good(state, D(), RegisterIgnore(kNew).List({B(), A()}));
    EXPECT_EQ(outcome.state, State(Given()
                                       .Registered(A(), kNew)
                                       .Registered(B(), kNew)
                                       .Registered(C(), kKeyC)
                                       .Registered(D(), kNew)
                                       .Reserved(type, A())
                                       .Generation(1)));
    EXPECT_TRUE(outcome.unit_attentions.empty());
  }
}

TEST(ThirdParty, TheSenderInItsOwnList) {
  for (OutAction action : {kReg, kIgn}) {
    for (const auto& list : std::vector<std::vector<Nexus>>{{A()}, {A(), B()}, {B(), A(), A()}}) {
      const State after = Good(State{}, A(), Out(action, 0, kNew).List(list)).state;
      EXPECT_EQ(after.registrations.size(), list.size() == 1 ? 1u : 2u);
      EXPECT_EQ(KeyOf(after, A()), kNew);
    }
  }
}

// A list names the same port twice: that is the same nexus (table regspec), and
// it was not registered before. READ FULL STATUS names an initiator port once
// for each target port, and mpathpersist sends back what it read there.
TEST(ThirdParty, Duplicates) {
  for (OutAction action : {kReg, kIgn}) {
    for (bool all_tg_pt : {false, true}) {
      const State after =
          Good(State{}, A(), With(Out(action, 0, kNew), true, all_tg_pt, {B(), C(), B(), B()}))
              .state;
      EXPECT_EQ(after.registrations.size(), 3u);
      EXPECT_EQ(KeyOf(after, B()), kNew);
    }
  }
}

TEST(ThirdParty, EmptyList) {
  for (OutAction action : {kReg, kIgn}) {
    EXPECT_EQ(Good(State{}, A(), Out(action, 0, kNew).List({})).state,
              Good(State{}, A(), Out(action, 0, kNew)).state);
  }
}

// 5.6.5 b).
TEST(ThirdParty, Aptpl) {
  EXPECT_TRUE(Good(State{}, A(), Register(0, kNew).List({B()}).Aptpl()).state.aptpl);
  for (const Command& command :
       {Register(0, kNew).List({B()}).Aptpl(), RegisterIgnore(kNew).AllTgPt().Aptpl()}) {
    ExpectUnchanged(Apply(State{}, kVolatile, A(), command), State{}, ScsiStatus::kCheckCondition,
                    sense::kInvalidFieldInParameterList);
  }
}

// As many registrations as fit, but for `room`.
State AlmostFull(size_t room) {
  State state;
  for (size_t i = 0; i + room < State::kMaxRegistrations; i++) {
    state.registrations.push_back({NumberedNexus(i + 1), i + 1});
  }
  return state;
}

// Table regerr: insufficient resources for any of them, and none is made.
TEST(ThirdParty, Limit) {
  Clause("table regerr: resources", "6.12.3: all or none");
  const Sense expected = sense::kInsufficientRegistrationResources;
  for (OutAction action : {kReg, kIgn}) {
    for (bool all_tg_pt : {false, true}) {
      const Command three = With(Out(action, 0, kNew), true, all_tg_pt, {B(), C()});
      for (size_t room = 0; room < 3; room++) {
        ExpectCheck(AlmostFull(room), A(), three, expected);
      }
      EXPECT_EQ(Good(AlmostFull(3), A(), three).state.registrations.size(),
                State::kMaxRegistrations);
    }
  }
  // Whoever is registered already needs no room.
  const std::vector<Nexus> known = {NumberedNexus(1), NumberedNexus(2), NumberedNexus(3)};
  ExpectCheck(AlmostFull(0), A(), RegisterIgnore(kNew).List(known), expected);
  const State after = Good(AlmostFull(1), A(), RegisterIgnore(kNew).List(known)).state;
  EXPECT_EQ(KeyOf(after, NumberedNexus(3)), kNew);
  // One for all target ports takes the place of the one for another port.
  const Nexus elsewhere = At(NumberedNexus(1), 2);
  EXPECT_EQ(
      Good(AlmostFull(0), elsewhere, RegisterIgnore(kNew).AllTgPt()).state.registrations.size(),
      State::kMaxRegistrations);
}

TEST(ThirdParty, LongListOrNothing) {
  Clause("6.12.3: all or none");
  std::vector<Nexus> many;
  for (uint64_t i = 1; i < State::kMaxRegistrations; i++) many.push_back(NumberedNexus(i));
  EXPECT_EQ(Good(State{}, A(), Register(0, kNew).List(many)).state.registrations.size(),
            State::kMaxRegistrations);
  many.push_back(B());
  ExpectCheck(State{}, A(), Register(0, kNew).List(many),
              sense::kInsufficientRegistrationResources);
  ExpectCheck(State{}, A(), RegisterIgnore(kNew).List(many),
              sense::kInsufficientRegistrationResources);
}

// A registration of A for all target ports, made through port 1.
State AForAllPorts() { return Good(State{}, A(), Register(0, kKeyA).AllTgPt()).state; }

TEST(AllTargetPorts, IsOneRegistration) {
  Clause("6.12.3: ALL_TG_PT");
  const State state = AForAllPorts();
  EXPECT_EQ(state.registrations, (std::vector<Registration>{{AtAll(A()), kKeyA}}));
  for (uint16_t port : {uint16_t{1}, uint16_t{2}, uint16_t{65535}}) {
    EXPECT_EQ(KeyOf(state, At(A(), port)), kKeyA);
  }
  EXPECT_EQ(KeyOf(state, B()), 0u);
}

// Changed and removed as a whole, through whichever port, with the bit or
// without (table regreg).
TEST(AllTargetPorts, ChangesAsAWhole) {
  Clause("6.12.3: ALL_TG_PT");
  for (bool all_tg_pt : {false, true}) {
    for (uint16_t port : {uint16_t{1}, uint16_t{9}}) {
      const Nexus sender = At(A(), port);
      for (const Command& command : {Register(kKeyA, kNew), RegisterIgnore(kNew)}) {
        const State after = Good(AForAllPorts(), sender, With(command, false, all_tg_pt, {})).state;
        EXPECT_EQ(after, State(Given().Registered(AtAll(A()), kNew).Generation(2)));
      }
      for (const Command& command : {Register(kKeyA, 0), RegisterIgnore(0)}) {
        const State after = Good(AForAllPorts(), sender, With(command, false, all_tg_pt, {})).state;
        EXPECT_EQ(after, State(Given().Generation(2)));
      }
      ExpectConflict(AForAllPorts(), sender, With(Register(0, kNew), false, all_tg_pt, {}));
      ExpectConflict(AForAllPorts(), sender, With(Register(kWrong, 0), false, all_tg_pt, {}));
      ExpectCheck(AForAllPorts(), sender, With(Register(kKeyA, kNew), true, all_tg_pt, {D()}),
                  sense::kInvalidFieldInCdb);
    }
  }
}

// As if received through each target port (6.12.3): at ports 1 and 3 A is registered.
TEST(AllTargetPorts, WhileRegisteredAtAnotherPort) {
  const State state = Given().Registered(A(), kKeyA).Registered(At(A(), 3), kKeyC);
  ExpectConflict(state, At(A(), 2), Register(0, kNew).AllTgPt());
  EXPECT_EQ(Good(state, At(A(), 2), RegisterIgnore(kNew).AllTgPt()).state,
            State(Given().Registered(AtAll(A()), kNew).Generation(1)));
  EXPECT_EQ(Good(state, At(A(), 2), RegisterIgnore(0).AllTgPt()).state, state)
      << "table regun: GOOD and nothing else";
}

// What takes over a registration takes over no reservation, and loses none.
TEST(AllTargetPorts, KeepsTheHolder) {
  for (Type type : kAllTypes) {
    const State state = Given().Registered(A(), kKeyA).Reserved(type, A());
    for (const Command& command :
         {RegisterIgnore(kNew).AllTgPt(), RegisterIgnore(kNew).AllTgPt().List({A()})}) {
      const State after = Good(state, At(A(), 2), command).state;
      EXPECT_EQ(after,
                State(Given().Registered(AtAll(A()), kNew).Reserved(type, A()).Generation(1)));
    }
    const State listed = Good(state, D(), RegisterIgnore(kNew).AllTgPt().List({A()})).state;
    EXPECT_EQ(KeyOf(listed, At(A(), 9)), kNew);
    EXPECT_EQ(listed.reservation, state.reservation);
    EXPECT_EQ(FindViolation(listed), std::nullopt);
  }
}

// A listed port that is registered for all target ports.
TEST(AllTargetPorts, InAList) {
  const State state = AForAllPorts();
  ExpectCheck(state, At(D(), 5), Register(0, kNew).List({A()}),
              sense::kInvalidFieldInParameterList);
  const State after = Good(state, At(D(), 5), RegisterIgnore(kNew).List({A()})).state;
  EXPECT_EQ(after,
            State(Given().Registered(AtAll(A()), kNew).Registered(At(D(), 5), kNew).Generation(2)));
}

// 5.6.7: the holder is the nexus that reserved, not the initiator port.
TEST(AllTargetPorts, TheHolderIsOneNexus) {
  Clause("5.6.7: b");
  for (Type type : kAllTypes) {
    SCOPED_TRACE(TypeName(type));
    const State state = Good(AForAllPorts(), At(A(), 2), Reserve(kKeyA, type)).state;
    const bool registrants = AllRegistrants(type) || RegistrantsOnly(type);
    EXPECT_TRUE(MayWrite(state, At(A(), 2)));
    EXPECT_EQ(MayWrite(state, At(A(), 3)), registrants);
    EXPECT_FALSE(MayWrite(state, At(B(), 2)));
    if (AllRegistrants(type)) continue;
    ExpectConflict(state, At(A(), 3), Reserve(kKeyA, type));
    EXPECT_EQ(Good(state, At(A(), 3), Release(kKeyA, type)).state, state) << "table 34, note a";
    EXPECT_FALSE(Good(state, At(A(), 2), Release(kKeyA, type)).state.reservation);
  }
}

// 5.6.8.3: the holder's registration goes, whoever's port takes it away.
TEST(AllTargetPorts, UnregisteringReleases) {
  for (Type type : kAllTypes) {
    SCOPED_TRACE(TypeName(type));
    const State state =
        Given().Registered(AtAll(A()), kKeyA).Registered(AtAll(B()), kKeyB).Reserved(type, A());
    const Outcome outcome = Good(state, At(A(), 2), Register(kKeyA, 0));
    EXPECT_EQ(outcome.state.reservation.has_value(), AllRegistrants(type));
    const std::vector<Sense> told = {sense::kReservationsReleased};
    for (uint16_t port : {uint16_t{1}, uint16_t{2}, uint16_t{7}}) {
      EXPECT_EQ(ToldTo(outcome, At(B(), port)),
                RegistrantsOnly(type) ? told : std::vector<Sense>{});
      EXPECT_TRUE(ToldTo(outcome, At(A(), port)).empty()) << "it is not registered any more";
    }
  }
}

// SPC-3 r23 5.6.10.2, 5.6.10.4, 5.6.10.6: every registered nexus but the one
// that sent the command. That of the sender's port 2 is another one.
TEST(AllTargetPorts, UnitAttentionsReachTheSendersOtherPorts) {
  Clause("5.6.8.2: unit attentions", "5.6.8.6: e");
  struct Case {
    const char* name;
    Command command;
    Sense told;
  };
  const Case cases[] = {
      {"RELEASE", Release(kKeyA, kWERO), sense::kReservationsReleased},
      {"CLEAR", Clear(kKeyA), sense::kReservationsPreempted},
      {"PREEMPT, another type", Preempt(kKeyA, kKeyA, kEARO), sense::kReservationsReleased},
  };
  const State state =
      Given().Registered(AtAll(A()), kKeyA).Registered(B(), kKeyB).Reserved(kWERO, A());
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const Outcome outcome = Good(state, A(), c.command);
    EXPECT_EQ(ToldTo(outcome, B()), std::vector{c.told});
    EXPECT_EQ(ToldTo(outcome, At(A(), 2)), std::vector{c.told});
    EXPECT_TRUE(ToldTo(outcome, A()).empty());
  }
  const Outcome own = Good(Given().Registered(AtAll(A()), kKeyA), A(), Preempt(kKeyA, kKeyA, kWE));
  EXPECT_EQ(ToldTo(own, At(A(), 2)), std::vector{sense::kRegistrationsPreempted});
  EXPECT_TRUE(ToldTo(own, A()).empty());
}

}  // namespace
}  // namespace scsi_pr
