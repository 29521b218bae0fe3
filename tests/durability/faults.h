// SPDX-License-Identifier: GPL-2.0-or-later
//
// A disk that fails at a chosen call.
#pragma once

#include <fcntl.h>

#include <atomic>
#include <cerrno>
#include <string>

#include "file_calls.h"

namespace scsi_pr::testing {

struct Fault {
  const char* name;
  int error;      // an errno, or FileWatcher::kShortWrite
  bool for_good;  // all calls from then on fail
  bool sync_only = false;
};

inline constexpr Fault kFaults[] = {
    {"EIO once", EIO, false},
    {"EIO for good", EIO, true},
    {"full once", ENOSPC, false},
    {"full for good", ENOSPC, true},
    {"read-only", EROFS, true},
    {"a short write", FileWatcher::kShortWrite, false},
    {"short writes", FileWatcher::kShortWrite, true},
    {"a sync fails", EIO, false, true},
    {"every sync fails", EIO, true, true},
};

// Locks do not fail: no disk is asked for them.
class FaultyDisk : public FileWatcher {
 public:
  // The `at`th call from now (1: the next) fails.
  void Arm(const Fault& fault, int at) {
    fault_ = fault;
    left_ = at;
    hit_ = false;
  }
  void Disarm() { left_ = kNever; }
  bool hit() const { return hit_; }
  // Whether a file that should go could not.
  bool kept_a_file() const { return kept_a_file_; }

  int Before(const FileCall& call) override {
    if (call.kind == FileCall::Kind::kLock) return 0;
    if (fault_.sync_only && call.kind != FileCall::Kind::kSync) return 0;
    const int left = left_ - 1;
    if (left_ == kNever || left > 0 || (left < 0 && !fault_.for_good)) {
      if (left_ != kNever) left_ = left;
      return 0;
    }
    left_ = left;
    hit_ = true;
    kept_a_file_ = kept_a_file_ || call.kind == FileCall::Kind::kUnlink;
    return Error(call);
  }

 private:
  static constexpr int kNever = 1 << 30;

  // As the kernel has it: a full disk can still be read and synced, and a file of a
  // read-only one not be opened to write.
  int Error(const FileCall& call) const {
    const int to_write = fault_.error == EROFS ? O_CREAT | O_RDWR : O_CREAT;
    const bool reads = call.kind == FileCall::Kind::kOpen && (call.flags & to_write) == 0;
    const bool writes =
        call.kind != FileCall::Kind::kRead && call.kind != FileCall::Kind::kSync && !reads;
    if (fault_.error == kShortWrite) return call.kind == FileCall::Kind::kWrite ? kShortWrite : EIO;
    if (fault_.error == EIO || writes) return fault_.error;
    return 0;
  }

  Fault fault_{};
  std::atomic<int> left_ = kNever;
  std::atomic<bool> hit_ = false;
  std::atomic<bool> kept_a_file_ = false;
};

}  // namespace scsi_pr::testing
