// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/observer.h"

#include <sys/stat.h>

#include <ctime>

#include "store/file_backing.h"

namespace scsi_pr {

namespace {

std::array<int64_t, 4> MarkOf(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) return {};
  return {static_cast<int64_t>(info.st_ino), info.st_size, info.st_mtim.tv_sec,
          info.st_mtim.tv_nsec};
}

}  // namespace

Observer::Mark Observer::Take() const {
  Mark mark;
  const std::string& path = last_.path.empty() ? path_ : last_.path;
  mark.files = {MarkOf(path), MarkOf(path + "-wal"), MarkOf(path + "-gate")};
  if (!last_.gate) return mark;
  const Gate& gate = last_.gate->gate();
  mark.published = gate.published.load();
  mark.fencing = gate.fencing.load();
  std::unique_ptr<RangeLock> locks;
  if (!RangeLock::OpenToLook(path, &locks).ok()) return mark;
  for (size_t i = 0; i < Gate::kSlots; i++) {
    if (gate.slots[i].attached() && FileBacking::IsTaken(*locks, i)) mark.attached.push_back(i);
  }
  return mark;
}

// The same marks before and after: what was seen is what they stand for. Else
// something that came and went again would leave them as they were before.
Inspection Observer::Look() {
  rung_ = last_.gate ? last_.gate->gate().doorbell.count() : 0;
  mark_ = Take();
  last_ = Inspect(path_, false);
  if (!(Take() == *mark_)) mark_.reset();
  return last_;
}

bool Observer::Changed() const { return !mark_ || !(Take() == *mark_); }

void Observer::Wait() const {
  if (last_.gate) {
    last_.gate->gate().doorbell.Wait(rung_, kInterval);
    return;
  }
  const timespec pause = {0, std::chrono::nanoseconds(kInterval).count()};
  nanosleep(&pause, nullptr);
}

}  // namespace scsi_pr
