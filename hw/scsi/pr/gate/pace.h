// SPDX-License-Identifier: GPL-2.0-or-later
//
// How often a thread follows a bell that other processes ring. Usually at once; who is
// rung at all the time looks a few times in each kWindow, so that it costs next to
// nothing, and nothing waits longer than that.
#pragma once

#include <chrono>
#include <thread>

namespace scsi_pr {

class Pace {
 public:
  using Clock = std::chrono::steady_clock;

  static constexpr std::chrono::milliseconds kWindow{10};
  static constexpr unsigned kLooks = 4;  // a fencing rings twice, and when it has ended

  // Before each look: sleeps until the window's end if it is used up.
  void Keep() {
    auto now = Clock::now();
    if (now < end_ && looks_ == kLooks) {
      std::this_thread::sleep_until(end_);
      now = Clock::now();
    }
    if (now >= end_) {
      end_ = now + kWindow;
      looks_ = 0;
    }
    looks_++;
  }

 private:
  Clock::time_point end_{};
  unsigned looks_ = 0;
};

}  // namespace scsi_pr
