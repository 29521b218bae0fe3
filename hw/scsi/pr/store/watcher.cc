// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/watcher.h"

#include <utility>

#include "store/quiet_thread.h"

namespace scsi_pr {

namespace {

// How long the gates stay shut after a fencer's death, at most.
constexpr std::chrono::milliseconds kDeathWatch{50};
constexpr std::chrono::milliseconds kForLong{3600 * 1000};

}  // namespace

Watcher::Watcher(Gate& gate, std::function<void()> repair)
    : gate_(gate), repair_(std::move(repair)) {}

Watcher::~Watcher() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  gate_.doorbell.Ring();
  if (thread_.joinable()) thread_.join();
}

void Watcher::Add(size_t slot, NexusListener* listener) {
  const std::lock_guard lock(mutex_);
  if (!thread_.joinable()) thread_ = StartQuietThread([this] { Run(); });
  const GateSlot& s = gate_.slots[slot];
  watched_[slot] = {listener, s.abort_requests(), s.fencings(), s.preemptions(),
                    gate_.published.load()};
}

// What was published before it leaves is told, whether the bell has been heard
// or not.
void Watcher::Remove(size_t slot) {
  const std::lock_guard lock(mutex_);
  const auto found = watched_.find(slot);
  if (found == watched_.end()) return;
  Tell(slot, &found->second);
  watched_.erase(found);
}

void Watcher::StoreFailed(const Status& status) {
  const std::lock_guard lock(mutex_);
  for (const auto& [index, watched] : watched_) {
    if (watched.listener != nullptr) watched.listener->StoreFailed(status);
  }
}

void Watcher::Tell(size_t index, Watched* watched) const {
  const uint64_t published = gate_.published.load();
  const uint32_t generation = gate_.generation.load();
  const GateSlot& slot = gate_.slots[index];
  const uint32_t abort_requests = slot.abort_requests();
  const uint32_t fencings = slot.fencings();
  const uint32_t preemptions = slot.preemptions();
  const bool abort = std::exchange(watched->abort_requests, abort_requests) != abort_requests;
  const bool fenced = std::exchange(watched->fencings, fencings) != fencings;
  uint32_t preempted = preemptions - std::exchange(watched->preemptions, preemptions);
  const uint64_t changes = published - std::exchange(watched->published, published);
  if (watched->listener == nullptr) return;
  if (abort) watched->listener->AbortTasks();
  if (fenced) watched->listener->Fenced();
  for (; preempted != 0; preempted--) watched->listener->Preempted();
  if (changes != 0) watched->listener->Changed(published, generation, changes);
}

bool Watcher::Deliver() {
  const std::lock_guard lock(mutex_);
  for (auto& [index, watched] : watched_) Tell(index, &watched);
  return !stopping_;
}

void Watcher::Run() {
  for (;;) {
    const uint32_t seen = gate_.doorbell.count();
    if (!Deliver()) return;
    const bool fencing = gate_.fencing.load() != 0;
    if (fencing) repair_();
    gate_.doorbell.Wait(seen, fencing ? kDeathWatch : kForLong);
  }
}

}  // namespace scsi_pr
