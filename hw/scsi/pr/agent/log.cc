// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/log.h"

#include <unistd.h>

#include <utility>

#include "spc/text.h"

namespace scsi_pr::agent {

namespace {

constexpr size_t kMaxText = 4096;
constexpr size_t kMaxField = 1024;

const char* WordFor(LogLevel level) {
  switch (level) {
    case LogLevel::kError: return "error";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kNotice: return "notice";
    case LogLevel::kInfo: return "info";
    case LogLevel::kDebug: return "debug";
  }
  return "error";
}

class Stderr : public LogSink {
 public:
  void Write(const MessageKind& kind, const std::string& text, const LogFields&) override {
    // One write(), so that lines of several processes do not mix.
    const std::string line = std::string(WordFor(kind.level)) + ": " + text + "\n";
    static_cast<void>(!write(STDERR_FILENO, line.data(), line.size()));
  }
};

}  // namespace

std::unique_ptr<LogSink> StderrSink() { return std::make_unique<Stderr>(); }

Log::Log(std::unique_ptr<LogSink> sink, LogLevel level, std::function<Clock::time_point()> now)
    : now_(std::move(now)), level_(level), sink_(std::move(sink)) {}

void Log::Say(Message message, std::string_view text, LogFields fields) {
  if (KindOf(message).level > level_) return;
  for (LogField& field : fields) field.value = Printable(field.value, kMaxField);
  const MutexLock lock(mutex_);
  const Clock::time_point now = now_();
  TurnWindows(now);
  Window& window = windows_[static_cast<size_t>(message)];
  if (window.written == 0) window.begin = now;
  if (window.written >= kMost) {
    window.left_out++;
    return;
  }
  window.written++;
  Write(message, Printable(text, kMaxText), fields);
}

void Log::Say(Message message, const Status& why, LogFields fields) {
  const std::string hint = why.hint().empty() ? "" : " (" + why.hint() + ")";
  Say(message, why.message() + hint, std::move(fields));
}

void Log::TurnWindows(Clock::time_point now) {
  for (const MessageKind& kind : kMessageKinds) {
    Window& window = windows_[static_cast<size_t>(kind.message)];
    if (window.written == 0 || now < window.begin + kWindow) continue;
    const uint64_t left_out = std::exchange(window, Window()).left_out;
    if (left_out == 0) continue;
    Write(
        kind.message,
        std::to_string(left_out) + " more messages of this kind (" + kind.name + ") were left out",
        {});
  }
}

void Log::Write(Message message, const std::string& text, const LogFields& fields) {
  sink_->Write(KindOf(message), text, fields);
}

}  // namespace scsi_pr::agent
