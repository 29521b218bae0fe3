// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_agent.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cluster/elsewhere.h"
#include "cluster/names.h"
#include "core/access.h"
#include "core/document.h"
#include "core/legacy.h"
#include "gate/gate.h"
#include "store/membership.h"
#include "store/uuid.h"

namespace scsi_pr::testing {

namespace {

using cluster::Error;
using cluster::Ok;
using nlohmann::json;
using Clock = std::chrono::steady_clock;
using Code = Status::Code;
using std::chrono::milliseconds;

std::string KeyOf(const Nexus& nexus) { return NexusToJson(nexus).dump(); }

json Busy(const std::string& why) { return Error(Status::Error(Code::kBusy, why, "Try again.")); }

json NotAttached() { return Error(Status::Error(Code::kInvalid, "the nexus is not attached")); }

// The memory begins with the cluster's state.
struct Origin : HostLocks::Origin {
  explicit Origin(Record first) : record(std::move(first)) {}
  Status Begin(uint64_t, Record* begin, RecordPlace* durable) override {
    *begin = record;
    *durable = {record.version, 0};
    return Status();
  }
  Status Join(const Gate&) override { return Status(); }
  const Record record;
};

}  // namespace

// The daemon's end of a connection.
class FakeAgent::Peer {
 public:
  Peer(int fd, const std::atomic<bool>& stopping) : fd_(fd), stopping_(stopping) {}
  // False: it has ended, or the daemon has.
  bool Receive(json* message) {
    for (bool ended = false, found = false; !stopping_;) {
      if (!reader_.ReadFrom(fd_, &ended).ok() || !reader_.Next(message, &found).ok()) return false;
      if (found) return true;
      if (ended) return false;
      pollfd ready = {fd_, POLLIN, 0};
      poll(&ready, 1, 10);
    }
    return false;
  }
  bool Send(const json& message) {
    cluster::FrameWriter writer;
    if (!writer.Add(message).ok()) return false;
    while (!writer.empty() && !stopping_) {
      if (!writer.WriteTo(fd_).ok()) return false;
    }
    return true;
  }
  void SendRaw(const std::string& bytes) const {
    EXPECT_GE(send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), 0);
  }
  // Whether it has ended, or should not be there.
  bool IsOver() const {
    pollfd ready = {fd_, POLLIN, 0};
    return stopping_ || (poll(&ready, 1, 0) > 0 && (ready.revents & (POLLHUP | POLLERR)) != 0);
  }

 private:
  const int fd_;
  const std::atomic<bool>& stopping_;
  cluster::FrameReader reader_;
};

FakeAgent::FakeAgent(FakeCluster& cluster, std::string runtime_directory, std::string host)
    : cluster_(cluster), path_(std::move(runtime_directory)), host_(std::move(host)) {
  Start();
}

void FakeAgent::Start() {
  stopping_ = false;
  ASSERT_TRUE(RuntimeDirectory::Open(path_, &directory_).ok());
  struct stat like = {};
  ASSERT_EQ(stat(path_.c_str(), &like), 0);
  like.st_mode = S_IFREG | 0660;
  const std::lock_guard changing(cluster_.change);
  {
    const std::lock_guard lock(cluster_.mutex);
    Origin origin({cluster_.version, cluster_.state, {}});
    const Status status = HostLocks::Open(directory_, cluster::MemoryIdentity(cluster_.name), like,
                                          origin, milliseconds(5000), &locks_);
    ASSERT_TRUE(status.ok()) << status.message();
    ASSERT_EQ(locks_->TryLockChange(), Locked::kYes);
    cluster_.agents.push_back(this);
  }
  Publish({}, std::nullopt);
  Listen();
  acceptor_ = std::thread([this] { Accept(); });
}

void FakeAgent::Stop() {
  if (locks_ == nullptr) return;
  stopping_ = true;
  acceptor_.join();
  for (std::thread& server : servers_) server.join();
  servers_.clear();
  close(listener_);
  unlink((path_ + "/" + cluster::kSocketName).c_str());
  const std::lock_guard lock(cluster_.mutex);
  std::erase(cluster_.agents, this);
  locks_->UnlockChange();
  locks_.reset();
}

void FakeAgent::Expect(const std::string& op, std::vector<Fault> faults) {
  const std::lock_guard lock(mutex_);
  faults_[op] = {faults.begin(), faults.end()};
}

FakeAgent::Fault FakeAgent::NextFault(const std::string& op) {
  const std::lock_guard lock(mutex_);
  auto& faults = faults_[op];
  if (faults.empty()) return Fault::kNone;
  const Fault fault = faults.front();
  faults.pop_front();
  return fault;
}

void FakeAgent::SetRaw(std::string raw) {
  const std::lock_guard lock(mutex_);
  raw_ = std::move(raw);
}

std::string FakeAgent::Raw() {
  const std::lock_guard lock(mutex_);
  return raw_;
}

int FakeAgent::Count(const std::string& op) {
  const std::lock_guard lock(mutex_);
  return counts_[op];
}

json FakeAgent::LastRequest(const std::string& op) {
  const std::lock_guard lock(mutex_);
  return requests_[op];
}

// ---------------------------------------------------------------- Connections

void FakeAgent::Listen() {
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path = path_ + "/" + cluster::kSocketName;
  ASSERT_LT(path.size(), sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  unlink(path.c_str());
  ASSERT_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener_, 64), 0);
}

void FakeAgent::Accept() {
  while (!stopping_) {
    pollfd ready = {listener_, POLLIN, 0};
    if (poll(&ready, 1, 10) <= 0) continue;
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const std::lock_guard lock(mutex_);
    servers_.emplace_back([this, fd] { Serve(fd); });
  }
}

void FakeAgent::Serve(int fd) {
  Peer peer(fd, stopping_);
  json request;
  if (peer.Receive(&request)) {
    const auto op = request.value("op", "");
    {
      const std::lock_guard lock(mutex_);
      counts_[op]++;
      requests_[op] = request;
    }
    const Fault fault = NextFault(op);
    json ignored;
    switch (fault) {
      case Fault::kEndBefore: break;
      case Fault::kSilent: peer.Receive(&ignored); break;
      case Fault::kRaw:
        peer.SendRaw(Raw());
        peer.Receive(&ignored);
        break;
      case Fault::kBusy: peer.Send(Busy("the fake daemon is busy")); break;
      case Fault::kNotKnown:
        peer.Send(Error(Status::Error(Code::kUnknown, "etcd does not answer")));
        break;
      case Fault::kEndBehind: Answer(op, request, peer); break;
      case Fault::kAgain:  // of a decision only
      case Fault::kNone:
        if (const json answer = Answer(op, request, peer); !answer.is_null()) peer.Send(answer);
        if (op == "open") {
          uses_++;
          peer.Receive(&ignored);
          uses_--;
        }
    }
  }
  close(fd);
}

json FakeAgent::Answer(const std::string& op, const json& request, Peer& peer) {
  EXPECT_EQ(request.value("protocol", 0), cluster::kProtocol);
  if (op == "open") return Ok({{"identity", "cluster-" + cluster_.name}, {"host", host_}});
  if (op == "hosts") return Ok({{"host", host_}, {"hosts", json::array()}});
  if (op == "change") return Change(request, peer);
  if (op == "look") return Look();
  if (op == "outcome") {
    const std::lock_guard lock(cluster_.mutex);
    return Ok({{"committed", cluster_.committed.contains(request.at("id"))}});
  }
  if (op == "read") {
    const std::lock_guard lock(cluster_.mutex);
    return Ok({{"version", cluster_.version}});
  }
  const std::lock_guard changing(cluster_.change);
  if (op == "attach") return Attach(request);
  if (op == "detach") return Detach(request);
  if (op == "hand-over") return HandOver(request);
  if (op == "take-over") return TakeOver(request);
  return Error(Status::Error(Code::kInvalid, "there is no such operation"));
}

// ---------------------------------------------------------------- Nexuses

json FakeAgent::Attach(const json& request) {
  const Nexus nexus = NexusFromJson(request);
  const bool incoming = request.at("incoming").get<bool>();
  bool ours = true;
  {
    const std::lock_guard lock(cluster_.mutex);
    const auto found = cluster_.nexuses.find(KeyOf(nexus));
    if (found == cluster_.nexuses.end()) {
      if (cluster_.nexuses.empty() && cluster_.state != AfterPowerOn(cluster_.state)) {
        cluster_.state = AfterPowerOn(cluster_.state);
        cluster_.version++;
      }
      cluster_.nexuses[KeyOf(nexus)] = {nexus, {host_, true, "", request.at("owner")}};
    } else if (auto& place = found->second.second; incoming) {
      ours = false;
      if (place.host != host_) place.heir = host_;
    } else if (place.host != host_) {
      return Error(Status::Error(Code::kInUse, "the nexus is attached on host " + place.host));
    }
  }
  Publish({}, std::nullopt);
  return Ok({{"version", cluster_.version}, {"owner", ours}});
}

json FakeAgent::Detach(const json& request) {
  const Nexus nexus = NexusFromJson(request);
  if (SlotOf(nexus)) return Ok();
  {
    const std::lock_guard lock(cluster_.mutex);
    const auto found = cluster_.nexuses.find(KeyOf(nexus));
    if (found == cluster_.nexuses.end()) return Ok();
    auto& place = found->second.second;
    if (place.heir == host_) place.heir.clear();
    if (place.host == host_ && !place.heir.empty()) place.owned = false;
    if (place.host == host_ && place.heir.empty()) cluster_.nexuses.erase(found);
  }
  ReleaseForTheGone();
  return Ok();
}

void FakeAgent::ReleaseForTheGone() {
  const auto& holder = cluster_.state.legacy_holder;
  if (!holder || cluster_.nexuses.contains(KeyOf(*holder))) return;
  const Outcome outcome = ApplyReset(cluster_.state, Nexus(*holder), Reset::kNexusLoss);
  Commit(outcome.state, outcome.unit_attentions);
}

bool FakeAgent::IsAttached(const Nexus& nexus) {
  const std::lock_guard changing(cluster_.change);
  return cluster_.nexuses.contains(KeyOf(nexus));
}

json FakeAgent::HandOver(const json& request) {
  const Nexus nexus = NexusFromJson(request);
  const auto slot = SlotOf(nexus);
  if (slot && locks_->IsOwned(*slot)) return Ok();  // somebody here has it again
  {
    const std::lock_guard lock(cluster_.mutex);
    const auto found = cluster_.nexuses.find(KeyOf(nexus));
    if (found == cluster_.nexuses.end()) return NotAttached();  // this request is a late one
    auto& place = found->second.second;
    if (place.host == host_) place.owned = false;
  }
  Publish({}, std::nullopt);
  return Ok();
}

json FakeAgent::TakeOver(const json& request) {
  const Nexus nexus = NexusFromJson(request);
  {
    const std::lock_guard lock(cluster_.mutex);
    const auto found = cluster_.nexuses.find(KeyOf(nexus));
    if (found == cluster_.nexuses.end()) return NotAttached();  // this request is a late one
    auto& place = found->second.second;
    if (place.host == host_ && place.owned) return Ok();
    if (place.owned) return Busy("another host owns the nexus");
    place = {host_, true, place.heir == host_ ? "" : place.heir, place.owner};
  }
  TellAgain(nexus);
  // What has fenced it while it was nobody's is over.
  Publish({}, true);
  return Ok();
}

json FakeAgent::Look() {
  const std::lock_guard lock(cluster_.mutex);
  std::vector<Attachment> attached;
  for (const auto& [key, value] : cluster_.nexuses) {
    attached.push_back({value.first, 0, value.second.owner, true, 0, false, value.second.host});
  }
  return Ok({{"version", cluster_.version},
             {"document", EncodeDocument(cluster_.state)},
             {"attached", cluster::AttachmentsToJson(attached)}});
}

// ---------------------------------------------------------------- Changes

json FakeAgent::Change(const json& request, Peer& peer) {
  const auto give_up = Clock::now() + milliseconds(request.at("patience-ms").get<int64_t>());
  std::unique_lock changing(cluster_.change, std::defer_lock);
  while (!changing.try_lock()) {
    if (Clock::now() >= give_up) return Busy("others change it");
    std::this_thread::sleep_for(milliseconds(1));
  }
  std::string id = RandomUuid();
  json message;
  Fault fault = Fault::kNone;
  for (;;) {
    const uint64_t shown = cluster_.version;
    const bool is_overtaken = NextFault("state") == Fault::kAgain;
    if (is_overtaken) Commit(again, {});
    if (!peer.Send({{"state", {{"version", shown}, {"id", id}}}})) return nullptr;
    if (!peer.Receive(&message)) return nullptr;
    EXPECT_TRUE(!is_overtaken || message.at("decide").is_null());
    fault = NextFault("decide");
    if (fault == Fault::kAgain) Commit(again, {});
    if (fault != Fault::kAgain && !(is_overtaken && fault == Fault::kNone)) break;
    id = RandomUuid();
  }
  if (message.at("decide").is_null()) return Ok({{"version", cluster_.version}});
  switch (fault) {
    case Fault::kEndBefore: return nullptr;
    case Fault::kSilent: return peer.Receive(&message), nullptr;
    case Fault::kRaw: return peer.SendRaw(Raw()), nullptr;
    case Fault::kBusy: return Busy("the fake daemon is busy");
    case Fault::kNotKnown:
      return Error(Status::Error(Code::kUnknown, "etcd does not answer", "Look again."));
    case Fault::kEndBehind: return Decide(message.at("decide"), request, id, peer), nullptr;
    default: break;
  }
  return Decide(message.at("decide"), request, id, peer);
}

json FakeAgent::Decide(const json& decide, const json& request, const std::string& id, Peer& peer) {
  const cluster::Decision decision = cluster::DecisionFromJson(decide);
  for (FakeAgent* agent : cluster_.agents) agent->Shut(decision);
  const milliseconds timeout(request.at("abort-timeout-ms").get<int64_t>());
  std::vector<Attachment> pending;
  if (!decision.preempted.empty()) pending = Drain(timeout, peer);
  if (!pending.empty()) {
    for (FakeAgent* agent : cluster_.agents) agent->Publish({}, false);
    return Busy("commands did not end of process " + std::to_string(pending[0].process_id) + " (" +
                pending[0].owner + ")");
  }
  {
    const std::lock_guard lock(cluster_.mutex);
    cluster_.committed.insert(id);
  }
  Commit(decision.state, decision.unit_attentions);
  json good = {{"version", cluster_.version}};
  if (!proofs.is_null()) good["proofs"] = proofs;
  return Ok(std::move(good));
}

std::vector<Attachment> FakeAgent::Pending() {
  std::vector<Attachment> pending;
  for (GateSlot& slot : gate().slots) {
    if (!slot.attached() || slot.admission().draining() == 0) continue;
    pending.push_back({*slot.nexus(), slot.process_id(), slot.owner(), true,
                       slot.admission().in_flight(), true, host_});
  }
  return pending;
}

std::vector<Attachment> FakeAgent::Drain(milliseconds timeout, Peer& peer) {
  const auto start = Clock::now();
  for (bool told = false;; std::this_thread::sleep_for(milliseconds(1))) {
    std::vector<Attachment> pending;
    for (FakeAgent* agent : cluster_.agents) {
      for (Attachment& each : agent->Pending()) pending.push_back(std::move(each));
    }
    if (pending.empty() || Clock::now() - start >= timeout || peer.IsOver()) return pending;
    if (Clock::now() - start >= milliseconds(1000) && !std::exchange(told, true)) {
      peer.Send({{"late", cluster::AttachmentsToJson(pending)}});
    }
  }
}

void FakeAgent::Commit(const State& state, const std::vector<UnitAttention>& unit_attentions) {
  {
    const std::lock_guard lock(cluster_.mutex);
    cluster_.version++;
    cluster_.state = state;
    cluster_.told.push_back({cluster_.version, unit_attentions});
  }
  for (FakeAgent* agent : cluster_.agents) agent->Publish(unit_attentions, true);
}

void FakeAgent::ChangeState(const State& state, const std::vector<UnitAttention>& unit_attentions) {
  const std::lock_guard changing(cluster_.change);
  Commit(state, unit_attentions);
}

// ---------------------------------------------------------------- The gate

template <typename Function>
void FakeAgent::AsMember(Function function) {
  kRightToChange.AssertHeld();
  const std::lock_guard lock(gate_mutex_);
  while (locks_->TryLockMembers() != Locked::kYes) std::this_thread::yield();
  kMembersLock.AssertHeld();
  function();
  locks_->UnlockMembers();
  gate().released.Ring();
}

std::optional<size_t> FakeAgent::SlotOf(const Nexus& nexus) {
  const auto slot = FindAttached(gate(), nexus);
  return slot && locks_->IsLive(*slot) ? slot : std::nullopt;
}

bool FakeAgent::Owns(const Nexus& nexus) {
  const auto found = cluster_.nexuses.find(KeyOf(nexus));
  if (found == cluster_.nexuses.end()) return false;
  return found->second.second.host == host_ && found->second.second.owned;
}

void FakeAgent::Shut(const cluster::Decision& decision) {
  AsMember([&] {
    kMembersLock.AssertHeld();
    for (GateSlot& slot : gate().slots) {
      const auto nexus = slot.attached_nexus();
      if (!nexus) continue;
      const AccessMask before = AllowedAccess(cluster_.state, *nexus);
      const AccessMask after = AllowedAccess(decision.state, *nexus);
      const bool preempted = std::ranges::any_of(
          decision.preempted, [&](const Nexus& whom) { return whom.Covers(*nexus); });
      if (!preempted && (before & ~after) == 0) continue;
      slot.Hold(before & after);
      if (preempted) {
        EXPECT_TRUE(slot.BeginDrain(before & after));
      }
    }
    gate().doorbell.Ring();
  });
}

// Who is another host's hears nothing, and may do nothing.
void FakeAgent::Publish(const std::vector<UnitAttention>& unit_attentions,
                        std::optional<bool> committed) {
  AsMember([&] {
    kRightToChange.AssertHeld();
    kMembersLock.AssertHeld();
    const std::lock_guard lock(cluster_.mutex);
    std::vector<UnitAttention> ours = unit_attentions;
    std::erase_if(ours, [&](const UnitAttention& attention) {
      const auto found = cluster_.nexuses.find(KeyOf(attention.nexus));
      return found != cluster_.nexuses.end() && !Owns(attention.nexus);
    });
    if (RecordPlace::Of(gate().in_force.load()).version != cluster_.version) {
      EXPECT_TRUE(locks_->Stage({cluster_.version, cluster_.state, ours}).ok());
      locks_->Enforce();
    }
    Publication how;
    how.limit = [&](const Nexus& nexus) {
      return Owns(nexus) ? Publication::Limit() : Publication::Limit{0, true};
    };
    how.committed = committed;
    scsi_pr::Publish(gate(), cluster_.version, cluster_.state, ours, how);
  });
}

// What was told to others while the nexus was theirs.
void FakeAgent::TellAgain(const Nexus& nexus) {
  const auto index = SlotOf(nexus);
  if (!index) return;
  AsMember([&] {
    kMembersLock.AssertHeld();
    for (const FakeCluster::Told& told : cluster_.told) {
      std::vector<Sense> conditions;
      for (const UnitAttention& attention : told.unit_attentions) {
        if (attention.Reaches(nexus)) conditions.push_back(attention.sense);
      }
      gate().slots[*index].Tell(told.version, conditions);
    }
  });
}

}  // namespace scsi_pr::testing
