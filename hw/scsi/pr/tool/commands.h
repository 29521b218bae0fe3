// SPDX-License-Identifier: GPL-2.0-or-later
//
// The subcommands. Each returns the program's exit status.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "tool/common.h"

namespace scsi_pr::tool {

// Look, without using the store.
int Info(const StoreArgument& store, bool as_json);
// `like`: its runtime directory.
int List(const std::vector<std::string>& directories, const StoreArgument& like, bool as_json);
int Dump(const StoreArgument& store);
int Check(const StoreArgument& store, bool repair, bool as_json);
int Watch(const StoreArgument& store, bool as_json);

// Of the cluster: what its daemon on this host knows. `like`: its runtime directory.
int Hosts(const StoreArgument& like, bool as_json);
int Metrics(const StoreArgument& like);
int AcceptRestore(const StoreArgument& like, bool as_json);
int ForgetHost(const StoreArgument& like, const std::string& host, bool as_json);
struct Confirmation {
  std::string host;
  std::string boot_id;
  std::string why;
};
int ConfirmHostDead(const StoreArgument& like, const Confirmation& confirmation, bool as_json);
// Adds to `list`, or prints where that is null.
int ListCluster(const StoreArgument& like, nlohmann::json* list);

// Change, as an administrator (core/administrator.h). `timeout`: for commands of
// those who lose their registration.
struct ChangeOptions {
  bool as_json = false;
  std::chrono::milliseconds timeout{10000};
};
int Load(const StoreArgument& store, const std::string& file, bool force,
         const ChangeOptions& options);
int Clear(const StoreArgument& store, const ChangeOptions& options);
int Preempt(const StoreArgument& store, uint64_t key, const ChangeOptions& options);

// Whether this host's QEMU starts with the plugin (docs/plugin.md): it is started, without a
// VM, asked, and ended.
struct PluginArguments {
  std::string emulator = "/usr/bin/qemu-system-x86_64";
  std::string plugin = SCSI_PR_PLUGIN;
  std::chrono::milliseconds timeout{30000};
};
int PluginCheck(const PluginArguments& arguments);

}  // namespace scsi_pr::tool
