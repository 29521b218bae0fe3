// SPDX-License-Identifier: GPL-2.0-or-later
//
// The other ways to open, and the end.
#include "figure.h"

namespace scsi_pr {
namespace {

using namespace testing;

constexpr auto kInUse = Status::Code::kInUse;

using Figure9 = Figure;
using Figure10 = Figure;
using Figure11 = Figure;
using Figure12 = Figure;

TEST_F(Figure9, Box984_NoKeyAReservationIsMade) {
  here_.Configured();
  EXPECT_TRUE(Open(OpenMode::kRetain).ok());
  EXPECT_EQ(unit_.Holder(), "a0");
  EXPECT_EQ(here_.state().reserved, 0u);  // 950
}

TEST_F(Figure9, Box938_AForeignKeyIsAnError) {
  OtherHasIt();
  EXPECT_EQ(Open(OpenMode::kRetain).code(), kInUse);
  EXPECT_EQ(unit_.Holder(), "b0");
}

TEST_F(Figure9, Box942_Box950_ItsOwnKeyIsKept) {
  ThisHasIt();
  EXPECT_TRUE(Open(OpenMode::kRetain).ok());
  EXPECT_EQ(Count(unit_, OutAction::kReserve), 0);
  EXPECT_EQ(here_.state().reserved, 0u);
}

TEST_F(Figure9, Box960_Box970_TheReservationSurvivesTheClose) {
  here_.Configured().Opened(OpenMode::kRetain);
  EXPECT_TRUE(here_.state().retain);
  EXPECT_TRUE(here_->Close().ok());
  EXPECT_EQ(here_.state().open, std::nullopt);
  EXPECT_EQ(unit_.Holder(), "a0");
}

TEST_F(Figure9, Box992_ItFailsIfTheReservationDoes) {
  here_.Configured();
  unit_.before = [&](const FakeUnit::Sent& sent) {
    if (sent == FakeUnit::Sent{"a0", kOut, Code(OutAction::kReserve)}) {
      unit_.Answer(1, ScsiStatus::kCheckCondition, sense::kInternalTargetFailure);
    }
  };
  EXPECT_EQ(Open(OpenMode::kRetain).code(), Status::Code::kIo);
  EXPECT_FALSE(here_.state().retain);
}

TEST_F(Figure10, Box1084_NoKeyIsReturnedAndNothingIsReserved) {
  here_.Configured();
  EXPECT_TRUE(Open(OpenMode::kNoReserve).ok());
  EXPECT_EQ(unit_.state().reservation, std::nullopt);
  ExpectAllWrite(here_, true);
  ExpectAllWrite(other_, true);
}

TEST_F(Figure10, Box1042_ItsOwnReservationIsReleased) {
  ThisHasIt();
  EXPECT_TRUE(Open(OpenMode::kNoReserve).ok());
  EXPECT_EQ(Count(unit_, OutAction::kRelease, "a0"), 1);
  EXPECT_EQ(unit_.state().reservation, std::nullopt);
  EXPECT_EQ(here_.state().reserved, std::nullopt);
}

TEST_F(Figure10, Box1038_AForeignKeyIsAnError) {
  OtherHasIt();
  EXPECT_EQ(Open(OpenMode::kNoReserve).code(), kInUse);
}

// A path that has not registered is tried once more, by REGISTER.
TEST_F(Figure10, ThePathThatFailsIsTriedOnceMore) {
  here_.Configured();
  bool failed = false;
  unit_.before = [&](const FakeUnit::Sent& sent) {
    const auto ignoring = Code(OutAction::kRegisterAndIgnoreExistingKey);
    if (!failed && sent == FakeUnit::Sent{"a0", kOut, ignoring}) {
      failed = true;
      unit_.Answer(1, ScsiStatus::kCheckCondition, sense::kInvalidFieldInCdb);
    }
  };
  unit_.sent.clear();
  EXPECT_TRUE(Open(OpenMode::kNoReserve).ok());
  EXPECT_EQ(Count(unit_, OutAction::kRegister, "a0"), 1);
  EXPECT_EQ(Count(unit_, OutAction::kRegister, "a1"), 0);
  EXPECT_TRUE(here_.state().paths[0].registered);
}

TEST_F(Figure10, ThePathThatFailsTwiceIsPassedOver) {
  here_.Configured();
  unit_.before = [&](const FakeUnit::Sent& sent) {
    const bool registers = sent.operation_code == kOut &&
                           (sent.service_action == Code(OutAction::kRegister) ||
                            sent.service_action == Code(OutAction::kRegisterAndIgnoreExistingKey));
    if (registers && sent.device == "a0") {
      unit_.Answer(1, ScsiStatus::kCheckCondition, sense::kInvalidFieldInCdb);
    }
  };
  unit_.sent.clear();
  EXPECT_TRUE(Open(OpenMode::kDefault).ok());
  EXPECT_TRUE(here_.state().paths[0].dead);
  EXPECT_EQ(unit_.Holder(), "a1");
  EXPECT_EQ(Count(unit_, OutAction::kReserve, "a0"), 0);
}

TEST_F(Figure11, Box1110_EveryPathRegistersThatIsRegisteredAlready) {
  here_.Configured();
  unit_.sent.clear();
  here_.Opened();
  EXPECT_EQ(Count(unit_, OutAction::kRegisterAndIgnoreExistingKey), 2);
  const auto reserves = FakeUnit::Sent{"a0", kOut, Code(OutAction::kReserve)};
  EXPECT_EQ(unit_.sent.back(), reserves) << "after all of that";
}

TEST_F(Figure11, Box1138_AForeignKeyIsAnError) {
  OtherHasIt();
  const Status status = Open(OpenMode::kDefault);
  EXPECT_EQ(status.code(), kInUse);
  EXPECT_NE(status.message().find("0x000000000000000b"), std::string::npos) << status.message();
  EXPECT_EQ(Count(unit_, OutAction::kReserve), 0);
  EXPECT_EQ(Count(unit_, OutAction::kPreemptAndAbort), 0);
}

TEST_F(Figure11, Box1142_ItsOwnKeyIsKept) {
  ThisHasIt();
  EXPECT_TRUE(Open(OpenMode::kDefault).ok());
  EXPECT_EQ(Count(unit_, OutAction::kReserve), 0);
}

TEST_F(Figure11, Box1150_Box1170_OnePathMakesTheReservation) {
  here_.Configured().Opened();
  EXPECT_EQ(here_.state().reserved, 0u);
  EXPECT_EQ(unit_.Holder(), "a0");
  ExpectAllWrite(here_, true);  // 1180
}

TEST_F(Figure11, Box1158_ItFailsIfTheReservationDoes) {
  here_.Configured();
  unit_.before = [&](const FakeUnit::Sent& sent) {
    // Another host is faster, between the reading and the reservation.
    if (sent == FakeUnit::Sent{"a0", kOut, Code(OutAction::kReserve)}) {
      unit_.before = {};
      unit_.SendOut("b0", Register(0, kKeyB));
      unit_.SendOut("b0", Reserve(kKeyB, kEARO));
    }
  };
  EXPECT_EQ(Open(OpenMode::kDefault).code(), kInUse);
  EXPECT_EQ(here_.state().open, std::nullopt);
  EXPECT_EQ(unit_.Holder(), "b0");
  ExpectAllWrite(here_, false);
}

// Who is registered has access: a host that was fenced does not get it back by being refused.
TEST_F(Figure11, Box1138_AFencedHostThatIsRefusedRegistersNothing) {
  here_.Configured().Opened();
  other_.Configured().Opened(OpenMode::kForced);
  unit_.before = [&](const FakeUnit::Sent&) { ExpectAllWrite(here_, false); };
  for (const OpenMode mode : {OpenMode::kDefault, OpenMode::kRetain, OpenMode::kNoReserve}) {
    EXPECT_EQ(Open(mode).code(), kInUse);
  }
  unit_.before = {};
  EXPECT_TRUE(Open(OpenMode::kForced).ok()) << "that is another matter";
}

TEST_F(Figure11, SingleDoesTheSameAndIsExclusiveOnThisHost) {
  here_.Configured();
  EXPECT_TRUE(Open(OpenMode::kSingle).ok());
  EXPECT_EQ(unit_.state().reservation->type, kEARO);
  EXPECT_EQ(Open(OpenMode::kDefault).code(), Status::Code::kInvalid);
  EXPECT_EQ(Open(OpenMode::kSingle).code(), Status::Code::kInvalid);
  EXPECT_TRUE(here_->Close().ok());
  here_.Opened();
  EXPECT_EQ(Open(OpenMode::kSingle).code(), Status::Code::kInvalid);
}

TEST_F(Figure11, SingleFailsAtAForeignKey) {
  OtherHasIt();
  EXPECT_EQ(Open(OpenMode::kSingle).code(), kInUse);
}

TEST_F(Figure12, Box1210_AllPathsAreClosedBeforeTheHolderIsOpened) {
  here_.Configured().Opened();
  ASSERT_EQ(unit_.open.size(), 2u);
  bool released = false;
  unit_.before = [&](const FakeUnit::Sent& sent) {
    released |= sent == FakeUnit::Sent{"a0", kOut, Code(OutAction::kRelease)};
    EXPECT_EQ(unit_.open, std::multiset<std::string>{"a0"});
  };
  EXPECT_TRUE(here_->Close().ok());
  EXPECT_TRUE(released);
}

TEST_F(Figure12, Box1220_Box1230_ThePathThatReservedReleases) {
  here_.Configured().Opened();
  unit_.sent.clear();
  EXPECT_TRUE(here_->Close().ok());
  EXPECT_EQ(Count(unit_, OutAction::kRelease, "a0"), 1);
  EXPECT_EQ(Count(unit_, OutAction::kRelease), 1);
  EXPECT_EQ(unit_.state().reservation, std::nullopt);
  EXPECT_TRUE(unit_.Registered("a0")) << "closing unregisters nothing";
  EXPECT_TRUE(unit_.Registered("a1"));
  ExpectAllWrite(other_, true);
}

TEST_F(Figure12, TheFlagOfARetainedReservationIsLookedAt) {
  here_.Configured().Opened(OpenMode::kRetain).Opened(OpenMode::kDefault);
  EXPECT_TRUE(here_->Close().ok());
  EXPECT_EQ(unit_.state().reservation, std::nullopt) << "opened anew without it";
}

// If that path is dead another one of the host releases: the others keep their registrations.
TEST_F(Figure12, AnotherPathReleasesForADeadOne) {
  here_.Configured().Opened();
  unit_.Cut("a0");
  EXPECT_TRUE(here_->Close().ok());
  EXPECT_EQ(unit_.state().reservation, std::nullopt);
  EXPECT_TRUE(unit_.Registered("a1"));
}

TEST_F(Figure12, ClosingTwiceIsNoError) {
  here_.Configured().Opened();
  EXPECT_TRUE(here_->Close().ok());
  EXPECT_TRUE(here_->Close().ok());
}

TEST_F(Figure12, WhoWasPreemptedClosesWithoutTouchingTheOthers) {
  here_.Configured().Opened();
  other_.Configured().Opened(OpenMode::kForced);
  EXPECT_TRUE(here_->Close().ok());
  EXPECT_EQ(unit_.Holder(), "b0");
}

}  // namespace
}  // namespace scsi_pr
