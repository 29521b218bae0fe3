// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is known of a logical unit by one answer after the other.
#include "agent/reading.h"

#include <gtest/gtest.h>

#include <string>

#include "driver.h"

namespace scsi_pr::agent {
namespace {

struct ReadingTest : ::testing::Test {
  ReadingTest() {
    Put(store, kKeys.State("lu"), Encode(StateRecord::Next(std::nullopt, "c0", "first", {})));
    PutNexus(store, "n1", "h1");
    Put(store, kKeys.Ack("lu", "h2"), Encode(AckRecord{"c0", 1}));
    PutHost(store, "h2", HostRecord::State::kDead);
  }
  Outcome Ask(const Transaction& transaction) {
    const Answer answer = store.Apply(transaction);
    EXPECT_TRUE(UpdateReading(answer, transaction, kKeys, "lu", &there).ok());
    return answer.outcome;
  }
  void ReadAll() { Ask({{}, {}, all}); }

  SimulatedStore store;
  Reading there;
  const std::vector<Range> all = {{kKeys.Unit("lu"), true}, {kKeys.Hosts(), true}};
  const std::string change = Encode(ChangeRecord{"c1", "h1", true, {}, false});
};

TEST_F(ReadingTest, WhatIsGoneIsForgotten) {
  ReadAll();
  EXPECT_TRUE(there.HasNexusAt("h1"));
  EXPECT_EQ(there.acks.size(), 1u);
  for (const std::string& key : {kKeys.State("lu"), kKeys.OfNexus("lu", KeyOf("n1")),
                                 kKeys.Ack("lu", "h2"), kKeys.Host("h2")}) {
    Put(store, key, std::nullopt);
  }
  ReadAll();
  EXPECT_FALSE(there.state);
  EXPECT_EQ(there.state_revision, 0);
  EXPECT_TRUE(there.nexuses.empty() && there.nexus_revisions.empty());
  EXPECT_TRUE(there.acks.empty() && there.hosts.empty());
}

// What was written need not be read; what was not asked for is as it was.
TEST_F(ReadingTest, WhatWasWrittenIsKnown) {
  ReadAll();
  Put(store, kKeys.OfNexus("lu", KeyOf("n1")), std::nullopt);
  EXPECT_EQ(Ask({{{kKeys.Change("lu"), 0}}, {{kKeys.Change("lu"), change}}, {}, all}),
            Outcome::kApplied);
  EXPECT_EQ(there.change.id, "c1");
  EXPECT_EQ(there.change_revision, store.revision());
  EXPECT_EQ(there.state->document, "first");
  EXPECT_TRUE(there.HasNexusAt("h1")) << "nobody has looked";
  EXPECT_EQ(Ask({{{kKeys.Change("lu"), there.change_revision}},
                 {{kKeys.Change("lu"), std::nullopt}},
                 {{kKeys.Nexuses("lu"), true}}}),
            Outcome::kApplied);
  EXPECT_EQ(there.change_revision, 0);
  EXPECT_FALSE(there.HasNexusAt("h1"));
}

TEST_F(ReadingTest, WhatWasNotWrittenIsRead) {
  EXPECT_EQ(Ask({{{kKeys.Change("lu"), 7}}, {{kKeys.Change("lu"), change}}, {}, all}),
            Outcome::kCompareFailed);
  EXPECT_TRUE(there.change.id.empty());
  EXPECT_EQ(there.state->document, "first");
  EXPECT_TRUE(there.IsDead("h2"));
}

// Not even one that was forgotten.
TEST_F(ReadingTest, WithoutHostsNobodyIsDead) {
  Ask({{}, {}, {{kKeys.Unit("lu"), true}}});
  EXPECT_FALSE(there.IsDead("h2"));
  EXPECT_FALSE(there.IsDead("h9"));
  ReadAll();
  EXPECT_TRUE(there.IsDead("h2"));
  EXPECT_TRUE(there.IsDead("h9"));
}

TEST_F(ReadingTest, GarbageIsNoGround) {
  Put(store, kKeys.State("lu"), "{");
  const Transaction read = {{}, {}, all};
  EXPECT_FALSE(UpdateReading(store.Apply(read), read, kKeys, "lu", &there).ok());
}

}  // namespace
}  // namespace scsi_pr::agent
