// SPDX-License-Identifier: GPL-2.0-or-later
//
// A thread that waits for a disk so that nobody else has to: what it is given runs one
// at a time, in the order it came, and whoever waits for it gives up after a while. A
// write to a frozen file system ends when that is thawed, maybe hours later; the job goes
// on then, and nobody waits any more. It also hears from the kernel when somebody else
// does something to a file; without that it never wakes up by itself.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "core/status.h"
#include "gate/thread_annotations.h"

namespace scsi_pr {

// The thread of a Disk, on which its jobs run.
inline constexpr Role kDiskThread{};

class Disk {
 public:
  using Job = std::function<Status()>;

  // Throws std::system_error if there are no more threads or descriptors.
  Disk();
  // Never waits: what is under way ends by itself, and with it goes what the jobs hold.
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  // Runs `job` and waits for its end, for so long at most; then kIo. If it has begun by
  // then, it comes to its end some time, and `too_late` runs behind it: exactly one of
  // the two happens, a return of what the job has returned or a call of `too_late`. Both
  // hold what they use. Any thread but this one.
  Status Run(
      Job job, std::chrono::milliseconds patience, std::function<void()> too_late = [] {});

  // Runs it some time later. Any thread.
  void Post(std::function<void()> job);

  // `changed` runs on this thread after somebody has written to that file, linked, moved
  // or removed it, once for several such events. In place of the last one. Any thread.
  void Watch(const std::string& path, std::function<void()> changed);

 private:
  struct Shared;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace scsi_pr
