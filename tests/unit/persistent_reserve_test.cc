// SPDX-License-Identifier: GPL-2.0-or-later
//
// PERSISTENT RESERVE IN and OUT from bytes (SPC-3 6.11.1, 6.12.1, 6.12.3).
#include "spc/persistent_reserve.h"

#include "testing.h"

namespace scsi_pr {
namespace {

using testing::InCdb;
using testing::OutCdb;
using testing::OutData;
using testing::Register;

std::optional<Sense> OutError(ByteSpan cdb, ByteSpan data) {
  const auto parsed = ParsePersistentReserveOut(cdb, data);
  const Sense* sense = std::get_if<Sense>(&parsed);
  return sense == nullptr ? std::nullopt : std::optional(*sense);
}

std::optional<Sense> InError(ByteSpan cdb) {
  const auto parsed = ParsePersistentReserveIn(cdb);
  const Sense* sense = std::get_if<Sense>(&parsed);
  return sense == nullptr ? std::nullopt : std::optional(*sense);
}

// Tables 105 and 107, every field by hand.
TEST(ParseOut, Fields) {
  const ByteVector cdb = {0x5F, 0x04, 0x06, 0, 0, 0, 0, 0, 24, 0};
  const ByteVector data = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x11, 0x12, 0x13, 0x14,
                           0x15, 0x16, 0x17, 0x18, 0,    0,    0,    0,    0x00, 0,    0,    0};
  const auto parsed = ParsePersistentReserveOut(cdb, data);
  const auto& out = std::get<PersistentReserveOut>(parsed);
  EXPECT_EQ(out.action, OutAction::kPreempt);
  EXPECT_EQ(out.scope, 0);
  EXPECT_EQ(out.type, 6);
  EXPECT_EQ(out.reservation_key, 0x0102030405060708u);
  EXPECT_EQ(out.service_action_reservation_key, 0x1112131415161718u);
  EXPECT_FALSE(out.spec_i_pt || out.all_tg_pt || out.aptpl);
}

TEST(ParseOut, ScopeAndTypeAreNibbles) {
  for (unsigned byte = 0; byte < 256; byte++) {
    ByteVector cdb = OutCdb(Register(0, 1));
    cdb[2] = static_cast<uint8_t>(byte);
    const auto parsed = ParsePersistentReserveOut(cdb, OutData(Register(0, 1)));
    const auto* out = std::get_if<PersistentReserveOut>(&parsed);
    ASSERT_NE(out, nullptr) << "REGISTER ignores SCOPE and TYPE (table 109)";
    EXPECT_EQ(out->scope, byte >> 4);
    EXPECT_EQ(out->type, byte & 0xF);
  }
}

// Table 107, byte 20: SPEC_I_PT is bit 3, ALL_TG_PT bit 2, APTPL bit 0.
TEST(ParseOut, Byte20) {
  for (unsigned byte = 0; byte < 256; byte++) {
    ByteVector data(24);
    data[20] = static_cast<uint8_t>(byte);
    const auto parsed = ParsePersistentReserveOut(OutCdb(Register(0, 1)), data);
    const auto* out = std::get_if<PersistentReserveOut>(&parsed);
    ASSERT_NE(out, nullptr) << byte;
    EXPECT_EQ(out->spec_i_pt, (byte & 8) != 0);
    EXPECT_EQ(out->all_tg_pt, (byte & 4) != 0);
    EXPECT_EQ(out->aptpl, (byte & 1) != 0);
  }
}

// Obsolete fields (bytes 16 - 19, 22, 23) and reserved ones are not looked at.
TEST(ParseOut, ObsoleteBytes) {
  ByteVector data = OutData(Register(1, 2));
  for (size_t i : {16, 17, 18, 19, 21, 22, 23}) data[i] = 0xFF;
  EXPECT_EQ(OutError(OutCdb(Register(1, 2)), data), std::nullopt);
}

// Table 106: 00h - 06h are known here; all others are refused.
TEST(ParseOut, ServiceActions) {
  for (unsigned code = 0; code < 32; code++) {
    ByteVector cdb = OutCdb(Register(0, 1));
    cdb[1] = static_cast<uint8_t>(code);
    const auto expected = code <= 6 ? std::nullopt : std::optional(sense::kInvalidFieldInCdb);
    EXPECT_EQ(OutError(cdb, ByteVector(24)), expected) << code;
  }
}

// 6.12.1: without SPEC_I_PT the PARAMETER LIST LENGTH field shall contain 24.
TEST(ParseOut, ParameterListLength) {
  const ByteVector data(70000);
  for (uint32_t length : {0u, 1u, 8u, 23u, 25u, 28u, 48u, 255u, 256u + 24, 65535u, 65536u,
                          65536u + 24, (1u << 24) + 24, 0xFFFFFFFFu}) {
    EXPECT_EQ(OutError(OutCdb(Register(0, 1), length), data), sense::kParameterListLengthError)
        << length;
  }
  EXPECT_EQ(OutError(OutCdb(Register(0, 1), 24), data), std::nullopt);
}

// The field says 24 but fewer bytes came.
TEST(ParseOut, TruncatedDataOut) {
  const ByteVector data(24);
  for (size_t size = 0; size < 24; size++) {
    EXPECT_EQ(OutError(OutCdb(Register(0, 1)), ByteSpan(data).first(size)),
              sense::kParameterListLengthError)
        << size;
  }
}

// With SPEC_I_PT the length is that of all parameter data, at least 24.
TEST(ParseOut, ParameterListLengthWithSpecIPt) {
  ByteVector data(100);
  data[20] = 0x08;
  for (uint32_t length : {0u, 23u}) {
    EXPECT_EQ(OutError(OutCdb(Register(0, 1), length), data), sense::kParameterListLengthError);
  }
  for (uint32_t length : {28u, 52u, 100u}) {
    EXPECT_NE(OutError(OutCdb(Register(0, 1), length), data), sense::kParameterListLengthError);
  }
}

// SAM-3 5.2: NACA (bit 2) and LINK (bit 0) ask for what is not supported.
TEST(ParseOut, ControlByte) {
  for (unsigned control = 0; control < 256; control++) {
    ByteVector cdb = OutCdb(Register(0, 1));
    cdb[9] = static_cast<uint8_t>(control);
    const bool refused = (control & 0x05) != 0;
    EXPECT_EQ(OutError(cdb, ByteVector(24)).has_value(), refused) << control;
    if (refused) { EXPECT_EQ(OutError(cdb, ByteVector(24)), sense::kInvalidFieldInCdb); }
  }
}

TEST(ParseOut, ShortCdb) {
  const ByteVector cdb = OutCdb(Register(0, 1));
  for (size_t size = 0; size < cdb.size(); size++) {
    EXPECT_EQ(OutError(ByteSpan(cdb).first(size), ByteVector(24)), sense::kInvalidFieldInCdb);
  }
}

// Table 97: 00h - 03h, the rest reserved.
TEST(ParseIn, ServiceActions) {
  for (unsigned code = 0; code < 32; code++) {
    ByteVector cdb = InCdb(InAction::kReadKeys, 8);
    cdb[1] = static_cast<uint8_t>(code);
    const auto parsed = ParsePersistentReserveIn(cdb);
    if (code <= 3) {
      const auto* in = std::get_if<PersistentReserveIn>(&parsed);
      ASSERT_NE(in, nullptr) << code;
      EXPECT_EQ(static_cast<unsigned>(in->action), code);
    } else {
      EXPECT_EQ(InError(cdb), sense::kInvalidFieldInCdb) << code;
    }
  }
}

// 6.11.1: ALLOCATION LENGTH in bytes 7 and 8; zero is no error (SPC-3 4.3.4.6).
TEST(ParseIn, AllocationLength) {
  for (unsigned length : {0u, 1u, 7u, 8u, 255u, 256u, 8192u, 65535u}) {
    const auto parsed = ParsePersistentReserveIn(
        InCdb(InAction::kReadFullStatus, static_cast<uint16_t>(length)));
    const auto* in = std::get_if<PersistentReserveIn>(&parsed);
    ASSERT_NE(in, nullptr) << length;
    EXPECT_EQ(in->allocation_length, length);
  }
}

TEST(ParseIn, ControlByte) {
  for (unsigned control = 0; control < 256; control++) {
    ByteVector cdb = InCdb(InAction::kReadKeys, 8);
    cdb[9] = static_cast<uint8_t>(control);
    const bool refused = (control & 0x05) != 0;
    EXPECT_EQ(InError(cdb),
              refused ? std::optional(sense::kInvalidFieldInCdb) : std::nullopt)
        << control;
  }
}

TEST(ParseIn, ShortCdb) {
  const ByteVector cdb = InCdb(InAction::kReadKeys, 8);
  for (size_t size = 0; size < cdb.size(); size++) {
    EXPECT_EQ(InError(ByteSpan(cdb).first(size)), sense::kInvalidFieldInCdb);
  }
}

// 6.11.4.3: six types; 0h, 2h, 4h obsolete, 9h - Fh reserved.
TEST(Types, KnownCodes) {
  for (unsigned code = 0; code < 256; code++) {
    const bool known = code == 1 || code == 3 || (code >= 5 && code <= 8);
    EXPECT_EQ(IsKnownType(static_cast<uint8_t>(code)), known) << code;
  }
}

TEST(Types, Properties) {
  struct Row {
    Type type;
    const char* name;
    bool exclusive_access, registrants_have_access, all_registrants;
  };
  constexpr Row kRows[] = {
      {testing::kWE, "write-exclusive", false, false, false},
      {testing::kEA, "exclusive-access", true, false, false},
      {testing::kWERO, "write-exclusive-registrants-only", false, true, false},
      {testing::kEARO, "exclusive-access-registrants-only", true, true, false},
      {testing::kWEAR, "write-exclusive-all-registrants", false, true, true},
      {testing::kEAAR, "exclusive-access-all-registrants", true, true, true},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(IsExclusiveAccess(row.type), row.exclusive_access);
    EXPECT_EQ(RegistrantsHaveAccess(row.type), row.registrants_have_access);
    EXPECT_EQ(IsAllRegistrants(row.type), row.all_registrants);
    EXPECT_EQ(TypeName(row.type), row.name);
    EXPECT_EQ(TypeFromName(row.name), row.type);
  }
  EXPECT_EQ(TypeFromName(""), std::nullopt);
  EXPECT_EQ(TypeFromName("WRITE-EXCLUSIVE"), std::nullopt);
}

}  // namespace
}  // namespace scsi_pr
