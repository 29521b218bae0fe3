// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/records.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace scsi_pr::agent {
namespace {

Nexus NexusOf(const std::string& initiator, uint16_t target_port = 1) {
  std::string error;
  return {*TransportId::FromText(initiator, &error), target_port};
}

template <typename Record>
void ExpectKept(const Record& record) {
  Record decoded;
  const Status status = Decode(Encode(record), &decoded);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(decoded, record) << Encode(record);
}

TEST(Records, WhatIsWrittenIsRead) {
  Meta meta{3, "life-2", {"life-1"}, 5 * kSecond};
  ExpectKept(meta);
  HostRecord host{"machine",
                  "boot",
                  "i1",
                  1,
                  8 * kSecond,
                  HostRecord::State::kDead,
                  "h2",
                  "n1",
                  Proof::kConfirmed,
                  1'764'000'000,
                  "root (user 0) on h2: unplugged",
                  10 * kSecond};
  ExpectKept(host);
  host = {"machine", "boot", "i1", 1, 8 * kSecond, HostRecord::State::kAlive, "", "n1", "", 0};
  ExpectKept(host);
  const UnitAttention told{NexusOf("iqn.a", 0), sense::kReservationsPreempted, NexusOf("iqn.a")};
  ExpectKept(StateRecord{7, {"n2", "n1"}, "{\"format\":\"scsi-pr\"}", {{7, {told}}, {4, {told}}}});
  ExpectKept(NexusRecord{NexusOf("iqn.a"), "h1", true, "", "VM a, device d0", "n4", {}});
  ExpectKept(NexusRecord{NexusOf("iqn.a"), "h1", false, "h2", "", "n4", {{"h3", "i3"}}});
  ExpectKept(NexusRecord{NexusOf("iqn.a"), "", false, "", "", "n4", {{"h3", "i3"}}});
  ExpectKept(ChangeRecord{"n3", "h1", false, {}, false, 30 * kSecond});
  ExpectKept(ChangeRecord{
      "n3", "h1", true, {{"n1", 7, true}, {"n2", kFullAccess, false}}, true, 30 * kSecond});
  ExpectKept(AckRecord{"n3", 9});
  ExpectKept(AckRecord{"", 9});
}

TEST(Records, MembersOfTheFutureAreLeftAlone) {
  AckRecord ack;
  EXPECT_TRUE(Decode(R"({"schema":1,"id":"n","published":3,"storage-epoch":7})", &ack).ok());
  EXPECT_EQ(ack.id, "n");
}

TEST(Records, NewerSchema) {
  AckRecord ack{"before", 0};
  EXPECT_EQ(Decode(R"({"schema":2,"id":"n","published":0})", &ack).code(),
            Status::Code::kUnsupported);
  EXPECT_EQ(ack.id, "before");
}

// Each is a good record but for one thing.
template <typename Record>
void ExpectRefused(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    Record record;
    const Record before = record;
    const Status status = Decode(text, &record);
    EXPECT_EQ(status.code(), Status::Code::kCorrupt) << text;
    EXPECT_LT(status.message().size(), 600u);
    EXPECT_EQ(record, before);
  }
}

TEST(Records, HostileMeta) {
  ExpectRefused<Meta>({
      "",
      "{",
      "[]",
      "7",
      std::string(2000, '['),
      std::string(3 << 20, ' '),
      R"({"protocol":1,"life":"l","earlier-lives":[],"duration-ms":8000})",
      R"({"schema":0,"protocol":1,"life":"l","earlier-lives":[],"duration-ms":8000})",
      R"({"schema":-1,"protocol":1,"life":"l","earlier-lives":[],"duration-ms":8000})",
      R"({"schema":1,"protocol":0,"life":"l","earlier-lives":[],"duration-ms":8000})",
      R"({"schema":1,"protocol":1e99,"life":"l","earlier-lives":[],"duration-ms":8000})",
      R"({"schema":1,"protocol":1,"life":"","earlier-lives":[],"duration-ms":8000})",
      R"({"schema":1,"protocol":1,"life":"a b","earlier-lives":[],"duration-ms":8000})",
      R"({"schema":1,"protocol":1,"life":"l","earlier-lives":"l","duration-ms":8000})",
      R"({"schema":1,"protocol":1,"life":"l","earlier-lives":[7],"duration-ms":8000})",
      // A host that is admitted for ever, or never.
      R"({"schema":1,"protocol":1,"life":"l","earlier-lives":[],"duration-ms":99999999999})",
      R"({"schema":1,"protocol":1,"life":"l","earlier-lives":[],"duration-ms":-8000})",
      R"({"schema":1,"protocol":1,"life":"l","earlier-lives":[],"duration-ms":0})",
  });
}

// A list of so many words.
std::string Numbers(int count) {
  std::string list;
  for (int i = 0; i < count; i++) list += (i == 0 ? "[\"" : ",\"") + std::to_string(i) + "\"";
  return list + "]";
}

TEST(Records, HostileHost) {
  const auto host = [](const std::string& from, const std::string& to) {
    std::string text = Encode(HostRecord{"m",
                                         "b",
                                         "i",
                                         1,
                                         8 * kSecond,
                                         HostRecord::State::kSuspect,
                                         "h2",
                                         "n",
                                         Proof::kWatchdog,
                                         7,
                                         "w",
                                         5 * kSecond,
                                         {"db"}});
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  ExpectRefused<HostRecord>({
      host("\"suspect\"", "\"zombie\""),
      host("\"suspect\"", "7"),
      host("\"m\"", "\"\""),
      host("\"b\"", "null"),
      host("\"i\"", "\"" + std::string(65, 'x') + "\""),
      host("\"h2\"", "\"../meta\""),
      host("\"n\"", "[\"n\"]"),
      host("8000", "999"),
      host("8000", "60001"),
      host("\"watchdog\"", "\"\""),
      host("\"watchdog\"", "\"by somebody\""),
      host("5000", "0"),
      host("5000", "600001"),
      host("\"w\"", "1"),
      host("[\"db\"]", "\"db\""),
      host("\"db\"", "\"../db\""),
      host("\"db\"", "\"" + std::string(65, 'x') + "\""),
      host("[\"db\"]", Numbers(33)),
  });
}

TEST(Records, HostileOthers) {
  ExpectRefused<StateRecord>({
      R"({"schema":1,"version":0,"nonces":["n"],"document":"","told":[]})",
      R"({"schema":1,"version":1,"nonces":["n"],"document":"","told":[]})",
      R"({"schema":1,"version":1099511627776,"nonces":["n"],"document":"","told":[]})",
      R"({"schema":1,"version":18446744073709551615,"nonces":["n"],"document":"","told":[]})",
      R"({"schema":1,"version":2,"nonces":{},"document":"","told":[]})",
      R"({"schema":1,"version":2,"nonces":["n"],"document":{},"told":[]})",
      R"({"schema":1,"version":2,"nonces":["n"],"told":[]})",
      R"({"schema":1,"version":2,"nonces":["n"],"document":"","told":7})",
      R"({"schema":1,"version":2,"nonces":["n"],"document":"","told":[7]})",
      R"({"schema":1,"version":2,"nonces":["n"],"document":"","told":[{"version":2}]})",
  });
  std::string many = R"({"schema":1,"version":2,"document":"","told":[],"nonces":["n")";
  for (size_t i = 0; i < StateRecord::kNonces; i++) many += ",\"n\"";
  ExpectRefused<StateRecord>({many + "]}"});
  ExpectRefused<ChangeRecord>({
      R"({"schema":1,"id":"n","by":"h"})",
      R"({"schema":1,"id":"n","by":"h","patience-ms":1})",
      R"({"schema":1,"id":"n","by":"h","patience-ms":3600001})",
      R"({"schema":1,"id":"n","by":"h","patience-ms":30000,"intent":{}})",
      R"({"schema":1,"id":"n","by":"h","patience-ms":30000,"intent":{"aborts":1,"victims":[]}})",
      R"({"schema":1,"id":"n","by":"h","patience-ms":30000,"intent":{"aborts":true,"victims":7}})",
      R"({"schema":1,"id":"n","by":"h","patience-ms":30000,
          "intent":{"aborts":true,"victims":["n"]}})",
      R"({"schema":1,"id":"n","by":"h","patience-ms":30000,
          "intent":{"aborts":true,"victims":[{"nexus":"n","keep":-1,"preempted":true}]}})",
      R"({"schema":1,"id":"n","by":"h","patience-ms":30000,
          "intent":{"aborts":true,"victims":[{"nexus":"n","keep":4294967295,"preempted":true}]}})",
      R"({"schema":1,"id":"n","by":"h","patience-ms":30000,
          "intent":{"aborts":true,"victims":[{"nexus":"a/b","keep":0,"preempted":true}]}})",
      R"({"schema":1,"id":"n","by":"h","patience-ms":30000,
          "intent":{"aborts":true,"victims":[{"nexus":"n","keep":0}]}})",
  });
  ExpectRefused<AckRecord>({
      R"({"schema":1,"id":7,"published":0})",
      R"({"schema":1,"id":"n"})",
      R"({"schema":1,"id":"n","published":-1})",
      R"({"schema":1,"id":"n","published":1099511627776})",
  });
}

TEST(Records, HostileNexus) {
  const auto nexus = [](const std::string& from, const std::string& to) {
    std::string text =
        Encode(NexusRecord{NexusOf("iqn.a"), "h1", true, "h2", "VM a", "n", {{"h3", "i3"}}});
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  ExpectRefused<NexusRecord>({
      nexus("\"iqn.a\"", "\"a\""),
      nexus("\"iqn.a\"", "7"),
      nexus("\"target-port\":1", "\"target-port\":0"),
      nexus("\"target-port\":1", "\"target-port\":65536"),
      nexus("\"h1\"", "\"a/b\""),
      nexus("\"h1\"", "\"\""),
      nexus("\"host\":\"h1\",", ""),
      nexus("\"h2\"", "\"" + std::string(256, 'x') + "\""),
      nexus("\"i3\"", "null"),
      nexus("true", "1"),
      nexus("\"n\"", "\"\""),
      R"({"schema":1})",
  });
  std::string many = "{\"host\":\"h3\",\"incarnation\":\"i3\"}";
  for (size_t i = 0; i < NexusRecord::kRemains; i++) {
    many += ",{\"host\":\"h3\",\"incarnation\":\"i3\"}";
  }
  ExpectRefused<NexusRecord>({nexus("{\"host\":\"h3\",\"incarnation\":\"i3\"}", many),
                              nexus("{\"host\":\"h3\",\"incarnation\":\"i3\"}", "7")});
}

TEST(Records, ANexusHasOneKey) {
  EXPECT_EQ(NexusKey(NexusOf("iqn.a")), NexusKey(NexusOf("iqn.A")));
  EXPECT_NE(NexusKey(NexusOf("iqn.a")), NexusKey(NexusOf("iqn.a", 2)));
  EXPECT_EQ(NexusKey(NexusOf("iqn.a")).size(), 32u);
  EXPECT_TRUE(IsWord(NexusKey(NexusOf("iqn.a"))));
}

// ---------------------------------------------------------------- What is told

std::vector<UnitAttention> Conditions(size_t count) {
  return std::vector<UnitAttention>(
      count, UnitAttention{NexusOf("iqn.a"), sense::kReservationsReleased, std::nullopt});
}

TEST(Records, VersionsCount) {
  EXPECT_EQ(VersionOf(std::nullopt), 1u);
  std::optional<StateRecord> state = StateRecord::Next(std::nullopt, "c1", "s1", {});
  EXPECT_EQ(state, (StateRecord{2, {"c1"}, "s1", {}}));
  for (int i = 0; i < 100; i++) state = StateRecord::Next(state, std::to_string(i), "s", {});
  EXPECT_EQ(state->version, 102u);
  EXPECT_EQ(state->nonces.size(), StateRecord::kNonces);
  EXPECT_EQ(state->nonces.front(), "99");
}

TEST(Records, TheLastVersionsAreTold) {
  std::optional<StateRecord> state;
  for (int i = 0; i < 40; i++) state = StateRecord::Next(state, "c", "s", Conditions(i % 2));
  ASSERT_EQ(state->told.size(), StateRecord::kTold);
  EXPECT_EQ(state->told.front().version, 41u);
  EXPECT_EQ(state->told.back().version, 11u) << "every second one has something to tell";
  ExpectKept(*state);
  // However much there is, the newest stays.
  state = StateRecord::Next(state, "c", "s", Conditions(5000));
  EXPECT_EQ(state->told.size(), StateRecord::kTold);
  state = StateRecord::Next(state, "c", "s", Conditions(5000));
  EXPECT_EQ(state->told.size(), 1u);
  EXPECT_EQ(state->told.front().version, 43u);
  ExpectKept(*state);
}

TEST(Records, ToldIsWhatCameLater) {
  StateRecord state{9, {"c"}, "s", {}};
  const auto released = sense::kReservationsReleased, preempted = sense::kRegistrationsPreempted;
  const Nexus a = NexusOf("iqn.a"), b = NexusOf("iqn.b");
  state.told = {{9, {{a, preempted, {}}, {b, released, {}}, {a, released, {}}}},
                {7, {{b, released, {}}}},
                {5, {{a, released, {}}}},
                {4, {{a, preempted, {}}}}};
  const std::map<uint64_t, std::vector<Sense>> all = {
      {4, {preempted}}, {5, {released}}, {9, {preempted, released}}};
  EXPECT_EQ(ToldSince(state, a, 0), all);
  EXPECT_EQ(ToldSince(state, a, 5).size(), 1u);
  EXPECT_TRUE(ToldSince(state, a, 9).empty());
  EXPECT_EQ(ToldSince(state, b, 5).size(), 2u);
}

// ---------------------------------------------------------------- Victims

struct VictimsTest : public ::testing::Test {
  void SetUp() override {
    for (const char* name : {"iqn.a", "iqn.b", "iqn.c"}) {
      const Nexus nexus = NexusOf(name);
      nexuses[NexusKey(nexus)] = {nexus, "h1", true, "", "", "n", {}};
    }
    before.registrations = {{a, 1}, {b, 2}};
    before.reservation = Reservation{Type::kWriteExclusiveRegistrantsOnly, a};
  }
  std::vector<Victim> Of(const State& after, const std::vector<Nexus>& preempted = {},
                         bool aborts = false) {
    std::vector<Victim> victims = VictimsOf(before, after, preempted, aborts, nexuses);
    std::ranges::sort(victims, {}, [](const Victim& victim) { return victim.nexus; });
    return victims;
  }
  const Nexus a = NexusOf("iqn.a"), b = NexusOf("iqn.b"), c = NexusOf("iqn.c");
  std::map<std::string, NexusRecord> nexuses;
  State before;
};

TEST_F(VictimsTest, WhoLosesAccess) {
  State after = before;
  EXPECT_TRUE(Of(after).empty());
  after.registrations.pop_back();
  const std::vector<Victim> victims = Of(after);
  ASSERT_EQ(victims.size(), 1u);
  EXPECT_EQ(victims[0].nexus, NexusKey(b));
  EXPECT_EQ(victims[0].keep, AllowedAccess(after, b));
  EXPECT_FALSE(victims[0].preempted);
}

TEST_F(VictimsTest, WhoGainsOrIsNotAttachedIsNone) {
  State after = before;
  after.registrations.pop_back();
  std::swap(before, after);
  EXPECT_TRUE(Of(after).empty());
  std::swap(before, after);
  nexuses.erase(NexusKey(b));
  EXPECT_TRUE(Of(after).empty());
}

TEST_F(VictimsTest, TasksEndOfThePreemptedAlone) {
  // b takes the reservation, exclusively: a is preempted, c only loses access.
  State after = before;
  after.registrations = {{b, 2}};
  after.reservation = Reservation{Type::kExclusiveAccess, b};
  const std::vector<Victim> victims = Of(after, {a}, true);
  ASSERT_EQ(victims.size(), 2u);
  for (const Victim& victim : victims) EXPECT_EQ(victim.preempted, victim.nexus == NexusKey(a));
  for (const Victim& victim : Of(after, {a}, false)) EXPECT_FALSE(victim.preempted);
}

TEST_F(VictimsTest, WhoKeepsAccessIsPreempted) {
  const Nexus all_ports = NexusOf("iqn.c", Nexus::kAllTargetPorts);
  const std::vector<Victim> victims = Of(before, {all_ports}, true);
  ASSERT_EQ(victims.size(), 1u);
  EXPECT_EQ(victims[0], (Victim{NexusKey(c), AllowedAccess(before, c), true}));
}

}  // namespace
}  // namespace scsi_pr::agent
