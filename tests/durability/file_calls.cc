// SPDX-License-Identifier: GPL-2.0-or-later
#include "file_calls.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <map>
#include <mutex>
#include <utility>

namespace scsi_pr::testing {

namespace {

// Static objects would be used before they are made: other libraries open files
// when they are loaded.
struct Watched {
  std::mutex mutex;
  std::vector<std::string> prefixes;
  std::atomic<FileWatcher*> watcher = nullptr;
  std::map<int, std::string> open;  // paths by descriptor

  // With the mutex. Also the directory in which such files are.
  bool Matches(const std::string& path) const {
    return std::ranges::any_of(prefixes, [&](const std::string& prefix) {
      return path.starts_with(prefix) || path == prefix.substr(0, prefix.rfind('/'));
    });
  }
};
Watched* watched = nullptr;
thread_local bool inside = false;

// A call that somebody watches; while it lives nested calls are not.
class Call {
 public:
  // `path` as seen from the directory behind `directory`.
  Call(FileCall::Kind kind, int directory, const char* path) {
    if (watched == nullptr || inside || path == nullptr) return;
    const std::lock_guard lock(watched->mutex);
    if (const std::string name = PathOf(directory, path); watched->Matches(name)) Begin(kind, name);
  }
  Call(FileCall::Kind kind, int fd) {
    if (watched == nullptr || inside) return;
    const std::lock_guard lock(watched->mutex);
    const auto found = watched->open.find(fd);
    if (found == watched->open.end()) return;
    Begin(kind, found->second);
    call.fd = fd;
  }
  ~Call() {
    if (watched_) inside = false;
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // The error to fail with; or what Before() says.
  int Before() const {
    FileWatcher* const watcher = watched_ ? watched->watcher.load() : nullptr;
    return watcher != nullptr ? watcher->Before(call) : 0;
  }
  void After() const {
    FileWatcher* const watcher = watched_ ? watched->watcher.load() : nullptr;
    if (watcher != nullptr) watcher->After(call);
  }
  // The result of a call that is done in this way.
  template <typename Body>
  auto Do(Body body) -> decltype(body()) {
    const int error = Before();
    if (error > 0) {
      errno = error;
      return -1;
    }
    const auto result = error == FileWatcher::kPretend ? 0 : body();
    if (result >= 0) After();
    return result;
  }
  bool is_watched() const { return watched_; }
  void Remember(int fd) {
    call.fd = fd;
    const std::lock_guard lock(watched->mutex);
    watched->open[fd] = call.path;
  }

  void Names(int directory, const char* path) {
    if (!watched_) return;
    const std::lock_guard lock(watched->mutex);
    call.new_path = PathOf(directory, path);
  }

  FileCall call;

 private:
  // With the mutex; a directory without the slash at its end.
  static std::string PathOf(int directory, const char* path) {
    std::string name(path);
    if (name[0] != '/' && directory != AT_FDCWD) {
      const auto found = watched->open.find(directory);
      name = found == watched->open.end() ? "" : found->second + "/" + name;
    }
    if (name.ends_with('/')) name.pop_back();
    return name;
  }
  void Begin(FileCall::Kind kind, const std::string& path) {
    watched_ = true;
    inside = true;
    call.kind = kind;
    call.path = path;
  }

  bool watched_ = false;
};

int Open(int directory, const char* path, int flags, mode_t mode) {
  Call call(FileCall::Kind::kOpen, directory, path);
  call.call.flags = flags;
  if (const int error = call.Before(); error != 0) {
    errno = error;
    return -1;
  }
  const int fd = static_cast<int>(syscall(SYS_openat, directory, path, flags, mode));
  if (fd >= 0 && call.is_watched()) {
    call.Remember(fd);
    call.After();
  }
  return fd;
}

}  // namespace

Watching::Watching(std::vector<std::string> prefixes, FileWatcher* watcher) {
  if (watched == nullptr) watched = new Watched;
  const std::lock_guard lock(watched->mutex);
  watched->prefixes = std::move(prefixes);
  watched->watcher = watcher;
}

Watching::~Watching() {
  const std::lock_guard lock(watched->mutex);
  watched->prefixes.clear();
  watched->watcher = nullptr;
  watched->open.clear();
}

}  // namespace scsi_pr::testing

using scsi_pr::testing::Call;
using scsi_pr::testing::FileCall;
using Kind = FileCall::Kind;

extern "C" {

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return scsi_pr::testing::Open(AT_FDCWD, path, flags, mode);
}

int openat64(int directory, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return scsi_pr::testing::Open(directory, path, flags, mode);
}

int close(int fd) {
  if (scsi_pr::testing::watched != nullptr && !scsi_pr::testing::inside) {
    const std::lock_guard lock(scsi_pr::testing::watched->mutex);
    scsi_pr::testing::watched->open.erase(fd);
  }
  return static_cast<int>(syscall(SYS_close, fd));
}

ssize_t pread64(int fd, void* data, size_t size, off_t offset) {
  Call call(Kind::kRead, fd);
  call.call.offset = offset;
  call.call.size = size;
  return call.Do([&] { return syscall(SYS_pread64, fd, data, size, offset); });
}

ssize_t pwrite64(int fd, const void* data, size_t size, off_t offset) {
  Call call(Kind::kWrite, fd);
  call.call.offset = offset;
  call.call.data = static_cast<const char*>(data);
  call.call.size = size;
  const int error = call.Before();
  if (error == scsi_pr::testing::FileWatcher::kShortWrite) size = (size + 1) / 2;
  if (error > 0) {
    errno = error;
    return -1;
  }
  const ssize_t written = syscall(SYS_pwrite64, fd, data, size, offset);
  if (written < 0) return written;
  call.call.size = static_cast<size_t>(written);
  call.After();
  return written;
}

int fdatasync(int fd) {
  Call call(Kind::kSync, fd);
  return static_cast<int>(call.Do([&] { return syscall(SYS_fdatasync, fd); }));
}

int fsync(int fd) {
  Call call(Kind::kSync, fd);
  return static_cast<int>(call.Do([&] { return syscall(SYS_fsync, fd); }));
}

int linkat(int from_directory, const char* from, int to_directory, const char* to,
           int flags) noexcept {
  Call call(Kind::kLink, from_directory, from);
  call.Names(to_directory, to);
  return static_cast<int>(
      call.Do([&] { return syscall(SYS_linkat, from_directory, from, to_directory, to, flags); }));
}

int renameat(int from_directory, const char* from, int to_directory, const char* to) noexcept {
  Call call(Kind::kRename, from_directory, from);
  call.Names(to_directory, to);
  return static_cast<int>(
      call.Do([&] { return syscall(SYS_renameat, from_directory, from, to_directory, to); }));
}

int unlinkat(int directory, const char* path, int flags) noexcept {
  Call call(Kind::kUnlink, directory, path);
  return static_cast<int>(call.Do([&] { return syscall(SYS_unlinkat, directory, path, flags); }));
}

int fcntl64(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  const auto do_it = [&] { return syscall(SYS_fcntl, fd, command, argument); };
  const bool locks = command == F_OFD_SETLK;
  if (!locks || static_cast<struct flock*>(argument)->l_type == F_UNLCK) {
    return static_cast<int>(do_it());
  }
  Call call(Kind::kLock, fd);
  return static_cast<int>(call.Do(do_it));
}

}  // extern "C"
