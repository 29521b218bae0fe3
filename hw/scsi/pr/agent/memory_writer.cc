// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/memory_writer.h"

#include <utility>

#include "core/guarded.h"
#include "store/quiet_thread.h"

namespace scsi_pr::agent {

MemoryWriter::MemoryWriter(MemoryFile file, std::function<void(const Status&)> failed)
    : file_(std::move(file)),
      failed_(std::move(failed)),
      thread_(StartQuietThread([this] { Run(); })) {}

MemoryWriter::~MemoryWriter() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyOne();
  thread_.join();
}

void MemoryWriter::Write(const Membership::Memory& memory) {
  {
    const MutexLock lock(mutex_);
    next_ = memory;
  }
  wake_.NotifyOne();
}

void MemoryWriter::Run() {
  for (;;) {
    std::optional<Membership::Memory> memory;
    {
      const MutexLock lock(mutex_);
      while (!next_ && !stopping_) wake_.Wait(mutex_);
      if (!next_) return;
      memory = std::exchange(next_, std::nullopt);
    }
    const Status status = Guarded(file_.path(), [&] { return file_.Write(*memory); });
    if (!status.ok()) failed_(status);
  }
}

}  // namespace scsi_pr::agent
