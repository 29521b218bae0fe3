// SPDX-License-Identifier: GPL-2.0-or-later
//
// A bell between threads of different processes: a number in shared memory
// that the kernel can wait on (futex(2)). std::atomic's own waiting works
// within one process only.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace scsi_pr {

class Bell {
 public:
  // How often it has rung, modulo 2^32.
  uint32_t count() const { return count_.load(std::memory_order_acquire); }
  void Ring();
  // Returns once count() differs from `seen`, or after `timeout`, or for no
  // reason at all.
  void Wait(uint32_t seen, std::chrono::milliseconds timeout) const;

 private:
  std::atomic<uint32_t> count_{0};
};

static_assert(sizeof(Bell) == sizeof(uint32_t), "the kernel takes the address of a 32-bit number");

}  // namespace scsi_pr
