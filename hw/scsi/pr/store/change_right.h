// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

#include "core/status.h"

namespace scsi_pr {

class LocalStore;

// Waits between two attempts, a little longer each time.
class Pause {
 public:
  void operator()() {
    std::this_thread::sleep_for(length_);
    length_ = std::min(length_ * 2, std::chrono::microseconds{2000});
  }

 private:
  std::chrono::microseconds length_{50};
};

// The right to change a store's state, in this process and among all. It polls: a
// lock that is waited for in the kernel could not be given up.
class ChangeRight {
 public:
  ChangeRight(LocalStore& store, const std::function<bool()>& cancelled);
  explicit ChangeRight(LocalStore& store) : ChangeRight(store, [] { return false; }) {}
  ~ChangeRight();
  ChangeRight(const ChangeRight&) = delete;
  ChangeRight& operator=(const ChangeRight&) = delete;

  Status status() const;

 private:
  LocalStore& store_;
  bool held_ = false;
};

}  // namespace scsi_pr
