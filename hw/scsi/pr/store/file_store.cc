// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/file_store.h"

#include <map>

#include "store/file_durable.h"
#include "store/local_store.h"
#include "store/mutex.h"

namespace scsi_pr {

namespace {

// The stores of this process that are open, by identity. An entry goes when its store is
// destroyed, which is later than when the last user lets go.
struct OpenStores {
  struct Entry {
    std::weak_ptr<Store> store;
    std::weak_ptr<HostLocks> locks;
  };
  Mutex mutex;
  Condition destroyed;
  std::map<std::string, Entry> stores GUARDED_BY(mutex);
};

OpenStores& TheOpenStores() {
  static OpenStores open_stores;
  return open_stores;
}

// Destroys under the lock: its locks are gone before anybody opens the same store again.
struct DestroyOpen {
  std::string identity;

  void operator()(Store* store) const {
    OpenStores& open = TheOpenStores();
    const MutexLock lock(open.mutex);
    delete store;
    open.stores.erase(identity);
    open.destroyed.NotifyAll();
  }
};

// Nothing if there is none, not even one that somebody else is about to destroy.
std::shared_ptr<Store> FindOpen(OpenStores& open, FileDurable& durable, Status* status)
    REQUIRES(open.mutex) {
  for (;;) {
    const auto entry = open.stores.find(durable.identity());
    if (entry == open.stores.end()) return nullptr;
    if (std::shared_ptr<Store> store = entry->second.store.lock()) {
      // It may be a copy of that store.
      *status = durable.Join(entry->second.locks.lock()->gate());
      return store;
    }
    open.destroyed.Wait(open.mutex);
  }
}

Status NotHere(const std::string& path) {
  return Status::Error(Status::Code::kInvalid,
                       "there is no store " + path + " here that an incoming VM could go on with",
                       "It must be the very one of the source, which a file: store can only be on "
                       "the same host. To go to another host use a store that both can see.");
}

}  // namespace

Status OpenFileStore(const std::string& path, const Store::OpenOptions& options,
                     std::shared_ptr<Store>* store) {
  std::shared_ptr<const RuntimeDirectory> directory;
  Status status = RuntimeDirectory::Open(options.runtime_directory, &directory);
  if (!status.ok()) return status;
  std::unique_ptr<FileDurable> durable;
  const FileDurable::Options how{options.mode == Store::OpenMode::kCreate,
                                 options.accept_file_system, options.patience, directory,
                                 options.user};
  status = FileDurable::Open(path, how, &durable);
  if (status.code() == Status::Code::kInvalid && options.mode == Store::OpenMode::kIncoming) {
    return NotHere(path);
  }
  if (!status.ok()) return status;
  OpenStores& open = TheOpenStores();
  const MutexLock lock(open.mutex);
  std::shared_ptr<Store> found = FindOpen(open, *durable, &status);
  if (found) {
    if (status.ok()) *store = std::move(found);
    return status;
  }
  std::unique_ptr<HostLocks> opened;
  const std::string identity = durable->identity();
  status =
      HostLocks::Open(directory, identity, durable->info(), *durable, options.patience, &opened);
  if (!status.ok()) return status;
  const std::shared_ptr<HostLocks> locks = std::move(opened);
  durable->SetLocks(locks);
  const std::string uri = durable->uri();
  *store = std::shared_ptr<Store>(new LocalStore(uri, directory, locks, std::move(durable)),
                                  DestroyOpen{identity});
  open.stores[identity] = {*store, locks};
  return Status();
}

}  // namespace scsi_pr
