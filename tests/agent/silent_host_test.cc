// SPDX-License-Identifier: GPL-2.0-or-later
//
// A host is cut off while a command of a VM there is on its way: PREEMPT AND ABORT of its nexus
// ends in GOOD when there is a proof that nothing of the host can reach the medium, and not before.
#include "agent/silent_host.h"

#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>

#include "../unit/temporary_directory.h"
#include "silent_host_fixture.h"

namespace scsi_pr::testing {
namespace {

using namespace std::chrono_literals;
using agent::HostRecord;
using agent::kSecond;
using Clock = std::chrono::steady_clock;

TEST_F(SilentHostTest, WithoutAProofItEndsInBusy) {
  Begin();
  h1_.engine().cut_off = true;
  EXPECT_EQ(Fence(5s).code(), Status::Code::kBusy);
  EXPECT_EQ(Record("h1").state, HostRecord::State::kDead);
  EXPECT_EQ(Record("h1").proof, "");
  EXPECT_EQ(b_->Read().registrations.size(), 2u);
}

TEST_F(SilentHostTest, SomebodysWordIsAProof) {
  Begin();
  h1_.engine().cut_off = true;
  EXPECT_EQ(Confirm("h1", "another-boot").code(), Status::Code::kInvalid);
  nlohmann::json told;
  EXPECT_TRUE(Confirm("h1", h1_.boot_id(), &told).ok());
  EXPECT_EQ(told.at("proof"), "confirmed");
  EXPECT_TRUE(Fence(5s).ok());
  const HostRecord record = Record("h1");
  EXPECT_EQ(record.proof, agent::Proof::kConfirmed);
  EXPECT_NE(record.proof_text.find("me (user"), std::string::npos) << record.proof_text;
  EXPECT_NE(record.proof_text.find("on h2: unplugged"), std::string::npos) << record.proof_text;
  EXPECT_NE(h2_.Said("proof").find("\"confirmed\""), std::string::npos);
  // Once more is no other word.
  EXPECT_TRUE(Confirm("h1", h1_.boot_id()).ok());
  EXPECT_EQ(Record("h1"), record);

  // The word was false, and that is told.
  h1_.engine().cut_off = false;
  EXPECT_TRUE(Eventually([&] { return !h1_.Said("was-dead").empty(); }));
  const std::string said = h1_.Said("was-dead");
  EXPECT_NE(said.find("by h2, by the proof \"confirmed\""), std::string::npos) << said;
  EXPECT_NE(said.find("1 commands are under way"), std::string::npos) << said;
  EXPECT_FALSE(a_->Writes());
  End();
  EXPECT_TRUE(Eventually([&] { return Record("h1").state == HostRecord::State::kAlive; }));
  EXPECT_EQ(Record("h1").proof, "");
}

TEST_F(SilentHostTest, TheWordIsRefusedWhileItLives) {
  Begin();
  const Status lives = Confirm("h1", h1_.boot_id());
  EXPECT_EQ(lives.code(), Status::Code::kInUse) << lives.message();
  EXPECT_EQ(Record("h1").proof, "");
  EXPECT_TRUE(a_->Writes());
  EXPECT_EQ(Confirm("h2", h2_.boot_id()).code(), Status::Code::kInvalid) << "that is itself";
  EXPECT_EQ(Confirm("h3", h1_.boot_id()).code(), Status::Code::kInvalid);
}

TEST_F(SilentHostTest, ALateWordDoesNotHitAHostThatHasBooted) {
  const std::string before = h1_.boot_id();
  EXPECT_TRUE(Eventually([&] { return Record("h1").boot_id == before; }));
  h1_.Stop();
  h1_.Reboot();
  h1_.Start();
  EXPECT_TRUE(Eventually([&] { return Record("h1").boot_id == h1_.boot_id(); }));
  EXPECT_EQ(Confirm("h1", before).code(), Status::Code::kInvalid);
  EXPECT_EQ(Record("h1").state, HostRecord::State::kAlive);
}

TEST_F(SilentHostTest, WhereALeaseIsEnoughItEndsWithTheAdmission) {
  Restart(h2_, {.lease = true});
  Begin();
  h1_.engine().cut_off = true;
  EXPECT_TRUE(Fence(8s).ok());
  EXPECT_EQ(Record("h1").proof, agent::Proof::kLease);
}

// Shorter than it takes to declare the host dead: what one try has waited counts for the next.
TEST_F(SilentHostTest, ShortPatiencesAddUp) {
  Restart(h2_, {.lease = true});
  Begin();
  h1_.engine().cut_off = true;
  EXPECT_EQ(Fence(2s).code(), Status::Code::kBusy);
  int tries = 0;
  while (!Fence(2s).ok() && tries < 10) tries++;
  EXPECT_LT(tries, 10);
}

// [cluster] fence-command: what it says with 0 is the proof; anything else is tried again.
TEST_F(SilentHostTest, TheStorageIsAsked) {
  const TemporaryDirectory directory;
  const std::string program = directory.path() + "/fence", log = directory.path() + "/log";
  std::ofstream(program) << "#!/bin/sh\necho \"$@\" >>" << log << "\ntest -e " << log << ".ok\n";
  ASSERT_EQ(chmod(program.c_str(), 0755), 0);
  Restart(h2_, {.storage = true, .fence_command = program});
  Begin();
  h1_.engine().cut_off = true;
  EXPECT_EQ(Fence(5s).code(), Status::Code::kBusy);
  EXPECT_EQ(ReadFile(log), "h1 " + h1_.boot_id() + "\n");
  EXPECT_NE(h2_.Said("fence-failed").find("code 1"), std::string::npos) << h2_.Said("fence-failed");
  std::ofstream(log + ".ok") << "x";
  EXPECT_TRUE(Fence(12s).ok());
  EXPECT_EQ(Record("h1").proof, agent::Proof::kStorage);
  EXPECT_EQ(Record("h1").proof_text, program);
}

// Its path groups come with a restart; until then there is nothing to fence by.
TEST_F(SilentHostTest, ADiskThatIsOnlyReadAgainIsNoFence) {
  Begin();
  agent::Config config;
  config.proof.storage = true;
  config.paths = {{"group", {"/dev/none"}}};
  h2_.daemon().Reload(config, std::shared_ptr<agent::Engine>(&h2_.engine(), [](auto*) {}));
  h1_.engine().cut_off = true;
  EXPECT_EQ(Fence(6s).code(), Status::Code::kBusy);
  EXPECT_EQ(Record("h1").state, HostRecord::State::kDead);
  EXPECT_EQ(Record("h1").proof, "");
  EXPECT_EQ(h2_.Said("fence-failed"), "");
}

TEST_F(SilentHostTest, AProgramThatIsNotThereIsNoProof) {
  Restart(h2_, {.storage = true, .fence_command = "/nowhere/fence"});
  Begin();
  h1_.engine().cut_off = true;
  EXPECT_EQ(Fence(5s).code(), Status::Code::kBusy);
  EXPECT_NE(h2_.Said("fence-failed").find("/nowhere/fence"), std::string::npos)
      << h2_.Said("fence-failed");
}

// ---------------------------------------------------------------- Watchdog

// Remembers when it was petted last.
struct Double {
  std::atomic<Clock::time_point> petted{};
  std::atomic<bool> armed = false;
  std::atomic<int> opened = 0;

  bool IsPetted(std::chrono::milliseconds within) const {
    return Clock::now() - petted.load() < within;
  }
};

class DoubleWatchdog : public agent::Watchdog {
 public:
  explicit DoubleWatchdog(std::shared_ptr<Double> its_double) : double_(std::move(its_double)) {
    double_->armed = true;
    double_->opened++;
    Pet();
  }
  void Pet() override { double_->petted = Clock::now(); }
  void Disarm() override { double_->armed = false; }

 private:
  const std::shared_ptr<Double> double_;
};

class WatchdogTest : public SilentHostTest {
 protected:
  void SetUp() override {
    h1_.configure = [this](agent::Daemon::Options& options) {
      options.config.watchdog = "/dev/watchdog";
      options.config.watchdog_timeout = kSecond;
      options.arm_watchdog = [this](const std::string&, agent::Time,
                                    std::unique_ptr<agent::Watchdog>* armed) {
        *armed = std::make_unique<DoubleWatchdog>(double_);
        return Status();
      };
    };
    h2_.configure = [](agent::Daemon::Options& options) { options.config.proof.watchdog = true; };
    SilentHostTest::SetUp();
  }

  const std::shared_ptr<Double> double_ = std::make_shared<Double>();
};

// Not before it must have been reset: three of its times after its death.
TEST_F(WatchdogTest, ItsTimeIsWaitedFor) {
  Begin();
  EXPECT_TRUE(Eventually([&] { return Record("h1").watchdog == kSecond; }));
  EXPECT_TRUE(double_->IsPetted(400ms));
  h1_.engine().cut_off = true;
  // It has been dead for not more than a second then.
  EXPECT_TRUE(Eventually([&] {
    EXPECT_EQ(Fence(1s).code(), Status::Code::kBusy);
    return Record("h1").state == HostRecord::State::kDead;
  }));
  EXPECT_FALSE(double_->IsPetted(1s)) << "its admission has ended, and a command is under way";
  const auto began = Clock::now();
  EXPECT_TRUE(Fence(12s).ok());
  EXPECT_GT(Clock::now() - began, 2s);
  EXPECT_FALSE(double_->IsPetted(3s));
  EXPECT_EQ(Record("h1").proof, agent::Proof::kWatchdog);
  EXPECT_NE(h2_.Said("proof").find("\"watchdog\""), std::string::npos);
}

// A host that is cut off, and quiet, is not reset.
TEST_F(WatchdogTest, AQuietHostIsLeftAlone) {
  Begin();
  h1_.engine().cut_off = true;
  EXPECT_TRUE(Eventually([&] { return !double_->IsPetted(900ms); }));
  End();
  EXPECT_TRUE(Eventually([&] { return double_->IsPetted(400ms); }));
  EXPECT_FALSE(a_->Writes());
}

TEST_F(WatchdogTest, WhoIsStoppedDisarmsIt) {
  Begin();
  EXPECT_TRUE(Eventually([&] { return Record("h1").watchdog == kSecond; }));
  h1_.Stop();
  EXPECT_FALSE(double_->armed);
  EXPECT_EQ(Record("h1").watchdog, 0u) << "nobody counts on it any more";
}

// With a command under way, and nobody to tell.
TEST_F(WatchdogTest, WhoIsStoppedAndCutOffLeavesItArmed) {
  Begin();
  EXPECT_TRUE(Eventually([&] { return Record("h1").watchdog == kSecond; }));
  h1_.engine().cut_off = true;
  h1_.Stop();
  EXPECT_TRUE(double_->armed);
  EXPECT_EQ(Record("h1").watchdog, kSecond);
  // What opens the device pets it: not while the command is under way.
  const int opened = double_->opened;
  h1_.Start();
  std::this_thread::sleep_for(1500ms);
  EXPECT_EQ(double_->opened, opened);
  End();
  EXPECT_TRUE(Eventually([&] { return double_->opened == opened + 1; }));
}

TEST_F(WatchdogTest, WithoutOneThereIsNoProof) {
  h1_.Stop();
  h1_.configure = [](agent::Daemon::Options& options) {
    options.config.watchdog = "/dev/null";  // is none
  };
  h1_.Start();
  Begin();
  EXPECT_TRUE(Eventually([&] { return !h1_.Said("watchdog-failed").empty(); }));
  h1_.engine().cut_off = true;
  EXPECT_EQ(Fence(8s).code(), Status::Code::kBusy);
  EXPECT_EQ(Record("h1").watchdog, 0u);
}

// ---------------------------------------------------------------- Who has fenced hears of it

// Once, and not before it is GOOD.
TEST_F(SilentHostTest, WhoHasFencedHearsTheProof) {
  Begin();
  Fencings heard;
  b_->waiting().listener = &heard;
  h1_.engine().cut_off = true;
  EXPECT_EQ(Fence(5s).code(), Status::Code::kBusy);
  EXPECT_EQ(heard.told.back(), "given up");
  EXPECT_TRUE(heard.proofs.empty());
  EXPECT_TRUE(Confirm("h1", h1_.boot_id()).ok());
  heard.told.clear();
  EXPECT_TRUE(Fence(5s).ok());
  std::erase(heard.told, "late");  // the machine is
  EXPECT_EQ(heard.told, (std::vector<std::string>{"begun", "proved", "committed"}));
  const std::vector<HostProof> expected{{"h1", "confirmed", Record("h1").proof_text}};
  EXPECT_EQ(heard.proofs, expected);
  EXPECT_NE(heard.proofs.at(0).text.find("on h2: unplugged"), std::string::npos);
}

TEST_F(SilentHostTest, WhoHasFencedHearsThatItWasALease) {
  Restart(h2_, {.lease = true});
  Begin();
  Fencings heard;
  b_->waiting().listener = &heard;
  h1_.engine().cut_off = true;
  EXPECT_TRUE(Fence(8s).ok());
  EXPECT_EQ(std::ranges::count(heard.told, "proved"), 1);
  EXPECT_EQ(heard.proofs, (std::vector<HostProof>{{"h1", "lease", Record("h1").proof_text}}));
}

TEST_F(SilentHostTest, WhereAllHaveAnsweredNothingIsToldOfProofs) {
  Restart(h2_, {.lease = true});
  Begin();
  End();
  Fencings heard;
  b_->waiting().listener = &heard;
  EXPECT_TRUE(Fence(8s).ok());
  EXPECT_EQ(heard.told.front(), "begun");
  EXPECT_EQ(heard.told.back(), "committed");
  EXPECT_EQ(std::ranges::count(heard.told, "proved"), 0);
}

}  // namespace
}  // namespace scsi_pr::testing
