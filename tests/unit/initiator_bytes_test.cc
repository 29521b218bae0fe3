// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an initiator sends, and what a device server answers it: bytes of SPC-3, by hand.
#include "core/report.h"
#include "spc/device_identification.h"
#include "spc/persistent_reserve_data.h"
#include "spc/reserve.h"
#include "spc/sense_data.h"
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

// Tables 105 and 107.
TEST(EncodeOut, Fields) {
  const Command command = PreemptAndAbort(0x0102030405060708, 0x1112131415161718, kEARO).Aptpl();
  EXPECT_EQ(EncodeCdb(command), (ByteVector{0x5F, 0x05, 0x06, 0, 0, 0, 0, 0, 24, 0}));
  EXPECT_EQ(EncodeParameterList(command),
            (ByteVector{0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x11, 0x12, 0x13, 0x14,
                        0x15, 0x16, 0x17, 0x18, 0,    0,    0,    0,    0x01, 0,    0,    0}));
}

// Every command is parsed as what it was.
TEST(EncodeOut, IsParsedAgain) {
  for (const OutActionRow& row : kOutActions) {
    if (row.action == OutAction::kRegisterAndMove) continue;
    const Command command = Out(row.action, kKeyA, kKeyB, row.scope_and_type ? kWERO : Type{});
    const auto parsed = ParsePersistentReserveOut(EncodeCdb(command), EncodeParameterList(command));
    const auto* out = std::get_if<PersistentReserveOut>(&parsed);
    ASSERT_NE(out, nullptr) << row.name;
    EXPECT_EQ(out->action, row.action);
    EXPECT_EQ(out->type, command.type);
    EXPECT_EQ(out->reservation_key, kKeyA);
    EXPECT_EQ(out->service_action_reservation_key, kKeyB);
  }
}

TEST(EncodeIn, Fields) {
  EXPECT_EQ(EncodeCdb(PersistentReserveIn{InAction::kReadReservation, 0x0102}),
            (ByteVector{0x5E, 0x01, 0, 0, 0, 0, 0, 0x01, 0x02, 0}));
}

// SPC-2 7.21, 7.16.
TEST(EncodeReserve6, Fields) {
  EXPECT_EQ(EncodeReserve6(LegacyAction::kReserve), (ByteVector{0x16, 0, 0, 0, 0, 0}));
  EXPECT_EQ(EncodeReserve6(LegacyAction::kRelease), (ByteVector{0x17, 0, 0, 0, 0, 0}));
}

// 6.11.3.
TEST(ParseReadReservationTest, NoneAndOne) {
  std::optional<HeldReservation> held;
  EXPECT_TRUE(ParseReadReservation(ByteVector{0, 0, 0, 1, 0, 0, 0, 0}, &held));
  EXPECT_EQ(held, std::nullopt);
  const ByteVector data = {0, 0, 0, 1,   0, 0, 0, 16, 0, 0, 0, 0,
                           0, 0, 0, 0xA, 0, 0, 0, 0,  0, 6, 0, 0};
  EXPECT_TRUE(ParseReadReservation(data, &held));
  EXPECT_EQ(held, (HeldReservation{kKeyA, kEARO}));
}

TEST(ParseReadReservationTest, WhatReportMakes) {
  for (const Type type : kAllTypes) {
    std::optional<HeldReservation> held;
    EXPECT_TRUE(ParseReadReservation(ReadReservation(ReservedByA(type)), &held));
    EXPECT_EQ(held, (HeldReservation{AllRegistrants(type) ? 0 : kKeyA, type}));
  }
}

TEST(ParseReadReservationTest, Nonsense) {
  ByteVector data = ReadReservation(ReservedByA(kEARO));
  std::optional<HeldReservation> held;
  for (size_t size = 0; size < data.size(); size++) {
    EXPECT_FALSE(ParseReadReservation(ByteSpan(data).first(size), &held)) << size;
    EXPECT_EQ(held, std::nullopt);
  }
  for (const uint8_t scope_and_type : {0x00, 0x02, 0x09, 0x16, 0xF6}) {
    data[21] = scope_and_type;
    EXPECT_FALSE(ParseReadReservation(data, &held)) << int{scope_and_type};
  }
}

// 6.11.2: the length speaks of all, also where the data are cut.
TEST(ParseReadKeysTest, WholeAndCut) {
  const ByteVector data = ReadKeys(ReservedByA(kEARO));
  std::vector<uint64_t> keys;
  size_t total = 0;
  EXPECT_TRUE(ParseReadKeys(data, &keys, &total));
  EXPECT_EQ(keys, (std::vector<uint64_t>{kKeyA, kKeyB, kKeyC}));
  EXPECT_TRUE(ParseReadKeys(ByteSpan(data).first(23), &keys, &total));
  EXPECT_EQ(keys, std::vector<uint64_t>{kKeyA});
  EXPECT_EQ(total, 3u);
  EXPECT_FALSE(ParseReadKeys(ByteSpan(data).first(7), &keys, &total));
}

// 4.5.2, 4.5.3.
TEST(ParseSenseDataTest, Formats) {
  const ByteVector fixed = {0x70, 0, 0x06, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x2A, 0x05, 0, 0, 0, 0};
  EXPECT_EQ(ParseSenseData(fixed), sense::kRegistrationsPreempted);
  EXPECT_EQ(ParseSenseData(ByteVector{0x72, 0x06, 0x2A, 0x05, 0, 0, 0, 0}),
            sense::kRegistrationsPreempted);
  EXPECT_EQ(ParseSenseData(ByteSpan(fixed).first(3)), (Sense{6, 0, 0}));
}

TEST(ParseSenseDataTest, Nonsense) {
  for (const ByteVector& bytes : {ByteVector{}, ByteVector{0x70, 0}, ByteVector{0x72},
                                  ByteVector{0x71, 0, 6}, ByteVector{0x00, 0, 6, 0}}) {
    EXPECT_EQ(ParseSenseData(bytes), std::nullopt);
  }
}

TEST(SenseTextTest, ForPeople) {
  EXPECT_EQ(SenseText(sense::kInvalidCommandOperationCode), "ILLEGAL REQUEST (5h/20h/00h)");
}

ByteVector Page(const std::vector<ByteVector>& designators) {
  ByteVector page = {0, 0x83, 0, 0};
  for (const ByteVector& each : designators) page.insert(page.end(), each.begin(), each.end());
  StoreBE(std::span<uint8_t>(page), 2, static_cast<uint16_t>(page.size() - 4));
  return page;
}

// 7.6.3: those of the logical unit, the best first.
TEST(LogicalUnitNamesTest, Order) {
  const ByteVector t10 = {0x02, 0x01, 0, 2, 'A', 'B'};
  const ByteVector name = {0x03, 0x08, 0, 4, 'i', 'q', 'n', 0};
  const ByteVector naa = {0x01, 0x03, 0, 8, 0x50, 0, 0xC5, 0, 0x15, 0xEA, 0x71, 0xAC};
  EXPECT_EQ(LogicalUnitNames(Page({t10, name, naa})),
            (std::vector<std::string>{"naa.5000c50015ea71ac", "name.iqn", "t10.4142"}));
}

TEST(LogicalUnitNamesTest, OthersAreNone) {
  const ByteVector of_port = {0x61, 0x93, 0, 8, 0x50, 0, 0xC5, 0, 0x15, 0xEA, 0x71, 0xAC};
  const ByteVector vendors = {0x02, 0x00, 0, 2, 'A', 'B'};
  const ByteVector group = {0x01, 0x05, 0, 4, 0, 0, 0, 1};
  EXPECT_TRUE(LogicalUnitNames(Page({of_port, vendors, group})).empty());
}

TEST(LogicalUnitNamesTest, CutAndForeign) {
  const ByteVector naa = {0x01, 0x03, 0, 8, 0x50, 0, 0xC5, 0, 0x15, 0xEA, 0x71, 0xAC};
  const ByteVector page = Page({naa});
  for (size_t size = 0; size < page.size(); size++) {
    EXPECT_TRUE(LogicalUnitNames(ByteSpan(page).first(size)).empty()) << size;
  }
  ByteVector other = page;
  other[1] = 0x80;
  EXPECT_TRUE(LogicalUnitNames(other).empty());
}

TEST(EncodeInquiryTest, Fields) {
  EXPECT_EQ(EncodeInquiry(0x83, 0x0102), (ByteVector{0x12, 0x01, 0x83, 0x01, 0x02, 0}));
}

}  // namespace
}  // namespace scsi_pr
