// SPDX-License-Identifier: GPL-2.0-or-later
//
// The file of a file: store (record_format.h). Every function may wait for the disk as
// long as that likes: not for the main loop, an I/O thread or a QMP handler (disk.h).
// File and directory are held by descriptors, and found by nobody's path again. One
// thread at a time.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <string>

#include "core/status.h"
#include "store/byte_locks.h"
#include "store/record_format.h"

namespace scsi_pr {

class RecordFile {
 public:
  // `path` is canonical. Makes a store with an empty state; no error if another
  // process was faster.
  static Status Create(const std::string& path);
  // kInvalid: there is none, or it is no store; kIo. Reads nothing yet but how it begins.
  static Status Open(const std::string& path, std::unique_ptr<RecordFile>* file);
  // For those who look only, without the right to write.
  static Status OpenToLook(const std::string& path, std::unique_ptr<RecordFile>* file);
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  const std::string& path() const { return path_; }
  const struct stat& info() const { return info_; }
  int fd() const { return fd_; }

  Status ReadStamps(std::optional<Stamp> stamps[2]) const;
  Status ReadParts(DiskParts* parts) const;

  // Durable when it returns. On an error nothing of it counts any more, if the disk
  // lets that be done: else `*lingers` is true, and it may be found later.
  Status Write(unsigned place, const DiskRecord& record, bool* lingers) const;
  // The record in that place never counted; durable when it returns.
  Status TakeBack(unsigned place) const;

  // Whether the file still is what others find under its name. kIo, saying what has
  // become of it: removed, or another one is in its place.
  Status CheckStillThere() const;
  // It was removed for good: there is nothing under its name, and it has no other one.
  bool IsGone() const;
  // The file that is under its name now.
  Status Reopen();
  // A new file in the place of one that was removed, or new contents of this one, with
  // `newest` in place 1. Durable when it returns.
  Status WriteAnew(const DiskRecord& newest);
  // A new file with `newest` in place 1, in the place of this one, which stays under the
  // name `kept`. Killed at any point, the name stands for the one or the other.
  Status Supersede(const DiskRecord& newest, const std::string& kept) const;

 private:
  RecordFile(std::string path, int directory, int fd, const struct stat& info)
      : path_(std::move(path)), directory_(directory), fd_(fd), info_(info) {}

  Status Replace(const DiskRecord& newest);
  Status MakeBeside(const DiskRecord& newest, std::string* temporary) const;
  static Status OpenWith(const std::string& path, int flags, std::unique_ptr<RecordFile>* file);
  std::string name() const { return path_.substr(path_.rfind('/') + 1); }
  Status Grow(unsigned place, size_t bytes) const;
  Status WritePlace(unsigned place, const std::string& bytes) const;
  Status Failure(const char* what) const;

  const std::string path_;
  const int directory_;
  int fd_;
  struct stat info_;
};

}  // namespace scsi_pr
