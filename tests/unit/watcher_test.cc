// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/watcher.h"

#include <gtest/gtest.h>

#include <memory>

#include "gate/gate.h"

namespace scsi_pr {
namespace {

class Counter : public NexusListener {
 public:
  void AbortTasks() override {}
  void Fenced() override {}
  void Preempted() override {}
  void Changed(uint64_t version, uint32_t, uint64_t count) override {
    version_ = version;
    count_ += count;
  }
  void StoreFailed(const Status&) override {}

  uint64_t version_ = 0;
  uint64_t count_ = 0;
};

// A change whose bell the watcher's thread has not heard when the nexus leaves.
TEST(WatcherTest, WhoLeavesHasHeardOfEveryChange) {
  const auto gate = std::make_unique<Gate>();
  Counter listener;
  Watcher watcher(*gate, [] {});
  watcher.Add(3, &listener);
  gate->published.store(gate->published.load() + 2);
  watcher.Remove(3);
  EXPECT_EQ(listener.version_, gate->published.load());
  EXPECT_EQ(listener.count_, 2u);
}

}  // namespace
}  // namespace scsi_pr
