// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/store.h"

#include <map>
#include <mutex>

#include "store/file_backing.h"
#include "store/local_store.h"
#include "store/memory_backing.h"

namespace scsi_pr {

namespace {

// `memory:NAME` is one store for all devices of the process that say NAME.
Status OpenMemory(const std::string& name, std::shared_ptr<Store>* store) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<Store>> named;
  const std::lock_guard lock(mutex);
  if (!name.empty() && (*store = named[name].lock())) return Status();
  *store = std::make_shared<LocalStore>("memory:" + name, std::make_unique<MemoryBacking>());
  if (!name.empty()) named[name] = *store;
  return Status();
}

}  // namespace

Status Store::Open(std::string_view uri, OpenMode mode, const Place& place,
                   std::shared_ptr<Store>* store) {
  const size_t colon = uri.find(':');
  const std::string_view scheme = uri.substr(0, colon);
  const std::string rest(colon == std::string_view::npos ? "" : uri.substr(colon + 1));
  if (colon != std::string_view::npos && scheme == "file") {
    return OpenFileStore(rest, mode, place, store);
  }
  if (colon != std::string_view::npos && scheme == "memory") return OpenMemory(rest, store);
  return Status::Error(Status::Code::kInvalid, "\"" + std::string(uri) + "\" is no store URI",
                       "Known are memory:, memory:NAME and file:/PATH.");
}

}  // namespace scsi_pr
