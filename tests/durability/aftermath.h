// SPDX-License-Identifier: GPL-2.0-or-later
//
// The state of a store after a death.
#pragma once

#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "../unit/temporary_directory.h"
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
  Snapshot snapshot;
  EXPECT_TRUE(store != nullptr && store->Read(&snapshot).ok());
  return snapshot.state;
}

}  // namespace scsi_pr::testing
