// SPDX-License-Identifier: GPL-2.0-or-later
//
// Sends to the engine from threads of its own, which may wait; answers come on the loop.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "agent/engine.h"
#include "agent/loop.h"
#include "store/mutex.h"

namespace scsi_pr::agent {

class Asker {
 public:
  using Done = std::function<void(const Answer&)>;
  // How a request went: whether anything is written, how long it took, and its end. Called on
  // the loop.
  using Heard = std::function<void(bool writes, Time took, const Answer& answer)>;

  // As many requests at a time as there are threads. The loop outlives this.
  Asker(Loop& loop, std::shared_ptr<Engine> engine, size_t threads, Heard heard);
  ~Asker();  // waits for requests under way
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  // `done` is called on the loop, but not once `owner` is gone. On the loop.
  void Ask(Transaction transaction, std::weak_ptr<const void> owner, Done done);
  // For what is asked from now on.
  void UseEngine(std::shared_ptr<Engine> engine);
  // Who waits for nothing else uses it himself.
  std::shared_ptr<Engine> engine() const;

 private:
  struct Question {
    Transaction transaction;
    std::weak_ptr<const void> owner;
    Done done;
    std::shared_ptr<Engine> engine;
  };

  void Run();
  void Answer(const Question& question);

  Loop& loop_;
  const Heard heard_;
  mutable Mutex mutex_;
  Condition wake_;
  std::shared_ptr<Engine> engine_ GUARDED_BY(mutex_);
  std::deque<Question> questions_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace scsi_pr::agent
