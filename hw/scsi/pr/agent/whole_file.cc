// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/whole_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "store/file_io.h"

namespace scsi_pr::agent {

namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

// errno stays as it is.
Status CannotDo(const char* what, const std::string& path) {
  const int error = errno;
  Status status = Status::Error(
      Status::Code::kIo, std::string("cannot ") + what + " " + path + ": " + strerror(error));
  errno = error;
  return status;
}

bool SyncDirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const Descriptor opened(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return opened.get() >= 0 && fsync(opened.get()) == 0;
}

}  // namespace

Status ReadWholeFile(const std::string& path, size_t most, std::string* text, mode_t* mode) {
  // Not O_RDONLY alone: a FIFO would keep us waiting.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info = {};
  if (file.get() < 0 || fstat(file.get(), &info) != 0) return CannotDo("read", path);
  if (!S_ISREG(info.st_mode)) {
    return Status::Error(Status::Code::kInvalid, path + " is no regular file");
  }
  std::string read(most + 1, '\0');
  size_t size = 0;
  for (ssize_t n; size < read.size(); size += static_cast<size_t>(n)) {
    n = ::read(file.get(), read.data() + size, read.size() - size);
    if (n < 0) return CannotDo("read", path);
    if (n == 0) break;
  }
  if (size > most) {
    return Status::Error(Status::Code::kInvalid,
                         path + " is longer than " + std::to_string(most) + " bytes");
  }
  read.resize(size);
  *text = std::move(read);
  if (mode != nullptr) *mode = info.st_mode & 07777;
  return Status();
}

Status ReplaceFile(const std::string& path, std::string_view text, mode_t mode, bool durable) {
  const std::string temporary = path + ".new";
  // What a process that was killed has left; never what its name points to.
  unlink(temporary.c_str());
  const Descriptor file(
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.get() < 0) return CannotDo("write", temporary);
  Status status;
  if (!WriteAll(file.get(), text.data(), text.size(), 0) || fchmod(file.get(), mode) != 0 ||
      (durable && fsync(file.get()) != 0)) {
    status = CannotDo("write", temporary);
  } else if (rename(temporary.c_str(), path.c_str()) != 0) {
    status = CannotDo("replace", path);
  } else if (durable && !SyncDirectoryOf(path)) {
    return CannotDo("replace", path);
  }
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

}  // namespace scsi_pr::agent
