// SPDX-License-Identifier: GPL-2.0-or-later
//
// A running nexus-process, and a line of talk with it.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace scsi_pr::testing {

class Child {
 public:
  Child(const std::string& uri, int number) {
    int to[2];
    int from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) abort();
    const std::string initiator = "naa.50000000000000" + std::to_string(10 + number);
    const char* program = getenv("NEXUS_PROCESS");
    if (program == nullptr) abort();  // tests/process/meson.build sets it
    pid_ = fork();
    if (pid_ == 0) {
      dup2(to[0], STDIN_FILENO);
      dup2(from[1], STDOUT_FILENO);
      execl(program, program, uri.c_str(), initiator.c_str(), nullptr);
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    in_ = fdopen(to[1], "w");
    out_ = fdopen(from[0], "r");
    opened_ = ReadLine();
  }
  ~Child() {
    Close();
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    fclose(out_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // What opening the store ended in.
  const std::string& opened() const { return opened_; }
  pid_t pid() const { return pid_; }

  void Write(const std::string& line) {
    fprintf(in_, "%s\n", line.c_str());
    fflush(in_);
  }
  std::string ReadLine() {
    std::string line;
    for (int c = fgetc(out_); c != EOF && c != '\n'; c = fgetc(out_)) line += static_cast<char>(c);
    return line;
  }
  std::string Ask(const std::string& line) {
    Write(line);
    return ReadLine();
  }
  void Signal(int signal) { kill(pid_, signal); }
  // Has died, or stopped, by itself when this returns.
  void AwaitDeath() {
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  void AwaitStop() { waitpid(pid_, nullptr, WUNTRACED); }
  // kill -9, and gone when this returns.
  void Kill() {
    Signal(SIGKILL);
    AwaitDeath();
  }

 private:
  void Close() {
    if (in_ != nullptr) fclose(in_);
    in_ = nullptr;
  }

  pid_t pid_ = -1;
  FILE* in_ = nullptr;
  FILE* out_ = nullptr;
  std::string opened_;
};

}  // namespace scsi_pr::testing
