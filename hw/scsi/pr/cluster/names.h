// SPDX-License-Identifier: GPL-2.0-or-later
//
// What belongs to the logical units of a cluster on one host, in its runtime directory
// (store/runtime_directory.h), and what it is called:
//
//   scsi-pr-agent.sock       the daemon's socket (wire.h)
//   scsi-pr-cluster-NAME     the gate's memory (store/gate_memory.h), which the daemon makes
//   scsi-pr-elsewhere-NAME~  who is attached on other hosts (elsewhere.h)
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace scsi_pr::cluster {

// What may stand in keys, names of files and messages: letters, digits and ".-_,:", 1 to
// `most` of them.
constexpr bool IsWord(std::string_view text, size_t most = 64) {
  return !text.empty() && text.size() <= most && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ',' || c == ':';
  });
}

// The NAME of cluster:NAME.
inline constexpr size_t kMaxClusterName = 160;
constexpr bool IsClusterName(std::string_view name) { return IsWord(name, kMaxClusterName); }

inline constexpr const char* kSocketName = "scsi-pr-agent.sock";

// The memory's, as HostLocks::Open() wants it.
inline std::string MemoryIdentity(const std::string& name) { return "cluster-" + name; }

// No NAME ends with "~": what is being written, "~new" behind NAME, is no other one's.
inline std::string ElsewhereFileName(const std::string& name) {
  return "scsi-pr-elsewhere-" + name + "~";
}

}  // namespace scsi_pr::cluster
