// SPDX-License-Identifier: GPL-2.0-or-later
//
// A nexus that goes from one process to another (docs/design.md, "Handing a nexus
// over"): one owner at most, whoever dies when; and a fencing hits it wherever it is.
#include "fixture.h"

namespace scsi_pr {
namespace {

using testing::Child;
using testing::kConflict;
using testing::kGood;
using testing::PreemptAndAbort;
using testing::ProcessTest;
using testing::Register;
using testing::Reserve;

constexpr const char* kTaken = "taken";
constexpr const char* kMaybeFenced = "maybe fenced";
constexpr const char* kNotTaken = "not taken";
constexpr const char* kRegistrationsPreempted = "42 5";

// The nexus goes from the source to the destination; another one looks on, and
// fences it.
class HandOverTest : public ProcessTest {
 protected:
  void SetUp() override {
    source_ = Attached(1);
    other_ = Attached(2);
    EXPECT_EQ(source().Ask(Register(1)), kGood);
    EXPECT_EQ(other().Ask(Register(2)), kGood);
    EXPECT_EQ(source().Ask(Reserve(1)), kGood);
    destination_ = Incoming();
  }

  std::unique_ptr<Child> Incoming() {
    auto child = Start(1);
    EXPECT_EQ(child->Ask("incoming"), "ok");
    return child;
  }
  Child& source() { return *source_; }
  Child& destination() { return *destination_; }
  Child& other() { return *other_; }

  static bool Writes(Child& child) {
    const std::string epoch = child.Ask("enter");
    if (!epoch.starts_with("epoch ")) return false;
    EXPECT_EQ(child.Ask("leave " + epoch.substr(6)), "ok");
    return true;
  }
  static std::string HandOver(Child& child) {
    const std::string text = child.Ask("hand-over");
    EXPECT_TRUE(text.starts_with("{")) << text;
    return "arrive " + text;
  }
  // All of a migration but for the taking over.
  void Migrate() { EXPECT_EQ(destination().Ask(HandOver(source())), "ok"); }
  void Fence() { EXPECT_EQ(other().Ask(PreemptAndAbort(2, 1)), kGood); }

  std::unique_ptr<Child> source_;
  std::unique_ptr<Child> destination_;
  std::unique_ptr<Child> other_;
};

TEST_F(HandOverTest, OneOwnerAtATime) {
  EXPECT_TRUE(Writes(source()));
  EXPECT_FALSE(Writes(destination()));
  EXPECT_EQ(destination().Ask("take-over"), kNotTaken);
  Migrate();
  EXPECT_FALSE(Writes(source()));
  EXPECT_FALSE(Writes(destination()));
  EXPECT_EQ(destination().Ask("take-over"), kTaken);
  EXPECT_TRUE(Writes(destination()));
  EXPECT_EQ(source().Ask("take-over"), kNotTaken);
  EXPECT_FALSE(Writes(source()));
  EXPECT_EQ(source().Ask("detach"), "ok");
  EXPECT_TRUE(Writes(destination()));
  EXPECT_EQ(destination().Ask("attention"), "none");
  EXPECT_EQ(destination().Ask("keys"), "1,2");
}

// It is attached once, and its owner is who is named.
TEST_F(HandOverTest, TheNexusStaysAttached) {
  const auto third = Start(1);
  EXPECT_NE(third->Ask("attach").find("process " + std::to_string(source().pid()) + " "),
            std::string::npos);
  Migrate();
  EXPECT_EQ(destination().Ask("take-over"), kTaken);
  EXPECT_NE(third->Ask("attach").find("process " + std::to_string(destination().pid()) + " "),
            std::string::npos);
  source().Kill();
  EXPECT_TRUE(third->Ask("attach").starts_with("error 4 "));
  EXPECT_EQ(destination().Ask("detach"), "ok");
  EXPECT_EQ(third->Ask("attach"), "ok");
  EXPECT_EQ(third->Ask("keys"), "1,2");
}

TEST_F(HandOverTest, AFailedMigrationGivesItBack) {
  for (const char* fate : {"kill", "detach"}) {
    Migrate();
    if (fate == std::string("kill")) {
      destination().Kill();
    } else {
      EXPECT_EQ(destination().Ask("detach"), "ok");
    }
    EXPECT_EQ(source().Ask("take-over"), kTaken);
    EXPECT_TRUE(Writes(source()));
    EXPECT_EQ(source().Ask("attention"), "none");
    destination_ = Incoming();
  }
  Migrate();
  EXPECT_EQ(source().Ask("take-over"), kTaken) << "it waits, and does not come";
  EXPECT_EQ(destination().Ask("take-over"), kNotTaken);
}

// What a dead owner had on its way went with it.
TEST_F(HandOverTest, SourceDiesAsTheOwner) {
  Enter(source());
  Enter(source());
  source().Kill();
  EXPECT_EQ(destination().Ask("take-over"), kTaken);
  const std::string leave = Enter(destination());
  EXPECT_TRUE(destination().Ask("hand-over").starts_with("error 5 "));
  EXPECT_EQ(destination().Ask(leave), "ok");
  HandOver(destination());
}

TEST_F(HandOverTest, SourceDiesAfterwards) {
  Migrate();
  source().Kill();
  EXPECT_EQ(destination().Ask("keys"), "1,2");
  EXPECT_EQ(destination().Ask("take-over"), kTaken);
  EXPECT_TRUE(Writes(destination()));
}

TEST_F(HandOverTest, DestinationDiesAsTheOwner) {
  Migrate();
  EXPECT_EQ(destination().Ask("take-over"), kTaken);
  Enter(destination());
  EXPECT_EQ(source().Ask("take-over"), kNotTaken);
  destination().Kill();
  EXPECT_EQ(source().Ask("take-over"), kTaken);
  EXPECT_TRUE(Writes(source()));
  HandOver(source());
}

// A stopped process lives.
TEST_F(HandOverTest, StoppedOwner) {
  source().Signal(SIGSTOP);
  source().AwaitStop();
  EXPECT_EQ(destination().Ask("take-over"), kNotTaken);
  source().Signal(SIGCONT);
  EXPECT_TRUE(Writes(source()));
}

TEST_F(HandOverTest, TwoWhoWantIt) {
  for (int i = 0; i < 50; i++) {
    Migrate();
    source().Write("take-over");
    destination().Write("take-over");
    const bool back = source().ReadLine() == kTaken;
    const bool gone = destination().ReadLine() == kTaken;
    ASSERT_NE(back, gone);
    EXPECT_EQ(Writes(source()), back);
    EXPECT_EQ(Writes(destination()), gone);
    if (gone) source_.swap(destination_);
  }
}

TEST_F(HandOverTest, SecondDestinationIsRefused) {
  auto second = Start(1);
  const std::string answer = second->Ask("incoming");
  EXPECT_TRUE(answer.starts_with("error 4 ")) << answer;
  EXPECT_NE(answer.find("incoming"), std::string::npos) << answer;
  destination().Kill();
  EXPECT_EQ(second->Ask("incoming"), "ok");
  EXPECT_EQ(second->Ask(HandOver(source())), "ok");
  EXPECT_EQ(second->Ask("take-over"), kTaken);
  source_ = std::move(second);
  destination_ = Incoming();
  Migrate();
  EXPECT_EQ(destination().Ask("take-over"), kTaken);
}

// A VM that is paused all the while, and goes on to a third process.
TEST_F(HandOverTest, WithoutEverHavingRun) {
  Migrate();
  const auto third = Incoming();
  EXPECT_EQ(third->Ask(HandOver(destination())), "ok");
  EXPECT_EQ(third->Ask("take-over"), kTaken);
  EXPECT_EQ(destination().Ask("take-over"), kNotTaken);
  EXPECT_EQ(source().Ask("take-over"), kNotTaken);
}

// A fencing waits for the owner's commands, whoever waits for the nexus.
TEST_F(HandOverTest, FencedAtTheSource) {
  const std::string leave = Enter(source());
  other().Write(PreemptAndAbort(2, 1));
  EXPECT_TRUE(Eventually([&] { return source().Ask("admits") == "no"; }));
  EXPECT_TRUE(Eventually([&] { return destination().Ask("heard") == "1 0 0"; }));
  EXPECT_TRUE(source().Ask("hand-over").starts_with("error 5 ")) << "it is still on its way";
  EXPECT_EQ(destination().Ask("take-over"), kNotTaken);
  EXPECT_EQ(source().Ask(leave), "ok");
  EXPECT_EQ(other().ReadLine(), kGood);
  EXPECT_TRUE(Eventually([&] { return source().Ask("heard") == "1 1 1"; }));
  Migrate();
  EXPECT_EQ(destination().Ask("take-over"), kTaken) << "its tasks were aborted before";
  EXPECT_FALSE(Writes(destination()));
  EXPECT_EQ(destination().Ask("attention"), kRegistrationsPreempted);
}

TEST_F(HandOverTest, FencedWhileNobodyOwnsIt) {
  const std::string arrive = HandOver(source());
  Fence();
  EXPECT_EQ(destination().Ask(arrive), "ok");
  EXPECT_TRUE(Eventually([&] { return destination().Ask("heard") == "1 0 0"; }));
  EXPECT_EQ(destination().Ask("take-over"), kMaybeFenced);
  EXPECT_FALSE(Writes(destination()));
  EXPECT_TRUE(Eventually([&] { return destination().Ask("heard") == "1 1 1"; }));
  EXPECT_EQ(destination().Ask("attention"), kRegistrationsPreempted);
  EXPECT_EQ(destination().Ask("attention"), "none");
}

// The same, and the migration is cancelled.
TEST_F(HandOverTest, FencedAndGivenBack) {
  HandOver(source());
  Fence();
  EXPECT_EQ(source().Ask("take-over"), kMaybeFenced);
  EXPECT_FALSE(Writes(source()));
  EXPECT_EQ(source().Ask("attention"), kRegistrationsPreempted);
  EXPECT_TRUE(Eventually([&] { return source().Ask("heard") == "1 1 1"; }));
}

TEST_F(HandOverTest, FencedAtTheDestination) {
  const auto third = Start(3);
  Migrate();
  EXPECT_EQ(destination().Ask("take-over"), kTaken);
  const std::string leave = Enter(destination());
  other().Write(PreemptAndAbort(2, 1));
  EXPECT_TRUE(Eventually([&] { return destination().Ask("admits") == "no"; }));
  EXPECT_EQ(third->Ask("keys"), "1,2") << "still listed";
  EXPECT_EQ(destination().Ask(leave), "ok");
  EXPECT_EQ(other().ReadLine(), kGood);
  EXPECT_EQ(third->Ask("keys"), "2");
  EXPECT_FALSE(Writes(destination()));
}

// The owner is gone, the heir lives: there is nobody to wait for.
TEST_F(HandOverTest, FencedWhenTheOwnerIsDead) {
  Enter(source());
  source().Kill();
  Fence();
  EXPECT_EQ(destination().Ask("take-over"), kTaken) << "nothing was handed over";
  EXPECT_FALSE(Writes(destination()));
  EXPECT_EQ(destination().Ask("attention"), kRegistrationsPreempted);
}

// It dies, and the heir takes over, while a fencing waits.
TEST_F(HandOverTest, TakenOverWhileAFencingWaits) {
  Enter(source());
  other().Write(PreemptAndAbort(2, 1));
  EXPECT_TRUE(Eventually([&] { return source().Ask("admits") == "no"; }));
  source().Kill();
  EXPECT_EQ(destination().Ask("take-over"), kTaken);
  EXPECT_EQ(other().ReadLine(), kGood);
  EXPECT_FALSE(Writes(destination()));
  EXPECT_EQ(other().Ask("keys"), "2");
}

// Whatever dies in the middle of it, who is left can have the nexus.
TEST_F(HandOverTest, DiesAtEveryStep) {
  for (const char* point : {"handing-over", "handed-over"}) {
    SCOPED_TRACE(point);
    EXPECT_EQ(source().Ask("crash " + std::string(point) + " 1 9"), "ok");
    source().Write("hand-over");
    source().Wait();
    EXPECT_EQ(destination().Ask("take-over"), kTaken);
    EXPECT_TRUE(Writes(destination()));
    source_ = std::move(destination_);
    destination_ = Incoming();
  }
  for (const char* point : {"taking-over", "taken-over"}) {
    SCOPED_TRACE(point);
    Migrate();
    EXPECT_EQ(destination().Ask("crash " + std::string(point) + " 1 9"), "ok");
    destination().Write("take-over");
    destination().Wait();
    EXPECT_EQ(source().Ask("take-over"), kTaken);
    EXPECT_TRUE(Writes(source()));
    destination_ = Incoming();
  }
  EXPECT_EQ(other().Ask("keys"), "1,2");
}

// SPC-3 5.6.3: power on is when no nexus is attached. There always is one.
TEST_F(HandOverTest, IsNoPowerOn) {
  other().Kill();
  const std::string arrive = HandOver(source());
  source().Kill();
  EXPECT_EQ(destination().Ask("keys"), "1,2");
  EXPECT_EQ(destination().Ask(arrive), "ok");
  EXPECT_EQ(destination().Ask("take-over"), kTaken);
  const auto third = Attached(3);
  EXPECT_EQ(third->Ask("keys"), "1,2");
}

TEST_F(HandOverTest, LegacyReservationGoesWithTheNexus) {
  EXPECT_EQ(other().Ask("out 3 2 0 0 0"), kGood);  // CLEAR
  EXPECT_EQ(source().Ask("attention"), "42 3");
  EXPECT_EQ(source().Ask("reserve"), kGood);
  Migrate();
  EXPECT_EQ(other().Ask("reserve"), kConflict);
  EXPECT_EQ(source().Ask("detach"), "ok");
  EXPECT_EQ(other().Ask("reserve"), kConflict) << "the source did not take it along";
  EXPECT_EQ(destination().Ask("take-over"), kTaken);
  EXPECT_TRUE(Writes(destination()));
  EXPECT_EQ(other().Ask("reserve"), kConflict);
  EXPECT_EQ(destination().Ask("detach"), "ok");
  EXPECT_EQ(other().Ask("reserve"), kGood);
}

// Raised before, in between and afterwards: each is reported once.
TEST_F(HandOverTest, UnitAttentionsGoWithTheNexus) {
  EXPECT_EQ(other().Ask("out 3 2 0 0 0"), kGood);
  Migrate();
  EXPECT_EQ(source().Ask("attention"), "none") << "not the owner any more";
  EXPECT_EQ(destination().Ask("attention"), "none") << "not yet";
  EXPECT_EQ(destination().Ask("take-over"), kTaken);
  EXPECT_EQ(destination().Ask("attention"), "42 3");
  EXPECT_EQ(destination().Ask("attention"), "none");
}

// Saved, and restored when the process is gone: others may have changed the state.
TEST_F(HandOverTest, SavedAndRestored) {
  destination().Kill();
  std::string saved = HandOver(source());
  source().Kill();
  EXPECT_EQ(other().Ask("keys"), "1,2");
  destination_ = Incoming();
  EXPECT_EQ(destination().Ask(saved), "ok");
  EXPECT_EQ(destination().Ask("take-over"), kTaken) << "nobody has";
  EXPECT_TRUE(Writes(destination()));

  saved = HandOver(destination());
  destination().Kill();
  Fence();
  destination_ = Incoming();
  EXPECT_EQ(destination().Ask(saved), "ok");
  EXPECT_EQ(destination().Ask("take-over"), kMaybeFenced);
  EXPECT_FALSE(Writes(destination()));
  EXPECT_EQ(destination().Ask("attention"), kRegistrationsPreempted);
}

// A fencing that has shut the gate and is not published yet.
TEST_F(HandOverTest, RestoredWhileAFencingIsUnderWay) {
  destination().Kill();
  const std::string saved = HandOver(source());
  source().Kill();
  for (const bool committed : {false, true}) {
    SCOPED_TRACE(committed);
    destination_ = Incoming();
    EXPECT_EQ(destination().Ask(saved), "ok");
    EXPECT_EQ(other().Ask("crash notified 1 " + std::to_string(SIGSTOP)), "ok");
    other().Write(PreemptAndAbort(2, 1));
    other().AwaitStop();
    EXPECT_EQ(destination().Ask("take-over"), kMaybeFenced);
    if (committed) {
      other().Signal(SIGCONT);
      EXPECT_EQ(other().ReadLine(), kGood);
    } else {
      other().Kill();
      other_ = Attached(2);
    }
    EXPECT_TRUE(Eventually([&] { return Writes(destination()) != committed; }));
    destination().Kill();
  }
}

// One leaves while the other comes.
TEST_F(HandOverTest, ComesWhileAnotherLeaves) {
  destination().Kill();
  for (int i = 0; i < 30; i++) {
    auto next = Start(1);
    source().Write("detach");
    ASSERT_EQ(next->Ask("incoming"), "ok");
    ASSERT_EQ(source().ReadLine(), "ok");
    ASSERT_EQ(next->Ask("take-over"), kTaken);
    ASSERT_TRUE(Writes(*next));
    ASSERT_TRUE(Start(1)->Ask("attach").starts_with("error 4 "));
    source_ = std::move(next);
  }
}

// Another memory for the same store is refused, also by one who only waits.
TEST_F(HandOverTest, RemovedMemoryIsRefused) {
  HandOver(source());
  source().Kill();
  other().Kill();
  runtime_.Clear();
  const Child third(uri_, 3);
  EXPECT_TRUE(third.opened().starts_with("error 4 ")) << third.opened();
}

}  // namespace
}  // namespace scsi_pr
