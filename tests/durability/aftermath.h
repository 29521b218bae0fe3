// SPDX-License-Identifier: GPL-2.0-or-later
//
// The state of a store after a death.
#pragma once

#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "../unit/temporary_directory.h"
#include "gate/gate.h"
#include "store/store.h"

namespace scsi_pr::testing {

// Copies without opening anything in this process: closing it would drop the
// locks of SQLite.
inline void CopyFile(const std::string& from, const std::string& to) {
  std::vector<std::string> words{"cp", from, to};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  ASSERT_EQ(posix_spawnp(&pid, "cp", nullptr, nullptr, argv.data(), environ), 0);
  int status = 0;
  waitpid(pid, &status, 0);
  ASSERT_EQ(status, 0) << from;
}

// What the next one to open the store would find if every process died now.
inline State FoundAfterDeathOfAll(const std::string& path) {
  const TemporaryDirectory directory;
  const std::string copy = directory / "lu.pr";
  CopyFile(path, copy);
  if (std::filesystem::exists(path + "-wal")) CopyFile(path + "-wal", copy + "-wal");
  std::shared_ptr<Store> store;
  const Status status = Store::Open("file:" + copy, Store::OpenMode::kExisting, &store);
  EXPECT_TRUE(status.ok()) << status.message();
  std::shared_ptr<const Record> snapshot;
  EXPECT_TRUE(store != nullptr && store->Read(&snapshot).ok());
  return snapshot->state;
}

// Leaves the files of a store that nobody uses as another boot of the host would have
// done: the gate has its boot ID, and the index of SQLite's log is garbage.
inline void Reboot(const std::string& path) {
  WriteFile(path + "-shm", std::string(32768, '\xA5'));
  const std::string gate_path = path + "-gate";
  std::string contents = ReadFile(gate_path);
  struct stat info = {};
  if (contents.size() != sizeof(Gate) || stat(path.c_str(), &info) != 0) return;
  const auto put = [&](size_t offset, const void* data, size_t size) {
    contents.replace(offset, size, static_cast<const char*>(data), size);
  };
  const uint64_t device = info.st_dev;
  const uint64_t inode = info.st_ino;
  put(offsetof(Gate, device), &device, sizeof device);
  put(offsetof(Gate, inode), &inode, sizeof inode);
  put(offsetof(Gate, boot_id), "another boot", sizeof "another boot");
  WriteFile(gate_path, contents);
}

}  // namespace scsi_pr::testing
