// SPDX-License-Identifier: GPL-2.0-or-later
//
// The machine's watchdog: a device that resets the machine when it has not been petted for its
// time. What it is good for is in agent/silent_host.h. On the loop's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/records.h"
#include "core/status.h"

namespace scsi_pr::agent {

class Watchdog {
 public:
  // Its end does not disarm it: what is not petted from then on resets the machine.
  virtual ~Watchdog() = default;
  virtual void Pet() = 0;
  // The machine is not reset for want of Pet() any more; nothing else is of use then. A kernel
  // that is built so, or a module loaded so (nowayout), does not let it be.
  virtual void Disarm() = 0;
};

using ArmWatchdog =
    std::function<Status(const std::string& path, Time time, std::unique_ptr<Watchdog>* watchdog)>;

// Opens the device, which pets it, and sets its time. kIo, kInUse (another program has it),
// kUnsupported: it is no watchdog, or has not that time.
Status ArmDevice(const std::string& path, Time time, std::unique_ptr<Watchdog>* watchdog);

}  // namespace scsi_pr::agent
