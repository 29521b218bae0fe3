// SPDX-License-Identifier: GPL-2.0-or-later
//
// The text of a history, and the histories that were kept.
#include "history.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "../unit/testing.h"
#include "checker.h"

namespace scsi_pr::linear {
namespace {

using namespace testing;

History Example() {
  History history;
  history.capabilities = kAborts;
  history.before = {{ReservedByA(kWE), {A(), B()}, {}}, {State(), {}, {}}};
  const auto command = Preempt(kKeyB, kKeyA, kWE);
  Operation ended{.nexus = A(), .life = 3, .cdb = InCdb(InAction::kReadKeys, 16), .call = -5};
  ended.end = 7;
  ended.response = {ScsiStatus::kCheckCondition, sense::kInvalidFieldInCdb, {0x00, 0xFF, 0x1A}};
  history.operations = {ended,
                        {.nexus = B(), .cdb = OutCdb(command), .data_out = OutData(command)},
                        {.kind = Operation::Kind::kGone, .nexus = C(), .life = 1}};
  return history;
}

TEST(HistoryText, RoundTrip) {
  const std::string text = Encode(Example());
  const History decoded = DecodeHistory(text);
  EXPECT_EQ(Encode(decoded), text);
  ASSERT_EQ(decoded.before.size(), 2u);
  EXPECT_EQ(decoded.before[0].state, ReservedByA(kWE));
  EXPECT_EQ(decoded.before[0].attached, (std::vector{A(), B()}));
  EXPECT_TRUE(decoded.capabilities.abort_tasks);
  ASSERT_EQ(decoded.operations.size(), 3u);
  const Operation& ended = decoded.operations[0];
  EXPECT_EQ(ended.nexus, A());
  EXPECT_EQ(ended.life, 3u);
  EXPECT_EQ(ended.call, -5);
  EXPECT_EQ(ended.end, 7);
  EXPECT_EQ(ended.response.status, ScsiStatus::kCheckCondition);
  EXPECT_EQ(ended.response.sense, sense::kInvalidFieldInCdb);
  EXPECT_EQ(ended.response.data, (ByteVector{0x00, 0xFF, 0x1A}));
  EXPECT_FALSE(decoded.operations[1].end);
  EXPECT_EQ(decoded.operations[1].data_out, OutData(Preempt(kKeyB, kKeyA, kWE)));
  EXPECT_EQ(decoded.operations[2].kind, Operation::Kind::kGone);
}

TEST(HistoryText, Malformed) {
  const std::string good = Encode(Example().operations[0]);
  EXPECT_NO_THROW(DecodeOperation(good));
  const std::pair<std::string, std::string> kChanges[] = {
      {"command", "comand"}, {"\"5e", "\"5"}, {"\"5e", "\"xe"}, {"052400", "0524"}, {":7", ":-7"},
  };
  for (const auto& [from, to] : kChanges) {
    std::string bad = good;
    bad.replace(bad.find(from), from.size(), to);
    EXPECT_ANY_THROW(DecodeOperation(bad)) << bad;
  }
  EXPECT_ANY_THROW(DecodeHistory(""));
  EXPECT_ANY_THROW(DecodeHistory(Encode(History{})));
}

TEST(HistoryText, Words) {
  const History example = Example();
  EXPECT_EQ(Describe(example.operations[1]),
            "naa.5000000000000002@1 PREEMPT key 11, action key 10, type 1 -> unknown");
  EXPECT_EQ(Describe(example.operations[2]), "naa.5000000000000003@1 is gone or about to go");
  EXPECT_EQ(Describe(example.before[1]), "PRgeneration 0; 0 attached");
}

// histories/: what storms have kept. The name says what they are.
TEST(KeptHistories, AreWhatTheirNamesSay) {
  const std::string directory = HISTORIES;
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    std::ifstream file(entry.path());
    const std::string text(std::istreambuf_iterator<char>(file), {});
    const Verdict verdict = Check(DecodeHistory(text));
    const bool violation = name.starts_with("violation-");
    EXPECT_TRUE(violation || name.starts_with("linearizable-")) << name;
    EXPECT_EQ(verdict.kind == Verdict::Kind::kViolation, violation) << name;
    EXPECT_NE(verdict.kind, Verdict::Kind::kUndecided) << name;
    count++;
  }
  EXPECT_GT(count, 0);
}

}  // namespace
}  // namespace scsi_pr::linear
