// SPDX-License-Identifier: GPL-2.0-or-later
//
// Another process, which does what it is told, one thing after the other, and ends with
// this object. To be made before this process has threads.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

namespace bench {

class Peer {
 public:
  // `body` is called in the other process with each byte that Tell() was given.
  template <typename Body>
  explicit Peer(Body body) {
    int orders[2];
    int answers[2];
    if (pipe(orders) != 0 || pipe(answers) != 0) Die("no pipe");
    pid_ = fork();
    if (pid_ < 0) Die("no process");
    orders_ = orders[pid_ == 0 ? 0 : 1];
    answers_ = answers[pid_ == 0 ? 1 : 0];
    close(orders[pid_ == 0 ? 1 : 0]);
    close(answers[pid_ == 0 ? 0 : 1]);
    if (pid_ != 0) return;
    for (char order = 0; read(orders_, &order, 1) == 1 && order != kEnd;) {
      body(order, answers_);
      if (write(answers_, &order, 1) != 1) break;
    }
    _exit(0);
  }
  ~Peer() {
    if (pid_ <= 0) return;
    Order(kEnd);  // later ones have inherited the pipe: to close it ends nothing
    close(orders_);
    close(answers_);
    waitpid(pid_, nullptr, 0);
  }
  Peer(Peer&& other) noexcept
      : pid_(std::exchange(other.pid_, 0)), orders_(other.orders_), answers_(other.answers_) {}

  void Order(char order) {
    if (write(orders_, &order, 1) != 1) Die("the other process is gone");
  }
  // What `body` has written to the descriptor that it was given.
  void Receive(void* data, size_t size) {
    for (size_t have = 0; have < size;) {
      const ssize_t got = read(answers_, static_cast<char*>(data) + have, size - have);
      if (got <= 0) Die("the other process is gone");
      have += static_cast<size_t>(got);
    }
  }
  void Await() {
    char order = 0;
    Receive(&order, 1);
  }
  void Do(char order) {
    Order(order);
    Await();
  }

 private:
  static constexpr char kEnd = 0;

  pid_t pid_ = 0;
  int orders_ = -1;
  int answers_ = -1;
};

}  // namespace bench
