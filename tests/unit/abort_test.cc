// SPDX-License-Identifier: GPL-2.0-or-later
//
// PREEMPT AND ABORT (SPC-3 5.6.8.5): the transition of PREEMPT, and whose tasks
// end. Ending them is the caller's.
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

using Nexuses = std::vector<Nexus>;

Outcome Abort(const State& state, const Nexus& nexus, const Command& command) {
  return Apply(state, kAborts, nexus, command);
}

// Half a fence is worse than none: refused, whatever the key, in any state.
TEST(PreemptAndAbort, IsRefusedWhereTasksCannotBeAborted) {
  const Sense expected = sense::kInvalidFieldInCdb;
  for (Type type : kAllTypes) {
    for (uint64_t victim : {uint64_t{0}, kKeyA, kKeyB, kKeyC, kKeyD}) {
      ExpectCheck(ReservedByA(type), B(), PreemptAndAbort(kKeyB, victim, type), expected);
      ExpectCheck(ReservedByA(type), B(), PreemptAndAbort(kKeyD, victim, type), expected);
      ExpectCheck(ReservedByA(type), D(), PreemptAndAbort(0, victim, type), expected);
    }
  }
  ExpectCheck(State{}, A(), PreemptAndAbort(0, 0, kWE), expected);
}

// "Identical to the responses to a PREEMPT": status, sense, state, conditions.
TEST(PreemptAndAbort, DoesWhatPreemptDoes) {
  Clause("5.6.8.5: b", "5.6.8.1.1: c");
  for (Type held : kAllTypes) {
    const State free = Given().Registered(A(), kKeyA).Registered(B(), kKeyB);
    const State states[] = {ReservedByA(held), free, State{}};
    for (const State& state : states) {
      for (uint8_t wanted = 0; wanted < 16; wanted++) {
        for (uint64_t victim : {uint64_t{0}, kKeyA, kKeyB, kKeyC, kKeyD}) {
          for (uint64_t key : {uint64_t{0}, kKeyB}) {
            const Outcome preempt =
                Abort(state, B(), Out(OutAction::kPreempt, key, victim, wanted));
            const Outcome abort =
                Abort(state, B(), Out(OutAction::kPreemptAndAbort, key, victim, wanted));
            EXPECT_EQ(abort.status, preempt.status);
            EXPECT_EQ(abort.sense, preempt.sense);
            EXPECT_EQ(abort.state, preempt.state);
            EXPECT_EQ(abort.unit_attentions, preempt.unit_attentions);
            EXPECT_EQ(abort.preempted.empty(), abort.status != ScsiStatus::kGood);
          }
        }
      }
    }
  }
}

// PREEMPT ends no task (5.6.8.4.3 d), nor does any other action.
TEST(PreemptAndAbort, OnlyThisActionAborts) {
  Clause("5.6.8.4.3: d");
  for (Type type : kAllTypes) {
    const State state = ReservedByA(type);
    EXPECT_EQ(Abort(state, B(), Preempt(kKeyB, kKeyC, type)).preempted, Nexuses{});
    EXPECT_EQ(Abort(state, B(), Preempt(kKeyB, AllRegistrants(type) ? 0 : kKeyA, type)).preempted,
              Nexuses{});
    EXPECT_EQ(Abort(state, B(), Clear(kKeyB)).preempted, Nexuses{});
    EXPECT_EQ(Abort(state, A(), Release(kKeyA, type)).preempted, Nexuses{});
    EXPECT_EQ(Abort(state, A(), Register(kKeyA, 0)).preempted, Nexuses{});
    EXPECT_EQ(Abort(state, A(), Move(kKeyA, kKeyD, D()).Unreg()).preempted, Nexuses{});
  }
}

// c): the tasks of every nexus specified.
TEST(PreemptAndAbort, TheHolder) {
  Clause("5.6.8.5: whose tasks");
  for (Type type : {kWE, kEA, kWERO, kEARO}) {
    EXPECT_EQ(Abort(ReservedByA(type), B(), PreemptAndAbort(kKeyB, kKeyA, kWE)).preempted,
              Nexuses{A()});
  }
}

TEST(PreemptAndAbort, Registrants) {
  Clause("5.6.8.5: whose tasks");
  for (Type type : kAllTypes) {
    EXPECT_EQ(Abort(ReservedByA(type), B(), PreemptAndAbort(kKeyB, kKeyC, kWE)).preempted,
              Nexuses{C()});
  }
  const State free = Given().Registered(A(), kKeyA).Registered(B(), kKeyA).Registered(C(), kKeyC);
  EXPECT_EQ(Abort(free, C(), PreemptAndAbort(kKeyC, kKeyA, kWE)).preempted, (Nexuses{A(), B()}));
}

// The sender's own tasks as well, "except the task containing the command".
TEST(PreemptAndAbort, TheSender) {
  Clause("5.6.8.5: whose tasks");
  for (Type type : kAllTypes) {
    EXPECT_EQ(Abort(ReservedByA(type), B(), PreemptAndAbort(kKeyB, kKeyB, kWE)).preempted,
              Nexuses{B()});
  }
  const State shared = Given().Registered(A(), kKeyA).Registered(B(), kKeyA).Reserved(kWERO, A());
  EXPECT_EQ(Abort(shared, A(), PreemptAndAbort(kKeyA, kKeyA, kWERO)).preempted,
            (Nexuses{A(), B()}));
}

// All registrants, key 0: everybody's.
TEST(PreemptAndAbort, AllRegistrants) {
  Clause("5.6.8.5: whose tasks");
  for (Type type : {kWEAR, kEAAR}) {
    EXPECT_EQ(Abort(ReservedByA(type), B(), PreemptAndAbort(kKeyB, 0, kWE)).preempted,
              (Nexuses{A(), B(), C()}));
  }
}

// A registration for all target ports: the tasks of all its nexuses.
TEST(PreemptAndAbort, AllTargetPorts) {
  const State state =
      Given().Registered(AtAll(A()), kKeyA).Registered(B(), kKeyB).Reserved(kEA, At(A(), 2));
  EXPECT_EQ(Abort(state, B(), PreemptAndAbort(kKeyB, kKeyA, kEA)).preempted, Nexuses{AtAll(A())});
}

TEST(PreemptAndAbort, NobodyWhenRefused) {
  for (Type type : kAllTypes) {
    const State state = ReservedByA(type);
    ExpectUnchanged(Abort(state, B(), PreemptAndAbort(kKeyB, kKeyD, type)), state,
                    ScsiStatus::kReservationConflict, sense::kNone);
    ExpectUnchanged(Abort(state, D(), PreemptAndAbort(0, kKeyA, type)), state,
                    ScsiStatus::kReservationConflict, sense::kNone);
    const Command bad_type =
        PreemptAndAbort(kKeyB, AllRegistrants(type) ? 0 : kKeyA, type).TypeCode(2);
    ExpectUnchanged(Abort(state, B(), bad_type), state, ScsiStatus::kCheckCondition,
                    sense::kInvalidFieldInCdb);
  }
}

}  // namespace
}  // namespace scsi_pr
