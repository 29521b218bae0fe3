// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an administrator does to a file: store that is in use: the state in force stays,
// who runs hears of it, the next change that must survive is refused, and when all is
// mended it works again without a restart.
#include <sys/stat.h>
#include <unistd.h>

#include "file_store.h"

namespace scsi_pr {
namespace {

namespace fs = std::filesystem;
using namespace testing;

class StoreInUseTest : public FileStoreFixture {
 protected:
  void SetUp() override {
    store_ = Open();
    ASSERT_TRUE(store_->Attach(A(), "a", Store::AttachMode::kNew, &owner_, &a_).ok());
    ASSERT_TRUE(store_->Attach(B(), "b", Store::AttachMode::kNew, nullptr, &b_).ok());
    ASSERT_TRUE(Change().ok());
    ASSERT_TRUE(Send(*store_, A(), Reserve(key_, kWE)).ok());
    old_ = ReadFile(path_);
    ASSERT_TRUE(Change().ok());
    before_ = Read(*store_);
  }
  void TearDown() override {
    store_->Detach(a_);
    store_->Detach(b_);
  }
  // One that must survive, another one each time.
  Status Change() {
    const Status status = Send(*store_, A(), RegisterIgnore(key_ + 1).Aptpl());
    if (status.ok()) key_++;
    return status;
  }
  void ExpectHeard() {
    EXPECT_TRUE(Eventually([&] {
      const std::lock_guard lock(owner_.mutex);
      return !owner_.failures.empty();
    })) << "nobody was told";
    for (const std::string& failure : owner_.TakeFailures()) {
      EXPECT_NE(failure.find(path_), std::string::npos) << failure;
    }
  }
  // I/O of the holder goes on, the other one stays out, and everybody may look.
  void ExpectInForce() {
    const auto epoch = a_->Enter(AccessClass::kWrite);
    ASSERT_TRUE(epoch);
    a_->Leave(*epoch);
    EXPECT_FALSE(b_->Enter(AccessClass::kWrite));
    EXPECT_EQ(Read(*store_), before_);
    Snapshot snapshot;
    EXPECT_TRUE(store_->Look(&snapshot).ok());
    EXPECT_EQ(snapshot.state, before_);
  }
  void ExpectRefused(Code code) {
    const Status status = Change();
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_NE(status.message().find(path_), std::string::npos) << status.message();
    EXPECT_FALSE(status.hint().empty());
    ExpectInForce();
  }
  // And what is on the disk is what is in force.
  void ExpectWell() {
    const Status status = Change();
    ASSERT_TRUE(status.ok()) << status.message();
    before_ = Read(*store_);
    EXPECT_EQ(before_.Find(A())->key, key_);
    const DiskParts parts = Parts();
    const Verdict verdict = Judge(parts, 0);
    EXPECT_FALSE(verdict.newer_is_lost) << verdict.why;
    EXPECT_EQ(parts.part[*verdict.place].content.record.state, before_);
    ExpectInForce();
    owner_.TakeFailures();
  }

  std::shared_ptr<Store> store_;
  Owner owner_;
  GateSlot* a_ = nullptr;
  GateSlot* b_ = nullptr;
  uint64_t key_ = kKeyA;
  std::string old_;  // the file's contents one change ago
  State before_;     // in force
};

// The refused change makes the file anew.
TEST_F(StoreInUseTest, Removed) {
  for (int twice = 0; twice < 2; twice++) {
    fs::remove(path_);
    ExpectHeard();
    ExpectInForce();
    ExpectRefused(Code::kIo);
    ExpectWell();
  }
}

// It has the permissions of the one that is gone.
TEST_F(StoreInUseTest, MadeAnewForTheSameUsers) {
  ASSERT_EQ(chmod(path_.c_str(), 0640), 0);
  struct stat before = {};
  ASSERT_EQ(stat(path_.c_str(), &before), 0);
  fs::remove(path_);
  static_cast<void>(Change().ok());
  struct stat after = {};
  ASSERT_EQ(stat(path_.c_str(), &after), 0);
  EXPECT_EQ(after.st_mode & 0777, before.st_mode & 0777);
  EXPECT_EQ(after.st_uid, before.st_uid);
  ExpectWell();
}

TEST_F(StoreInUseTest, MovedAway) {
  fs::rename(path_, directory_ / "aside");
  ExpectHeard();
  for (int twice = 0; twice < 2; twice++) ExpectRefused(Code::kIo);
  EXPECT_FALSE(fs::exists(path_)) << "two files would claim to be the store";
  fs::rename(directory_ / "aside", path_);
  ExpectWell();
}

// As tar and rsync restore: the copy is another file.
TEST_F(StoreInUseTest, RestoredByRename) {
  WriteFile(directory_ / "copy", old_);
  fs::rename(directory_ / "copy", path_);
  ExpectHeard();
  for (int twice = 0; twice < 2; twice++) ExpectRefused(Code::kIo);
  ExpectFile(old_);
  fs::remove(path_);
  ExpectRefused(Code::kIo);
  ExpectWell();
}

TEST_F(StoreInUseTest, ReplacedByAnotherStore) {
  fs::rename(path_, directory_ / "aside");
  WriteFile(path_, "another");
  ExpectHeard();
  for (int twice = 0; twice < 2; twice++) ExpectRefused(Code::kIo);
  ExpectFile("another");
  fs::rename(directory_ / "aside", path_);
  ExpectWell();
}

// As cp restores.
TEST_F(StoreInUseTest, OverwrittenWithAnOldCopy) {
  WriteFile(path_, old_);
  ExpectHeard();
  ExpectRefused(Code::kCorrupt);
  ExpectWell();
}

TEST_F(StoreInUseTest, Cut) {
  for (const size_t size : {size_t{0}, size_t{100}, size_t{4096}}) {
    SCOPED_TRACE(size);
    // What is left may be the one record that counts.
    const bool loses = SectorOffset(Newest(), 0) + kSectorBytes > size;
    WriteFile(path_, ReadFile(path_).substr(0, size));
    if (loses) {
      ExpectHeard();
      ExpectRefused(Code::kCorrupt);
    }
    ExpectWell();
  }
}

TEST_F(StoreInUseTest, Overwritten) {
  WriteFile(path_, std::string(8192, 'x'));
  ExpectHeard();
  ExpectRefused(Code::kCorrupt);
  ExpectWell();
}

// Nothing of this matters to changes that need not survive.
TEST_F(StoreInUseTest, RemovedWithoutAptpl) {
  ASSERT_TRUE(Send(*store_, A(), RegisterIgnore(kKeyA)).ok());
  fs::remove(path_);
  ASSERT_TRUE(Send(*store_, B(), Register(0, kKeyB)).ok());
  ASSERT_TRUE(Send(*store_, A(), Release(kKeyA, kWE)).ok());
  EXPECT_FALSE(fs::exists(path_));
}

// Two processes: the one that has made the file anew is followed by the other.
TEST_F(StoreInUseTest, OpenedAgainByTheSameProcess) {
  fs::rename(path_, directory_ / "aside");
  WriteFile(path_, old_);
  EXPECT_EQ(OpenCode(path_), Code::kInUse) << "it is a copy of the store in use";
  fs::rename(directory_ / "aside", path_);
  std::shared_ptr<Store> again;
  EXPECT_TRUE(Open(path_, &again).ok());
  EXPECT_EQ(again, store_);
}

}  // namespace
}  // namespace scsi_pr
