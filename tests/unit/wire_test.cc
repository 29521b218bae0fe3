// SPDX-License-Identifier: GPL-2.0-or-later
//
// The frames and messages that go over the socket of scsi-prd: what is said is heard, and
// garbage is an error.
#include "cluster/wire.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "cluster/connection.h"
#include "cluster/messages.h"
#include "cluster/names.h"
#include "core/document.h"
#include "temporary_directory.h"
#include "testing.h"

namespace scsi_pr::cluster {
namespace {

using nlohmann::json;
using testing::A;
using testing::AtAll;
using testing::B;
using Code = Status::Code;

std::string Frame(const std::string& text) {
  std::string frame;
  for (size_t i = 0; i < 4; i++) frame += static_cast<char>(text.size() >> 8 * i & 0xFF);
  return frame + text;
}

std::string Head(uint32_t length) {
  std::string head;
  for (unsigned i = 0; i < 4; i++) head += static_cast<char>(length >> 8 * i & 0xFF);
  return head;
}

std::string Nested(int depth) {
  std::string text = R"({"a":)";
  for (int i = 1; i < depth; i++) text += "[";
  for (int i = 1; i < depth; i++) text += "]";
  return text + "}";
}

TEST(Wire, NamesOfAClusterStore) {
  EXPECT_TRUE(IsClusterName("quorum-1.a_b,c:d"));
  EXPECT_TRUE(IsClusterName(std::string(160, 'x')));
  for (const std::string& name :
       {std::string(), std::string(161, 'x'), std::string("a/b"), std::string("a~"),
        std::string("a b"), std::string("\xc3\xa4"), std::string(1, '\0')}) {
    EXPECT_FALSE(IsClusterName(name)) << name;
  }
}

TEST(Wire, MessagesOneAfterTheOther) {
  FrameReader reader;
  const std::string bytes = Frame(R"({"op":"read"})") + Frame(R"({"ok":{}})");
  json message;
  bool found = true;
  std::vector<json> messages;
  for (const char byte : bytes) {
    reader.Append(std::string(1, byte));
    ASSERT_TRUE(reader.Next(&message, &found).ok());
    if (found) messages.push_back(message);
  }
  EXPECT_EQ(messages, (std::vector<json>{{{"op", "read"}}, Ok()}));
  EXPECT_FALSE(reader.HasPart());
}

TEST(Wire, GarbageIsAnError) {
  const std::vector<std::string> garbage = {
      Head(0),
      Head(kMaxFrame + 1),
      Head(0xFFFFFFFF),
      Frame("no JSON"),
      Frame("[]"),
      Frame("1"),
      Frame("null"),
      Frame(R"({"a":1)"),
      Frame(R"({"a":1}})"),
      Frame("{\"a\":\"\xff\"}"),
      Frame(std::string(5, '\0')),
      Frame(Nested(kMostDeep + 1)),
      Frame(Nested(100000)),
  };
  for (const std::string& bytes : garbage) {
    FrameReader reader;
    reader.Append(bytes);
    json message = "as before";
    bool found = true;
    const Status status = reader.Next(&message, &found);
    EXPECT_EQ(status.code(), Code::kCorrupt) << bytes.substr(0, 60);
    EXPECT_FALSE(found);
    EXPECT_EQ(message, "as before");
  }
}

TEST(Wire, WhatIsAtTheBoundsIsTaken) {
  json message;
  EXPECT_TRUE(DecodeMessage(Nested(kMostDeep), &message).ok());
  const std::string longest = R"({"a":")" + std::string(kMaxFrame - 8, 'x') + R"("})";
  ASSERT_EQ(longest.size(), kMaxFrame);
  EXPECT_TRUE(DecodeMessage(longest, &message).ok());
  std::string frame;
  EXPECT_TRUE(EncodeFrame(message, &frame).ok());
  message["a"] = std::string(kMaxFrame, 'x');
  EXPECT_EQ(EncodeFrame(message, &frame).code(), Code::kInvalid);
}

TEST(Wire, ManySmallValuesAreRefused) {
  std::string text = R"({"a":[)";
  while (text.size() < kMaxFrame - 10) text += "[],";
  json message;
  EXPECT_EQ(DecodeMessage(text + "[]]}", &message).code(), Code::kCorrupt);
}

TEST(Wire, ResultsThereAndBack) {
  for (const Code code : {Code::kInvalid, Code::kCorrupt, Code::kUnsupported, Code::kInUse,
                          Code::kBusy, Code::kIo, Code::kUnknown}) {
    const json error = Error(Status::Error(code, "what is wrong", "What to do."));
    json result;
    const Status status = ResultOf(error, &result);
    EXPECT_TRUE(IsResult(error));
    EXPECT_EQ(status.code(), code);
    EXPECT_EQ(status.message(), "what is wrong");
    EXPECT_EQ(status.hint(), "What to do.");
  }
  json result;
  EXPECT_TRUE(ResultOf(Ok({{"version", 7}}), &result).ok());
  EXPECT_EQ(result, json({{"version", 7}}));
  EXPECT_FALSE(IsResult({{"state", json::object()}}));
}

TEST(Wire, ResultsThatSayNothing) {
  const std::vector<json> messages = {
      json::object(),
      {{"ok", 1}},
      {{"ok", nullptr}},
      {{"error", "x"}},
      {{"error", json::object()}},
      {{"error", {{"code", "ok"}, {"message", "x"}}}},
      {{"error", {{"code", 5}, {"message", "x"}}}},
      {{"error", {{"code", "busy"}}}},
      {{"error", {{"code", "busy"}, {"message", 1}}}},
      {{"error", {{"code", "busy"}, {"message", "x"}, {"hint", 1}}}},
  };
  for (const json& message : messages) {
    json result;
    EXPECT_EQ(ResultOf(message, &result).code(), Code::kCorrupt) << message;
  }
}

TEST(Wire, DecisionsThereAndBack) {
  Decision decision;
  decision.state.generation = 3;
  decision.state.registrations = {{A(), 1}, {AtAll(B()), 2}};
  decision.unit_attentions = {{AtAll(B()), sense::kRegistrationsPreempted, B()},
                              {A(), sense::kReservationsReleased}};
  decision.preempted = {B()};
  const Decision again = DecisionFromJson(DecisionToJson(decision));
  EXPECT_EQ(again.state, decision.state);
  EXPECT_EQ(again.unit_attentions, decision.unit_attentions);
  EXPECT_EQ(again.preempted, decision.preempted);
}

TEST(Wire, DecisionsThatAreNone) {
  const json good = DecisionToJson({});
  for (const auto& [member, value] : std::vector<std::pair<std::string, json>>{
           {"document", 1},
           {"document", "no document"},
           {"unit-attentions", json::object()},
           {"unit-attentions", {{{"initiator", "x"}}}},
           {"unit-attentions", {1}},
           {"preempted", "x"},
           {"preempted", {{{"initiator", "naa.5000000000000001"}, {"target-port", -1}}}},
           {"preempted", json::array_t(State::kMaxRegistrations + 1, NexusToJson(A()))},
       }) {
    json bad = good;
    bad[member] = value;
    EXPECT_THROW(DecisionFromJson(bad), std::exception) << member << " " << value;
    bad.erase(member);
    EXPECT_THROW(DecisionFromJson(bad), std::exception) << member;
  }
}

TEST(Wire, AttachmentsThereAndBack) {
  const json list = AttachmentsToJson({{A(), 7, "VM a", true, 3, true, "h2"}, {B(), 8, "VM b"}});
  EXPECT_EQ(list.at(0).at("host"), "h2");
  EXPECT_FALSE(list.at(1).contains("host"));
  EXPECT_EQ(AttachmentsToJson(AttachmentsFromJson(list)), list);
  for (const char* member :
       {"initiator", "target-port", "process-id", "owner", "live", "commands", "being-fenced"}) {
    json bad = list;
    bad.at(0)[member] = json::array();
    EXPECT_THROW(AttachmentsFromJson(bad), std::exception) << member;
  }
}

TEST(Wire, ProofsThereAndBack) {
  const std::vector<HostProof> proofs = {{"h1", "confirmed", "Jo, on h2: unplugged"},
                                         {"h3", "lease"}};
  const json list = ProofsToJson(proofs);
  EXPECT_FALSE(list.at(1).contains("text"));
  EXPECT_EQ(ProofsFromJson(list), proofs);
  EXPECT_TRUE(ProofsFromJson(json::array()).empty());
}

// A word that is not known is one of a newer daemon.
TEST(Wire, ProofsOfSomebodyElse) {
  const std::string long_text(100000, 'x');
  const auto proofs = ProofsFromJson({
      {{"host", "h\n1"}, {"proof", "quorum-device"}, {"since", 7}},
      {{"host", long_text}, {"proof", long_text}, {"text", long_text + "\x1b[2J"}},
      {{"host", ""}, {"proof", "\u202e"}, {"text", ""}},
  });
  ASSERT_EQ(proofs.size(), 3u);
  EXPECT_EQ(proofs[0], (HostProof{"h\uFFFD1", "quorum-device"}));
  EXPECT_EQ(proofs[1].host.size(), 255u);
  EXPECT_EQ(proofs[1].proof.size(), 64u);
  EXPECT_EQ(proofs[1].text.size(), 400u);
  EXPECT_EQ(proofs[2], (HostProof{"", "\uFFFD"}));
}

TEST(Wire, ProofsThatAreNone) {
  const json good = {{"host", "h1"}, {"proof", "watchdog"}, {"text", "of 60 s"}};
  for (const char* member : {"host", "proof", "text"}) {
    for (const json& value : {json(7), json(), json::array(), json::object()}) {
      json bad = good;
      bad[member] = value;
      EXPECT_THROW(ProofsFromJson(json::array({bad})), std::exception) << member << " " << value;
    }
    if (std::string(member) == "text") continue;
    json bad = good;
    bad.erase(member);
    EXPECT_THROW(ProofsFromJson(json::array({bad})), std::exception) << member;
  }
  for (const json& list : {json(7), json(), json("x"), json::object(), good, json::array({7})}) {
    EXPECT_THROW(ProofsFromJson(list), std::exception) << list;
  }
  EXPECT_EQ(ProofsFromJson(json::array_t(1024, good)).size(), 1024u);
  EXPECT_THROW(ProofsFromJson(json::array_t(1025, good)), std::exception);
}

// A socket of the test in a runtime directory, and who listens there.
class ConnectionTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(RuntimeDirectory::Open(runtime_.path(), &directory_).ok()); }
  ~ConnectionTest() override {
    if (listener_ >= 0) close(listener_);
  }
  void Listen(int backlog = 1) {
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    const std::string path = runtime_.path() + "/" + kSocketName;
    ASSERT_LT(path.size(), sizeof address.sun_path);
    path.copy(address.sun_path, path.size());
    ASSERT_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(listen(listener_, backlog), 0);
  }
  // The other end of a new connection.
  int Accept() {
    EXPECT_TRUE(connection_.Connect(*directory_, In(1000)).ok());
    return accept(listener_, nullptr, nullptr);
  }
  static Deadline In(int milliseconds) {
    return std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  }

  const testing::RuntimeDirectoryOfTest runtime_;
  std::shared_ptr<const RuntimeDirectory> directory_;
  Connection connection_;
  int listener_ = -1;
};

TEST_F(ConnectionTest, NobodyListens) {
  const Status status = connection_.Connect(*directory_, In(1000));
  EXPECT_EQ(status.code(), Code::kIo);
  EXPECT_NE(status.message().find("does not answer at " + runtime_.path() + "/scsi-pr-agent.sock"),
            std::string::npos)
      << status.message();
  EXPECT_NE(status.hint().find("systemctl start scsi-prd"), std::string::npos);
  EXPECT_FALSE(connection_.connected());
}

TEST_F(ConnectionTest, NobodyListensAnyMore) {
  Listen();
  close(listener_);
  EXPECT_EQ(connection_.Connect(*directory_, In(1000)).code(), Code::kIo);
}

TEST_F(ConnectionTest, NobodyTakesConnections) {
  Listen(0);
  Connection first;
  EXPECT_TRUE(first.Connect(*directory_, In(1000)).ok());
  EXPECT_EQ(connection_.Connect(*directory_, In(50)).code(), Code::kBusy);
}

TEST_F(ConnectionTest, ThereAndBack) {
  Listen();
  const int peer = Accept();
  const json large = {{"a", std::string(3 << 20, 'x')}};
  std::thread echo([peer] {
    FrameReader reader;
    FrameWriter writer;
    json message;
    bool found = false;
    bool ended = false;
    while (!found && reader.ReadFrom(peer, &ended).ok() && !ended &&
           reader.Next(&message, &found).ok()) {
      usleep(100);
    }
    if (found) static_cast<void>(writer.Add(message).ok());
    while (!writer.empty() && writer.WriteTo(peer).ok()) usleep(100);
    close(peer);
  });
  json answer;
  EXPECT_TRUE(connection_.Send(large, In(10000)).ok());
  EXPECT_TRUE(connection_.Receive(&answer, In(10000)).ok());
  EXPECT_TRUE(answer == large);
  EXPECT_EQ(connection_.Receive(&answer, In(1000)).code(), Code::kIo);
  EXPECT_FALSE(connection_.connected());
  echo.join();
}

TEST_F(ConnectionTest, NotInTimeOrCancelled) {
  Listen();
  const int peer = Accept();
  json answer;
  int asked = 0;
  EXPECT_EQ(connection_.Receive(&answer, In(10000), [&] { return ++asked == 3; }).code(),
            Code::kBusy);
  EXPECT_EQ(asked, 3);
  close(peer);
  const int next = Accept();
  EXPECT_EQ(connection_.Receive(&answer, In(30)).code(), Code::kBusy);
  const int third = Accept();
  EXPECT_EQ(connection_.Send({{"a", std::string(3 << 20, 'x')}}, In(30)).code(), Code::kBusy);
  close(next);
  close(third);
}

TEST_F(ConnectionTest, GarbageEndsIt) {
  Listen();
  const int peer = Accept();
  ASSERT_EQ(write(peer, "garbage!", 8), 8);
  json answer;
  EXPECT_EQ(connection_.Receive(&answer, In(1000)).code(), Code::kCorrupt);
  EXPECT_FALSE(connection_.connected());
  EXPECT_EQ(connection_.Send(Ok(), In(1000)).code(), Code::kIo);
  close(peer);
}

// The process may have another root by now, and the directory another name.
TEST_F(ConnectionTest, WithoutTheDirectorysPath) {
  Listen();
  const std::string moved = runtime_.path() + "-moved";
  std::filesystem::rename(runtime_.path(), moved);
  const int peer = Accept();
  EXPECT_GE(peer, 0);
  close(peer);
  std::filesystem::rename(moved, runtime_.path());
}

}  // namespace
}  // namespace scsi_pr::cluster
