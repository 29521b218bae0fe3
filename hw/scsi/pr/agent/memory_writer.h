// SPDX-License-Identifier: GPL-2.0-or-later
//
// Writes what is to be remembered on a thread of its own: a disk that hangs must not keep this
// host from being renewed. What is lost with the machine is what was seen in the last second, by
// which a store that is put back to then would be noticed.
#pragma once

#include <functional>
#include <optional>
#include <thread>

#include "agent/memory_file.h"
#include "store/mutex.h"

namespace scsi_pr::agent {

class MemoryWriter {
 public:
  // `failed` is called on that thread.
  MemoryWriter(MemoryFile file, std::function<void(const Status&)> failed);
  ~MemoryWriter();  // what was to be written has been, or has failed
  MemoryWriter(const MemoryWriter&) = delete;
  MemoryWriter& operator=(const MemoryWriter&) = delete;

  // In place of what has not been written yet. Any thread.
  void Write(const Membership::Memory& memory);

 private:
  void Run();

  const MemoryFile file_;
  const std::function<void(const Status&)> failed_;
  Mutex mutex_;
  Condition wake_;
  std::optional<Membership::Memory> next_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace scsi_pr::agent
