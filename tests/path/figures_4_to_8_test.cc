// SPDX-License-Identifier: GPL-2.0-or-later
//
// Paths come and go; the ways to open, and a forced open.
#include "figure.h"

namespace scsi_pr {
namespace {

using namespace testing;

constexpr auto kInUse = Status::Code::kInUse;

using Figure4 = Figure;
using Figure5 = Figure;
using Figure6 = Figure;
using Figure7 = Figure;
using Figure8 = Figure;

// All paths of a host are registered with one key, and one reservation gives access to all of them.
TEST_F(Figure4, Box410_Box420_AllPathsRegisterAndTheSecondHasAccess) {
  here_.Configured().Opened();
  EXPECT_EQ(unit_.KeyAt("a0"), kKeyA);
  EXPECT_EQ(unit_.KeyAt("a1"), kKeyA);
  EXPECT_EQ(Count(unit_, OutAction::kReserve), 1);
  ExpectAllWrite(here_, true);
  ExpectAllWrite(other_, false);
}

// What the storage does: a host that is configured is registered, and so has access; that its
// software has to open first is between the hosts.
TEST_F(Figure4, TheStorageKeepsOutWhoIsNotRegistered) {
  here_.Configured().Opened();
  other_.Configured();
  ExpectAllWrite(other_, true);
  EXPECT_TRUE(other_->Remove("b0").ok());
  EXPECT_FALSE(unit_.MayWrite("b0"));
}

TEST_F(Figure5, Box510_EachPathIsRegisteredWhenItIsConfigured) {
  here_.Configured();
  EXPECT_EQ(Count(unit_, OutAction::kRegister, "a0"), 1);
  EXPECT_EQ(Count(unit_, OutAction::kRegister, "a1"), 1);
  EXPECT_EQ(unit_.KeyAt("a0"), kKeyA);
  EXPECT_EQ(unit_.KeyAt("a1"), kKeyA);
}

TEST_F(Figure5, Box550_ARegisteredPathIsMarked) {
  here_.Configured();
  EXPECT_TRUE(here_.state().paths[0].registered);
  EXPECT_TRUE(here_.state().paths[1].registered);
}

TEST_F(Figure5, Box516_APathThatFailsToRegisterIsMarkedAndNoError) {
  unit_.SendOut("a0", Register(0, 0x99));  // somebody else's key
  EXPECT_TRUE(here_->Add("a0").ok());
  EXPECT_FALSE(here_.state().paths[0].registered);
  EXPECT_EQ(unit_.KeyAt("a0"), 0x99u) << "configuring takes nothing away";
}

TEST_F(Figure5, Box516_APathThatDiesIsMarkedAndNoError) {
  EXPECT_TRUE(here_->Add("a0").ok());
  unit_.Cut("a1");
  EXPECT_TRUE(here_->Add("a1").ok());
  EXPECT_FALSE(here_.state().paths[1].registered);
  EXPECT_EQ(here_->TakeNotes().size(), 1u);
}

TEST_F(Figure5, Box520_AllPathsRegisterAgainAtOpenTimeIgnoringTheKey) {
  here_.Configured();
  unit_.SendOut("a1", Register(kKeyA, 0));  // lost meanwhile
  unit_.sent.clear();
  here_.Opened();
  EXPECT_EQ(Count(unit_, OutAction::kRegisterAndIgnoreExistingKey, "a0"), 1);
  EXPECT_EQ(Count(unit_, OutAction::kRegisterAndIgnoreExistingKey, "a1"), 1);
  EXPECT_EQ(unit_.KeyAt("a1"), kKeyA);
}

TEST_F(Figure5, Box522_ForcedOpenClearsEveryRegistrationWithThePreemptedKey) {
  OtherHasIt();
  EXPECT_TRUE(Open(OpenMode::kForced).ok());
  EXPECT_EQ(Count(unit_, OutAction::kPreemptAndAbort), 1);
  EXPECT_FALSE(unit_.Registered("b0"));
  EXPECT_FALSE(unit_.Registered("b1"));
}

// Left out for a host that is to have no access before it opens.
TEST_F(Figure5, Box510_MayBeLeftToTheOpen) {
  for (const std::string& device : here_.devices()) {
    EXPECT_TRUE(here_->Add(device, PathGroup::Registering::kAtOpen).ok());
  }
  other_.Configured().Opened();
  EXPECT_FALSE(unit_.Registered("a0") || unit_.Registered("a1"));
  EXPECT_EQ(Open(OpenMode::kDefault).code(), kInUse);
  ExpectAllWrite(here_, false);
  EXPECT_TRUE(other_->Close().ok());
  EXPECT_TRUE(Open(OpenMode::kDefault).ok());
  ExpectAllWrite(here_, true);
}

TEST_F(Figure6, Box622_Box628_ARetainedReservationIsReleasedBeforeThePathIsRemoved) {
  ThisHasIt();
  ASSERT_EQ(unit_.Holder(), "a0");
  EXPECT_TRUE(here_->Remove("a0").ok());
  EXPECT_EQ(Count(unit_, OutAction::kRelease, "a0"), 1);
  EXPECT_EQ(unit_.Holder(), "");
  EXPECT_FALSE(unit_.Registered("a0"));
}

TEST_F(Figure6, Box620_WithoutTheFlagNothingIsReleased) {
  here_.Configured();
  EXPECT_TRUE(here_->Remove("a0").ok());
  EXPECT_EQ(Count(unit_, OutAction::kRelease), 0);
  EXPECT_FALSE(unit_.Registered("a0"));
  EXPECT_TRUE(unit_.Registered("a1"));
}

TEST_F(Figure6, AllPathsUnregister) {
  ThisHasIt();
  EXPECT_TRUE(here_->Remove("a0").ok());
  EXPECT_TRUE(here_->Remove("a1").ok());
  EXPECT_TRUE(here_.state().paths.empty());
  EXPECT_TRUE(unit_.state().registrations.empty());
}

// An open group keeps the path that holds its reservation; another one may go.
TEST_F(Figure6, AnOpenGroupKeepsItsHolder) {
  here_.Configured().Opened();
  EXPECT_EQ(here_->Remove("a0").code(), Status::Code::kInvalid);
  EXPECT_TRUE(here_->Remove("a1").ok());
  EXPECT_EQ(here_->Remove("a0").code(), Status::Code::kInvalid) << "the last one";
  EXPECT_EQ(unit_.Holder(), "a0");
}

TEST_F(Figure7, Box724_Box726_WithoutAnOptionAReservationIsRequired) {
  here_.Configured().Opened();
  EXPECT_EQ(unit_.state().reservation->type, kEARO);
  EXPECT_EQ(unit_.Holder(), "a0");
}

TEST_F(Figure8, Box830_ItsOwnKeyNothingIsDone) {
  ThisHasIt();
  const State before = unit_.state();
  EXPECT_TRUE(Open(OpenMode::kForced).ok());
  EXPECT_EQ(Count(unit_, OutAction::kReserve), 0);
  EXPECT_EQ(Count(unit_, OutAction::kPreemptAndAbort), 0);
  EXPECT_EQ(unit_.state().reservation, before.reservation);
}

TEST_F(Figure8, Box840_AForeignKeyIsPreemptedAndItsTasksAborted) {
  OtherHasIt();
  EXPECT_TRUE(Open(OpenMode::kForced).ok());
  EXPECT_EQ(unit_.state().reservation->type, kEARO);
  ExpectAllWrite(here_, true);
  ExpectAllWrite(other_, false);
}

TEST_F(Figure8, Box860_TheFlagIsThePathThatDidIt) {
  OtherHasIt();
  unit_.Cut("a0");
  EXPECT_TRUE(Open(OpenMode::kForced).ok());
  EXPECT_EQ(here_.state().reserved, 1u);
  EXPECT_EQ(unit_.Holder(), "a1");
}

TEST_F(Figure8, Box856_ItFailsIfThePreemptionDoes) {
  OtherHasIt();
  unit_.before = [&](const FakeUnit::Sent& sent) {
    if (sent == FakeUnit::Sent{"a0", kOut, Code(OutAction::kPreemptAndAbort)}) {
      unit_.Answer(1, ScsiStatus::kCheckCondition, sense::kInvalidFieldInCdb);
    }
  };
  EXPECT_FALSE(Open(OpenMode::kForced).ok());
  EXPECT_EQ(here_.state().open, std::nullopt);
  EXPECT_EQ(unit_.Holder(), "b0");
}

// 850: nothing of SCSI-2 is sent any more, by any way to open.
TEST_F(Figure8, Box850_Box870_NoPathSendsReserveOfSpc2) {
  here_.Configured();
  for (const OpenMode mode :
       {OpenMode::kForced, OpenMode::kRetain, OpenMode::kNoReserve, OpenMode::kDefault}) {
    EXPECT_TRUE(Open(mode).ok());
  }
  EXPECT_TRUE(here_->Close().ok());
  EXPECT_EQ(Count(unit_, opcode::kReserve6, 0) + Count(unit_, opcode::kRelease6, 0), 0);
}

TEST_F(Figure8, NoKeyAReservationIsMade) {
  here_.Configured();
  EXPECT_TRUE(Open(OpenMode::kForced).ok());
  EXPECT_EQ(unit_.Holder(), "a0");
}

}  // namespace
}  // namespace scsi_pr
