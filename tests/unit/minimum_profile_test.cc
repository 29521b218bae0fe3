// SPDX-License-Identifier: GPL-2.0-or-later
//
// T10/02-141r0: the PERSISTENT RESERVE OUT that replaces RESERVE and RELEASE.
// Table 1 needs REGISTER, RESERVE, RELEASE and CLEAR, LU_SCOPE and Exclusive
// Access; PERSISTENT RESERVE IN is not required, and nothing here uses it.
#include "core/access.h"
#include "core/legacy.h"
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

// Two hosts that know nothing but table 1.
class MinimumProfile : public ::testing::Test {
 protected:
  ScsiStatus Send(const Nexus& nexus, const PersistentReserveOut& command) {
    const Outcome outcome = Apply(state_, kVolatile, nexus, command);
    state_ = outcome.state;
    EXPECT_EQ(FindViolation(state_), std::nullopt);
    return outcome.status;
  }
  bool Reads(const Nexus& nexus) const { return Allows(nexus, AccessClass::kRead); }
  bool Writes(const Nexus& nexus) const { return Allows(nexus, AccessClass::kWrite); }

  State state_;

 private:
  bool Allows(const Nexus& nexus, AccessClass access) const {
    return (AllowedAccess(state_, nexus) & Bit(access)) != 0;
  }
};

constexpr auto kGood = ScsiStatus::kGood;
constexpr auto kConflict = ScsiStatus::kReservationConflict;

// "Before a persistent reservation may be established, an initiator port shall
// register with a device server."
TEST_F(MinimumProfile, RegisterComesFirst) {
  EXPECT_EQ(Send(A(), Reserve(kKeyA, kEA)), kConflict);
  EXPECT_EQ(Send(A(), Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(A(), Reserve(kKeyA, kEA)), kGood);
}

// In place of RESERVE and RELEASE, over and over.
TEST_F(MinimumProfile, ReserveAndRelease) {
  EXPECT_EQ(Send(A(), Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(B(), Register(0, kKeyB)), kGood);
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(Send(A(), Reserve(kKeyA, kEA)), kGood);
    EXPECT_EQ(Send(A(), Reserve(kKeyA, kEA)), kGood) << "again, as with RESERVE";
    EXPECT_TRUE(Reads(A()) && Writes(A()));
    EXPECT_FALSE(Reads(B()) || Writes(B()));
    EXPECT_EQ(Send(B(), Reserve(kKeyB, kEA)), kConflict);
    EXPECT_EQ(Send(B(), Release(kKeyB, kEA)), kGood) << "without an effect, as with RELEASE";
    EXPECT_FALSE(Reads(B()));
    EXPECT_EQ(Send(A(), Release(kKeyA, kEA)), kGood);
    EXPECT_TRUE(Reads(B()) && Writes(B()));
    EXPECT_EQ(Send(B(), Reserve(kKeyB, kEA)), kGood);
    EXPECT_EQ(Send(B(), Release(kKeyB, kEA)), kGood);
  }
}

// "Needed to clear the registration and reservation (i.e., Target Reset does not
// clear the registration/reservation). E.g, initiator goes away."
TEST_F(MinimumProfile, ClearWhenTheInitiatorWentAway) {
  EXPECT_EQ(Send(A(), Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(B(), Register(0, kKeyB)), kGood);
  EXPECT_EQ(Send(A(), Reserve(kKeyA, kEA)), kGood);
  state_ = ApplyReset(state_, B(), Reset::kLogicalUnit).state;
  state_ = ApplyReset(state_, A(), Reset::kNexusLoss).state;
  EXPECT_FALSE(Writes(B())) << "a reset is no way out";
  EXPECT_EQ(Send(B(), Clear(kKeyB)), kGood);
  EXPECT_TRUE(Reads(B()) && Writes(B()));
  EXPECT_EQ(Send(B(), Reserve(kKeyB, kEA)), kConflict) << "B's registration went along";
  EXPECT_EQ(Send(B(), Register(0, kKeyB)), kGood);
  EXPECT_EQ(Send(B(), Reserve(kKeyB, kEA)), kGood);
  EXPECT_EQ(Send(A(), Reserve(kKeyA, kEA)), kConflict) << "A finds out when it comes back";
}

// A host that still sends RESERVE and one that has moved on never both reserve.
TEST_F(MinimumProfile, BesideAHostThatStillSendsReserve) {
  state_ = ApplyLegacy(state_, B(), LegacyAction::kReserve).state;
  EXPECT_EQ(Send(A(), Register(0, kKeyA)), kConflict);
  state_ = ApplyLegacy(state_, B(), LegacyAction::kRelease).state;
  EXPECT_EQ(Send(A(), Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(A(), Reserve(kKeyA, kEA)), kGood);
  EXPECT_EQ(ApplyLegacy(state_, B(), LegacyAction::kReserve).status, kConflict);
}

}  // namespace
}  // namespace scsi_pr
