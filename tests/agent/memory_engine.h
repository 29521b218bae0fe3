// SPDX-License-Identifier: GPL-2.0-or-later
//
// An engine in the memory of this process, for daemons on threads: answers at once, or not.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "agent/engine.h"
#include "simulated_store.h"
#include "store/mutex.h"

namespace scsi_pr::agent {

// What the engines of all hosts lead to.
class SharedStore {
 public:
  Answer Apply(const Transaction& transaction) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const int64_t before = store_.revision();
    Answer answer = store_.Apply(transaction);
    if (store_.revision() != before) {
      const std::vector<News> news = NewsOf(transaction, store_.revision());
      for (const auto& look : looks_) look(news);
    }
    return answer;
  }
  using Looks = std::list<Engine::Look>;
  Looks::iterator AddLook(Engine::Look look) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return looks_.insert(looks_.end(), std::move(look));
  }
  void RemoveLook(Looks::iterator look) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    looks_.erase(look);
  }
  // Another store in its place, as it was: a backup.
  SimulatedStore Copy() EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return store_;
  }
  void Restore(const SimulatedStore& store) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    store_ = store;
  }

 private:
  Mutex mutex_;
  SimulatedStore store_ GUARDED_BY(mutex_);
  Looks looks_ GUARDED_BY(mutex_);
};

class MemoryEngine : public Engine {
 public:
  explicit MemoryEngine(std::shared_ptr<SharedStore> store) : store_(std::move(store)) {}

  // The host's network. What is sent while it is cut off has no answer, and is not applied; with
  // `deaf` it is applied.
  std::atomic<bool> cut_off = false;
  std::atomic<bool> deaf = false;
  std::atomic<Failure::Kind> failure = Failure::Kind::kNoAnswer;
  // What a reading finds has been so for that long when it is told.
  std::atomic<std::chrono::milliseconds> reading_takes{};

  Answer Read(const std::vector<Range>& ranges) override {
    Transaction read;
    read.reads = ranges;
    Answer answer = Txn(read);
    std::this_thread::sleep_for(reading_takes.load());
    return answer;
  }
  Answer Txn(const Transaction& transaction) override {
    if (cut_off) return NoAnswer();
    Answer answer = store_->Apply(transaction);
    return deaf ? NoAnswer() : answer;
  }
  std::unique_ptr<Hints> Hint(const std::string&, Look look) override {
    return std::make_unique<MemoryHints>(store_, std::move(look));
  }
  Identity Identify() override { return {}; }

 private:
  struct MemoryHints : Hints {
    MemoryHints(std::shared_ptr<SharedStore> its_store, Look look)
        : store(std::move(its_store)), entry(store->AddLook(std::move(look))) {}
    ~MemoryHints() override { store->RemoveLook(entry); }
    const std::shared_ptr<SharedStore> store;
    const SharedStore::Looks::iterator entry;
  };

  Answer NoAnswer() const {
    Answer answer;
    answer.failure = {failure, "the network is cut off", ""};
    return answer;
  }

  const std::shared_ptr<SharedStore> store_;
};

}  // namespace scsi_pr::agent
