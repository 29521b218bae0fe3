// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/check_config.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "agent/memory_file.h"
#include "store/runtime_directory.h"

namespace scsi_pr::agent {

namespace {

void Print(const std::string& line) { printf("%s\n", line.c_str()); }

std::string Sentence(const std::string& message, const std::string& hint) {
  return message + (hint.empty() ? "" : " (" + hint + ")");
}

bool IsGood(const std::string& what, const Status& status) {
  if (!status.ok()) Print(what + ": " + Sentence(status.message(), status.hint()));
  return status.ok();
}

// What one endpoint has said.
struct Finding {
  bool can_be_used = false;
  bool is_well = false;
  uint64_t cluster = 0;
  std::optional<Meta> meta;
};

class Endpoint {
 public:
  Endpoint(const Config& config, const std::string& url) : config_(config), url_(url) {}

  Finding Check() {
    EtcdOptions options = config_.etcd;
    options.endpoints = {url_};
    std::unique_ptr<EtcdEngine> engine;
    if (!IsGood(url_, EtcdEngine::Create(options, &engine))) return finding_;
    finding_.can_be_used = Identify(*engine) && TryToRead(*engine) && TryToWrite(*engine);
    finding_.is_well = finding_.is_well && finding_.can_be_used;
    return finding_;
  }

 private:
  bool Say(const Failure& failure) const {
    if (failure.kind == Failure::Kind::kNone) return true;
    const std::string at = url_ + ": ";
    const bool has_url = failure.message.starts_with(at);
    Print((has_url ? "" : at) + Sentence(failure.message, failure.hint));
    return false;
  }

  bool Identify(Engine& engine) {
    const Identity identity = engine.Identify();
    if (!Say(identity.failure)) return false;
    char cluster[32];
    snprintf(cluster, sizeof cluster, "%" PRIx64, identity.cluster);
    Print(url_ + ": etcd " + identity.version + ", cluster " + cluster);
    for (const std::string& alarm : identity.alarms) Print(url_ + ": its alarm " + alarm);
    finding_.cluster = identity.cluster;
    finding_.is_well = identity.alarms.empty();
    return true;
  }

  bool TryToRead(Engine& engine) {
    const std::string key = Keys(config_.prefix).Meta();
    const Answer answer = engine.Read({{key, false}});
    if (!Say(answer.failure)) return false;
    const KeyValue* found = answer.Find(key);
    if (found == nullptr) return true;
    Meta meta;
    if (!IsGood(url_ + ": " + key, Decode(found->value, &meta))) return false;
    finding_.meta = meta;
    return true;
  }

  // A comparison that never holds: etcd looks first whether we may.
  bool TryToWrite(Engine& engine) {
    const std::string key = Keys(config_.prefix).Host(config_.host);
    const Answer answer =
        engine.Txn({{{key, std::numeric_limits<int64_t>::max()}}, {{key, "not written"}}, {}});
    if (!Say(answer.failure)) return false;
    Print(url_ + ": may read and write below " + config_.prefix);
    return true;
  }

  const Config& config_;
  const std::string url_;
  Finding finding_;
};

// By who runs this.
bool CanUse(const char* what, const std::string& path, int mode) {
  if (path.empty() || access(path.c_str(), mode) == 0) return true;
  return IsGood(what, Status::Error(Status::Code::kIo, path + ": " + strerror(errno),
                                    "As the user that scsi-prd runs as, look at the path."));
}

bool CheckHost(const Config& config) {
  std::shared_ptr<const RuntimeDirectory> directory;
  const Status runtime = RuntimeDirectory::Open(config.runtime_directory, &directory);
  if (runtime.ok()) Print("runtime directory:  " + directory->path() + " can be used");
  Membership::Memory memory;
  const bool remembers =
      IsGood("state directory", MemoryFile(config.state_directory).Read(&memory));
  const bool can_fence = CanUse("fence-command", config.proof.fence_command, X_OK);
  const bool can_pet = CanUse("watchdog", config.watchdog, W_OK);
  bool has_paths = true;
  for (const auto& [group, devices] : config.paths) {
    for (const std::string& device : devices) {
      has_paths = CanUse("paths", device, R_OK | W_OK) && has_paths;
    }
  }
  return IsGood("runtime directory", runtime) && remembers && can_fence && can_pet && has_paths;
}

void PrintMeta(const Config& config, const std::optional<Meta>& meta) {
  if (!meta) {
    return Print("cluster:            no host has joined it yet, below " + config.prefix);
  }
  Print("cluster:            life " + meta->life + ", protocol " + std::to_string(meta->protocol) +
        ", duration " + std::to_string(meta->duration / kSecond) + " s");
  if (meta->duration == config.duration) return;
  Print("note: the cluster's duration counts, not the one that is set here");
}

void WarnOfPlainText(const Config& config) {
  const auto is_plain = [](const std::string& url) { return url.starts_with("http:"); };
  if (std::ranges::none_of(config.etcd.endpoints, is_plain)) return;
  Print("warning: http:// is not encrypted: who is on the way can end all protection of the disks");
}

}  // namespace

Exit CheckConfig(const Config& config) {
  printf("%s", ConfigText(config).c_str());
  WarnOfPlainText(config);
  std::unique_ptr<EtcdEngine> of_all;
  if (!IsGood("error", EtcdEngine::Create(config.etcd, &of_all))) return kBadConfig;
  const bool host_is_good = CheckHost(config);
  size_t usable = 0, well = 0;
  uint64_t cluster = 0;
  std::optional<Meta> meta;
  for (const std::string& url : config.etcd.endpoints) {
    fflush(stdout);
    const Finding finding = Endpoint(config, url).Check();
    if (finding.can_be_used) usable++, meta = finding.meta;
    if (finding.is_well) well++;
    if (finding.cluster == 0) continue;
    if (cluster != 0 && cluster != finding.cluster) {
      Print(url + ": it is of another cluster than the endpoints before");
      return kNoEndpoint;
    }
    cluster = finding.cluster;
  }
  if (usable > 0) PrintMeta(config, meta);
  if (usable == 0) return kNoEndpoint;
  if (!host_is_good) return kFailed;
  return well == config.etcd.endpoints.size() ? kGood : kSomeEndpoint;
}

}  // namespace scsi_pr::agent
