// SPDX-License-Identifier: GPL-2.0-or-later
//
// One nexus at the gate: who may enter, and what a drain waits for.
#include "gate/admission.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace scsi_pr {
namespace {

using WhyNot = Admission::WhyNot;

constexpr AccessMask kReadOnly = Bit(AccessClass::kUnrestricted) | Bit(AccessClass::kRead);

TEST(Admission, StartsShut) {
  Admission admission;
  EXPECT_EQ(admission.Enter(AccessClass::kUnrestricted), std::nullopt);
  EXPECT_EQ(admission.in_flight(), 0u);
}

TEST(Admission, EntersByClass) {
  Admission admission;
  admission.SetAccess(kReadOnly);
  EXPECT_EQ(admission.Enter(AccessClass::kWrite), std::nullopt);
  const auto read = admission.Enter(AccessClass::kRead);
  ASSERT_TRUE(read);
  EXPECT_EQ(admission.in_flight(), 1u);
  EXPECT_FALSE(admission.Leave(*read)) << "no drain to end";
  EXPECT_EQ(admission.in_flight(), 0u);
}

TEST(Admission, ChangedAccessKeepsWhoIsIn) {
  Admission admission;
  admission.SetAccess(kFullAccess);
  const auto write = admission.Enter(AccessClass::kWrite);
  admission.SetAccess(kReadOnly);
  EXPECT_EQ(admission.in_flight(), 1u);
  EXPECT_EQ(admission.access(), kReadOnly);
  EXPECT_EQ(admission.draining(), 0u);
  EXPECT_FALSE(admission.Leave(*write));
  EXPECT_EQ(admission.in_flight(), 0u);
}

TEST(Admission, DrainOfNothing) {
  Admission admission;
  admission.SetAccess(kFullAccess);
  EXPECT_TRUE(admission.BeginDrain(kReadOnly));
  EXPECT_EQ(admission.draining(), 0u);
  EXPECT_EQ(admission.access(), kReadOnly);
}

TEST(Admission, DrainNarrowsAndNeverWidens) {
  Admission admission;
  admission.SetAccess(kReadOnly);
  EXPECT_TRUE(admission.BeginDrain(kFullAccess));
  EXPECT_EQ(admission.access(), kReadOnly);
  EXPECT_TRUE(admission.BeginDrain(Bit(AccessClass::kUnrestricted)));
  EXPECT_EQ(admission.access(), Bit(AccessClass::kUnrestricted));
}

// Who enters after the drain began is none of its business.
TEST(Admission, LaterCommandsDoNotDelayADrain) {
  Admission admission;
  admission.SetAccess(kFullAccess);
  const auto before = admission.Enter(AccessClass::kWrite);
  ASSERT_TRUE(admission.BeginDrain(kFullAccess));
  const auto after = admission.Enter(AccessClass::kWrite);
  EXPECT_EQ(admission.draining(), 1u);
  EXPECT_EQ(admission.in_flight(), 2u);
  EXPECT_TRUE(admission.Leave(*before)) << "ends the drain";
  EXPECT_EQ(admission.draining(), 0u);
  EXPECT_FALSE(admission.Leave(*after));
  EXPECT_EQ(admission.in_flight(), 0u);
}

// Nor does it end the drain by leaving first.
TEST(Admission, LaterCommandsDoNotEndADrain) {
  Admission admission;
  admission.SetAccess(kFullAccess);
  const auto before = admission.Enter(AccessClass::kWrite);
  ASSERT_TRUE(admission.BeginDrain(kReadOnly));
  const auto after = admission.Enter(AccessClass::kRead);
  EXPECT_FALSE(admission.Leave(*after));
  EXPECT_EQ(admission.draining(), 1u);
  EXPECT_TRUE(admission.Leave(*before)) << "ends the drain";
}

// A drain that was given up, and one more: it waits for both generations.
TEST(Admission, NextDrainIncludesAnUnfinishedOne) {
  Admission admission;
  admission.SetAccess(kFullAccess);
  const auto first = admission.Enter(AccessClass::kWrite);
  ASSERT_TRUE(admission.BeginDrain(kFullAccess));
  const auto second = admission.Enter(AccessClass::kWrite);
  ASSERT_TRUE(admission.BeginDrain(kFullAccess));
  const auto third = admission.Enter(AccessClass::kWrite);
  EXPECT_EQ(admission.draining(), 2u);
  EXPECT_FALSE(admission.Leave(*second));
  EXPECT_FALSE(admission.Leave(*third));
  EXPECT_TRUE(admission.Leave(*first));
  EXPECT_EQ(admission.in_flight(), 0u);
}

// An epoch must not come again while a command of its first time is in.
TEST(Admission, EpochsRunOut) {
  Admission admission;
  admission.SetAccess(kFullAccess);
  const auto hung = admission.Enter(AccessClass::kWrite);
  int drains = 0;
  while (drains < 100000 && admission.BeginDrain(kFullAccess)) drains++;
  EXPECT_EQ(drains, 255);
  const auto late = admission.Enter(AccessClass::kWrite);
  EXPECT_NE(late, hung);
  EXPECT_FALSE(admission.Leave(*late));
  EXPECT_TRUE(admission.Leave(*hung));
  EXPECT_TRUE(admission.BeginDrain(kFullAccess)) << "and they come again";
  EXPECT_EQ(admission.in_flight(), 0u);
}

// A command that is parked has left, and is to go on: it must learn of every drain, of
// how many there ever were since. 256 and 65536: where fewer bits are the same again.
TEST(Admission, NoEpochComesAgain) {
  Admission admission;
  admission.SetAccess(kFullAccess);
  const auto parked = admission.Enter(AccessClass::kWrite);
  EXPECT_FALSE(admission.Leave(*parked));
  EXPECT_FALSE(admission.HasDrained(*parked));
  for (int drains = 1; drains <= 65537; drains++) {
    ASSERT_TRUE(admission.BeginDrain(kFullAccess));
    ASSERT_TRUE(admission.HasDrained(*parked)) << drains << " drains";
  }
  const auto later = admission.Enter(AccessClass::kWrite);
  EXPECT_FALSE(admission.HasDrained(*later));
  EXPECT_FALSE(admission.Leave(*later));
}

// Who enters in an epoch gets its number, whatever else is still on its way.
TEST(Admission, EpochsOfThoseThatAreIn) {
  Admission admission;
  admission.SetAccess(kFullAccess);
  for (int i = 0; i < 300; i++) ASSERT_TRUE(admission.BeginDrain(kFullAccess));
  const auto hung = admission.Enter(AccessClass::kWrite);
  for (int drains = 1; drains <= 255; drains++) {
    ASSERT_TRUE(admission.BeginDrain(kFullAccess));
    const auto later = admission.Enter(AccessClass::kWrite);
    EXPECT_EQ(*later, *hung + static_cast<unsigned>(drains));
    EXPECT_EQ(admission.epoch(), *later);
    EXPECT_TRUE(admission.HasDrained(*hung));
    EXPECT_EQ(admission.draining(), 1u);
    EXPECT_FALSE(admission.Leave(*later));
  }
  EXPECT_TRUE(admission.Leave(*hung));
}

// What a dead owner had on its way is gone; a drain that waited for it has ended.
TEST(Admission, TenureOfTheNext) {
  Admission admission;
  admission.SetAccess(kFullAccess);
  EXPECT_TRUE(admission.Enter(AccessClass::kWrite));
  ASSERT_TRUE(admission.BeginDrain(kReadOnly));
  EXPECT_TRUE(admission.Enter(AccessClass::kRead));
  const Admission::Epoch epoch = admission.epoch();
  bool ended_drain = false;
  const Admission::Tenure tenure = admission.BeginTenure(&ended_drain);
  EXPECT_TRUE(ended_drain);
  EXPECT_EQ(admission.in_flight(), 0u);
  EXPECT_EQ(admission.access(), kReadOnly) << "as the publisher left it";
  EXPECT_EQ(admission.epoch(), epoch);
  EXPECT_EQ(admission.Enter(AccessClass::kRead), std::nullopt) << "the first tenure is over";
  EXPECT_EQ(admission.Enter(AccessClass::kWrite, tenure), std::nullopt);
  EXPECT_EQ(admission.Enter(AccessClass::kRead, tenure), epoch);
  EXPECT_EQ(admission.in_flight(), 1u);
  admission.BeginTenure(&ended_drain);
  EXPECT_FALSE(ended_drain);
}

// Not while a command is on its way, of whichever epoch.
TEST(Admission, EndOfATenure) {
  Admission admission;
  admission.SetAccess(kFullAccess);
  const auto write = admission.Enter(AccessClass::kWrite);
  EXPECT_FALSE(admission.EndTenure());
  ASSERT_TRUE(admission.BeginDrain(kFullAccess));
  EXPECT_FALSE(admission.EndTenure());
  EXPECT_TRUE(admission.Leave(*write));
  EXPECT_TRUE(admission.Enter(AccessClass::kWrite)) << "as before";
  EXPECT_FALSE(admission.EndTenure());
  admission.Leave(admission.epoch());
  EXPECT_TRUE(admission.EndTenure());
  EXPECT_EQ(admission.Enter(AccessClass::kWrite), std::nullopt);
  EXPECT_EQ(admission.Enter(AccessClass::kWrite, Admission::kNoTenure), std::nullopt);
  admission.SetAccess(kReadOnly);
  ASSERT_TRUE(admission.BeginDrain(kReadOnly)) << "a publisher goes on";
  EXPECT_EQ(admission.Enter(AccessClass::kRead), std::nullopt);
  bool ended_drain = false;
  EXPECT_TRUE(admission.Enter(AccessClass::kRead, admission.BeginTenure(&ended_drain)));
}

// No number comes again, and none is that of nobody. The word has room for 32.
TEST(Admission, TenuresDiffer) {
  Admission admission;
  admission.SetAccess(kFullAccess);
  bool ended_drain = false;
  std::vector<Admission::Tenure> tenures = {Admission::kFirstTenure};
  for (int i = 0; i < 150; i++) {
    ASSERT_TRUE(admission.EndTenure());
    tenures.push_back(admission.BeginTenure(&ended_drain));
    for (size_t j = 0; j < tenures.size(); j++) {
      EXPECT_EQ(admission.Enter(AccessClass::kRead, tenures[j]).has_value(),
                j == tenures.size() - 1);
    }
    EXPECT_EQ(admission.tenure(), tenures.back());
    admission.Leave(admission.epoch());
    ASSERT_EQ(admission.in_flight(), 0u) << "who did not get in is not counted";
  }
}

TEST(Admission, ManyCommands) {
  constexpr int kCommands = 1022 * 1024;  // all queues of virtio-scsi full
  Admission admission;
  admission.SetAccess(kReadOnly);
  for (int i = 0; i < kCommands; i++) ASSERT_TRUE(admission.Enter(AccessClass::kRead));
  ASSERT_TRUE(admission.BeginDrain(kFullAccess));
  EXPECT_EQ(admission.draining(), unsigned{kCommands});
  for (int i = 0; i < kCommands - 1; i++) ASSERT_FALSE(admission.Leave(0));
  EXPECT_TRUE(admission.Leave(0));
  EXPECT_EQ(admission.access(), kReadOnly);
}

TEST(Admission, WhyRefused) {
  Admission admission;
  WhyNot why{};
  const auto refused = [&](AccessClass access, Admission::Tenure tenure) {
    EXPECT_FALSE(admission.Enter(access, tenure, &why));
    const auto looked = admission.Refuses(access, tenure);
    EXPECT_EQ(looked.value_or(WhyNot::kFull), why) << "looking says the same";
    return why;
  };
  const Admission::Tenure first = Admission::kFirstTenure;
  admission.SetAccess(kReadOnly);
  EXPECT_EQ(refused(AccessClass::kWrite, first), WhyNot::kNoAccess);
  EXPECT_EQ(refused(AccessClass::kRead, Admission::kNoTenure), WhyNot::kNotOwner);
  EXPECT_EQ(refused(AccessClass::kRead, 1), WhyNot::kNotOwner);
  EXPECT_EQ(refused(AccessClass::kRead, 32), WhyNot::kNotOwner) << "the word has the same bits";
  admission.SetAccess(kReadOnly | kInformationLost);
  EXPECT_EQ(refused(AccessClass::kWrite, first), WhyNot::kInformationLost);
  EXPECT_EQ(admission.Refuses(AccessClass::kRead, first), std::nullopt);
  admission.Hold(0);
  EXPECT_EQ(refused(AccessClass::kRead, first), WhyNot::kHeld);
  EXPECT_EQ(refused(AccessClass::kRead, 1), WhyNot::kNotOwner);
  EXPECT_EQ(admission.access(), kHeld);
  admission.SetAccess(kReadOnly);
  for (int i = 0; i < (1 << 20) - 1; i++) ASSERT_TRUE(admission.Enter(AccessClass::kRead));
  EXPECT_EQ(refused(AccessClass::kRead, first), WhyNot::kFull);
}

// Another process may write there what it likes: nothing wraps into what it is not.
TEST(Admission, GarbageStaysWhereItIs) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; i++) {
    Admission admission;
    std::array<uint64_t, sizeof admission / sizeof(uint64_t)> words;
    for (uint64_t& word : words) {
      word = random();
      // Often at an end of its range.
      if (random() % 4 == 0) word |= ~uint64_t{0} << random() % 64;
      if (random() % 4 == 0) word &= (uint64_t{1} << random() % 64) - 1;
    }
    memcpy(static_cast<void*>(&admission), words.data(), sizeof admission);
    const auto access = admission.access();
    const auto in_flight = admission.in_flight();
    const auto epoch = admission.epoch();
    admission.Leave(random());
    ASSERT_LE(admission.in_flight(), in_flight);
    ASSERT_GE(admission.in_flight() + 1, in_flight);
    const auto entered = admission.Enter(AccessClass::kWrite, admission.tenure());
    ASSERT_LE(admission.in_flight(), in_flight + 1);
    if (entered) admission.Leave(*entered);
    ASSERT_EQ(admission.access(), access);
    ASSERT_EQ(admission.epoch(), epoch);
    if (admission.BeginDrain(kReadOnly)) {
      ASSERT_EQ(admission.epoch(), epoch + 1);
      ASSERT_GE(admission.draining() + 1, std::min(in_flight, (1u << 20) - 1));
    }
    bool ended_drain = false;
    admission.EndTenure();
    admission.BeginTenure(&ended_drain);
    ASSERT_EQ(admission.in_flight(), 0u);
  }
}

// The promise itself, under threads: once the drain has ended, nobody is
// between Enter() and Leave() who entered before it, nor anybody at all if the
// access was taken away.
TEST(Admission, NobodyIsInsideAfterADrain) {
  constexpr int kThreads = 2;
  constexpr int kRounds = 1000;
  Admission admission;
  std::atomic<int> inside{0};
  std::atomic<bool> stop{false};
  std::atomic<bool> shut{false};
  std::atomic<int> violations{0};
  const auto work = [&] {
    while (!stop.load()) {
      const auto epoch = admission.Enter(AccessClass::kWrite);
      if (!epoch) {
        std::this_thread::yield();
        continue;
      }
      inside.fetch_add(1);
      violations += shut.load();
      inside.fetch_sub(1);
      admission.Leave(*epoch);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; i++) threads.emplace_back(work);
  for (int i = 0; i < kRounds; i++) {
    admission.SetAccess(kFullAccess);
    std::this_thread::yield();
    ASSERT_TRUE(admission.BeginDrain(kReadOnly));
    while (admission.draining() != 0) std::this_thread::yield();
    shut = true;
    for (int look = 0; look < 10; look++) {
      violations += inside.load() != 0;
      std::this_thread::yield();
    }
    shut = false;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(violations.load(), 0);
  EXPECT_EQ(admission.in_flight(), 0u);
}

}  // namespace
}  // namespace scsi_pr
