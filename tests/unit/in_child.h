// SPDX-License-Identifier: GPL-2.0-or-later
//
// Tests that need a process of their own: for its mounts, its user, or its death.
#pragma once

#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iostream>

namespace scsi_pr::testing {

// Its exit code if this machine does not let it do what it wants to.
inline constexpr int kSkipped = 77;

// Runs `body`, which returns its exit code; 1 if an expectation has failed.
template <typename Body>
pid_t StartChild(Body body) {
  std::cout.flush();
  fflush(stdout);
  const pid_t child = fork();
  if (child != 0) return child;
  const int code = body();
  fflush(stdout);
  _exit(::testing::Test::HasFailure() ? 1 : code);
}

// Its exit code, or -1 if it was killed.
inline int WaitForChild(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

template <typename Body>
int InChild(Body body) {
  return WaitForChild(StartChild(body));
}

}  // namespace scsi_pr::testing
