// SPDX-License-Identifier: GPL-2.0-or-later
//
// Storage without persistent reservations: the single path function, with RESERVE(6) and
// RELEASE(6).
#include "host.h"

namespace scsi_pr {
namespace {

using namespace testing;

using StatusCode = Status::Code;

class WithoutPersistentReservations : public ::testing::Test {
 protected:
  WithoutPersistentReservations() { unit_.HasNoPersistentReservations(); }

  FakeUnit unit_;
  Host here_{unit_, kKeyA, {"a0", "a1"}};
  Host other_{unit_, kKeyB, {"b0", "b1"}};
};

TEST_F(WithoutPersistentReservations, ASinglePathIsUsed) {
  here_.Configured().Opened();
  EXPECT_FALSE(here_.state().persistent);
  EXPECT_EQ(unit_.Holder(), "a0");
  EXPECT_EQ(Count(unit_, opcode::kReserve6, 0), 1);
  EXPECT_FALSE(unit_.MayWrite("a1")) << "such a reservation is of one path";
  EXPECT_TRUE(here_->Close().ok());
  EXPECT_EQ(Count(unit_, opcode::kRelease6, 0, "a0"), 1);
  EXPECT_EQ(unit_.Holder(), "");
}

TEST_F(WithoutPersistentReservations, AnotherHostsReservationIsAnError) {
  other_.Configured().Opened();
  here_.Configured();
  EXPECT_EQ(here_->Open(OpenMode::kDefault).code(), StatusCode::kInUse);
  EXPECT_EQ(here_->Open(OpenMode::kForced).code(), StatusCode::kInUse);
}

TEST_F(WithoutPersistentReservations, TheNextPathIfTheFirstIsDead) {
  here_.Configured();
  unit_.Cut("a0");
  here_.Opened();
  EXPECT_EQ(unit_.Holder(), "a1");
}

TEST_F(WithoutPersistentReservations, OnlyItsOwnPathReleases) {
  here_.Configured().Opened();
  unit_.Cut("a0");
  EXPECT_FALSE(here_->Close().ok());
  EXPECT_EQ(here_.state().open, OpenMode::kDefault) << "it is not closed";
  unit_.Mend("a0");
  EXPECT_TRUE(here_->Close().ok());
}

TEST_F(WithoutPersistentReservations, RetainAndNoReserve) {
  here_.Configured().Opened(OpenMode::kRetain);
  EXPECT_TRUE(here_->Close().ok());
  EXPECT_EQ(unit_.Holder(), "a0");
  here_.Opened(OpenMode::kNoReserve);
  EXPECT_EQ(unit_.Holder(), "");
}

TEST_F(WithoutPersistentReservations, WithoutAnyReservations) {
  unit_.HasNoReservations();
  here_.Configured();
  EXPECT_EQ(here_->Open(OpenMode::kDefault).code(), StatusCode::kInvalid);
  EXPECT_TRUE(here_->Open(OpenMode::kNoReserve).ok());
}

}  // namespace
}  // namespace scsi_pr
