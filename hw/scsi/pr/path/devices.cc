// SPDX-License-Identifier: GPL-2.0-or-later
#include "path/devices.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace scsi_pr {

namespace {

namespace fs = std::filesystem;
using Code = Status::Code;

std::string FirstLine(const fs::path& file) {
  std::string line;
  std::ifstream stream(file);
  std::getline(stream, line);
  return line;
}

}  // namespace

std::string Devices::Directory(bool block, dev_t number) const {
  return sysfs_ + "/dev/" + (block ? "block/" : "char/") + std::to_string(major(number)) + ":" +
         std::to_string(minor(number));
}

Status Devices::ExpandNumber(const std::string& device, bool block, dev_t number,
                             std::vector<std::string>* paths) const {
  const fs::path directory = Directory(block, number);
  std::error_code error;
  if (fs::exists(directory / "partition", error)) {
    return Status::Error(Code::kInvalid, device + " is a partition",
                         "Reservations are of a whole logical unit: name the disk.");
  }
  if (!fs::exists(directory / "dm", error)) {
    paths->push_back(device);
    return Status();
  }
  const bool multipath = FirstLine(directory / "dm/uuid").starts_with("mpath-");
  std::vector<std::string> slaves;
  fs::directory_iterator entries(directory / "slaves", error);
  for (; multipath && !error && entries != fs::directory_iterator(); entries.increment(error)) {
    slaves.push_back(dev_ + "/" + entries->path().filename().string());
  }
  if (slaves.empty()) {
    return Status::Error(Code::kInvalid, device + " is no multipath map with paths",
                         "Name a map of dm-multipath, disks or sg nodes.");
  }
  std::ranges::sort(slaves);
  paths->insert(paths->end(), slaves.begin(), slaves.end());
  return Status();
}

Status Devices::Expand(const std::string& device, std::vector<std::string>* paths) const {
  struct stat info = {};
  if (stat(device.c_str(), &info) != 0) {
    return Status::Error(Code::kIo, device + " cannot be used: " + strerror(errno),
                         "Name a SCSI disk (/dev/sda), an sg node or a dm-multipath map.");
  }
  if (!S_ISBLK(info.st_mode) && !S_ISCHR(info.st_mode)) {
    return Status::Error(Code::kIo, device + " is no device",
                         "Name a SCSI disk (/dev/sda), an sg node or a dm-multipath map.");
  }
  return ExpandNumber(device, S_ISBLK(info.st_mode), info.st_rdev, paths);
}

std::string Devices::Identity(const std::string& device) const {
  struct stat info = {};
  std::error_code error;
  if (stat(device.c_str(), &info) != 0) return "";
  const bool block = S_ISBLK(info.st_mode);
  if (!block && !S_ISCHR(info.st_mode)) return "";
  const fs::path real = fs::canonical(Directory(block, info.st_rdev) + "/device", error);
  return error ? "" : real.string();
}

}  // namespace scsi_pr
