// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/memory_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "../unit/temporary_directory.h"

namespace scsi_pr::agent {
namespace {

using testing::ReadFile;
using testing::WriteFile;

class MemoryFileTest : public ::testing::Test {
 protected:
  // It must not be believed, and what was known stays.
  Status ReadRefused() const {
    Membership::Memory memory{"as it was", 1, 2, true, {}};
    const Membership::Memory before = memory;
    const Status status = file_.Read(&memory);
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(memory, before);
    return status;
  }

  // As much as it can have to hold.
  static Membership::Memory Longest() {
    Membership::Memory memory{std::string(64, 'l'), UINT64_MAX, INT64_MAX, true, {}};
    for (size_t i = 0; i < Membership::Memory::kMostUnits; i++) {
      memory.units.push_back({std::string(160, 'u'), UINT64_MAX, std::string(64, 'n')});
    }
    return memory;
  }

  const testing::TemporaryDirectory directory_;
  const MemoryFile file_{directory_.path()};
  const Membership::Memory known_{
      "life-1", UINT64_MAX, INT64_MAX, true, {{"web-1", 7, "n7"}, {"db", UINT64_MAX, "n"}}};
};

TEST_F(MemoryFileTest, NothingIsKnown) {
  Membership::Memory memory = known_;
  ASSERT_TRUE(file_.Read(&memory).ok());
  EXPECT_EQ(memory, Membership::Memory());
}

TEST_F(MemoryFileTest, WhatIsWrittenIsRead) {
  for (const Membership::Memory& memory :
       {Membership::Memory(), known_, Membership::Memory{"b", 7, 8, false, {}}, Longest()}) {
    ASSERT_TRUE(file_.Write(memory).ok());
    Membership::Memory read;
    const Status status = file_.Read(&read);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(read, memory);
  }
}

TEST_F(MemoryFileTest, DamagedIsNotForgotten) {
  ASSERT_TRUE(file_.Write(known_).ok());
  const std::string good = ReadFile(file_.path());
  for (size_t i = 0; i + 1 < good.size(); i++) {
    std::string damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    WriteFile(file_.path(), damaged);
    const Status status = ReadRefused();
    EXPECT_NE(status.message().find(file_.path()), std::string::npos);
    EXPECT_FALSE(status.hint().empty());
    WriteFile(file_.path(), good.substr(0, i));
    EXPECT_EQ(ReadRefused().code(), Status::Code::kCorrupt);
  }
  WriteFile(file_.path(), std::string(500'000, '['));
  EXPECT_EQ(ReadRefused().code(), Status::Code::kCorrupt);
  WriteFile(file_.path(), std::string(600'000, ' '));
  EXPECT_EQ(ReadRefused().code(), Status::Code::kInvalid);
}

TEST_F(MemoryFileTest, CannotBeRead) {
  ASSERT_EQ(mkdir(file_.path().c_str(), 0700), 0);
  const Status status = ReadRefused();
  EXPECT_EQ(status.code(), Status::Code::kInvalid);
  EXPECT_NE(status.hint().find("remove the file"), std::string::npos);
}

TEST_F(MemoryFileTest, CannotBeWritten) {
  const MemoryFile nowhere(directory_ / "nowhere");
  const Status status = nowhere.Write(known_);
  EXPECT_EQ(status.code(), Status::Code::kIo);
  EXPECT_NE(status.message().find("nowhere/memory.json"), std::string::npos);
  EXPECT_NE(status.hint().find("state directory"), std::string::npos);
}

// Whoever was killed in the middle of it left a part; or somebody a link.
TEST_F(MemoryFileTest, WhatIsInTheWay) {
  WriteFile(directory_ / "memory.json.new", "half");
  ASSERT_TRUE(file_.Write(known_).ok());
  WriteFile(directory_ / "victim", "precious");
  ASSERT_EQ(symlink((directory_ / "victim").c_str(), (directory_ / "memory.json.new").c_str()), 0);
  ASSERT_TRUE(file_.Write(known_).ok());
  EXPECT_EQ(ReadFile(directory_ / "victim"), "precious");
  EXPECT_FALSE(std::filesystem::exists(directory_ / "memory.json.new"));
}

TEST_F(MemoryFileTest, AFullDiskLeavesTheLastOne) {
  ASSERT_TRUE(file_.Write(known_).ok());
  // A name that cannot be made is what a full file system is to the first step.
  ASSERT_EQ(mkdir((directory_ / "memory.json.new").c_str(), 0700), 0);
  EXPECT_FALSE(file_.Write({"other", 1, 1, false, {}}).ok());
  Membership::Memory read;
  ASSERT_TRUE(file_.Read(&read).ok());
  EXPECT_EQ(read, known_);
}

}  // namespace
}  // namespace scsi_pr::agent
