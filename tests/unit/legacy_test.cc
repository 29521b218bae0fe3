// SPDX-License-Identifier: GPL-2.0-or-later
//
// RESERVE and RELEASE of SPC-2 (r20: 5.5.1, 7.16, 7.17, 7.21, 7.22), the
// exceptions of SPC-3 5.6.2, and what resets do to them.
#include "core/legacy.h"

#include "core/access.h"
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

constexpr auto kReserve = LegacyAction::kReserve;
constexpr auto kRelease = LegacyAction::kRelease;
constexpr auto kGood = ScsiStatus::kGood;
constexpr auto kConflict = ScsiStatus::kReservationConflict;

// The CDBs.

struct CdbRow {
  const char* field;
  ByteVector cdb;
  std::variant<LegacyAction, Sense> expected;
};

const CdbRow kCdbs[] = {
    {"RESERVE(6)", {0x16, 0, 0, 0, 0, 0}, kReserve},
    {"RELEASE(6)", {0x17, 0, 0, 0, 0, 0}, kRelease},
    {"RESERVE(10)", {0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0}, kReserve},
    {"RELEASE(10)", {0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0}, kRelease},
    {"LUN of SCSI-2, byte 1 bits 7-5", {0x16, 0xE0, 0, 0, 0, 0}, kReserve},
    {"7.22: bytes 2-4 are obsolete", {0x16, 0, 0xFF, 0xFF, 0xFF, 0}, kReserve},
    {"7.21: 3RDPTY=0, LONGID ignored", {0x56, 0x02, 0, 0, 0, 0, 0, 0, 0, 0}, kReserve},
    {"7.21: 3RDPTY=0, length ignored", {0x56, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0}, kReserve},
    {"7.21: 3RDPTY=0, device ID ignored", {0x56, 0, 0, 0xFF, 0, 0, 0, 0, 0, 0}, kReserve},
    {"7.16: 3RDPTY=0, length ignored", {0x57, 0, 0, 0, 0, 0, 0, 0, 8, 0}, kRelease},
    {"3RDPTY (6)", {0x16, 0x10, 0, 0, 0, 0}, sense::kInvalidFieldInCdb},
    {"3RDPTY (6)", {0x17, 0x10, 0, 0, 0, 0}, sense::kInvalidFieldInCdb},
    {"3RDPTY (10)", {0x56, 0x10, 0, 1, 0, 0, 0, 0, 0, 0}, sense::kInvalidFieldInCdb},
    {"3RDPTY (10)", {0x57, 0x10, 0, 1, 0, 0, 0, 0, 0, 0}, sense::kInvalidFieldInCdb},
    {"3RDPTY, LONGID", {0x56, 0x12, 0, 0, 0, 0, 0, 0, 8, 0}, sense::kInvalidFieldInCdb},
    {"EXTENT", {0x16, 0x01, 0, 0, 8, 0}, sense::kInvalidFieldInCdb},
    {"EXTENT", {0x17, 0x01, 0, 0, 0, 0}, sense::kInvalidFieldInCdb},
    {"EXTENT", {0x56, 0x01, 0, 0, 0, 0, 0, 0, 0, 0}, sense::kInvalidFieldInCdb},
    {"NACA", {0x16, 0, 0, 0, 0, 0x04}, sense::kInvalidFieldInCdb},
    {"LINK", {0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0x01}, sense::kInvalidFieldInCdb},
    {"vendor specific bits of CONTROL", {0x16, 0, 0, 0, 0, 0xC0}, kReserve},
};

TEST(ParseReserve, Fields) {
  for (const CdbRow& row : kCdbs) {
    EXPECT_EQ(ParseReserve(row.cdb), row.expected) << row.field << " of " << int{row.cdb[0]};
  }
}

TEST(ParseReserve, TooShort) {
  for (uint8_t code : {0x16, 0x17, 0x56, 0x57}) {
    const size_t whole = code < 0x20 ? 6 : 10;
    for (size_t size = 0; size < whole; size++) {
      ByteVector cdb(size);
      if (size != 0) cdb[0] = code;
      EXPECT_EQ(std::get<Sense>(ParseReserve(cdb)), sense::kInvalidFieldInCdb) << int{code};
    }
  }
}

// The commands, a row a clause.

struct Row {
  const char* clause;
  State before;
  Nexus sender;
  LegacyAction action;
  ScsiStatus status;
  std::optional<Nexus> holder;  // afterwards
};

const Row kRows[] = {
    {"7.22: free", State{}, A(), kReserve, kGood, A()},
    {"7.22: supersedes its own", Given().LegacyHolder(A()), A(), kReserve, kGood, A()},
    {"7.22: another's", Given().LegacyHolder(A()), B(), kReserve, kConflict, A()},
    {"3.1.48: another target port", Given().LegacyHolder(A()), At(A(), 2), kReserve, kConflict,
     A()},
    {"7.17: by the holder", Given().LegacyHolder(A()), A(), kRelease, kGood, {}},
    {"7.17: by another, no effect", Given().LegacyHolder(A()), B(), kRelease, kGood, A()},
    {"7.17: by another port, no effect", Given().LegacyHolder(A()), At(A(), 2), kRelease, kGood,
     A()},
    {"7.17: nothing is reserved", State{}, A(), kRelease, kGood, {}},
    {"5.5.1: registered", Given().Registered(A(), kKeyA), A(), kReserve, kConflict, {}},
    {"5.5.1: another is registered", Given().Registered(A(), kKeyA), B(), kReserve, kConflict, {}},
    {"5.5.1: registered", Given().Registered(A(), kKeyA), A(), kRelease, kConflict, {}},
    {"5.5.1: another is registered", Given().Registered(A(), kKeyA), B(), kRelease, kConflict, {}},
};

TEST(Legacy, Clauses) {
  Clause("5.6.2: all other cases");
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.clause);
    const Outcome outcome = ApplyLegacy(row.before, row.sender, row.action);
    EXPECT_EQ(outcome.status, row.status);
    State expected = row.before;
    expected.legacy_holder = row.holder;
    EXPECT_EQ(outcome.state, expected);
    EXPECT_EQ(FindViolation(outcome.state), std::nullopt);
    EXPECT_TRUE(outcome.unit_attentions.empty());
    EXPECT_TRUE(outcome.preempted.empty());
  }
}

// SPC-3 5.6.2: GOOD and no effect for whom the reservation gives access; SPC-2 for
// all others: a conflict while any nexus is registered.
TEST(Legacy, Exceptions) {
  Clause("5.6.2: holder", "5.6.2: registrant");
  for (Type type : kAllTypes) {
    SCOPED_TRACE(TypeName(type));
    const State state = ReservedByA(type);
    const bool registrants = AllRegistrants(type) || RegistrantsOnly(type);
    for (LegacyAction action : {kReserve, kRelease}) {
      ExpectUnchanged(ApplyLegacy(state, A(), action), state, kGood, sense::kNone);
      ExpectUnchanged(ApplyLegacy(state, B(), action), state, registrants ? kGood : kConflict,
                      sense::kNone);
      ExpectUnchanged(ApplyLegacy(state, D(), action), state, kConflict, sense::kNone);
    }
  }
}

// SPC-2 5.5.1: PERSISTENT RESERVE IN and OUT conflict "regardless of initiator or
// service action", the holder's own too.
TEST(Legacy, PersistentReserveOutConflicts) {
  const State state = Given().LegacyHolder(A());
  const Command kCommands[] = {Register(0, kKeyA),
                               RegisterIgnore(kKeyA),
                               Reserve(0, kWE),
                               Release(0, kWE),
                               Clear(0),
                               Preempt(0, kKeyA, kWE),
                               Move(0, kKeyB, C()),
                               PreemptAndAbort(0, kKeyA, kWE),
                               ReplaceLost(kKeyA, kWE)};
  for (const Command& command : kCommands) {
    for (const Nexus& sender : {A(), B()}) {
      SCOPED_TRACE(static_cast<int>(command.action));
      ExpectUnchanged(Apply(state, kDurable, sender, command), state, kConflict, sense::kNone);
      ExpectUnchanged(Apply(state, kAborts, sender, command), state, kConflict, sense::kNone);
    }
  }
}

TEST(Legacy, PersistentReserveInConflicts) {
  EXPECT_EQ(RefusePersistentReserve(Given().LegacyHolder(A())).status, kConflict);
  EXPECT_EQ(RefusePersistentReserve(State{}).status, kGood);
  for (Type type : kAllTypes) {
    EXPECT_EQ(RefusePersistentReserve(ReservedByA(type)).status, kGood);
  }
}

// SPC-2 5.5.1, SAM-4 6.3: what resets release.

struct ResetRow {
  const char* clause;
  std::optional<Nexus> holder;
  Nexus reset;
  Reset kind;
  bool released;
  bool told;  // the holder
};

const ResetRow kResets[] = {
    {"logical unit reset, the holder's own", A(), A(), Reset::kLogicalUnit, true, false},
    {"logical unit reset, another's", A(), B(), Reset::kLogicalUnit, true, true},
    {"logical unit reset, its other port's", A(), At(A(), 2), Reset::kLogicalUnit, true, true},
    {"logical unit reset, nothing held", {}, B(), Reset::kLogicalUnit, false, false},
    {"I_T nexus loss, the holder's own", A(), A(), Reset::kNexusLoss, true, false},
    {"I_T nexus loss, another's", A(), B(), Reset::kNexusLoss, false, false},
    {"I_T nexus loss, its other port's", A(), At(A(), 2), Reset::kNexusLoss, false, false},
    {"I_T nexus loss, nothing held", {}, B(), Reset::kNexusLoss, false, false},
};

TEST(Legacy, Resets) {
  for (const ResetRow& row : kResets) {
    SCOPED_TRACE(row.clause);
    State before = Given().Aptpl().Generation(5);
    before.legacy_holder = row.holder;
    const Outcome outcome = ApplyReset(before, row.reset, row.kind);
    EXPECT_EQ(outcome.status, kGood);
    State expected = before;
    if (row.released) expected.legacy_holder.reset();
    EXPECT_EQ(outcome.state, expected);
    const Attentions told = {{A(), sense::kBusDeviceResetFunctionOccurred}};
    EXPECT_EQ(outcome.unit_attentions, row.told ? told : Attentions{});
  }
}

// SPC-3 5.6.1: "not reset by hard reset, logical unit reset, or I_T nexus loss".
TEST(Legacy, ResetsTakeNothingFromPersistentReservations) {
  for (Type type : kAllTypes) {
    for (Reset reset : {Reset::kLogicalUnit, Reset::kNexusLoss}) {
      for (const Nexus& nexus : {A(), B(), D()}) {
        const State state = ReservedByA(type);
        ExpectUnchanged(ApplyReset(state, nexus, reset), state, kGood, sense::kNone);
      }
    }
  }
}

// What libiscsi's test of two initiators sends, in its order.
TEST(Legacy, TwoInitiators) {
  State state;
  const auto send = [&](const Nexus& nexus, LegacyAction action) {
    const Outcome outcome = ApplyLegacy(state, nexus, action);
    state = outcome.state;
    return outcome.status;
  };
  const ByteVector mode_sense = {0x1A, 0, 0x3F, 0, 255, 0};
  EXPECT_EQ(send(A(), kReserve), kGood);
  EXPECT_EQ(send(A(), kReserve), kGood);
  EXPECT_EQ(send(B(), kReserve), kConflict);
  EXPECT_EQ(send(B(), kRelease), kGood);
  EXPECT_NE(AllowedAccess(state, A()) & Bit(Classify(mode_sense)), 0u);
  EXPECT_EQ(AllowedAccess(state, B()) & Bit(Classify(mode_sense)), 0u);
  EXPECT_EQ(send(B(), kReserve), kConflict);
  EXPECT_EQ(send(A(), kRelease), kGood);
  EXPECT_EQ(send(B(), kReserve), kGood);
  EXPECT_EQ(send(B(), kRelease), kGood);
  EXPECT_EQ(state, State{});
}

// From one method to the other and back.
TEST(Legacy, MethodsFollowEachOther) {
  State state = ApplyLegacy(State{}, A(), kReserve).state;
  ExpectConflict(state, A(), Register(0, kKeyA));
  state = ApplyLegacy(state, A(), kRelease).state;
  state = Good(state, A(), Register(0, kKeyA)).state;
  EXPECT_EQ(ApplyLegacy(state, A(), kReserve).status, kConflict);
  state = Good(state, A(), Register(kKeyA, 0)).state;
  EXPECT_EQ(ApplyLegacy(state, A(), kReserve).status, kGood);
}

}  // namespace
}  // namespace scsi_pr
