// SPDX-License-Identifier: GPL-2.0-or-later
//
// A daemon for the tests of cluster: stores: it speaks what cluster/wire.h says, makes the
// memory and publishes to it, as scsi-prd does. Hosts are runtime directories, and what they share
// in place of etcd is an object. It can be made to fail at any answer.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "cluster/messages.h"
#include "cluster/wire.h"
#include "core/state.h"
#include "store/host_locks.h"
#include "store/runtime_directory.h"
#include "temporary_directory.h"

namespace scsi_pr::testing {

class FakeAgent;

// One logical unit, as all hosts have it.
struct FakeCluster {
  struct Place {
    std::string host;
    bool owned = true;
    std::string heir = {};
    std::string owner = {};  // for people
  };
  struct Told {
    uint64_t version;
    std::vector<UnitAttention> unit_attentions;
  };

  explicit FakeCluster(std::string its_name = "quorum") : name(std::move(its_name)) {}

  const std::string name;
  std::mutex change;  // whoever changes anything of the rest
  std::mutex mutex;   // and this, to look at it or to write it
  uint64_t version = 1;
  State state = {};
  std::map<std::string, std::pair<Nexus, Place>> nexuses = {};
  std::vector<Told> told = {};
  std::set<std::string> committed = {};
  std::vector<FakeAgent*> agents = {};  // that run
};

class FakeAgent {
 public:
  enum class Fault {
    kNone,
    kEndBefore,  // ends the connection in place of doing it
    kEndBehind,  // has done it, and ends the connection in place of the answer
    kSilent,     // does nothing until the other side ends it
    kRaw,        // sends SetRaw() in place of the answer, and does nothing
    kBusy,       // cannot now, and nothing has changed
    kNotKnown,   // says that it does not know
    kAgain,      // `again` is in force meanwhile: it is to be decided by that ("state": and is
                 // published before what was in force is shown)
  };

  FakeAgent(FakeCluster& cluster, std::string runtime_directory, std::string host);
  ~FakeAgent() { Stop(); }

  // What it sends for Fault::kRaw.
  void SetRaw(std::string raw);
  // As if it were started; and killed, or stopped.
  void Start();
  void Stop();

  // What happens to the next ones of that operation ("change": to its beginning; "decide").
  void Expect(const std::string& op, std::vector<Fault> faults);
  State again;
  nlohmann::json proofs;  // that its next answers have, when something is committed; null: none
  // Of the operations since it was made.
  int Count(const std::string& op);
  // How many have the logical unit open.
  int Uses() const { return uses_; }
  nlohmann::json LastRequest(const std::string& op);

  // Somebody on this host has changed the state, for all.
  void ChangeState(const State& state, const std::vector<UnitAttention>& unit_attentions = {});
  Gate& gate() { return locks_->gate(); }
  // Anywhere, as it is written down.
  bool IsAttached(const Nexus& nexus);

 private:
  class Peer;
  using Json = nlohmann::json;

  void Listen();
  void Accept();
  void Serve(int fd);
  Json Answer(const std::string& op, const Json& request, Peer& peer);
  Json Attach(const Json& request);
  Json Detach(const Json& request);
  Json HandOver(const Json& request);
  Json TakeOver(const Json& request);
  Json Look();
  Json Change(const Json& request, Peer& peer);
  Json Decide(const Json& decide, const Json& request, const std::string& id, Peer& peer);
  // Whom it has waited for in vain.
  std::vector<Attachment> Drain(std::chrono::milliseconds timeout, Peer& peer);
  std::vector<Attachment> Pending();
  void Commit(const State& state, const std::vector<UnitAttention>& unit_attentions);
  void ReleaseForTheGone();

  // On this host alone.
  void Shut(const cluster::Decision& decision);
  void Publish(const std::vector<UnitAttention>& unit_attentions, std::optional<bool> committed);
  void TellAgain(const Nexus& nexus);
  bool Owns(const Nexus& nexus);
  std::optional<size_t> SlotOf(const Nexus& nexus);
  template <typename Function>
  void AsMember(Function function);
  std::string Raw();
  Fault NextFault(const std::string& op);

  FakeCluster& cluster_;
  const std::string path_;
  const std::string host_;
  std::shared_ptr<const RuntimeDirectory> directory_;
  std::unique_ptr<HostLocks> locks_;
  int listener_ = -1;
  std::thread acceptor_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> uses_{0};

  std::mutex mutex_;
  std::string raw_;
  std::vector<std::thread> servers_;
  std::map<std::string, std::deque<Fault>> faults_;
  std::map<std::string, int> counts_;
  std::map<std::string, Json> requests_;
  std::mutex gate_mutex_;  // the members' lock, among the threads of the fake
};

// A cluster of one host, for tests of what all stores have in common.
struct OneHost {
  Store::OpenOptions Options(Store::OpenMode mode = Store::OpenMode::kCreate) const {
    Store::OpenOptions options(mode);
    options.runtime_directory = runtime.path();
    return options;
  }

  const RuntimeDirectoryOfTest runtime;
  FakeCluster cluster;
  FakeAgent agent{cluster, runtime.path(), "h1"};
};

}  // namespace scsi_pr::testing
