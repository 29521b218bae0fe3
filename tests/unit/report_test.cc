// SPDX-License-Identifier: GPL-2.0-or-later
//
// PERSISTENT RESERVE IN parameter data (SPC-3 6.11.2 - 6.11.6, r23), written
// out byte by byte.
#include "core/report.h"

#include "core/access.h"
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

constexpr uint64_t kLongKey = 0x0102030405060708;

State Example(Type type) {
  return Given()
      .Registered(A(), kLongKey)
      .Registered(MakeNexus("iqn.a", 0x0203), 0xDEADBEEF)
      .Reserved(type, A())
      .Generation(0x11223344);
}

// 6.11.3: PRGENERATION, ADDITIONAL LENGTH, then eight bytes a registration.
TEST(ReadKeys, Bytes) {
  Clause("6.11.3: keys", "5.6.4.2: a", "5.6.4.2: b", "6.11.2.2");
  const ByteVector expected = {
      0x11, 0x22, 0x33, 0x44, 0x00, 0x00, 0x00, 0x10,  //
      0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,  //
      0x00, 0x00, 0x00, 0x00, 0xDE, 0xAD, 0xBE, 0xEF,
  };
  EXPECT_EQ(ReadKeys(Example(kWE)), expected);
}

TEST(ReadKeys, Nothing) {
  Clause("6.11.3: keys");
  EXPECT_EQ(ReadKeys(State{}), ByteVector(8));
}

// 5.6.4.2: duplicate keys shall be reported.
TEST(ReadKeys, Duplicates) {
  Clause("5.6.4.2: duplicates");
  const State state = Given().Registered(A(), 1).Registered(B(), 1);
  const ByteVector expected = {0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0,
                               0, 0, 0, 1, 0, 0, 0, 0,  0, 0, 0, 1};
  EXPECT_EQ(ReadKeys(state), expected);
}

// 6.11.3: the length speaks of all keys, however long the list.
TEST(ReadKeys, LongerThanAnyAllocationLength) {
  Clause("6.11.3: ADDITIONAL LENGTH");
  State state;
  for (uint64_t i = 1; i <= State::kMaxRegistrations; i++) {
    state.registrations.push_back({Nexus{A().initiator, static_cast<uint16_t>(i)}, i});
  }
  const ByteVector data = ReadKeys(state);
  EXPECT_EQ(data.size(), 8 + 8 * State::kMaxRegistrations);
  EXPECT_EQ(LoadBE<uint32_t>(data, 4), 8 * State::kMaxRegistrations);
}

// 6.11.4: the holder's key, SCOPE and TYPE.
TEST(ReadReservation, Bytes) {
  Clause("6.11.4.1", "6.11.4.2", "5.6.4.3: a", "5.6.4.3: b", "5.6.4.3: c", "5.6.7: key a",
         "5.6.7: key b", "6.11.2.3");
  for (Type type : kAllTypes) {
    ByteVector expected = {
        0x11, 0x22,
        0x33, 0x44,
        0x00, 0x00,
        0x00, 0x10,  //
        0x01, 0x02,
        0x03, 0x04,
        0x05, 0x06,
        0x07, 0x08,  // reservation key
        0x00, 0x00,
        0x00, 0x00,                        // obsolete
        0x00, static_cast<uint8_t>(type),  // scope 0h
        0x00, 0x00,                        // obsolete
    };
    // 5.6.7 a): of an all registrants type the key is zero.
    if (AllRegistrants(type)) std::fill(expected.begin() + 8, expected.begin() + 16, 0);
    EXPECT_EQ(ReadReservation(Example(type)), expected) << TypeName(type);
  }
}

// Without a reservation only the generation (6.11.4.1).
TEST(ReadReservation, Nothing) {
  Clause("6.11.4.1");
  State state = Example(kWE);
  state.reservation.reset();
  const ByteVector expected = {0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0};
  EXPECT_EQ(ReadReservation(state), expected);
}

// Table 103. Byte 2: RLR_C (SPC-4 table 207), PRE_SIP_C, PRE_ATP_C (which the seed's table both
// calls PRE_ATP_C), CRH, SIP_C, ATP_C; PTPL_C as the store can. Byte 3: TMV, ALLOW COMMANDS
// (SPC-4), PTPL_A. Bytes 4 and 5: all six types.
TEST(ReportCapabilities, EveryBit) {
  Clause("6.11.2.4", "table 103: LENGTH", "table 103: PRE_SIP_C", "table 103: PRE_ATP_C",
         "table 103: CRH", "table 103: SIP_C", "table 103: ATP_C", "table 103: PTPL_C",
         "table 103: TMV", "table 103: PTPL_A", "table 103: PERSISTENT RESERVATION TYPE MASK");
  struct Row {
    bool capable, activated;
    uint8_t byte2, byte3;
  };
  constexpr Row kRows[] = {
      {false, false, 0xFC, 0x80},
      {true, false, 0xFD, 0x80},
      {true, true, 0xFD, 0x81},
  };
  constexpr uint8_t kAllowCommands = 0x70;
  for (const Row& row : kRows) {
    State state;
    state.aptpl = row.activated;
    ByteVector data = ReportCapabilities(state, {.persist_through_power_loss = row.capable});
    ASSERT_EQ(data.size(), 8u);
    data[3] &= static_cast<uint8_t>(~kAllowCommands);  // the next test's
    EXPECT_EQ(data, (ByteVector{0x00, 0x08, row.byte2, row.byte3, 0xEA, 0x01, 0x00, 0x00}));
  }
}

// SPC-4: ALLOW COMMANDS 011b says that TEST UNIT READY is allowed through
// Write Exclusive and Exclusive Access, and these commands through Write
// Exclusive. What it says has to be so.
TEST(ReportCapabilities, AllowCommandsIsTrue) {
  const ByteVector data = ReportCapabilities(State{}, kDurable);
  ASSERT_EQ(data[3] >> 4 & 7, 3);
  const auto allowed = [](Type type, ByteVector cdb) {
    cdb.resize(16);
    return (AllowedAccess(ReservedByA(type), D()) & Bit(Classify(cdb))) != 0;
  };
  EXPECT_TRUE(allowed(kWE, {0x00}) && allowed(kEA, {0x00})) << "TEST UNIT READY";
  EXPECT_TRUE(allowed(kWE, {0x1A}) && allowed(kWE, {0x5A})) << "MODE SENSE";
  EXPECT_TRUE(allowed(kWE, {0x8C})) << "READ ATTRIBUTE";
  EXPECT_TRUE(allowed(kWE, {0x3C})) << "READ BUFFER";
  EXPECT_TRUE(allowed(kWE, {0x1C})) << "RECEIVE DIAGNOSTIC RESULTS";
  EXPECT_TRUE(allowed(kWE, {0xA3, 0x0C})) << "REPORT SUPPORTED OPERATION CODES";
  EXPECT_TRUE(allowed(kWE, {0xA3, 0x0D})) << "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS";
  EXPECT_TRUE(allowed(kWE, {0x37}) && allowed(kWE, {0xB7})) << "READ DEFECT DATA";
}

// 6.11.6: a descriptor of 24 bytes and the TransportID for each registration.
TEST(ReadFullStatus, Bytes) {
  Clause("6.11.6");
  const ByteVector expected = {
      0x11, 0x22, 0x33, 0x44, 0x00, 0x00, 0x00, 0x60,  // 2 x 48 bytes
      0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,  // key of A
      0x00, 0x00, 0x00, 0x00,                          // reserved
      0x01, 0x05,                                      // R_HOLDER, scope and type
      0x00, 0x00, 0x00, 0x00,                          // reserved
      0x00, 0x01,                                      // relative target port
      0x00, 0x00, 0x00, 0x18,                          // TransportID of 24 bytes: SAS
      0x06, 0x00, 0x00, 0x00, 0x50, 0x00, 0x00, 0x00,  //
      0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00,  //
      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  //
      0x00, 0x00, 0x00, 0x00, 0xDE, 0xAD, 0xBE, 0xEF,  // the other's key
      0x00, 0x00, 0x00, 0x00,                          //
      0x00, 0x00,                                      // no holder: no scope and type
      0x00, 0x00, 0x00, 0x00,                          //
      0x02, 0x03,                                      // relative target port
      0x00, 0x00, 0x00, 0x18,                          // TransportID of 24 bytes: iSCSI
      0x05, 0x00, 0x00, 0x14, 'i',  'q',  'n',  '.',   //
      'a',  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  //
      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
  };
  EXPECT_EQ(ReadFullStatus(Example(kWERO)), expected);
}

// 5.6.7: of an all registrants type everybody holds it.
TEST(ReadFullStatus, EveryRegistrantHolds) {
  Clause("6.11.6", "5.6.7: a");
  for (Type type : {kWEAR, kEAAR}) {
    const ByteVector data = ReadFullStatus(Example(type));
    for (size_t descriptor : {size_t{8}, size_t{56}}) {
      EXPECT_EQ(data[descriptor + 12], 0x01);
      EXPECT_EQ(data[descriptor + 13], static_cast<uint8_t>(type));
    }
  }
}

// ALL_TG_PT is bit 1. Then RELATIVE TARGET PORT IDENTIFIER says nothing: 0.
TEST(ReadFullStatus, AllTargetPorts) {
  Clause("6.11.6");
  struct Case {
    State state;
    uint8_t flags, scope_and_type;
  };
  const Case cases[] = {
      {Given().Registered(AtAll(A()), 1), 0x02, 0x00},
      {Given().Registered(AtAll(A()), 1).Reserved(kWE, At(A(), 7)), 0x03, 0x01},
      {Given().Registered(AtAll(A()), 1).Reserved(kEARO, A()), 0x03, 0x06},
      {Given().Registered(AtAll(A()), 1).Reserved(kEAAR, A()), 0x03, 0x08},
      {Given().Registered(AtAll(A()), 1).Registered(B(), 2).Reserved(kWE, B()), 0x02, 0x00},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(&c - cases);
    ASSERT_EQ(FindViolation(c.state), std::nullopt);
    const ByteVector data = ReadFullStatus(c.state);
    ASSERT_EQ(data.size(), 8 + 48 * c.state.registrations.size()) << "it is one registration";
    EXPECT_EQ(data[8 + 12], c.flags);
    EXPECT_EQ(data[8 + 13], c.scope_and_type);
    EXPECT_EQ(LoadBE<uint16_t>(data, 8 + 18), 0);
  }
  EXPECT_EQ(ReadKeys(cases[0].state).size(), 16u);
}

// A TransportID longer than 24 bytes: ADDITIONAL DESCRIPTOR LENGTH says so.
TEST(ReadFullStatus, LongTransportId) {
  Clause("6.11.6");
  const State state = Given().Registered(MakeNexus("iqn." + std::string(219, 'x')), 1);
  const ByteVector data = ReadFullStatus(state);
  ASSERT_EQ(data.size(), 8u + 24 + 228);
  EXPECT_EQ(LoadBE<uint32_t>(data, 4), 24u + 228);
  EXPECT_EQ(LoadBE<uint32_t>(data, 8 + 20), 228u);
  EXPECT_EQ(LoadBE<uint16_t>(data, 8 + 24 + 2), 224u);
}

TEST(ReadFullStatus, Nothing) { EXPECT_EQ(ReadFullStatus(State{}), ByteVector(8)); }

TEST(Report, DispatchesTable97) {
  Clause("table 97: 00h READ KEYS", "table 97: 01h READ RESERVATION",
         "table 97: 02h REPORT CAPABILITIES", "table 97: 03h READ FULL STATUS");
  const State state = Example(kWE);
  EXPECT_EQ(Report(InAction::kReadKeys, state, kDurable), ReadKeys(state));
  EXPECT_EQ(Report(InAction::kReadReservation, state, kDurable), ReadReservation(state));
  EXPECT_EQ(Report(InAction::kReportCapabilities, state, kDurable),
            ReportCapabilities(state, kDurable));
  EXPECT_EQ(Report(InAction::kReadFullStatus, state, kDurable), ReadFullStatus(state));
}

}  // namespace
}  // namespace scsi_pr
