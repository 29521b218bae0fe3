// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/fence_command.h"

#include <signal.h>
#include <unistd.h>

#include <utility>

namespace scsi_pr::agent {

namespace {

// In the child, before exec(): a group of its own, and signals as any program expects them.
void Settle(gpointer) {
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace

FenceCommand::FenceCommand(Loop& loop, const std::vector<std::string>& arguments,
                           std::function<void(const Status&)> done)
    : program_(arguments.front()), done_(std::move(done)) {
  std::vector<std::string> copies = arguments;
  std::vector<char*> argv;
  for (std::string& each : copies) argv.push_back(each.data());
  argv.push_back(nullptr);
  GError* error = nullptr;
  if (g_spawn_async("/", argv.data(), nullptr, G_SPAWN_DO_NOT_REAP_CHILD, Settle, nullptr, &pid_,
                    &error) != 0) {
    child_ = loop.Child(pid_, [this](int wait_status) { Ended(wait_status); });
    limit_ = loop.Timer([this] { GiveUp(); });
    limit_->SetTime(Loop::Now() + kLimit);
    return;
  }
  failed_ = Status::Error(Status::Code::kIo, error->message,
                          "[cluster] fence-command must be a program that scsi-prd may run.");
  g_error_free(error);
  child_ = loop.Timer([this] { Tell(failed_); });
  child_->SetTime(Loop::Now());
}

FenceCommand::~FenceCommand() { Kill(); }

void FenceCommand::GiveUp() {
  is_late_ = true;
  Kill();
}

// Not reaped yet, so its number is that of nobody else.
void FenceCommand::Kill() const {
  if (pid_ != 0) kill(-pid_, SIGKILL);
}

void FenceCommand::Ended(int wait_status) {
  pid_ = 0;
  Status status;
  GError* error = nullptr;
  if (is_late_) {
    status = Status::Error(Status::Code::kIo, program_ + " did not end within a minute", "");
  } else if (g_spawn_check_wait_status(wait_status, &error) == 0) {
    status = Status::Error(Status::Code::kIo, program_ + ": " + error->message, "");
    g_error_free(error);
  }
  Tell(status);
}

// Who is told may take this away; the copies stay.
void FenceCommand::Tell(Status status) {  // NOLINT(performance-unnecessary-value-param)
  const auto done = done_;
  done(status);
}

}  // namespace scsi_pr::agent
