// SPDX-License-Identifier: GPL-2.0-or-later
//
// PREEMPT AND ABORT among processes (SPC-3 5.6.8.5): victims that are stopped,
// killed or gone, and fencers that die at every step.
#include <algorithm>
#include <chrono>

#include "fixture.h"

namespace scsi_pr {
namespace {

using namespace std::chrono_literals;
using testing::Child;
using testing::kConflict;
using testing::kGood;
using testing::PreemptAndAbort;
using testing::ProcessTest;
using testing::Register;
using testing::Reserve;
using Clock = std::chrono::steady_clock;

// Victim b holds the reservation; a fences; c looks on.
class BarrierTest : public ProcessTest {
 protected:
  void SetUp() override {
    for (int i = 0; i < 3; i++) {
      processes_[i] = Attached(i + 1);
      EXPECT_EQ(processes_[i]->Ask(Register(static_cast<uint64_t>(i + 1), true)), kGood);
    }
    EXPECT_EQ(b().Ask(Reserve(2)), kGood);
  }

  Child& a() { return *processes_[0]; }
  Child& b() { return *processes_[1]; }
  Child& c() { return *processes_[2]; }
  void Restart(int number) { processes_[number - 1] = Attached(number); }

  // The registered keys, in order.
  std::string Keys() {
    std::string keys = c().Ask("keys");
    std::erase(keys, ',');
    std::ranges::sort(keys);
    return keys;
  }

  // Which a listener has heard of.
  static int Preemptions(Child& child) {
    const std::string heard = child.Ask("heard");
    return std::stoi(heard.substr(heard.rfind(' ')));
  }

  std::unique_ptr<Child> processes_[3];
};

// The fencer is stopped where it waits: whatever it does before that is done.
TEST_F(BarrierTest, WaitsForAnotherProcess) {
  const std::string leave = Enter(b());
  EXPECT_EQ(a().Ask("crash waiting 1 " + std::to_string(SIGSTOP)), "ok");
  a().Write(PreemptAndAbort(1, 2));
  a().AwaitStop();
  EXPECT_EQ(b().Ask("admits"), "no");
  EXPECT_EQ(c().Ask("keys"), "1,2,3") << "still listed";
  a().Signal(SIGCONT);
  EXPECT_EQ(c().Ask("keys"), "1,2,3") << "still listed";
  EXPECT_EQ(c().Ask("admits"), "yes") << "no convoy";
  EXPECT_EQ(b().Ask(leave), "ok");
  EXPECT_EQ(a().ReadLine(), kGood);
  EXPECT_EQ(c().Ask("keys"), "1,3");
  EXPECT_EQ(b().Ask("attention"), "42 5");
}

// At most the time the last of them needs, and two milliseconds.
TEST_F(BarrierTest, EndsWithTheLastCommand) {
  std::string leave;
  for (int i = 0; i < 128; i++) leave = Enter(b());
  a().Write(PreemptAndAbort(1, 2));
  EXPECT_TRUE(Eventually([&] { return b().Ask("admits") == "no"; }));
  for (int i = 0; i < 128; i++) EXPECT_EQ(b().Ask(leave), "ok");
  EXPECT_EQ(a().ReadLine(), kGood);
}

TEST_F(BarrierTest, StoppedVictimWithNothingOnItsWay) {
  b().Signal(SIGSTOP);
  b().AwaitStop();
  const auto start = Clock::now();
  EXPECT_EQ(a().Ask(PreemptAndAbort(1, 2)), kGood);
  EXPECT_LT(Clock::now() - start, 2s);
  b().Signal(SIGCONT);
  EXPECT_EQ(b().Ask("admits"), "no");
}

// A stopped process is not a dead one: not GOOD, and nothing has changed.
TEST_F(BarrierTest, StoppedVictimWithCommandsOnTheirWay) {
  const std::string leave = Enter(b());
  b().Signal(SIGSTOP);
  b().AwaitStop();
  EXPECT_EQ(a().Ask("patience 200"), "ok");
  const std::string answer = a().Ask(PreemptAndAbort(1, 2));
  EXPECT_TRUE(answer.starts_with("error 5 ")) << answer;
  EXPECT_NE(answer.find(std::to_string(b().pid())), std::string::npos) << answer;
  EXPECT_EQ(c().Ask("keys"), "1,2,3");
  b().Signal(SIGCONT);
  EXPECT_EQ(b().Ask("admits"), "yes") << "the gates are open as before";
  EXPECT_EQ(b().Ask("attention"), "none");
  EXPECT_EQ(b().Ask(leave), "ok");
  EXPECT_EQ(a().Ask(PreemptAndAbort(1, 2)), kGood);
  EXPECT_EQ(b().Ask("admits"), "no");
}

// Stopped, and killed while the fencer waits: the kernel says that it is gone.
TEST_F(BarrierTest, KilledVictim) {
  for (const int signal : {SIGKILL, SIGTERM, SIGSEGV, SIGABRT}) {
    Enter(b());
    a().Write(PreemptAndAbort(1, 2));
    EXPECT_TRUE(Eventually([&] { return b().Ask("admits") == "no"; }));
    const auto start = Clock::now();
    b().Signal(signal);
    b().Wait();
    EXPECT_EQ(a().ReadLine(), kGood);
    EXPECT_LT(Clock::now() - start, 2s);
    EXPECT_EQ(c().Ask("keys"), "1,3");
    Restart(2);
    EXPECT_EQ(b().Ask("admits"), "no") << "its next life is fenced, too";
    EXPECT_EQ(b().Ask(Register(2, true)), kGood);
    EXPECT_EQ(c().Ask("out 5 3 1 5 0"), kGood);
    EXPECT_EQ(a().Ask(Register(1, true)), kGood);
    EXPECT_EQ(b().Ask("out 5 2 3 5 0"), kGood);
    EXPECT_EQ(c().Ask(Register(3, true)), kGood);
    EXPECT_EQ(c().Ask("keys").size(), 5u);
    while (c().Ask("attention") != "none") {
    }
  }
}

// What the victim has on its way died with it, long ago.
TEST_F(BarrierTest, VictimDiedBefore) {
  Enter(b());
  b().Kill();
  EXPECT_EQ(a().Ask(PreemptAndAbort(1, 2)), kGood);
  EXPECT_EQ(c().Ask("keys"), "1,3");
}

// Killed, but its parent has not asked for it: there still is a process of that
// number, as there would be if the kernel had given the number to another.
TEST_F(BarrierTest, ZombieVictim) {
  Enter(b());
  b().Signal(SIGKILL);
  b().AwaitZombie();
  EXPECT_EQ(a().Ask("patience 1000"), "ok");
  EXPECT_EQ(a().Ask(PreemptAndAbort(1, 2)), kGood);
  EXPECT_EQ(c().Ask("keys"), "1,3");
}

TEST_F(BarrierTest, TwoFencers) {
  for (int i = 0; i < 20; i++) {
    a().Write(PreemptAndAbort(1, 2));
    c().Write(PreemptAndAbort(3, 2));
    const std::string one = a().ReadLine();
    const std::string two = c().ReadLine();
    EXPECT_TRUE((one == kGood && two == kConflict) || (one == kConflict && two == kGood))
        << one << ", " << two;
    EXPECT_EQ(b().Ask("admits"), "no");
    EXPECT_EQ(b().Ask(Register(2, true)), kGood);
    EXPECT_EQ((one == kGood ? a() : c())
                  .Ask("out 4 " + std::string(one == kGood ? "1" : "3") +
                       (one == kGood ? " 1" : " 3") + " 5 0"),
              kGood);
  }
}

TEST_F(BarrierTest, EachOther) {
  for (int i = 0; i < 20; i++) {
    a().Write(PreemptAndAbort(1, 2));
    b().Write(PreemptAndAbort(2, 1));
    const bool one = a().ReadLine() == kGood;
    const bool two = b().ReadLine() == kGood;
    EXPECT_NE(one, two);
    EXPECT_EQ(a().Ask("admits"), one ? "yes" : "no");
    EXPECT_EQ(b().Ask("admits"), two ? "yes" : "no");
    EXPECT_EQ((one ? b() : a()).Ask(Register(one ? 2 : 1, true)), kGood);
  }
}

// A fencer that dies: before it has committed nothing has happened, after that
// everything has; and the victim's gate is not left shut, though nobody else
// touches the store.
TEST_F(BarrierTest, FencerDiesAtEveryStep) {
  const struct {
    const char* name;
    int hit;
    bool committed;
  } kPoints[] = {
      {"fencing", 1, false},   {"shut", 1, false},      {"notified", 1, false},
      {"drained", 1, false},   {"disowned", 1, false},  {"writing", 1, false},
      {"persisted", 1, false}, {"enforced", 1, true},   {"committed", 1, true},
      {"publishing", 1, true}, {"publishing", 2, true}, {"publishing", 3, true},
      {"published", 1, true},
  };
  for (const auto& point : kPoints) {
    SCOPED_TRACE(point.name + std::to_string(point.hit));
    EXPECT_EQ(a().Ask("crash " + std::string(point.name) + " " + std::to_string(point.hit) + " 9"),
              "ok");
    a().Write(PreemptAndAbort(1, 2));
    a().Wait();
    const std::string expected = point.committed ? "no" : "yes";
    EXPECT_TRUE(Eventually([&] { return b().Ask("admits") == expected; }));
    EXPECT_TRUE(!point.committed || Eventually([&] { return b().Ask("attention") == "42 5"; }));
    EXPECT_EQ(b().Ask("attention"), "none");
    EXPECT_EQ(Keys(), point.committed ? "13" : "123");
    Restart(1);
    EXPECT_EQ(a().Ask(PreemptAndAbort(1, 2)), point.committed ? kConflict : kGood);
    EXPECT_EQ(b().Ask("admits"), "no");
    // As it was: b holds the reservation again.
    EXPECT_EQ(b().Ask(Register(2, true)), kGood);
    EXPECT_EQ(b().Ask("out 4 2 1 5 0"), kGood);
    EXPECT_EQ(a().Ask(Register(1, true)), kGood);
    while (b().Ask("attention") != "none") {
    }
  }
}

// What the victim hears besides its unit attention condition: once too often at worst.
TEST_F(BarrierTest, PreemptionIsToldThoughThePublisherDies) {
  int told = 0;
  for (const std::string& preempt : {testing::Preempt(1, 2), PreemptAndAbort(1, 2)}) {
    SCOPED_TRACE(preempt);
    EXPECT_EQ(a().Ask("crash telling 1 9"), "ok");
    a().Write(preempt);
    a().Wait();
    EXPECT_EQ(Keys(), "13");
    EXPECT_TRUE(Eventually([&] { return Preemptions(b()) > told; }));
    told = Preemptions(b());
    EXPECT_LE(told, 4);
    EXPECT_EQ(b().Ask("attention"), "42 5");
    EXPECT_EQ(b().Ask("attention"), "none");
    EXPECT_EQ(b().Ask(Register(2, true)), kGood);
    Restart(1);
  }
}

// Dead in the middle of a drain, and dead while it gives up.
TEST_F(BarrierTest, FencerDiesWhileTheVictimHasCommandsOnTheirWay) {
  for (const char* name : {"shut", "notified", "waiting", "reopening"}) {
    SCOPED_TRACE(name);
    const std::string leave = Enter(b());
    EXPECT_EQ(a().Ask("patience 50"), "ok");
    EXPECT_EQ(a().Ask("crash " + std::string(name) + " 1 9"), "ok");
    a().Write(PreemptAndAbort(1, 2));
    a().Wait();
    EXPECT_TRUE(Eventually([&] { return b().Ask("admits") == "yes"; }));
    EXPECT_EQ(c().Ask("keys"), "1,2,3");
    EXPECT_EQ(b().Ask(leave), "ok");
    Restart(1);
  }
}

// A fencer that is only stopped keeps the right to change. Reading goes on.
TEST_F(BarrierTest, StoppedFencer) {
  EXPECT_EQ(a().Ask("crash notified 1 " + std::to_string(SIGSTOP)), "ok");
  a().Write(PreemptAndAbort(1, 2));
  a().AwaitStop();
  EXPECT_EQ(c().Ask("keys"), "1,2,3");
  EXPECT_EQ(c().Ask("admits"), "yes");
  a().Signal(SIGCONT);
  EXPECT_EQ(a().ReadLine(), kGood);
  EXPECT_EQ(c().Ask("keys"), "1,3");
}

// Who comes while a fencing waits begins with what both states allow, and does not wait.
TEST_F(BarrierTest, NewcomerWhileAFencingWaits) {
  for (const bool given_up : {true, false}) {
    ASSERT_EQ(c().Ask(Register(2, true)), kGood);  // the same key: preempted, too
    ASSERT_EQ(c().Ask("detach"), "ok");
    const std::string leave = Enter(b());
    EXPECT_EQ(a().Ask(given_up ? "patience 2000" : "patience 10000"), "ok");
    a().Write(PreemptAndAbort(1, 2));
    EXPECT_TRUE(Eventually([&] { return b().Ask("admits") == "no"; }));
    const auto start = Clock::now();
    EXPECT_EQ(c().Ask("attach"), "ok");
    EXPECT_LT(Clock::now() - start, 1s);
    EXPECT_EQ(c().Ask("admits"), "no") << "it is preempted by what may be in force any time";
    std::string left = given_up ? "" : b().Ask(leave);
    EXPECT_EQ(a().ReadLine().starts_with("error 5 "), given_up);
    EXPECT_EQ(c().Ask("admits"), given_up ? "yes" : "no");
    if (given_up) left = b().Ask(leave);
    EXPECT_EQ(left, "ok");
  }
}

// A newcomer that is stopped between the look at what it may and its appearance in the
// gate: a fencing that passed it by would not tell it that it is preempted.
TEST_F(BarrierTest, StoppedNewcomer) {
  ASSERT_EQ(c().Ask(Register(2, true)), kGood);  // the same key: preempted, too
  ASSERT_EQ(c().Ask("detach"), "ok");
  const std::string leave = Enter(b());
  a().Write(PreemptAndAbort(1, 2));
  EXPECT_TRUE(Eventually([&] { return b().Ask("admits") == "no"; }));
  EXPECT_EQ(c().Ask("crash attaching 1 " + std::to_string(SIGSTOP)), "ok");
  c().Write("attach");
  c().AwaitStop();
  EXPECT_EQ(b().Ask(leave), "ok");
  EXPECT_TRUE(a().ReadLine().starts_with("error 5 "));
  c().Signal(SIGCONT);
  EXPECT_EQ(c().ReadLine(), "ok");
  EXPECT_EQ(a().Ask(PreemptAndAbort(1, 2)), kGood);
  EXPECT_EQ(c().Ask("admits"), "no");
  EXPECT_EQ(c().Ask("attention"), "42 5");
}

}  // namespace
}  // namespace scsi_pr
