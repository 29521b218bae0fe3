// SPDX-License-Identifier: GPL-2.0-or-later
//
// Opening, coming, going, handing over and looking; for changes see update.cc.
#include "cluster/cluster_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cluster/names.h"
#include "spc/text.h"
#include "store/members_lock.h"
#include "store/open_stores.h"

namespace scsi_pr::cluster {

namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
using Code = Status::Code;
using Step = Failures::Step;

// A daemon that is being started anew is back by then; for one that is not there nobody waits.
constexpr std::chrono::milliseconds kOpening{1000};
// While another host has the nexus.
constexpr std::chrono::milliseconds kTakeOverInterval{100};

// Two runtime directories are two hosts, as far as can be told.
std::string IdentityOf(const RuntimeDirectory& directory, const std::string& name) {
  struct stat info = {};
  if (fstat(directory.fd(), &info) != 0) return name;
  return name + "/" + std::to_string(info.st_dev) + "/" + std::to_string(info.st_ino);
}

Status OpenAnew(const Client& client, const Store::OpenOptions& options,
                std::unique_ptr<GateStore>* store) {
  Connection use;
  json result;
  std::string host;
  const auto deadline = Clock::now() + options.patience;
  Status status = client.Reach(Clock::now() + kOpening);
  if (status.ok()) {
    status = Keeper::OpenUse(client, options.mode == Store::OpenMode::kExisting, deadline,
                             NeverCancelled, &use, &result);
  }
  if (status.ok()) status = Decoded([&] { host = result.at("host").get<std::string>(); });
  if (!status.ok()) return status;
  std::unique_ptr<HostLocks> locks;
  status =
      HostLocks::Join(client.directory(), MemoryIdentity(client.name()), options.patience, &locks);
  if (!status.ok()) return status;
  *store = std::make_unique<ClusterStore>(client, std::move(locks), std::move(use),
                                          Printable(host, kMaxClusterName));
  return Status();
}

}  // namespace

Status ClusterStore::Open(const std::string& name, const OpenOptions& options,
                          std::shared_ptr<Store>* store) {
  if (!IsClusterName(name)) return NoSuchName(name);
  std::shared_ptr<const RuntimeDirectory> directory;
  Status status = RuntimeDirectory::Open(options.runtime_directory, &directory);
  if (!status.ok()) return status;
  static OpenStores open_stores;
  const Client client(directory, name);
  return open_stores.Get(
      IdentityOf(*directory, name), [](GateStore&) { return Status(); },
      [&](std::unique_ptr<GateStore>* opened) { return OpenAnew(client, options, opened); }, store);
}

ClusterStore::ClusterStore(Client client, std::shared_ptr<HostLocks> locks, Connection use,
                           std::string host)
    : GateStore("cluster:" + client.name(), client.directory(), locks, [] {}),
      client_(std::move(client)),
      locks_(std::move(locks)),
      host_(std::move(host)),
      keeper_(client_, std::move(use), [this](const Status& status) { HearOfUse(status); }) {}

// A memory that was removed from its directory is not the one that is published to any more.
void ClusterStore::HearOfUse(const Status& status) {
  Status use = status;
  if (use.ok() && !locks_->memory().IsStillThere()) {
    use = Status::Error(Code::kIo,
                        locks_->memory().path() + " was removed while " + uri() + " was in use",
                        "Restart the VMs of this host that use it.");
  }
  static_cast<void>(Noted(Step::kUse, use).ok());
}

Status ClusterStore::Identify(StoreIdentity* identity) {
  *identity = {StoreIdentity::Kind::kCluster, client_.name(), uri()};
  return Status();
}

// ---------------------------------------------------------------- Coming and going

// The daemon gives what the state allows, once it has written down that this host has the nexus.
Status ClusterStore::AllowedFor(const Nexus&, AccessMask* access, uint64_t* version) {
  *access = kHeld;
  *version = gate().published.load();
  return Status();
}

Status ClusterStore::TryAttach(const Comer& comer, GateSlot** slot, bool* later) {
  json request = client_.Request("attach", comer.nexus);
  request["owner"] = comer.owner.name;
  request["incoming"] = comer.mode == AttachMode::kIncoming;
  {
    Members members(*this);
    if (!members.Lock()) return members.status();
    bool joined = false;
    const Status status = AttachAsMember(comer, slot, &joined, later);
    if (!status.ok()) return status;
    request["joined"] = joined;
  }
  json result;
  bool ours = false;
  // Behind a detachment that this process has just asked for.
  Status status = keeper_.Ask(std::move(request), Clock::now() + kPatience, &result);
  if (status.ok()) status = Decoded([&] { ours = result.at("owner").get<bool>(); });
  if (!status.ok()) {
    Detach(*slot);
    return status;
  }
  const MutexLock lock(ownership_mutex_);
  ownerships_[IndexOf(**slot)] = {.ours = ours};
  return Status();
}

void ClusterStore::Detach(GateSlot* slot) {
  const auto nexus = slot->nexus();
  {
    const MutexLock lock(ownership_mutex_);
    ownerships_.erase(IndexOf(*slot));
  }
  GateStore::Detach(slot);
  // Without the hint the daemon finds it out by itself.
  if (nexus) keeper_.Submit({.request = client_.Request("detach", *nexus), .repeat = true});
}

// ---------------------------------------------------------------- Handing over

Status ClusterStore::HandOver(GateSlot* slot, bool is_owner, HandedOver* handed) {
  const Status status = GateStore::HandOver(slot, is_owner, handed);
  if (!status.ok()) return status;
  {
    const MutexLock lock(ownership_mutex_);
    Ownership& ownership = ownerships_[IndexOf(*slot)];
    const bool may_be_ours = ownership.ours || ownership.asked;
    ownership = {.turn = ownership.turn + 1};
    if (!may_be_ours) return status;
  }
  keeper_.Submit({.request = client_.Request("hand-over", handed->nexus), .repeat = true});
  return status;
}

// What the source has not reported yet waits here, and the daemon tells what came behind it. It
// tells nothing to a slot whose nexus is another host's.
Status ClusterStore::Arrive(GateSlot* slot, HandedOver* handed) {
  if (!handed->attachment.starts_with(gate().nonce)) {
    Members members(*this);
    if (!members.Lock()) return members.status();
    slot->unit_attentions().Reset(handed->version);
  }
  return GateStore::Arrive(slot, handed);
}

bool ClusterStore::TakeOver(GateSlot* slot, Admission::Tenure* tenure) {
  const size_t index = IndexOf(*slot);
  const auto nexus = slot->nexus();
  if (!nexus || !sharing().TryOwn(index)) return false;
  {
    const MutexLock lock(ownership_mutex_);
    if (!ownerships_[index].ours) {
      AskToTakeOver(index, *nexus);
      return false;
    }
  }
  return GateStore::TakeOver(slot, tenure);
}

void ClusterStore::AskToTakeOver(size_t index, const Nexus& nexus) {
  Ownership& ownership = ownerships_[index];
  if (ownership.asked || Clock::now() < ownership.again) return;
  const uint64_t turn = ++ownership.turn;
  ownership.asked = true;
  keeper_.Submit({.request = client_.Request("take-over", nexus),
                  .done = [this, index, turn](const Status& status, const json&) {
                    TakeOverEnded(index, turn, status);
                  }});
}

void ClusterStore::TakeOverEnded(size_t index, uint64_t turn, const Status& status) {
  {
    const MutexLock lock(ownership_mutex_);
    const auto found = ownerships_.find(index);
    if (found == ownerships_.end() || found->second.turn != turn) return;
    found->second.asked = false;
    found->second.ours = status.ok();
    found->second.again = Clock::now() + kTakeOverInterval;
  }
  // Another one has it still, or the daemon is away: that is told otherwise.
  if (status.code() != Code::kBusy) static_cast<void>(Noted(Step::kUse, status).ok());
}

// ---------------------------------------------------------------- Looking

void ClusterStore::AddElsewhere(std::vector<Attachment>* attached) const {
  for (Attachment& attachment : *attached) attachment.host = host_;
  Elsewhere elsewhere;
  // Who cannot read it shows this host.
  static_cast<void>(ReadElsewhere(*client_.directory(), client_.name(), &elsewhere).ok());
  for (const Elsewhere::Attached& other : elsewhere.attached) {
    if (other.host == host_) continue;
    Attachment& attachment = attached->emplace_back();
    attachment.nexus = other.nexus;
    attachment.owner = other.owner;
    attachment.live = other.live;
    attachment.host = other.host;
  }
}

Status ClusterStore::Look(Snapshot* snapshot) {
  const Status status = GateStore::Look(snapshot);
  if (status.ok()) AddElsewhere(&snapshot->attached);
  return status;
}

std::vector<Attachment> ClusterStore::Attached() {
  std::vector<Attachment> attached = GateStore::Attached();
  AddElsewhere(&attached);
  std::erase_if(attached, [](const Attachment& attachment) { return !attachment.live; });
  return attached;
}

}  // namespace scsi_pr::cluster
