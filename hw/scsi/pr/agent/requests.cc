// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/requests.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "agent/administration.h"
#include "agent/change_operation.h"
#include "agent/daemon.h"
#include "agent/nexus_operation.h"
#include "agent/outcome_operation.h"
#include "agent/silent_host.h"
#include "cluster/names.h"
#include "cluster/wire.h"
#include "core/document.h"
#include "core/envelope.h"

namespace scsi_pr::agent {

namespace {

using nlohmann::json;

constexpr uint64_t kMostMilliseconds = uint64_t{3600} * 1000;

// One that needs no more than to be there until it ends. Who runs it keeps it; its client, which
// has this, is kept by it.
class Running : public Request {
 public:
  explicit Running(const std::shared_ptr<Operation>& operation) : operation_(operation) {}

  void Receive(const json& frame, Time now) override {
    const auto operation = operation_.lock();
    if (!operation) throw std::invalid_argument("it was answered");
    operation->Receive(frame, now);
  }
  void ClientGone(Time now) override {
    if (const auto operation = operation_.lock()) operation->ClientGone(now);
  }

 private:
  const std::weak_ptr<Operation> operation_;
};

// That has had its answer already.
class Answered : public Request {
 public:
  void Receive(const json&, Time) override { throw std::invalid_argument("it was answered"); }
  void ClientGone(Time) override {}
};

// A VM that uses the logical unit, for as long as it is connected (open).
class Use : public Request {
 public:
  Use(Daemon& daemon, std::string name) : daemon_(daemon), name_(std::move(name)) {}

  void Receive(const json&, Time) override { throw std::invalid_argument("nothing was asked for"); }
  void ClientGone(Time) override {
    const auto unit = daemon_.units().find(name_);
    if (unit != daemon_.units().end()) unit->second->EndUse();
  }

 private:
  Daemon& daemon_;
  const std::string name_;
};

// The answer to open, when something is shown here.
class OpenOperation : public Operation {
 public:
  // `is_there`: it is not to be made.
  OpenOperation(LogicalUnit& unit, std::shared_ptr<Client> client, bool is_there)
      : Operation(std::move(client)), unit_(unit), is_there_(is_there) {}

  void Begin(Time now) override {
    deadline_ = now + 5 * kSecond;
    Tick(now);
  }
  void Tick(Time now) override {
    if (is_over_) return;
    if (unit_.publisher().published() != 0) {
      if (is_there_ && unit_.IsUnknown()) return Bad(NobodyHas(unit_));
      is_over_ = true;
      // The connection stays: it is the use.
      client_->Send(
          {{"ok",
            {{"identity", cluster::MemoryIdentity(unit_.name())}, {"host", unit_.house().host}}}});
    } else if (now >= deadline_) {
      Bad(Status::Error(Status::Code::kBusy,
                        "etcd does not tell the state of " + UriOf(unit_.name()),
                        "scsi-prd's log says why."));
    }
  }
  Time NextTick() const override {
    if (is_over_) return kNever;
    return unit_.publisher().published() != 0 ? 0 : deadline_;
  }

 private:
  LogicalUnit& unit_;
  const bool is_there_;
  Time deadline_ = 0;
};

Status OtherTime() {
  return Status::Error(Status::Code::kInvalid,
                       "this process has another CLOCK_BOOTTIME than scsi-prd",
                       "Until when commands are admitted is told by that clock. Do not run QEMU "
                       "in a time namespace of its own, or run scsi-prd in the same.");
}

void CheckClock(const json& frame) {
  const auto theirs = GetUnsigned<uint64_t>(frame, "boottime", 0);
  const Time ours = Loop::Now();
  if (theirs > ours + kSecond || ours > theirs + 5 * kSecond) throw OtherTime();
}

Time Milliseconds(const json& frame, const char* member) {
  return GetUnsigned<uint64_t>(frame, member, 0, kMostMilliseconds) * kMillisecond;
}

class Starter {
 public:
  Starter(Daemon& daemon, std::shared_ptr<Client> client, const Peer& peer, const json& frame,
          Time now)
      : daemon_(daemon), client_(std::move(client)), peer_(peer), frame_(frame), now_(now) {}

  std::unique_ptr<Request> Start() {
    if (GetUnsigned<int>(frame_, "protocol", 1, 1000000) != cluster::kProtocol) {
      throw Status::Error(Status::Code::kUnsupported, "scsi-prd speaks another protocol",
                          "Upgrade QEMU's plugin and scsi-prd of this host to one version.");
    }
    const std::string op = frame_.at("op").get<std::string>();
    if (!frame_.contains("lu")) return StartOfCluster(op);
    const std::string name = frame_.at("lu").get<std::string>();
    LogicalUnit& unit = UnitOf(name);
    if (op == "open") return Open(unit);
    if (op == "change") return StartChange(unit);
    return Run(unit, OperationOf(unit, op));
  }

 private:
  LogicalUnit& UnitOf(const std::string& name) {
    if (!IsUnitName(name)) {
      throw Status::Error(Status::Code::kInvalid, "\"" + name + "\" names no logical unit",
                          "A NAME has 1 to 160 letters, digits and .-_,: characters.");
    }
    if (!MayAttach(daemon_.config(), peer_, name)) {
      daemon_.house().log.Say(Message::kPeerRefused,
                              "user " + std::to_string(peer_.user) + " may not use " + UriOf(name));
      throw Status::Error(Status::Code::kInvalid,
                          "user " + std::to_string(peer_.user) + " may not use " + UriOf(name),
                          "[allow] in scsi-prd's configuration says who may.");
    }
    if (Status status = daemon_.WhyNoMember(); !status.ok()) throw status;
    Status why;
    LogicalUnit* unit = daemon_.Unit(name, &why);
    if (unit == nullptr) throw why;
    return *unit;
  }

  std::unique_ptr<Request> Run(LogicalUnit& unit, const std::shared_ptr<Operation>& operation) {
    unit.Run(operation, now_);
    return std::make_unique<Running>(operation);
  }

  std::unique_ptr<Request> Open(LogicalUnit& unit) {
    CheckClock(frame_);
    unit.Use();
    auto use = std::make_unique<Use>(daemon_, unit.name());
    unit.Run(std::make_shared<OpenOperation>(unit, client_, frame_.value("existing", false)), now_);
    return use;
  }

  std::unique_ptr<Request> StartChange(LogicalUnit& unit) {
    const ChangeOperation::Limits limits{Milliseconds(frame_, "patience-ms"),
                                         Milliseconds(frame_, "abort-timeout-ms")};
    auto change = std::make_shared<ChangeOperation>(unit, client_, limits);
    unit.RunChange(change, now_);
    return std::make_unique<Running>(change);
  }

  std::shared_ptr<Operation> OperationOf(LogicalUnit& unit, const std::string& op) {
    constexpr Time kPatience = 5 * kSecond;
    if (op == "read") return std::make_shared<ReadOperation>(unit, client_, kPatience);
    if (op == "look") return std::make_shared<LookOperation>(unit, client_, kPatience);
    if (op == "outcome") {
      return std::make_shared<OutcomeOperation>(unit, client_, frame_.at("id").get<std::string>());
    }
    using What = NexusChange::What;
    What what = What::kDetach;
    std::string owner;
    if (op == "attach") {
      CheckAttached(unit);
      what = frame_.at("incoming").get<bool>() ? What::kAttachIncoming : What::kAttach;
      owner = Printable(frame_.at("owner").get<std::string>(), 160);
    } else if (op == "hand-over") {
      what = What::kHandOver;
    } else if (op == "take-over") {
      what = What::kTakeOver;
    } else if (op != "detach") {
      throw std::invalid_argument("there is no operation \"" + op + "\"");
    }
    const bool is_shared = what == What::kAttachIncoming && frame_.value("joined", false);
    return std::make_shared<NexusOperation>(unit, client_, what, NexusFromJson(frame_), owner,
                                            is_shared);
  }

  // The slot comes first: what is shut shuts it, too.
  void CheckAttached(LogicalUnit& unit) {
    if (unit.IsAttached(NexusKey(NexusFromJson(frame_)))) return;
    throw std::invalid_argument("the nexus has no slot in the gate");
  }

  // What is about no logical unit.
  std::unique_ptr<Request> StartOfCluster(const std::string& op) {
    constexpr std::string_view kForRoot[] = {"accept-restore", "forget-host", "confirm-host-dead"};
    if (std::ranges::find(kForRoot, op) != std::end(kForRoot)) CheckAdministrator();
    if (op == "metrics") return Answer({{"text", daemon_.metrics().Text(Loop::Now())}});
    if (op == "list") return Answer({{"units", Units()}});
    const std::shared_ptr<Operation> operation = OperationOfCluster(op);
    daemon_.Run(operation);
    return std::make_unique<Running>(operation);
  }

  std::shared_ptr<Operation> OperationOfCluster(const std::string& op) {
    House& house = daemon_.house();
    if (op == "hosts") {
      return DescribeHosts(house, daemon_.contacts(), daemon_.refused(), client_);
    }
    if (op == "accept-restore") {
      return AcceptRestore(house, daemon_.memory(), daemon_.refused(), client_);
    }
    if (op == "forget-host") return ForgetHost(house, HostInFrame(), client_);
    if (op == "confirm-host-dead") {
      const auto boot_id = frame_.at("boot-id").get<std::string>();
      return ConfirmHostDead(house, {HostInFrame(), boot_id, Words()}, client_);
    }
    throw std::invalid_argument("there is no operation \"" + op + "\"");
  }

  std::unique_ptr<Request> Answer(json what) {
    client_->Good(std::move(what));
    return std::make_unique<Answered>();
  }

  std::string HostInFrame() const {
    std::string host = frame_.at("host").get<std::string>();
    if (!IsWord(host, 255)) throw std::invalid_argument("\"host\" is no name");
    return host;
  }

  // Who confirms something, and why.
  std::string Words() const {
    const std::string who = Printable(frame_.at("who").get<std::string>(), 100);
    const std::string why = Printable(frame_.at("why").get<std::string>(), 200);
    return who + " (user " + std::to_string(peer_.user) + ") on " + daemon_.house().host +
           (why.empty() ? "" : ": " + why);
  }

  void CheckAdministrator() const {
    if (peer_.user == 0 || peer_.user == geteuid()) return;
    throw Status::Error(Status::Code::kInvalid, "only root may do this", "");
  }

  json Units() const {
    json units = json::array();
    for (const auto& [name, unit] : daemon_.units()) {
      units.push_back({{"name", name},
                       {"version", unit->publisher().published()},
                       {"attached", unit->nexuses().size()}});
    }
    return units;
  }

  Daemon& daemon_;
  const std::shared_ptr<Client> client_;
  const Peer& peer_;
  const json& frame_;
  const Time now_;
};

}  // namespace

std::unique_ptr<Request> StartRequest(Daemon& daemon, std::shared_ptr<Client> client,
                                      const Peer& peer, const json& frame, Time now) {
  try {
    return Starter(daemon, client, peer, frame, now).Start();
  } catch (const Status& why) {
    client->Bad(why);
    return std::make_unique<Answered>();
  }
}

}  // namespace scsi_pr::agent
