// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <csignal>
#include <thread>

namespace scsi_pr {

// A thread that no signal of the emulator's is ever delivered to. Throws
// std::system_error if there are no more threads.
template <typename Function>
std::thread StartQuietThread(Function function) {
  struct Quiet {
    Quiet() {
      sigset_t all;
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, &before);
    }
    ~Quiet() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
    sigset_t before;
  };
  const Quiet quiet;
  return std::thread(function);
}

}  // namespace scsi_pr
