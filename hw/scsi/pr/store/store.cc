// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/store.h"

#include <map>

#include "cluster/cluster_store.h"
#include "store/durable.h"
#include "store/file_store.h"
#include "store/local_store.h"
#include "store/mutex.h"
#include "store/process_sharing.h"

namespace scsi_pr {

namespace {

// `memory:NAME` is one store for all devices of the process that say NAME.
Status OpenMemory(const std::string& name, const Store::OpenOptions& options,
                  std::shared_ptr<Store>* store) {
  static Mutex mutex;
  static std::map<std::string, std::weak_ptr<Store>> named GUARDED_BY(mutex);
  const MutexLock lock(mutex);
  if (!name.empty() && (*store = named[name].lock())) return Status();
  // Without one it cannot be known whether another store guards the medium.
  std::shared_ptr<const RuntimeDirectory> directory;
  static_cast<void>(RuntimeDirectory::Open(options.runtime_directory, &directory).ok());
  *store = std::make_shared<LocalStore>("memory:" + name, std::move(directory),
                                        std::make_shared<ProcessSharing>(),
                                        std::make_unique<NotDurable>());
  if (!name.empty()) named[name] = *store;
  return Status();
}

}  // namespace

Status Store::Open(std::string_view uri, const OpenOptions& options,
                   std::shared_ptr<Store>* store) {
  const size_t colon = uri.find(':');
  const std::string_view scheme = uri.substr(0, colon);
  const std::string rest(colon == std::string_view::npos ? "" : uri.substr(colon + 1));
  if (colon != std::string_view::npos && scheme == "file")
    return OpenFileStore(rest, options, store);
  if (colon != std::string_view::npos && scheme == "memory")
    return OpenMemory(rest, options, store);
  if (colon != std::string_view::npos && scheme == "cluster")
    return cluster::ClusterStore::Open(rest, options, store);
  return Status::Error(Status::Code::kInvalid, "\"" + std::string(uri) + "\" is no store URI",
                       "Known are memory:, memory:NAME, file:/PATH and cluster:NAME.");
}

}  // namespace scsi_pr
