// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the administrator of a host has set, in scsi-prd.conf:
//
//   [etcd]     endpoints, tls-directory, user, password-file, token-file, prefix
//   [cluster]  duration, proof, fence-command
//   [host]     name, group, runtime-directory, state-directory, metrics-file, log-level,
//              watchdog, watchdog-timeout
//   [allow]    WHO=NAME;…    who may attach to which logical units
//   [paths]    GROUP=DEVICE;…    physical disks, with which the host is registered
//
// docs/many-hosts-setup.md says what each one means. Nothing is guessed: what is not known is
// an error, with its line.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/etcd_engine.h"
#include "agent/log_messages.h"
#include "agent/records.h"
#include "core/status.h"

namespace scsi_pr::agent {

// Who may attach to logical units. NAMEs are patterns: '*' any characters, '?' one.
struct AllowRule {
  enum class Who { kEverybody, kUser, kGroup };

  Who who = Who::kEverybody;
  std::string name;  // of the user or group, as it is in the file
  id_t id = 0;       // of him
  std::vector<std::string> units;

  friend bool operator==(const AllowRule&, const AllowRule&) = default;
};

// Whoever is at the other end of the socket, as the kernel says.
struct Peer {
  uid_t user = 0;
  std::vector<gid_t> groups;  // all of them
};

// What this host takes for a proof that nothing of a dead host is under way any more, besides
// what is one for everybody: that it is back, that somebody has confirmed it.
struct ProofWays {
  bool watchdog = false;        // three times that which its record has
  bool storage = false;         // it is fenced at Config::paths, and fence_command ends in 0
  bool lease = false;           // weaker: the end of its admission
  std::string fence_command{};  // an absolute path; gets the host's name and its boot id; or empty

  bool any() const { return watchdog || storage || lease; }
  friend bool operator==(const ProofWays&, const ProofWays&) = default;
};

struct Config {
  EtcdOptions etcd{};  // the password itself is there, the token is not
  std::string prefix = "/scsi-pr/";
  Time duration = 8 * kSecond;  // D of a cluster that this host is the first of: 1 to 60 s
  ProofWays proof{};
  std::string host{};               // the machine's name, if none is set
  std::string runtime_directory{};  // empty: by RuntimeDirectory's rule
  // Who may use the socket and the memories, besides the daemon; empty: the daemon's own group.
  std::string group = "scsi-pr";
  gid_t group_id = static_cast<gid_t>(-1);  // of it; -1: it is empty
  std::string state_directory{};
  std::string metrics_file{};  // empty: none
  LogLevel log_level = LogLevel::kInfo;
  std::string watchdog{};                // a device; empty: none
  Time watchdog_timeout = 10 * kSecond;  // W: 5 to 120 s
  // Nothing: without the section, whoever may use the socket may attach to all.
  std::optional<std::vector<AllowRule>> allow{};
  // The path groups of the physical disks on which cluster: disks are, as all hosts call them, and
  // the devices of each here: agent/storage_fence.h.
  std::map<std::string, std::vector<std::string>> paths{};
};

// The file and those that it names, passwords and tokens, for which it looks who may read them.
// Not the network. kIo, kInvalid; then `*config` is as it was.
Status ReadConfig(const std::string& path, Config* config);

// As ReadConfig(), of the text of such a file; `path` is for messages.
Status ParseConfig(std::string_view text, const std::string& path, Config* config);

// Whether he may attach to the logical unit. root may do everything.
bool MayAttach(const Config& config, const Peer& peer, const std::string& unit);

// What is set, line by line, without secrets: for people.
std::string ConfigText(const Config& config);

// What differs and is not taken over while the daemon runs, as the file calls it: "[host] name".
std::vector<std::string> NeedsRestart(const Config& running, const Config& next);

}  // namespace scsi_pr::agent
