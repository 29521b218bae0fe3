// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which file systems a store may be on, tried with real ones in a mount namespace.
#include "store/file_system.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

#include "temporary_directory.h"

namespace scsi_pr {
namespace {

using testing::TemporaryDirectory;
using testing::WriteFile;

constexpr int kSkipped = 77;

// Runs `body` in a process that can mount; it returns whether it could. What it
// expects in vain it prints.
void InMountNamespace(const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    const bool alone = unshare(CLONE_NEWNS) == 0 &&
                       mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    const bool possible = alone && body();
    _exit(::testing::Test::HasFailure() ? 1 : possible ? 0 : kSkipped);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kSkipped) GTEST_SKIP() << "this machine cannot mount that";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

Status Check(const std::string& path, bool accept = false, int flags = O_RDONLY) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC);
  EXPECT_GE(fd, 0) << path << ": " << strerror(errno);
  Status status = CheckFileSystem(fd, path, accept);
  close(fd);
  return status;
}

// The type, what to do, and nothing when somebody insists.
void ExpectRefused(const std::string& path, const char* type, int flags = O_RDONLY) {
  const Status status = Check(path, false, flags);
  EXPECT_EQ(status.code(), Status::Code::kInvalid);
  EXPECT_NE(status.message().find(path), std::string::npos) << status.message();
  EXPECT_NE(status.message().find(type), std::string::npos) << status.message();
  EXPECT_NE(status.hint().find("pr-accept-file-system=on"), std::string::npos);
  EXPECT_TRUE(Check(path, true, flags).ok());
}

TEST(FileSystemTest, Memory) {
  EXPECT_TRUE(Check("/dev/shm").ok());
  const int shm = open("/dev/shm", O_RDONLY | O_CLOEXEC);
  EXPECT_TRUE(CheckIsMemory(shm, "/dev/shm").ok());
  close(shm);
  const int proc = open("/proc", O_RDONLY | O_CLOEXEC);
  const Status status = CheckIsMemory(proc, "/proc");
  close(proc);
  EXPECT_EQ(status.code(), Status::Code::kInvalid);
  EXPECT_NE(status.message().find("/proc"), std::string::npos);
}

TEST(FileSystemTest, WhatNobodyKnowsIsRefused) { ExpectRefused("/proc", "0x00009fa0"); }

class DiskFileSystemTest : public ::testing::TestWithParam<const char*> {};

TEST_P(DiskFileSystemTest, IsAllowed) {
  const TemporaryDirectory directory;
  const std::string image = directory / "image";
  const std::string mounted = directory / "mounted";
  WriteFile(image, "");
  ASSERT_EQ(truncate(image.c_str(), off_t{512} << 20), 0);
  const auto run = [](const std::string& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
  };
  InMountNamespace([&] {
    const std::string type = GetParam();
    const bool possible = mkdir(mounted.c_str(), 0700) == 0 &&
                          run("PATH=$PATH:/sbin:/usr/sbin mkfs." + type + " " + image) &&
                          run("mount -o loop -t " + type + " " + image + " " + mounted);
    if (!possible) return false;
    EXPECT_TRUE(Check(mounted).ok());
    WriteFile(mounted + "/store", "x");
    EXPECT_TRUE(Check(mounted + "/store", false, O_RDWR).ok());
    return run("umount " + mounted);
  });
}

INSTANTIATE_TEST_SUITE_P(, DiskFileSystemTest, ::testing::Values("ext2", "ext4", "xfs", "btrfs"),
                         [](const auto& each) { return std::string(each.param); });

TEST(FileSystemTest, OverlayMustShowTheFileThatIsOpen) {
  const TemporaryDirectory directory;
  InMountNamespace([&] {
    const std::string mounted = directory / "mounted";
    if (mount("tmpfs", directory.path().c_str(), "tmpfs", 0, nullptr) != 0) return false;
    for (const char* name : {"lower", "upper", "work", "mounted"}) {
      if (mkdir((directory / name).c_str(), 0700) != 0) return false;
    }
    const std::string options = "lowerdir=" + (directory / "lower") +
                                ",upperdir=" + (directory / "upper") +
                                ",workdir=" + (directory / "work");
    if (mount("overlay", mounted.c_str(), "overlay", 0, options.c_str()) != 0) return false;
    const std::string store = mounted + "/store";
    WriteFile(store, "x");
    EXPECT_TRUE(Check(mounted).ok());
    EXPECT_TRUE(Check(store, false, O_RDWR).ok());
    const int before = open(store.c_str(), O_RDWR | O_CLOEXEC);
    WriteFile(store + ".new", "y");
    EXPECT_EQ(rename((store + ".new").c_str(), store.c_str()), 0);
    EXPECT_EQ(CheckFileSystem(before, store, false).code(), Status::Code::kInvalid);
    EXPECT_TRUE(CheckFileSystem(before, store, true).ok());
    close(before);
    return true;
  });
}

// Answers just enough for a file system to be asked what it is.
void ServeFuse(int device) {
  alignas(8) std::array<char, 1 << 17> request{};
  while (read(device, request.data(), request.size()) > 0) {
    const auto* in = reinterpret_cast<const fuse_in_header*>(request.data());
    struct {
      fuse_out_header header;
      union {
        fuse_init_out init;
        fuse_statfs_out statfs;
      };
    } out = {};
    size_t length = sizeof out.header;
    if (in->opcode == FUSE_INIT) {
      out.init.major = FUSE_KERNEL_VERSION;
      out.init.minor = FUSE_KERNEL_MINOR_VERSION;
      out.init.max_write = 4096;
      length += sizeof out.init;
    } else if (in->opcode == FUSE_STATFS) {
      length += sizeof out.statfs;
    } else {
      out.header.error = -ENOSYS;
    }
    out.header.len = static_cast<uint32_t>(length);
    out.header.unique = in->unique;
    if (write(device, &out, length) < 0) return;
  }
}

// Seen: a directory that was mounted twice made two gates.
TEST(FileSystemTest, FuseIsRefused) {
  const TemporaryDirectory directory;
  InMountNamespace([&] {
    const int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    const std::string options =
        "fd=" + std::to_string(device) + ",rootmode=40000,user_id=0,group_id=0";
    const char* mounted = directory.path().c_str();
    if (device < 0 || mount("x", mounted, "fuse", 0, options.c_str()) != 0) return false;
    std::thread(ServeFuse, device).detach();
    ExpectRefused(mounted, "FUSE", O_PATH);
    umount2(mounted, MNT_DETACH);
    return true;
  });
}

}  // namespace
}  // namespace scsi_pr
