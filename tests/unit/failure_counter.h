// SPDX-License-Identifier: GPL-2.0-or-later
//
// How often the owner of a nexus was told that its store fails.
#pragma once

#include <atomic>

#include "store/store.h"

namespace scsi_pr::testing {

class FailureCounter : public NexusListener {
 public:
  void AbortTasks() override {}
  void Preempted() override {}
  void StoreFailed(const Status&) override { failures++; }

  std::atomic<int> failures{0};
};

}  // namespace scsi_pr::testing
