// SPDX-License-Identifier: GPL-2.0-or-later
#include "care/observer.h"

#include <sys/stat.h>

#include <ctime>

namespace scsi_pr {

Observer::Mark Observer::Take() const {
  Mark mark;
  struct stat info = {};
  if (stat((last_.path.empty() ? subject_.path : last_.path).c_str(), &info) == 0) {
    mark.file = {static_cast<int64_t>(info.st_ino), info.st_size, info.st_mtim.tv_sec,
                 info.st_mtim.tv_nsec};
  }
  // Another memory may have come meanwhile.
  const auto memory = MemoryView::Find(last_.identity, subject_.runtime_directory, info.st_uid);
  if (!memory || !memory->in_use()) return mark;
  mark.in_use = true;
  mark.published = memory->gate().published.load();
  mark.fencing = memory->gate().fencing.load();
  mark.attached = memory->LiveSlots();
  return mark;
}

// The same marks before and after: what was seen is what they stand for. Else
// something that came and went again would leave them as they were before.
Inspection Observer::Look() {
  mark_ = Take();
  last_ = Inspect(subject_);
  if (!(Take() == *mark_)) mark_.reset();
  return last_;
}

bool Observer::Changed() const { return !mark_ || !(Take() == *mark_); }

void Observer::Wait() {
  const timespec pause = {0, std::chrono::nanoseconds(kInterval).count()};
  nanosleep(&pause, nullptr);
}

}  // namespace scsi_pr
