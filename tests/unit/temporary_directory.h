// SPDX-License-Identifier: GPL-2.0-or-later
//
// A directory that goes with the object, for stores and their files.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

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
// killed processes have left.
class RuntimeDirectoryOfTest {
 public:
  RuntimeDirectoryOfTest() { setenv("RUNTIME_DIRECTORY", path().c_str(), 1); }
  const std::string& path() const { return directory_.path(); }

 private:
  const TemporaryDirectory directory_{"/dev/shm/"};
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
  const auto size =
      std::filesystem::space(std::filesystem::path(path).parent_path()).capacity;
  ASSERT_LE(size, kSmall) << "the file system of " << path << " is not a small one";
  std::ofstream file(path, std::ios::binary);
  const std::string block(4096, 'x');
  for (std::uintmax_t written = 0; written <= size; written += block.size()) {
    if (!file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) return;
  }
  ADD_FAILURE() << path << " is not full";
}

}  // namespace scsi_pr::testing
