// SPDX-License-Identifier: GPL-2.0-or-later
//
// A Participant on host h1 that a test drives, one step after the other, with an engine in memory.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/participant.h"
#include "driver.h"

namespace scsi_pr::agent {

class Unit : public Participant::Outside, public Driver<Participant> {
 public:
  explicit Unit(SimulatedStore& its_store) : machine("h1", "lu", kKeys, *this), store(its_store) {}

  void Send(uint64_t request, const Transaction& transaction) override {
    Keep(request, transaction);
  }
  void Attached(const std::map<std::string, NexusRecord>& nexuses) override {
    attached.clear();
    for (const auto& [key, record] : nexuses) attached.push_back(NameOf(key) + "@" + record.host);
    std::ranges::sort(attached);
  }
  bool Publish(const std::optional<StateRecord>& state, const std::vector<Victim>& shut) override {
    if (!is_free) return false;
    log.push_back("publish " + (state ? state->document : "nothing") + " without" + Join(shut));
    return true;
  }
  bool IsConcerned(const StateRecord& next) const override {
    return !foreign_to_all.contains(next.document);
  }
  bool Shut(const std::vector<Victim>& victims) override {
    if (is_free) log.push_back("shut" + Join(victims));
    return is_free;
  }
  void Drain(const std::vector<std::string>& nexuses) override {
    log.push_back("drain" + Join(nexuses));
  }
  void Fenced(const std::string& id) override { log.push_back("fenced " + id); }
  bool IsUnderWay(const std::string& id) const override { return id == under_way; }
  bool IsCommitting() const override { return is_committing; }
  void Failed(const Status& why) override { log.push_back("failed: " + why.message()); }

  void Look(Time now) {
    machine.Look(now);
    AnswerAll(machine, now, store);
  }
  // Somebody else has written it, or nothing.
  void Intent(const std::string& id, bool aborts) {
    ChangeRecord change{id, "h2", true, Victims({"n1"}), aborts, 30 * kSecond};
    Put(store, kKeys.Change("lu"), Encode(change));
  }
  void Over() { Put(store, kKeys.Change("lu"), std::nullopt); }
  // The next version, by that change.
  void State(const std::string& document, const std::string& id = "x") {
    state = StateRecord::Next(state, id, document, {});
    Put(store, kKeys.State("lu"), Encode(*state));
  }
  AckRecord Ack() const {
    AckRecord ack;
    const auto* entry = store.Find(kKeys.Ack("lu", "h1"));
    EXPECT_TRUE(entry == nullptr || Decode(entry->value, &ack).ok());
    return ack;
  }
  std::string Acknowledged() const { return Ack().id; }
  Log Take() { return std::exchange(log, {}); }

  Participant machine;
  SimulatedStore& store;
  std::optional<StateRecord> state;
  bool is_free = true;  // the members' lock
  std::string under_way;
  bool is_committing = false;
  std::set<std::string> foreign_to_all;  // concern no nexus here
  Log log, attached;
};

struct ParticipantTest : public ::testing::Test {
  void SetUp() override {
    unit.State("s1");
    unit.machine.Open(1 * kSecond);
    unit.AnswerAll(unit.machine, 1 * kSecond, store);
    EXPECT_EQ(unit.Take(), (Log{"publish s1 without"}));
  }
  SimulatedStore store;
  Unit unit{store};
};

}  // namespace scsi_pr::agent
