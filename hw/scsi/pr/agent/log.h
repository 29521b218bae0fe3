// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where scsi-prd tells what an administrator should know. Each kind of message (log_messages.h)
// is written at most kMost times in kWindow; how many were left out is said afterwards.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/log_messages.h"
#include "core/status.h"
#include "store/mutex.h"

namespace scsi_pr::agent {

// What the message is about, besides its text: for who looks for all of one logical unit, say.
struct LogField {
  const char* name;  // as the journal has it after SCSI_PRD_: LU, NEXUS, HOST, CHANGE, …
  std::string value;
};
using LogFields = std::vector<LogField>;

// Where the lines go. One thread at a time; never throws, and tells nobody if it cannot.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void Write(const MessageKind& kind, const std::string& text, const LogFields& fields) = 0;
};

// Lines on standard error: "error: the message (what to do)".
std::unique_ptr<LogSink> StderrSink();

class Log {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr int kMost = 20;
  static constexpr std::chrono::seconds kWindow{10};

  explicit Log(std::unique_ptr<LogSink> sink, LogLevel level = LogLevel::kInfo,
               std::function<Clock::time_point()> now = Clock::now);

  // Any thread. `text`: a sentence without a full stop; it may hold text from outside, and
  // becomes printable, and not endless.
  void Say(Message message, std::string_view text, LogFields fields = {});
  // What is wrong, and what to do.
  void Say(Message message, const Status& why, LogFields fields = {});

  // Any thread: what is less important is not written any more.
  void set_level(LogLevel level) { level_ = level; }

 private:
  struct Window {
    Clock::time_point begin{};
    int written = 0;
    uint64_t left_out = 0;
  };

  // Begins the windows anew that are over, and says what was left out in them.
  void TurnWindows(Clock::time_point now) REQUIRES(mutex_);
  void Write(Message message, const std::string& text, const LogFields& fields) REQUIRES(mutex_);

  const std::function<Clock::time_point()> now_;
  std::atomic<LogLevel> level_;
  Mutex mutex_;
  const std::unique_ptr<LogSink> sink_ GUARDED_BY(mutex_);
  std::array<Window, kMessageKinds.size()> windows_ GUARDED_BY(mutex_);
};

}  // namespace scsi_pr::agent
