// SPDX-License-Identifier: GPL-2.0-or-later
//
// PRgeneration (SPC-3 6.11.3, the last column of table 106), power on (5.6.3),
// and the commands of SPC-2 (5.6.2).
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

State Generation(uint32_t generation) {
  State state = ReservedByA(kWERO);
  state.generation = generation;
  return state;
}

struct Row {
  const char* name;  // and what of it, after a comma
  Command command;
  uint32_t increment;
};

std::vector<Row> Table106() {
  return {
      {"REGISTER", Register(kKeyA, kKeyD), 1},
      {"REGISTER, the same key", Register(kKeyA, kKeyA), 1},
      {"REGISTER, unregister", Register(kKeyA, 0), 1},
      {"RESERVE", Reserve(kKeyA, kWERO), 0},
      {"RELEASE", Release(kKeyA, kWERO), 0},
      {"CLEAR", Clear(kKeyA), 1},
      {"PREEMPT", Preempt(kKeyA, kKeyB, kWERO), 1},
      {"PREEMPT, the reservation", Preempt(kKeyA, kKeyA, kWE), 1},
      {"REGISTER AND IGNORE EXISTING KEY", RegisterIgnore(kKeyD), 1},
      {"REGISTER AND IGNORE EXISTING KEY, unregister", RegisterIgnore(0), 1},
      {"PREEMPT AND ABORT", PreemptAndAbort(kKeyA, kKeyB, kWERO), 1},
      {"REGISTER AND MOVE", Move(kKeyA, kKeyD, D()), 1},
      {"REGISTER AND MOVE, UNREG", Move(kKeyA, kKeyD, D()).Unreg(), 1},
  };
}

TEST(Generation, Table106) {
  for (const Row& row : Table106()) {
    const std::string name = row.name;
    Clause("table 106: " + name.substr(0, name.find(',')));
    const Outcome outcome = Apply(Generation(41), kAborts, A(), row.command);
    EXPECT_EQ(outcome.status, ScsiStatus::kGood) << row.name;
    EXPECT_EQ(outcome.state.generation, 41 + row.increment) << row.name;
  }
}

// 6.11.3: once a command, however many nexuses it registers.
TEST(Generation, OnceACommand) {
  Clause("6.12.2", "6.11.3: PRGENERATION");
  const State state = Generation(41);
  EXPECT_EQ(Good(state, D(), Register(0, kKeyD).List({NumberedNexus(1), NumberedNexus(2)}))
                .state.generation,
            42u);
  EXPECT_EQ(Good(state, D(), RegisterIgnore(kKeyD).List({A(), B()}).AllTgPt()).state.generation,
            42u);
  EXPECT_EQ(Good(state, D(), Register(0, 0).List({A()})).state.generation, 41u)
      << "table regun, GOOD and nothing else";
}

// 6.11.3: a 32-bit counter that wraps.
TEST(Generation, Wraps) {
  Clause("6.11.3: PRGENERATION");
  for (const Row& row : Table106()) {
    EXPECT_EQ(Apply(Generation(0xFFFFFFFF), kAborts, A(), row.command).state.generation,
              row.increment == 0 ? 0xFFFFFFFF : 0)
        << row.name;
  }
}

// 6.11.3: not by a command that ends in an error or a reservation conflict.
TEST(Generation, NotOnError) {
  Clause("6.11.3: PRGENERATION");
  const State state = Generation(41);
  ExpectConflict(state, D(), Register(kKeyA, kKeyD));
  ExpectConflict(state, D(), Clear(0));
  ExpectConflict(state, A(), Preempt(kKeyA, kKeyD, kWE));
  ExpectCheck(state, A(), Preempt(kKeyA, 0, kWE), sense::kInvalidFieldInParameterList);
  ExpectCheck(state, A(), Register(kKeyA, kKeyD).SpecIPt(), sense::kInvalidFieldInCdb);
  ExpectCheck(state, D(), Register(0, kKeyD).List({B()}), sense::kInvalidFieldInParameterList);
  ExpectCheck(state, A(), Move(kKeyA, 0, D()), sense::kInvalidFieldInParameterList);
  ExpectConflict(state, B(), Move(kKeyB, kKeyD, D()));
}

// 5.6.3 and 6.11.3: what a power cycle leaves.
TEST(PowerOn, WithoutAptpl) { EXPECT_EQ(AfterPowerOn(Generation(41)), State{}); }

TEST(PowerOn, WithAptpl) {
  Clause("5.6.3: power cycle with APTPL", "6.12.3: APTPL", "6.11.3: PRGENERATION");
  State state = Generation(41);
  state.aptpl = true;
  State expected = ReservedByA(kWERO);
  expected.aptpl = true;
  EXPECT_EQ(AfterPowerOn(state), expected);
}

// SPC-2 5.5.1: a legacy reservation does not survive it, APTPL or not.
TEST(PowerOn, LegacyReservation) {
  EXPECT_EQ(AfterPowerOn(Given().LegacyHolder(A())), State{});
  EXPECT_EQ(AfterPowerOn(Given().LegacyHolder(A()).Aptpl().Generation(7)), State(Given().Aptpl()));
}

// SPC-4 5.13.5.3.2: only REPLACE LOST RESERVATION ends it.
TEST(PowerOn, LostInformation) {
  EXPECT_EQ(AfterPowerOn(Given().Lost()), State(Given().Lost()));
  EXPECT_EQ(AfterPowerOn(Given().Registered(A(), 1).Aptpl().Lost()),
            State(Given().Registered(A(), 1).Aptpl().Lost()));
}

// The invariants that every document and every transition is held to.
TEST(FindViolation, Finds) {
  EXPECT_EQ(FindViolation(State{}), std::nullopt);
  for (Type type : kAllTypes) EXPECT_EQ(FindViolation(ReservedByA(type)), std::nullopt);

  EXPECT_TRUE(FindViolation(Given().Registered(A(), 0))) << "key 0";
  EXPECT_TRUE(FindViolation(Given().Registered(A(), 1).Registered(A(), 2))) << "twice";
  EXPECT_TRUE(FindViolation(Given().Registered(A(), 1).Reserved(kWE, B()))) << "stranger";
  EXPECT_TRUE(FindViolation(Given().Reserved(kWEAR, A()))) << "no registrant";
  EXPECT_EQ(FindViolation(Given().Registered(AtAll(A()), 1)), std::nullopt);
  EXPECT_EQ(FindViolation(Given().Registered(A(), 1).Registered(At(A(), 2), 2)), std::nullopt);
  EXPECT_EQ(FindViolation(Given().Registered(AtAll(A()), 1).Reserved(kWE, At(A(), 9))),
            std::nullopt);
  EXPECT_TRUE(FindViolation(Given().Registered(A(), 1).Registered(AtAll(A()), 1))) << "covered";
  EXPECT_TRUE(FindViolation(Given().Registered(AtAll(A()), 1).Registered(A(), 1))) << "covered";
  EXPECT_TRUE(FindViolation(Given().Registered(AtAll(A()), 1).Registered(AtAll(A()), 2)))
      << "twice for all ports";
  EXPECT_TRUE(FindViolation(Given().Registered(AtAll(A()), 1).Reserved(kWE, AtAll(A()))))
      << "a holder is one nexus";
  EXPECT_TRUE(FindViolation(Given().Registered(A(), 1).Reserved(kWE, At(A(), 2))))
      << "a holder at another port";
  State state = ReservedByA(kWEAR);
  state.reservation->holder = A();
  EXPECT_TRUE(FindViolation(state)) << "all registrants with one holder";
  state = ReservedByA(kWE);
  state.reservation->holder.reset();
  EXPECT_TRUE(FindViolation(state)) << "nobody holds it";
  EXPECT_EQ(FindViolation(Given().LegacyHolder(A()).Aptpl()), std::nullopt);
  EXPECT_TRUE(FindViolation(Given().LegacyHolder(AtAll(A())))) << "a holder is one nexus";
  EXPECT_TRUE(FindViolation(Given().LegacyHolder(A()).Registered(A(), 1))) << "SPC-2 5.5.1";
  EXPECT_TRUE(FindViolation(Given().LegacyHolder(A()).Lost())) << "nobody can have reserved";
  EXPECT_EQ(FindViolation(Given().Registered(A(), 1).Lost()), std::nullopt);
  state = State{};
  for (uint64_t i = 1; i <= State::kMaxRegistrations + 1; i++) {
    state.registrations.push_back({NumberedNexus(i), i});
  }
  EXPECT_TRUE(FindViolation(state)) << "too many";
}

}  // namespace
}  // namespace scsi_pr
