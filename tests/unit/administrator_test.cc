// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an administrator does to a state: core/administrator.h.
#include "core/administrator.h"

#include <algorithm>

#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

constexpr Sense kPreempted = sense::kRegistrationsPreempted;
constexpr Sense kTaken = sense::kReservationsPreempted;
constexpr Sense kReleased = sense::kReservationsReleased;
constexpr Sense kReset = sense::kBusDeviceResetFunctionOccurred;

Outcome PreemptKey(const State& state, uint64_t key) {
  Outcome outcome = AdministratorPreempt(state, kAborts, key);
  EXPECT_EQ(FindViolation(outcome.state), std::nullopt);
  return outcome;
}

State WithGeneration(State state, uint32_t generation) {
  state.generation = generation;
  return state;
}

// 5.6.8.5: the holder's registration goes, and nobody takes the reservation over.
TEST(AdministratorPreempt, ReleasesTheHoldersReservation) {
  for (Type type : {kWE, kEA, kWERO, kEARO}) {
    SCOPED_TRACE(TypeName(type));
    const Outcome outcome = PreemptKey(ReservedByA(type), kKeyA);
    EXPECT_EQ(outcome.status, ScsiStatus::kGood);
    EXPECT_EQ(outcome.state,
              State(Given().Registered(B(), kKeyB).Registered(C(), kKeyC).Generation(1)));
    EXPECT_EQ(outcome.preempted, std::vector{A()});
    EXPECT_EQ(ToldTo(outcome, A()), std::vector{kPreempted});
    // As for RELEASE: who had access by being registered learns of it (5.6.8.2).
    const std::vector<Sense> told =
        RegistrantsOnly(type) ? std::vector{kReleased} : std::vector<Sense>{};
    EXPECT_EQ(ToldTo(outcome, B()), told);
    EXPECT_EQ(ToldTo(outcome, C()), told);
    EXPECT_EQ(outcome.unit_attentions.size(), 1 + 2 * told.size());
  }
}

// 5.6.8.4.4.
TEST(AdministratorPreempt, RemovesARegistrationBesideTheHolders) {
  for (Type type : kAllTypes) {
    SCOPED_TRACE(TypeName(type));
    const Outcome outcome = PreemptKey(ReservedByA(type), kKeyB);
    EXPECT_EQ(outcome.status, ScsiStatus::kGood);
    EXPECT_EQ(outcome.state, State(Given()
                                       .Registered(A(), kKeyA)
                                       .Registered(C(), kKeyC)
                                       .Reserved(type, A())
                                       .Generation(1)));
    EXPECT_EQ(outcome.preempted, std::vector{B()});
    EXPECT_EQ(outcome.unit_attentions, (Attentions{{B(), kPreempted}}));
  }
}

TEST(AdministratorPreempt, TheLastRegistrantTakesTheReservationAlong) {
  for (Type type : {kWEAR, kEAAR}) {
    const Outcome outcome = PreemptKey(Given().Registered(A(), kKeyA).Reserved(type, A()), kKeyA);
    EXPECT_EQ(outcome.state, State(Given().Generation(1)));
    EXPECT_EQ(outcome.preempted, std::vector{A()});
  }
}

// Table 36: key 0 stands for all registrants of such a reservation, and only there.
TEST(AdministratorPreempt, KeyZero) {
  for (Type type : {kWEAR, kEAAR}) {
    const Outcome outcome = PreemptKey(ReservedByA(type), 0);
    EXPECT_EQ(outcome.state, State(Given().Generation(1)));
    EXPECT_EQ(outcome.preempted, (std::vector{A(), B(), C()}));
  }
  ExpectUnchanged(PreemptKey(ReservedByA(kWE), 0), ReservedByA(kWE), ScsiStatus::kCheckCondition,
                  sense::kInvalidFieldInParameterList);
  const State registered = Given().Registered(A(), kKeyA);
  ExpectUnchanged(PreemptKey(registered, 0), registered, ScsiStatus::kReservationConflict,
                  sense::kNone);
}

TEST(AdministratorPreempt, EveryNexusWithTheKey) {
  const State state =
      Given().Registered(A(), kKeyA).Registered(B(), kKeyA).Registered(AtAll(C()), kKeyA);
  const Outcome outcome = PreemptKey(state, kKeyA);
  EXPECT_EQ(outcome.state, State(Given().Generation(1)));
  EXPECT_EQ(outcome.preempted, (std::vector{A(), B(), AtAll(C())}));
}

// He has a key, too, while he preempts: whichever it is, somebody may have the same.
TEST(AdministratorPreempt, AnyKeyMayBeAVictims) {
  for (uint64_t key : {uint64_t{1}, uint64_t{2}, UINT64_MAX}) {
    for (Type type : kAllTypes) {
      const State state = Given().Registered(A(), key).Registered(B(), kKeyB).Reserved(type, A());
      const Outcome outcome = PreemptKey(state, key);
      EXPECT_EQ(outcome.status, ScsiStatus::kGood);
      EXPECT_EQ(outcome.state.registrations, (std::vector<Registration>{{B(), kKeyB}}));
      EXPECT_EQ(outcome.preempted, std::vector{A()});
    }
    const State other = Given().Registered(B(), kKeyB);
    ExpectUnchanged(PreemptKey(other, key), other, ScsiStatus::kReservationConflict, sense::kNone);
  }
}

// An initiator can register whatever name it likes for another one.
TEST(AdministratorPreempt, HisNameMayBeTaken) {
  const Nexus taken = MakeNexus("iqn.2008-11.org.linux-kvm:scsi-pr.administrator.0");
  const State state = Given().Registered(taken, kKeyB).Registered(A(), kKeyA);
  EXPECT_EQ(PreemptKey(state, kKeyA).state, State(Given().Registered(taken, kKeyB).Generation(1)));
  EXPECT_EQ(PreemptKey(state, kKeyB).state, State(Given().Registered(A(), kKeyA).Generation(1)));
}

TEST(AdministratorPreempt, AFullTableOfRegistrations) {
  State state;
  for (uint64_t i = 0; i < State::kMaxRegistrations; i++) {
    state.registrations.push_back({NumberedNexus(i + 1), i + 1});
  }
  const Outcome outcome = PreemptKey(state, 1);
  EXPECT_EQ(outcome.status, ScsiStatus::kGood);
  EXPECT_EQ(outcome.state.registrations.size(), State::kMaxRegistrations - 1);
  EXPECT_EQ(outcome.state.Find(NumberedNexus(1)), nullptr);
}

TEST(AdministratorPreempt, KeepsAptplAndCountsOnce) {
  State state = ReservedByA(kWERO);
  state.aptpl = true;
  state.generation = UINT32_MAX;
  const Outcome outcome = PreemptKey(state, kKeyA);
  EXPECT_TRUE(outcome.state.aptpl);
  EXPECT_EQ(outcome.state.generation, 0u);
}

// As PERSISTENT RESERVE OUT is.
TEST(AdministratorPreempt, RefusedUnderALegacyReservationAndWhileLost) {
  const State legacy = Given().LegacyHolder(A());
  ExpectUnchanged(PreemptKey(legacy, kKeyA), legacy, ScsiStatus::kReservationConflict,
                  sense::kNone);
  const State lost = Given().Registered(A(), kKeyA).Lost();
  ExpectUnchanged(PreemptKey(lost, kKeyA), lost, ScsiStatus::kCheckCondition,
                  sense::kPersistentReservationInformationLost);
}

// 5.6.8.6.
TEST(AdministratorClear, RemovesEverything) {
  for (Type type : kAllTypes) {
    const Outcome outcome = AdministratorClear(ReservedByA(type));
    EXPECT_EQ(outcome.status, ScsiStatus::kGood);
    EXPECT_EQ(outcome.state, State(Given().Generation(1)));
    EXPECT_EQ(outcome.unit_attentions, (Attentions{{A(), kTaken}, {B(), kTaken}, {C(), kTaken}}));
    EXPECT_TRUE(outcome.preempted.empty());
  }
}

TEST(AdministratorClear, ALegacyReservationAsAReset) {
  const Outcome outcome = AdministratorClear(Given().LegacyHolder(A()).Generation(7));
  EXPECT_EQ(outcome.state, State(Given().Generation(7)));
  EXPECT_EQ(outcome.unit_attentions, (Attentions{{A(), kReset}}));
}

TEST(AdministratorClear, EndsInformationLost) {
  EXPECT_EQ(AdministratorClear(Given().Lost().Generation(7)).state, State(Given().Generation(8)));
  EXPECT_EQ(AdministratorClear(Given().Registered(A(), kKeyA).Lost()).state,
            State(Given().Generation(1)));
}

TEST(AdministratorClear, KeepsAptplAndLeavesAnEmptyStateAlone) {
  const State empty = Given().Aptpl().Generation(7);
  EXPECT_EQ(AdministratorClear(empty).state, empty);
  const Outcome outcome = AdministratorClear(Given().Registered(A(), kKeyA).Aptpl().Generation(7));
  EXPECT_EQ(outcome.state, State(Given().Aptpl().Generation(8)));
}

Outcome LoadOver(const State& state, const State& loaded) {
  Outcome outcome = AdministratorLoad(state, loaded);
  EXPECT_EQ(outcome.status, ScsiStatus::kGood);
  EXPECT_EQ(FindViolation(outcome.state), std::nullopt);
  return outcome;
}

TEST(AdministratorLoad, IntoAnEmptyState) {
  const State loaded = WithGeneration(ReservedByA(kWERO), 42);
  const Outcome outcome = LoadOver(State(), loaded);
  EXPECT_EQ(outcome.state, loaded);
  EXPECT_TRUE(outcome.unit_attentions.empty());
  EXPECT_TRUE(outcome.preempted.empty());
}

TEST(AdministratorLoad, GenerationNeverGoesBack) {
  const State loaded = Given().Registered(A(), kKeyA).Generation(3);
  EXPECT_EQ(LoadOver(Given().Generation(7), loaded).state.generation, 8u);
  EXPECT_EQ(LoadOver(Given().Generation(2), loaded).state.generation, 3u);
  EXPECT_EQ(LoadOver(Given().Generation(3), loaded).state.generation, 4u);
}

TEST(AdministratorLoad, TheSameStateChangesNothing) {
  const State state = WithGeneration(ReservedByA(kEA), 7);
  const Outcome outcome = LoadOver(state, WithGeneration(state, 3));
  ExpectUnchanged(outcome, state, ScsiStatus::kGood, sense::kNone);
}

TEST(AdministratorLoad, WhoIsNotRegisteredAnyMoreIsPreempted) {
  const State loaded = Given().Registered(B(), kKeyB).Registered(C(), kKeyC);
  for (Type type : kAllTypes) {
    const Outcome outcome = LoadOver(ReservedByA(type), loaded);
    EXPECT_EQ(outcome.preempted, std::vector{A()});
    EXPECT_EQ(ToldTo(outcome, A()), std::vector{kPreempted});
  }
}

TEST(AdministratorLoad, WhoStaysLearnsOfAReservationThatIsGone) {
  const State loaded = Given().Registered(A(), kKeyA).Registered(B(), kKeyB).Registered(C(), kKeyC);
  const Outcome outcome = LoadOver(ReservedByA(kWERO), loaded);
  EXPECT_EQ(ToldTo(outcome, A()), std::vector{kTaken});
  EXPECT_EQ(ToldTo(outcome, B()), std::vector{kReleased});
  EXPECT_TRUE(outcome.preempted.empty()) << "nobody loses access";
}

// Who keeps a registration and loses access is shut out as a preempted one is.
TEST(AdministratorLoad, WhoLosesAccessIsWaitedFor) {
  const State loaded = Given()
                           .Registered(A(), kKeyA)
                           .Registered(B(), kKeyB)
                           .Registered(C(), kKeyC)
                           .Reserved(kWE, B());
  const Outcome outcome = LoadOver(ReservedByA(kWE), loaded);
  EXPECT_EQ(outcome.preempted, std::vector{A()});
  EXPECT_EQ(ToldTo(outcome, A()), std::vector{kTaken});
}

TEST(AdministratorLoad, AnotherKeyTakesTheRegistrationAway) {
  const Outcome outcome = LoadOver(Given().Registered(A(), kKeyA), Given().Registered(A(), kKeyB));
  EXPECT_EQ(ToldTo(outcome, A()), std::vector{kPreempted});
  EXPECT_TRUE(outcome.preempted.empty()) << "its access is as it was";
}

// The holder is one nexus of those that a registration for all ports stands for.
TEST(AdministratorLoad, AHolderThroughOneOfAllPorts) {
  const State state =
      Given().Registered(AtAll(A()), kKeyA).Registered(B(), kKeyB).Reserved(kWE, A());
  const Outcome kept = LoadOver(
      state, Given().Registered(AtAll(A()), kKeyA).Registered(B(), kKeyB).Reserved(kWE, B()));
  ASSERT_FALSE(ToldTo(kept, A()).empty());
  EXPECT_EQ(ToldTo(kept, A()).front(), kTaken);
  EXPECT_EQ(kept.preempted, std::vector{A()});
  const Outcome gone = LoadOver(state, Given().Registered(B(), kKeyB));
  EXPECT_EQ(ToldTo(gone, At(A(), 2)), std::vector{kPreempted});
  EXPECT_EQ(ToldTo(gone, A()).front(), kPreempted);
}

// SPC-2 5.5.1: it belongs to a living initiator, a document brings none into being.
TEST(AdministratorLoad, LegacyReservations) {
  const State held = Given().LegacyHolder(A());
  EXPECT_EQ(LoadOver(Given().Generation(1), held).state, State(Given().Generation(1)));
  EXPECT_EQ(LoadOver(Given().Registered(B(), kKeyB), held).state, State(Given().Generation(1)));
  EXPECT_EQ(LoadOver(held, held).state, held);

  const Outcome gone = LoadOver(held, Given().Registered(B(), kKeyB).Reserved(kWE, B()));
  EXPECT_EQ(gone.state.legacy_holder, std::nullopt);
  EXPECT_EQ(ToldTo(gone, A()), std::vector{kReset});
  EXPECT_EQ(gone.preempted, std::vector{A()}) << "it may not write any more";
  EXPECT_TRUE(LoadOver(held, State()).preempted.empty());
}

TEST(LosersOfLoad, AreAttachedAndHadSomething) {
  const State state = ReservedByA(kWE);
  const std::vector all = {A(), B(), D()};
  EXPECT_EQ(LosersOfLoad(state, State(), all), (std::vector{A(), B()}));
  EXPECT_EQ(LosersOfLoad(state, State(), {D()}), std::vector<Nexus>());
  EXPECT_EQ(LosersOfLoad(state, state, all), std::vector<Nexus>());
  const State released = Given().Registered(A(), kKeyA).Registered(B(), kKeyB);
  EXPECT_EQ(LosersOfLoad(state, released, all), std::vector{A()});
  const State other_key = Given().Registered(A(), kKeyA).Registered(B(), kKeyC).Reserved(kWE, A());
  EXPECT_EQ(LosersOfLoad(state, other_key, all), std::vector{B()});
  EXPECT_EQ(LosersOfLoad(Given().LegacyHolder(A()), State(), all), std::vector{A()});
}

TEST(LosersOfLoad, AllRegistrantsHoldTogether) {
  const State state = ReservedByA(kWEAR);
  const State of_one = Given()
                           .Registered(A(), kKeyA)
                           .Registered(B(), kKeyB)
                           .Registered(C(), kKeyC)
                           .Reserved(kWE, A());
  EXPECT_EQ(LosersOfLoad(state, of_one, {A(), B(), C()}), (std::vector{B(), C()}));
}

}  // namespace
}  // namespace scsi_pr
