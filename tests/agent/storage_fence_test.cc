// SPDX-License-Identifier: GPL-2.0-or-later
//
// [paths]: a host is registered with the physical disks before it joins, and a silent one is fenced
// there. Whether the disk lets a host write is asked at the disk.
#include "agent/storage_fence.h"

#include <mutex>
#include <thread>

#include "../path/fake_unit.h"
#include "silent_host_fixture.h"

namespace scsi_pr::testing {
namespace {

// The disk, as several hosts' threads use it.
class SharedUnit : public std::enable_shared_from_this<SharedUnit> {
 public:
  explicit SharedUnit(const std::vector<std::string>& devices) {
    for (const std::string& device : devices) unit_.AddPath(device);
  }

  OpenTransport Opener() {
    return [self = shared_from_this()](const std::string& device,
                                       std::unique_ptr<Transport>* transport) {
      const std::lock_guard lock(self->mutex_);
      std::unique_ptr<Transport> path;
      Status status = self->unit_.Opener()(device, &path);
      if (status.ok()) *transport = std::make_unique<Path>(*self, std::move(path));
      return status;
    };
  }
  bool Writes(const std::string& device) {
    const std::lock_guard lock(mutex_);
    return unit_.MayWrite(device);
  }
  bool Registered(const std::string& device) {
    const std::lock_guard lock(mutex_);
    return unit_.Registered(device);
  }
  State state() {
    const std::lock_guard lock(mutex_);
    return unit_.state();
  }
  void Cut(const std::string& device) {
    const std::lock_guard lock(mutex_);
    unit_.Cut(device);
  }
  void Mend(const std::string& device) {
    const std::lock_guard lock(mutex_);
    unit_.Mend(device);
  }
  // By a nexus that is nobody's.
  void Clear(uint64_t key, const std::string& device) {
    const std::lock_guard lock(mutex_);
    unit_.SendOut(device, testing::Clear(key));
  }
  void Unregister(const std::string& device) {
    const std::lock_guard lock(mutex_);
    unit_.SendOut(device, testing::Register(unit_.KeyAt(device), 0));
  }
  uint64_t KeyAt(const std::string& device) {
    const std::lock_guard lock(mutex_);
    return unit_.KeyAt(device);
  }

 private:
  class Path : public Transport {
   public:
    Path(SharedUnit& unit, std::unique_ptr<Transport> path) : unit_(unit), path_(std::move(path)) {}
    ~Path() override {
      const std::lock_guard lock(unit_.mutex_);
      path_.reset();
    }
    Path(const Path&) = delete;
    Path& operator=(const Path&) = delete;
    TransportResult Execute(const TransportCommand& command) override {
      const std::lock_guard lock(unit_.mutex_);
      return path_->Execute(command);
    }

   private:
    SharedUnit& unit_;
    std::unique_ptr<Transport> path_;
  };

  std::mutex mutex_;
  FakeUnit unit_;
};

// h1 has the paths a0 and a1, h2 b0 and b1.
class StorageFenceTest : public SilentHostTest {
 protected:
  void SetUp() override {
    UsePaths(h1_, {"/a0", "/a1"});
    UsePaths(h2_, {"/b0", "/b1"});
    SilentHostTest::SetUp();
  }
  void TearDown() override {
    SilentHostTest::TearDown();
    h1_.Stop();
    h2_.Stop();
  }
  using Groups = decltype(agent::Config::paths);
  void UsePaths(TestHost& host, const std::vector<std::string>& devices) {
    UseGroups(host, {{"db", devices}});
  }
  void UseGroups(TestHost& host, const Groups& groups) {
    host.configure = [this, groups](agent::Daemon::Options& options) {
      options.config.proof = {.storage = true};
      options.config.paths = groups;
      options.open_path = unit_->Opener();
      options.expand_path = [](const std::string& device, std::vector<std::string>* paths) {
        paths->push_back(device);
        return Status();
      };
    };
  }
  bool IsMember(const std::string& host) {
    const HostRecord record = Record(host);
    return record.state == HostRecord::State::kAlive && !record.incarnation.empty();
  }

  // A thread that waits for the disk may outlive its host.
  const std::shared_ptr<SharedUnit> unit_ =
      std::make_shared<SharedUnit>(std::vector<std::string>{"/a0", "/a1", "/b0", "/b1"});
};

TEST_F(StorageFenceTest, HostsAreRegisteredWhenTheyHaveJoined) {
  EXPECT_TRUE(Eventually([&] { return IsMember("h1") && IsMember("h2"); }));
  EXPECT_EQ(Record("h1").paths, std::vector<std::string>{"db"});
  for (const char* device : {"/a0", "/a1", "/b0", "/b1"}) EXPECT_TRUE(unit_->Registered(device));
  EXPECT_NE(unit_->KeyAt("/a0"), unit_->KeyAt("/b0"));
  const State state = unit_->state();
  ASSERT_TRUE(state.reservation);
  EXPECT_EQ(state.reservation->type, Type::kWriteExclusiveAllRegistrants);
  EXPECT_NE(h1_.Said("storage").find("path groups db"), std::string::npos) << h1_.Said("storage");
}

TEST_F(StorageFenceTest, ASilentHostIsFencedAtItsDisks) {
  Begin();
  h1_.engine().cut_off = true;
  EXPECT_TRUE(Fence(20s).ok());
  EXPECT_FALSE(unit_->Writes("/a0") || unit_->Writes("/a1"));
  EXPECT_TRUE(unit_->Writes("/b0"));
  EXPECT_EQ(Record("h1").proof, agent::Proof::kStorage);
  EXPECT_EQ(Record("h1").proof_text, "db");
}

// What is under way there must not be let in by the host's own registering.
TEST_F(StorageFenceTest, WhoIsBackDrainsRegistersAndThenJoins) {
  Begin();
  h1_.engine().cut_off = true;
  EXPECT_TRUE(Fence(20s).ok());
  h1_.engine().cut_off = false;
  EXPECT_TRUE(Eventually([&] { return !h1_.Said("was-dead").empty(); }));
  std::this_thread::sleep_for(1s);
  EXPECT_FALSE(unit_->Registered("/a0") || unit_->Registered("/a1"));
  EXPECT_FALSE(IsMember("h1"));
  End();
  EXPECT_TRUE(Eventually([&] { return IsMember("h1"); }));
  EXPECT_TRUE(unit_->Registered("/a0") && unit_->Registered("/a1"));
}

TEST_F(StorageFenceTest, WhatCannotReachTheDisksProvesNothing) {
  Begin();
  for (const char* device : {"/b0", "/b1"}) unit_->Cut(device);
  h1_.engine().cut_off = true;
  EXPECT_EQ(Fence(6s).code(), Status::Code::kBusy);
  EXPECT_NE(h2_.Said("fence-failed").find("no path of group db works"), std::string::npos)
      << h2_.Said("fence-failed");
  EXPECT_EQ(Record("h1").proof, "");
  unit_->Mend("/b1");
  EXPECT_TRUE(Fence(30s).ok());
  EXPECT_FALSE(unit_->Writes("/a0"));
}

// Its key would be nobody's, and the disks would refuse it nothing.
TEST_F(StorageFenceTest, WhoIsRegisteredElsewhereIsNotFenced) {
  h1_.Stop();
  UseGroups(h1_, {{"other", {"/a0", "/a1"}}});
  h1_.Start();
  EXPECT_TRUE(Eventually([&] { return Record("h1").paths == std::vector<std::string>{"other"}; }));
  Begin();
  h1_.engine().cut_off = true;
  EXPECT_EQ(Fence(6s).code(), Status::Code::kBusy);
  EXPECT_NE(h2_.Said("fence-failed").find("these path groups: other; this one with: db"),
            std::string::npos)
      << h2_.Said("fence-failed");
}

// Both are needed: some of the disks are elsewhere.
TEST_F(StorageFenceTest, TheCommandIsRunToo) {
  h2_.Stop();
  const auto before = h2_.configure;
  h2_.configure = [before](agent::Daemon::Options& options) {
    before(options);
    options.config.proof.fence_command = "/bin/false";
  };
  h2_.Start();
  Begin();
  h1_.engine().cut_off = true;
  EXPECT_EQ(Fence(6s).code(), Status::Code::kBusy);
  EXPECT_FALSE(unit_->Writes("/a0"));
  EXPECT_NE(h2_.Said("fence-failed").find("/bin/false"), std::string::npos);
  EXPECT_EQ(Record("h1").proof, "");
}

TEST_F(StorageFenceTest, WhoCannotRegisterDoesNotJoin) {
  h1_.Stop();
  h1_.Reboot();
  for (const char* device : {"/a0", "/a1"}) unit_->Cut(device);
  h1_.Start();
  EXPECT_TRUE(Eventually([&] { return !h1_.Said("storage-failed").empty(); }));
  std::shared_ptr<Store> store;
  const Status status = h1_.Open(&store);
  EXPECT_NE(status.message().find("/a0"), std::string::npos) << status.message();
  unit_->Mend("/a1");
  EXPECT_TRUE(Eventually([&] { return Record("h1").boot_id == h1_.boot_id(); }));
  EXPECT_TRUE(unit_->Registered("/a1"));
}

// A daemon that is started again goes on as its predecessor did, but with other groups it begins
// anew: it does not register while a command is under way.
TEST_F(StorageFenceTest, OtherGroupsAreNoReasonToRegisterTooSoon) {
  Begin();
  const std::string incarnation = Record("h1").incarnation;
  h1_.Stop();
  h1_.Start();
  EXPECT_TRUE(Eventually([&] { return a_->Writes(); }));
  EXPECT_EQ(Record("h1").incarnation, incarnation);
  h1_.Stop();
  UseGroups(h1_, {{"other", {"/a0", "/a1"}}});
  h1_.Start();
  std::this_thread::sleep_for(2s);
  EXPECT_EQ(Record("h1").paths, std::vector<std::string>{"db"});
  End();
  EXPECT_TRUE(Eventually([&] { return Record("h1").paths == std::vector<std::string>{"other"}; }));
}

// Others read in its record where to fence it. What is registered there already, since an earlier
// configuration, is no reason to go on with a record that does not name it.
TEST_F(StorageFenceTest, ItsRecordNamesTheGroupsItHasNow) {
  using Names = std::vector<std::string>;
  const Groups one = {{"db", {"/a0"}}}, both = {{"db", {"/a0"}}, {"other", {"/a1"}}};
  for (const Groups& groups : {both, one, both}) {
    h1_.Stop();
    UseGroups(h1_, groups);
    h1_.Start();
    const Names names = groups.size() == 1 ? Names{"db"} : Names{"db", "other"};
    EXPECT_TRUE(Eventually([&] { return Record("h1").paths == names; }));
    EXPECT_TRUE(Eventually([&] { return IsMember("h1"); }));
  }
}

// By a fencing that came too late, or at the storage by hand.
TEST_F(StorageFenceTest, WhoIsRegisteredNoMoreBeginsAnew) {
  EXPECT_TRUE(Eventually([&] { return IsMember("h1") && IsMember("h2"); }));
  const std::string incarnation = Record("h1").incarnation;
  unit_->Clear(unit_->KeyAt("/b0"), "/b0");
  EXPECT_FALSE(unit_->Registered("/a0"));
  EXPECT_TRUE(Eventually([&] { return Record("h1").incarnation != incarnation; }));
  EXPECT_TRUE(Eventually([&] { return unit_->Registered("/a0") && unit_->Registered("/b0"); }));
  EXPECT_NE(h1_.Said("storage-failed").find("registered no more"), std::string::npos);
}

// As by scsi-pr path close and remove. The record says still that it is a member.
TEST_F(StorageFenceTest, WhoWasRetiredAndIsStartedAgainBeginsAnew) {
  EXPECT_TRUE(Eventually([&] { return IsMember("h1") && IsMember("h2"); }));
  const std::string incarnation = Record("h1").incarnation;
  h1_.Stop();
  for (const char* device : {"/a0", "/a1"}) unit_->Unregister(device);
  EXPECT_TRUE(std::filesystem::remove(h1_.runtime() + "/scsi-pr-path-db.json"));
  h1_.Start();
  EXPECT_TRUE(Eventually([&] { return Record("h1").incarnation != incarnation; }));
  EXPECT_TRUE(Eventually([&] { return unit_->Registered("/a0") && unit_->Registered("/a1"); }));
  EXPECT_NE(h1_.Said("storage-failed").find("registered no more"), std::string::npos);
}

}  // namespace
}  // namespace scsi_pr::testing
