// SPDX-License-Identifier: GPL-2.0-or-later
#include "file_calls.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <map>
#include <mutex>

namespace scsi_pr::testing {

namespace {

// Static objects would be used before they are made: other libraries open files
// when they are loaded.
constexpr const char* kNothing = "//";  // no path begins so

struct Watched {
  std::mutex mutex;
  std::string prefix;
  std::string directory;
  std::atomic<FileWatcher*> watcher = nullptr;
  std::map<int, std::string> open;  // paths by descriptor
};
Watched* watched = nullptr;
thread_local bool inside = false;

// A call that somebody watches; while it lives nested calls are not.
class Call {
 public:
  Call(FileCall::Kind kind, const char* path) {
    if (watched == nullptr || inside || path == nullptr) return;
    const std::lock_guard lock(watched->mutex);
    const std::string name(path);
    if (!name.starts_with(watched->prefix) && name != watched->directory) return;
    Begin(kind, name);
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

  FileCall call;

 private:
  void Begin(FileCall::Kind kind, const std::string& path) {
    watched_ = true;
    inside = true;
    call.kind = kind;
    call.path = path;
  }

  bool watched_ = false;
};

ssize_t Write(int fd, const void* data, size_t size, off_t offset, bool positioned) {
  Call call(FileCall::Kind::kWrite, fd);
  if (call.is_watched() && !positioned) offset = lseek(fd, 0, SEEK_CUR);
  call.call.offset = offset;
  call.call.data = static_cast<const char*>(data);
  call.call.size = size;
  const int error = call.Before();
  if (error == FileWatcher::kShortWrite) size = (size + 1) / 2;
  if (error > 0) {
    errno = error;
    return -1;
  }
  const ssize_t written = positioned ? syscall(SYS_pwrite64, fd, data, size, offset)
                                     : syscall(SYS_write, fd, data, size);
  if (written < 0) return written;
  call.call.size = static_cast<size_t>(written);
  call.After();
  return written;
}

}  // namespace

Watching::Watching(const std::string& prefix, FileWatcher* watcher) {
  if (watched == nullptr) watched = new Watched;
  const std::lock_guard lock(watched->mutex);
  watched->prefix = prefix;
  watched->directory = prefix.substr(0, prefix.rfind('/'));
  watched->watcher = watcher;
}

Watching::~Watching() {
  const std::lock_guard lock(watched->mutex);
  watched->prefix = watched->directory = kNothing;
  watched->watcher = nullptr;
  watched->open.clear();
}

void Watching::Set(FileWatcher* watcher) { watched->watcher = watcher; }

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
  Call call(Kind::kOpen, path);
  call.call.flags = flags;
  if (const int error = call.Before(); error != 0) {
    errno = error;
    return -1;
  }
  const int fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
  if (fd >= 0 && call.is_watched()) {
    call.Remember(fd);
    call.After();
  }
  return fd;
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
  return scsi_pr::testing::Write(fd, data, size, offset, true);
}

ssize_t write(int fd, const void* data, size_t size) {
  return scsi_pr::testing::Write(fd, data, size, 0, false);
}

int ftruncate64(int fd, off_t size) {
  Call call(Kind::kTruncate, fd);
  call.call.offset = size;
  return static_cast<int>(call.Do([&] { return syscall(SYS_ftruncate, fd, size); }));
}

int fdatasync(int fd) {
  Call call(Kind::kSync, fd);
  return static_cast<int>(call.Do([&] { return syscall(SYS_fdatasync, fd); }));
}

int fsync(int fd) {
  Call call(Kind::kSync, fd);
  return static_cast<int>(call.Do([&] { return syscall(SYS_fsync, fd); }));
}

int link(const char* from, const char* to) noexcept {
  Call call(Kind::kLink, from);
  call.call.new_path = to;
  return static_cast<int>(call.Do([&] { return syscall(SYS_link, from, to); }));
}

int rename(const char* from, const char* to) noexcept {
  Call call(Kind::kRename, from);
  call.call.new_path = to;
  return static_cast<int>(call.Do([&] { return syscall(SYS_rename, from, to); }));
}

int unlink(const char* path) noexcept {
  Call call(Kind::kUnlink, path);
  return static_cast<int>(call.Do([&] { return syscall(SYS_unlink, path); }));
}

int fcntl64(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  const auto do_it = [&] { return syscall(SYS_fcntl, fd, command, argument); };
  const bool locks = command == F_SETLK || command == F_OFD_SETLK;
  if (!locks || static_cast<struct flock*>(argument)->l_type == F_UNLCK) {
    return static_cast<int>(do_it());
  }
  Call call(Kind::kLock, fd);
  return static_cast<int>(call.Do(do_it));
}

}  // extern "C"
