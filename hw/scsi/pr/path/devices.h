// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which paths a user means: disks and sg nodes stand for themselves, a map of dm-multipath for the
// paths that the kernel says it has.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "core/status.h"

namespace scsi_pr {

class Devices {
 public:
  // `sysfs`, `dev`: where these are mounted; others in tests.
  explicit Devices(std::string sysfs = "/sys", std::string dev = "/dev")
      : sysfs_(std::move(sysfs)), dev_(std::move(dev)) {}

  // Appends the paths that `device` stands for. kIo: it is not there, or is no device; kInvalid:
  // a partition, or a device of device mapper's that has no paths.
  Status Expand(const std::string& device, std::vector<std::string>* paths) const;

  // Equal for the nodes of one path: a disk and its sg node, or two links to one of them. Empty
  // where that cannot be said.
  std::string Identity(const std::string& device) const;

  // The same, for a device of that kind and number.
  Status ExpandNumber(const std::string& device, bool block, dev_t number,
                      std::vector<std::string>* paths) const;

 private:
  std::string Directory(bool block, dev_t number) const;

  const std::string sysfs_;
  const std::string dev_;
};

}  // namespace scsi_pr
