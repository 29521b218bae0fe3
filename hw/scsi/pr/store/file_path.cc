// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/file_path.h"

#include <sys/vfs.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iterator>

namespace scsi_pr {

namespace {

Status Invalid(std::string message, std::string hint) {
  return Status::Error(Status::Code::kInvalid, std::move(message), std::move(hint));
}

}  // namespace

Status CanonicalizeStorePath(const std::string& path, std::string* canonical) {
  namespace fs = std::filesystem;
  if (!path.starts_with('/')) {
    return Invalid("the path of store file:" + path + " is not absolute",
                   "Write file:/ and the whole path.");
  }
  std::error_code error;
  fs::path target(path);
  if (const fs::path real = fs::canonical(target, error); !error) target = real;
  const fs::path directory = fs::canonical(target.parent_path(), error);
  if (error) {
    return Status::Error(Status::Code::kIo,
                         "the directory " + target.parent_path().string() + " of store file:" + path +
                             " cannot be used: " + error.message(),
                         "Create it, and let the user that runs QEMU write to it.");
  }
  if (target.filename().empty() || fs::is_directory(target, error)) {
    return Invalid("store file:" + path + " is a directory", "Name a file in it.");
  }
  *canonical = (directory / target.filename()).string();
  return Status();
}

Status CheckFileSystemOf(const std::string& path, bool accept) {
  constexpr uint32_t kNetworkTypes[] = {
      0x6969,      // NFS
      0xFE534D42,  // SMB2
      0xFF534D42,  // CIFS
      0x00C36400,  // Ceph
      0x01021997,  // 9P
      0x7461636F,  // OCFS2
      0x01161970,  // GFS2
  };
  struct statfs info = {};
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  if (accept || (statfs(path.c_str(), &info) != 0 && statfs(directory.c_str(), &info) != 0)) {
    return Status();
  }
  const auto type = static_cast<uint32_t>(info.f_type);
  if (std::ranges::find(kNetworkTypes, type) == std::end(kNetworkTypes)) return Status();
  return Invalid(path + " is on a network or cluster file system",
                 "A file: store serves the VMs of one host. Put it on a local file system.");
}

}  // namespace scsi_pr
