// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/file_store.h"

#include "store/file_durable.h"
#include "store/host_locks.h"
#include "store/local_store.h"
#include "store/open_stores.h"

namespace scsi_pr {

namespace {

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
  static OpenStores open_stores;
  const std::string identity = durable->identity();
  const auto open = [&](std::unique_ptr<GateStore>* opened) {
    std::unique_ptr<HostLocks> taken;
    Status failure =
        HostLocks::Open(directory, identity, durable->info(), *durable, options.patience, &taken);
    if (!failure.ok()) return failure;
    const std::shared_ptr<HostLocks> locks = std::move(taken);
    durable->SetLocks(locks);
    const std::string uri = durable->uri();
    *opened = std::make_unique<LocalStore>(uri, directory, locks, std::move(durable));
    return Status();
  };
  // It may be a copy of that store.
  const auto join = [&](GateStore& found) { return durable->Join(found.gate()); };
  return open_stores.Get(identity, join, open, store);
}

}  // namespace scsi_pr
