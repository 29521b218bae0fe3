// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/administration.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "agent/asking_operation.h"

namespace scsi_pr::agent {

namespace {

constexpr size_t kMostLives = 64;
// An etcd that has lost its leader, or its network for a moment, answers again within it.
constexpr Time kPatience = 5 * kSecond;

const char* NameOf(HostRecord::State state) {
  switch (state) {
    case HostRecord::State::kAlive: return "alive";
    case HostRecord::State::kSuspect: return "suspect";
    case HostRecord::State::kDead: return "dead";
  }
  return "unknown";
}

nlohmann::json HostToJson(const std::string& name, const HostRecord& record,
                          std::optional<Time> contact) {
  nlohmann::json object = {{"name", name},
                           {"state", NameOf(record.state)},
                           {"boot-id", record.boot_id},
                           {"incarnation", record.incarnation},
                           {"protocol", record.protocol},
                           {"duration-ms", record.duration / kMillisecond}};
  if (!record.by.empty()) object["by"] = record.by;
  if (!record.proof.empty()) object["proof"] = record.proof;
  if (!record.proof_text.empty()) object["proof-text"] = record.proof_text;
  if (record.watchdog != 0) object["watchdog-ms"] = record.watchdog / kMillisecond;
  if (!record.paths.empty()) object["paths"] = record.paths;
  if (record.joined != 0) object["joined"] = record.joined;
  if (contact) object["contact-ms"] = (Loop::Now() - *contact) / kMillisecond;
  return object;
}

class DescribingHosts : public AskingOperation {
 public:
  DescribingHosts(House& house, Contacts& contacts, Status refused, std::shared_ptr<Client> client)
      : AskingOperation(house, std::move(client), kPatience),
        contacts_(contacts),
        refused_(std::move(refused)) {}

 private:
  void AskAgain() override {
    Ask({{}, {}, {{house().keys.Meta(), false}, {house().keys.Hosts(), true}}});
  }
  void Answered(const Answer& answer, Time now) override {
    contacts_.Saw(now, answer, house().keys);
    Meta meta;
    // One that cannot be read is told by the membership.
    if (const KeyValue* found = answer.Find(house().keys.Meta())) {
      static_cast<void>(Decode(found->value, &meta).ok());
    }
    nlohmann::json told = {{"host", house().host},
                           {"life", meta.life},
                           {"duration-ms", meta.duration / kMillisecond},
                           {"hosts", HostsIn(answer)}};
    if (!refused_.ok()) told["refused"] = refused_.message() + ". " + refused_.hint();
    Good(std::move(told));
  }
  nlohmann::json HostsIn(const Answer& answer) {
    nlohmann::json hosts = nlohmann::json::array();
    const std::string& prefix = house().keys.Hosts();
    for (const KeyValue& found : answer.found) {
      if (!found.key.starts_with(prefix)) continue;
      HostRecord record;
      const std::string name = found.key.substr(prefix.size());
      if (IsWord(name, 255) && Decode(found.value, &record).ok()) {
        hosts.push_back(HostToJson(name, record, contacts_.Last(name)));
      }
    }
    return hosts;
  }

  Contacts& contacts_;
  const Status refused_;
};

// Without what was there twice, and not endless.
Meta NewLife(Meta meta, const std::string& life, const std::string& known) {
  std::vector<std::string> lives = {meta.life, known};
  lives.insert(lives.end(), meta.earlier_lives.begin(), meta.earlier_lives.end());
  meta.earlier_lives.clear();
  for (std::string& each : lives) {
    const bool is_new =
        std::ranges::find(meta.earlier_lives, each) == meta.earlier_lives.end() && !each.empty();
    if (is_new && meta.earlier_lives.size() < kMostLives) {
      meta.earlier_lives.push_back(std::move(each));
    }
  }
  meta.life = life;
  return meta;
}

// Read, and written if it is what was read; what is found then says what became of it.
class AcceptingRestore : public AskingOperation {
 public:
  AcceptingRestore(House& house, std::string known, Status why, std::shared_ptr<Client> client)
      : AskingOperation(house, std::move(client), kPatience),
        known_(std::move(known)),
        why_(std::move(why)),
        life_(house.nonce()) {}

  void Begin(Time now) override {
    if (why_.code() == Status::Code::kCorrupt) return AskingOperation::Begin(now);
    Bad(Status::Error(Status::Code::kInvalid, "this host takes the store for the one that it was",
                      "There is nothing to accept."));
  }

 private:
  std::string Key() { return house().keys.Meta(); }
  void AskAgain() override { Ask({{}, {}, {{Key(), false}}}); }
  void Answered(const Answer& answer, Time) override {
    const KeyValue* found = answer.Find(Key());
    Meta meta;
    if (found != nullptr) {
      if (Status status = Decode(found->value, &meta); !status.ok()) return Bad(status);
    }
    if (meta.life == life_) return Good({{"life", life_}});
    const int64_t revision = found == nullptr ? 0 : found->revision;
    if (instead_of_.value_or(revision) != revision) return Bad(Overtaken());
    instead_of_ = revision;
    Ask({{{Key(), revision}},
         {{Key(), Encode(NewLife(std::move(meta), life_, known_))}},
         {{Key(), false}}});
  }
  static Status Overtaken() {
    return Status::Error(Status::Code::kBusy, "somebody else has changed the record meanwhile",
                         "Look at scsi-pr hosts, and try again if it is still refused.");
  }

  const std::string known_;
  const Status why_;
  const std::string life_;
  std::optional<int64_t> instead_of_;  // the record's revision that has been written over, maybe
};

}  // namespace

std::shared_ptr<Operation> DescribeHosts(House& house, Contacts& contacts, const Status& refused,
                                         std::shared_ptr<Client> client) {
  return std::make_shared<DescribingHosts>(house, contacts, refused, std::move(client));
}

std::shared_ptr<Operation> AcceptRestore(House& house, const Membership::Memory& memory,
                                         const Status& why, std::shared_ptr<Client> client) {
  return std::make_shared<AcceptingRestore>(house, memory.life, why, std::move(client));
}

}  // namespace scsi_pr::agent
