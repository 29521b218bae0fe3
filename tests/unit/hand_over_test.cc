// SPDX-License-Identifier: GPL-2.0-or-later
//
// Handing a nexus over (docs/design.md) as far as one process can show it: the
// state of a memory: store that travels, ownership, hostile texts. Source and
// destination of a file: store are in tests/process.
#include <future>
#include <nlohmann/json.hpp>

#include "core/document.h"
#include "core/envelope.h"
#include "execute.h"
#include "server/hand_over_text.h"
#include "temporary_directory.h"
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

constexpr auto kGood = ScsiStatus::kGood;
const ByteVector kReserve6 = {0x16, 0, 0, 0, 0, 0};

std::unique_ptr<DeviceServer> Open(const std::string& uri, const Nexus& nexus, bool incoming = false,
                                   NexusListener* listener = nullptr) {
  std::shared_ptr<Store> store;
  const auto mode = incoming ? Store::OpenMode::kIncoming : Store::OpenMode::kCreate;
  EXPECT_TRUE(Store::Open(uri, mode, &store).ok());
  DeviceServer::Options options;
  options.incoming = incoming;
  options.listener = listener;
  std::unique_ptr<DeviceServer> server;
  const Status status = DeviceServer::Open(store, nexus, "test", std::move(options), &server);
  EXPECT_TRUE(status.ok()) << status.message();
  return server;
}

ScsiStatus Send(DeviceServer& server, const PersistentReserveOut& command) {
  return Execute(server, OutCdb(command), OutData(command)).status;
}

std::string HandOver(DeviceServer& server) {
  std::string text;
  const Status status = server.HandOver(&text);
  EXPECT_TRUE(status.ok()) << status.message();
  return text;
}

bool Writes(DeviceServer& server) {
  const auto epoch = server.Enter(AccessClass::kWrite);
  if (epoch) server.Leave(*epoch);
  return epoch.has_value();
}

nlohmann::json StateOf(DeviceServer& server) {
  std::promise<nlohmann::json> promise;
  server.Inspect([&](const nlohmann::json& info) { promise.set_value(info.at("state")); });
  return promise.get_future().get();
}

class HandOverTest : public ::testing::TestWithParam<const char*> {
 protected:
  std::string Uri() const {
    return GetParam() == std::string("file") ? "file:" + (directory_ / "lu.pr")
                                             : "memory:hand-over-test";
  }

  const TemporaryDirectory directory_;
};

INSTANTIATE_TEST_SUITE_P(Uri, HandOverTest, ::testing::Values("memory", "file"),
                         [](const auto& scheme) { return std::string(scheme.param); });

TEST_P(HandOverTest, NobodyIsAdmittedUntilItIsTaken) {
  const auto a = Open(Uri(), A());
  EXPECT_TRUE(a->IsOwner());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  for (int i = 0; i < 200; i++) {  // more often than there are numbers for tenures
    HandOver(*a);
    EXPECT_FALSE(a->IsOwner());
    EXPECT_FALSE(Writes(*a));
    EXPECT_EQ(a->TakeOver(), Ownership::kTaken);
    EXPECT_TRUE(Writes(*a));
  }
}

TEST_P(HandOverTest, NothingIsDoneForWhoIsNotTheOwner) {
  const auto a = Open(Uri(), A());
  const auto b = Open(Uri(), B());
  EXPECT_EQ(Execute(*a, kReserve6).status, kGood);
  HandOver(*a);
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), ScsiStatus::kBusy);
  EXPECT_EQ(Execute(*a, InCdb(InAction::kReadKeys, 100)).status, ScsiStatus::kBusy);
  a->ResetOccurred(Reset::kNexusLoss);
  a->ResetOccurred(Reset::kLogicalUnit);
  StateOf(*a);
  EXPECT_FALSE(Writes(*b)) << "the legacy reservation stays with the nexus";
  b->ResetOccurred(Reset::kLogicalUnit);
  StateOf(*b);
  EXPECT_TRUE(Writes(*b));
  EXPECT_EQ(a->TakeUnitAttention(), std::nullopt);
  EXPECT_EQ(a->TakeOver(), Ownership::kTaken);
  EXPECT_EQ(a->TakeUnitAttention(), sense::kBusDeviceResetFunctionOccurred);
}

// SPC-2 5.5.1: whoever takes over holds it, and loses it with the nexus.
TEST_P(HandOverTest, LegacyReservationEndsWithTheNewOwner) {
  auto a = Open(Uri(), A());
  const auto b = Open(Uri(), B());
  EXPECT_EQ(Execute(*a, kReserve6).status, kGood);
  HandOver(*a);
  EXPECT_EQ(a->TakeOver(), Ownership::kTaken);
  EXPECT_FALSE(Writes(*b));
  a.reset();
  EXPECT_TRUE(Writes(*b));
}

TEST_P(HandOverTest, CommandsOnTheirWayForbidIt) {
  const auto a = Open(Uri(), A());
  const auto epoch = a->Enter(AccessClass::kWrite);
  ASSERT_TRUE(epoch);
  std::string text;
  EXPECT_EQ(a->HandOver(&text).code(), Status::Code::kBusy);
  EXPECT_TRUE(a->IsOwner());
  EXPECT_TRUE(Writes(*a));
  a->Leave(*epoch);
  HandOver(*a);
}

TEST_P(HandOverTest, SubmittedCommandsEndFirst) {
  const auto a = Open(Uri(), A());
  std::vector<ScsiStatus> statuses;
  for (uint64_t key = 0; key < 20; key++) {
    a->Execute(OutCdb(Register(key, key + 1)), OutData(Register(key, key + 1)),
               [&](const Response& response) { statuses.push_back(response.status); });
  }
  HandOver(*a);
  EXPECT_EQ(statuses, std::vector<ScsiStatus>(20, kGood));
}

// A PREEMPT AND ABORT that waits for others would hold a migration up.
TEST_P(HandOverTest, WhatWaitsForOthersEndsInBusy) {
  const auto a = Open(Uri(), A());
  const auto b = Open(Uri(), B());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(*b, Register(0, kKeyB)), kGood);
  const auto epoch = b->Enter(AccessClass::kWrite);
  ASSERT_TRUE(epoch);
  std::promise<ScsiStatus> ended;
  const Command fence = PreemptAndAbort(kKeyA, kKeyB, kWERO);
  a->Execute(OutCdb(fence), OutData(fence),
             [&](const Response& response) { ended.set_value(response.status); });
  while (!b->IsBeingFenced()) std::this_thread::yield();
  HandOver(*a);
  EXPECT_EQ(ended.get_future().get(), ScsiStatus::kBusy);
  EXPECT_EQ(a->TakeOver(), Ownership::kTaken);
  b->Leave(*epoch);
  EXPECT_EQ(Send(*a, fence), kGood) << "only then was it in a hurry";
}

TEST_P(HandOverTest, FencedMeanwhile) {
  const auto a = Open(Uri(), A());
  const auto b = Open(Uri(), B());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(*b, Register(0, kKeyB)), kGood);
  HandOver(*a);
  EXPECT_EQ(Send(*b, PreemptAndAbort(kKeyB, kKeyA, kWERO)), kGood) << "waits for nobody";
  EXPECT_EQ(a->TakeOver(), Ownership::kTakenMaybeFenced);
  EXPECT_EQ(a->TakeUnitAttention(), sense::kRegistrationsPreempted);
  EXPECT_EQ(a->TakeOver(), Ownership::kTaken) << "said once";
  HandOver(*a);
  EXPECT_EQ(Send(*b, Register(kKeyB, kKeyC)), kGood);
  EXPECT_EQ(a->TakeOver(), Ownership::kTaken) << "what does not concern its tasks";
}

// Who is not the owner hears what may concern its tasks, and the rest later.
TEST_P(HandOverTest, Listener) {
  struct Listener : NexusListener {
    void AbortTasks() override { aborts++; }
    void Fenced() override { fencings++; }
    void Preempted() override { preemptions++; }
    std::atomic<int> aborts{0}, fencings{0}, preemptions{0};
  } listener;
  const auto a = Open(Uri(), A(), false, &listener);
  const auto b = Open(Uri(), B());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(*b, Register(0, kKeyB)), kGood);
  HandOver(*a);
  EXPECT_EQ(Send(*b, PreemptAndAbort(kKeyB, kKeyA, kWERO)), kGood);
  const auto eventually = [](const std::atomic<int>& count) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (count == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return count.load();
  };
  EXPECT_EQ(eventually(listener.aborts), 1);
  EXPECT_EQ(listener.fencings, 0);
  EXPECT_EQ(listener.preemptions, 0);
  EXPECT_EQ(a->TakeOver(), Ownership::kTakenMaybeFenced);
  EXPECT_EQ(eventually(listener.fencings), 1);
  EXPECT_EQ(eventually(listener.preemptions), 1);
}

// A store that fails: the migration does, and the VM goes on where it is.
TEST(HandOver, FailingStore) {
  const TemporaryDirectory directory;
  const std::string path = directory / "lu.pr";
  const auto a = Open("file:" + path, A());
  std::filesystem::rename(path, directory / "aside");
  std::string text;
  EXPECT_EQ(a->HandOver(&text).code(), Status::Code::kIo);
  EXPECT_TRUE(Writes(*a));
  std::filesystem::rename(directory / "aside", path);
  HandOver(*a);
}

TEST(HandOver, StateOfAMemoryStoreTravels) {
  const auto a = Open("memory:source", A());
  const auto b = Open("memory:source", B());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(*b, Register(0, kKeyB)), kGood);
  EXPECT_EQ(Send(*a, Reserve(kKeyA, kEARO)), kGood);
  EXPECT_EQ(Send(*a, Preempt(kKeyA, kKeyB, kEARO)), kGood);
  const std::string text_a = HandOver(*a);
  const std::string text_b = HandOver(*b);

  const auto a2 = Open("memory:destination", A(), true);
  const auto b2 = Open("memory:destination", B(), true);
  EXPECT_FALSE(a2->IsOwner());
  EXPECT_FALSE(Writes(*a2));
  EXPECT_TRUE(a2->Arrive(text_a).ok());
  EXPECT_TRUE(b2->Arrive(text_b).ok());
  EXPECT_EQ(a2->TakeOver(), Ownership::kTaken);
  EXPECT_EQ(b2->TakeOver(), Ownership::kTaken);
  EXPECT_EQ(StateOf(*a2), StateOf(*a));
  EXPECT_TRUE(Writes(*a2));
  EXPECT_FALSE(Writes(*b2));
  EXPECT_EQ(b2->TakeUnitAttention(), sense::kRegistrationsPreempted);
  EXPECT_EQ(b2->TakeUnitAttention(), std::nullopt);
  EXPECT_EQ(a2->TakeUnitAttention(), std::nullopt);
}

// Paused before and behind the migration, and migrated once more.
TEST(HandOver, WithoutEverHavingRun) {
  const auto a = Open("memory:", A());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  const auto b = Open("memory:", A(), true);
  EXPECT_TRUE(b->Arrive(HandOver(*a)).ok());
  const auto c = Open("memory:", A(), true);
  EXPECT_TRUE(c->Arrive(HandOver(*b)).ok());
  EXPECT_EQ(c->TakeOver(), Ownership::kTaken);
  EXPECT_EQ(StateOf(*c), StateOf(*a));
}

// loadvm: the state of a memory: store goes back with its VM.
TEST(HandOver, SnapshotOfAMemoryStore) {
  const auto a = Open("memory:", A());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  const auto then = StateOf(*a);
  const std::string snapshot = HandOver(*a);
  EXPECT_EQ(a->TakeOver(), Ownership::kTaken);
  EXPECT_EQ(Send(*a, Reserve(kKeyA, kWE)), kGood);
  EXPECT_EQ(Send(*a, Register(kKeyA, 0)), kGood);
  EXPECT_TRUE(a->Arrive(snapshot).ok());
  EXPECT_EQ(a->TakeOver(), Ownership::kTaken);
  EXPECT_EQ(StateOf(*a), then);
}

// loadvm: a file: store keeps what others have made of it.
TEST(HandOver, SnapshotOfAFileStore) {
  const TemporaryDirectory directory;
  const std::string uri = "file:" + (directory / "lu.pr");
  auto a = Open(uri, A());
  const auto b = Open(uri, B());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(*b, Register(0, kKeyB)), kGood);
  EXPECT_EQ(Send(*a, Reserve(kKeyA, kWERO)), kGood);
  const std::string snapshot = HandOver(*a);
  EXPECT_EQ(a->TakeOver(), Ownership::kTaken);
  EXPECT_TRUE(a->Arrive(snapshot).ok());
  EXPECT_EQ(a->TakeOver(), Ownership::kTaken) << "nothing has changed since";
  EXPECT_EQ(a->TakeUnitAttention(), std::nullopt);

  EXPECT_EQ(Send(*b, PreemptAndAbort(kKeyB, kKeyA, kWERO)), kGood);
  EXPECT_EQ(a->TakeUnitAttention(), sense::kRegistrationsPreempted);
  EXPECT_TRUE(a->Arrive(snapshot).ok());
  EXPECT_EQ(a->TakeOver(), Ownership::kTakenMaybeFenced);
  EXPECT_FALSE(Writes(*a));
  EXPECT_EQ(a->TakeUnitAttention(), sense::kRegistrationsPreempted)
      << "the guest that has come back does not know";
  EXPECT_EQ(a->TakeUnitAttention(), std::nullopt);

  // The same in a process that starts anew.
  a.reset();
  const auto again = Open(uri, A(), true);
  EXPECT_TRUE(again->Arrive(snapshot).ok());
  EXPECT_EQ(again->TakeOver(), Ownership::kTakenMaybeFenced);
  EXPECT_EQ(again->TakeUnitAttention(), sense::kRegistrationsPreempted);
}

// Saved to a file, and restored when the process is gone: what had not been
// reported then still is to be.
TEST(HandOver, SavedUnitAttentions) {
  const TemporaryDirectory directory;
  const std::string uri = "file:" + (directory / "lu.pr");
  const auto b = Open(uri, B());
  auto a = Open(uri, A());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(*b, Register(0, kKeyB)), kGood);
  EXPECT_EQ(Send(*b, Clear(kKeyB)), kGood);
  const std::string saved = HandOver(*a);
  a.reset();
  a = Open(uri, A(), true);
  EXPECT_TRUE(a->Arrive(saved).ok());
  EXPECT_EQ(a->TakeOver(), Ownership::kTaken);
  EXPECT_EQ(a->TakeUnitAttention(), sense::kReservationsPreempted);
  EXPECT_EQ(a->TakeUnitAttention(), std::nullopt);
}

TEST(HandOver, Identity) {
  const TemporaryDirectory directory;
  const auto memory = Open("memory:", A());
  const auto file = Open("file:" + (directory / "lu.pr"), A());
  const auto other = Open("file:" + (directory / "other.pr"), A());
  std::string text;
  EXPECT_TRUE(memory->Identify(&text).ok());
  EXPECT_TRUE(Open("memory:else", B())->Recognize(text).ok()) << "its state travels";
  EXPECT_FALSE(file->Recognize(text).ok());
  EXPECT_TRUE(file->Identify(&text).ok());
  EXPECT_TRUE(file->Recognize(text).ok());
  EXPECT_FALSE(memory->Recognize(text).ok());
  const Status status = other->Recognize(text);
  EXPECT_EQ(status.code(), Status::Code::kInvalid);
  EXPECT_NE(status.message().find(file->store().uri()), std::string::npos) << status.message();
  EXPECT_NE(status.message().find(other->store().uri()), std::string::npos) << status.message();
  EXPECT_NE(status.hint(), "");
  for (const std::string& bad : {std::string(), std::string("{}"), text.substr(1)}) {
    EXPECT_EQ(file->Recognize(bad).code(), Status::Code::kCorrupt) << bad;
  }
}

TEST(HandOver, IncomingNeedsTheSourcesStore) {
  const TemporaryDirectory directory;
  for (const char* path : {"lu.pr", "no-directory/lu.pr"}) {
    std::shared_ptr<Store> store;
    const Status status =
        Store::Open("file:" + (directory / path), Store::OpenMode::kIncoming, &store);
    EXPECT_EQ(status.code(), Status::Code::kInvalid);
    EXPECT_NE(status.hint().find("host"), std::string::npos) << status.hint();
    EXPECT_FALSE(std::filesystem::exists(directory / path));
  }
}

class HostileTextTest : public ::testing::Test {
 protected:
  HandedOver Good() const {
    HandedOver handed;
    handed.nexus = A();
    handed.attachment = "x/1/1";
    handed.key = kKeyA;
    handed.unit_attentions = {sense::kReservationsReleased};
    handed.state = ReservedByA(kWE);
    return handed;
  }
  // With one member of the inner object changed, and a checksum that fits.
  static std::string With(const HandedOver& handed, const std::string& pointer,
                          const nlohmann::json& value) {
    nlohmann::json inner = nlohmann::json::parse(EncodeHandedOver(handed)).at("nexus");
    inner[nlohmann::json::json_pointer(pointer)] = value;
    return Seal({"scsi-pr-nexus", "nexus", "", 1}, 1, inner);
  }

  std::unique_ptr<DeviceServer> server_ = Open("memory:", A(), true);
};

TEST_F(HostileTextTest, RoundTrip) {
  HandedOver read;
  ASSERT_TRUE(DecodeHandedOver(EncodeHandedOver(Good()), &read).ok());
  EXPECT_EQ(EncodeHandedOver(read), EncodeHandedOver(Good()));
  EXPECT_EQ(read.unit_attentions, Good().unit_attentions);
  EXPECT_EQ(read.state, Good().state);
  EXPECT_EQ(read.key, kKeyA);
  EXPECT_TRUE(server_->Arrive(EncodeHandedOver(Good())).ok());
}

TEST_F(HostileTextTest, IsRefusedAndNothingHasChanged) {
  const auto before = StateOf(*server_);
  const std::pair<const char*, nlohmann::json> kChanges[] = {
      {"/store/kind", "disk"},
      {"/store/kind", 7},
      {"/store", nullptr},
      {"/store/id", std::string(5000, 'x')},
      {"/initiator", "nobody"},
      {"/target-port", 65536},
      {"/target-port", -1},
      {"/attachment", {1}},
      {"/epoch", uint64_t{1} << 16},
      {"/epoch", 1.5},
      {"/version", "7"},
      {"/key", "0x7"},
      {"/unit-attentions", 1},
      {"/unit-attentions/0/asc", 0x29},
      {"/unit-attentions/0/asc", 256},
      {"/unit-attentions/0", "x"},
      {"/document", "{}"},
      {"/document", 1},
  };
  for (const auto& [pointer, value] : kChanges) {
    EXPECT_EQ(server_->Arrive(With(Good(), pointer, value)).code(), Status::Code::kCorrupt)
        << pointer << " " << value;
  }
  std::string text = EncodeHandedOver(Good());
  for (size_t i = 0; i < text.size(); i++) {
    std::string flipped = text;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    EXPECT_FALSE(server_->Arrive(flipped).ok()) << i;
  }
  for (size_t length = 0; length < text.size(); length++) {
    EXPECT_FALSE(server_->Arrive(text.substr(0, length)).ok());
  }
  EXPECT_FALSE(server_->Arrive(std::string(100000, '[')).ok());
  HandedOver no_state = Good();
  no_state.state.reset();
  EXPECT_EQ(server_->Arrive(EncodeHandedOver(no_state)).code(), Status::Code::kCorrupt);
  EXPECT_EQ(StateOf(*server_), before);
  EXPECT_EQ(server_->TakeOver(), Ownership::kTaken);
  EXPECT_EQ(server_->TakeUnitAttention(), std::nullopt);
}

TEST_F(HostileTextTest, OfAnotherNexusOrStore) {
  HandedOver handed = Good();
  handed.nexus = B();
  const Status status = server_->Arrive(EncodeHandedOver(handed));
  EXPECT_EQ(status.code(), Status::Code::kInvalid);
  EXPECT_NE(status.message().find(B().initiator.ToText()), std::string::npos);
  handed = Good();
  handed.store.kind = StoreIdentity::Kind::kFile;
  handed.state.reset();
  EXPECT_EQ(server_->Arrive(EncodeHandedOver(handed)).code(), Status::Code::kInvalid);
}

TEST_F(HostileTextTest, Newer) {
  const nlohmann::json inner = nlohmann::json::parse(EncodeHandedOver(Good())).at("nexus");
  const std::string text = Seal({"scsi-pr-nexus", "nexus", "", 2}, 2, inner);
  EXPECT_EQ(server_->Arrive(text).code(), Status::Code::kUnsupported);
}

// What the source calls itself is printed.
TEST_F(HostileTextTest, NoControlCharactersInMessages) {
  StoreIdentity identity{StoreIdentity::Kind::kFile, "x", "file:/\n\x1b[2J\xff"};
  const Status status = server_->Recognize(EncodeIdentity(identity));
  EXPECT_EQ(status.message().find('\n'), std::string::npos);
  EXPECT_EQ(status.message().find('\x1b'), std::string::npos);
}

// Threads that send while the nexus is handed over and taken again: nobody is
// in while nobody owns it.
TEST(HandOver, UnderLoad) {
  const auto server = Open("memory:", A());
  std::atomic<bool> owned{true};
  std::atomic<bool> stop{false};
  std::atomic<int> violations{0};
  std::atomic<int> passed{0};
  const auto send = [&] {
    while (!stop) {
      const auto epoch = server->Enter(AccessClass::kWrite);
      if (!epoch) {
        std::this_thread::yield();
        continue;
      }
      violations += !owned;
      passed++;
      server->Leave(*epoch);
    }
  };
  std::thread one(send);
  std::thread two(send);
  int handed = 0;
  while (handed < 200) {
    std::string text;
    if (!server->HandOver(&text).ok()) continue;  // somebody was in
    owned = false;
    handed++;
    std::this_thread::yield();
    owned = true;
    EXPECT_EQ(server->TakeOver(), Ownership::kTaken);
  }
  stop = true;
  one.join();
  two.join();
  EXPECT_EQ(violations, 0);
  EXPECT_GT(passed, 0);
}

}  // namespace
}  // namespace scsi_pr
