// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace scsi_pr::agent {
namespace {

using namespace std::chrono_literals;

struct Line {
  const MessageKind* kind;
  std::string text;
  LogFields fields;
};

class LogTest : public ::testing::Test {
 protected:
  class Sink : public LogSink {
   public:
    explicit Sink(std::vector<Line>& lines) : lines_(lines) {}
    void Write(const MessageKind& kind, const std::string& text, const LogFields& fields) override {
      lines_.push_back({&kind, text, fields});
    }

   private:
    std::vector<Line>& lines_;
  };

  std::vector<Line> lines_;
  Log::Clock::time_point now_{1000s};
  Log log_{std::make_unique<Sink>(lines_), LogLevel::kInfo, [this] { return now_; }};
};

TEST_F(LogTest, Levels) {
  log_.Say(Message::kDetail, "a detail");
  EXPECT_TRUE(lines_.empty());
  log_.Say(Message::kJoined, "joined", {{"HOST", "h1"}});
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_STREQ(lines_[0].kind->name, "joined");
  EXPECT_EQ(lines_[0].fields[0].value, "h1");
  log_.set_level(LogLevel::kDebug);
  log_.Say(Message::kDetail, "a detail");
  log_.set_level(LogLevel::kError);
  log_.Say(Message::kJoined, "joined");
  EXPECT_EQ(lines_.size(), 2u);
}

TEST_F(LogTest, WhatToDo) {
  log_.Say(Message::kNoSpace, Status::Error(Status::Code::kIo, "no space", "Make some."));
  log_.Say(Message::kNoSpace, Status::Error(Status::Code::kIo, "no space"));
  EXPECT_EQ(lines_[0].text, "no space (Make some.)");
  EXPECT_EQ(lines_[1].text, "no space");
}

TEST_F(LogTest, HostileText) {
  log_.Say(Message::kJoined, "one\nLine\x1b[31m\xff", {{"LU", "a\nMESSAGE_ID=b"}});
  EXPECT_EQ(lines_[0].text.find_first_of("\n\x1b\xff"), std::string::npos);
  EXPECT_EQ(lines_[0].fields[0].value.find('\n'), std::string::npos);
  log_.Say(Message::kJoined, std::string(1 << 20, 'x'), {{"LU", std::string(1 << 20, 'x')}});
  EXPECT_LT(lines_[1].text.size() + lines_[1].fields[0].value.size(), 10000u);
}

TEST_F(LogTest, AFloodOfOneKind) {
  for (int i = 0; i < 1000; i++) log_.Say(Message::kPeerRefused, "again");
  log_.Say(Message::kJoined, "joined");
  ASSERT_EQ(lines_.size(), Log::kMost + 1u) << "others are not held back";
  lines_.clear();
  now_ += Log::kWindow;
  log_.Say(Message::kJoined, "joined");
  ASSERT_EQ(lines_.size(), 2u);
  EXPECT_EQ(lines_[0].kind->message, Message::kPeerRefused);
  EXPECT_EQ(lines_[0].text, "980 more messages of this kind (peer-refused) were left out");
  log_.Say(Message::kPeerRefused, "again");
  EXPECT_EQ(lines_.size(), 3u);
}

TEST(MessageKinds, Ids) {
  std::set<std::string> ids, names;
  for (const MessageKind& kind : kMessageKinds) {
    const std::string id = kind.id;
    EXPECT_EQ(id.size(), 32u) << kind.name;
    EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos) << kind.name;
    EXPECT_TRUE(ids.insert(id).second) << kind.name;
    EXPECT_TRUE(names.insert(kind.name).second) << kind.name;
  }
}

TEST(StderrSink, OneLine) {
  ::testing::internal::CaptureStderr();
  Log(StderrSink()).Say(Message::kNoSpace, "etcd is full");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "error: etcd is full\n");
}

}  // namespace
}  // namespace scsi_pr::agent
