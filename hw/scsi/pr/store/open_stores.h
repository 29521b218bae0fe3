// SPDX-License-Identifier: GPL-2.0-or-later
//
// The stores of one kind that this process has open: one object each, whoever names it. Locks of
// one process do not keep its own threads apart, so two would not see each other.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/status.h"
#include "store/gate_store.h"
#include "store/mutex.h"

namespace scsi_pr {

// Lives as long as the process.
class OpenStores {
 public:
  using Join = std::function<Status(GateStore& store)>;
  using Open = std::function<Status(std::unique_ptr<GateStore>* store)>;

  // The store with that identity: as it is open, if `join` lets it be, or what `open` makes.
  // Neither runs at the same time as another one, or as the destruction of a store.
  Status Get(const std::string& identity, const Join& join, const Open& open,
             std::shared_ptr<Store>* store);

 private:
  std::shared_ptr<GateStore> Find(const std::string& identity) REQUIRES(mutex_);
  void Destroy(const std::string& identity, GateStore* store);

  Mutex mutex_;
  Condition destroyed_;
  // An entry goes when its store is destroyed, which is later than when the last user lets go.
  std::map<std::string, std::weak_ptr<GateStore>> stores_ GUARDED_BY(mutex_);
};

}  // namespace scsi_pr
