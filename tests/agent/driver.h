// SPDX-License-Identifier: GPL-2.0-or-later
//
// What tests of the daemon's machines share: nexuses with short names, and an engine in memory
// that answers one request after the other.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/engine.h"
#include "agent/records.h"
#include "simulated_store.h"

namespace scsi_pr::agent {

using Log = std::vector<std::string>;

inline const Keys kKeys("/p/");

// "n1" for iqn.n1.
inline Nexus NexusOf(const std::string& name, uint16_t target_port = 1) {
  std::string error;
  return {*TransportId::FromText("iqn." + name, &error), target_port};
}
inline std::string KeyOf(const std::string& name) { return NexusKey(NexusOf(name)); }
// Of n0 to n9.
inline std::string NameOf(const std::string& key) {
  for (char digit = '0'; digit <= '9'; digit++) {
    if (const std::string name = std::string("n") + digit; KeyOf(name) == key) return name;
  }
  return key;
}
inline std::string Join(const std::vector<std::string>& keys) {
  std::string all;
  for (const std::string& key : keys) all += " " + NameOf(key);
  return all;
}
inline std::string Join(const std::vector<Victim>& victims) {
  std::string all;
  for (const Victim& victim : victims) {
    all += " " + NameOf(victim.nexus);
    if (victim.keep != 0) all += "/" + std::to_string(victim.keep);
  }
  return all;
}
// They lose all access.
inline std::vector<Victim> Victims(const std::vector<std::string>& names, bool preempted = true) {
  std::vector<Victim> victims;
  for (const std::string& name : names) victims.push_back({KeyOf(name), 0, preempted});
  return victims;
}

// As if somebody had written it.
inline void Put(SimulatedStore& store, const std::string& key, std::optional<std::string> value) {
  store.Apply({{}, {{key, std::move(value)}}, {}});
}
template <typename Record>
Record Get(const SimulatedStore& store, const std::string& key) {
  Record record;
  const auto* entry = store.Find(key);
  EXPECT_TRUE(entry != nullptr && Decode(entry->value, &record).ok()) << key;
  return record;
}
inline void PutNexus(SimulatedStore& store, const std::string& name, const std::string& host,
                     bool owned = true, const std::string& heir = "") {
  Put(store, kKeys.OfNexus("lu", KeyOf(name)),
      Encode(NexusRecord{NexusOf(name), host, owned, heir, "VM " + name, "w0", {}}));
}
inline void PutHost(SimulatedStore& store, const std::string& host,
                    HostRecord::State state = HostRecord::State::kAlive,
                    const std::string& proof = "", const std::string& incarnation = "i1") {
  Put(store, kKeys.Host(host),
      Encode(HostRecord{"m-" + host, "b", incarnation, 1, 8 * kSecond, state, "", "n", proof, 0}));
}

// What the machines need of an engine.
template <typename Machine>
class Driver {
 public:
  void Keep(uint64_t request, const Transaction& transaction) {
    // A reading whose answer does not count any more is not waited for.
    ASSERT_TRUE(!sent || sent->second.writes.empty()) << "one at a time";
    sent = {request, transaction};
  }
  void Answer(Machine& machine, Time now, SimulatedStore& store) {
    ASSERT_TRUE(sent);
    const auto [request, transaction] = *std::exchange(sent, std::nullopt);
    machine.Answered(now, request, store.Apply(transaction));
  }
  // Carried out, and the answer is lost; or not even carried out.
  void Lose(Machine& machine, Time now, SimulatedStore* store) {
    const auto [request, transaction] = *std::exchange(sent, std::nullopt);
    if (store != nullptr) store->Apply(transaction);
    machine.Answered(now, request, {});
  }
  void AnswerAll(Machine& machine, Time now, SimulatedStore& store) {
    for (int i = 0; sent && i < 10; i++) Answer(machine, now, store);
  }

  std::optional<std::pair<uint64_t, Transaction>> sent;
};

}  // namespace scsi_pr::agent
