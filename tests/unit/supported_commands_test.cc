// SPDX-License-Identifier: GPL-2.0-or-later
//
// REPORT SUPPORTED OPERATION CODES (SPC-4 6.35), byte by byte.
#include "spc/supported_commands.h"

#include "execute.h"
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

// One command without service actions and one with two.
const SupportedCommand kCommands[] = {
    {{0x12, 0x01, 0xFF, 0xFF, 0xFF}, 6, false},
    {{0x5E, 0x00, 0, 0, 0, 0, 0, 0xFF, 0xFF}, 10, true},
    {{0x5E, 0x02, 0, 0, 0, 0, 0, 0xFF, 0xFF}, 10, true},
};

constexpr uint8_t kRctd = 0x80;

ByteVector Cdb(uint8_t byte2, uint8_t code = 0, uint16_t action = 0, uint32_t allocation = 65536) {
  ByteVector cdb = {0xA3, 0x0C, byte2, code};
  AppendBE(cdb, action);
  AppendBE(cdb, allocation);
  cdb.resize(12);
  return cdb;
}

std::variant<ByteVector, Sense> Ask(ByteSpan cdb) {
  const auto parsed = ParseReportSupportedOperationCodes(cdb);
  if (const Sense* sense = std::get_if<Sense>(&parsed)) return *sense;
  return ReportOperationCodes(std::get<ReportSupportedOperationCodes>(parsed), kCommands);
}

const std::variant<ByteVector, Sense> kRefused = sense::kInvalidFieldInCdb;
const std::variant<ByteVector, Sense> kUnsupported = ByteVector{0, 0x01, 0, 0};
const std::variant<ByteVector, Sense> kInquiry =
    ByteVector{0, 0x03, 0, 6, 0x12, 0x01, 0xFF, 0xFF, 0xFF, 0};
const std::variant<ByteVector, Sense> kReportCapabilities =
    ByteVector{0, 0x03, 0, 10, 0x5E, 0x02, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0};

TEST(SupportedCommands, All) {
  const std::variant<ByteVector, Sense> expected =
      ByteVector{0,    0, 0, 24,               // COMMAND DATA LENGTH
                 0x12, 0, 0, 0,  0, 0, 0, 6,   //
                 0x5E, 0, 0, 0,  0, 1, 0, 10,  // SERVACTV
                 0x5E, 0, 0, 2,  0, 1, 0, 10};
  EXPECT_EQ(Ask(Cdb(0)), expected);
  EXPECT_EQ(Ask(Cdb(0, 0x5E, 2)), expected) << "the requested command is ignored";
  EXPECT_EQ(Ask(Cdb(0x78)), expected) << "reserved bits are ignored";
}

TEST(SupportedCommands, AllWithTimeouts) {
  const std::variant<ByteVector, Sense> expected =
      ByteVector{0,    0, 0, 60,                                                    // length
                 0x12, 0, 0, 0,  0, 2, 0, 6,  0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // CTDP
                 0x5E, 0, 0, 0,  0, 3, 0, 10, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // and SERVACTV
                 0x5E, 0, 0, 2,  0, 3, 0, 10, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(Ask(Cdb(kRctd)), expected);
}

struct OneCommandRow {
  uint8_t options;
  uint8_t code;
  uint16_t action;
  std::variant<ByteVector, Sense> expected;
};

TEST(SupportedCommands, OneCommand) {
  const OneCommandRow kRows[] = {
      // 001b: codes without service actions; the service action is ignored
      {1, 0x12, 0, kInquiry},
      {1, 0x12, 7, kInquiry},
      {1, 0x5E, 2, kRefused},
      {1, 0xC0, 0, kUnsupported},
      // 010b: codes with service actions
      {2, 0x5E, 2, kReportCapabilities},
      {2, 0x5E, 1, kUnsupported},
      {2, 0x5E, 0x102, kUnsupported},
      {2, 0x12, 0, kRefused},
      {2, 0xC0, 0, kUnsupported},
      // 011b: either; without service actions only service action 0
      {3, 0x12, 0, kInquiry},
      {3, 0x12, 7, kUnsupported},
      {3, 0x5E, 2, kReportCapabilities},
      {3, 0x5E, 1, kUnsupported},
      {3, 0xC0, 0, kUnsupported},
      // reserved
      {4, 0x12, 0, kRefused},
      {7, 0x5E, 2, kRefused},
  };
  for (const OneCommandRow& row : kRows) {
    EXPECT_EQ(Ask(Cdb(row.options, row.code, row.action)), row.expected)
        << "options " << int{row.options} << " code " << int{row.code} << " action " << row.action;
  }
}

TEST(SupportedCommands, OneCommandWithTimeouts) {
  const std::variant<ByteVector, Sense> expected =
      ByteVector{0, 0x83, 0, 6, 0x12, 0x01, 0xFF, 0xFF, 0xFF, 0,  //
                 0, 10,   0, 0, 0,    0,    0,    0,    0,    0, 0, 0};
  EXPECT_EQ(Ask(Cdb(kRctd | 1, 0x12)), expected);
  EXPECT_EQ(Ask(Cdb(kRctd | 1, 0xC0)), kUnsupported) << "no descriptor, no CTDP";
}

TEST(SupportedCommands, BadCdb) {
  const ByteVector whole = Cdb(0);
  for (size_t length = 0; length < whole.size(); length++) {
    EXPECT_EQ(Ask(ByteSpan(whole).first(length)), kRefused) << length;
  }
  for (uint8_t control : {0x01, 0x04}) {
    ByteVector cdb = whole;
    cdb[11] = control;
    EXPECT_EQ(Ask(cdb), kRefused);
  }
}

// In front of another device server, which has commands of its own.

ByteVector ReportOf(ByteVector descriptors) {
  ByteVector report;
  AppendBE(report, static_cast<uint32_t>(descriptors.size()));
  report.insert(report.end(), descriptors.begin(), descriptors.end());
  return report;
}

const SupportedCommand kOurs[] = {
    {{0x16}, 6, false}, {{0x5E, 0x01}, 10, true}, {{0xA3, 0x0C}, 12, true}};
const ByteVector kOursReported = ReportOf({0x16, 0, 0, 0,    0, 0, 0, 6,   //
                                           0x5E, 0, 0, 1,    0, 1, 0, 10,  //
                                           0xA3, 0, 0, 0x0C, 0, 1, 0, 12});

TEST(MergedReport, OursTakeThePlaceOfTheOthers) {
  const ByteVector other = ReportOf({0x00, 0, 0, 0,    0, 0, 0, 6,   //
                                     0x5E, 0, 0, 0,    0, 1, 0, 10,  // READ KEYS
                                     0x5E, 0, 0, 1,    0, 1, 0, 10,  //
                                     0xA3, 0, 0, 0x05, 0, 1, 0, 12,  //
                                     0xA3, 0, 0, 0x0C, 0, 1, 0, 12,  //
                                     0x16, 0, 0, 0,    0, 0, 0, 6,   // in no order
                                     0x28, 0, 0, 0,    0, 0, 0, 10});
  EXPECT_EQ(MergeReports(other, false, kOurs),
            ReportOf({0x00, 0, 0, 0,    0, 0, 0, 6,   //
                      0x16, 0, 0, 0,    0, 0, 0, 6,   //
                      0x28, 0, 0, 0,    0, 0, 0, 10,  //
                      0x5E, 0, 0, 1,    0, 1, 0, 10,  // one service action: the other's is gone
                      0xA3, 0, 0, 0x05, 0, 1, 0, 12,  // another one of MAINTENANCE IN: stays
                      0xA3, 0, 0, 0x0C, 0, 1, 0, 12}));
}

TEST(MergedReport, TimeoutsOfTheOther) {
  const ByteVector read = {0x28, 0, 0, 0, 0, 2, 0, 10, 0, 10, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3};
  const ByteVector merged = MergeReports(ReportOf(read), true, kOurs);
  ASSERT_EQ(merged.size(), 4 + 20 + 3 * 20u);
  EXPECT_EQ(LoadBE<uint32_t>(merged, 0), merged.size() - 4);
  EXPECT_EQ(ByteVector(merged.begin() + 24, merged.begin() + 44), read);
}

TEST(MergedReport, WhateverTheOtherReturns) {
  const ByteVector truth =
      ReportOf({0x28, 0, 0, 0, 0, 2, 0, 10, 0, 10, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3});
  for (size_t length = 0; length < truth.size(); length++) {
    EXPECT_EQ(MergeReports(ByteSpan(truth).first(length), false, kOurs), kOursReported) << length;
  }
  ByteVector long_descriptor = truth;
  long_descriptor[12] = 0xFF;
  EXPECT_EQ(MergeReports(long_descriptor, false, kOurs), kOursReported);
  ByteVector longer = truth;
  longer.resize(100, 0x55);
  EXPECT_EQ(MergeReports(longer, false, kOurs), MergeReports(truth, false, kOurs))
      << "what is behind the list is no part of it";
}

TEST(MergedReport, WhoAnswersForOneCommand) {
  const auto concerns = [](uint8_t options, uint8_t code, uint16_t action) {
    const auto parsed = ParseReportSupportedOperationCodes(Cdb(options, code, action));
    return Concerns(std::get<ReportSupportedOperationCodes>(parsed), kOurs);
  };
  EXPECT_FALSE(concerns(0, 0x16, 0)) << "all commands";
  for (uint8_t options : {1, 2, 3}) {
    EXPECT_TRUE(concerns(options, 0x16, 0));
    EXPECT_TRUE(concerns(options, 0x5E, 1));
    EXPECT_TRUE(concerns(options, 0x5E, 9)) << "not supported, say we";
    EXPECT_TRUE(concerns(options, 0xA3, 0x0C));
    EXPECT_FALSE(concerns(options, 0x28, 0));
  }
  EXPECT_TRUE(concerns(1, 0xA3, 0x05)) << "it has service actions, say we";
  EXPECT_FALSE(concerns(2, 0xA3, 0x05));
  EXPECT_FALSE(concerns(3, 0xA3, 0x05));
}

// What the device server makes of it: with its own commands, in order.
class SupportedByServer : public ::testing::Test {
 protected:
  SupportedByServer() {
    std::shared_ptr<Store> store;
    EXPECT_TRUE(Store::Open("memory:", Store::OpenMode::kCreate, &store).ok());
    DeviceServer::Options options;
    options.commands = {{{0x00}, 6}, {{0xA0}, 12}};
    EXPECT_TRUE(DeviceServer::Open(store, A(), "test", options, &server_).ok());
  }
  Response Execute(ByteVector cdb) { return testing::Execute(*server_, std::move(cdb)); }

  std::unique_ptr<DeviceServer> server_;
};

TEST_F(SupportedByServer, All) {
  const Response response = Execute(Cdb(0));
  ASSERT_EQ(response.status, ScsiStatus::kGood);
  std::vector<std::pair<int, int>> reported;
  for (size_t i = 4; i < response.data.size(); i += 8) {
    reported.emplace_back(response.data[i], response.data[i + 3]);
  }
  const std::vector<std::pair<int, int>> expected = {
      {0x00, 0}, {0x16, 0}, {0x17, 0}, {0x56, 0}, {0x57, 0},               // SPC-2
      {0x5E, 0}, {0x5E, 1}, {0x5E, 2}, {0x5E, 3},                          // table 97
      {0x5F, 0}, {0x5F, 1}, {0x5F, 2}, {0x5F, 3}, {0x5F, 4},   {0x5F, 5},  // table 106
      {0x5F, 6}, {0x5F, 7}, {0x5F, 8}, {0xA0, 0}, {0xA3, 0x0C}};
  EXPECT_EQ(reported, expected);
}

// Table 106: SCOPE and TYPE are ignored by the actions that make or change no
// reservation.
TEST_F(SupportedByServer, UsageOfPersistentReserveOut) {
  for (const auto& [action, byte2] : std::vector<std::pair<uint8_t, uint8_t>>{
           {0, 0}, {1, 0xFF}, {2, 0xFF}, {3, 0}, {4, 0xFF}, {5, 0xFF}, {6, 0}, {7, 0}, {8, 0xFF}}) {
    const ByteVector expected = {0, 3, 0, 10, 0x5F, action, byte2, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0};
    EXPECT_EQ(Execute(Cdb(2, 0x5F, action)).data, expected);
  }
}

TEST_F(SupportedByServer, AllocationLength) {
  const ByteVector whole = Execute(Cdb(0)).data;
  for (uint32_t length : {0u, 3u, 4u, 11u, 1000u}) {
    ByteVector expected = whole;
    expected.resize(std::min<size_t>(length, whole.size()));
    EXPECT_EQ(Execute(Cdb(0, 0, 0, length)).data, expected) << "lengths are not adjusted";
  }
}

TEST_F(SupportedByServer, OtherServiceActionsOfMaintenanceIn) {
  for (uint8_t action = 0; action < 32; action++) {
    if (action == 0x0C) continue;
    ByteVector cdb = Cdb(0);
    cdb[1] = action;
    EXPECT_EQ(Execute(cdb).sense, sense::kInvalidFieldInCdb);
  }
  EXPECT_EQ(Execute({0xA3}).sense, sense::kInvalidFieldInCdb);
}

}  // namespace
}  // namespace scsi_pr
