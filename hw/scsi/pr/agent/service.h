// SPDX-License-Identifier: GPL-2.0-or-later
//
// The daemon as a service: signals, what systemd is told, and the file of metrics, on a thread of
// its own.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "agent/config.h"
#include "agent/daemon.h"
#include "agent/engine.h"
#include "agent/log.h"
#include "agent/metrics.h"

namespace scsi_pr::agent {

// Not the network.
Status MakeEngine(const Config& config, std::shared_ptr<Engine>* engine);

// SIGTERM, SIGINT and SIGHUP wait for the service: to be called before any thread begins.
void HoldSignals();

class Service {
 public:
  // `daemon` runs, or is about to, until it is stopped here. `path`: of the configuration, which
  // is read again when SIGHUP comes; `config`: as it is in force.
  Service(std::string path, Config config, Log& log, Metrics& metrics, Daemon& daemon);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

 private:
  using Clock = std::chrono::steady_clock;

  void Run();
  void Reload();
  void TakeOver(Config next);
  // On the daemon's loop.
  void BeWatched();
  void TellStatus();
  void WriteMetrics();

  const std::string path_;
  Config config_;
  Log& log_;
  Metrics& metrics_;
  Daemon& daemon_;
  const uint64_t watchdog_;  // microseconds; 0: nobody watches

  std::string status_;
  std::string written_;  // the metrics
  Clock::time_point next_write_{};
  bool writing_failed_ = false;
  uint64_t renewals_ = 0;  // of the loop's thread, as the next one
  Clock::time_point renewed_ = Clock::now();
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

}  // namespace scsi_pr::agent
