// SPDX-License-Identifier: GPL-2.0-or-later
//
// The subcommands. Each returns the program's exit status.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace scsi_pr::tool {

// Look, without using the store.
int Info(const std::string& uri, bool as_json);
int List(const std::vector<std::string>& directories, bool as_json);
int Dump(const std::string& uri);
int Check(const std::string& uri, bool repair, bool as_json);
int Watch(const std::string& uri, bool as_json);

// Change, as an administrator (core/administration.h). `timeout`: for commands of
// those who lose their registration.
struct ChangeOptions {
  bool as_json = false;
  std::chrono::milliseconds timeout{10000};
};
int Load(const std::string& uri, const std::string& file, bool force, const ChangeOptions& options);
int Clear(const std::string& uri, const ChangeOptions& options);
int Preempt(const std::string& uri, uint64_t key, const ChangeOptions& options);

}  // namespace scsi_pr::tool
