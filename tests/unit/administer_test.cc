// SPDX-License-Identifier: GPL-2.0-or-later
//
// An administrator at a store (server/administration.h), and what the attached
// hear of changes and failures (NexusListener).
#include "server/administration.h"

#include <future>

#include "attached_store.h"
#include "core/document.h"
#include "core/legacy.h"
#include "other_process.h"
#include "store/failures.h"

namespace scsi_pr {
namespace {

using namespace testing;
using namespace std::chrono_literals;
using Code = Status::Code;

class AdministerTest : public AttachedStoreTest {
 protected:
  Status Preempt(uint64_t key) { return administration::Preempt(*store_, key, waiting_); }
  Status Load(const State& state, bool force = false) {
    return administration::Load(*store_, EncodeDocument(state), force, waiting_);
  }
  State Saved() {
    Snapshot snapshot;
    EXPECT_TRUE(store_->Look(&snapshot).ok());
    const std::string document = EncodeDocument(snapshot.state);
    State state;
    EXPECT_TRUE(DecodeDocument(document, &state).ok()) << document;
    return state;
  }
  void ExpectError(const Status& status, Code code, std::string_view text) {
    EXPECT_EQ(status.code(), code);
    EXPECT_NE(status.message().find(text), std::string::npos) << status.message();
    EXPECT_NE(status.hint(), "") << status.message();
  }
  void ReserveForA(Type type) {
    RegisterAll();
    EXPECT_EQ(Send(A(), Reserve(kKeyA, type)), ScsiStatus::kGood);
  }
  void SendReserve6(const Nexus& nexus) {
    Outcome outcome;
    const auto reserve = [&](const State& state) {
      return ApplyLegacy(state, nexus, LegacyAction::kReserve);
    };
    EXPECT_TRUE(store_->Update(reserve, {}, &outcome).ok());
    EXPECT_EQ(outcome.status, ScsiStatus::kGood);
  }
};

INSTANTIATE_TEST_SUITE_P(Uri, AdministerTest, ::testing::Values("memory", "file", "cluster"),
                         [](const auto& scheme) { return std::string(scheme.param); });

TEST_P(AdministerTest, PreemptIsAFencing) {
  ReserveForA(kWERO);
  const auto write = b().slot->Enter(AccessClass::kWrite);
  auto done = std::async(std::launch::async, [&] { return Preempt(kKeyB); });
  EXPECT_TRUE(Eventually([&] { return !Writes(b()); })) << "shut";
  EXPECT_EQ(done.wait_for(50ms), std::future_status::timeout) << "waits for what is on its way";
  EXPECT_NE(Read().Find(B()), nullptr);
  b().slot->Leave(*write);
  EXPECT_TRUE(done.get().ok());
  EXPECT_EQ(Read(), State(Given()
                              .Registered(A(), kKeyA)
                              .Registered(C(), kKeyC)
                              .Reserved(kWERO, A())
                              .Generation(4)));
  EXPECT_FALSE(Writes(b()));
  EXPECT_EQ(b().slot->unit_attentions().Take(), sense::kRegistrationsPreempted);
  EXPECT_TRUE(Eventually([&] { return b().preemptions == 1 && b().fencings == 1; }));
}

// Nobody is there to take it over: then nothing keeps the old holder out either.
TEST_P(AdministerTest, PreemptedHoldersReservationIsReleased) {
  ReserveForA(kWERO);
  EXPECT_TRUE(Preempt(kKeyA).ok());
  EXPECT_EQ(Read(), State(Given().Registered(B(), kKeyB).Registered(C(), kKeyC).Generation(4)));
  EXPECT_EQ(a().slot->unit_attentions().Take(), sense::kRegistrationsPreempted);
  EXPECT_EQ(b().slot->unit_attentions().Take(), sense::kReservationsReleased);
  EXPECT_TRUE(Writes(a()));
}

TEST_P(AdministerTest, PreemptGivesUpWithNothingChanged) {
  ReserveForA(kWERO);
  const State before = Read();
  const auto write = a().slot->Enter(AccessClass::kWrite);
  waiting_.abort_timeout = 30ms;
  EXPECT_EQ(Preempt(kKeyA).code(), Code::kBusy);
  EXPECT_EQ(Read(), before);
  EXPECT_TRUE(Writes(a()));
  a().slot->Leave(*write);
  EXPECT_TRUE(Preempt(kKeyA).ok());
}

TEST_P(AdministerTest, PreemptErrors) {
  ExpectError(Preempt(kKeyA), Code::kInvalid, "key 0x000000000000000a");
  ReserveForA(kWE);
  ExpectError(Preempt(kKeyD), Code::kInvalid, "key 0x000000000000000d");
  ExpectError(Preempt(0), Code::kInvalid, "key 0 ");
  EXPECT_TRUE(administration::Clear(*store_, waiting_).ok());
  SendReserve6(A());
  ExpectError(Preempt(kKeyA), Code::kInvalid, "RESERVE");
}

TEST_P(AdministerTest, Clear) {
  ReserveForA(kWE);
  EXPECT_FALSE(Writes(b()));
  EXPECT_TRUE(administration::Clear(*store_, waiting_).ok());
  EXPECT_EQ(Read(), State(Given().Generation(4)));
  EXPECT_TRUE(Writes(b()));
  EXPECT_EQ(a().slot->unit_attentions().Take(), sense::kReservationsPreempted);
  SendReserve6(A());
  EXPECT_TRUE(administration::Clear(*store_, waiting_).ok());
  EXPECT_EQ(Read().legacy_holder, std::nullopt);
  EXPECT_EQ(a().slot->unit_attentions().Take(), sense::kBusDeviceResetFunctionOccurred);
}

TEST_P(AdministerTest, SaveAndLoad) {
  ReserveForA(kEA);
  const State saved = Saved();
  EXPECT_EQ(saved, Read());
  EXPECT_TRUE(administration::Clear(*store_, waiting_).ok());
  EXPECT_TRUE(Load(saved).ok()) << "nobody loses anything";
  State expected = saved;
  expected.generation = 5;
  EXPECT_EQ(Read(), expected);
  EXPECT_FALSE(b().slot->Enter(AccessClass::kRead)) << "in force";
  EXPECT_TRUE(Load(saved).ok());
  EXPECT_EQ(Read(), expected) << "the same again changes nothing";
}

TEST_P(AdministerTest, LoadIsRefusedWhileSomebodyAttachedLoses) {
  ReserveForA(kWE);
  const State before = Read();
  const Status refusal = Load(Given().Registered(B(), kKeyB));
  ExpectError(refusal, Code::kInUse, A().initiator.ToText());
  ExpectError(refusal, Code::kInUse, "(process " + std::to_string(getpid()));
  ExpectError(refusal, Code::kInUse, ", owner)");
  EXPECT_NE(refusal.message().find(C().initiator.ToText()), std::string::npos);
  EXPECT_EQ(refusal.message().find(B().initiator.ToText()), std::string::npos) << "loses nothing";
  EXPECT_EQ(Read(), before);
  // Who is not attached cannot keep an administrator from it.
  store_->Detach(std::exchange(owners_[0]->slot, nullptr));
  store_->Detach(std::exchange(owners_[2]->slot, nullptr));
  std::erase_if(owners_, [](const auto& owner) { return owner->slot == nullptr; });
  EXPECT_TRUE(Load(Given().Registered(B(), kKeyB)).ok());
  EXPECT_EQ(Read().registrations.size(), 1u);
}

TEST_P(AdministerTest, ForcedLoadIsAFencing) {
  ReserveForA(kWE);
  const auto write = a().slot->Enter(AccessClass::kWrite);
  auto done = std::async(std::launch::async, [&] {
    return Load(Given().Registered(B(), kKeyB).Reserved(kWE, B()), true);
  });
  EXPECT_TRUE(Eventually([&] { return !Writes(a()); }));
  EXPECT_EQ(done.wait_for(50ms), std::future_status::timeout);
  a().slot->Leave(*write);
  EXPECT_TRUE(done.get().ok());
  EXPECT_FALSE(Writes(a()));
  EXPECT_TRUE(Writes(b()));
  EXPECT_EQ(a().slot->unit_attentions().Take(), sense::kRegistrationsPreempted);
}

TEST_P(AdministerTest, LoadRefusesWhatIsNoDocument) {
  ReserveForA(kWE);
  const State before = Read();
  const std::string good = EncodeDocument(State());
  const std::string newer = R"({"format":"scsi-pr","schema":99,"checksum":"","state":{}})";
  for (const bool force : {false, true}) {
    const auto load = [&](std::string_view document) {
      return administration::Load(*store_, document, force, waiting_).code();
    };
    EXPECT_EQ(load(""), Code::kCorrupt);
    EXPECT_EQ(load("{}"), Code::kCorrupt);
    EXPECT_EQ(load(good.substr(0, good.size() - 1)), Code::kCorrupt);
    EXPECT_EQ(load(newer), Code::kUnsupported);
    ExpectError(Load(Given().Lost(), force), Code::kInvalid, "lost");
  }
  EXPECT_EQ(Read(), before);
}

// As REGISTER with APTPL, which such a store refuses.
TEST_P(AdministerTest, LoadOfAptplNeedsAStoreThatPersists) {
  const Status status = Load(Given().Registered(A(), kKeyA).Aptpl());
  if (store_->capabilities().persist_through_power_loss) {
    EXPECT_TRUE(status.ok()) << status.message();
  } else {
    ExpectError(status, Code::kInvalid, "APTPL");
  }
}

TEST_P(AdministerTest, WhoIsAttached) {
  const auto write = b().slot->Enter(AccessClass::kWrite);
  std::vector<Attachment> attached = store_->Attached();
  ASSERT_EQ(attached.size(), 3u);
  EXPECT_EQ(attached[1].nexus, B());
  EXPECT_TRUE(attached[1].live);
  EXPECT_EQ(attached[1].commands, 1u);
  EXPECT_EQ(attached[0].commands, 0u);
  EXPECT_FALSE(attached[1].being_fenced);
  RegisterAll();
  auto fencing = std::async(std::launch::async, [&] { return Preempt(kKeyB); });
  EXPECT_TRUE(Eventually([&] { return store_->Attached()[1].being_fenced; }));
  Snapshot snapshot;
  EXPECT_TRUE(store_->Look(&snapshot).ok());
  EXPECT_TRUE(snapshot.attached[1].being_fenced);
  b().slot->Leave(*write);
  EXPECT_TRUE(fencing.get().ok());
  EXPECT_FALSE(store_->Attached()[1].being_fenced);
}

TEST_P(AdministerTest, FencingsAreTold) {
  RegisterAll();
  const std::vector<std::string>& told = fencings_.told;
  EXPECT_TRUE(Preempt(kKeyA).ok());
  EXPECT_EQ(told, (std::vector<std::string>{"begun", "committed"}));
  const auto write = b().slot->Enter(AccessClass::kWrite);
  waiting_.abort_timeout = 5ms;
  EXPECT_EQ(Preempt(kKeyB).code(), Code::kBusy);
  EXPECT_EQ(told, (std::vector<std::string>{"begun", "committed", "begun", "given up"}));
  b().slot->Leave(*write);
  EXPECT_TRUE(administration::Clear(*store_, waiting_).ok());
  EXPECT_EQ(told.size(), 4u) << "nobody was waited for";
}

// Every change, whoever made it, to everybody; and nothing that changes nothing.
TEST_P(AdministerTest, ChangesAreTold) {
  RegisterAll();
  for (const auto& owner : owners_) {
    EXPECT_TRUE(Eventually([&] { return owner->changes == 3 && owner->generation == 3; }));
  }
  EXPECT_EQ(Send(A(), Clear(kKeyB)), ScsiStatus::kReservationConflict);
  EXPECT_EQ(Read().registrations.size(), 3u);
  Owner& late = Attach(D());
  EXPECT_EQ(Send(A(), Clear(kKeyA)), ScsiStatus::kGood);
  for (const auto& owner : owners_) EXPECT_TRUE(Eventually([&] { return owner->generation == 4; }));
  EXPECT_EQ(a().changes, 4u);
  EXPECT_EQ(late.changes, 1u) << "what was before it is no change";
}

// Also those that come faster than the watcher looks.
TEST_P(AdministerTest, EveryPreemptionIsTold) {
  constexpr int kTimes = 50;
  for (int i = 0; i < kTimes; i++) {
    EXPECT_EQ(Send(B(), Register(0, kKeyB)), ScsiStatus::kGood);
    EXPECT_TRUE(Preempt(kKeyB).ok());
    EXPECT_EQ(b().slot->unit_attentions().Take(), sense::kRegistrationsPreempted);
  }
  EXPECT_TRUE(Eventually([&] { return b().preemptions == kTimes; })) << b().preemptions;
}

class FailingStoreTest : public AdministerTest {
 protected:
  void SetUp() override {
    AdministerTest::SetUp();
    other_ = std::make_unique<OtherProcess>(path_);
  }
  Status Look() {
    std::shared_ptr<const Record> record;
    return store_->Read(&record);
  }
  // Told to all, once.
  void ExpectTold(const std::string& message) {
    for (const auto& owner : owners_) EXPECT_EQ(owner->TakeFailures(), std::vector{message});
  }
  void ExpectNothingTold() {
    for (const auto& owner : owners_) EXPECT_TRUE(owner->TakeFailures().empty());
  }

  std::unique_ptr<OtherProcess> other_;
};

INSTANTIATE_TEST_SUITE_P(Uri, FailingStoreTest, ::testing::Values("file"),
                         [](const auto& scheme) { return std::string(scheme.param); });

TEST_P(FailingStoreTest, IsToldOnceUntilItWorksAgain) {
  RegisterAll();
  for (int i = 0; i < 2; i++) {
    other_->Spoil();
    const Status status = Look();
    EXPECT_FALSE(status.ok());
    ExpectTold(status.message());
    EXPECT_FALSE(Look().ok());
    EXPECT_FALSE(Preempt(kKeyA).ok());
    EXPECT_FALSE(administration::Clear(*store_, waiting_).ok());
    Snapshot snapshot;
    EXPECT_FALSE(store_->Look(&snapshot).ok());
    ExpectNothingTold();
    other_->Heal();
    EXPECT_TRUE(Look().ok());
    ExpectNothingTold();
  }
}

TEST(Failures, AreNewsOnceEachStepByItself) {
  const auto error = [](const char* message) { return Status::Error(Code::kIo, message); };
  Failures failures;
  EXPECT_FALSE(failures.IsNews(Failures::Step::kLoad, Status()));
  EXPECT_TRUE(failures.IsNews(Failures::Step::kSave, error("full")));
  EXPECT_FALSE(failures.IsNews(Failures::Step::kLoad, Status())) << "a full disk can be read";
  EXPECT_FALSE(failures.IsNews(Failures::Step::kSave, error("full")));
  EXPECT_TRUE(failures.IsNews(Failures::Step::kSave, error("read-only"))) << "another one";
  EXPECT_TRUE(failures.IsNews(Failures::Step::kSave, error("full")));
  EXPECT_FALSE(failures.IsNews(Failures::Step::kSave, Status()));
  EXPECT_TRUE(failures.IsNews(Failures::Step::kSave, error("full"))) << "it has worked";
}

// A fencer died with the gates shut: nobody sends a command, the watcher repairs.
TEST_P(FailingStoreTest, RepairsThatFailAreTold) {
  other_->Spoil();
  b().slot->BeginDrain(0);
  auto* gate = reinterpret_cast<Gate*>(reinterpret_cast<char*>(a().slot) - offsetof(Gate, slots));
  gate->fencing.store(99);
  gate->doorbell.Ring();
  EXPECT_TRUE(Eventually([&] {
    const std::lock_guard lock(c().mutex);
    return !c().failures.empty();
  }));
  other_->Heal();
  EXPECT_TRUE(Eventually([&] { return gate->fencing == 0; }));
  EXPECT_EQ(c().TakeFailures().size(), 1u);
  EXPECT_TRUE(Writes(b()));
}

// A stopped process that holds the right to change; it is no failure of the
// store's that tasks do not end.
TEST_P(FailingStoreTest, ALockThatIsNotLetGo) {
  RegisterAll();
  const auto write = b().slot->Enter(AccessClass::kWrite);
  waiting_.abort_timeout = 5ms;
  EXPECT_EQ(Preempt(kKeyB).code(), Code::kBusy);
  ExpectNothingTold();
  b().slot->Leave(*write);
  ASSERT_EQ(other_->locks().TryLockChange(), Locked::kYes);
  const Status status = administration::Clear(*store_, waiting_);
  EXPECT_EQ(status.code(), Code::kBusy);
  ExpectTold(status.message());
  waiting_.cancelled = [] { return true; };
  EXPECT_EQ(administration::Clear(*store_, waiting_).code(), Code::kBusy);
  ExpectNothingTold();
  other_->locks().UnlockChange();
  waiting_.cancelled = [] { return false; };
  EXPECT_TRUE(administration::Clear(*store_, waiting_).ok());
}

}  // namespace
}  // namespace scsi_pr
