// SPDX-License-Identifier: GPL-2.0-or-later
//
// What store/store.h promises of every store.
#include "store/store.h"

#include <unistd.h>

#include <thread>

#include "core/legacy.h"
#include "eventually.h"
#include "fake_agent.h"
#include "temporary_directory.h"
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;
using Code = Status::Code;

std::shared_ptr<Store> Open(const std::string& uri,
                            const Store::OpenOptions& options = Store::OpenMode::kCreate) {
  std::shared_ptr<Store> store;
  const Status status = Store::Open(uri, options, &store);
  EXPECT_TRUE(status.ok()) << uri << ": " << status.message();
  return store;
}

class StoreTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (Kind() == "cluster") host_ = std::make_unique<OneHost>();
    store_ = OpenAgain();
  }

  std::shared_ptr<Store> OpenAgain() {
    if (host_) return Open("cluster:" + host_->cluster.name, host_->Options());
    return Open(IsFile() ? "file:" + (directory_ / "lu.pr") : "memory:store-test");
  }

  GateSlot* Attach(const Nexus& nexus) {
    GateSlot* slot = nullptr;
    const Status status =
        store_->Attach(nexus, "device of the test", Store::AttachMode::kNew, nullptr, &slot);
    EXPECT_TRUE(status.ok()) << status.message();
    return slot;
  }
  Outcome Send(const Nexus& nexus, const PersistentReserveOut& command) {
    Outcome outcome;
    const Status status = store_->Update(
        [&](const State& state) { return Apply(state, store_->capabilities(), nexus, command); },
        {}, &outcome);
    EXPECT_TRUE(status.ok()) << status.message();
    return outcome;
  }
  ScsiStatus Send(const Nexus& nexus, LegacyAction action) {
    Outcome outcome;
    const Status status = store_->Update(
        [&](const State& state) { return ApplyLegacy(state, nexus, action); }, {}, &outcome);
    EXPECT_TRUE(status.ok()) << status.message();
    return outcome.status;
  }
  State Read() {
    std::shared_ptr<const Record> snapshot;
    const Status status = store_->Read(&snapshot);
    EXPECT_TRUE(status.ok()) << status.message();
    return snapshot->state;
  }
  static std::string Kind() { return GetParam(); }
  static bool IsFile() { return Kind() == "file"; }

  const TemporaryDirectory directory_;
  std::unique_ptr<OneHost> host_;  // of a cluster: store
  std::shared_ptr<Store> store_;
};

INSTANTIATE_TEST_SUITE_P(Uri, StoreTest, ::testing::Values("memory", "file", "cluster"),
                         [](const auto& scheme) { return std::string(scheme.param); });

TEST_P(StoreTest, StartsEmpty) {
  GateSlot* slot = Attach(A());
  EXPECT_EQ(Read(), State{});
  EXPECT_TRUE(slot->admission().Admits(AccessClass::kWrite));
  EXPECT_EQ(slot->unit_attentions().Take(), std::nullopt);
  store_->Detach(slot);
}

TEST_P(StoreTest, ListsWhoIsAttached) {
  GateSlot* a = Attach(A());
  GateSlot* b = Attach(B());
  Snapshot snapshot;
  ASSERT_TRUE(store_->Look(&snapshot).ok());
  ASSERT_EQ(snapshot.attached.size(), 2u);
  EXPECT_EQ(snapshot.attached[0].nexus, A());
  EXPECT_EQ(snapshot.attached[1].nexus, B());
  EXPECT_EQ(snapshot.attached[0].process_id, static_cast<uint32_t>(getpid()));
  EXPECT_EQ(snapshot.attached[0].owner, "device of the test");
  store_->Detach(a);
  ASSERT_TRUE(store_->Look(&snapshot).ok());
  ASSERT_EQ(snapshot.attached.size(), 1u);
  EXPECT_EQ(snapshot.attached[0].nexus, B());
  store_->Detach(b);
}

TEST_P(StoreTest, ChangesAreInForceForAll) {
  GateSlot* a = Attach(A());
  GateSlot* b = Attach(B());
  Send(A(), Register(0, kKeyA));
  EXPECT_EQ(Send(A(), Reserve(kKeyA, kEA)).status, ScsiStatus::kGood);
  EXPECT_TRUE(a->admission().Admits(AccessClass::kWrite));
  EXPECT_FALSE(b->admission().Admits(AccessClass::kRead));
  // Who attaches later is under the same reservation.
  GateSlot* c = Attach(C());
  EXPECT_FALSE(c->admission().Admits(AccessClass::kRead));
  for (GateSlot* slot : {a, b, c}) store_->Detach(slot);
}

TEST_P(StoreTest, RefusedCommandsChangeNothing) {
  GateSlot* a = Attach(A());
  Send(A(), Register(0, kKeyA));
  const State before = Read();
  EXPECT_EQ(Send(A(), Clear(kKeyB)).status, ScsiStatus::kReservationConflict);
  EXPECT_EQ(Read(), before);
  store_->Detach(a);
}

TEST_P(StoreTest, UnitAttentionsReachTheirNexusOnce) {
  GateSlot* a = Attach(A());
  GateSlot* b = Attach(B());
  Send(A(), Register(0, kKeyA));
  Send(B(), Register(0, kKeyB));
  Send(A(), Preempt(kKeyA, kKeyB, kWE));
  EXPECT_EQ(b->unit_attentions().Take(), sense::kRegistrationsPreempted);
  Read();
  EXPECT_EQ(b->unit_attentions().Take(), std::nullopt);
  EXPECT_EQ(a->unit_attentions().Take(), std::nullopt);
  for (GateSlot* slot : {a, b}) store_->Detach(slot);
}

TEST_P(StoreTest, OneNexusOnce) {
  GateSlot* slot = Attach(A());
  GateSlot* other = nullptr;
  const Status status =
      store_->Attach(A(), "another device", Store::AttachMode::kNew, nullptr, &other);
  EXPECT_EQ(status.code(), Code::kInUse);
  EXPECT_NE(status.message().find("process " + std::to_string(getpid())), std::string::npos);
  EXPECT_NE(status.message().find("device of the test"), std::string::npos);
  EXPECT_FALSE(status.hint().empty());
  store_->Detach(slot);
  store_->Detach(Attach(A()));
}

// While a nexus shows a medium, none with another one is attached; unless somebody
// insists, or it is not known what it shows.
TEST_P(StoreTest, OneMedium) {
  const Attacher one("VM a", "file:8:1:100", "one.img"), other("VM b", "file:8:1:101", "other.img");
  const auto attaches = [this](const Attacher& owner) {
    GateSlot* slot = nullptr;
    const Status status = store_->Attach(B(), owner, Store::AttachMode::kNew, nullptr, &slot);
    if (status.ok()) {
      store_->Detach(slot);
    } else {
      EXPECT_EQ(status.code(), Code::kInUse);
      for (const char* part : {"VM b", "VM a", "other.img"}) {
        EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
      }
      EXPECT_NE(status.hint().find("pr-accept-medium=on"), std::string::npos);
    }
    return status.ok();
  };
  GateSlot* a = nullptr;
  ASSERT_TRUE(store_->Attach(A(), one, Store::AttachMode::kNew, nullptr, &a).ok());
  Attacher insists = other;
  insists.accept_medium = true;
  EXPECT_TRUE(attaches({"VM b", one.medium}));
  EXPECT_TRUE(attaches("VM b"));
  EXPECT_FALSE(attaches(other));
  EXPECT_TRUE(attaches(insists));
  ASSERT_TRUE(store_->SetMedium(a, other.medium, other.medium_name).ok());
  EXPECT_TRUE(attaches(other));
  store_->Detach(a);
  // Who is gone does not count: a disk may get a new file.
  EXPECT_TRUE(attaches(other));
}

// Whoever has the slot next: what the one before still had to do was of its own medium.
TEST_P(StoreTest, MediumOfWhoTakesALeftSlot) {
  const std::shared_ptr<Store> other = Open("memory:");
  const Attacher owner("VM a", "file:8:1:100", "one.img");
  const std::jthread comes_and_goes([&](const std::stop_token& enough) {
    while (!enough.stop_requested()) store_->Detach(Attach(B()));
  });
  for (int i = 0; i < 500 && !HasFailure(); i++) {
    GateSlot* a = nullptr;
    GateSlot* elsewhere = nullptr;
    ASSERT_TRUE(store_->Attach(A(), owner, Store::AttachMode::kNew, nullptr, &a).ok());
    EXPECT_EQ(other->Attach(C(), owner, Store::AttachMode::kNew, nullptr, &elsewhere).code(),
              Code::kInUse);
    if (elsewhere != nullptr) other->Detach(elsewhere);
    store_->Detach(a);
  }
}

TEST_P(StoreTest, RegistrationSurvivesDetach) {
  Clause("5.6.3: nexus loss and resets");
  GateSlot* a = Attach(A());
  GateSlot* b = Attach(B());
  Send(A(), Register(0, kKeyA));
  Send(A(), Reserve(kKeyA, kWE));
  store_->Detach(a);
  EXPECT_TRUE(Read().IsHolder(A()));
  EXPECT_FALSE(b->admission().Admits(AccessClass::kWrite));
  a = Attach(A());
  EXPECT_TRUE(a->admission().Admits(AccessClass::kWrite));
  EXPECT_EQ(Read().generation, 1u) << "no power on while B was attached";
  for (GateSlot* slot : {a, b}) store_->Detach(slot);
}

// 5.6.3: the first nexus powers the logical unit on.
TEST_P(StoreTest, PowerOnWithoutAptpl) {
  Clause("5.6.3: power cycle without APTPL");
  GateSlot* a = Attach(A());
  Send(A(), Register(0, kKeyA));
  Send(A(), Reserve(kKeyA, kWE));
  store_->Detach(a);
  GateSlot* b = Attach(B());
  EXPECT_EQ(Read(), State{});
  EXPECT_TRUE(b->admission().Admits(AccessClass::kWrite));
  store_->Detach(b);
}

// SPC-2 5.5.1.
TEST_P(StoreTest, LegacyReservationIsInForceForAll) {
  GateSlot* a = Attach(A());
  GateSlot* b = Attach(B());
  EXPECT_EQ(Send(A(), LegacyAction::kReserve), ScsiStatus::kGood);
  EXPECT_EQ(Read().legacy_holder, A());
  EXPECT_TRUE(a->admission().Admits(AccessClass::kWrite));
  EXPECT_FALSE(b->admission().Admits(AccessClass::kTestUnitReady));
  GateSlot* c = Attach(C());
  EXPECT_FALSE(c->admission().Admits(AccessClass::kTestUnitReady));
  EXPECT_EQ(Send(B(), LegacyAction::kReserve), ScsiStatus::kReservationConflict);
  EXPECT_EQ(Send(A(), LegacyAction::kRelease), ScsiStatus::kGood);
  EXPECT_TRUE(b->admission().Admits(AccessClass::kWrite));
  EXPECT_EQ(Read(), State{});
  for (GateSlot* slot : {a, b, c}) store_->Detach(slot);
}

// Whoever reads, changes or attaches next releases what nobody holds any more.
TEST_P(StoreTest, LegacyReservationEndsWithItsHolder) {
  GateSlot* b = Attach(B());
  const auto reserve_and_leave = [&] {
    GateSlot* a = Attach(A());
    EXPECT_EQ(Send(A(), LegacyAction::kReserve), ScsiStatus::kGood);
    store_->Detach(a);
    // It is the daemon that sees it, soon.
    const auto seen = [&] { return !host_ || !host_->agent.IsAttached(A()); };
    EXPECT_TRUE(Eventually(seen));
  };
  reserve_and_leave();
  EXPECT_EQ(Read(), State{});
  EXPECT_TRUE(b->admission().Admits(AccessClass::kWrite));
  EXPECT_EQ(b->unit_attentions().Take(), std::nullopt);

  reserve_and_leave();
  EXPECT_EQ(Send(B(), LegacyAction::kReserve), ScsiStatus::kGood);
  EXPECT_TRUE(b->admission().Admits(AccessClass::kWrite));
  EXPECT_EQ(Send(B(), LegacyAction::kRelease), ScsiStatus::kGood);

  reserve_and_leave();
  GateSlot* again = Attach(A());
  EXPECT_EQ(Read(), State{}) << "it comes back without it";
  for (GateSlot* slot : {again, b}) store_->Detach(slot);
}

TEST_P(StoreTest, LogicalUnitResetTellsTheHolder) {
  GateSlot* a = Attach(A());
  GateSlot* b = Attach(B());
  Send(A(), LegacyAction::kReserve);
  Outcome outcome;
  ASSERT_TRUE(
      store_
          ->Update([](const State& state) { return ApplyReset(state, B(), Reset::kLogicalUnit); },
                   {}, &outcome)
          .ok());
  EXPECT_TRUE(b->admission().Admits(AccessClass::kWrite));
  EXPECT_EQ(a->unit_attentions().Take(), sense::kBusDeviceResetFunctionOccurred);
  Read();
  EXPECT_EQ(a->unit_attentions().Take(), std::nullopt);
  EXPECT_EQ(b->unit_attentions().Take(), std::nullopt);
  for (GateSlot* slot : {a, b}) store_->Detach(slot);
}

// A slot is another nexus's later: nothing of the first may show.
TEST_P(StoreTest, SlotsComeClean) {
  GateSlot* a = Attach(A());
  GateSlot* b = Attach(B());
  Send(A(), Register(0, kKeyA));
  Send(B(), Register(0, kKeyB));
  Send(A(), Preempt(kKeyA, kKeyB, kWE));
  store_->Detach(b);
  GateSlot* c = Attach(C());
  EXPECT_EQ(c->nexus(), C());
  EXPECT_EQ(c->unit_attentions().Take(), std::nullopt);
  for (GateSlot* slot : {a, c}) store_->Detach(slot);
}

TEST_P(StoreTest, NoMoreThanAllSlots) {
  std::vector<GateSlot*> slots;
  for (size_t i = 0; i < Gate::kSlots; i++) slots.push_back(Attach(NumberedNexus(i + 1)));
  GateSlot* slot = nullptr;
  EXPECT_EQ(store_->Attach(A(), "one too many", Store::AttachMode::kNew, nullptr, &slot).code(),
            Code::kInUse);
  store_->Detach(slots.back());
  slots.back() = Attach(A());
  for (GateSlot* each : slots) store_->Detach(each);
}

TEST_P(StoreTest, OneObjectForAllOfAProcess) { EXPECT_EQ(OpenAgain(), store_); }

TEST(StoreUri, Unknown) {
  for (const char* uri : {"", "file", "memory", "/var/lib/x.pr", "nfs://host/x", "FILE:/x",
                          "file:relative", "file:", "file:/", "file:/tmp", ":", "http://x"}) {
    std::shared_ptr<Store> store;
    const Status status = Store::Open(uri, Store::OpenMode::kCreate, &store);
    EXPECT_EQ(status.code(), Code::kInvalid) << uri << ": " << status.message();
    EXPECT_FALSE(status.hint().empty()) << uri;
    EXPECT_EQ(store, nullptr);
  }
}

TEST(StoreUri, MemoryWithoutANameIsPrivate) {
  EXPECT_NE(Open("memory:"), Open("memory:"));
  const auto one = Open("memory:one");
  EXPECT_EQ(one, Open("memory:one"));
  EXPECT_NE(one, Open("memory:two"));
}

}  // namespace
}  // namespace scsi_pr
