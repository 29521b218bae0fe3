// SPDX-License-Identifier: GPL-2.0-or-later
//
// Pets this host's watchdog for as long as this host is admitted, or nothing is on its way to a
// medium. Else the machine is reset: whoever waits for that knows the time from its record, which
// says that there is a watchdog only while it is armed. On the loop's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/log.h"
#include "agent/membership.h"
#include "agent/watchdog.h"

namespace scsi_pr::agent {

class WatchdogKeeper {
 public:
  struct Options {
    std::string path;  // empty: there is none
    Time time = 0;
    ArmWatchdog arm = ArmDevice;
  };
  // What it asks for.
  struct House {
    std::function<bool(Time now)> is_admitted;
    std::function<bool()> is_empty;  // nothing is in any gate
    std::function<void()> shut;      // all gates
  };

  // `membership`, which is told, and `log` outlive it.
  WatchdogKeeper(Options options, House house, Membership& membership, Log& log);

  void Tick(Time now);
  Time NextTick() const { return next_; }
  // Disarmed as soon as its record says that there is none, or, if the store is away, all gates
  // are shut and empty. If they do not get empty it stays armed, and resets the machine unless
  // another daemon takes it over.
  void Stop(Time now);
  bool has_stopped() const { return stopped_; }

 private:
  bool MayPet(Time now) const;
  void Arm(Time now);
  void TryToStop(Time now);

  const Options options_;
  const House house_;
  Membership& membership_;
  Log& log_;
  std::unique_ptr<Watchdog> watchdog_;
  bool failed_ = false;  // as last told
  Time next_ = 0;
  Time stop_by_ = kNever;
  bool stopped_ = false;
};

}  // namespace scsi_pr::agent
