// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/registry.h"

#include <fcntl.h>
#include <glib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <sstream>
#include <thread>

#include "store/byte_locks.h"
#include "store/file_io.h"

namespace scsi_pr {

namespace {

constexpr uint64_t kLock = 0;
constexpr size_t kMostBytes = 4096;
// For who is just writing: a few moments, unless he is stopped.
constexpr std::chrono::milliseconds kPatience{1000};

std::string FileName(Fact::Kind kind, const std::string& key) {
  gchar* digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, key.c_str(), -1);
  std::string name = kind == Fact::Kind::kMedium ? "scsi-pr-medium-" : "scsi-pr-name-";
  name += digest;
  g_free(digest);
  return name;
}

bool Write(int fd, const Fact::Store& store) {
  const std::string text = store.id + "\n" + store.uri + "\n" + store.user + "\n";
  // Others must be able to read it, whoever they are, and to replace what is void.
  return fchmod(fd, 0666) == 0 && ftruncate(fd, 0) == 0 &&
         WriteAll(fd, text.data(), std::min(text.size(), kMostBytes), 0);
}

Fact::Store Read(int fd) {
  std::string text(kMostBytes, '\0');
  const ssize_t n = pread(fd, text.data(), text.size(), 0);
  text.resize(n < 0 ? 0 : static_cast<size_t>(n));
  std::istringstream lines(text);
  Fact::Store store;
  std::getline(lines, store.id);
  std::getline(lines, store.uri);
  std::getline(lines, store.user);
  return store;
}

Status Failure(const RuntimeDirectory& directory, const std::string& name) {
  return Status::Error(Status::Code::kIo,
                       "cannot use " + directory.path() + "/" + name + ": " + strerror(errno),
                       "The user that runs QEMU must be able to read and write it; there must be "
                       "room for it.");
}

enum class Attempt { kDone, kAgain, kFailed };

// One attempt; `fd` is open under `name`.
Attempt TryToState(const RuntimeDirectory& directory, const std::string& name, int fd,
                   const Fact::Store& store, bool* agrees, Fact::Store* other) {
  const ByteLocks locks(fd);
  switch (locks.TryLock(kLock)) {
    case Locked::kFailed: return Attempt::kFailed;
    case Locked::kYes:
      // Whoever left last may have removed it meanwhile.
      if (!directory.Names(name, fd)) return Attempt::kAgain;
      *agrees = true;
      return Write(fd, store) && locks.TryLockShared(kLock) == Locked::kYes ? Attempt::kDone
                                                                            : Attempt::kFailed;
    case Locked::kElsewhere: break;
  }
  if (locks.TryLockShared(kLock) != Locked::kYes) return Attempt::kAgain;
  *other = Read(fd);
  *agrees = other->id == store.id || (store.succeeds && other->uri == store.uri);
  return Attempt::kDone;
}

}  // namespace

Status Fact::State(std::shared_ptr<const RuntimeDirectory> directory, Kind kind,
                   const std::string& key, const Store& store, std::unique_ptr<Fact>* fact,
                   bool* agrees, Store* other) {
  const std::string name = FileName(kind, key);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
    const int fd = directory->OpenFile(name, true);
    if (fd < 0) return Failure(*directory, name);
    switch (TryToState(*directory, name, fd, store, agrees, other)) {
      case Attempt::kDone:
        if (*agrees) {
          fact->reset(new Fact(std::move(directory), name, fd));
        } else {
          close(fd);
        }
        return Status();
      case Attempt::kFailed: {
        const Status status = Failure(*directory, name);
        close(fd);
        return status;
      }
      case Attempt::kAgain: close(fd);
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return Status::Error(Status::Code::kBusy,
                           directory->path() + "/" + name +
                               " is being written by "
                               "a process that does not finish",
                           "Look for a stopped QEMU process.");
    }
  }
}

bool Fact::IsStated(const RuntimeDirectory& directory, Kind kind, const std::string& key,
                    Store* store) {
  const int fd = directory.OpenFile(FileName(kind, key), false);
  if (fd < 0) return false;
  const bool stated = ByteLocks(fd).IsLockedElsewhere(kLock, 1);
  if (stated) *store = Read(fd);
  close(fd);
  return stated;
}

// The last one removes it.
Fact::~Fact() {
  if (ByteLocks(fd_).TryLock(kLock) == Locked::kYes && directory_->Names(name_, fd_)) {
    directory_->Remove(name_);
  }
  close(fd_);
}

}  // namespace scsi_pr
