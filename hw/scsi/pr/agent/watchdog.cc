// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/watchdog.h"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace scsi_pr::agent {

namespace {

class Device : public Watchdog {
 public:
  explicit Device(int fd) : fd_(fd) {}
  ~Device() override { close(fd_); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // What cannot be petted resets the machine, which is what it is for.
  void Pet() override { static_cast<void>(write(fd_, "\0", 1) == 1); }
  // The magic close: the kernel takes this for the wish that it ends with the descriptor.
  void Disarm() override { static_cast<void>(write(fd_, "V", 1) == 1); }

 private:
  const int fd_;
};

Status Failed(const std::string& path, const char* what, int error) {
  const auto code = error == EBUSY ? Status::Code::kInUse : Status::Code::kIo;
  return Status::Error(code, path + ": " + what + ": " + strerror(error),
                       error == EBUSY ? "One program may have it: sbd, wdmd, systemd's "
                                        "RuntimeWatchdogSec=, or another scsi-prd."
                                      : "[host] watchdog is the device of a watchdog; scsi-prd's "
                                        "service may open it by a drop-in: "
                                        "docs/many-hosts-setup.md.");
}

}  // namespace

Status ArmDevice(const std::string& path, Time time, std::unique_ptr<Watchdog>* watchdog) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Failed(path, "cannot be opened", errno);
  auto armed = std::make_unique<Device>(fd);
  auto seconds = static_cast<int>(time / kSecond);
  const bool is_set = ioctl(fd, WDIOC_SETTIMEOUT, &seconds) == 0;
  if (!is_set || ioctl(fd, WDIOC_GETTIMEOUT, &seconds) != 0) {
    const int error = errno;
    armed->Disarm();
    return Failed(path, "its time cannot be set", error);
  }
  if (static_cast<Time>(seconds) * kSecond != time) {
    armed->Disarm();
    return Status::Error(Status::Code::kUnsupported,
                         path + " resets the machine after " + std::to_string(seconds) +
                             " s, and not after " + std::to_string(time / kSecond),
                         "Set [host] watchdog-timeout to a time that the device has.");
  }
  armed->Pet();
  *watchdog = std::move(armed);
  return Status();
}

}  // namespace scsi_pr::agent
