// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/watcher.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/guarded.h"
#include "store/quiet_thread.h"

namespace scsi_pr {

namespace {

constexpr std::chrono::milliseconds kForLong{3600 * 1000};

// How many changes lie between two versions, if other processes tell the truth.
uint64_t Between(uint64_t before, uint64_t now) {
  if (now < before) return 1;
  return std::min<uint64_t>(now - before, std::numeric_limits<uint32_t>::max());
}

}  // namespace

Watcher::Watcher(Gate& gate, std::function<void()> repair)
    : gate_(gate), repair_(std::move(repair)) {}

void Watcher::Stop() {
  std::thread thread;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    thread.swap(thread_);
  }
  gate_.doorbell.Ring();
  if (thread.joinable()) thread.join();
}

void Watcher::Add(size_t slot, NexusListener* listener) {
  const MutexLock lock(mutex_);
  if (!thread_.joinable()) {
    thread_ = StartQuietThread([this] {
      kThread.AssertHeld();
      Run();
    });
  }
  const GateSlot& s = gate_.slots[slot];
  watched_[slot] = {listener, s.abort_requests(), s.fencings(), s.preemptions(),
                    gate_.published.load()};
}

// What was published before it leaves is told, whether the bell has been heard
// or not.
void Watcher::Remove(size_t slot) {
  const MutexLock lock(mutex_);
  const auto found = watched_.find(slot);
  if (found == watched_.end()) return;
  for (uint32_t told = 0; Tell(slot, &found->second) && told < kMostUntold;) {
    told += kMostPreemptions;
  }
  watched_.erase(found);
}

void Watcher::StoreFailed(const Status& status) {
  const MutexLock lock(mutex_);
  for (const auto& [index, watched] : watched_) {
    if (watched.listener != nullptr) watched.listener->StoreFailed(status);
  }
}

bool Watcher::Tell(size_t index, Watched* watched) const {
  const uint64_t published = gate_.published.load();
  const uint32_t generation = gate_.generation.load();
  const GateSlot& slot = gate_.slots[index];
  const uint32_t abort_requests = slot.abort_requests();
  const uint32_t fencings = slot.fencings();
  const uint32_t preemptions = slot.preemptions();
  const bool abort = std::exchange(watched->abort_requests, abort_requests) != abort_requests;
  const bool fenced = std::exchange(watched->fencings, fencings) != fencings;
  if (preemptions - watched->preemptions > kMostUntold) watched->preemptions = preemptions - 1;
  const uint32_t preempted = std::min(preemptions - watched->preemptions, kMostPreemptions);
  watched->preemptions += preempted;
  const uint64_t changes = Between(std::exchange(watched->published, published), published);
  const bool more = watched->preemptions != preemptions;
  if (watched->listener == nullptr) return more;
  if (abort) watched->listener->AbortTasks();
  if (fenced) watched->listener->Fenced();
  for (uint32_t i = 0; i < preempted; i++) watched->listener->Preempted();
  if (changes != 0) watched->listener->Changed(published, generation, changes);
  return more;
}

bool Watcher::Deliver() {
  const MutexLock lock(mutex_);
  bool more = false;
  for (auto& [index, watched] : watched_) more = Tell(index, &watched) || more;
  return more;
}

// True while a fencing is under way. Its fencer lives, usually: nobody disturbs him at
// its beginning.
bool Watcher::Repair() {
  if (gate_.fencing.load() == 0) {
    fencing_since_.reset();
    return false;
  }
  const auto now = Pace::Clock::now();
  if (!fencing_since_) fencing_since_ = now;
  if (now - *fencing_since_ >= kDeathWatch) {
    repair_();
    fencing_since_ = now;
  }
  return true;
}

bool Watcher::IsStopping() {
  const MutexLock lock(mutex_);
  return stopping_;
}

void Watcher::Run() {
  for (Pace pace;;) {
    pace.Keep();
    const uint32_t seen = gate_.doorbell.count();
    if (IsStopping()) return;
    bool more = false;
    bool fencing = false;
    // What a listener throws is nobody's to hear here: it goes on with the next news.
    static_cast<void>(Guarded("the gate", [&] { return more = Deliver(), Status(); }).ok());
    static_cast<void>(Guarded("the gate", [&] {
                        kThread.AssertHeld();
                        return fencing = Repair(), Status();
                      }).ok());
    gate_.doorbell.Wait(seen, more ? Pace::kWindow : fencing ? kDeathWatch : kForLong);
  }
}

}  // namespace scsi_pr
