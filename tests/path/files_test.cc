// SPDX-License-Identifier: GPL-2.0-or-later
//
// A path group's file, its text, the key of a host, and which devices a user means.
#include <sys/sysmacros.h>

#include <thread>

#include "in_child.h"
#include "path/devices.h"
#include "path/group_file.h"
#include "path/host_key.h"
#include "temporary_directory.h"
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

using StatusCode = Status::Code;
constexpr std::chrono::milliseconds kNoPatience{0};

GroupState Example() {
  GroupState state;
  state.name = "db";
  state.key = kKeyA;
  state.unit = "naa.6001405000000001";
  state.paths = {{"/dev/sda", true, false}, {"/dev/sdb", false, true}};
  state.reserved = 0;
  state.retain = true;
  state.open = OpenMode::kRetain;
  state.pending = PendingStep{Step::kRelease, 1};
  return state;
}

TEST(GroupText, IsReadAsItWasWritten) {
  for (const Step step : {Step::kRegister, Step::kUnregister, Step::kReserve, Step::kRelease,
                          Step::kPreempt, Step::kFence, Step::kReserve6, Step::kRelease6}) {
    GroupState state = Example();
    state.pending->step = step;
    GroupState read;
    EXPECT_TRUE(DecodeGroup(EncodeGroup(state), &read).ok());
    EXPECT_EQ(read, state) << StepName(step);
  }
}

TEST(GroupText, NothingOfWhatMakesNoSense) {
  GroupState state = Example();
  state.reserved = 2;
  GroupState zero = Example();
  zero.key = 0;
  GroupState type = Example();
  type.type = kEA;
  GroupState pending = Example();
  pending.pending->path = 2;
  std::string damaged = EncodeGroup(Example());
  damaged[damaged.find("sda")] = 'S';
  for (const std::string& text :
       {EncodeGroup(state), EncodeGroup(zero), EncodeGroup(type), EncodeGroup(pending), damaged,
        std::string("{}"), std::string()}) {
    GroupState untouched;
    EXPECT_EQ(DecodeGroup(text, &untouched).code(), StatusCode::kCorrupt) << text;
    EXPECT_EQ(untouched, GroupState());
  }
}

TEST(GroupText, Names) {
  for (const char* name : {"db", "0", "a.b_c-d", "A"}) EXPECT_TRUE(IsGroupName(name)) << name;
  for (const char* name : {"", ".", "-a", "a/b", "a b", "\xC3\xA4", "_"}) {
    EXPECT_FALSE(IsGroupName(name)) << name;
  }
  EXPECT_FALSE(IsGroupName(std::string(65, 'a')));
}

class GroupFileTest : public ::testing::Test {
 protected:
  GroupFileTest() { EXPECT_TRUE(RuntimeDirectory::Open(runtime_.path(), &directory_).ok()); }

  Status Open(bool create, std::unique_ptr<GroupFile>* file,
              std::chrono::milliseconds patience = kNoPatience) {
    return GroupFile::Open(directory_, "db", create, patience, file);
  }
  std::string path() const { return runtime_.path() + "/scsi-pr-path-db.json"; }

  const RuntimeDirectoryOfTest runtime_;
  GroupFile::Directory directory_;
};

TEST_F(GroupFileTest, WhatIsSavedIsReadAgain) {
  std::unique_ptr<GroupFile> file;
  ASSERT_TRUE(Open(true, &file).ok());
  EXPECT_EQ(file->state(), std::nullopt);
  EXPECT_TRUE(file->Save(Example()).ok());
  GroupState read;
  EXPECT_TRUE(GroupFile::Read(directory_, "db", &read).ok()) << "without the lock";
  EXPECT_EQ(read, Example());
  file.reset();
  ASSERT_TRUE(Open(false, &file).ok());
  EXPECT_EQ(file->state(), Example());
  EXPECT_EQ(GroupFile::Names(directory_), std::vector<std::string>{"db"});
}

TEST_F(GroupFileTest, WhoWorksOnItKeepsOthersOut) {
  std::unique_ptr<GroupFile> file, other;
  ASSERT_TRUE(Open(true, &file).ok());
  EXPECT_EQ(Open(true, &other).code(), StatusCode::kBusy);
  EXPECT_TRUE(file->Save(Example()).ok());
  EXPECT_EQ(Open(true, &other).code(), StatusCode::kBusy) << "also what took its place";
  file.reset();
  EXPECT_TRUE(Open(true, &other).ok());
}

// Who has waited for a file that is replaced, or gone, meanwhile gets the one that counts.
TEST_F(GroupFileTest, WhoWaitsGetsTheLatest) {
  std::unique_ptr<GroupFile> file;
  ASSERT_TRUE(Open(true, &file).ok());
  std::optional<GroupState> seen;
  std::thread waits([&] {
    std::unique_ptr<GroupFile> late;
    EXPECT_TRUE(Open(false, &late, std::chrono::seconds(10)).ok());
    seen = late->state();
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(file->Save(Example()).ok());
  file.reset();
  waits.join();
  EXPECT_EQ(seen, Example());
}

TEST_F(GroupFileTest, OneThatWasNeverSavedIsNone) {
  std::unique_ptr<GroupFile> file;
  ASSERT_TRUE(Open(true, &file).ok());
  file.reset();
  EXPECT_EQ(Open(false, &file).code(), StatusCode::kInvalid);
  EXPECT_TRUE(runtime_.Names().empty());
}

TEST_F(GroupFileTest, ARemovedOneIsNone) {
  std::unique_ptr<GroupFile> file;
  ASSERT_TRUE(Open(true, &file).ok());
  EXPECT_TRUE(file->Save(Example()).ok());
  file->Remove();
  file.reset();
  GroupState state;
  EXPECT_EQ(GroupFile::Read(directory_, "db", &state).code(), StatusCode::kInvalid);
  EXPECT_TRUE(runtime_.Names().empty());
}

TEST_F(GroupFileTest, ADamagedOneIsSaidToBe) {
  WriteFile(path(), "{}");
  std::unique_ptr<GroupFile> file;
  EXPECT_EQ(Open(true, &file).code(), StatusCode::kCorrupt);
  EXPECT_EQ(ReadFile(path()), "{}") << "nothing takes its place";
}

// The directory is also that of those who run QEMU.
TEST_F(GroupFileTest, WhatOthersMayWriteIsNotBelieved) {
  std::unique_ptr<GroupFile> file;
  ASSERT_TRUE(Open(true, &file).ok());
  EXPECT_TRUE(file->Save(Example()).ok());
  file.reset();
  GroupState state;
  for (const mode_t mode : {0620, 0602}) {
    EXPECT_EQ(chmod(path().c_str(), mode), 0);
    EXPECT_EQ(Open(false, &file).code(), StatusCode::kIo);
    EXPECT_EQ(GroupFile::Read(directory_, "db", &state).code(), StatusCode::kIo);
  }
  EXPECT_EQ(chmod(path().c_str(), 0644), 0);
  EXPECT_TRUE(GroupFile::Read(directory_, "db", &state).ok());
  EXPECT_EQ(rename(path().c_str(), (runtime_.path() + "/scsi-pr-path-x.json").c_str()), 0);
  EXPECT_EQ(GroupFile::Read(directory_, "x", &state).code(), StatusCode::kCorrupt) << "it is db's";
}

TEST_F(GroupFileTest, WhatIsAnotherUsersIsNotBelieved) {
  WriteFile(path(), EncodeGroup(Example()));
  if (chown(path().c_str(), 65534, 65534) != 0) GTEST_SKIP() << "only root gives files away";
  GroupState state;
  EXPECT_EQ(GroupFile::Read(directory_, "db", &state).code(), StatusCode::kIo);
}

TEST_F(GroupFileTest, NothingLeadsOutOfTheDirectory) {
  std::unique_ptr<GroupFile> file;
  const Status status = GroupFile::Open(directory_, "../db", true, kNoPatience, &file);
  EXPECT_EQ(status.code(), StatusCode::kInvalid);
  EXPECT_EQ(symlink("/etc/passwd", path().c_str()), 0);
  EXPECT_FALSE(Open(true, &file).ok());
}

// A process dies in the middle of saving: the lock is free, and what it has left is removed.
TEST_F(GroupFileTest, KilledWhileItSaves) {
  EXPECT_EQ(InChild([&] {
              std::unique_ptr<GroupFile> file;
              EXPECT_TRUE(Open(true, &file).ok());
              EXPECT_TRUE(file->Save(Example()).ok());
              WriteFile(path() + ".new-00000000-0000-4000-8000-000000000000", "half");
              kill(getpid(), SIGKILL);
              return 0;
            }),
            -1);
  std::unique_ptr<GroupFile> file;
  ASSERT_TRUE(Open(false, &file).ok());
  EXPECT_EQ(file->state(), Example());
  EXPECT_EQ(runtime_.Names().size(), 1u);
}

// The header says how; by hand: printf 'scsi-pr path\n%s\ndb' ID | sha256sum
TEST(HostKey, IsTheDigestOfMachineAndGroup) {
  EXPECT_EQ(DeriveHostKey("0123456789abcdef0123456789abcdef", "db"), 0x6d28ac42eea4672fu);
  EXPECT_NE(DeriveHostKey("0123456789abcdef0123456789abcdef", "db2"), 0x6d28ac42eea4672fu);
  EXPECT_NE(DeriveHostKey("1123456789abcdef0123456789abcdef", "db"), 0x6d28ac42eea4672fu);
}

TEST(HostKey, NoMachineId) {
  const TemporaryDirectory directory;
  std::string id;
  for (const char* text : {"", "uninitialized\n", "0123456789ABCDEF0123456789ABCDEF\n", "0123\n"}) {
    WriteFile(directory / "id", text);
    EXPECT_EQ(ReadMachineId(&id, directory / "id").code(), StatusCode::kIo) << text;
  }
  WriteFile(directory / "id", "0123456789abcdef0123456789abcdef\n");
  EXPECT_TRUE(ReadMachineId(&id, directory / "id").ok());
  EXPECT_EQ(id, "0123456789abcdef0123456789abcdef");
}

// A sysfs with a map of dm-multipath (253:0), a volume of LVM's (253:1), and a partition (8:1).
class DevicesTest : public ::testing::Test {
 protected:
  DevicesTest() {
    for (const char* path : {"253:0/dm", "253:0/slaves/sdc", "253:0/slaves/sdb", "253:1/dm",
                             "253:1/slaves/sdd", "8:1", "8:0"}) {
      std::filesystem::create_directories(sysfs_ / "dev/block/" + path);
    }
    WriteFile(sysfs_ / "dev/block/253:0/dm/uuid", "mpath-36001405\n");
    WriteFile(sysfs_ / "dev/block/253:1/dm/uuid", "LVM-abc\n");
    WriteFile(sysfs_ / "dev/block/8:1/partition", "1\n");
  }
  Status Expand(unsigned major, unsigned minor, std::vector<std::string>* paths) const {
    return devices_.ExpandNumber("/dev/x", true, makedev(major, minor), paths);
  }

  const TemporaryDirectory sysfs_;
  const Devices devices_{sysfs_.path()};
};

TEST_F(DevicesTest, AMapStandsForItsPaths) {
  std::vector<std::string> paths;
  EXPECT_TRUE(Expand(253, 0, &paths).ok());
  EXPECT_EQ(paths, (std::vector<std::string>{"/dev/sdb", "/dev/sdc"}));
}

TEST_F(DevicesTest, ADiskStandsForItself) {
  std::vector<std::string> paths;
  EXPECT_TRUE(Expand(8, 0, &paths).ok());
  EXPECT_EQ(paths, std::vector<std::string>{"/dev/x"});
}

TEST_F(DevicesTest, NeitherAPartitionNorAVolumeIsAPath) {
  std::vector<std::string> paths;
  EXPECT_EQ(Expand(8, 1, &paths).code(), StatusCode::kInvalid);
  EXPECT_EQ(Expand(253, 1, &paths).code(), StatusCode::kInvalid);
  EXPECT_EQ(devices_.Expand("/nowhere", &paths).code(), StatusCode::kIo);
  EXPECT_EQ(devices_.Expand(sysfs_.path(), &paths).code(), StatusCode::kIo);
  EXPECT_TRUE(paths.empty());
}

}  // namespace
}  // namespace scsi_pr
