// SPDX-License-Identifier: GPL-2.0-or-later
//
// A fence of hosts that all use a logical unit at once: reservations of an all registrants type.
#include "host.h"

namespace scsi_pr {
namespace {

using namespace testing;

using StatusCode = Status::Code;

// A fence of hosts that all use the logical unit.
class Fence : public ::testing::Test {
 protected:
  FakeUnit unit_;
  Host here_{unit_, kKeyA, {"a0", "a1"}, kWEAR};
  Host other_{unit_, kKeyB, {"b0", "b1"}, kWEAR};
};

TEST_F(Fence, AllHostsOpenAndShare) {
  here_.Configured().Opened();
  other_.Configured().Opened();
  EXPECT_EQ(unit_.state().reservation->type, kWEAR);
  EXPECT_TRUE(unit_.MayWrite("a1") && unit_.MayWrite("b1"));
}

TEST_F(Fence, TheFencedHostDoesNotWrite) {
  here_.Configured().Opened();
  other_.Configured().Opened();
  EXPECT_TRUE(here_->PreemptAndAbort(kKeyB).ok());
  EXPECT_FALSE(unit_.MayWrite("b0") || unit_.MayWrite("b1"));
  EXPECT_TRUE(unit_.MayWrite("a0") && unit_.MayWrite("a1"));
  EXPECT_TRUE(here_->PreemptAndAbort(kKeyB).ok()) << "it is fenced already";
  EXPECT_EQ(other_->PreemptAndAbort(kKeyA).code(), StatusCode::kInUse);
}

TEST_F(Fence, ByTheOtherPathIfOneDies) {
  here_.Configured().Opened();
  other_.Configured().Opened();
  unit_.CutAt("a0", kOut, Code(OutAction::kPreemptAndAbort), true);
  EXPECT_TRUE(here_->PreemptAndAbort(kKeyB).ok());
  EXPECT_FALSE(unit_.Registered("b0"));
}

TEST_F(Fence, ByPathsThatWorkAgain) {
  here_.Configured().Opened();
  other_.Configured().Opened();
  unit_.Cut("a0");
  unit_.Cut("a1");
  EXPECT_EQ(here_->PreemptAndAbort(kKeyB).code(), StatusCode::kUnknown);
  EXPECT_TRUE(unit_.MayWrite("b0"));
  unit_.Mend("a1");
  EXPECT_TRUE(here_->PreemptAndAbort(kKeyB).ok());
  EXPECT_FALSE(unit_.MayWrite("b0"));
}

// SPC-3 table 33: only a reservation of registrants keeps out who is not one.
TEST_F(Fence, WithoutAReservationNobodyIsFenced) {
  here_.Configured().Opened(OpenMode::kNoReserve);
  other_.Configured().Opened(OpenMode::kNoReserve);
  EXPECT_EQ(here_->PreemptAndAbort(kKeyB).code(), StatusCode::kInvalid);
  EXPECT_TRUE(unit_.MayWrite("b0"));
  here_.Opened();
  EXPECT_TRUE(here_->PreemptAndAbort(kKeyB).ok());
  EXPECT_FALSE(unit_.MayWrite("b0"));
}

TEST_F(Fence, WhoClosesLeavesTheOthersTheirReservation) {
  here_.Configured().Opened();
  other_.Configured().Opened();
  EXPECT_TRUE(here_->Close().ok());
  EXPECT_FALSE(unit_.Registered("a0") || unit_.Registered("a1"));
  EXPECT_EQ(unit_.state().reservation->type, kWEAR);
  EXPECT_TRUE(other_->Close().ok());
  EXPECT_EQ(unit_.state().reservation, std::nullopt);
}

TEST_F(Fence, ForcedOpenTakesItFromAll) {
  other_.Configured().Opened();
  here_.Configured().Opened(OpenMode::kForced);
  EXPECT_TRUE(unit_.MayWrite("a0") && unit_.MayWrite("a1"));
  EXPECT_FALSE(unit_.MayWrite("b0"));
}

TEST_F(Fence, NobodyFencesHimself) {
  here_.Configured().Opened();
  EXPECT_EQ(here_->PreemptAndAbort(kKeyA).code(), StatusCode::kInvalid);
  EXPECT_EQ(here_->PreemptAndAbort(0).code(), StatusCode::kInvalid);
}

}  // namespace
}  // namespace scsi_pr
