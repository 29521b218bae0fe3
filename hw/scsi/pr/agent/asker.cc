// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/asker.h"

#include <utility>

#include "core/guarded.h"
#include "store/quiet_thread.h"

namespace scsi_pr::agent {

Asker::Asker(Loop& loop, std::shared_ptr<Engine> engine, size_t threads, Heard heard)
    : loop_(loop), heard_(std::move(heard)), engine_(std::move(engine)) {
  for (size_t i = 0; i < threads; i++) threads_.push_back(StartQuietThread([this] { Run(); }));
}

Asker::~Asker() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    questions_.clear();
  }
  wake_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

void Asker::Ask(Transaction transaction, std::weak_ptr<const void> owner, Done done) {
  {
    const MutexLock lock(mutex_);
    questions_.push_back({std::move(transaction), std::move(owner), std::move(done), engine_});
  }
  wake_.NotifyOne();
}

void Asker::UseEngine(std::shared_ptr<Engine> engine) {
  const MutexLock lock(mutex_);
  engine_ = std::move(engine);
}

std::shared_ptr<Engine> Asker::engine() const {
  const MutexLock lock(mutex_);
  return engine_;
}

void Asker::Run() {
  for (;;) {
    Question question;
    {
      const MutexLock lock(mutex_);
      while (questions_.empty() && !stopping_) wake_.Wait(mutex_);
      if (stopping_) return;
      question = std::move(questions_.front());
      questions_.pop_front();
    }
    Answer(question);
  }
}

// An answer comes in any case: what the engine throws is one that it did not give.
void Asker::Answer(const Question& question) {
  const Transaction& transaction = question.transaction;
  const bool writes = !transaction.writes.empty() || !transaction.compares.empty();
  const Time start = Loop::Now();
  agent::Answer answer;
  const Status status = Guarded("the engine", [&] {
    answer = writes ? question.engine->Txn(transaction) : question.engine->Read(transaction.reads);
    return Status();
  });
  if (!status.ok()) answer.failure = {Failure::Kind::kNoAnswer, status.message(), ""};
  loop_.Post([this, writes, took = Loop::Now() - start, owner = question.owner,
              done = question.done, answer = std::move(answer)] {
    heard_(writes, took, answer);
    if (owner.lock()) done(answer);
  });
}

}  // namespace scsi_pr::agent
