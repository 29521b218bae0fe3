// SPDX-License-Identifier: GPL-2.0-or-later
//
// The checker itself, on histories by hand and against a search that tries
// every order.
#include "checker.h"

#include <algorithm>
#include <limits>
#include <random>

#include "../unit/testing.h"
#include "core/report.h"
#include "workload.h"

namespace scsi_pr::linear {
namespace {

using namespace testing;
using Kind = Verdict::Kind;

constexpr auto kGood = ScsiStatus::kGood;
constexpr auto kConflict = ScsiStatus::kReservationConflict;

// Built line by line: who, from when to when, what, how it ended.
class Line {
 public:
  explicit Line(State state, std::vector<Nexus> attached = {A(), B(), C()}) {
    history_.capabilities = kDurable;
    history_.before = {{std::move(state), std::move(attached), {}}};
  }

  Line& Did(const Nexus& nexus, int64_t call, int64_t end, const PersistentReserveOut& command,
            ScsiStatus status = kGood) {
    history_.operations.push_back(Sent(nexus, call, command));
    return Ended(end, {status, sense::kNone, {}});
  }
  // Its process was killed.
  Line& Began(const Nexus& nexus, int64_t call, const PersistentReserveOut& command) {
    history_.operations.push_back(Sent(nexus, call, command));
    return *this;
  }
  // READ KEYS showed these.
  Line& Saw(const Nexus& nexus, int64_t call, int64_t end, uint32_t generation,
            const std::vector<uint64_t>& keys) {
    State shown;
    shown.generation = generation;
    for (const uint64_t key : keys) shown.registrations.push_back({{}, key});
    history_.operations.push_back(
        {.nexus = nexus, .cdb = InCdb(InAction::kReadKeys, 4096), .call = call});
    return Ended(end, {kGood, sense::kNone, ReadKeys(shown)});
  }
  Line& Attached(const Nexus& nexus, int64_t call, int64_t end, uint32_t life = 1) {
    AttachBegan(nexus, call, life);
    return Ended(end, {});
  }
  Line& AttachBegan(const Nexus& nexus, int64_t call, uint32_t life = 1) {
    history_.operations.push_back(
        {.kind = Operation::Kind::kAttach, .nexus = nexus, .life = life, .call = call});
    return *this;
  }
  Line& Gone(const Nexus& nexus, int64_t call, int64_t end, uint32_t life = 0) {
    history_.operations.push_back(
        {.kind = Operation::Kind::kGone, .nexus = nexus, .life = life, .call = call});
    return Ended(end, {});
  }

  const History& history() const { return history_; }
  Kind verdict() const { return Check(history_).kind; }

 private:
  static Operation Sent(const Nexus& nexus, int64_t call, const PersistentReserveOut& command) {
    return {.nexus = nexus, .cdb = OutCdb(command), .data_out = OutData(command), .call = call};
  }
  Line& Ended(int64_t end, Response response) {
    history_.operations.back().end = end;
    history_.operations.back().response = std::move(response);
    return *this;
  }

  History history_;
};

// A and B are registered.
State Two() { return Given().Registered(A(), kKeyA).Registered(B(), kKeyB); }

TEST(Checker, Nothing) {
  const Verdict verdict = Check(Line(Two()).history());
  EXPECT_EQ(verdict.kind, Kind::kLinearizable);
  ASSERT_EQ(verdict.last.size(), 1u);
  EXPECT_EQ(verdict.last[0].state, Two());
}

// What overlaps a change may be before or after it.
TEST(Checker, ReadBesideAChange) {
  const auto line = [] { return Line(State()).Did(A(), 0, 9, Register(0, kKeyA)); };
  EXPECT_EQ(line().Saw(B(), 1, 2, 0, {}).verdict(), Kind::kLinearizable);
  EXPECT_EQ(line().Saw(B(), 1, 2, 1, {kKeyA}).verdict(), Kind::kLinearizable);
  EXPECT_EQ(line().Saw(B(), 9, 12, 0, {}).verdict(), Kind::kLinearizable) << "at the same time";
  EXPECT_EQ(line().Saw(B(), 1, 2, 1, {}).verdict(), Kind::kViolation) << "neither";
}

TEST(Checker, StaleRead) {
  EXPECT_EQ(Line(State()).Did(A(), 0, 9, Register(0, kKeyA)).Saw(B(), 10, 11, 0, {}).verdict(),
            Kind::kViolation);
}

// Once seen it stays seen, also by others.
TEST(Checker, NewThenOld) {
  const auto line = [] { return Line(State()).Did(A(), 0, 9, Register(0, kKeyA)); };
  EXPECT_EQ(line().Saw(B(), 1, 2, 0, {}).Saw(C(), 3, 4, 1, {kKeyA}).verdict(), Kind::kLinearizable);
  EXPECT_EQ(line().Saw(B(), 1, 2, 1, {kKeyA}).Saw(C(), 3, 4, 0, {}).verdict(), Kind::kViolation);
}

TEST(Checker, LostUpdate) {
  const auto line = [] {
    return Line(State()).Did(A(), 0, 9, Register(0, kKeyA)).Did(B(), 1, 8, Register(0, kKeyB));
  };
  EXPECT_EQ(line().Saw(C(), 10, 11, 2, {kKeyA, kKeyB}).verdict(), Kind::kLinearizable);
  EXPECT_EQ(line().Saw(C(), 10, 11, 2, {kKeyB, kKeyA}).verdict(), Kind::kLinearizable);
  EXPECT_EQ(line().Saw(C(), 10, 11, 1, {kKeyB}).verdict(), Kind::kViolation);
}

TEST(Checker, OnlyOneReserves) {
  const auto line = [](ScsiStatus a, ScsiStatus b) {
    return Line(Two())
        .Did(A(), 0, 9, Reserve(kKeyA, kWE), a)
        .Did(B(), 0, 9, Reserve(kKeyB, kWE), b);
  };
  EXPECT_EQ(line(kGood, kGood).verdict(), Kind::kViolation);
  EXPECT_EQ(line(kGood, kConflict).verdict(), Kind::kLinearizable);
  EXPECT_EQ(line(kConflict, kGood).verdict(), Kind::kLinearizable);
  EXPECT_EQ(line(kConflict, kConflict).verdict(), Kind::kViolation) << "over what?";
}

// B came after A had left.
TEST(Checker, StateThatNeverWas) {
  const auto line = [] {
    return Line(State())
        .Did(A(), 0, 1, Register(0, kKeyA))
        .Did(A(), 2, 3, Register(kKeyA, 0))
        .Did(B(), 4, 5, Register(0, kKeyB));
  };
  EXPECT_EQ(line().Saw(C(), 0, 9, 2, {}).verdict(), Kind::kLinearizable);
  EXPECT_EQ(line().Saw(C(), 0, 9, 3, {kKeyA, kKeyB}).verdict(), Kind::kViolation);
}

TEST(Checker, Unknown) {
  const auto line = [] { return Line(State()).Began(A(), 0, Register(0, kKeyA)); };
  EXPECT_EQ(line().verdict(), Kind::kLinearizable);
  EXPECT_EQ(line().Saw(B(), 5, 6, 1, {kKeyA}).verdict(), Kind::kLinearizable);
  EXPECT_EQ(line().Saw(B(), 5, 6, 0, {}).verdict(), Kind::kLinearizable) << "never";
  EXPECT_EQ(line().Saw(B(), 5, 6, 0, {}).Saw(C(), 7, 8, 1, {kKeyA}).verdict(), Kind::kLinearizable)
      << "late";
}

TEST(Checker, UnknownThatHasTakenEffect) {
  const auto line = [] {
    return Line(State()).Began(A(), 0, Register(0, kKeyA)).Saw(B(), 5, 6, 1, {kKeyA});
  };
  EXPECT_EQ(line().Saw(B(), 7, 8, 1, {kKeyA}).verdict(), Kind::kLinearizable);
  EXPECT_EQ(line().Saw(B(), 7, 8, 0, {}).verdict(), Kind::kViolation) << "taken back";
  EXPECT_EQ(line().Did(B(), 7, 8, Preempt(kKeyB, kKeyA, kWE)).verdict(), Kind::kViolation)
      << "B is not registered";
}

TEST(Checker, UnknownThatHasNotTakenEffect) {
  EXPECT_EQ(Line(State()).Saw(B(), 0, 1, 1, {kKeyA}).Began(A(), 2, Register(0, kKeyA)).verdict(),
            Kind::kViolation)
      << "not before it was sent";
  // Only a reservation of A's would explain B's conflict, and A has no registration.
  EXPECT_EQ(Line(Given().Registered(B(), kKeyB))
                .Began(A(), 0, Reserve(kKeyA, kWE))
                .Did(B(), 5, 6, Reserve(kKeyB, kWE), kConflict)
                .verdict(),
            Kind::kViolation);
  EXPECT_EQ(Line(Two())
                .Began(A(), 0, Reserve(kKeyA, kWE))
                .Did(B(), 5, 6, Reserve(kKeyB, kWE), kConflict)
                .verdict(),
            Kind::kLinearizable);
}

// It takes effect once.
TEST(Checker, UnknownTwice) {
  EXPECT_EQ(Line(State())
                .Began(A(), 0, Register(0, kKeyA))
                .Saw(B(), 1, 2, 1, {kKeyA})
                .Did(A(), 3, 4, Register(kKeyA, 0))
                .Saw(B(), 5, 6, 3, {kKeyA})
                .verdict(),
            Kind::kViolation);
}

// Not in time, or the store failed: nothing has changed.
TEST(Checker, NotCarriedOut) {
  const auto line = [] {
    return Line(State()).Did(A(), 0, 9, Register(0, kKeyA), ScsiStatus::kBusy);
  };
  EXPECT_EQ(line().Saw(B(), 10, 11, 0, {}).verdict(), Kind::kLinearizable);
  EXPECT_EQ(line().Saw(B(), 10, 11, 1, {kKeyA}).verdict(), Kind::kViolation);
  EXPECT_EQ(line().Saw(B(), 1, 2, 1, {kKeyA}).verdict(), Kind::kViolation);
}

// 5.6.3: without APTPL nothing survives a power loss.
TEST(Checker, PowerOn) {
  const auto line = [](std::vector<Nexus> attached) {
    return Line(Two(), std::move(attached)).Gone(A(), 0, 1).Attached(C(), 2, 3);
  };
  EXPECT_EQ(line({A()}).Saw(C(), 4, 5, 0, {}).verdict(), Kind::kLinearizable);
  EXPECT_EQ(line({A()}).Saw(C(), 4, 5, 0, {kKeyA, kKeyB}).verdict(), Kind::kViolation);
  EXPECT_EQ(line({A(), B()}).Saw(C(), 4, 5, 0, {}).verdict(), Kind::kViolation);
  EXPECT_EQ(line({A(), B()}).Saw(C(), 4, 5, 0, {kKeyA, kKeyB}).verdict(), Kind::kLinearizable);
}

// Whether the dying A still counts when C comes is open.
TEST(Checker, AttachesWhileTheOtherDies) {
  const auto line = [] { return Line(Two(), {A()}).Gone(A(), 0, 9).Attached(C(), 1, 8); };
  EXPECT_EQ(line().Saw(C(), 10, 11, 0, {}).verdict(), Kind::kLinearizable);
  EXPECT_EQ(line().Saw(C(), 10, 11, 0, {kKeyA, kKeyB}).verdict(), Kind::kLinearizable);
}

// A process that was killed while it attached may have powered the unit on,
// may have kept another from doing so, but not after its death.
TEST(Checker, KilledWhileAttaching) {
  const auto line = [] {
    return Line(Two(), {}).AttachBegan(A(), 0).Gone(A(), 10, 20, 1).Attached(C(), 30, 40);
  };
  EXPECT_EQ(line().Saw(C(), 50, 51, 0, {}).verdict(), Kind::kLinearizable);
  EXPECT_EQ(line().Saw(C(), 50, 51, 0, {kKeyA, kKeyB}).verdict(), Kind::kViolation);
  EXPECT_EQ(Line(Two(), {B()})
                .AttachBegan(A(), 0)
                .Gone(B(), 1, 2)
                .Gone(A(), 3, 9, 1)
                .Attached(C(), 10, 11)
                .Saw(C(), 12, 13, 0, {kKeyA, kKeyB})
                .verdict(),
            Kind::kViolation);
}

TEST(Checker, AttachedTwice) {
  EXPECT_EQ(Line(State(), {}).Attached(A(), 0, 1).Attached(A(), 2, 3, 2).verdict(),
            Kind::kViolation);
}

// All the ways it may have ended, for the history that follows.
TEST(Checker, LastOnes) {
  const Verdict verdict = Check(Line(State())
                                    .Did(A(), 0, 9, Register(0, kKeyA))
                                    .Did(B(), 0, 9, Register(0, kKeyB))
                                    .history());
  EXPECT_EQ(verdict.last.size(), 2u);
}

// Of several logical units before it, one that explains it is enough.
TEST(Checker, FirstOnes) {
  History history = Line(State()).Saw(A(), 0, 1, 0, {kKeyA, kKeyB}).history();
  EXPECT_EQ(Check(history).kind, Kind::kViolation);
  history.before.push_back({Two(), {A()}, {}});
  const Verdict verdict = Check(history);
  EXPECT_EQ(verdict.kind, Kind::kLinearizable);
  ASSERT_EQ(verdict.last.size(), 1u);
  EXPECT_EQ(verdict.last[0].state, Two());
}

TEST(Checker, Undecided) {
  Line line((State()));
  for (int i = 0; i < 8; i++) line.Did(i % 2 == 0 ? A() : B(), i, 99, RegisterIgnore(kKeyA));
  const Verdict verdict = Check(line.history(), 100);
  EXPECT_EQ(verdict.kind, Kind::kUndecided);
  EXPECT_TRUE(verdict.last.empty());
  EXPECT_EQ(Check(line.history()).kind, Kind::kLinearizable);
}

// What had not ended when it went wrong is shown without an outcome.
TEST(Checker, SmallestViolation) {
  const History history = Line(State())
                              .Did(A(), 0, 1, Register(0, kKeyA))
                              .Did(B(), 2, 50, Register(0, kKeyB))
                              .Saw(C(), 3, 4, 0, {})
                              .Saw(C(), 5, 6, 0, {})
                              .Saw(C(), 60, 61, 7, {})
                              .history();
  const History smallest = SmallestViolation(history);
  ASSERT_EQ(smallest.operations.size(), 3u);
  EXPECT_TRUE(smallest.operations[0].end);
  EXPECT_FALSE(smallest.operations[1].end);
  EXPECT_EQ(smallest.operations[2].end, 4);
  const std::string text = Explain(smallest, Check(smallest));
  EXPECT_NE(text.find("naa.5000000000000003@1 READ KEYS -> GOOD: PRgeneration 0, keys\n"),
            std::string::npos)
      << text;
}

// Every order that the times allow, without a memory.
bool ExplainedByAnyOrder(const History& history, const LogicalUnit& unit, std::vector<bool> done) {
  bool complete = true;
  int64_t first_end = std::numeric_limits<int64_t>::max();
  for (size_t i = 0; i < done.size(); i++) {
    if (done[i] || !history.operations[i].end) continue;
    complete = false;
    first_end = std::min(first_end, *history.operations[i].end);
  }
  if (complete) return true;
  for (size_t i = 0; i < done.size(); i++) {
    if (done[i] || history.operations[i].call > first_end) continue;
    LogicalUnit after = unit;
    if (!Step(history.capabilities, history.operations[i], &after)) continue;
    done[i] = true;
    if (ExplainedByAnyOrder(history, after, done)) return true;
    done[i] = false;
  }
  return false;
}

// Commands at random times; their responses come from some order of their own,
// which may or may not fit.
History RandomHistory(std::mt19937_64& random) {
  std::vector<Workload> workloads;
  for (int i = 0; i < 3; i++) workloads.emplace_back(random(), 3);
  Line line(Given().Registered(WorkloadNexus(0, 1), 1).Registered(WorkloadNexus(1, 1), 2), {});
  History history = line.history();
  LogicalUnit unit = history.before[0];
  int64_t time = 0;
  for (int i = 0; i < 8; i++) {
    const int who = static_cast<int>(random() % 3);
    const Command command = workloads[static_cast<size_t>(who)].Next();
    const Nexus nexus = WorkloadNexus(who, 1);
    Effect effect = Carry(unit.state, history.capabilities, nexus, command.cdb, command.data_out);
    workloads[static_cast<size_t>(who)].Learn(effect.response.status);
    time += static_cast<int64_t>(random() % 20);
    Operation operation{.nexus = nexus, .cdb = command.cdb, .data_out = command.data_out};
    operation.call = time + static_cast<int64_t>(random() % 50) - 25;
    if (random() % 6 != 0) {
      operation.end = operation.call + static_cast<int64_t>(random() % 40);
      operation.response = effect.response;
    }
    if (operation.end || random() % 2 == 0) unit.state = std::move(effect.state);
    history.operations.push_back(std::move(operation));
  }
  return history;
}

TEST(Checker, AgreesWithEveryOrder) {
  std::mt19937_64 random(4);
  int count[2] = {0, 0};
  for (int i = 0; i < 3000; i++) {
    const History history = RandomHistory(random);
    const bool expected = ExplainedByAnyOrder(history, history.before[0],
                                              std::vector<bool>(history.operations.size(), false));
    count[expected ? 1 : 0]++;
    const Verdict verdict = Check(history);
    ASSERT_EQ(verdict.kind == Kind::kLinearizable, expected) << Explain(history, verdict);
  }
  EXPECT_GT(count[0], 200) << "too easy";
  EXPECT_GT(count[1], 200) << "too easy";
}

}  // namespace
}  // namespace scsi_pr::linear
