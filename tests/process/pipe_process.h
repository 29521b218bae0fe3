// SPDX-License-Identifier: GPL-2.0-or-later
//
// A running program, and a line of talk with it.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace scsi_pr::testing {

class PipeProcess {
 public:
  // `arguments` begin with the path of the program.
  explicit PipeProcess(const std::vector<std::string>& arguments) {
    int to[2];
    int from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) abort();
    std::vector<char*> argv;
    for (const std::string& each : arguments) argv.push_back(const_cast<char*>(each.c_str()));
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(to[0], STDIN_FILENO);
      dup2(from[1], STDOUT_FILENO);
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    in_ = fdopen(to[1], "w");
    out_ = fdopen(from[0], "r");
  }
  ~PipeProcess() {
    Close();
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    fclose(out_);
  }
  PipeProcess(const PipeProcess&) = delete;
  PipeProcess& operator=(const PipeProcess&) = delete;

  // -1 once it is gone.
  pid_t pid() const { return pid_; }

  void Write(const std::string& line) {
    fprintf(in_, "%s\n", line.c_str());
    fflush(in_);
  }
  // Without the newline; false at the end of what the process has written.
  bool ReadLine(std::string* line) {
    line->clear();
    int c = fgetc(out_);
    for (; c != EOF && c != '\n'; c = fgetc(out_)) *line += static_cast<char>(c);
    return c != EOF;
  }
  std::string ReadLine() {
    std::string line;
    ReadLine(&line);
    return line;
  }
  std::string Ask(const std::string& line) {
    Write(line);
    return ReadLine();
  }
  // The process reads the end of its input. It may go on for a while.
  void Close() {
    if (in_ != nullptr) fclose(in_);
    in_ = nullptr;
  }
  void Signal(int signal) { kill(pid_, signal); }
  // kill -9, and gone when this returns. What it has written can still be read.
  void Kill() {
    Signal(SIGKILL);
    Wait();
  }
  // Until it has stopped.
  void AwaitStop() { waitpid(pid_, nullptr, WUNTRACED); }
  // Until it has ended, without asking how: it stays a zombie.
  void AwaitZombie() {
    siginfo_t info = {};
    waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }
  // Until it is gone; returns what waitpid() says.
  int Wait() {
    int result = 0;
    waitpid(pid_, &result, 0);
    pid_ = -1;
    return result;
  }

 private:
  pid_t pid_ = -1;
  FILE* in_ = nullptr;
  FILE* out_ = nullptr;
};

}  // namespace scsi_pr::testing
