// SPDX-License-Identifier: GPL-2.0-or-later
//
// A directory that goes with the object, for stores and their files.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace scsi_pr::testing {

class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& below = ::testing::TempDir()) {
    std::string pattern = below + "scsi-pr-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) ADD_FAILURE() << "no directory " << pattern;
    path_ = pattern;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Where the processes of a test have what is in force; it goes with the test, whatever
// killed processes have left. Whoever the test becomes may use it.
class RuntimeDirectoryOfTest {
 public:
  RuntimeDirectoryOfTest() {
    EXPECT_EQ(chmod(path().c_str(), 01777), 0);
    if (const char* outer = getenv(kVariables[0])) outer_ = outer;
    Set(path());
  }
  ~RuntimeDirectoryOfTest() { Set(outer_); }
  const std::string& path() const { return directory_.path(); }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path())) {
      names.push_back(entry.path().filename());
    }
    return names;
  }
  // As a reboot of the host does.
  void Clear() const {
    for (const std::string& name : Names()) std::filesystem::remove(directory_ / name);
  }

 private:
  // nexus-process obeys the first one, whatever else there is on this machine.
  static constexpr const char* kVariables[] = {"RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"};

  static void Set(const std::string& path) {
    for (const char* variable : kVariables) {
      if (path.empty()) unsetenv(variable);
      if (!path.empty()) setenv(variable, path.c_str(), 1);
    }
  }

  static std::string Memory() {
    const std::string place = ::testing::TempDir();
    return place.starts_with("/dev/shm/") ? place : "/dev/shm/";
  }

  const TemporaryDirectory directory_{Memory()};
  std::string outer_;
};

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

inline void WriteFile(const std::string& path, const std::string& contents) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << contents;
  EXPECT_TRUE(file.flush()) << path;
}

// Fills the small file system that a test has mounted, to its last byte. Any other one is
// left alone: a mount that is not there must not cost the machine its disk.
inline void FillFileSystem(const std::string& path) {
  constexpr std::uintmax_t kSmall = 16u << 20;
  const auto size = std::filesystem::space(std::filesystem::path(path).parent_path()).capacity;
  ASSERT_LE(size, kSmall) << "the file system of " << path << " is not a small one";
  std::ofstream file(path, std::ios::binary);
  const std::string block(4096, 'x');
  for (std::uintmax_t written = 0; written <= size; written += block.size()) {
    if (!file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) return;
  }
  ADD_FAILURE() << path << " is not full";
}

}  // namespace scsi_pr::testing
