// SPDX-License-Identifier: GPL-2.0-or-later
//
// cluster: stores, as QEMU sees them: what the daemon is asked, and what becomes of it when the
// daemon is away, dies, or talks nonsense. What they have in common with other stores is in
// store_test.cc, fence_test.cc, administer_test.cc and hand_over_test.cc; how a nexus goes from
// host to host in cluster_hand_over_test.cc.
#include "cluster/cluster_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>

#include "cluster_store_fixture.h"
#include "core/document.h"
#include "gate/fence.h"

namespace scsi_pr {
namespace {

using namespace testing;
using namespace std::chrono_literals;
using nlohmann::json;
using Clock = std::chrono::steady_clock;
using Code = Status::Code;
using Fault = FakeAgent::Fault;

std::string Frame(const std::string& text) {
  std::string head;
  for (size_t i = 0; i < 4; i++) head += static_cast<char>(text.size() >> 8 * i & 0xFF);
  return head + text;
}

// ---------------------------------------------------------------- Opening

TEST_F(ClusterStoreTest, NamesThatAreNone) {
  for (const std::string& name : {std::string(), std::string("a/b"), std::string("a b"),
                                  std::string("../x"), std::string(161, 'x')}) {
    std::shared_ptr<Store> store;
    const Status status = Store::Open("cluster:" + name, Options(1), &store);
    EXPECT_EQ(status.code(), Code::kInvalid) << name;
    EXPECT_NE(status.message().find("names no logical unit"), std::string::npos);
    EXPECT_FALSE(status.hint().empty());
  }
}

TEST_F(ClusterStoreTest, NoDaemon) {
  agent_.Stop();
  std::shared_ptr<Store> store;
  const auto start = Clock::now();
  const Status status = Store::Open("cluster:quorum", Options(1), &store);
  EXPECT_LT(Clock::now() - start, 4s);
  EXPECT_EQ(status.code(), Code::kIo);
  EXPECT_NE(status.message().find("scsi-prd does not answer at " + runtime_.path()),
            std::string::npos)
      << status.message();
  EXPECT_NE(status.hint().find("systemctl start scsi-prd"), std::string::npos) << status.hint();
  EXPECT_EQ(store, nullptr);
}

TEST_F(ClusterStoreTest, DaemonIsJustStarting) {
  agent_.Stop();
  auto opened = std::async(std::launch::async, [&] {
    std::shared_ptr<Store> store;
    return Store::Open("cluster:quorum", Options(1), &store);
  });
  std::this_thread::sleep_for(200ms);
  agent_.Start();
  EXPECT_TRUE(opened.get().ok());
}

TEST_F(ClusterStoreTest, RefusedByTheDaemon) {
  agent_.SetRaw(Frame(R"({"error":{"code":"invalid","message":"you may not","hint":"Ask."}})"));
  agent_.Expect("open", {Fault::kRaw});
  std::shared_ptr<Store> store;
  const Status status = Store::Open("cluster:quorum", Options(1), &store);
  EXPECT_EQ(status.code(), Code::kInvalid);
  EXPECT_EQ(status.message(), "you may not");
}

// The daemon has said that the memory is there, and it is not: nothing is made in its place.
TEST_F(ClusterStoreTest, TheMemoryIsTheDaemonsToMake) {
  const std::string memory = runtime_.path() + "/scsi-pr-cluster-quorum";
  std::filesystem::rename(memory, memory + ".away");
  std::shared_ptr<Store> store;
  EXPECT_EQ(Store::Open("cluster:quorum", Options(1), &store).code(), Code::kIo);
  EXPECT_FALSE(std::filesystem::exists(memory));
  std::filesystem::copy(memory + ".away", memory);  // of which nobody has a lock
  EXPECT_EQ(Store::Open("cluster:quorum", Options(1), &store).code(), Code::kBusy);
  std::filesystem::rename(memory + ".away", memory);
  EXPECT_TRUE(Store::Open("cluster:quorum", Options(1), &store).ok());
}

TEST_F(ClusterStoreTest, OneObjectForAHostAndOneUse) {
  auto store = Open(1);
  EXPECT_EQ(Open(1), store);
  EXPECT_NE(Open(2), store);
  EXPECT_EQ(agent_.Uses(), 1);
  EXPECT_EQ(store->uri(), "cluster:quorum");
  EXPECT_TRUE(store->capabilities().persist_through_power_loss);
  EXPECT_TRUE(store->capabilities().abort_tasks);
  StoreIdentity identity;
  EXPECT_TRUE(store->Identify(&identity).ok());
  EXPECT_EQ(identity.kind, StoreIdentity::Kind::kCluster);
  EXPECT_EQ(identity.id, "quorum");
  store.reset();
  EXPECT_TRUE(Eventually([&] { return agent_.Uses() == 0; }));
  const json open = agent_.LastRequest("open");
  EXPECT_EQ(open.at("lu"), "quorum");
  EXPECT_LT(BootTime() - open.at("boottime").get<uint64_t>(), uint64_t{60} * 1000000000);
}

// ---------------------------------------------------------------- Coming and going

TEST_F(ClusterStoreTest, AttachAndDetach) {
  const auto store = Open();
  GateSlot* slot = Attach(*store, A());
  EXPECT_TRUE(Writes(slot));
  const json request = agent_.LastRequest("attach");
  EXPECT_EQ(NexusFromJson(request), A());
  EXPECT_EQ(request.at("owner"), "VM of the test");
  EXPECT_EQ(request.at("incoming"), false);
  EXPECT_EQ(request.at("joined"), false);
  store->Detach(slot);
  EXPECT_TRUE(Eventually([&] { return !agent_.IsAttached(A()); }));
}

TEST_F(ClusterStoreTest, AttachedOnAnotherHost) {
  const auto store = Open(1);
  GateSlot* slot = Attach(*store, A());
  const auto other = Open(2);
  GateSlot* refused = nullptr;
  EXPECT_EQ(TryAttach(*other, A(), &refused).code(), Code::kInUse);
  EXPECT_FALSE(other_.gate().slots[0].attached()) << "nothing is left of it";
  EXPECT_TRUE(Writes(slot));
  store->Detach(slot);
  EXPECT_TRUE(Eventually([&] { return TryAttach(*other, A(), &refused).ok(); }));
  other->Detach(refused);
}

// Who is refused, or does not hear, leaves nothing behind; whatever the daemon has done.
TEST_F(ClusterStoreTest, AttachThatFails) {
  const auto store = Open();
  GateSlot* slot = nullptr;
  agent_.SetRaw("garbage!");
  for (const Fault fault : {Fault::kBusy, Fault::kRaw, Fault::kNotKnown}) {
    agent_.Expect("attach", {fault});
    EXPECT_FALSE(TryAttach(*store, A(), &slot).ok());
    EXPECT_FALSE(agent_.gate().slots[0].attached());
  }
  agent_.Expect("attach", {Fault::kEndBefore, Fault::kEndBehind});
  slot = Attach(*store, A());
  EXPECT_TRUE(Writes(slot)) << "asked until there was an answer";
  store->Detach(slot);
}

TEST_F(ClusterStoreTest, NothingIsAllowedUntilTheDaemonSaysSo) {
  const auto store = Open();
  agent_.Expect("attach", {Fault::kSilent});
  GateSlot* slot = nullptr;
  auto attached = std::async(std::launch::async, [&] { return TryAttach(*store, A(), &slot); });
  GateSlot& first = agent_.gate().slots[0];
  EXPECT_TRUE(Eventually([&] { return first.attached(); }));
  auto why = Admission::WhyNot::kFull;
  EXPECT_FALSE(first.Enter(AccessClass::kWrite, Admission::kFirstTenure, &why));
  EXPECT_EQ(why, Admission::WhyNot::kHeld);
  EXPECT_TRUE(Eventually([&] { return agent_.Count("attach") == 1; }));
  agent_.Stop();
  agent_.Start();
  EXPECT_TRUE(attached.get().ok()) << "the next daemon is asked again";
  EXPECT_TRUE(Writes(slot));
  store->Detach(slot);
}

// A daemon that stands still keeps nobody for ever.
TEST_F(ClusterStoreTest, AttachInTime) {
  const auto store = Open();
  agent_.Expect("attach", {Fault::kSilent});
  GateSlot* slot = nullptr;
  const auto start = Clock::now();
  EXPECT_EQ(TryAttach(*store, A(), &slot).code(), Code::kBusy);
  EXPECT_LT(Clock::now() - start, 3 * Store::kPatience) << "the machine may be slow";
  EXPECT_FALSE(agent_.gate().slots[0].attached());
}

// ---------------------------------------------------------------- Reading and changing

TEST_F(ClusterStoreTest, WhatOneHostChangesTheOtherReads) {
  AttachBoth();
  RegisterBoth();
  EXPECT_NE(Read(*stores_[1]).Find(A()), nullptr);
  EXPECT_NE(Read(*stores_[0]).Find(B()), nullptr);
  EXPECT_TRUE(Send(*stores_[0], A(), Reserve(kKeyA, kEA)).ok());
  EXPECT_TRUE(Writes(a_));
  EXPECT_FALSE(Writes(b_));
  EXPECT_TRUE(Send(*stores_[0], A(), Clear(kKeyA)).ok());
  EXPECT_EQ(b_->unit_attentions().Take(), sense::kReservationsPreempted);
  EXPECT_TRUE(Writes(b_));
  DetachBoth();
}

TEST_F(ClusterStoreTest, VictimsOnTheOtherHost) {
  AttachBoth();
  RegisterBoth();
  EXPECT_TRUE(Send(*stores_[1], B(), Reserve(kKeyB, kWERO)).ok());
  Owner owner;
  owner.slot = b_;
  EXPECT_TRUE(owner.Park(*b_));
  Fencings fencings;
  auto fenced = std::async(std::launch::async, [&] {
    return Send(*stores_[0], A(), PreemptAndAbort(kKeyA, kKeyB, kWERO), {.listener = &fencings});
  });
  EXPECT_EQ(fenced.wait_for(Fence::kLate + 300ms), std::future_status::timeout);
  EXPECT_NE(Read(*stores_[0]).Find(B()), nullptr) << "listed until it is committed";
  owner.AbortTasks();
  EXPECT_TRUE(fenced.get().ok());
  EXPECT_EQ(fencings.told, (std::vector<std::string>{"begun", "late", "committed"}));
  ASSERT_EQ(fencings.awaited.size(), 1u);
  EXPECT_EQ(fencings.awaited[0].nexus, B());
  EXPECT_EQ(fencings.awaited[0].host, "h2");
  EXPECT_FALSE(Writes(b_));
  EXPECT_EQ(b_->unit_attentions().Take(), sense::kRegistrationsPreempted);
  DetachBoth();
}

// What a GOOD rests on, where hosts have not answered.
TEST_F(ClusterStoreTest, Proofs) {
  AttachBoth();
  agent_.proofs = {{{"host", "h2"}, {"proof", "confirmed"}, {"text", "Jo"}},
                   {{"host", "h3"}, {"proof", "of-tomorrow"}}};
  RegisterBoth();
  Fencings fencings;
  EXPECT_TRUE(
      Send(*stores_[0], A(), PreemptAndAbort(kKeyA, kKeyB, kWERO), {.listener = &fencings}).ok());
  EXPECT_EQ(fencings.told, (std::vector<std::string>{"begun", "proved", "committed"}));
  EXPECT_EQ(fencings.proofs,
            (std::vector<HostProof>{{"h2", "confirmed", "Jo"}, {"h3", "of-tomorrow"}}));

  // Only of what aborts.
  Fencings others;
  EXPECT_TRUE(Send(*stores_[1], B(), Register(0, kKeyB)).ok());
  EXPECT_TRUE(Send(*stores_[0], A(), Preempt(kKeyA, kKeyB, kWERO), {.listener = &others}).ok());
  EXPECT_TRUE(others.told.empty());
  DetachBoth();
}

// Then it is asked what has become of the change, which is in force.
TEST_F(ClusterStoreTest, ProofsThatCannotBeRead) {
  AttachBoth();
  EXPECT_TRUE(Send(*stores_[0], A(), Register(0, kKeyA)).ok());
  const json half = {{"host", "h2"}};
  for (const json& proofs : {json(7), json::object(), json::array({7}), json::array({half})}) {
    agent_.proofs = proofs;
    EXPECT_TRUE(Send(*stores_[1], B(), Register(0, kKeyB)).ok());
    Fencings fencings;
    EXPECT_TRUE(
        Send(*stores_[0], A(), PreemptAndAbort(kKeyA, kKeyB, kWERO), {.listener = &fencings}).ok());
    EXPECT_EQ(fencings.told, (std::vector<std::string>{"begun", "committed"})) << proofs;
    EXPECT_EQ(Read(*stores_[0]).Find(B()), nullptr);
  }
  DetachBoth();
}

TEST_F(ClusterStoreTest, CancelledWhileItDrains) {
  AttachBoth();
  RegisterBoth();
  const auto write = b_->Enter(AccessClass::kWrite);
  std::atomic<bool> cancelled{false};
  auto fenced = std::async(std::launch::async, [&] {
    return SendCode(*stores_[0], A(), PreemptAndAbort(kKeyA, kKeyB, kWERO),
                    {.cancelled = [&] { return cancelled.load(); }});
  });
  EXPECT_TRUE(Eventually([&] { return b_->is_being_fenced(); }));
  cancelled = true;
  EXPECT_EQ(fenced.get(), Code::kBusy);
  EXPECT_TRUE(Eventually([&] { return Writes(b_); })) << "as before";
  EXPECT_NE(Read(*stores_[0]).Find(B()), nullptr);
  b_->Leave(*write);
  DetachBoth();
}

// What changes nothing is decided, and nobody is kept waiting for it.
TEST_F(ClusterStoreTest, NothingToChange) {
  AttachBoth();
  const uint64_t before = cluster_.version;
  Outcome outcome;
  EXPECT_TRUE(
      stores_[0]
          ->Update(
              [](const State& state) { return Unchanged(state, ScsiStatus::kReservationConflict); },
              {}, &outcome)
          .ok());
  EXPECT_EQ(outcome.status, ScsiStatus::kReservationConflict);
  EXPECT_TRUE(stores_[0]
                  ->Update([](const State& state) { return Unchanged(state, ScsiStatus::kGood); },
                           {}, &outcome)
                  .ok());
  EXPECT_TRUE(Send(*stores_[1], B(), Register(0, kKeyB)).ok());
  EXPECT_EQ(cluster_.version, before + 1);
  DetachBoth();
}

// The daemon may have presumed what there is: a decision is made again by what is in force.
TEST_F(ClusterStoreTest, ItIsDecidedAgain) {
  AttachBoth();
  const auto status_of = [&](const PersistentReserveOut& command, Fault behind) {
    agent_.Expect("decide", {Fault::kAgain, behind});
    return SendStatus(*stores_[0], A(), command);
  };
  for (const Fault behind : {Fault::kNone, Fault::kEndBehind}) {
    EXPECT_TRUE(Send(*stores_[0], A(), Register(0, kKeyA)).ok());
    EXPECT_EQ(status_of(Register(kKeyA, kKeyB), Fault::kNone), ScsiStatus::kReservationConflict)
        << "it is not registered any more";
    EXPECT_EQ(status_of(Register(0, kKeyB), behind), ScsiStatus::kGood);
    EXPECT_EQ(Read(*stores_[0]).Find(A())->key, kKeyB);
    EXPECT_TRUE(Send(*stores_[0], A(), Register(kKeyB, 0)).ok());
  }
  DetachBoth();
}

// What the daemon has shown may not be in force any more when it is looked at, and nothing is
// decided by what it has not shown.
TEST_F(ClusterStoreTest, WhatIsShownIsOvertaken) {
  AttachBoth();
  EXPECT_TRUE(Send(*stores_[0], A(), Register(0, kKeyA)).ok());
  agent_.Expect("state", {Fault::kAgain});  // nobody is registered
  EXPECT_EQ(SendStatus(*stores_[0], A(), Register(kKeyA, kKeyB)), ScsiStatus::kReservationConflict);
  agent_.Expect("state", {Fault::kAgain, Fault::kAgain});
  EXPECT_EQ(SendStatus(*stores_[0], A(), Register(0, kKeyB)), ScsiStatus::kGood);
  EXPECT_EQ(Read(*stores_[0]).Find(A())->key, kKeyB);
  // A daemon that takes "no change" for an answer has not heard one.
  agent_.Expect("state", {Fault::kAgain});
  agent_.Expect("decide", {Fault::kEndBehind});
  EXPECT_EQ(SendCode(*stores_[0], A(), Register(0, kKeyA)), Code::kBusy);
  EXPECT_EQ(Read(*stores_[0]).Find(A()), nullptr);
  DetachBoth();
}

// Nothing has changed where it was not decided; what has begun again goes on.
TEST_F(ClusterStoreTest, ConnectionBreaksBeforeTheDecision) {
  AttachBoth();
  agent_.Expect("change", {Fault::kEndBefore, Fault::kEndBefore});
  EXPECT_TRUE(Send(*stores_[0], A(), Register(0, kKeyA)).ok());
  agent_.Expect("decide", {Fault::kEndBefore});
  EXPECT_EQ(SendCode(*stores_[0], A(), Register(kKeyA, kKeyB)), Code::kBusy);
  EXPECT_EQ(Read(*stores_[0]).Find(A())->key, kKeyA);
  agent_.Expect("change", {Fault::kBusy});
  EXPECT_EQ(SendCode(*stores_[0], A(), Register(kKeyA, kKeyB)), Code::kBusy);
  agent_.Expect("decide", {Fault::kBusy});
  EXPECT_EQ(SendCode(*stores_[0], A(), Register(kKeyA, kKeyB)), Code::kBusy);
  EXPECT_EQ(Read(*stores_[0]).Find(A())->key, kKeyA);
  DetachBoth();
}

TEST_F(ClusterStoreTest, ConnectionBreaksBehindTheCommit) {
  AttachBoth();
  agent_.Expect("decide", {Fault::kEndBehind});
  agent_.Expect("outcome", {Fault::kEndBefore, Fault::kBusy, Fault::kEndBehind});
  EXPECT_TRUE(Send(*stores_[0], A(), Register(0, kKeyA)).ok());
  EXPECT_EQ(agent_.Count("outcome"), 4);
  EXPECT_NE(Read(*stores_[0]).Find(A()), nullptr);
  DetachBoth();
}

TEST_F(ClusterStoreTest, DaemonIsKilledBehindTheCommit) {
  AttachBoth();
  agent_.Expect("decide", {Fault::kEndBehind});
  agent_.Expect("outcome", {Fault::kSilent});
  auto sent =
      std::async(std::launch::async, [&] { return Send(*stores_[0], A(), Register(0, kKeyA)); });
  EXPECT_TRUE(Eventually([&] { return agent_.Count("outcome") == 1; }));
  agent_.Stop();
  agent_.Start();
  EXPECT_TRUE(sent.get().ok()) << "the next one knows";
  DetachBoth();
}

// The exception of invariant 4.
TEST_F(ClusterStoreTest, NobodyKnows) {
  AttachBoth();
  agent_.Expect("decide", {Fault::kNotKnown});
  EXPECT_EQ(SendCode(*stores_[0], A(), Register(0, kKeyA)), Code::kUnknown);
  agent_.Expect("decide", {Fault::kEndBehind});
  agent_.Expect("outcome", std::vector<Fault>(1000, Fault::kBusy));
  std::atomic<bool> cancelled{false};
  const auto start = Clock::now();
  auto sent = std::async(std::launch::async, [&] {
    return Send(*stores_[0], A(), Register(0, kKeyA),
                {.cancelled = [&] { return cancelled.load(); }});
  });
  EXPECT_TRUE(Eventually([&] { return agent_.Count("outcome") > 0; }));
  cancelled = true;
  const Status status = sent.get();
  EXPECT_EQ(status.code(), Code::kUnknown);
  EXPECT_NE(status.message().find("it is not known whether"), std::string::npos);
  EXPECT_LT(Clock::now() - start, 8s) << "who is in a hurry does not wait as long";
  agent_.Expect("outcome", {});
  EXPECT_NE(Read(*stores_[0]).Find(A()), nullptr) << "this time it was";
  DetachBoth();
}

TEST_F(ClusterStoreTest, NobodyKnowsAsTheInitiatorSeesIt) {
  const auto server = OpenServer(1, A());
  agent_.Expect("decide", {Fault::kNotKnown});
  const Command command = Register(0, kKeyA);
  const Response response = Execute(*server, OutCdb(command), OutData(command));
  EXPECT_EQ(response.status, ScsiStatus::kCheckCondition);
  EXPECT_EQ(response.sense, sense::kLogicalUnitCommunicationTimeOut);
}

TEST_F(ClusterStoreTest, DaemonAwayIsBusyAndTellsOnce) {
  Owner owner;
  const auto store = Open();
  ASSERT_TRUE(store->Attach(A(), "VM a", Store::AttachMode::kNew, &owner, &owner.slot).ok());
  agent_.Stop();
  EXPECT_TRUE(Writes(owner.slot)) << "until the gate's deadline, which others look after";
  const auto start = Clock::now();
  std::shared_ptr<const Record> record;
  EXPECT_EQ(store->Read(&record).code(), Code::kBusy);
  EXPECT_LT(Clock::now() - start, 3 * Store::kPatience) << "the machine may be slow";
  EXPECT_TRUE(Eventually([&] {
    const std::lock_guard lock(owner.mutex);
    return !owner.failures.empty();
  }));
  for (const std::string& failure : owner.TakeFailures()) {
    EXPECT_NE(failure.find("scsi-prd does not answer"), std::string::npos) << failure;
  }
  agent_.Start();
  EXPECT_TRUE(store->Read(&record).ok());
  EXPECT_TRUE(Send(*store, A(), Register(0, kKeyA)).ok());
  EXPECT_TRUE(Eventually([&] { return agent_.Uses() == 1; })) << "opened anew";
  EXPECT_EQ(agent_.LastRequest("open").at("existing"), true);
  EXPECT_TRUE(owner.TakeFailures().empty());
  store->Detach(owner.slot);
}

TEST_F(ClusterStoreTest, RestartedDaemonGoesOnWithTheMemory) {
  AttachBoth();
  RegisterBoth();
  EXPECT_TRUE(Send(*stores_[0], A(), Reserve(kKeyA, kEA)).ok());
  const auto write = a_->Enter(AccessClass::kWrite);
  ASSERT_TRUE(write);
  agent_.Stop();
  agent_.Start();
  EXPECT_EQ(a_->admission().in_flight(), 1u) << "what is in stays in";
  a_->Leave(*write);
  EXPECT_TRUE(Writes(a_));
  EXPECT_FALSE(Writes(b_));
  EXPECT_TRUE(Send(*stores_[0], A(), Release(kKeyA, kEA)).ok());
  EXPECT_TRUE(Writes(b_));
  DetachBoth();
}

TEST_F(ClusterStoreTest, MemoryThatWasRemovedIsTold) {
  Owner owner;
  const auto store = Open();
  ASSERT_TRUE(store->Attach(A(), "VM a", Store::AttachMode::kNew, &owner, &owner.slot).ok());
  agent_.Stop();
  std::filesystem::remove(runtime_.path() + "/scsi-pr-cluster-quorum");
  agent_.Start();
  EXPECT_TRUE(Eventually([&] {
    const std::lock_guard lock(owner.mutex);
    return std::ranges::any_of(owner.failures, [](const std::string& failure) {
      return failure.find("was removed") != std::string::npos;
    });
  }));
  State changed;
  changed.generation = 7;
  agent_.ChangeState(changed);
  std::shared_ptr<const Record> record;
  EXPECT_EQ(store->Read(&record).code(), Code::kBusy) << "no stale state";
  EXPECT_EQ(SendCode(*store, A(), Register(0, kKeyA)), Code::kBusy);
  store->Detach(owner.slot);
}

// ---------------------------------------------------------------- A daemon that talks nonsense

TEST_F(ClusterStoreTest, HostileAnswers) {
  const auto store = Open();
  GateSlot* slot = Attach(*store, A());
  const std::string nested = std::string(200, '[') + std::string(200, ']');
  for (const std::string& raw :
       {std::string("\xff\xff\xff\xff"), std::string("\0\0\0\0", 4), Frame("x"), Frame("[]"),
        Frame("{}"), Frame("{\"a\":" + nested + "}"), Frame("{\"ok\":7}"), Frame("{\"ok\":{}}"),
        Frame(R"({"ok":{"version":-1}})"), Frame(R"({"ok":{"version":"x","committed":7}})"),
        Frame(R"({"ok":{"version":99999}})"), Frame(R"({"error":{}})"), Frame(R"({"state":7})"),
        Frame(R"({"state":{"version":1}})"), Frame(R"({"state":{"version":0,"id":"x"}})"),
        Frame(R"({"state":{"version":99999,"id":"x"}})"), Frame(R"({"late":7})"),
        Frame(R"({"late":[{}]})")}) {
    agent_.SetRaw(raw);
    std::shared_ptr<const Record> record;
    agent_.Expect("read", {Fault::kRaw});
    EXPECT_FALSE(store->Read(&record).ok()) << raw;
    agent_.Expect("change", {Fault::kRaw});
    EXPECT_FALSE(Send(*store, A(), Register(0, kKeyA)).ok()) << raw;
    agent_.Expect("decide", {Fault::kRaw});
    const bool says_ok = raw.find("{\"ok\":{") != std::string::npos;
    if (!says_ok) {
      EXPECT_EQ(SendCode(*store, A(), Register(0, kKeyA)), Code::kBusy) << raw;
    }
    std::shared_ptr<Store> opened;
    other_.SetRaw(raw);
    other_.Expect("open", {Fault::kRaw});
    EXPECT_FALSE(Store::Open("cluster:quorum", Options(2), &opened).ok()) << raw;
  }
  EXPECT_EQ(Read(*store), State());
  EXPECT_TRUE(Send(*store, A(), Register(0, kKeyA)).ok());
  store->Detach(slot);
}

// ---------------------------------------------------------------- Looking

TEST_F(ClusterStoreTest, WhoIsAttachedElsewhere) {
  struct stat like = {};
  ASSERT_EQ(stat(runtime_.path().c_str(), &like), 0);
  std::shared_ptr<const RuntimeDirectory> directory;
  ASSERT_TRUE(RuntimeDirectory::Open(runtime_.path(), &directory).ok());
  ASSERT_TRUE(
      cluster::WriteElsewhere(*directory, "quorum", like,
                              {"h1", {{B(), "h2", "VM b", true}, {C(), "h3", "VM c", false}}})
          .ok());
  const auto store = Open();
  GateSlot* slot = Attach(*store, A());
  Snapshot snapshot;
  ASSERT_TRUE(store->Look(&snapshot).ok());
  ASSERT_EQ(snapshot.attached.size(), 3u);
  EXPECT_EQ(snapshot.attached[0].host, "h1");
  EXPECT_EQ(snapshot.attached[0].process_id, static_cast<uint32_t>(getpid()));
  EXPECT_EQ(snapshot.attached[1].host, "h2");
  EXPECT_EQ(snapshot.attached[1].owner, "VM b");
  EXPECT_EQ(snapshot.attached[1].process_id, 0u);
  EXPECT_FALSE(snapshot.attached[2].live);
  EXPECT_EQ(store->Attached().size(), 2u);
  WriteFile(runtime_.path() + "/" + cluster::ElsewhereFileName("quorum"), "garbage");
  EXPECT_EQ(store->Attached().size(), 1u) << "this host, then";
  store->Detach(slot);
}

}  // namespace
}  // namespace scsi_pr
