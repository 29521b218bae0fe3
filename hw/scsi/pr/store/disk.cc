// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/disk.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <system_error>

#include "core/guarded.h"
#include "store/mutex.h"
#include "store/quiet_thread.h"

namespace scsi_pr {

struct Disk::Shared {
  Shared() : wake(eventfd(0, EFD_CLOEXEC)), changes(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    if (wake < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  }
  ~Shared() {
    close(wake);
    if (changes >= 0) close(changes);
  }

  void Post(std::function<void()> job);
  void Loop() REQUIRES(kDiskThread);
  bool NextJob(std::function<void()>* job);
  void WaitForSomething() REQUIRES(kDiskThread);
  void HearChanges() REQUIRES(kDiskThread);

  const int wake;
  const int changes;  // -1: the user has too many of them; then nobody is told
  int watch GUARDED_BY(kDiskThread) = -1;
  std::function<void()> changed GUARDED_BY(kDiskThread);
  bool stopping GUARDED_BY(kDiskThread) = false;

  Mutex mutex;
  std::deque<std::function<void()>> jobs GUARDED_BY(mutex);
};

Disk::Disk() : shared_(std::make_shared<Shared>()) {
  StartQuietThread([shared = shared_] {
    kDiskThread.AssertHeld();
    shared->Loop();
  }).detach();
}

Disk::~Disk() {
  shared_->Post([shared = shared_] {
    kDiskThread.AssertHeld();
    shared->changed = nullptr;
    shared->stopping = true;
  });
}

void Disk::Shared::Post(std::function<void()> job) {
  {
    const MutexLock lock(mutex);
    jobs.push_back(std::move(job));
  }
  const uint64_t one = 1;
  static_cast<void>(!write(wake, &one, sizeof one));
}

bool Disk::Shared::NextJob(std::function<void()>* job) {
  const MutexLock lock(mutex);
  if (jobs.empty()) return false;
  *job = std::move(jobs.front());
  jobs.pop_front();
  return true;
}

void Disk::Shared::WaitForSomething() {
  pollfd ready[2] = {{wake, POLLIN, 0}, {changes, POLLIN, 0}};
  poll(ready, 2, -1);
  uint64_t count = 0;
  if ((ready[0].revents & POLLIN) != 0) static_cast<void>(!read(wake, &count, sizeof count));
  if ((ready[1].revents & POLLIN) != 0) HearChanges();
}

void Disk::Shared::HearChanges() {
  char events[4096];
  while (read(changes, events, sizeof events) > 0) {
  }
  if (!changed) return;
  static_cast<void>(Guarded("the store's disk", [this] {
                      kDiskThread.AssertHeld();
                      return changed(), Status();
                    }).ok());
}

void Disk::Shared::Loop() {
  while (!stopping) {
    std::function<void()> job;
    if (NextJob(&job)) {
      job();
      // What it holds goes with it: closing a file may wait, too.
    } else {
      WaitForSomething();
    }
  }
}

void Disk::Post(std::function<void()> job) {
  shared_->Post([job = std::move(job)] {
    static_cast<void>(Guarded("the store's disk", [&] { return job(), Status(); }).ok());
  });
}

void Disk::Watch(const std::string& path, std::function<void()> changed) {
  shared_->Post([shared = shared_, path, changed = std::move(changed)] {
    kDiskThread.AssertHeld();
    shared->changed = changed;
    if (shared->watch >= 0) inotify_rm_watch(shared->changes, shared->watch);
    shared->watch = inotify_add_watch(shared->changes, path.c_str(),
                                      IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF | IN_CLOSE_WRITE);
  });
}

namespace {

// Of who waits for a job.
struct Wait {
  Mutex mutex;
  Condition ended;
  bool done GUARDED_BY(mutex) = false;
  bool given_up GUARDED_BY(mutex) = false;
  Status status GUARDED_BY(mutex);

  bool HasGivenUp() {
    const MutexLock lock(mutex);
    return given_up;
  }
  // False if nobody waits any more.
  bool End(Status with) {
    const MutexLock lock(mutex);
    if (given_up) return false;
    status = std::move(with);
    done = true;
    ended.NotifyOne();
    return true;
  }
};

}  // namespace

Status Disk::Run(Job job, std::chrono::milliseconds patience, std::function<void()> too_late) {
  const auto wait = std::make_shared<Wait>();
  shared_->Post([wait, job = std::move(job), too_late = std::move(too_late)] {
    if (!wait->HasGivenUp() && !wait->End(Guarded("the store's disk", job))) too_late();
  });
  const auto deadline = std::chrono::steady_clock::now() + patience;
  const MutexLock lock(wait->mutex);
  while (!wait->done && wait->ended.WaitUntil(wait->mutex, deadline)) {
  }
  if (wait->done) return wait->status;
  wait->given_up = true;
  return Status::Error(
      Status::Code::kIo,
      "its file system has not answered for " + std::to_string(patience.count()) + " ms",
      "Is it frozen (fsfreeze), or does its disk hang? Nothing was changed; it "
      "works again when the file system does.");
}

}  // namespace scsi_pr
