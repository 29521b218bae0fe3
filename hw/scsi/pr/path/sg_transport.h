// SPDX-License-Identifier: GPL-2.0-or-later
//
// A path that is a device of this host: a whole SCSI disk (/dev/sda) or an sg node (/dev/sg0), by
// the kernel's SG_IO.
#pragma once

#include <memory>
#include <string>

#include "path/transport.h"

namespace scsi_pr {

class SgTransport : public Transport {
 public:
  // Without waiting for a medium, and without a command to the device. kIo: it is not there, may
  // not be used, or is no SCSI device.
  static Status Open(const std::string& device, std::unique_ptr<Transport>* transport);

  ~SgTransport() override;
  SgTransport(const SgTransport&) = delete;
  SgTransport& operator=(const SgTransport&) = delete;

  TransportResult Execute(const TransportCommand& command) override;

 private:
  explicit SgTransport(int fd) : fd_(fd) {}
  std::string WhyHeld() const;  // empty: it is not

  const int fd_;
};

}  // namespace scsi_pr
