// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/disk.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>

#include "core/guarded.h"
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
  void Loop();
  bool NextJob(std::function<void()>* job);
  void WaitForSomething();
  void HearChanges();

  const int wake;
  const int changes;  // -1: the user has too many of them; then nobody is told
  int watch = -1;
  std::function<void()> changed;

  std::mutex mutex;  // the two below
  std::deque<std::function<void()>> jobs;
  bool stopping = false;
};

Disk::Disk() : shared_(std::make_shared<Shared>()) {
  StartQuietThread([shared = shared_] { shared->Loop(); }).detach();
}

Disk::~Disk() {
  shared_->Post([shared = shared_] {
    shared->changed = nullptr;
    shared->stopping = true;
  });
}

void Disk::Shared::Post(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex);
    jobs.push_back(std::move(job));
  }
  const uint64_t one = 1;
  static_cast<void>(!write(wake, &one, sizeof one));
}

bool Disk::Shared::NextJob(std::function<void()>* job) {
  const std::lock_guard lock(mutex);
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
  static_cast<void>(Guarded("the store's disk", [this] { return changed(), Status(); }).ok());
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
    shared->changed = changed;
    if (shared->watch >= 0) inotify_rm_watch(shared->changes, shared->watch);
    shared->watch = inotify_add_watch(shared->changes, path.c_str(),
                                      IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF | IN_CLOSE_WRITE);
  });
}

namespace {

// Of who waits for a job.
struct Wait {
  std::mutex mutex;
  std::condition_variable ended;
  bool done = false;
  bool given_up = false;
  Status status;

  bool HasGivenUp() {
    const std::lock_guard lock(mutex);
    return given_up;
  }
  // False if nobody waits any more.
  bool End(Status with) {
    const std::lock_guard lock(mutex);
    if (given_up) return false;
    status = std::move(with);
    done = true;
    ended.notify_one();
    return true;
  }
};

}  // namespace

Status Disk::Run(Job job, std::chrono::milliseconds patience, std::function<void()> too_late) {
  const auto wait = std::make_shared<Wait>();
  shared_->Post([wait, job = std::move(job), too_late = std::move(too_late)] {
    if (!wait->HasGivenUp() && !wait->End(Guarded("the store's disk", job))) too_late();
  });
  std::unique_lock lock(wait->mutex);
  if (wait->ended.wait_for(lock, patience, [&] { return wait->done; })) return wait->status;
  wait->given_up = true;
  return Status::Error(Status::Code::kIo,
                       "its file system has not answered for " + std::to_string(patience.count()) +
                           " ms",
                       "Is it frozen (fsfreeze), or does its disk hang? Nothing was changed; it "
                       "works again when the file system does.");
}

}  // namespace scsi_pr
