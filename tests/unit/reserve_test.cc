// SPDX-License-Identifier: GPL-2.0-or-later
//
// RESERVE and RELEASE (SPC-3 5.6.6, 5.6.7, 5.6.8.2), and who may send what at
// all (table 34, 6.12.3).
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

State Registered() {
  return Given().Registered(A(), kKeyA).Registered(B(), kKeyB).Registered(C(), kKeyC);
}

TEST(Reserve, Establishes) {
  Clause("5.6.6: creates");
  for (Type type : kAllTypes) {
    SCOPED_TRACE(TypeName(type));
    const Outcome outcome = Good(Registered(), A(), Reserve(kKeyA, type));
    EXPECT_EQ(outcome.state, ReservedByA(type));
    EXPECT_TRUE(outcome.unit_attentions.empty());
  }
}

// 6.11.4.3, 6.12.1: reserved and obsolete types, scopes other than LU_SCOPE.
TEST(Reserve, ScopeAndType) {
  Clause("6.12.1: SCOPE", "6.11.4.3");
  for (uint8_t code = 0; code < 16; code++) {
    const bool known = code == 1 || code == 3 || (code >= 5 && code <= 8);
    const Command command = Reserve(kKeyA, kWE).TypeCode(code);
    if (known) {
      Good(Registered(), A(), command);
    } else {
      ExpectCheck(Registered(), A(), command, sense::kInvalidFieldInCdb);
    }
    if (code == 0) continue;
    ExpectCheck(Registered(), A(), Reserve(kKeyA, kWE).Scope(code), sense::kInvalidFieldInCdb);
    ExpectCheck(ReservedByA(kWE), A(), Reserve(kKeyA, kWE).Scope(code), sense::kInvalidFieldInCdb);
  }
}

// 5.6.6: the holder may repeat, not modify; anybody else conflicts.
TEST(Reserve, WhenReserved) {
  Clause("5.6.6: another nexus", "5.6.6: modifying", "5.6.6: the same again",
         "5.6.7: may reserve again");
  for (Type held : kAllTypes) {
    for (Type wanted : kAllTypes) {
      SCOPED_TRACE(std::string(TypeName(held)) + " then " + std::string(TypeName(wanted)));
      const State before = ReservedByA(held);
      if (wanted == held) {
        EXPECT_EQ(Good(before, A(), Reserve(kKeyA, wanted)).state, before);
      } else {
        ExpectConflict(before, A(), Reserve(kKeyA, wanted));
      }
      // 5.6.7: of an all registrants type B is a holder, too.
      if (wanted == held && AllRegistrants(held)) {
        EXPECT_EQ(Good(before, B(), Reserve(kKeyB, wanted)).state, before);
      } else {
        ExpectConflict(before, B(), Reserve(kKeyB, wanted));
      }
    }
  }
}

TEST(Release, ByTheHolder) {
  Clause("5.6.8.2: the holder", "5.6.7: may release", "5.6.8.1.1: a");
  for (Type type : kAllTypes) {
    EXPECT_EQ(Good(ReservedByA(type), A(), Release(kKeyA, type)).state, Registered());
  }
  for (Type type : {kWEAR, kEAAR}) {
    EXPECT_EQ(Good(ReservedByA(type), B(), Release(kKeyB, type)).state, Registered());
  }
}

// 5.6.8.2: RESERVATIONS RELEASED to all other registrants, but not for the
// types Write Exclusive and Exclusive Access.
TEST(Release, UnitAttentions) {
  Clause("5.6.8.2: unit attentions");
  for (Type type : kAllTypes) {
    SCOPED_TRACE(TypeName(type));
    const Outcome outcome = Good(ReservedByA(type), A(), Release(kKeyA, type));
    const Attentions told = {{B(), sense::kReservationsReleased},
                             {C(), sense::kReservationsReleased}};
    const bool tells = AllRegistrants(type) || RegistrantsOnly(type);
    EXPECT_EQ(outcome.unit_attentions, tells ? told : Attentions{});
  }
}

// Table 34, note a: allowed from another registrant, but releases nothing.
TEST(Release, ByAnotherRegistrant) {
  Clause("table 34: note a", "5.6.8.2: not the holder");
  for (Type held : {kWE, kEA, kWERO, kEARO}) {
    for (Type wanted : kAllTypes) {
      const Outcome outcome = Good(ReservedByA(held), B(), Release(kKeyB, wanted));
      EXPECT_EQ(outcome.state, ReservedByA(held));
      EXPECT_TRUE(outcome.unit_attentions.empty());
    }
  }
}

TEST(Release, WithoutReservation) {
  Clause("5.6.8.2: no reservation");
  const Outcome outcome = Good(Registered(), A(), Release(kKeyA, kWE));
  EXPECT_EQ(outcome.state, Registered());
  EXPECT_EQ(outcome.state.HolderKey(), 0u);
  EXPECT_TRUE(outcome.unit_attentions.empty());
}

// 5.6.8.2: another type or scope than the holder's own.
TEST(Release, OfAnotherTypeOrScope) {
  Clause("5.6.8.2: another type or scope");
  const Sense expected = sense::kInvalidReleaseOfPersistentReservation;
  for (Type held : kAllTypes) {
    for (uint8_t code = 0; code < 16; code++) {
      if (code != static_cast<uint8_t>(held)) {
        ExpectCheck(ReservedByA(held), A(), Release(kKeyA, held).TypeCode(code), expected);
      }
      if (code == 0) continue;
      ExpectCheck(ReservedByA(held), A(), Release(kKeyA, held).Scope(code), expected);
    }
  }
}

// 5.6.6 and 5.6.8.2 do not look at the SERVICE ACTION RESERVATION KEY (6.12.3).
TEST(Reserve, IgnoresTheActionKey) {
  Clause("6.12.3: SERVICE ACTION RESERVATION KEY");
  EXPECT_EQ(Good(Registered(), A(), Out(OutAction::kReserve, kKeyA, kKeyB, kWE)).state,
            ReservedByA(kWE));
  EXPECT_EQ(Good(ReservedByA(kWE), A(), Out(OutAction::kRelease, kKeyA, kKeyB, kWE)).state,
            Registered());
  const State cleared = Good(Registered(), A(), Out(OutAction::kClear, kKeyA, kKeyB)).state;
  EXPECT_TRUE(cleared.registrations.empty());
}

// Table 109: SPEC_I_PT and ALL_TG_PT are ignored.
TEST(Reserve, IgnoresSpecIPtAndAllTgPt) {
  EXPECT_EQ(Good(Registered(), A(), Reserve(kKeyA, kWE).AllTgPt().SpecIPt()).state,
            ReservedByA(kWE));
  EXPECT_EQ(Good(ReservedByA(kWE), A(), Release(kKeyA, kWE).AllTgPt().SpecIPt()).state,
            Registered());
}

// Table 34: while A holds the reservation. B is registered, D is not.
struct Table34Row {
  const char* action;
  bool registered, allowed;
  Command command;
};

// A key that D may give: none is registered for it. The standard's table allows
// REGISTER AND MOVE to any registrant, but 5.6.rm b) only to the holder.
std::vector<Table34Row> Table34() {
  return {
      {"CLEAR", true, true, Clear(kKeyB)},
      {"CLEAR", false, false, Clear(0)},
      {"PREEMPT", true, true, Preempt(kKeyB, kKeyA, kWE)},
      {"PREEMPT", false, false, Preempt(0, kKeyA, kWE)},
      {"PREEMPT AND ABORT", true, true, PreemptAndAbort(kKeyB, kKeyA, kWE)},
      {"PREEMPT AND ABORT", false, false, PreemptAndAbort(0, kKeyA, kWE)},
      {"REGISTER", true, true, Register(kKeyB, kKeyD)},
      {"REGISTER", false, true, Register(0, kKeyD)},
      {"REGISTER AND IGNORE EXISTING KEY", true, true, RegisterIgnore(kKeyD)},
      {"REGISTER AND IGNORE EXISTING KEY", false, true, RegisterIgnore(kKeyD)},
      {"REGISTER AND MOVE", true, false, Move(kKeyB, kKeyD, D())},
      {"REGISTER AND MOVE", false, false, Move(0, kKeyD, C())},
      {"RELEASE", true, true, Release(kKeyB, kWE)},
      {"RELEASE", false, false, Release(0, kWE)},
      {"RESERVE", true, false, Reserve(kKeyB, kWE)},
      {"RESERVE", false, false, Reserve(0, kWE)},
  };
}

TEST(Table34, EveryCell) {
  for (const Table34Row& row : Table34()) {
    const std::string cell =
        std::string(row.action) + (row.registered ? " / registered" : " / not registered");
    Clause("table 34: " + cell);
    SCOPED_TRACE(cell);
    for (Type type : {kWE, kEA, kWERO, kEARO}) {
      const State state = ReservedByA(type);
      const Outcome outcome = Apply(state, kAborts, row.registered ? B() : D(), row.command);
      if (row.allowed) {
        EXPECT_EQ(outcome.status, ScsiStatus::kGood);
      } else {
        ExpectUnchanged(outcome, state, ScsiStatus::kReservationConflict, sense::kNone);
      }
    }
  }
}

// 5.6.5: whoever is not registered may not send them without a reservation
// either, with any key.
TEST(Table34, NotRegistered) {
  Clause("5.6.5: not registered");
  for (uint64_t key : {uint64_t{0}, kKeyA, kKeyD}) {
    for (const Command& command : {Reserve(key, kWE), Release(key, kWE), Clear(key),
                                   Preempt(key, kKeyA, kWE), Preempt(key, 0, kWE)}) {
      ExpectConflict(State{}, D(), command);
      ExpectConflict(Registered(), D(), command);
      for (Type type : kAllTypes) ExpectConflict(ReservedByA(type), D(), command);
    }
  }
}

// 6.12.3: the RESERVATION KEY is verified regardless of service action and scope.
TEST(ReservationKey, IsVerifiedFirst) {
  Clause("6.12.3: RESERVATION KEY");
  for (uint64_t wrong : {uint64_t{0}, kKeyB, kKeyA << 32}) {
    for (const Command& command :
         {Reserve(wrong, kWE), Release(wrong, kWE), Clear(wrong), Preempt(wrong, kKeyB, kWE),
          Reserve(wrong, kWE).Scope(2), Reserve(wrong, kWE).TypeCode(2),
          Release(wrong, kWE).TypeCode(9), Preempt(wrong, 0, kWE)}) {
      ExpectConflict(Registered(), A(), command);
      ExpectConflict(ReservedByA(kWE), A(), command);
    }
  }
}

}  // namespace
}  // namespace scsi_pr
