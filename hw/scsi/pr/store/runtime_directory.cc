// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/runtime_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "store/file_system.h"

namespace scsi_pr {

namespace {

constexpr const char* kPackaged = "/run/scsi-pr";
constexpr const char* kLastResort = "/dev/shm";

std::string Preferred(const std::string& named) {
  if (!named.empty()) return named;
  struct stat info = {};
  if (stat(kPackaged, &info) == 0 && S_ISDIR(info.st_mode)) return kPackaged;
  const char* xdg = std::getenv("XDG_RUNTIME_DIR");
  return xdg != nullptr && xdg[0] == '/' ? xdg : kLastResort;
}

Status Unusable(const std::string& path, int error) {
  return Status::Error(
      Status::Code::kIo, "the runtime directory " + path + " cannot be used: " + strerror(error),
      "Create it, on tmpfs, and let the user that runs QEMU write to it, in a profile "
      "of AppArmor's, too; or name another one (pr-runtime-dir).");
}

}  // namespace

Status RuntimeDirectory::Open(const std::string& named,
                              std::shared_ptr<const RuntimeDirectory>* directory) {
  const std::string path = Preferred(named);
  if (path[0] != '/') {
    return Status::Error(Status::Code::kInvalid,
                         "the runtime directory \"" + path + "\" is no absolute path",
                         "Name a directory on tmpfs, below /run for example.");
  }
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Unusable(path, errno);
  std::shared_ptr<const RuntimeDirectory> opened(new RuntimeDirectory(path, fd));
  if (Status status = CheckIsMemory(fd, path); !status.ok()) return status;
  *directory = std::move(opened);
  return Status();
}

std::vector<std::shared_ptr<const RuntimeDirectory>> RuntimeDirectory::Candidates(
    const std::string& named, uid_t user) {
  const std::string of_user = "/run/user/" + std::to_string(user);
  std::vector<std::shared_ptr<const RuntimeDirectory>> candidates;
  for (const std::string& path :
       {Preferred(named), std::string(kPackaged), of_user, std::string(kLastResort)}) {
    std::shared_ptr<const RuntimeDirectory> directory;
    if (!Open(path, &directory).ok()) continue;
    candidates.push_back(std::move(directory));
    if (!named.empty()) break;
  }
  return candidates;
}

RuntimeDirectory::~RuntimeDirectory() { close(fd_); }

// Not O_CREAT alone: where everybody may write, the kernel refuses it for a file of
// another user (fs.protected_regular).
int RuntimeDirectory::OpenFile(const std::string& name, bool create) const {
  constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  for (;;) {
    int fd = openat(fd_, name.c_str(), kFlags);
    if (fd < 0 && errno == ENOENT && create) {
      fd = openat(fd_, name.c_str(), kFlags | O_CREAT | O_EXCL, 0600);
      if (fd < 0 && errno == EEXIST) continue;
    }
    struct stat info = {};
    if (fd < 0 || (fstat(fd, &info) == 0 && S_ISREG(info.st_mode))) return fd;
    close(fd);
    errno = EINVAL;
    return -1;
  }
}

bool RuntimeDirectory::Names(const std::string& name, int fd) const {
  struct stat named = {};
  struct stat opened = {};
  return fstatat(fd_, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &opened) == 0 &&
         named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

void RuntimeDirectory::Remove(const std::string& name) const { unlinkat(fd_, name.c_str(), 0); }

std::vector<std::string> RuntimeDirectory::List(std::string_view prefix) const {
  std::vector<std::string> rests;
  const int fd = openat(fd_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* list = fd < 0 ? nullptr : fdopendir(fd);
  if (list == nullptr) {
    if (fd >= 0) close(fd);
    return rests;
  }
  while (const dirent* entry = readdir(list)) {
    const std::string_view name = entry->d_name;
    if (name.starts_with(prefix)) rests.emplace_back(name.substr(prefix.size()));
  }
  closedir(list);
  std::ranges::sort(rests);
  return rests;
}

}  // namespace scsi_pr
