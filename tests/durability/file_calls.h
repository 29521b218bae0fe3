// SPDX-License-Identifier: GPL-2.0-or-later
//
// Every system call by which this process touches the files of a store: a test sees
// each before it happens, and can make it fail or end the process there.
//
// The functions of the C library are defined once more in the test program, where
// the store's code finds them. Memory that is mapped is not seen (the gate).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

namespace scsi_pr::testing {

struct FileCall {
  enum class Kind {
    kOpen,
    kRead,
    kWrite,
    kSync,
    kLink,
    kRename,
    kUnlink,
    kLock,  // a lock is taken
  };

  Kind kind = Kind::kOpen;
  std::string path;            // what the file was called when it was opened
  std::string new_path;        // of kLink and kRename
  int flags = 0;               // of kOpen
  off_t offset = 0;            // of kRead and kWrite
  const char* data = nullptr;  // of kWrite
  size_t size = 0;             // of kRead and kWrite
  int fd = -1;                 // of what goes by descriptors; of kOpen in After() only
};

class FileWatcher {
 public:
  // Half of a write is done, and its caller told so.
  static constexpr int kShortWrite = -1;
  // A sync is not done, though its caller thinks so: for disks that are simulated.
  static constexpr int kPretend = -2;

  virtual ~FileWatcher() = default;
  // 0: the call goes on; else an errno with which it fails, or one of the above.
  virtual int Before(const FileCall&) { return 0; }
  // It has succeeded. What was written is `call.size` bytes.
  virtual void After(const FileCall&) {}
};

// While it lives `watcher`, unless it is null, sees the calls for the files whose
// paths begin with one of `prefixes` and that are opened meanwhile, and for the directory
// in which these are. It is not told of calls of its own. One at a time.
class Watching {
 public:
  explicit Watching(std::vector<std::string> prefixes, FileWatcher* watcher = nullptr);
  explicit Watching(const std::string& prefix, FileWatcher* watcher = nullptr)
      : Watching(std::vector<std::string>{prefix}, watcher) {}
  ~Watching();
  Watching(const Watching&) = delete;
  Watching& operator=(const Watching&) = delete;

  // Another one, or null, from now on.
  void Set(FileWatcher* watcher);
};

}  // namespace scsi_pr::testing
