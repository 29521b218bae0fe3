// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/gate_file.h"

#include <fcntl.h>
#include <glib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <new>

#include "store/temporary.h"

namespace scsi_pr {

namespace {

Status Failure(const std::string& path, int error) {
  return Status::Error(Status::Code::kIo, "cannot use " + path + ": " + strerror(error),
                       "The user that runs QEMU must be able to read and write it and its "
                       "directory, and there must be room for " +
                           std::to_string(sizeof(Gate) / 1024) + " KiB.");
}

using Condition = GateFile::Condition;

Condition Compare(const Gate& gate, const GateFile::Identity& identity) {
  const Gate expected;
  if (memcmp(gate.magic, expected.magic, sizeof gate.magic) != 0) return Condition::kNoGate;
  if (gate.layout != Gate::kLayout || gate.slot_count != Gate::kSlots) {
    return Condition::kOtherVersion;
  }
  if (strncmp(gate.boot_id, identity.boot_id.c_str(), sizeof gate.boot_id) != 0) {
    return Condition::kOtherBoot;
  }
  const bool same = (identity.nonce.empty() ||
                     strncmp(gate.nonce, identity.nonce.c_str(), sizeof gate.nonce) == 0) &&
                    gate.device == identity.device && gate.inode == identity.inode;
  return same ? Condition::kSound : Condition::kOtherStore;
}

// The gate under that name, mapped; null with `*condition` or errno.
Gate* MapFile(const std::string& path, bool to_look, Condition* condition) {
  const int fd =
      open(path.c_str(), (to_look ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  *condition = errno == ENOENT ? Condition::kMissing : Condition::kUnreadable;
  if (fd < 0) return nullptr;
  struct stat info = {};
  void* memory = MAP_FAILED;
  if (fstat(fd, &info) == 0 && info.st_size != static_cast<off_t>(sizeof(Gate))) {
    *condition = info.st_size < static_cast<off_t>(offsetof(Gate, nonce))
                     ? Condition::kNoGate
                     : Condition::kOtherVersion;
  } else {
    const int protection = to_look ? PROT_READ : PROT_READ | PROT_WRITE;
    memory = mmap(nullptr, sizeof(Gate), protection, MAP_SHARED, fd, 0);
    *condition = Condition::kUnreadable;
  }
  const int error = errno;
  close(fd);
  errno = error;
  return memory == MAP_FAILED ? nullptr : std::launder(static_cast<Gate*>(memory));
}

// Writes a whole gate to `fd`. Every block gets written: a hole would be
// filled later, in the middle of a memory access, on a file system that may
// be full by then.
bool WriteGate(int fd, const GateFile::Identity& identity) {
  const auto gate = std::make_unique<Gate>();
  g_strlcpy(gate->nonce, identity.nonce.c_str(), sizeof gate->nonce);
  g_strlcpy(gate->boot_id, identity.boot_id.c_str(), sizeof gate->boot_id);
  gate->device = identity.device;
  gate->inode = identity.inode;
  const auto* bytes = reinterpret_cast<const char*>(gate.get());
  for (size_t written = 0; written < sizeof(Gate);) {
    const ssize_t n = write(fd, bytes + written, sizeof(Gate) - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    written += static_cast<size_t>(n);
  }
  return true;
}

// Held, shared, by every process that uses the file.
constexpr uint64_t kUseByte = 0;

}  // namespace

bool GateFile::IsInUse(const std::string& path) {
  std::unique_ptr<RangeLock> use;
  return RangeLock::OpenToLook(path, &use).ok() && use->IsLockedElsewhere(kUseByte, 1);
}

std::string GateFile::BootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string boot_id;
  std::getline(file, boot_id);
  return boot_id;
}

Status GateFile::Map(const std::string& path, const Identity& identity,
                     std::unique_ptr<GateFile>* gate) {
  Condition condition = Condition::kMissing;
  Gate* mapped = MapFile(path, false, &condition);
  if (mapped == nullptr) {
    return condition == Condition::kUnreadable ? Failure(path, errno) : Status();
  }
  std::unique_ptr<RangeLock> use;
  const Status status = RangeLock::Open(path, &use);
  struct stat info = {};
  const bool same_file =
      status.ok() && stat(path.c_str(), &info) == 0 && use->inode() == info.st_ino;
  if (!same_file || Compare(*mapped, identity) != Condition::kSound) {
    munmap(mapped, sizeof(Gate));
    return status;
  }
  use->TryLockShared(kUseByte);
  gate->reset(new GateFile(std::move(use), mapped));
  return Status();
}

GateFile::Condition GateFile::Look(const std::string& path, const Identity& identity,
                                   std::unique_ptr<const GateFile>* gate) {
  Condition condition = Condition::kMissing;
  Gate* mapped = MapFile(path, true, &condition);
  if (mapped == nullptr) return condition;
  gate->reset(new GateFile(nullptr, mapped));
  condition = Compare(*mapped, identity);
  if (condition != Condition::kSound) gate->reset();
  return condition;
}

Status GateFile::Create(const std::string& path, const Identity& identity) {
  if (IsInUse(path)) {
    return Status::Error(Status::Code::kInUse, path + " is in use for another store file",
                         "The store file was replaced while VMs use it. Stop these VMs first.");
  }
  std::string temporary;
  const int fd = CreateTemporary(path, &temporary);
  if (fd < 0) return Failure(path, errno);
  // Whoever may use the database must be able to use the gate.
  const bool placed = MakeUsableLike(fd, identity.like) && WriteGate(fd, identity) &&
                      rename(temporary.c_str(), path.c_str()) == 0;
  const int error = errno;
  close(fd);
  if (placed) return Status();
  unlink(temporary.c_str());
  return Failure(path, error);
}

GateFile::~GateFile() { munmap(gate_, sizeof(Gate)); }

}  // namespace scsi_pr
