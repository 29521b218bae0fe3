// SPDX-License-Identifier: GPL-2.0-or-later
//
// QEMU itself is the judge: which plugin belongs to it is the loader's business
// (qemu/plugin/loader.c), and a library that is missing is ld.so's.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <iostream>
#include <sstream>

#include "spc/text.h"
#include "tool/commands.h"
#include "tool/common.h"

namespace scsi_pr::tool {

namespace {

using Clock = std::chrono::steady_clock;

// All of it fits into a pipe. The last command ends QEMU.
constexpr std::string_view kQuestions =
    "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"query-scsi-pr\"}\n{\"execute\":\"quit\"}\n";
constexpr int kAnswers = 3;
constexpr size_t kOutputMax = size_t{64} * 1024;

struct Pipe {
  int read = -1;
  int write = -1;

  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) == 0) read = ends[0], write = ends[1];
  }
  ~Pipe() {
    if (read >= 0) close(read);
    CloseWrite();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void CloseWrite() {
    if (write >= 0) close(write);
    write = -1;
  }
};

// A comma ends the value of an option of QEMU's; two are one.
std::string OptionValue(const std::string& text) {
  std::string value;
  for (const char c : text) value.append(c == ',' ? 2 : 1, c);
  return value;
}

// 0 or an errno.
int Start(const PluginArguments& arguments, const Pipe& input, const Pipe& output, pid_t* child) {
  std::vector<std::string> words = {arguments.emulator,
                                    "-M",
                                    "none",
                                    "-nodefaults",
                                    "-no-user-config",
                                    "-display",
                                    "none",
                                    "-S",
                                    "-qmp",
                                    "stdio",
                                    "-plugin",
                                    "file=" + OptionValue(arguments.plugin)};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.read, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output.write, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output.write, STDERR_FILENO);
  const int error =
      posix_spawn(child, arguments.emulator.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

// What it says until it ends. False: it has not ended in time.
bool ReadAll(int fd, Clock::time_point deadline, std::string* said) {
  char buffer[4096];
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    struct pollfd waiting = {fd, POLLIN, 0};
    if (left.count() <= 0) return false;
    if (poll(&waiting, 1, static_cast<int>(left.count())) <= 0) continue;
    const ssize_t count = read(fd, buffer, sizeof buffer);
    if (count == 0 || (count < 0 && errno != EINTR)) return true;
    if (count > 0 && said->size() < kOutputMax) said->append(buffer, static_cast<size_t>(count));
  }
}

struct Answer {
  int returned = 0;      // commands that QEMU has carried out
  std::string messages;  // printable, in one line
};

Answer Parse(const std::string& said) {
  Answer answer;
  std::istringstream lines(said);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("{\"return\"")) ++answer.returned;
    if (line.starts_with("{\"QMP\"") || line.starts_with("{\"return\"")) continue;
    const std::string text = Printable(line.substr(0, line.find_last_not_of("\r\n") + 1));
    if (text.empty() || text.starts_with("{\"timestamp\"")) continue;
    answer.messages += (answer.messages.empty() ? "" : "; ") + text;
  }
  return answer;
}

std::string EndText(int status) {
  if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
  return "exit status " + std::to_string(WEXITSTATUS(status));
}

int Refuse(Status::Code code, const PluginArguments& arguments, const std::string& why) {
  return Fail(Status::Error(code, Printable(arguments.emulator) + " does not start with " +
                                      Printable(arguments.plugin) + ": " + why));
}

}  // namespace

int PluginCheck(const PluginArguments& arguments) {
  using Code = Status::Code;
  Pipe input;
  Pipe output;
  pid_t child = -1;
  if (input.read < 0 || output.read < 0) return Refuse(Code::kIo, arguments, strerror(errno));
  if (write(input.write, kQuestions.data(), kQuestions.size()) < 0) {
    return Refuse(Code::kIo, arguments, strerror(errno));
  }
  if (const int error = Start(arguments, input, output, &child); error != 0) {
    return Refuse(Code::kIo, arguments, strerror(error));
  }
  input.CloseWrite();
  output.CloseWrite();
  std::string said;
  const bool in_time = ReadAll(output.read, Clock::now() + arguments.timeout, &said);
  if (!in_time) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const Answer answer = Parse(said);
  if (!in_time)
    return Refuse(Code::kBusy, arguments, "it has not answered in time " + answer.messages);
  if (status != 0 || answer.returned != kAnswers) {
    return Refuse(
        Code::kIo, arguments,
        answer.messages.empty() ? "it has ended with " + EndText(status) : answer.messages);
  }
  std::cout << Printable(arguments.emulator) << " starts with " << Printable(arguments.plugin)
            << "\n";
  return kDone;
}

}  // namespace scsi_pr::tool
