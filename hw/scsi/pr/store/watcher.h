// SPDX-License-Identifier: GPL-2.0-or-later
//
// Answers a gate's doorbell for the nexuses of this process: hands abort
// requests and news of preemptions and changes to their listeners. While a fencing is
// under way, in whichever process, it also looks whether the fencer lives:
// nobody else would notice that one died with the gates shut.
//
// Whatever other processes write into the gate, and how often they ring: the listeners
// hear it at most Pace::kLooks times in Pace::kWindow, with bounded counts, and the
// thread costs next to nothing.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <thread>

#include "gate/gate.h"
#include "gate/pace.h"
#include "store/mutex.h"
#include "store/store.h"

namespace scsi_pr {

class Watcher {
 public:
  // How long the gates stay shut after a fencer's death, at most.
  static constexpr std::chrono::milliseconds kDeathWatch{50};
  // A listener hears of so many preemptions in one go, of the rest in the next. If more
  // than could be are to be told they are garbage, and told as one.
  static constexpr uint32_t kMostPreemptions = 16;
  static constexpr uint32_t kMostUntold = 4096;

  // `repair` republishes the committed state if nobody holds the right to
  // change it; it may fail, and is called again then. Every kDeathWatch at most.
  Watcher(Gate& gate, std::function<void()> repair);
  ~Watcher() { Stop(); }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // Waits for calls under way. Nothing is called any more, and nothing may be added.
  void Stop();
  // Throws std::system_error, with nothing done, if there are no more threads.
  void Add(size_t slot, NexusListener* listener);
  // Waits for a call to its listener that is under way, and tells it what it has
  // not heard yet, on the caller's thread.
  void Remove(size_t slot);
  // Tells all listeners, on the caller's thread.
  void StoreFailed(const Status& status);

 private:
  struct Watched {
    NexusListener* listener;  // or null
    uint32_t abort_requests;
    uint32_t fencings;
    uint32_t preemptions;
    uint64_t published;
  };

  static constexpr Role kThread{};

  void Run() REQUIRES(kThread);
  // True if there is more to tell.
  bool Tell(size_t index, Watched* watched) const REQUIRES(mutex_);
  bool Deliver();
  bool Repair() REQUIRES(kThread);
  bool IsStopping();

  Gate& gate_;
  const std::function<void()> repair_;
  // Since when a fencing is under way, or when it was last looked after.
  std::optional<Pace::Clock::time_point> fencing_since_ GUARDED_BY(kThread);

  Mutex mutex_;  // also for the calls to listeners
  std::map<size_t, Watched> watched_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_ GUARDED_BY(mutex_);
};

}  // namespace scsi_pr
