// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/records.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace scsi_pr::agent {
namespace {

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
  HostRecord host{"machine", "boot",      "i1",
                  1,         8 * kSecond, HostRecord::State::kDead,
                  "h2",      "n1",        "confirmed by the administrator"};
  ExpectKept(host);
  host = {"machine", "boot", "i1", 1, 8 * kSecond, HostRecord::State::kAlive, "", "n1", ""};
  ExpectKept(host);
  ExpectKept(StateRecord{7, {"n2", "n1"}, "{\"format\":\"scsi-pr\"}"});
  ExpectKept(NexusRecord{"h1"});
  ExpectKept(ChangeRecord{"n3", "h1", false, {}, false, 30 * kSecond});
  ExpectKept(ChangeRecord{"n3", "h1", true, {"naa.500,1", "iqn.x,2"}, true, 30 * kSecond});
  ExpectKept(AckRecord{"n3"});
}

TEST(Records, MembersOfTheFutureAreLeftAlone) {
  AckRecord ack;
  EXPECT_TRUE(Decode(R"({"schema":1,"id":"n","storage-epoch":7})", &ack).ok());
  EXPECT_EQ(ack.id, "n");
}

TEST(Records, NewerSchema) {
  AckRecord ack{"before"};
  EXPECT_EQ(Decode(R"({"schema":2,"id":"n"})", &ack).code(), Status::Code::kUnsupported);
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

TEST(Records, HostileHost) {
  const auto host = [](const std::string& from, const std::string& to) {
    std::string text = Encode(
        HostRecord{"m", "b", "i", 1, 8 * kSecond, HostRecord::State::kSuspect, "h2", "n", ""});
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
  });
}

TEST(Records, HostileOthers) {
  ExpectRefused<StateRecord>({
      R"({"schema":1,"version":0,"nonces":["n"],"document":""})",
      R"({"schema":1,"version":18446744073709551615,"nonces":["n"],"document":""})",
      R"({"schema":1,"version":1,"nonces":{},"document":""})",
      R"({"schema":1,"version":1,"nonces":["n"],"document":{}})",
      R"({"schema":1,"version":1,"nonces":["n"]})",
  });
  std::string many = R"({"schema":1,"version":1,"document":"","nonces":["n")";
  for (size_t i = 0; i < StateRecord::kNonces; i++) many += ",\"n\"";
  ExpectRefused<StateRecord>({many + "]}"});
  ExpectRefused<NexusRecord>({R"({"schema":1})", R"({"schema":1,"host":"a/b"})"});
  ExpectRefused<ChangeRecord>({
      R"({"schema":1,"id":"n","by":"h"})",
      R"({"schema":1,"id":"n","by":"h","patience-ms":1})",
      R"({"schema":1,"id":"n","by":"h","patience-ms":3600001})",
      R"({"schema":1,"id":"n","by":"h","patience-ms":30000,"intent":{}})",
      R"({"schema":1,"id":"n","by":"h","patience-ms":30000,"intent":{"aborts":1,"victims":[]}})",
      R"({"schema":1,"id":"n","by":"h","patience-ms":30000,"intent":{"aborts":true,"victims":7}})",
  });
  ExpectRefused<AckRecord>({R"({"schema":1,"id":7})"});
}

}  // namespace
}  // namespace scsi_pr::agent
