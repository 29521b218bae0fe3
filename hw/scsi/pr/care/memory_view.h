// SPDX-License-Identifier: GPL-2.0-or-later
//
// The memory of a store in use, as one who looks sees it: a copy. Nothing of it is
// mapped, for whoever may write to the file may also cut it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gate/gate.h"
#include "store/record.h"
#include "store/store.h"

namespace scsi_pr {

class MemoryView {
 public:
  // Looks for it in `runtime_directory`, or where a store of that user may have it if that
  // is empty. One that is in use comes first; else what the last user has left; else null.
  static std::unique_ptr<MemoryView> Find(const std::string& identity,
                                          const std::string& runtime_directory, uid_t user);
  ~MemoryView();
  MemoryView(const MemoryView&) = delete;
  MemoryView& operator=(const MemoryView&) = delete;

  const std::string& path() const { return path_; }
  std::string directory() const { return path_.substr(0, path_.rfind('/')); }
  // By living processes.
  bool in_use() const { return in_use_; }
  // As it was when it was found, or last refreshed.
  const Gate& gate() const { return *gate_; }
  bool Refresh();
  // Of processes that live, or whose last command is still under way.
  std::vector<size_t> LiveSlots() const;
  std::vector<Attachment> Attached() const;
  // kCorrupt: it is spoilt.
  Status ReadInForce(Record* record);

 private:
  MemoryView(std::string path, int fd);

  const std::string path_;
  const int fd_;
  const std::unique_ptr<Gate> gate_;
  bool in_use_ = false;
};

}  // namespace scsi_pr
