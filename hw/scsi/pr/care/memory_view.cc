// SPDX-License-Identifier: GPL-2.0-or-later
#include "care/memory_view.h"

#include <fcntl.h>
#include <unistd.h>

#include "store/file_io.h"
#include "store/gate_memory.h"
#include "store/host_locks.h"
#include "store/membership.h"

namespace scsi_pr {

MemoryView::MemoryView(std::string path, int fd)
    : path_(std::move(path)), fd_(fd), gate_(std::make_unique<Gate>()) {}

MemoryView::~MemoryView() { close(fd_); }

bool MemoryView::Refresh() {
  // Nothing but bytes and lock-free words.
  if (!ReadAll(fd_, static_cast<void*>(gate_.get()), sizeof(Gate), 0)) return false;
  in_use_ = gate_->nonce[0] != '\0' && HostLocks::IsInUse(ByteLocks(fd_));
  return gate_->IsOfThisLayout();
}

std::unique_ptr<MemoryView> MemoryView::Find(const std::string& identity,
                                             const std::string& runtime_directory, uid_t user) {
  std::unique_ptr<MemoryView> left;
  const std::string name = GateMemory::NameFor(identity);
  for (const auto& directory : RuntimeDirectory::Candidates(runtime_directory, user)) {
    const int fd = openat(directory->fd(), name.c_str(),
                          O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) continue;
    std::unique_ptr<MemoryView> view(new MemoryView(directory->path() + "/" + name, fd));
    if (!view->Refresh()) continue;
    if (view->in_use()) return view;
    if (!left) left = std::move(view);
  }
  return left;
}

std::vector<size_t> MemoryView::LiveSlots() const {
  const ByteLocks locks(fd_);
  std::vector<size_t> live;
  for (size_t i = 0; i < Gate::kSlots; i++) {
    if (gate_->slots[i].attached() && HostLocks::IsTaken(locks, i)) live.push_back(i);
  }
  return live;
}

std::vector<Attachment> MemoryView::Attached() const {
  return ListAttached(*gate_, LiveSlots(), [](size_t) { return true; });
}

Status MemoryView::ReadInForce(Record* record) {
  constexpr int kAttempts = 1000;
  Status status;
  for (int i = 0; i < kAttempts; i++) {
    const uint64_t word = gate_->in_force.load();
    status = ReadPlace(fd_, HostLocks::PlaceOf(word), record);
    if (!Refresh()) break;
    if (gate_->in_force.load() == word) return status;
  }
  return status;
}

}  // namespace scsi_pr
