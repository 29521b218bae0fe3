// SPDX-License-Identifier: GPL-2.0-or-later
//
// "Pre-empt" as the manual of the Maxtor Atlas 10K III has it (page 5-100), of
// the time of SPC and SPC-2: what of it holds in SPC-3, sentence by sentence,
// and what became of it where not. With it the scopes of that time.
#include "core/access.h"
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

constexpr uint8_t kExtentScope = 0x1;   // obsolete since SPC-2
constexpr uint8_t kElementScope = 0x2;  // obsolete since SPC-3

// "removes all persistent reservations for all initiators that have been
// registered with the Service action Reservation key ... A persistent
// reservation is also established for the pre-empting initiator", "defined by
// the Scope and Type fields".
TEST(MaxtorManual, PreemptReplacesTheReservation) {
  for (Type type : kAllTypes) {
    const State state = Good(ReservedByA(kWE), B(), Preempt(kKeyB, kKeyA, type)).state;
    ASSERT_TRUE(state.reservation);
    EXPECT_EQ(state.reservation->type, type);
    EXPECT_TRUE(state.IsHolder(B()));
    EXPECT_FALSE(state.IsHolder(A()));
  }
}

// "If ... no persistent reservation exists for the initiator identified by the
// Service action Reservation key, it is not an error condition." SPC-3 5.6.8.4.4:
// registrations are removed, and no reservation is established.
TEST(MaxtorManual, NoReservationOfThatKeyIsNoError) {
  const State state = Good(ReservedByA(kEA), B(), Preempt(kKeyB, kKeyC, kEA)).state;
  EXPECT_TRUE(state.IsHolder(A()));
  EXPECT_EQ(KeyOf(state, C()), 0u);
  EXPECT_EQ(KeyOf(state, B()), kKeyB);
}
TEST(MaxtorManual, NoReservationAtAllIsNoError) {
  const State none = Given().Registered(A(), kKeyA).Registered(B(), kKeyB);
  const State state = Good(none, B(), Preempt(kKeyB, kKeyA, kEA)).state;
  EXPECT_FALSE(state.reservation);
  EXPECT_EQ(KeyOf(state, A()), 0u);
}

// "A UNIT ATTENTION condition is established for the pre-empted initiators ...
// RESERVATIONS PREEMPTED". SPC-3 5.6.8.4.3 e) has REGISTRATIONS PREEMPTED; the
// manual's is what CLEAR establishes today. SPC-3 wins.
TEST(MaxtorManual, UnitAttention) {
  const Outcome outcome = Good(ReservedByA(kWE), B(), Preempt(kKeyB, kKeyA, kWE));
  EXPECT_EQ(ToldTo(outcome, A()), std::vector<Sense>{sense::kRegistrationsPreempted});
  EXPECT_TRUE(ToldTo(outcome, B()).empty());
  EXPECT_TRUE(ToldTo(outcome, C()).empty());
}

// "Commands that follow are subject to the persistent reservation restrictions
// set by the pre-empting initiator."
TEST(MaxtorManual, CommandsThatFollow) {
  const State state = Good(ReservedByA(kEA), B(), Preempt(kKeyB, kKeyA, kEA)).state;
  EXPECT_EQ(AllowedAccess(state, B()), kFullAccess);
  EXPECT_EQ(AllowedAccess(state, A()) & Bit(AccessClass::kRead), 0u);
}

// "The registration keys for the pre-empted initiators are removed."
TEST(MaxtorManual, KeysAreRemoved) {
  const State before = Given()
                           .Registered(A(), kKeyA)
                           .Registered(B(), kKeyB)
                           .Registered(C(), kKeyA)
                           .Reserved(kWE, A());
  const State state = Good(before, B(), Preempt(kKeyB, kKeyA, kWE)).state;
  EXPECT_EQ(state.registrations, (std::vector<Registration>{{B(), kKeyB}}));
}

// "the reservation key for an initiator that has performed a Pre-empt service
// action with its own Reservation key ... remains unchanged, although all other
// specified releasing actions and reservation actions are performed."
TEST(MaxtorManual, OwnKeyRemains) {
  const Outcome outcome = Good(ReservedByA(kWE), A(), Preempt(kKeyA, kKeyA, kEA));
  EXPECT_EQ(KeyOf(outcome.state, A()), kKeyA);
  EXPECT_TRUE(outcome.state.IsHolder(A()));
  EXPECT_EQ(outcome.state.reservation->type, kEA);
  EXPECT_TRUE(ToldTo(outcome, A()).empty());
}
// SPC-3 5.6.8.4.4 where the own key is no holder's: it goes with the others.
TEST(MaxtorManual, OwnKeyOfNoHolder) {
  const State state = Good(ReservedByA(kWE), B(), Preempt(kKeyB, kKeyB, kWE)).state;
  EXPECT_EQ(KeyOf(state, B()), 0u);
  EXPECT_TRUE(state.IsHolder(A()));
}

// "persistent reservations are not superseded by a new persistent reservation
// from any initiator except by ... Pre-empt". "having the same Type value are
// permitted" is of the time of extents: SPC-3 5.6.6 has one reservation.
TEST(MaxtorManual, OnlyPreemptSupersedes) {
  for (Type type : kAllTypes) {
    for (Type wanted : kAllTypes) {
      const State state = ReservedByA(type);
      if (AllRegistrants(type) && wanted == type) continue;  // B holds it, too
      ExpectConflict(state, B(), Reserve(kKeyB, wanted));
    }
  }
}

// Tables 105 and 109: what each service action does with a SCOPE that is not
// LU_SCOPE.
TEST(MaxtorManual, ExtentAndElementScope) {
  const State state = ReservedByA(kWE);
  const State free = Given().Registered(A(), kKeyA);
  for (uint8_t scope : {kExtentScope, kElementScope}) {
    SCOPED_TRACE(int{scope});
    // "LU_SCOPE": RESERVE, and PREEMPT of a reservation.
    ExpectCheck(free, A(), Reserve(kKeyA, kWE).Scope(scope), sense::kInvalidFieldInCdb);
    ExpectCheck(state, B(), Preempt(kKeyB, kKeyA, kWE).Scope(scope), sense::kInvalidFieldInCdb);
    ExpectUnchanged(Apply(state, kAborts, B(), PreemptAndAbort(kKeyB, kKeyA, kWE).Scope(scope)),
                    state, ScsiStatus::kCheckCondition, sense::kInvalidFieldInCdb);
    // 5.6.8.2: a release of something that is not what is held.
    ExpectCheck(state, A(), Release(kKeyA, kWE).Scope(scope),
                sense::kInvalidReleaseOfPersistentReservation);
    // 5.6.8.2: nothing of that nexus, nothing to release.
    EXPECT_EQ(Good(state, B(), Release(kKeyB, kWE).Scope(scope)).state, state);
    // 5.6.8.4.4 b): ignored where only registrations are removed.
    EXPECT_EQ(KeyOf(Good(state, B(), Preempt(kKeyB, kKeyC, kWE).Scope(scope)).state, C()), 0u);
    // "ignored".
    EXPECT_EQ(KeyOf(Good(free, B(), Register(0, kKeyB).Scope(scope)).state, B()), kKeyB);
    EXPECT_EQ(KeyOf(Good(free, B(), RegisterIgnore(kKeyB).Scope(scope)).state, B()), kKeyB);
    EXPECT_TRUE(Good(state, B(), Clear(kKeyB).Scope(scope)).state.registrations.empty());
  }
}

}  // namespace
}  // namespace scsi_pr
