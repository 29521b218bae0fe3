// SPDX-License-Identifier: GPL-2.0-or-later
//
// Two daemons, with an engine in memory, and stores that attach to them: what SPC-3 5.6 demands
// holds wherever the nexuses are.
#include <nlohmann/json.hpp>

#include "cluster/connection.h"
#include "cluster/names.h"
#include "daemon_fixture.h"

namespace scsi_pr::testing {
namespace {

using std::chrono::seconds;

TEST_F(DaemonTest, RegistrationsAreTheSameOnAllHosts) {
  const auto a = Attached(h1_, A());
  const auto b = Attached(h2_, B());
  EXPECT_EQ(a->Send(Register(0, kKeyA)), ScsiStatus::kGood);
  EXPECT_EQ(b->Send(Register(0, kKeyB)), ScsiStatus::kGood);
  EXPECT_EQ(a->Read(), b->Read());
  EXPECT_EQ(a->Read().registrations.size(), 2u);
}

TEST_F(DaemonTest, AReservationKeepsOthersOutOnOtherHosts) {
  const auto a = Attached(h1_, A());
  const auto b = Attached(h2_, B());
  EXPECT_TRUE(b->Writes());
  EXPECT_EQ(a->Send(Register(0, kKeyA)), ScsiStatus::kGood);
  EXPECT_EQ(a->Send(Reserve(kKeyA, kWERO)), ScsiStatus::kGood);
  EXPECT_TRUE(a->Writes());
  EXPECT_FALSE(b->Writes());
  EXPECT_EQ(a->Send(Release(kKeyA, kWERO)), ScsiStatus::kGood);
  EXPECT_TRUE(b->Writes());
}

TEST_F(DaemonTest, PreemptAndAbortWaitsForTheOtherHost) {
  const auto a = Attached(h1_, A());
  const auto b = Attached(h2_, B());
  EXPECT_EQ(a->Send(Register(0, kKeyA)), ScsiStatus::kGood);
  EXPECT_EQ(b->Send(Register(0, kKeyB)), ScsiStatus::kGood);
  EXPECT_EQ(a->Send(Reserve(kKeyA, kWERO)), ScsiStatus::kGood);
  const auto on_its_way = a->owner().slot->Enter(AccessClass::kWrite);
  ASSERT_TRUE(on_its_way);
  std::atomic<bool> ended = false;
  std::thread fencer([&] {
    EXPECT_EQ(b->Send(PreemptAndAbort(kKeyB, kKeyA, kWERO)), ScsiStatus::kGood);
    ended = true;
  });
  EXPECT_TRUE(Eventually([&] { return a->owner().aborts == 1; }));
  EXPECT_FALSE(a->Writes());
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_FALSE(ended);
  a->owner().slot->Leave(*on_its_way);
  fencer.join();
  EXPECT_FALSE(a->Writes());
  EXPECT_TRUE(b->Writes());
  EXPECT_TRUE(Eventually([&] { return a->owner().fencings == 1 && a->owner().preemptions == 1; }));
  EXPECT_EQ(a->Attentions(), std::vector{sense::kRegistrationsPreempted});
  EXPECT_TRUE(b->Attentions().empty());
}

TEST_F(DaemonTest, AnAbortThatWaitsInVainChangesNothing) {
  const auto a = Attached(h1_, A());
  const auto b = Attached(h2_, B());
  EXPECT_EQ(a->Send(Register(0, kKeyA)), ScsiStatus::kGood);
  EXPECT_EQ(b->Send(Register(0, kKeyB)), ScsiStatus::kGood);
  const State before = a->Read();
  const auto on_its_way = a->owner().slot->Enter(AccessClass::kWrite);
  ASSERT_TRUE(on_its_way);
  b->waiting().abort_timeout = std::chrono::milliseconds(300);
  Outcome outcome;
  EXPECT_EQ(b->Try(PreemptAndAbort(kKeyB, kKeyA, kWERO), &outcome).code(), Status::Code::kBusy);
  EXPECT_TRUE(Eventually([&] { return a->Writes(); }));
  EXPECT_EQ(b->Read(), before);
  a->owner().slot->Leave(*on_its_way);
}

// One command is being decided, two have not had their turn, when their process is killed.
TEST_F(DaemonTest, CommandsOfADeadProcessAreNotInTheWayOfOthers) {
  const auto a = Attached(h1_, A());  // so both hosts have joined
  const auto b = Attached(h2_, B());
  std::shared_ptr<const RuntimeDirectory> directory;
  ASSERT_TRUE(RuntimeDirectory::Open(h1_.runtime(), &directory).ok());
  for (int i = 0; i < 5; i++) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(5);
    std::vector<cluster::Connection> commands(3);
    for (cluster::Connection& command : commands) {
      ASSERT_TRUE(command.Connect(*directory, deadline).ok());
      const nlohmann::json request = {{"op", "change"},
                                      {"protocol", cluster::kProtocol},
                                      {"lu", "q"},
                                      {"patience-ms", 5000},
                                      {"abort-timeout-ms", 10000}};
      ASSERT_TRUE(command.Send(request, deadline).ok());
    }
    nlohmann::json asked;
    ASSERT_TRUE(commands[0].Receive(&asked, deadline).ok());
    EXPECT_TRUE(asked.contains("state")) << asked;
    for (auto command = commands.rbegin(); command != commands.rend(); ++command) command->Close();
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(b->Send(Register(0, kKeyB + static_cast<uint64_t>(i))), ScsiStatus::kGood);
    EXPECT_EQ(b->Send(Clear(kKeyB + static_cast<uint64_t>(i))), ScsiStatus::kGood);
    EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(2));
  }
}

TEST_F(DaemonTest, TheFirstOnePowersOnAndTheLastOneIsForgotten) {
  auto a = Attached(h1_, A());
  auto b = Attached(h2_, B());
  EXPECT_EQ(a->Send(Register(0, kKeyA)), ScsiStatus::kGood);
  a.reset();
  EXPECT_EQ(b->Read().registrations.size(), 1u);
  b.reset();
  // Both are known to be gone when their records are.
  std::unique_ptr<TestNexus> c;
  EXPECT_TRUE(Eventually([&] {
    c = Attached(h1_, C());
    if (c->Read().registrations.empty()) return true;
    c.reset();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return false;
  }));
}

// The answer comes when the gate shows what the record allows.
TEST_F(DaemonTest, WhoIsAttachedIsAllowedAtOnce) {
  const auto b = Attached(h2_, B());
  h1_.engine().reading_takes = std::chrono::milliseconds(20);  // the record is read again meanwhile
  for (int i = 0; i < 20; i++) {
    const auto a = Attached(h1_, A());
    EXPECT_TRUE(a->Writes());
  }
}

// Of a command nothing is left: neither its connection nor its operation.
TEST_F(DaemonTest, ACommandLeavesNothingOpen) {
  const auto a = Attached(h1_, A());
  const auto b = Attached(h2_, B());
  const auto open_files = [] {
    const std::filesystem::directory_iterator files("/proc/self/fd");
    return std::distance(begin(files), end(files));
  };
  const auto before = open_files();
  for (uint64_t i = 0; i < 30; i++) {
    EXPECT_EQ(a->Send(Register(i, i + 1)), ScsiStatus::kGood);
    EXPECT_EQ(b->Read().registrations.size(), 1u);
  }
  EXPECT_TRUE(Eventually([&] { return open_files() <= before + 5; })) << open_files() - before;
}

TEST_F(DaemonTest, OneNexusIsOnOneHost) {
  const auto a = Attached(h1_, A());
  TestNexus twin(h2_, A());
  const Status status = twin.TryAttach();
  EXPECT_EQ(status.code(), Status::Code::kInUse);
  EXPECT_NE(status.message().find("h1"), std::string::npos) << status.message();
}

TEST_F(DaemonTest, AHostThatIsCutOffAdmitsNothingMore) {
  const auto a = Attached(h1_, A());
  EXPECT_TRUE(a->Writes());
  h1_.engine().cut_off = true;
  EXPECT_TRUE(Eventually([&] { return !a->Writes(); }));
  h1_.engine().cut_off = false;
  EXPECT_TRUE(Eventually([&] { return a->Writes(); }));
}

TEST_F(DaemonTest, APreemptOfACutOffHostEndsWithItsAdmission) {
  const auto a = Attached(h1_, A());
  const auto b = Attached(h2_, B());
  EXPECT_EQ(a->Send(Register(0, kKeyA)), ScsiStatus::kGood);
  EXPECT_EQ(b->Send(Register(0, kKeyB)), ScsiStatus::kGood);
  EXPECT_EQ(a->Send(Reserve(kKeyA, kWERO)), ScsiStatus::kGood);
  h1_.engine().cut_off = true;
  EXPECT_EQ(b->Send(Preempt(kKeyB, kKeyA, kWERO)), ScsiStatus::kGood);
  EXPECT_FALSE(a->Writes());
  EXPECT_TRUE(b->Writes());
  h1_.engine().cut_off = false;
  EXPECT_TRUE(Eventually([&] { return a->owner().preemptions == 1; }));
  EXPECT_FALSE(a->Writes());
}

TEST_F(DaemonTest, ADaemonThatIsStartedAgainGoesOn) {
  const auto a = Attached(h1_, A());
  const auto b = Attached(h2_, B());
  EXPECT_EQ(a->Send(Register(0, kKeyA)), ScsiStatus::kGood);
  h1_.Stop();
  EXPECT_TRUE(a->Writes());
  h1_.Start();
  EXPECT_TRUE(a->Writes());
  EXPECT_EQ(b->Send(Register(0, kKeyB)), ScsiStatus::kGood);
  EXPECT_TRUE(Eventually([&] {
    std::shared_ptr<const Record> record;
    return a->store().Read(&record).ok() && record->state.registrations.size() == 2;
  }));
  EXPECT_EQ(b->Send(PreemptAndAbort(kKeyB, kKeyA, kWERO)), ScsiStatus::kGood);
  EXPECT_EQ(a->Read().registrations.size(), 1u);
}

// Its VM has died while there was no daemon that would have noticed, and nobody there uses the
// logical unit again.
class LeftBehindTest : public DaemonTest {
 protected:
  void Leave() {
    auto a = Attached(h1_, A());
    b_ = Attached(h2_, B());
    EXPECT_EQ(a->Send(Register(0, kKeyA)), ScsiStatus::kGood);
    EXPECT_EQ(b_->Send(Register(0, kKeyB)), ScsiStatus::kGood);
    EXPECT_EQ(a->Send(Reserve(kKeyA, kWERO)), ScsiStatus::kGood);
    h1_.Stop();
  }
  void ExpectFenced() {
    h1_.Start();
    Outcome outcome;
    EXPECT_TRUE(
        Eventually([&] { return b_->Try(PreemptAndAbort(kKeyB, kKeyA, kWERO), &outcome).ok(); }));
    EXPECT_EQ(outcome.status, ScsiStatus::kGood);
  }

  std::unique_ptr<TestNexus> b_;
};

TEST_F(LeftBehindTest, IsFencedWhenTheDaemonIsBack) {
  Leave();
  ExpectFenced();
}

TEST_F(LeftBehindTest, IsFencedWhenTheHostHasBooted) {
  Leave();
  h1_.Reboot();
  ExpectFenced();
}

TEST_F(DaemonTest, ACommitOfWhichNobodyHearsIsFoundOut) {
  const auto a = Attached(h1_, A());
  h1_.engine().deaf = true;
  std::thread hears_again([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    h1_.engine().deaf = false;
  });
  EXPECT_EQ(a->Send(Register(0, kKeyA)), ScsiStatus::kGood);
  hears_again.join();
  EXPECT_EQ(a->Read().registrations.size(), 1u);
}

TEST_F(DaemonTest, ANexusGoesToAnotherHostAndIsFencedThere) {
  auto a = Attached(h1_, A());
  const auto b = Attached(h2_, B());
  EXPECT_EQ(a->Send(Register(0, kKeyA)), ScsiStatus::kGood);
  EXPECT_EQ(b->Send(Register(0, kKeyB)), ScsiStatus::kGood);
  EXPECT_EQ(a->Send(Reserve(kKeyA, kWERO)), ScsiStatus::kGood);
  TestNexus there(h2_, A());
  ASSERT_TRUE(there.TryAttach(Store::AttachMode::kIncoming).ok());
  HandedOver handed;
  ASSERT_TRUE(a->store().HandOver(a->owner().slot, true, &handed).ok());
  ASSERT_TRUE(there.store().Arrive(there.owner().slot, &handed).ok());
  Admission::Tenure tenure = 0;
  EXPECT_TRUE(Eventually([&] { return there.store().TakeOver(there.owner().slot, &tenure); }));
  EXPECT_FALSE(there.store().MayBeFencedSince(*there.owner().slot, handed));
  const auto enters = [&] {
    const auto epoch = there.owner().slot->Enter(AccessClass::kWrite, tenure);
    if (epoch) there.owner().slot->Leave(*epoch);
    return epoch.has_value();
  };
  EXPECT_TRUE(Eventually(enters));
  a.reset();
  EXPECT_TRUE(enters());
  EXPECT_EQ(b->Send(PreemptAndAbort(kKeyB, kKeyA, kWERO)), ScsiStatus::kGood);
  EXPECT_FALSE(enters());
}

TEST_F(DaemonTest, AStoreThatWasPutBackIsNotBelieved) {
  const auto a = Attached(h1_, A());
  const agent::SimulatedStore backup = store_->Copy();
  EXPECT_EQ(a->Send(Register(0, kKeyA)), ScsiStatus::kGood);
  store_->Restore(backup);
  EXPECT_TRUE(Eventually([&] { return !a->Writes(); }));
  std::this_thread::sleep_for(seconds(2));
  EXPECT_FALSE(a->Writes());
}

// Versions come again, with another content, and what a process knows of them by number is of the
// life before.
TEST_F(DaemonTest, AfterAnAcceptedRestoreVersionsBeginAnew) {
  const auto a = Attached(h1_, A());
  const auto b = Attached(h2_, B());
  EXPECT_EQ(a->Send(Register(0, kKeyA)), ScsiStatus::kGood);
  EXPECT_EQ(b->Send(Register(0, kKeyB)), ScsiStatus::kGood);
  const agent::SimulatedStore backup = store_->Copy();
  EXPECT_EQ(b->Send(Preempt(kKeyB, kKeyA, kWERO)), ScsiStatus::kGood);
  EXPECT_EQ(a->Read().registrations.size(), 1u);
  EXPECT_EQ(a->Attentions(), std::vector{sense::kRegistrationsPreempted});
  store_->Restore(backup);
  EXPECT_TRUE(Eventually([&] { return !a->Writes() && !b->Writes(); }));
  AcceptRestore();
  EXPECT_TRUE(Eventually([&] { return a->Writes() && b->Writes(); }));
  EXPECT_EQ(b->Send(Reserve(kKeyB, kWERO)), ScsiStatus::kGood);
  EXPECT_EQ(a->Read(), b->Read());
  EXPECT_EQ(a->Read().registrations.size(), 2u);
  EXPECT_EQ(b->Send(PreemptAndAbort(kKeyB, kKeyA, kWERO)), ScsiStatus::kGood);
  EXPECT_TRUE(Eventually([&] { return a->owner().preemptions == 2; }));
  EXPECT_EQ(a->Attentions(), std::vector{sense::kRegistrationsPreempted});
}

}  // namespace
}  // namespace scsi_pr::testing
