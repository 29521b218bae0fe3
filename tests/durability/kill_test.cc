// SPDX-License-Identifier: GPL-2.0-or-later
//
// kill -9 before every system call of every change, for the file and for what is in
// memory: it has happened as a whole or
// not at all, whoever looks, and what somebody has seen stays so.
#include "../process/fixture.h"
#include "../unit/testing.h"
#include "aftermath.h"
#include "core/access.h"
#include "core/document.h"
#include "core/legacy.h"

namespace scsi_pr {
namespace {

using namespace testing;

// Those that tests/process/fixture.h makes.
Nexus Dying() { return MakeNexus("naa.5000000000000011"); }
Nexus Witness() { return MakeNexus("naa.5000000000000012"); }

// A command as nexus-process takes it, and what it does.
struct Step {
  std::string line;
  std::function<Outcome(const State&)> apply;
};

Step Out(const Nexus& nexus, OutAction action, uint64_t key, uint64_t action_key, bool aptpl) {
  Command command = testing::Out(action, key, action_key, kWERO);
  command.aptpl = aptpl;
  const std::string line = "out " + std::to_string(static_cast<int>(action)) + " " +
                           std::to_string(key) + " " + std::to_string(action_key) + " 5 " +
                           (aptpl ? "1" : "0");
  return {line, [=](const State& state) { return Apply(state, kAborts, nexus, command); }};
}
Step Legacy(const char* line, LegacyAction action) {
  return {line, [=](const State& state) { return ApplyLegacy(state, Dying(), action); }};
}

struct Case {
  const char* name;
  std::vector<Step> dying_before;
  std::vector<Step> witness_before;
  Step change;  // of the one that dies
};

std::vector<Case> Cases() {
  using enum OutAction;
  const auto dying = [](OutAction action, uint64_t key, uint64_t action_key, bool aptpl = false) {
    return Out(Dying(), action, key, action_key, aptpl);
  };
  const Step registered = dying(kRegisterAndIgnoreExistingKey, 0, 1, true);
  const Step reserved = dying(kReserve, 1, 0);
  const std::vector<Step> held{Out(Witness(), kRegisterAndIgnoreExistingKey, 0, 2, true),
                               Out(Witness(), kReserve, 2, 0, false)};
  return {
      {"REGISTER", {}, {}, registered},
      {"RESERVE", {registered}, {}, reserved},
      {"RELEASE", {registered, reserved}, {}, dying(kRelease, 1, 0)},
      {"PREEMPT", {registered}, held, dying(kPreempt, 1, 2)},
      {"PREEMPT AND ABORT", {registered}, held, dying(kPreemptAndAbort, 1, 2)},
      {"CLEAR", {registered}, held, dying(kClear, 1, 0)},
      {"APTPL off", {registered, reserved}, {}, dying(kRegisterAndIgnoreExistingKey, 0, 1)},
      {"without APTPL", {}, {}, dying(kRegisterAndIgnoreExistingKey, 0, 1)},
      {"the SPC-2 RESERVE", {}, {}, Legacy("reserve", LegacyAction::kReserve)},
  };
}

class KillTest : public ProcessTest {
 protected:
  void Prepare(const Case& each) {
    witness_->Ask("release");
    ASSERT_EQ(witness_->Ask("out 6 0 2 0 0"), kGood);
    ASSERT_EQ(witness_->Ask("out 3 2 0 0 0"), kGood);
    for (const Step& step : each.dying_before) ASSERT_EQ(dying_->Ask(step.line), kGood);
    for (const Step& step : each.witness_before) ASSERT_EQ(witness_->Ask(step.line), kGood);
    while (witness_->Ask("attention") != "none") {
    }
  }
  State Seen() {
    State state;
    const std::string text = witness_->Ask("state");
    EXPECT_TRUE(DecodeDocument(text, &state).ok()) << text;
    return state;
  }
  // False if the change has ended before.
  bool KillAt(const Case& each, int call);

  std::unique_ptr<Child> witness_ = Attached(2);
  std::unique_ptr<Child> dying_ = Attached(1);
};

bool KillTest::KillAt(const Case& each, int call) {
  SCOPED_TRACE(std::string(each.name) + ", call " + std::to_string(call));
  Prepare(each);
  const State before = Seen();
  const Outcome outcome = each.change.apply(before);
  State after = outcome.state;
  after.legacy_holder.reset();  // it ends with its process
  dying_->Ask("crash-call " + std::to_string(call));
  if (const std::string answer = dying_->Ask(each.change.line); !answer.empty()) {
    EXPECT_EQ(answer, kGood);
    dying_->Ask("crash-call 0");
    dying_->Ask("release");
    return false;
  }
  dying_->Wait();
  const State found = FoundAfterDeathOfAll(path_, runtime_);
  EXPECT_TRUE(found == AfterPowerOn(before) || found == AfterPowerOn(after))
      << ::testing::PrintToString(found);
  const State seen = Seen();
  EXPECT_TRUE(seen == before || seen == after) << ::testing::PrintToString(seen);
  EXPECT_EQ(FoundAfterDeathOfAll(path_, runtime_), AfterPowerOn(seen)) << "what was seen stays";
  const bool writes = (AllowedAccess(seen, Witness()) & Bit(AccessClass::kWrite)) != 0;
  // A gate that the dead one left shut is opened by the witness's watcher.
  EXPECT_TRUE(Eventually([&] { return witness_->Ask("admits") == (writes ? "yes" : "no"); }));
  const bool told = seen == after && !outcome.unit_attentions.empty() && after != before;
  EXPECT_EQ(witness_->Ask("attention") != "none", told);
  EXPECT_EQ(witness_->Ask("attention"), "none");
  dying_ = Attached(1);
  EXPECT_EQ(Seen(), seen);
  return true;
}

TEST_F(KillTest, AtEveryCallOfAChange) {
  for (const Case& each : Cases()) {
    int call = 1;
    while (KillAt(each, call) && !HasFailure()) ASSERT_LT(++call, 1000);
    EXPECT_GT(call, 3) << each.name;
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace scsi_pr
