// SPDX-License-Identifier: GPL-2.0-or-later
//
// What real clients send, as sequences. Their sources are named at each.
#include <algorithm>

#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

// One logical unit that several nexuses talk to.
class Clients : public ::testing::Test {
 protected:
  ScsiStatus Send(const Nexus& nexus, const PersistentReserveOut& command) {
    const Outcome outcome = Perform(state_, nexus, command);
    state_ = outcome.state;
    EXPECT_EQ(FindViolation(state_), std::nullopt);
    return outcome.status;
  }
  void SendGood(const Nexus& nexus, const PersistentReserveOut& command) {
    EXPECT_EQ(Send(nexus, command), ScsiStatus::kGood);
  }
  bool Listed(uint64_t key) const {
    return std::ranges::count(state_.registrations, key, &Registration::key) != 0;
  }

  State state_;
};

constexpr uint64_t kNode1 = 0x4D5B0001;
constexpr uint64_t kNode2 = 0x4D5B0002;
constexpr auto kConflict = ScsiStatus::kReservationConflict;

// fence_scsi, do_action_on: register and ignore, then reserve (-T 5) or, where
// another node was faster, leave it at that.
TEST_F(Clients, FenceScsiUnfence) {
  SendGood(A(), RegisterIgnore(kNode1).Aptpl());
  SendGood(A(), Reserve(kNode1, kWERO));
  SendGood(B(), RegisterIgnore(kNode2).Aptpl());
  EXPECT_EQ(Send(B(), Reserve(kNode2, kWERO)), kConflict);
  EXPECT_TRUE(Listed(kNode1) && Listed(kNode2));
  EXPECT_EQ(state_.HolderKey(), kNode1);
}

// fence_scsi preempts its *own* key when it is listed already, then registers
// again if it was not the holder.
TEST_F(Clients, FenceScsiUnfenceAgainAsHolder) {
  SendGood(A(), RegisterIgnore(kNode1));
  SendGood(A(), Reserve(kNode1, kWERO));
  SendGood(A(), Preempt(kNode1, kNode1, kWERO));
  EXPECT_TRUE(Listed(kNode1));
  EXPECT_EQ(state_.HolderKey(), kNode1);
}

TEST_F(Clients, FenceScsiUnfenceAgainAsAnother) {
  SendGood(A(), RegisterIgnore(kNode1));
  SendGood(A(), Reserve(kNode1, kWERO));
  SendGood(B(), RegisterIgnore(kNode2));
  SendGood(B(), Preempt(kNode2, kNode2, kWERO));
  EXPECT_FALSE(Listed(kNode2)) << "it removes its own registration, too";
  EXPECT_EQ(state_.HolderKey(), kNode1);
  SendGood(B(), RegisterIgnore(kNode2));
  EXPECT_TRUE(Listed(kNode2));
}

// fence_scsi, do_action_off, as with PREEMPT: afterwards the victim's key is
// gone *and* a reservation exists, whether the victim held it or not.
TEST_F(Clients, FenceScsiFence) {
  for (const bool victim_holds : {false, true}) {
    state_ = State{};
    SendGood(A(), RegisterIgnore(kNode1));
    SendGood(B(), RegisterIgnore(kNode2));
    SendGood(victim_holds ? B() : A(), Reserve(victim_holds ? kNode2 : kNode1, kWERO));
    SendGood(A(), Preempt(kNode1, kNode2, kWERO));
    EXPECT_FALSE(Listed(kNode2));
    EXPECT_TRUE(state_.reservation);
    EXPECT_EQ(state_.HolderKey(), kNode1);
    EXPECT_EQ(Send(B(), Release(kNode2, kWERO)), kConflict) << "the victim is out";
  }
}

// fence_mpath: all paths of a node with one key; a fence removes all of them.
TEST_F(Clients, MpathpersistManyPaths) {
  for (const Nexus& path : {A(), B()}) SendGood(path, Register(0, kNode1));
  for (const Nexus& path : {C(), D()}) SendGood(path, Register(0, kNode2));
  SendGood(A(), Reserve(kNode1, kWERO));
  EXPECT_EQ(Send(C(), Reserve(kNode2, kWERO)), kConflict);
  SendGood(C(), Preempt(kNode2, kNode1, kWERO));
  EXPECT_FALSE(Listed(kNode1));
  EXPECT_EQ(state_.registrations.size(), 2u);
  EXPECT_EQ(state_.HolderKey(), kNode2);
}

// mpathpersist falls back to REGISTER AND IGNORE on a mixed conflict.
TEST_F(Clients, MpathpersistRegistersAReturningPath) {
  SendGood(A(), Register(0, kNode1));
  EXPECT_EQ(Send(A(), Register(0, kNode1)), kConflict);
  SendGood(A(), RegisterIgnore(kNode1));
  EXPECT_EQ(state_.registrations.size(), 1u);
}

// multipath-tools from 0.13: the holder's path is lost; another path of the
// same key preempts it, releases, and the path registers again.
TEST_F(Clients, MpathpersistLosesTheHoldersPath) {
  for (const Nexus& path : {A(), B()}) SendGood(path, Register(0, kNode1));
  SendGood(A(), Reserve(kNode1, kWERO));
  SendGood(B(), Preempt(kNode1, kNode1, kWERO));
  EXPECT_EQ(state_.reservation->holder, B());
  SendGood(B(), Release(kNode1, kWERO));
  SendGood(A(), RegisterIgnore(kNode1));
  EXPECT_FALSE(state_.reservation);
  EXPECT_EQ(state_.registrations.size(), 2u);
}

// The same for an all registrants reservation: PREEMPT with key 0.
TEST_F(Clients, MpathpersistPreemptsAllRegistrants) {
  for (const Nexus& path : {A(), B()}) SendGood(path, Register(0, kNode1));
  SendGood(A(), Reserve(kNode1, kWEAR));
  SendGood(B(), Preempt(kNode1, 0, kWEAR));
  EXPECT_EQ(state_.registrations.size(), 1u);
  EXPECT_EQ(state_.reservation->type, kWEAR);
}

// Windows Server Failover Clustering, validation ([MS-CSVP]): register,
// reserve, read back; "put reserve" from a second node must conflict.
TEST_F(Clients, WindowsValidation) {
  SendGood(A(), RegisterIgnore(kNode1));
  SendGood(A(), Reserve(kNode1, kWERO));
  EXPECT_EQ(state_.HolderKey(), kNode1);
  SendGood(B(), RegisterIgnore(kNode2));
  EXPECT_EQ(Send(B(), Reserve(kNode2, kWERO)), kConflict);
  SendGood(B(), Preempt(kNode2, kNode1, kWERO));  // PRPreempt3
  EXPECT_FALSE(Listed(kNode1));
  SendGood(B(), RegisterIgnore(0));  // PRUnRegister
  EXPECT_FALSE(state_.reservation);
  SendGood(A(), RegisterIgnore(kNode1));
  SendGood(A(), Clear(kNode1));  // PRClear
  EXPECT_TRUE(state_.registrations.empty());
}

// Windows arbitration: the owner defends itself by preempting challengers; a
// challenger whose key is gone has lost.
TEST_F(Clients, WindowsArbitration) {
  SendGood(A(), RegisterIgnore(kNode1));
  SendGood(A(), Reserve(kNode1, kWERO));
  SendGood(B(), RegisterIgnore(kNode2));
  SendGood(A(), Preempt(kNode1, kNode2, kWERO));
  EXPECT_FALSE(Listed(kNode2));
  EXPECT_EQ(Send(B(), Preempt(kNode2, kNode1, kWERO)), kConflict) << "lost";
  SendGood(B(), RegisterIgnore(kNode2));
  SendGood(B(), Preempt(kNode2, kNode1, kWERO));  // the owner slept
  EXPECT_EQ(state_.HolderKey(), kNode2);
  EXPECT_EQ(Send(A(), Reserve(kNode1, kWERO)), kConflict);
}

}  // namespace
}  // namespace scsi_pr
