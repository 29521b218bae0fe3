// SPDX-License-Identifier: GPL-2.0-or-later
//
// PREEMPT (SPC-3 5.6.8.4, table 36), CLEAR (5.6.8.6). With SPEC_I_PT:
// prespec_test.cc. PREEMPT AND ABORT: abort_test.cc.
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

constexpr Sense kPreempted = sense::kRegistrationsPreempted;
constexpr Sense kReleased = sense::kReservationsReleased;

// Table 36, all other types / holder's key: another type or the same.
TEST(Preempt, TheReservation) {
  Clause("table 36: all other types / holder's key", "5.6.8.4.3: a", "5.6.8.4.3: b", "5.6.8.4.3: c",
         "5.6.8.4.3: e", "5.6.8.1.1: b");
  for (Type held : {kWE, kEA, kWERO, kEARO}) {
    for (Type wanted : kAllTypes) {
      SCOPED_TRACE(std::string(TypeName(held)) + " by " + std::string(TypeName(wanted)));
      const Outcome outcome = Good(ReservedByA(held), B(), Preempt(kKeyB, kKeyA, wanted));
      const State expected =
          Given().Registered(B(), kKeyB).Registered(C(), kKeyC).Reserved(wanted, B()).Generation(1);
      EXPECT_EQ(outcome.state, expected);
      // SPC-3 r23 5.6.10.4.3 e) and f): whoever keeps a registration learns of
      // another type.
      Attentions told = {{A(), kPreempted}};
      if (wanted != held) told.push_back({C(), kReleased});
      EXPECT_EQ(outcome.unit_attentions, told);
    }
  }
}

// Table 36, all registrants / zero: all but the sender lose everything.
TEST(Preempt, AllRegistrantsWithKeyZero) {
  Clause("table 36: all registrants / zero", "5.6.8.4.3: b");
  for (Type held : {kWEAR, kEAAR}) {
    for (Type wanted : kAllTypes) {
      const Outcome outcome = Good(ReservedByA(held), B(), Preempt(kKeyB, 0, wanted));
      EXPECT_EQ(outcome.state,
                State(Given().Registered(B(), kKeyB).Reserved(wanted, B()).Generation(1)));
      EXPECT_EQ(outcome.unit_attentions, (Attentions{{A(), kPreempted}, {C(), kPreempted}}));
    }
  }
}

// Table 36, all registrants / not zero: registrations go, the reservation stays.
TEST(Preempt, AllRegistrantsWithAKey) {
  Clause("table 36: all registrants / not zero");
  for (Type held : {kWEAR, kEAAR}) {
    const Outcome outcome = Good(ReservedByA(held), B(), Preempt(kKeyB, kKeyA, kWE));
    EXPECT_EQ(outcome.state, State(Given()
                                       .Registered(B(), kKeyB)
                                       .Registered(C(), kKeyC)
                                       .Reserved(held, B())
                                       .Generation(1)));
    EXPECT_EQ(outcome.unit_attentions, (Attentions{{A(), kPreempted}}));
  }
}

// Table 36, all other types / zero.
TEST(Preempt, ZeroKey) {
  Clause("table 36: all other types / zero");
  for (Type held : {kWE, kEA, kWERO, kEARO}) {
    ExpectCheck(ReservedByA(held), B(), Preempt(kKeyB, 0, held),
                sense::kInvalidFieldInParameterList);
    ExpectCheck(ReservedByA(held), A(), Preempt(kKeyA, 0, held),
                sense::kInvalidFieldInParameterList);
  }
}

// Table 36, any other key: 5.6.8.4.4, SCOPE and TYPE ignored.
TEST(Preempt, RegistrationsOnly) {
  Clause("table 36: all other types / any other key", "5.6.8.4.4: a", "5.6.8.4.4: b",
         "5.6.8.4.4: d", "5.6.8.1.1: registrations");
  for (Type held : {kWE, kEA, kWERO, kEARO}) {
    for (uint8_t code = 0; code < 16; code++) {
      const Outcome outcome =
          Good(ReservedByA(held), B(), Preempt(kKeyB, kKeyC, held).TypeCode(code).Scope(code));
      EXPECT_EQ(outcome.state, State(Given()
                                         .Registered(A(), kKeyA)
                                         .Registered(B(), kKeyB)
                                         .Reserved(held, A())
                                         .Generation(1)));
      EXPECT_EQ(outcome.unit_attentions, (Attentions{{C(), kPreempted}}));
    }
  }
}

TEST(Preempt, RegistrationsWithoutReservation) {
  Clause("5.6.8.4.4: a");
  const State state = Given().Registered(A(), kKeyA).Registered(B(), kKeyB);
  const Outcome outcome = Good(state, A(), Preempt(kKeyA, kKeyB, kWE));
  EXPECT_EQ(outcome.state, State(Given().Registered(A(), kKeyA).Generation(1)));
  EXPECT_EQ(outcome.unit_attentions, (Attentions{{B(), kPreempted}}));
}

// 5.6.8.4.4: a key that specifies no nexus.
TEST(Preempt, UnknownKey) {
  Clause("5.6.8.4.4: nobody");
  ExpectConflict(Given().Registered(A(), kKeyA), A(), Preempt(kKeyA, kKeyD, kWE));
  for (Type held : kAllTypes) ExpectConflict(ReservedByA(held), A(), Preempt(kKeyA, kKeyD, kWE));
}

// 5.6.8.4.3: the holder's own key; it stays registered and holds the new one.
TEST(Preempt, OwnKeyAsHolder) {
  Clause("5.6.8.4.3: own key");
  for (Type held : {kWE, kEA, kWERO, kEARO}) {
    const State before = Given()
                             .Registered(A(), kKeyA)
                             .Registered(B(), kKeyA)
                             .Registered(C(), kKeyC)
                             .Reserved(held, A());
    const Outcome outcome = Good(before, A(), Preempt(kKeyA, kKeyA, held));
    EXPECT_EQ(outcome.state, State(Given()
                                       .Registered(A(), kKeyA)
                                       .Registered(C(), kKeyC)
                                       .Reserved(held, A())
                                       .Generation(1)));
    EXPECT_EQ(outcome.unit_attentions, (Attentions{{B(), kPreempted}}));
  }
}

// The key is the holder's, and the sender's as well: b) spares the sender.
TEST(Preempt, TheHoldersKeyThatIsAlsoTheSenders) {
  Clause("5.6.8.4.3: b");
  const State before = Given().Registered(A(), kKeyA).Registered(B(), kKeyA).Reserved(kWERO, A());
  const Outcome outcome = Good(before, B(), Preempt(kKeyA, kKeyA, kWERO));
  EXPECT_EQ(outcome.state,
            State(Given().Registered(B(), kKeyA).Reserved(kWERO, B()).Generation(1)));
  EXPECT_EQ(outcome.unit_attentions, (Attentions{{A(), kPreempted}}));
}

// 5.6.8.4.4: not an error for the sender's own key; it tells itself nothing.
TEST(Preempt, OwnKeyAsAnotherThanTheHolder) {
  Clause("5.6.8.4.4: own key");
  for (Type held : kAllTypes) {
    const Outcome outcome = Good(ReservedByA(held), B(), Preempt(kKeyB, kKeyB, held));
    EXPECT_EQ(outcome.state, State(Given()
                                       .Registered(A(), kKeyA)
                                       .Registered(C(), kKeyC)
                                       .Reserved(held, A())
                                       .Generation(1)));
    EXPECT_TRUE(outcome.unit_attentions.empty());
  }
}

// 5.6.7: an all registrants reservation goes with its last registrant.
TEST(Preempt, EveryRegistrantGoes) {
  Clause("5.6.7: last registrant");
  const State before = Given().Registered(A(), kKeyA).Registered(B(), kKeyA).Reserved(kWEAR, A());
  const Outcome outcome = Good(before, A(), Preempt(kKeyA, kKeyA, kWEAR));
  EXPECT_EQ(outcome.state, State(Given().Generation(1)));
  EXPECT_EQ(outcome.unit_attentions, (Attentions{{B(), kPreempted}}));
}

// The new reservation has to be valid (6.12.1); else nothing has happened.
TEST(Preempt, InvalidScopeOrType) {
  Clause("5.6.8.4.3: c", "6.12.1: SCOPE");
  for (uint8_t code = 0; code < 16; code++) {
    const bool known = code == 1 || code == 3 || (code >= 5 && code <= 8);
    if (!known) {
      ExpectCheck(ReservedByA(kWE), B(), Preempt(kKeyB, kKeyA, kWE).TypeCode(code),
                  sense::kInvalidFieldInCdb);
      ExpectCheck(ReservedByA(kWEAR), B(), Preempt(kKeyB, 0, kWE).TypeCode(code),
                  sense::kInvalidFieldInCdb);
    }
    if (code != 0) {
      ExpectCheck(ReservedByA(kWE), B(), Preempt(kKeyB, kKeyA, kWE).Scope(code),
                  sense::kInvalidFieldInCdb);
    }
  }
}

// Table prespec, note a: no effect without SPEC_I_PT.
TEST(Preempt, IgnoresAllTgPt) {
  Clause("table prespec: note a");
  EXPECT_EQ(Good(ReservedByA(kWE), B(), Preempt(kKeyB, kKeyA, kWE).AllTgPt()).state,
            Good(ReservedByA(kWE), B(), Preempt(kKeyB, kKeyA, kWE)).state);
}

// 5.6.8.6: everything goes; all others are told RESERVATIONS PREEMPTED.
TEST(Clear, Everything) {
  Clause("5.6.8.6: a", "5.6.8.6: b", "5.6.8.6: c", "5.6.8.6: e", "5.6.8.1.1: d");
  for (Type type : kAllTypes) {
    for (uint8_t code = 0; code < 16; code++) {
      const Outcome outcome = Good(ReservedByA(type), B(), Clear(kKeyB).TypeCode(code).Scope(code));
      EXPECT_EQ(outcome.state, State(Given().Generation(1)));
      EXPECT_EQ(outcome.unit_attentions, (Attentions{{A(), sense::kReservationsPreempted},
                                                     {C(), sense::kReservationsPreempted}}));
    }
  }
}

TEST(Clear, WithoutReservation) {
  Clause("5.6.8.6: a");
  const State state = Given().Registered(A(), kKeyA).Registered(B(), kKeyB);
  const Outcome outcome = Good(state, A(), Clear(kKeyA));
  EXPECT_EQ(outcome.state, State(Given().Generation(1)));
  EXPECT_EQ(outcome.unit_attentions, (Attentions{{B(), sense::kReservationsPreempted}}));
}

}  // namespace
}  // namespace scsi_pr
