// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/file_path.h"

#include <sys/stat.h>

#include <filesystem>

namespace scsi_pr {

namespace {

Status Invalid(const std::string& message, const std::string& hint) {
  return Status::Error(Status::Code::kInvalid, message, hint);
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
                         "the directory " + target.parent_path().string() +
                             " of store file:" + path + " cannot be used: " + error.message(),
                         "Create it, and let the user that runs QEMU write to it.");
  }
  if (target.filename().empty() || fs::is_directory(target, error)) {
    return Invalid("store file:" + path + " is a directory", "Name a file in it.");
  }
  *canonical = (directory / target.filename()).string();
  return Status();
}

std::string StoreNameKey(const std::string& path) {
  const size_t slash = path.rfind('/');
  struct stat info = {};
  if (stat(path.substr(0, slash + 1).c_str(), &info) != 0) return "";
  return std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino) + ":" +
         path.substr(slash + 1);
}

}  // namespace scsi_pr
