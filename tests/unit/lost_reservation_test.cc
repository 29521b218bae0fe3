// SPDX-License-Identifier: GPL-2.0-or-later
//
// Lost reservation information (SPC-4 5.13.5.3) and REPLACE LOST RESERVATION
// (5.13.11.3, 6.16.3, tables 214 and 216). Which other commands are admitted
// meanwhile: access_test.cc.
#include "core/legacy.h"
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

constexpr auto kLost = sense::kPersistentReservationInformationLost;

// What may be left of what was there.
State LostExample() {
  return Given()
      .Registered(B(), kKeyB)
      .Registered(C(), kKeyC)
      .Reserved(kWERO, B())
      .Aptpl()
      .Generation(9)
      .Lost();
}

TEST(LostReservation, EveryReservationCommandIsRefused) {
  const State state = LostExample();
  for (const Nexus& sender : {A(), B()}) {
    for (const Command& command :
         {Register(0, kKeyA), Register(kKeyB, kKeyD), RegisterIgnore(kKeyA), Reserve(kKeyB, kWERO),
          Release(kKeyB, kWERO), Clear(kKeyB), Preempt(kKeyB, kKeyC, kWE),
          PreemptAndAbort(kKeyB, kKeyC, kWE), Move(kKeyB, kKeyD, D())}) {
      SCOPED_TRACE(static_cast<int>(command.action));
      ExpectCheck(state, sender, command, kLost);
    }
    for (LegacyAction action : {LegacyAction::kReserve, LegacyAction::kRelease}) {
      ExpectUnchanged(ApplyLegacy(state, sender, action), state, ScsiStatus::kCheckCondition,
                      kLost);
    }
  }
  const Refusal in = RefusePersistentReserve(state);
  EXPECT_EQ(in.status, ScsiStatus::kCheckCondition);
  EXPECT_EQ(in.sense, kLost);
  EXPECT_EQ(kLost, (Sense{0x7, 0x44, 0x01})) << "DATA PROTECT";
}

// 5.13.11.3 a) to f), from whoever is first.
TEST(LostReservation, Replace) {
  for (Type type : kAllTypes) {
    for (const Nexus& sender : {A(), B()}) {
      const Outcome outcome = Good(LostExample(), sender, ReplaceLost(kKeyA, type));
      const State expected = Given().Registered(sender, kKeyA).Reserved(type, sender);
      EXPECT_EQ(outcome.state, expected) << TypeName(type);
      EXPECT_TRUE(outcome.unit_attentions.empty()) << "a) without unit attention conditions";
      EXPECT_TRUE(outcome.preempted.empty());
    }
  }
}

// Table 216: APTPL is valid.
TEST(LostReservation, ReplaceWithAptpl) {
  EXPECT_TRUE(Good(LostExample(), A(), ReplaceLost(kKeyA, kWE).Aptpl()).state.aptpl);
  const State state = Given().Lost();
  ExpectUnchanged(Apply(state, kVolatile, A(), ReplaceLost(kKeyA, kWE).Aptpl()), state,
                  ScsiStatus::kCheckCondition, sense::kInvalidFieldInParameterList);
}

// 5.13.11.3: nothing has been lost.
TEST(LostReservation, NothingToReplace) {
  for (const State& state : {State{}, ReservedByA(kWE)}) {
    for (const Nexus& sender : {A(), D()}) {
      ExpectCheck(state, sender, ReplaceLost(kKeyD, kWE),
                  sense::kInvalidReleaseOfPersistentReservation);
    }
  }
}

// 5.13.5.3.2 a): never in RESERVATION CONFLICT, so a wrong key is a wrong field.
TEST(LostReservation, Fields) {
  struct Row {
    const char* field;
    Command command;
    Sense sense;
  };
  Command with_key = ReplaceLost(kKeyA, kWE);
  with_key.reservation_key = kKeyB;
  const Row kRows[] = {
      {"RESERVATION KEY", with_key, sense::kInvalidFieldInParameterList},
      {"SERVICE ACTION RESERVATION KEY", ReplaceLost(0, kWE), sense::kInvalidFieldInParameterList},
      {"SPEC_I_PT", ReplaceLost(kKeyA, kWE).SpecIPt(), sense::kInvalidFieldInParameterList},
      {"ALL_TG_PT", ReplaceLost(kKeyA, kWE).AllTgPt(), sense::kInvalidFieldInParameterList},
      {"SCOPE 1h", ReplaceLost(kKeyA, kWE).Scope(1), sense::kInvalidFieldInCdb},
      {"SCOPE 2h", ReplaceLost(kKeyA, kWE).Scope(2), sense::kInvalidFieldInCdb},
      {"TYPE 0h", ReplaceLost(kKeyA, kWE).TypeCode(0), sense::kInvalidFieldInCdb},
      {"TYPE 2h", ReplaceLost(kKeyA, kWE).TypeCode(2), sense::kInvalidFieldInCdb},
      {"TYPE 9h", ReplaceLost(kKeyA, kWE).TypeCode(9), sense::kInvalidFieldInCdb},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.field);
    ExpectCheck(LostExample(), B(), row.command, row.sense);
  }
}

// The next commands are under the new reservation.
TEST(LostReservation, Afterwards) {
  State state = Good(LostExample(), A(), ReplaceLost(kKeyA, kWERO)).state;
  ExpectConflict(state, B(), Reserve(kKeyB, kWERO));
  state = Good(state, B(), Register(0, kKeyB)).state;
  EXPECT_EQ(state.generation, 1u);
  ExpectCheck(state, B(), ReplaceLost(kKeyB, kWERO), sense::kInvalidReleaseOfPersistentReservation);
}

// 5.13.5.3.2: nothing else clears the condition.
TEST(LostReservation, SurvivesResets) {
  for (Reset reset : {Reset::kLogicalUnit, Reset::kNexusLoss}) {
    ExpectUnchanged(ApplyReset(LostExample(), B(), reset), LostExample(), ScsiStatus::kGood,
                    sense::kNone);
  }
}

}  // namespace
}  // namespace scsi_pr
