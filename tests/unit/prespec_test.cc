// SPDX-License-Identifier: GPL-2.0-or-later
//
// PREEMPT with SPEC_I_PT and ALL_TG_PT (the seed's 5.6.8.4.1, table prespec).
#include <algorithm>
#include <optional>
#include <string>

#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

constexpr uint64_t kX = 0x11;
constexpr uint64_t kY = 0x22;

// The sender is A1. D is registered for all target ports.
Nexus A1() { return A(); }
Nexus B1() { return B(); }
Nexus B2() { return At(B(), 2); }
Nexus C1() { return C(); }
Nexus C2() { return At(C(), 2); }
Nexus DAll() { return AtAll(D()); }
Nexus E() { return MakeNexus("naa.5000000000000005"); }

State Registered() {
  return Given()
      .Registered(A1(), kKeyA)
      .Registered(B1(), kX)
      .Registered(B2(), kX)
      .Registered(C1(), kX)
      .Registered(C2(), kY)
      .Registered(DAll(), kX);
}

State Reserved(Type type, const Nexus& holder) {
  State state = Registered();
  state.reservation = Reservation{type, std::nullopt};
  if (!AllRegistrants(type)) state.reservation->holder = holder;
  return state;
}

struct Row {
  const char* name;
  bool spec_i_pt, all_tg_pt;
  uint64_t action_key;
  std::vector<Nexus> list;
  std::vector<Nexus> specified;  // registrations
};

// "SERVICE ACTION RESERVATION KEY set to zero and All Registrants type?": no.
std::vector<Row> WithAKey() {
  return {
      {"0 0 x", false, false, kX, {}, {B1(), B2(), C1(), DAll()}},
      {"0 1 x", false, true, kX, {}, {B1(), B2(), C1(), DAll()}},
      {"0 any y", false, true, kY, {}, {C2()}},
      {"0 any unknown", false, true, 0x99, {}, {}},
      {"0 any own", false, false, kKeyA, {}, {A1()}},
      {"1 0 x", true, false, kX, {B(), C(), D()}, {B1(), C1(), DAll()}},
      {"1 0 x one port", true, false, kX, {B()}, {B1()}},
      {"1 0 x all ports", true, false, kX, {D()}, {DAll()}},
      {"1 0 x twice", true, false, kX, {B(), B()}, {B1()}},
      {"1 0 x others", true, false, kX, {A(), E()}, {}},
      {"1 0 x nobody", true, false, kX, {}, {}},
      {"1 0 y elsewhere", true, false, kY, {C()}, {}},
      {"1 0 own", true, false, kKeyA, {A(), B()}, {A1()}},
      {"1 0 own, not listed", true, false, kKeyA, {B()}, {}},
      {"1 1 x", true, true, kX, {B(), C(), D()}, {B1(), B2(), C1(), DAll()}},
      {"1 1 x one port", true, true, kX, {B()}, {B1(), B2()}},
      {"1 1 x all ports", true, true, kX, {D()}, {DAll()}},
      {"1 1 y", true, true, kY, {C()}, {C2()}},
      {"1 1 y others", true, true, kY, {B(), D()}, {}},
      {"1 1 x nobody", true, true, kX, {}, {}},
      {"1 1 unknown", true, true, 0x99, {B(), C()}, {}},
  };
}

// Likewise: yes.
std::vector<Row> WithKeyZero() {
  return {
      {"0 0 zero", false, false, 0, {}, {A1(), B1(), B2(), C1(), C2(), DAll()}},
      {"0 1 zero", false, true, 0, {}, {A1(), B1(), B2(), C1(), C2(), DAll()}},
      {"1 0 zero", true, false, 0, {B(), C()}, {B1(), C1()}},
      {"1 0 zero all ports", true, false, 0, {D()}, {DAll()}},
      {"1 0 zero sender", true, false, 0, {A()}, {A1()}},
      {"1 0 zero sender and others", true, false, 0, {C(), A()}, {A1(), C1()}},
      {"1 0 zero stranger", true, false, 0, {E()}, {}},
      {"1 0 zero nobody", true, false, 0, {}, {}},
      {"1 1 zero", true, true, 0, {B(), C()}, {B1(), B2(), C1(), C2()}},
      {"1 1 zero all ports", true, true, 0, {D()}, {DAll()}},
      {"1 1 zero stranger", true, true, 0, {E()}, {}},
      {"1 1 zero nobody", true, true, 0, {}, {}},
  };
}

// The row of table prespec: SPEC_I_PT / ALL_TG_PT / key zero and all registrants?
std::string CellOf(const Row& row, bool all_keys) {
  return std::string("table prespec: ") + (row.spec_i_pt ? "1" : "0") + " / " +
         (!row.spec_i_pt  ? "any"
          : row.all_tg_pt ? "1"
                          : "0") +
         " / " + (all_keys ? "yes" : "no");
}

Command CommandOf(const Row& row, Type wanted, OutAction action = OutAction::kPreempt) {
  Command command = Out(action, kKeyA, row.action_key, wanted);
  command.all_tg_pt = row.all_tg_pt;
  return row.spec_i_pt ? std::move(command).List(row.list) : command;
}

bool Contains(const std::vector<Nexus>& nexuses, const Nexus& nexus) {
  return std::ranges::find(nexuses, nexus) != nexuses.end();
}

// Every nexus that could be told anything, but for the sender.
std::vector<Nexus> Others() {
  std::vector<Nexus> others;
  for (const Nexus& initiator : {A(), B(), C(), D(), E()}) {
    for (uint16_t port : {uint16_t{1}, uint16_t{2}, uint16_t{3}}) {
      if (At(initiator, port) != A1()) others.push_back(At(initiator, port));
    }
  }
  return others;
}

// The registrations but for those that `row` removes.
std::vector<Registration> Remaining(const State& state, const Row& row, bool keep_own) {
  std::vector<Registration> remaining;
  for (const Registration& r : state.registrations) {
    const bool kept = keep_own && r.nexus == A1();
    if (kept || !Contains(row.specified, r.nexus)) remaining.push_back(r);
  }
  return remaining;
}

// 5.6.8.4.3: the reservation is preempted, and with it the registrations.
void ExpectPreempted(const State& state, const Row& row, Type wanted) {
  const Outcome outcome = Good(state, A1(), CommandOf(row, wanted));
  EXPECT_EQ(outcome.state.registrations, Remaining(state, row, true));
  ASSERT_TRUE(outcome.state.reservation);
  EXPECT_EQ(outcome.state.reservation->type, wanted);
  EXPECT_EQ(outcome.state.reservation->holder,
            AllRegistrants(wanted) ? std::nullopt : std::optional(A1()));
  EXPECT_EQ(outcome.state.generation, 1u);
  const bool other_type = state.reservation->type != wanted;
  for (const Nexus& nexus : Others()) {
    std::vector<Sense> told;
    if (KeyOf(outcome.state, nexus) != 0 && other_type) told = {sense::kReservationsReleased};
    if (KeyOf(state, nexus) != 0 && KeyOf(outcome.state, nexus) == 0) {
      told = {sense::kRegistrationsPreempted};
    }
    EXPECT_EQ(ToldTo(outcome, nexus), told) << ::testing::PrintToString(nexus);
  }
  EXPECT_TRUE(ToldTo(outcome, A1()).empty());
}

// 5.6.8.4.4: registrations are removed, without an effect on any reservation.
void ExpectRemoved(const State& state, const Row& row, Type wanted) {
  const Command command = CommandOf(row, wanted);
  if (row.specified.empty()) return ExpectConflict(state, A1(), command);
  const Outcome outcome = Good(state, A1(), command);
  EXPECT_EQ(outcome.state.registrations, Remaining(state, row, false));
  EXPECT_EQ(outcome.state.reservation, state.reservation);
  EXPECT_EQ(outcome.state.generation, 1u);
  for (const Nexus& nexus : Others()) {
    const bool lost = KeyOf(state, nexus) != 0 && KeyOf(outcome.state, nexus) == 0;
    EXPECT_EQ(ToldTo(outcome, nexus),
              lost ? std::vector{sense::kRegistrationsPreempted} : std::vector<Sense>{});
  }
  EXPECT_TRUE(ToldTo(outcome, A1()).empty());
}

TEST(Prespec, WithoutReservation) {
  Clause("5.6.8.4.4: nobody");
  for (const Row& row : WithAKey()) {
    SCOPED_TRACE(row.name);
    ExpectRemoved(Registered(), row, kWE);
  }
  // No registration has key 0: it specifies nobody (5.6.8.4.4).
  for (const Row& row : WithKeyZero()) {
    SCOPED_TRACE(row.name);
    ExpectConflict(Registered(), A1(), CommandOf(row, kWE));
  }
}

// Of the types with a single holder, whoever that is: the reservation goes if
// the holder is among those specified.
TEST(Prespec, SingleHolder) {
  struct Holder {
    Nexus nexus, registration;
  };
  const Holder holders[] = {{A1(), A1()}, {B1(), B1()},         {B2(), B2()},        {C1(), C1()},
                            {C2(), C2()}, {At(D(), 1), DAll()}, {At(D(), 2), DAll()}};
  for (Type held : {kWE, kEA, kWERO, kEARO}) {
    for (const Holder& holder : holders) {
      for (Type wanted : kAllTypes) {
        for (const Row& row : WithAKey()) {
          Clause(CellOf(row, false));
          SCOPED_TRACE(std::string(row.name) + ", held by " +
                       ::testing::PrintToString(holder.nexus) + " as " +
                       std::string(TypeName(held)) + ", wanted " + std::string(TypeName(wanted)));
          const State state = Reserved(held, holder.nexus);
          if (Contains(row.specified, holder.registration)) {
            ExpectPreempted(state, row, wanted);
          } else {
            ExpectRemoved(state, row, wanted);
          }
        }
      }
    }
  }
}

// Table 36, all other types / zero: whatever the list says.
TEST(Prespec, SingleHolderAndKeyZero) {
  for (Type held : {kWE, kEA, kWERO, kEARO}) {
    for (const Row& row : WithKeyZero()) {
      SCOPED_TRACE(row.name);
      ExpectCheck(Reserved(held, A1()), A1(), CommandOf(row, held),
                  sense::kInvalidFieldInParameterList);
      ExpectCheck(Reserved(held, B2()), A1(), CommandOf(row, held),
                  sense::kInvalidFieldInParameterList);
    }
  }
}

// All registrants: only key 0 preempts the reservation (table 36), for those
// that the list leaves.
TEST(Prespec, AllRegistrants) {
  for (Type held : {kWEAR, kEAAR}) {
    for (Type wanted : kAllTypes) {
      const State state = Reserved(held, A1());
      for (const Row& row : WithAKey()) {
        SCOPED_TRACE(row.name);
        ExpectRemoved(state, row, wanted);
      }
      for (const Row& row : WithKeyZero()) {
        Clause(CellOf(row, true));
        SCOPED_TRACE(row.name);
        if (row.specified.empty()) {
          ExpectConflict(state, A1(), CommandOf(row, wanted));
        } else {
          ExpectPreempted(state, row, wanted);
        }
      }
    }
  }
}

// The target port of the command is the sender's, here 2.
TEST(Prespec, TheCommandsTargetPort) {
  const State state = Reserved(kWE, A1());
  const Outcome outcome = Good(state, C2(), Preempt(kY, kX, kWE).List({B(), C()}));
  EXPECT_EQ(KeyOf(outcome.state, B2()), 0u);
  EXPECT_EQ(KeyOf(outcome.state, B1()), kX);
  EXPECT_EQ(KeyOf(outcome.state, C1()), kX);
  EXPECT_EQ(ToldTo(outcome, B2()), std::vector{sense::kRegistrationsPreempted});
  EXPECT_TRUE(ToldTo(outcome, B1()).empty());
}

// A sender that is registered for all target ports keeps its one registration
// where it preempts the reservation, and loses it as a whole where it does not.
TEST(Prespec, SenderForAllTargetPorts) {
  const State held = Given().Registered(AtAll(A()), kX).Registered(B(), kX).Reserved(kWERO, B());
  const State after = Good(held, At(A(), 3), Preempt(kX, kX, kWERO)).state;
  EXPECT_EQ(after,
            State(Given().Registered(AtAll(A()), kX).Reserved(kWERO, At(A(), 3)).Generation(1)));
  const State free = Given().Registered(AtAll(A()), kX).Registered(B(), kX);
  EXPECT_EQ(Good(free, At(A(), 3), Preempt(kX, kX, kWE).List({A()})).state,
            State(Given().Registered(B(), kX).Generation(1)));
}

// Only a preempted reservation makes TYPE and SCOPE count.
TEST(Prespec, ScopeAndType) {
  for (uint8_t code = 0; code < 16; code++) {
    const bool known = code == 1 || code == 3 || (code >= 5 && code <= 8);
    const State state = Reserved(kEARO, B1());
    if (!known) {
      ExpectCheck(state, A1(), Preempt(kKeyA, kX, kWE).List({B()}).TypeCode(code),
                  sense::kInvalidFieldInCdb);
    }
    if (code != 0) {
      ExpectCheck(state, A1(), Preempt(kKeyA, kX, kWE).List({B()}).Scope(code),
                  sense::kInvalidFieldInCdb);
    }
    Good(state, A1(), Preempt(kKeyA, kX, kWE).List({C()}).TypeCode(code).Scope(code));
  }
}

// 6.12.3: the sender's key first, whatever the list.
TEST(Prespec, WrongKey) {
  for (Type type : kAllTypes) {
    ExpectConflict(Reserved(type, B1()), A1(), Preempt(kX, kX, kWE).List({B()}));
    ExpectConflict(Reserved(type, B1()), E(), Preempt(0, kX, kWE).List({B()}));
    ExpectConflict(Reserved(type, B1()), At(A(), 2), Preempt(kKeyA, kX, kWE).List({B()}));
  }
}

// PREEMPT AND ABORT specifies the same nexuses, and their tasks end.
TEST(Prespec, PreemptAndAbort) {
  std::vector<Row> rows = WithAKey();
  for (Row& row : WithKeyZero()) rows.push_back(std::move(row));
  for (Type held : kAllTypes) {
    for (const Row& row : rows) {
      SCOPED_TRACE(row.name);
      const State state = Reserved(held, B1());
      const Outcome preempt = Perform(state, A1(), CommandOf(row, kEARO));
      const Outcome abort =
          Apply(state, kAborts, A1(), CommandOf(row, kEARO, OutAction::kPreemptAndAbort));
      EXPECT_EQ(abort.status, preempt.status);
      EXPECT_EQ(abort.sense, preempt.sense);
      EXPECT_EQ(abort.state, preempt.state);
      EXPECT_EQ(abort.unit_attentions, preempt.unit_attentions);
      const bool good = abort.status == ScsiStatus::kGood;
      EXPECT_EQ(abort.preempted, good ? row.specified : std::vector<Nexus>{});
    }
  }
}

}  // namespace
}  // namespace scsi_pr
