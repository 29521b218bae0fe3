// SPDX-License-Identifier: GPL-2.0-or-later
//
// A file store and the processes that share it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>

#include "../unit/temporary_directory.h"
#include "child.h"

namespace scsi_pr::testing {

inline constexpr const char* kGood = "status 0";
inline constexpr const char* kConflict = "status 24";

inline std::string Register(uint64_t key, bool aptpl = false) {
  return "out 6 0 " + std::to_string(key) + " 0 " + (aptpl ? "1" : "0");
}
inline std::string Reserve(uint64_t key) { return "out 1 " + std::to_string(key) + " 0 5 0"; }
inline std::string Preempt(uint64_t key, uint64_t victim) {
  return "out 4 " + std::to_string(key) + " " + std::to_string(victim) + " 5 0";
}
inline std::string PreemptAndAbort(uint64_t key, uint64_t victim) {
  return "out 5 " + std::to_string(key) + " " + std::to_string(victim) + " 5 0";
}

class ProcessTest : public ::testing::Test {
 protected:
  std::unique_ptr<Child> Start(int number) {
    auto child = std::make_unique<Child>(uri_, number);
    EXPECT_EQ(child->opened(), "ok");
    return child;
  }
  std::unique_ptr<Child> Attached(int number) {
    auto child = Start(number);
    EXPECT_EQ(child->Ask("attach"), "ok");
    return child;
  }

  // A command of the nexus on its way to the medium; what makes it leave.
  static std::string Enter(Child& child) {
    const std::string epoch = child.Ask("enter");
    EXPECT_TRUE(epoch.starts_with("epoch ")) << epoch;
    return "leave " + epoch.substr(6);
  }
  static bool Eventually(const std::function<bool()>& condition) {
    using namespace std::chrono_literals;
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(1ms);
    }
    return true;
  }

  const TemporaryDirectory directory_;
  const RuntimeDirectoryOfTest runtime_;
  const std::string path_ = directory_ / "lu.pr";
  const std::string uri_ = "file:" + path_;
};

}  // namespace scsi_pr::testing
