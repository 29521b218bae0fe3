// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/gate_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "store/file_io.h"
#include "store/record_bytes.h"
#include "store/temporary.h"

namespace scsi_pr {

namespace {

// More than 4096 registrations and their unit attention conditions take.
constexpr off_t kPlaceBytes = off_t{8} << 20;

struct Header {
  uint64_t version;
  uint32_t length;
  uint32_t checksum;
};

off_t OffsetOf(unsigned index) {
  return static_cast<off_t>(sizeof(Gate)) + static_cast<off_t>(index) * kPlaceBytes;
}

uint32_t Checksum(const Header& header, const std::string& bytes) {
  uLong sum = crc32_z(0, reinterpret_cast<const Bytef*>(&header), offsetof(Header, checksum));
  sum = crc32_z(sum, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  return static_cast<uint32_t>(sum);
}

Status Failure(const std::string& path, int error) {
  return Status::Error(Status::Code::kIo, "cannot use " + path + ": " + strerror(error),
                       "The user that runs QEMU must be able to read and write it and its "
                       "directory, and there must be room for " +
                           std::to_string(sizeof(Gate) / 1024) + " KiB.");
}

// Whole, or not there: made under another name. 0 or an errno.
int Make(const RuntimeDirectory& directory, const std::string& name, const struct stat& like) {
  std::string temporary;
  const int fd = CreateTemporaryAt(directory.fd(), name, &temporary);
  if (fd < 0) return errno;
  const auto gate = std::make_unique<Gate>();
  // All of it now: a hole would be filled in the middle of a memory access, when there
  // may be no memory left.
  const bool made = MakeUsableLike(fd, like) && WriteAll(fd, gate.get(), sizeof(Gate), 0) &&
                    linkat(directory.fd(), temporary.c_str(), directory.fd(), name.c_str(), 0) == 0;
  const int error = made || errno == EEXIST ? 0 : errno;
  close(fd);
  directory.Remove(temporary);
  return error;
}

int OpenOrMake(const RuntimeDirectory& directory, const std::string& name,
               const struct stat& like) {
  for (;;) {
    const int fd = directory.OpenFile(name, false);
    if (fd >= 0 || errno != ENOENT) return fd;
    if (const int error = Make(directory, name, like); error != 0) {
      errno = error;
      return -1;
    }
  }
}

Status OtherVersion(const std::string& path) {
  return Status::Error(Status::Code::kUnsupported, path + " is of another version of scsi-pr",
                       "Stop the VMs that use the store, then start them with one version.");
}

}  // namespace

Status GateMemory::Open(std::shared_ptr<const RuntimeDirectory> directory,
                        const std::string& identity, const struct stat& like,
                        std::unique_ptr<GateMemory>* memory) {
  const std::string name = NameFor(identity);
  const int fd = OpenOrMake(*directory, name, like);
  return Map(std::move(directory), name, fd, memory);
}

Status GateMemory::OpenExisting(std::shared_ptr<const RuntimeDirectory> directory,
                                const std::string& identity, std::unique_ptr<GateMemory>* memory) {
  const std::string name = NameFor(identity);
  const int fd = directory->OpenFile(name, false);
  return Map(std::move(directory), name, fd, memory);
}

// -1 for `fd`: errno says why.
Status GateMemory::Map(std::shared_ptr<const RuntimeDirectory> directory, const std::string& name,
                       int fd, std::unique_ptr<GateMemory>* memory) {
  const std::string path = directory->path() + "/" + name;
  if (fd < 0) return Failure(path, errno);
  struct stat info = {};
  const bool whole = fstat(fd, &info) == 0 && info.st_size >= static_cast<off_t>(sizeof(Gate));
  void* mapped = MAP_FAILED;
  if (whole) mapped = mmap(nullptr, sizeof(Gate), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) {
    const int error = errno;
    close(fd);
    return whole ? Failure(path, error) : OtherVersion(path);
  }
  memory->reset(
      new GateMemory(std::move(directory), name, fd, std::launder(static_cast<Gate*>(mapped))));
  if ((*memory)->gate().IsOfThisLayout()) return Status();
  memory->reset();
  return OtherVersion(path);
}

GateMemory::~GateMemory() {
  munmap(gate_, sizeof(Gate));
  close(fd_);
}

// The nonce first: whoever finds it empty begins anew, too.
void GateMemory::Clear() {
  gate_->nonce[0] = '\0';
  for (GateSlot& slot : gate_->slots) new (&slot) GateSlot;
  for (auto* word : {&gate_->in_force, &gate_->published, &gate_->fencing}) word->store(0);
}

Status GateMemory::Write(RecordPlace place, const Record& record) const {
  const std::string bytes = EncodeRecord(record);
  Header header = {record.version, static_cast<uint32_t>(bytes.size()), 0};
  header.checksum = Checksum(header, bytes);
  std::string whole(reinterpret_cast<const char*>(&header), sizeof header);
  whole += bytes;
  if (whole.size() <= static_cast<size_t>(kPlaceBytes) &&
      WriteAll(fd_, whole.data(), whole.size(), OffsetOf(place.index))) {
    return Status();
  }
  return Failure(path(), whole.size() > static_cast<size_t>(kPlaceBytes) ? EFBIG : errno);
}

Status GateMemory::Read(RecordPlace place, Record* record) const {
  return ReadPlace(fd_, place, record);
}

Status ReadPlace(int fd, RecordPlace place, Record* record) {
  const auto damaged = [] {
    return Status::Error(Status::Code::kCorrupt, "the record in shared memory is damaged");
  };
  const off_t offset = OffsetOf(place.index);
  Header header = {};
  if (!ReadAll(fd, &header, sizeof header, offset)) return damaged();
  if (header.version != place.version || header.length > kPlaceBytes) return damaged();
  std::string bytes(header.length, '\0');
  if (!ReadAll(fd, bytes.data(), bytes.size(), offset + static_cast<off_t>(sizeof header)) ||
      Checksum(header, bytes) != header.checksum || !DecodeRecord(bytes, record)) {
    return damaged();
  }
  record->version = header.version;
  return Status();
}

}  // namespace scsi_pr
