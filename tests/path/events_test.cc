// SPDX-License-Identifier: GPL-2.0-or-later
//
// What happens to a path group that is not in the flow charts: paths that fail in the middle, hosts
// that come at once, storage that is busy.
#include "host.h"

namespace scsi_pr {
namespace {

using namespace testing;

using StatusCode = Status::Code;
constexpr auto kReserveOut = Code(OutAction::kReserve);

class Events : public ::testing::Test {
 protected:
  FakeUnit unit_;
  Host here_{unit_, kKeyA, {"a0", "a1"}};
  Host other_{unit_, kKeyB, {"b0", "b1"}};
};

// The answer of a RESERVE is lost with its path: the other path finds out whether it was made.
class DyingPath : public Events, public ::testing::WithParamInterface<bool> {};

TEST_P(DyingPath, DuringReserve) {
  here_.Configured();
  unit_.CutAt("a0", kOut, kReserveOut, GetParam());
  EXPECT_TRUE(here_->Open(OpenMode::kDefault).ok());
  EXPECT_EQ(unit_.Holder(), GetParam() ? "a0" : "a1");
  EXPECT_TRUE(unit_.MayWrite("a1"));
  EXPECT_TRUE(here_.state().paths[0].dead);
  EXPECT_TRUE(here_->Close().ok());
  EXPECT_EQ(unit_.state().reservation, std::nullopt);
}

TEST_P(DyingPath, DuringPreemptAndAbort) {
  other_.Configured().Opened();
  here_.Configured();
  unit_.CutAt("a0", kOut, Code(OutAction::kPreemptAndAbort), GetParam());
  EXPECT_TRUE(here_->Open(OpenMode::kForced).ok());
  EXPECT_EQ(unit_.Holder(), GetParam() ? "a0" : "a1");
  EXPECT_FALSE(unit_.Registered("b0"));
}

TEST_P(DyingPath, DuringRelease) {
  here_.Configured().Opened();
  unit_.CutAt("a0", kOut, Code(OutAction::kRelease), GetParam());
  EXPECT_TRUE(here_->Close().ok());
  EXPECT_EQ(unit_.state().reservation, std::nullopt);
}

TEST_P(DyingPath, DuringRegister) {
  here_.Configured();
  unit_.CutAt("a0", kOut, Code(OutAction::kRegisterAndIgnoreExistingKey), GetParam());
  EXPECT_TRUE(here_->Open(OpenMode::kDefault).ok());
  EXPECT_EQ(unit_.Holder(), "a1");
}

TEST_P(DyingPath, DuringRemove) {
  here_.Configured();
  unit_.CutAt("a0", kOut, Code(OutAction::kRegister), GetParam());
  EXPECT_TRUE(here_->Remove("a0").ok());
  EXPECT_EQ(here_.state().paths.size(), 1u);
  EXPECT_FALSE(unit_.Registered("a0")) << "the other path has seen to it";
  EXPECT_TRUE(unit_.Registered("a1"));
  EXPECT_TRUE(here_->TakeNotes().empty());
}

INSTANTIATE_TEST_SUITE_P(AnswerIsLost, DyingPath, ::testing::Values(true),
                         [](const auto&) { return "CarriedOut"; });
INSTANTIATE_TEST_SUITE_P(CommandIsLost, DyingPath, ::testing::Values(false),
                         [](const auto&) { return "NotCarriedOut"; });

TEST_F(Events, TheLastPathDiesWithAReservation) {
  here_.Configured();
  unit_.Cut("a1");
  unit_.CutAt("a0", kOut, kReserveOut, true);
  EXPECT_EQ(here_->Open(OpenMode::kDefault).code(), StatusCode::kUnknown);
  unit_.Mend("a0");
  here_.Restart();
  EXPECT_TRUE(here_->Close().ok());
  EXPECT_EQ(unit_.state().reservation, std::nullopt) << "the next call has found out";
}

// An answer was lost, so the path is taken for not registered; removing it makes sure.
TEST_F(Events, APathThatIsRegisteredAfterAllUnregisters) {
  here_.Configured();
  unit_.CutAt("a0", kOut, Code(OutAction::kRegisterAndIgnoreExistingKey), true);
  here_.Opened();
  EXPECT_FALSE(here_.state().paths[0].registered);
  EXPECT_TRUE(here_->Close().ok());
  unit_.Mend("a0");
  EXPECT_TRUE(here_->Remove("a0").ok());
  EXPECT_FALSE(unit_.Registered("a0"));
}

// a0 has made the reservation and dies, a1 takes it over and dies: a0 is not registered any more
// when it is back.
TEST_F(Events, ThePathThatWasTakenOverReleases) {
  here_.Configured().Opened();
  unit_.Cut("a0");
  unit_.CutAt("a1", kOut, Code(OutAction::kPreempt), true);
  EXPECT_EQ(here_->Close().code(), StatusCode::kUnknown);
  ASSERT_FALSE(unit_.Registered("a0"));
  unit_.Mend("a0");
  EXPECT_TRUE(here_->Close().ok());
  EXPECT_EQ(unit_.state().reservation, std::nullopt);
}

TEST_F(Events, ADeadPathOfAnOpenGroupStaysRegistered) {
  here_.Configured().Opened();
  unit_.Cut("a1");
  EXPECT_TRUE(here_->Remove("a1").ok());
  EXPECT_EQ(here_->TakeNotes().size(), 1u) << "its registration may stay";
  EXPECT_TRUE(unit_.MayWrite("a0"));
  EXPECT_EQ(unit_.Holder(), "a0");
}

// With the reservation of another host as it is.
TEST_F(Events, AllPathsOfAHostThatHasOneLeftUnregister) {
  here_.Configured();
  other_.Configured().Opened();
  unit_.Cut("a0");
  EXPECT_TRUE(here_->Remove("a0").ok());
  EXPECT_TRUE(here_->Remove("a1").ok());
  EXPECT_FALSE(unit_.Registered("a0") || unit_.Registered("a1"));
  EXPECT_EQ(unit_.Holder(), "b0");
  EXPECT_TRUE(unit_.MayWrite("b1"));
}

// The others of the host keep their registrations when one takes over and releases.
TEST(ThreePaths, AllStayRegistered) {
  FakeUnit unit;
  Host here(unit, kKeyA, {"a0", "a1", "a2"});
  here.Configured().Opened();
  unit.Cut("a0");
  EXPECT_TRUE(here->Close().ok());
  EXPECT_EQ(unit.state().reservation, std::nullopt);
  EXPECT_TRUE(unit.Registered("a1") && unit.Registered("a2"));
}

TEST_F(Events, TheHolderIsKnownByItsPlace) {
  here_.Configured();
  unit_.Cut("a0");
  here_.Opened();
  unit_.Mend("a0");
  ASSERT_EQ(here_.state().reserved, 1u);
  EXPECT_TRUE(here_->Remove("a0").ok());
  EXPECT_EQ(here_.state().reserved, 0u);
  EXPECT_EQ(here_.state().paths[0].device, "a1");
}

// A reboot forgets the group, and the storage does not forget the host.
TEST_F(Events, WhoIsRegisteredAlreadyIsConfigured) {
  unit_.SendOut("a0", Register(0, kKeyA));
  EXPECT_TRUE(here_->Add("a0").ok());
  EXPECT_TRUE(here_.state().paths[0].registered);
  EXPECT_TRUE(here_->TakeNotes().empty());
}

TEST_F(Events, NoPathWorks) {
  here_.Configured();
  unit_.Cut("a0");
  unit_.Cut("a1");
  const Status status = here_->Open(OpenMode::kDefault);
  EXPECT_EQ(status.code(), StatusCode::kIo);
  for (const char* device : {"a0", "a1"}) {
    EXPECT_NE(status.message().find(device), std::string::npos) << status.message();
  }
  EXPECT_EQ(here_.state().open, std::nullopt);
}

TEST_F(Events, ADeadPathIsUsedAgainOnceItIsMended) {
  here_.Configured();
  unit_.Cut("a0");
  here_.Opened();
  unit_.Mend("a0");
  here_.Opened();
  EXPECT_FALSE(here_.state().paths[0].dead);
  EXPECT_TRUE(unit_.MayWrite("a0"));
}

// A path that shows another logical unit, since a name of a device means another one now.
TEST_F(Events, AnotherLogicalUnitIsNeverReserved) {
  here_.Configured();
  unit_.SetName("a0", 0x6001405000000002);
  here_.Restart();
  unit_.sent.clear();
  EXPECT_TRUE(here_->Open(OpenMode::kDefault).ok());
  EXPECT_TRUE(here_.state().paths[0].dead);
  for (const FakeUnit::Sent& each : unit_.sent) EXPECT_EQ(each.device, "a1");
}

TEST_F(Events, AnotherLogicalUnitIsNoPath) {
  unit_.SetName("a1", 0x6001405000000002);
  EXPECT_TRUE(here_->Add("a0").ok());
  EXPECT_EQ(here_->Add("a1").code(), StatusCode::kInvalid);
  EXPECT_EQ(here_.state().paths.size(), 1u);
  EXPECT_FALSE(unit_.Registered("a1"));
}

// Both read that nobody has it; one gets it. At each command of the one, all of the other's.
TEST_F(Events, TwoHostsAtOnceOneOpens) {
  for (int at = 0;; at++) {
    FakeUnit unit;
    Host one(unit, kKeyA, {"a0", "a1"});
    Host two(unit, kKeyB, {"b0", "b1"});
    one.Configured();
    two.Configured();
    int n = 0;
    std::optional<Status> second;
    unit.before = [&](const FakeUnit::Sent& sent) {
      if (second || !sent.device.starts_with('a') || n++ != at) return;
      second = Status();  // once
      second = two->Open(OpenMode::kDefault);
    };
    const Status first = one->Open(OpenMode::kDefault);
    if (!second) break;
    EXPECT_NE(first.ok(), second->ok()) << at;
    EXPECT_TRUE(first.ok() || first.code() == StatusCode::kInUse) << first.message();
    EXPECT_TRUE(second->ok() || second->code() == StatusCode::kInUse) << second->message();
    EXPECT_EQ(unit.Holder(), first.ok() ? "a0" : "b0") << at;
  }
}

TEST_F(Events, TwoHostsForceAtOnceTheLaterOneHasIt) {
  here_.Configured();
  other_.Configured();
  bool done = false;
  unit_.before = [&](const FakeUnit::Sent& sent) {
    if (done || sent != FakeUnit::Sent{"a0", kOut, kReserveOut}) return;
    done = true;
    EXPECT_TRUE(other_->Open(OpenMode::kForced).ok());
  };
  EXPECT_TRUE(here_->Open(OpenMode::kForced).ok());
  EXPECT_TRUE(done);
  EXPECT_EQ(unit_.Holder(), "a0");
  EXPECT_FALSE(unit_.Registered("b0"));
}

TEST_F(Events, UnitAttentionConditionsArePassedOver) {
  here_.Configured().Opened(OpenMode::kRetain);
  other_.Configured().Opened(OpenMode::kForced);  // leaves conditions for a0 and a1
  EXPECT_TRUE(here_->Open(OpenMode::kForced).ok());
  EXPECT_EQ(unit_.Holder(), "a0");
}

TEST_F(Events, BusyIsTriedAgain) {
  here_.Configured();
  unit_.Answer(2, ScsiStatus::kBusy);
  EXPECT_TRUE(here_->Open(OpenMode::kDefault).ok());
  EXPECT_FALSE(here_.state().paths[0].dead);
}

TEST_F(Events, BusyForTooLong) {
  here_.Configured();
  unit_.Answer(1 << 20, static_cast<ScsiStatus>(0x28));  // TASK SET FULL
  EXPECT_EQ(here_->Open(OpenMode::kDefault).code(), StatusCode::kBusy);
}

// RESERVE of SPC-2 keeps everybody from registering.
TEST_F(Events, ALegacyReservationOfAnother) {
  unit_.SendLegacy("b0", LegacyAction::kReserve);
  here_.Configured();
  EXPECT_FALSE(here_.state().paths[0].registered);
  EXPECT_EQ(here_->Open(OpenMode::kDefault).code(), StatusCode::kInUse);
}

TEST_F(Events, WhatTheUnitSays) {
  here_.Configured().Opened();
  other_.Configured();
  PathGroup::View view;
  EXPECT_TRUE(here_->Look(&view).ok());
  EXPECT_TRUE(view.ours);
  EXPECT_EQ(view.held, (HeldReservation{kKeyA, kEARO}));
  EXPECT_EQ(view.keys, (std::vector<uint64_t>{kKeyA, kKeyA, kKeyB, kKeyB}));
  EXPECT_TRUE(other_->Look(&view).ok());
  EXPECT_FALSE(view.ours);
}

}  // namespace
}  // namespace scsi_pr
