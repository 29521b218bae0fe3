// SPDX-License-Identifier: GPL-2.0-or-later
//
// A Change that a test makes, one step after the other, with an engine in memory: of host h1, where
// nexuses n1, n2, n3 are attached on h1, h2, h3.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/change.h"
#include "driver.h"

namespace scsi_pr::agent {

class Command : public Change::Outside, public Driver<Change> {
 public:
  explicit Command(SimulatedStore& its_store, const std::vector<std::string>& victims = {},
                   bool aborts = false, const std::string& foreign = "",
                   std::shared_ptr<Declarations> declarations = std::make_shared<Declarations>(),
                   std::optional<Change::Presumption> presumption = std::nullopt)
      : machine({.host = "h1",
                 .lu = "lu",
                 .id = "c1",
                 .deadline = 20 * kSecond,
                 .declarations = std::move(declarations),
                 .foreign = foreign,
                 .presumption = std::move(presumption)},
                kKeys, *this, [] { return "w" + std::to_string(++words); }),
        store(its_store) {
    decision.document = "next";
    decision.victims = Victims(victims, aborts);
    decision.aborts = aborts;
    decision.concerned = {KeyOf("n1"), KeyOf("n2"), KeyOf("n3")};
    for (const auto& [nexus, host] : {std::pair{"n1", "h1"}, {"n2", "h2"}, {"n3", "h3"}}) {
      PutNexus(store, nexus, host);
      if (store.Find(kKeys.Host(host)) == nullptr) PutHost(store, host);
    }
    Publish({"h2", "h3"});
  }

  void Send(uint64_t request, const Transaction& transaction) override {
    Keep(request, transaction);
  }
  void Decide(const std::optional<StateRecord>&,
              const std::map<std::string, NexusRecord>&) override {
    log.push_back("decide");
  }
  void Fence(const ChangeRecord& change) override { log.push_back("fence" + Join(change.victims)); }
  void NeedProof(const std::string& host) override { needed.push_back(host); }
  void Committed(int64_t) override { log.push_back("committed"); }
  void Ended(Change::Result result, const Failure& why) override {
    EXPECT_FALSE(ended);
    ended = result;
    failure = why;
  }
  void Over() override { log.push_back("over"); }

  void Acknowledge(const std::string& host) {
    Put(store, kKeys.Ack("lu", host), Encode(AckRecord{"c1", 2}));
  }
  // They show what is committed.
  void Publish(const std::vector<std::string>& hosts, uint64_t version = 2) {
    for (const std::string& host : hosts) {
      Put(store, kKeys.Ack("lu", host), Encode(AckRecord{"", version}));
    }
  }
  void Tick(Time now) {
    machine.Tick(now);
    AnswerAll(machine, now, store);
  }
  // As far as it goes by itself.
  void Start() {
    machine.Tick(1 * kSecond);
    AnswerAll(machine, 1 * kSecond, store);
    if (log == Log{"decide"}) machine.Decided(1 * kSecond, decision);
    AnswerAll(machine, 1 * kSecond, store);
    Tick(1020 * kMillisecond);  // with what was not read yet
  }
  // As the watch tells it.
  void Hear(Time now, const std::string& key) {
    const auto* entry = store.Find(key);
    News news{key, std::nullopt, store.revision()};
    if (entry != nullptr) news = {key, entry->value, entry->revision};
    machine.Hear(now, {news});
  }
  bool IsCommitted() const { return store.Find(kKeys.State("lu")) != nullptr; }

  static inline int words = 0;
  Log needed;  // proofs of these hosts' death
  Change machine;
  SimulatedStore& store;
  Change::Decision decision;
  Log log;
  std::optional<Change::Result> ended;
  Failure failure;
};

}  // namespace scsi_pr::agent
