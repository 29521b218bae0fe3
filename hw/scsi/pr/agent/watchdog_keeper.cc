// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/watchdog_keeper.h"

#include <algorithm>
#include <utility>

namespace scsi_pr::agent {

namespace {

constexpr Time kArmAgain = 10 * kSecond;
constexpr Time kStopPoll = 50 * kMillisecond;
constexpr Time kStop = 3 * kSecond;  // for the record
constexpr Time kEmpty = kSecond;     // for the gates, then

}  // namespace

WatchdogKeeper::WatchdogKeeper(Options options, House house, Membership& membership, Log& log)
    : options_(std::move(options)), house_(std::move(house)), membership_(membership), log_(log) {
  if (!options_.path.empty()) return;
  membership_.SetWatchdog(0);
  next_ = kNever;
}

bool WatchdogKeeper::MayPet(Time now) const { return house_.is_admitted(now) || house_.is_empty(); }

// Opening the device pets it, too: a predecessor's may be about to reset the machine.
void WatchdogKeeper::Tick(Time now) {
  if (now < next_ || stopped_) return;
  if (stop_by_ != kNever) TryToStop(now);
  if (stopped_) return;
  const bool may_pet = MayPet(now);
  if (!watchdog_) {
    if (may_pet && stop_by_ == kNever) return Arm(now);
  } else if (may_pet) {
    watchdog_->Pet();
  }
  next_ = now + (stop_by_ == kNever ? std::min(options_.time / 8, kSecond) : kStopPoll);
}

void WatchdogKeeper::Arm(Time now) {
  const Status status = options_.arm(options_.path, options_.time, &watchdog_);
  next_ = now + (status.ok() ? 0 : kArmAgain);
  membership_.SetWatchdog(status.ok() ? options_.time : 0);
  if (status.ok()) {
    log_.Say(Message::kWatchdog,
             options_.path + " is armed, with " + std::to_string(options_.time / kSecond) + " s");
  } else if (!failed_) {
    log_.Say(Message::kWatchdogFailed, status);
  }
  failed_ = !status.ok();
}

void WatchdogKeeper::Stop(Time now) {
  stop_by_ = now + kStop;
  next_ = now;
  stopped_ = !watchdog_;
  membership_.SetWatchdog(0);
}

void WatchdogKeeper::TryToStop(Time now) {
  const bool is_late = now >= stop_by_;
  if (is_late) house_.shut();
  if (membership_.recorded_watchdog() == Time{0} || (is_late && house_.is_empty())) {
    watchdog_->Disarm();
    log_.Say(Message::kWatchdog, options_.path + " is disarmed");
    stopped_ = true;
  } else if (now >= stop_by_ + kEmpty) {
    log_.Say(
        Message::kWatchdogFailed,
        Status::Error(Status::Code::kBusy,
                      options_.path + " stays armed: commands are under way, and the store "
                                      "does not answer",
                      "Start scsi-prd again within " + std::to_string(options_.time / kSecond) +
                          " s, or the machine is reset."));
    stopped_ = true;
  }
}

}  // namespace scsi_pr::agent
