// SPDX-License-Identifier: GPL-2.0-or-later
#include "path/group_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "store/file_io.h"
#include "store/temporary.h"

namespace scsi_pr {

namespace {

using Code = Status::Code;

constexpr std::string_view kPrefix = "scsi-pr-path-";
constexpr std::string_view kSuffix = ".json";
constexpr off_t kMostBytes = off_t{1} << 20;

std::string FileOf(const std::string& name) {
  return std::string(kPrefix) + name + std::string(kSuffix);
}

Status Unusable(const RuntimeDirectory& directory, const std::string& file) {
  const int error = errno;
  return Status::Error(Code::kIo,
                       directory.path() + "/" + file + " cannot be used: " + strerror(error),
                       error == EACCES ? "Run this as root." : "Is the runtime directory full?");
}

Status NoSuchGroup(const std::string& name) {
  if (!IsGroupName(name)) {
    return Status::Error(Code::kInvalid, "\"" + name + "\" is no name of a group",
                         "Up to 64 letters, digits, '.', '_' and '-' are one.");
  }
  return Status::Error(Code::kInvalid, "there is no path group " + name,
                       "Make it: scsi-pr path add " + name + " DEVICE...");
}

// The directory is that of those who run QEMU, too: they must not say which devices are opened.
bool IsOurs(const struct stat& info) {
  return info.st_uid == geteuid() && (info.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

// Nothing: the file is new, and empty.
Status ReadState(const RuntimeDirectory& directory, const std::string& name, int fd,
                 std::optional<GroupState>* state) {
  const std::string file = FileOf(name);
  struct stat info = {};
  if (fstat(fd, &info) != 0) return Unusable(directory, file);
  if (!IsOurs(info)) {
    return Status::Error(
        Code::kIo, directory.path() + "/" + file + " is another user's, or others may write to it",
        "Run this as the user who has added the group, root mostly; or remove the "
        "file and add the group's devices again.");
  }
  if (info.st_size == 0) return Status();
  std::string text(static_cast<size_t>(std::min(info.st_size, kMostBytes)), '\0');
  if (!ReadAll(fd, text.data(), text.size(), 0)) return Unusable(directory, file);
  GroupState read;
  Status status = DecodeGroup(text, &read);
  if (status.ok() && read.name != name) {
    status = Status::Error(Code::kCorrupt, "it is that of group " + read.name);
  }
  if (status.ok()) *state = std::move(read);
  if (status.ok() || status.code() != Code::kCorrupt) return status;
  return Status::Error(Code::kCorrupt, directory.path() + "/" + file + ": " + status.message(),
                       "Remove the file and add the group's devices again: what is reserved stays "
                       "at the logical unit.");
}

}  // namespace

// The file may be replaced while this waits for its lock: then it is another one that counts.
Status GroupFile::Open(const Directory& directory, const std::string& name, bool create,
                       std::chrono::milliseconds patience, std::unique_ptr<GroupFile>* file) {
  constexpr std::chrono::milliseconds kPause{20};
  const std::string path = FileOf(name);
  const auto until = std::chrono::steady_clock::now() + patience;
  if (!IsGroupName(name)) return NoSuchGroup(name);
  for (;;) {
    const int fd = directory->OpenFile(path, create);
    if (fd < 0 && errno == ENOENT) return NoSuchGroup(name);
    if (fd < 0) return Unusable(*directory, path);
    std::unique_ptr<GroupFile> opened(new GroupFile(directory, path, fd));
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
      if (!directory->Names(path, fd)) continue;
      const Status status = ReadState(*directory, name, fd, &opened->state_);
      if (!status.ok()) return status;
      if (!opened->state_ && !create) return NoSuchGroup(name);
      opened->RemoveLeftOvers();
      *file = std::move(opened);
      return status;
    }
    if (errno != EWOULDBLOCK) return Unusable(*directory, path);
    if (std::chrono::steady_clock::now() >= until) {
      return Status::Error(Code::kBusy, "another process works on path group " + name,
                           "Wait for it, or end it.");
    }
    std::this_thread::sleep_for(kPause);
  }
}

Status GroupFile::Read(const Directory& directory, const std::string& name, GroupState* state) {
  const std::string path = FileOf(name);
  if (!IsGroupName(name)) return NoSuchGroup(name);
  const int fd =
      openat(directory->fd(), path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return errno == ENOENT ? NoSuchGroup(name) : Unusable(*directory, path);
  std::optional<GroupState> read;
  const Status status = ReadState(*directory, name, fd, &read);
  close(fd);
  if (status.ok() && !read) return NoSuchGroup(name);
  if (read) *state = std::move(*read);
  return status;
}

std::vector<std::string> GroupFile::Names(const Directory& directory) {
  std::vector<std::string> names;
  for (std::string& rest : directory->List(kPrefix)) {
    if (!rest.ends_with(kSuffix)) continue;
    rest.resize(rest.size() - kSuffix.size());
    struct stat info = {};
    const bool is_there = fstatat(directory->fd(), FileOf(rest).c_str(), &info, 0) == 0;
    if (IsGroupName(rest) && is_there && info.st_size != 0) names.push_back(std::move(rest));
  }
  std::ranges::sort(names);
  return names;
}

GroupFile::~GroupFile() {
  if (!state_ && directory_->Names(file_, fd_)) {
    struct stat info = {};
    if (fstat(fd_, &info) == 0 && info.st_size == 0 && flock(fd_, LOCK_EX | LOCK_NB) == 0) {
      directory_->Remove(file_);
    }
  }
  close(fd_);
}

// Of processes that were killed in Save(). The lock is ours: nobody is in it now.
void GroupFile::RemoveLeftOvers() const {
  const std::string prefix = file_ + ".new-";
  for (const std::string& rest : directory_->List(prefix)) directory_->Remove(prefix + rest);
}

// What takes the file's place is locked before it has its name.
Status GroupFile::Save(const GroupState& state) {
  const std::string text = EncodeGroup(state) + "\n";
  std::string temporary;
  const int fd = CreateTemporaryAt(directory_->fd(), file_, &temporary);
  if (fd < 0) return Unusable(*directory_, file_);
  if (fchmod(fd, S_IRUSR | S_IWUSR) != 0 || flock(fd, LOCK_EX | LOCK_NB) != 0 ||
      !WriteAll(fd, text.data(), text.size(), 0) ||
      renameat(directory_->fd(), temporary.c_str(), directory_->fd(), file_.c_str()) != 0) {
    const Status status = Unusable(*directory_, file_);
    directory_->Remove(temporary);
    close(fd);
    return status;
  }
  close(fd_);
  fd_ = fd;
  state_ = state;
  return Status();
}

void GroupFile::Remove() {
  directory_->Remove(file_);
  state_.reset();
}

}  // namespace scsi_pr
