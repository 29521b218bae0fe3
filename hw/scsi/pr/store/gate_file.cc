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

bool Carries(const Gate& gate, const GateFile::Identity& identity) {
  const Gate expected;
  return memcmp(gate.magic, expected.magic, sizeof gate.magic) == 0 &&
         gate.layout == Gate::kLayout && gate.slot_count == Gate::kSlots &&
         strncmp(gate.nonce, identity.nonce.c_str(), sizeof gate.nonce) == 0 &&
         strncmp(gate.boot_id, identity.boot_id.c_str(), sizeof gate.boot_id) == 0 &&
         gate.device == identity.device && gate.inode == identity.inode;
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

bool IsInUse(const std::string& path) {
  std::unique_ptr<RangeLock> use;
  return RangeLock::Open(path, &use).ok() && use->IsLockedElsewhere(kUseByte, 1);
}

}  // namespace

std::string GateFile::BootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string boot_id;
  std::getline(file, boot_id);
  return boot_id;
}

Status GateFile::Map(const std::string& path, const Identity& identity,
                     std::unique_ptr<GateFile>* gate) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return errno == ENOENT ? Status() : Failure(path, errno);
  struct stat info = {};
  const bool sound = fstat(fd, &info) == 0 && info.st_size == static_cast<off_t>(sizeof(Gate));
  void* memory = MAP_FAILED;
  if (sound) memory = mmap(nullptr, sizeof(Gate), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const int error = errno;
  close(fd);
  if (!sound) return Status();
  if (memory == MAP_FAILED) return Failure(path, error);

  std::unique_ptr<RangeLock> use;
  Status status = RangeLock::Open(path, &use);
  Gate* mapped = std::launder(static_cast<Gate*>(memory));
  if (!status.ok() || use->inode() != info.st_ino || !Carries(*mapped, identity)) {
    munmap(memory, sizeof(Gate));
    return status;
  }
  use->TryLockShared(kUseByte);
  gate->reset(new GateFile(std::move(use), mapped));
  return Status();
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
  const bool placed = fchmod(fd, identity.mode) == 0 && WriteGate(fd, identity) &&
                      rename(temporary.c_str(), path.c_str()) == 0;
  const int error = errno;
  close(fd);
  if (placed) return Status();
  unlink(temporary.c_str());
  return Failure(path, error);
}

GateFile::~GateFile() { munmap(gate_, sizeof(Gate)); }

}  // namespace scsi_pr
