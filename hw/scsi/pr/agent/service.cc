// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/service.h"

#include <signal.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "agent/etcd_engine.h"
#include "agent/key_file.h"

namespace scsi_pr::agent {

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds kWriteMetrics = 10s;
// Longer than what etcd may take for an answer, and the pause before the next renewal.
constexpr std::chrono::seconds kRenewalIsLate = 10s;

sigset_t OurSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int each : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, each);
  return signals;
}

uint64_t SystemdWatchdog() {
  uint64_t microseconds = 0;
  return sd_watchdog_enabled(0, &microseconds) > 0 ? microseconds : 0;
}

// 0: none has come.
int WaitForSignal(std::chrono::nanoseconds time) {
  const sigset_t signals = OurSignals();
  const timespec limit{.tv_sec = static_cast<time_t>(time / 1s),
                       .tv_nsec = static_cast<long>((time % 1s).count())};
  return std::max(0, sigtimedwait(&signals, nullptr, &limit));
}

Time BootTime() {
  timespec now = {};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<Time>(now.tv_sec) * kSecond + static_cast<Time>(now.tv_nsec);
}

// systemd tells it from an earlier reload by the time.
std::string Reloading() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t microseconds = int64_t{now.tv_sec} * 1000000 + now.tv_nsec / 1000;
  return "RELOADING=1\nMONOTONIC_USEC=" + std::to_string(microseconds);
}

}  // namespace

Status MakeEngine(const Config& config, std::shared_ptr<Engine>* engine) {
  std::unique_ptr<EtcdEngine> made;
  if (Status status = EtcdEngine::Create(config.etcd, &made); !status.ok()) return status;
  *engine = std::move(made);
  return Status();
}

void HoldSignals() {
  const sigset_t signals = OurSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

Service::Service(std::string path, Config config, Log& log, Metrics& metrics, Daemon& daemon)
    : path_(std::move(path)),
      config_(std::move(config)),
      log_(log),
      metrics_(metrics),
      daemon_(daemon),
      watchdog_(SystemdWatchdog()),
      thread_([this] { Run(); }) {}

Service::~Service() {
  over_ = true;
  thread_.join();
}

void Service::Run() {
  daemon_.Post([] { sd_notify(0, "READY=1"); });
  const auto turn = watchdog_ == 0 ? std::chrono::microseconds(1s)
                                   : std::min<std::chrono::microseconds>(
                                         1s, std::chrono::microseconds(watchdog_ / 4));
  while (!over_) {
    switch (WaitForSignal(turn)) {
      case SIGTERM:
      case SIGINT:
        sd_notify(0, "STOPPING=1");
        return daemon_.Post([&daemon = daemon_] { daemon.Stop(); });  // it may not run yet
      case SIGHUP: Reload(); break;
    }
    if (watchdog_ != 0) daemon_.Post([this] { BeWatched(); });
    TellStatus();
    if (Clock::now() >= next_write_) WriteMetrics();
  }
}

// A loop that stands still does not come here; one that turns and renews nothing is not well, too.
void Service::BeWatched() {
  const Clock::time_point now = Clock::now();
  if (const uint64_t total = metrics_.Total(Metric::kRenewals); total != renewals_) {
    renewals_ = total;
    renewed_ = now;
  }
  if (now < renewed_ + kRenewalIsLate) sd_notify(0, "WATCHDOG=1");
}

void Service::TellStatus() {
  std::string status = metrics_.Level(Metric::kMember) != 0 ? "member" : "not a member";
  status += "; logical units: " + std::to_string(metrics_.Level(Metric::kLogicalUnits)) +
            ", I_T nexuses: " + std::to_string(metrics_.Level(Metric::kNexuses));
  if (status == status_) return;
  status_ = status;
  sd_notify(0, ("STATUS=" + status).c_str());
}

void Service::WriteMetrics() {
  next_write_ = Clock::now() + kWriteMetrics;
  if (config_.metrics_file.empty()) return;
  std::string text = metrics_.Text(BootTime());
  if (text == written_) return;
  const Status status = Metrics::WriteFile(config_.metrics_file, text);
  if (status.ok()) written_ = std::move(text);
  if (!status.ok() && !writing_failed_) log_.Say(Message::kMetricsFailed, status);
  writing_failed_ = !status.ok();
}

void Service::Reload() {
  sd_notify(0, Reloading().c_str());
  Config next;
  std::shared_ptr<Engine> engine;
  Status status = ReadConfig(path_, &next);
  if (status.ok()) status = MakeEngine(next, &engine);
  if (status.ok()) {
    const std::vector<std::string> later = NeedsRestart(config_, next);
    daemon_.Reload(next, std::move(engine));
    TakeOver(std::move(next));
    log_.Say(Message::kConfigReloaded,
             "the configuration was read again" +
                 (later.empty() ? "" : "; only a restart takes over " + Joined(later, ", ")));
  } else {
    log_.Say(Message::kConfigRefused,
             Status::Error(status.code(), status.message() + "; the configuration stays as it was",
                           status.hint()));
  }
  sd_notify(0, "READY=1");
}

// What of it is this class's own.
void Service::TakeOver(Config next) {
  log_.set_level(next.log_level);
  config_.log_level = next.log_level;
  if (config_.metrics_file != next.metrics_file) written_.clear(), next_write_ = {};
  config_.metrics_file = std::move(next.metrics_file);
  writing_failed_ = false;
}

}  // namespace scsi_pr::agent
