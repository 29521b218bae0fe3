// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/administration.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace scsi_pr::agent {

namespace {

constexpr size_t kMostLives = 64;

Status NotAnswered(const Failure& failure) {
  return Status::Error(Status::Code::kBusy, "etcd does not answer: " + failure.message,
                       failure.hint);
}

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

void TellHosts(const House& house, Contacts& contacts, const Status& refused, const Answer& answer,
               Client& client) {
  if (!answer.answered()) return client.Bad(NotAnswered(answer.failure));
  contacts.Saw(Loop::Now(), answer, house.keys);
  nlohmann::json hosts = nlohmann::json::array();
  Meta meta;
  for (const KeyValue& found : answer.found) {
    if (found.key == house.keys.Meta()) {
      // One that cannot be read is told by the membership.
      static_cast<void>(Decode(found.value, &meta).ok());
      continue;
    }
    HostRecord record;
    const std::string name = found.key.substr(house.keys.Hosts().size());
    if (IsWord(name, 255) && Decode(found.value, &record).ok()) {
      hosts.push_back(HostToJson(name, record, contacts.Last(name)));
    }
  }
  nlohmann::json told = {{"host", house.host},
                         {"life", meta.life},
                         {"duration-ms", meta.duration / kMillisecond},
                         {"hosts", std::move(hosts)}};
  if (!refused.ok()) told["refused"] = refused.message() + ". " + refused.hint();
  client.Good(std::move(told));
}

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

void WriteLife(House& house, const std::string& known, const Answer& answer,
               std::shared_ptr<Client> client) {
  if (!answer.answered()) return client->Bad(NotAnswered(answer.failure));
  const KeyValue* found = answer.Find(house.keys.Meta());
  Meta meta;
  if (found != nullptr) {
    if (Status status = Decode(found->value, &meta); !status.ok()) return client->Bad(status);
  }
  meta = NewLife(std::move(meta), house.nonce(), known);
  Transaction write{{{house.keys.Meta(), found == nullptr ? 0 : found->revision}},
                    {{house.keys.Meta(), Encode(meta)}},
                    {}};
  house.asker.Ask(std::move(write), client, [client, life = meta.life](const Answer& written) {
    if (written.outcome == Outcome::kApplied) return client->Good({{"life", life}});
    if (!written.answered()) return client->Bad(NotAnswered(written.failure));
    client->Bad(Status::Error(Status::Code::kBusy, "somebody else has changed the record meanwhile",
                              "Look at scsi-pr hosts, and try again if it is still refused."));
  });
}

}  // namespace

void DescribeHosts(House& house, Contacts& contacts, const Status& refused,
                   std::shared_ptr<Client> client) {
  Transaction all;
  all.reads = {{house.keys.Meta(), false}, {house.keys.Hosts(), true}};
  house.asker.Ask(std::move(all), client,
                  [&house, &contacts, refused, client](const Answer& answer) {
                    TellHosts(house, contacts, refused, answer, *client);
                  });
}

void AcceptRestore(House& house, const Membership::Memory& memory, const Status& why,
                   std::shared_ptr<Client> client) {
  if (why.code() != Status::Code::kCorrupt) {
    return client->Bad(Status::Error(Status::Code::kInvalid,
                                     "this host takes the store for the one that it was",
                                     "There is nothing to accept."));
  }
  Transaction read;
  read.reads = {{house.keys.Meta(), false}};
  house.asker.Ask(std::move(read), client, [&house, client, known = memory.life](const Answer& a) {
    WriteLife(house, known, a, client);
  });
}

}  // namespace scsi_pr::agent
