// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/record_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "gate/crash_point.h"
#include "store/file_io.h"
#include "store/temporary.h"
#include "store/uuid.h"

namespace scsi_pr {

namespace {

// A full store is smaller by far: what is larger is a disk image, say, whose name was
// given by mistake.
constexpr off_t kMostBytes = off_t{64} << 20;

off_t OffsetOf(unsigned place, size_t block) {
  return static_cast<off_t>((2 * block + place) * kBlockBytes);
}

Status CannotCreate(const std::string& path, int error) {
  return Status::Error(Status::Code::kIo, "cannot create " + path + ": " + strerror(error),
                       "The user that runs QEMU must be able to write to its directory, and there "
                       "must be room.");
}

// A new file under a name of its own, with that record in place 1. -1 and errno.
int MakeFile(int directory, const std::string& name, const DiskRecord& newest,
             std::string* temporary) {
  DiskRecord older = newest;
  older.record.version = newest.previous;
  older.record.unit_attentions.clear();
  older.writing = 0;
  const int fd = CreateTemporaryAt(directory, name, temporary);
  if (fd < 0) return -1;
  const DiskRecord* const records[] = {&older, &newest};
  bool written = true;
  for (unsigned place = 0; place < 2 && written; place++) {
    const std::string bytes = EncodeDiskRecord(*records[place]);
    for (size_t at = 0; at < bytes.size() && written; at += kBlockBytes) {
      written = WriteAll(fd, bytes.data() + at, kBlockBytes, OffsetOf(place, at / kBlockBytes));
    }
  }
  if (written && fsync(fd) == 0) return fd;
  const int error = errno;
  close(fd);
  unlinkat(directory, temporary->c_str(), 0);
  errno = error;
  return -1;
}

int OpenDirectoryOf(const std::string& path) {
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  return open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

std::string ReadBlocks(int fd, unsigned place, off_t size) {
  std::string bytes;
  std::string block(kBlockBytes, '\0');
  for (size_t i = 0; OffsetOf(place, i) < size; i++) {
    const off_t at = OffsetOf(place, i);
    block.resize(static_cast<size_t>(std::min<off_t>(size - at, kBlockBytes)));
    if (!ReadAll(fd, block.data(), block.size(), at)) return std::string();
    bytes += block;
  }
  return bytes;
}

}  // namespace

Status RecordFile::Failure(const char* what) const {
  const int error = errno;
  std::string hint =
      "The user that runs QEMU must be able to read and write it; what its file "
      "system has trouble with is in the kernel's log. Nothing was changed.";
  if (error == ENOSPC || error == EDQUOT)
    hint = "Make room on its file system; nothing was changed.";
  return Status::Error(Status::Code::kIo,
                       std::string("cannot ") + what + " " + path_ + ": " + strerror(error),
                       std::move(hint));
}

Status RecordFile::Create(const std::string& path) {
  const int directory = OpenDirectoryOf(path);
  if (directory < 0) return CannotCreate(path, errno);
  DiskRecord empty;
  empty.identity = RandomUuid();
  empty.record.version = 1;
  std::string temporary;
  const std::string name = path.substr(path.rfind('/') + 1);
  const int fd = MakeFile(directory, name, empty, &temporary);
  Status status;
  if (fd < 0) {
    status = CannotCreate(path, errno);
  } else {
    close(fd);
    // link() does not replace: if another process was faster, its store stays.
    const bool linked =
        linkat(directory, temporary.c_str(), directory, name.c_str(), 0) == 0 || errno == EEXIST;
    if (!linked) status = CannotCreate(path, errno);
    unlinkat(directory, temporary.c_str(), 0);
    if (linked && fsync(directory) != 0) status = CannotCreate(path, errno);
  }
  close(directory);
  return status;
}

Status RecordFile::OpenWith(const std::string& path, int flags, std::unique_ptr<RecordFile>* file) {
  const int directory = OpenDirectoryOf(path);
  const int fd = open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  struct stat info = {};
  if (directory < 0 || fd < 0 || fstat(fd, &info) != 0) {
    const int error = errno;
    if (directory >= 0) close(directory);
    if (fd >= 0) close(fd);
    const bool there = error != ENOENT;
    return Status::Error(
        there ? Status::Code::kIo : Status::Code::kInvalid,
        there ? "cannot use " + path + ": " + strerror(error) : "there is no store " + path,
        there ? "The user that runs QEMU must be able to read and write it."
              : "Name an existing one.");
  }
  file->reset(new RecordFile(path, directory, fd, info));
  char begin[16] = {};
  const bool empty = info.st_size == 0;
  if (S_ISREG(info.st_mode) && !empty && pread(fd, begin, sizeof begin, 0) < 0) {
    return (*file)->Failure("read");
  }
  const bool ours = empty || LooksLikeStore(std::string_view(begin, sizeof begin));
  if (S_ISREG(info.st_mode) && info.st_size <= kMostBytes && ours) return Status();
  // Its beginning may be what is damaged; but not all else.
  DiskParts parts;
  if (S_ISREG(info.st_mode) && info.st_size <= kMostBytes && (*file)->ReadParts(&parts).ok() &&
      (parts.part[0].sound() || parts.part[1].sound())) {
    return Status();
  }
  return Status::Error(Status::Code::kInvalid, path + " is no scsi-pr store", "Name another file.");
}

Status RecordFile::Open(const std::string& path, std::unique_ptr<RecordFile>* file) {
  return OpenWith(path, O_RDWR, file);
}

Status RecordFile::OpenToLook(const std::string& path, std::unique_ptr<RecordFile>* file) {
  return OpenWith(path, O_RDONLY, file);
}

RecordFile::~RecordFile() {
  close(fd_);
  close(directory_);
}

Status RecordFile::ReadStamps(std::optional<Stamp> stamps[2]) const {
  for (unsigned place = 0; place < 2; place++) {
    char sector[kSectorBytes] = {};
    const ssize_t n = pread(fd_, sector, sizeof sector, OffsetOf(place, 0));
    if (n < 0) return Failure("read");
    stamps[place] = DecodeStamp(std::string_view(sector, static_cast<size_t>(n)));
  }
  return Status();
}

Status RecordFile::ReadParts(DiskParts* parts) const {
  struct stat info = {};
  if (fstat(fd_, &info) != 0) return Failure("read");
  const off_t size = std::min(info.st_size, kMostBytes);
  for (unsigned place = 0; place < 2; place++) {
    const std::string bytes = ReadBlocks(fd_, place, size);
    if (bytes.empty() && OffsetOf(place, 0) < size) return Failure("read");
    parts->part[place] = DecodeDiskPart(bytes);
  }
  return Status();
}

// Room, and sectors that are known to be of no record, before a record is begun that
// needs them: what lies behind the end of a file may be anything after a power loss.
Status RecordFile::Grow(unsigned place, size_t bytes) const {
  struct stat info = {};
  if (fstat(fd_, &info) != 0) return Failure("use");
  std::string blank;
  while (blank.size() < kBlockBytes) blank += EncodeBlankSector();
  bool grown = false;
  for (size_t block = 0; block < bytes / kBlockBytes; block++) {
    const off_t at = OffsetOf(place, block);
    if (at + static_cast<off_t>(kBlockBytes) <= info.st_size) continue;
    if (!WriteAll(fd_, blank.data(), blank.size(), at)) return Failure("write");
    grown = true;
  }
  return !grown || fdatasync(fd_) == 0 ? Status() : Failure("sync");
}

Status RecordFile::WritePlace(unsigned place, const std::string& bytes) const {
  for (size_t at = 0; at < bytes.size(); at += kBlockBytes) {
    if (!WriteAll(fd_, bytes.data() + at, kBlockBytes, OffsetOf(place, at / kBlockBytes))) {
      return Failure("write");
    }
    CrashPoint("writing");
  }
  return fdatasync(fd_) == 0 ? Status() : Failure("sync");
}

Status RecordFile::Write(unsigned place, const DiskRecord& record, bool* lingers) const {
  *lingers = false;
  const std::string bytes = EncodeDiskRecord(record);
  if (Status status = Grow(place, bytes.size()); !status.ok()) return status;
  Status status = WritePlace(place, bytes);
  if (!status.ok()) *lingers = !TakeBack(place).ok();
  return status;
}

Status RecordFile::TakeBack(unsigned place) const {
  const std::string blank = EncodeBlankSector();
  if (!WriteAll(fd_, blank.data(), blank.size(), OffsetOf(place, 0))) return Failure("write");
  return fdatasync(fd_) == 0 ? Status() : Failure("sync");
}

Status RecordFile::CheckStillThere() const {
  struct stat named = {};
  struct stat opened = {};
  const bool found = fstatat(directory_, name().c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0;
  const int error = errno;
  if (fstat(fd_, &opened) != 0) return Failure("use");
  // Who may not look into the directory (any more) has the file all the same.
  if (!found && error == EACCES && opened.st_nlink > 0) return Status();
  errno = error;
  if (!found && errno != ENOENT) return Failure("use");
  if (found && named.st_dev == opened.st_dev && named.st_ino == opened.st_ino) return Status();
  if (!found) {
    return Status::Error(Status::Code::kIo, path_ + " was removed while in use",
                         "The state in force stays; the next change that must survive makes the "
                         "file anew.");
  }
  return Status::Error(Status::Code::kIo, path_ + " was replaced while in use",
                       "The state in force stays. Put the original file back, or remove the one "
                       "that took its place.");
}

bool RecordFile::IsGone() const {
  struct stat info = {};
  return fstatat(directory_, name().c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT &&
         fstat(fd_, &info) == 0 && info.st_nlink == 0;
}

Status RecordFile::Reopen() {
  const int fd = openat(directory_, name().c_str(), O_RDWR | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
  struct stat info = {};
  if (fd < 0 || fstat(fd, &info) != 0) {
    const Status status = Failure("use");
    if (fd >= 0) close(fd);
    return status;
  }
  close(fd_);
  fd_ = fd;
  info_ = info;
  return Status();
}

Status RecordFile::WriteAnew(const DiskRecord& newest) {
  if (!CheckStillThere().ok()) return Replace(newest);
  DiskRecord older = newest;
  older.record.version = newest.previous;
  older.record.unit_attentions.clear();
  const std::string bytes[2] = {EncodeDiskRecord(older), EncodeDiskRecord(newest)};
  Status status;
  for (unsigned place = 0; place < 2 && status.ok(); place++)
    status = Grow(place, bytes[place].size());
  for (unsigned place = 0; place < 2 && status.ok(); place++)
    status = WritePlace(place, bytes[place]);
  return status;
}

Status RecordFile::MakeBeside(const DiskRecord& newest, std::string* temporary) const {
  const int fd = MakeFile(directory_, name(), newest, temporary);
  if (fd < 0) return Failure("make anew");
  const Status status = MakeUsableLike(fd, info_) ? Status() : Failure("make anew");
  close(fd);
  if (!status.ok()) unlinkat(directory_, temporary->c_str(), 0);
  return status;
}

Status RecordFile::Replace(const DiskRecord& newest) {
  std::string temporary;
  Status status = MakeBeside(newest, &temporary);
  if (!status.ok()) return status;
  if (linkat(directory_, temporary.c_str(), directory_, name().c_str(), 0) != 0) {
    status = Failure("make anew");
  }
  unlinkat(directory_, temporary.c_str(), 0);
  if (status.ok() && fsync(directory_) != 0) status = Failure("make anew");
  return status.ok() ? Reopen() : status;
}

Status RecordFile::Supersede(const DiskRecord& newest, const std::string& kept) const {
  std::string temporary;
  Status status = MakeBeside(newest, &temporary);
  if (!status.ok()) return status;
  CrashPoint("built");
  const std::string kept_name = kept.substr(kept.rfind('/') + 1);
  const bool linked =
      linkat(directory_, name().c_str(), directory_, kept_name.c_str(), 0) == 0 || errno == EEXIST;
  if (!linked) status = Failure("keep");
  CrashPoint("kept");
  if (linked && renameat(directory_, temporary.c_str(), directory_, name().c_str()) != 0) {
    status = Failure("replace");
  }
  if (!status.ok()) unlinkat(directory_, temporary.c_str(), 0);
  CrashPoint("replaced");
  if (status.ok() && fsync(directory_) != 0) status = Failure("replace");
  return status;
}

}  // namespace scsi_pr
