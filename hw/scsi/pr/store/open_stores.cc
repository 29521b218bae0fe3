// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/open_stores.h"

namespace scsi_pr {

// Under the lock: its locks are gone before anybody opens the same store again.
void OpenStores::Destroy(const std::string& identity, GateStore* store) {
  const MutexLock lock(mutex_);
  delete store;
  stores_.erase(identity);
  destroyed_.NotifyAll();
}

// Nothing if there is none, not even one that somebody else is about to destroy.
std::shared_ptr<GateStore> OpenStores::Find(const std::string& identity) {
  for (;;) {
    const auto entry = stores_.find(identity);
    if (entry == stores_.end()) return nullptr;
    if (std::shared_ptr<GateStore> store = entry->second.lock()) return store;
    destroyed_.Wait(mutex_);
  }
}

Status OpenStores::Get(const std::string& identity, const Join& join, const Open& open,
                       std::shared_ptr<Store>* store) {
  std::shared_ptr<GateStore> found;  // destroyed without the lock
  const MutexLock lock(mutex_);
  found = Find(identity);
  if (found) {
    Status status = join(*found);
    if (status.ok()) *store = found;
    return status;
  }
  std::unique_ptr<GateStore> opened;
  if (Status status = open(&opened); !status.ok()) return status;
  found = std::shared_ptr<GateStore>(
      opened.release(), [this, identity](GateStore* last) { Destroy(identity, last); });
  stores_[identity] = found;
  *store = found;
  return Status();
}

}  // namespace scsi_pr
