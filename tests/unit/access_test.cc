// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which commands conflict with a reservation: SPC-3 table 33 and SBC-3 table
// 13, a row a command, a column a relation between nexus and reservation.
#include "core/access.h"

#include <set>

#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

// CDB bytes that decide; the rest of 32 bytes is null.
struct Row {
  const char* command;
  uint8_t code;
  int action = -1;  // CDB byte 1 bits 4-0; for 7Fh bytes 8 and 9
  uint8_t byte4 = 0;
  const char* columns = nullptr;  // A or C for columns 1 ... 5
  char legacy = 'C';              // under a legacy reservation of another nexus (SPC-2 table 10)
  char lost = 'C';                // while reservation information is lost (SPC-4 5.13.5.2)
};

constexpr const char* kAlways = "AAAAA";
constexpr const char* kReads = "ACAAC";
constexpr const char* kWrites = "CCACC";

constexpr Row kTable[] = {
    {"TEST UNIT READY", 0x00, -1, 0, kAlways},
    {"REQUEST SENSE", 0x03, -1, 0, kAlways, 'A', 'A'},
    {"INQUIRY", 0x12, -1, 0, kAlways, 'A', 'A'},
    {"LOG SENSE", 0x4D, -1, 0, kAlways, 'A', 'A'},
    {"PERSISTENT RESERVE IN", 0x5E, -1, 0, kAlways, 'A', 'A'},
    {"REPORT LUNS", 0xA0, -1, 0, kAlways, 'A', 'A'},
    {"REPORT IDENTIFYING INFORMATION", 0xA3, 0x05, 0, kAlways},
    {"REPORT TARGET PORT GROUPS", 0xA3, 0x0A, 0, kAlways, 'C', 'A'},
    {"REPORT ALIASES", 0xA3, 0x0B, 0, kAlways},
    {"REPORT PRIORITY", 0xA3, 0x0E, 0, kAlways},
    {"REPORT TIMESTAMP", 0xA3, 0x0F, 0, kAlways},
    {"READ CAPACITY(10)", 0x25, -1, 0, kAlways},
    {"READ CAPACITY(16)", 0x9E, 0x10, 0, kAlways},
    {"START STOP UNIT, START=1", 0x1B, -1, 0x01, kAlways, 'C', 'A'},
    {"START STOP UNIT, START=1 LOEJ=1", 0x1B, -1, 0x03, kAlways, 'C', 'A'},
    {"START STOP UNIT, START=0", 0x1B, -1, 0x00, kWrites},
    {"START STOP UNIT, START=0 LOEJ=1", 0x1B, -1, 0x02, kWrites},
    {"START STOP UNIT, START=1 POWER CONDITION=1", 0x1B, -1, 0x11, kWrites},
    {"START STOP UNIT, START=0 POWER CONDITION=3", 0x1B, -1, 0x30, kWrites},
    {"PREVENT ALLOW, PREVENT=0", 0x1E, -1, 0x00, kAlways, 'A', 'C'},
    {"PREVENT ALLOW, PREVENT=1", 0x1E, -1, 0x01, kWrites},
    {"PREVENT ALLOW, PREVENT=2", 0x1E, -1, 0x02, kWrites},
    {"PREVENT ALLOW, PREVENT=3", 0x1E, -1, 0x03, kWrites},
    {"READ(6)", 0x08, -1, 0, kReads},
    {"READ(10)", 0x28, -1, 0, kReads},
    {"READ(12)", 0xA8, -1, 0, kReads},
    {"READ(16)", 0x88, -1, 0, kReads},
    {"READ(32)", 0x7F, 0x0009, 0, kReads},
    {"PRE-FETCH(10)", 0x34, -1, 0, kReads},
    {"PRE-FETCH(16)", 0x90, -1, 0, kReads},
    {"VERIFY(10)", 0x2F, -1, 0, kReads},
    {"VERIFY(12)", 0xAF, -1, 0, kReads},
    {"VERIFY(16)", 0x8F, -1, 0, kReads},
    {"VERIFY(32)", 0x7F, 0x000A, 0, kReads},
    {"GET LBA STATUS", 0x9E, 0x12, 0, kReads},
    {"READ DEFECT DATA(10)", 0x37, -1, 0, kReads},
    {"READ DEFECT DATA(12)", 0xB7, -1, 0, kReads},
    {"READ BUFFER", 0x3C, -1, 0, kReads, 'C', 'A'},
    {"MODE SENSE(6)", 0x1A, -1, 0, kReads},
    {"MODE SENSE(10)", 0x5A, -1, 0, kReads},
    {"RECEIVE DIAGNOSTIC RESULTS", 0x1C, -1, 0, kReads},
    {"READ ATTRIBUTE", 0x8C, -1, 0, kReads},
    {"SECURITY PROTOCOL IN", 0xA2, -1, 0, kReads},
    {"REPORT SUPPORTED OPERATION CODES", 0xA3, 0x0C, 0, kReads},
    {"REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", 0xA3, 0x0D, 0, kReads},
    {"WRITE(6)", 0x0A, -1, 0, kWrites},
    {"WRITE(10)", 0x2A, -1, 0, kWrites},
    {"WRITE(12)", 0xAA, -1, 0, kWrites},
    {"WRITE(16)", 0x8A, -1, 0, kWrites},
    {"WRITE(32)", 0x7F, 0x000B, 0, kWrites},
    {"WRITE AND VERIFY(10)", 0x2E, -1, 0, kWrites},
    {"WRITE AND VERIFY(12)", 0xAE, -1, 0, kWrites},
    {"WRITE AND VERIFY(16)", 0x8E, -1, 0, kWrites},
    {"WRITE AND VERIFY(32)", 0x7F, 0x000C, 0, kWrites},
    {"WRITE SAME(10)", 0x41, -1, 0, kWrites},
    {"WRITE SAME(16)", 0x93, -1, 0, kWrites},
    {"WRITE SAME(32)", 0x7F, 0x000D, 0, kWrites},
    {"WRITE LONG(10)", 0x3F, -1, 0, kWrites},
    {"WRITE LONG(16)", 0x9F, 0x11, 0, kWrites},
    {"READ LONG(10)", 0x3E, -1, 0, kWrites},
    {"READ LONG(16)", 0x9E, 0x11, 0, kWrites},
    {"COMPARE AND WRITE", 0x89, -1, 0, kWrites},
    {"ORWRITE(16)", 0x8B, -1, 0, kWrites},
    {"XDREAD(10)", 0x52, -1, 0, kWrites},
    {"XDREAD(32)", 0x7F, 0x0003, 0, kWrites},
    {"XDWRITE(10)", 0x50, -1, 0, kWrites},
    {"XDWRITE(32)", 0x7F, 0x0004, 0, kWrites},
    {"XPWRITE(10)", 0x51, -1, 0, kWrites},
    {"XPWRITE(32)", 0x7F, 0x0006, 0, kWrites},
    {"XDWRITEREAD(10)", 0x53, -1, 0, kWrites},
    {"XDWRITEREAD(32)", 0x7F, 0x0007, 0, kWrites},
    {"UNMAP", 0x42, -1, 0, kWrites},
    {"SYNCHRONIZE CACHE(10)", 0x35, -1, 0, kWrites},
    {"SYNCHRONIZE CACHE(16)", 0x91, -1, 0, kWrites},
    {"FORMAT UNIT", 0x04, -1, 0, kWrites},
    {"REASSIGN BLOCKS", 0x07, -1, 0, kWrites},
    {"SANITIZE", 0x48, 0x01, 0, kWrites},
    {"MODE SELECT(6)", 0x15, -1, 0, kWrites},
    {"MODE SELECT(10)", 0x55, -1, 0, kWrites},
    {"LOG SELECT", 0x4C, -1, 0, kWrites},
    {"SEND DIAGNOSTIC", 0x1D, -1, 0, kWrites},
    {"WRITE BUFFER", 0x3B, -1, 0, kWrites, 'C', 'A'},
    {"WRITE ATTRIBUTE", 0x8D, -1, 0, kWrites},
    {"SET IDENTIFYING INFORMATION", 0xA4, 0x06, 0, kWrites},
    {"SET TARGET PORT GROUPS", 0xA4, 0x0A, 0, kWrites},
    {"CHANGE ALIASES", 0xA4, 0x0B, 0, kWrites},
    {"SET PRIORITY", 0xA4, 0x0E, 0, kWrites},
    {"SET TIMESTAMP", 0xA4, 0x0F, 0, kWrites},
    {"SECURITY PROTOCOL OUT", 0xB5, -1, 0, kWrites},
    {"EXTENDED COPY", 0x83, -1, 0, kWrites},
    {"RECEIVE COPY RESULTS", 0x84, -1, 0, kWrites},
};

// Always let through: the transition judges them (table 34, 5.6.2).
constexpr uint8_t kJudgedLater[] = {0x5F, 0x16, 0x17, 0x56, 0x57};

ByteVector Cdb(const Row& row) {
  ByteVector cdb(32);
  cdb[0] = row.code;
  cdb[4] = row.byte4;
  if (row.action >= 0 && row.code == 0x7F) {
    StoreBE(std::span<uint8_t>(cdb), 8, static_cast<uint16_t>(row.action));
  } else if (row.action >= 0) {
    cdb[1] = static_cast<uint8_t>(row.action);
  }
  return cdb;
}

bool Allowed(const State& state, const Nexus& nexus, ByteSpan cdb) {
  return (AllowedAccess(state, nexus) & Bit(Classify(cdb))) != 0;
}

// Every situation of a column: types, and whether the nexus is registered.
struct Column {
  size_t number;
  Type type;
  bool registered;
};
constexpr Column kColumns[] = {
    {1, kWE, false},   {1, kWE, true},    {2, kEA, false},   {2, kEA, true},
    {3, kWERO, true},  {3, kEARO, true},  {3, kWEAR, true},  {3, kEAAR, true},
    {4, kWERO, false}, {4, kWEAR, false}, {5, kEARO, false}, {5, kEAAR, false},
};

void ExpectColumns(ByteSpan cdb, const char* expected) {
  for (const Column& column : kColumns) {
    const bool allowed = Allowed(ReservedByA(column.type), column.registered ? B() : D(), cdb);
    EXPECT_EQ(allowed ? 'A' : 'C', expected[column.number - 1])
        << "column " << column.number << ", " << TypeName(column.type)
        << (column.registered ? ", registered" : ", not registered");
  }
}

TEST(Access, Table33) {
  for (const Row& row : kTable) {
    Clause(std::string("table 33: ") + row.command);
    SCOPED_TRACE(row.command);
    ExpectColumns(Cdb(row), row.columns);
  }
}

// Under a reservation made by RESERVE: everything for its holder, next to
// nothing for any other nexus. PERSISTENT RESERVE IN reaches the transition.
TEST(Access, LegacyReservation) {
  const State state = Given().LegacyHolder(A());
  EXPECT_EQ(AllowedAccess(state, A()), kFullAccess);
  for (const Nexus& other : {B(), At(A(), 2)}) {
    for (const Row& row : kTable) {
      EXPECT_EQ(Allowed(state, other, Cdb(row)) ? 'A' : 'C', row.legacy) << row.command;
    }
  }
}

// Whoever asks.
TEST(Access, LostInformation) {
  const State state = Given().Registered(A(), kKeyA).Reserved(kWE, A()).Aptpl().Lost();
  for (const Nexus& nexus : {A(), B()}) {
    EXPECT_NE(AllowedAccess(state, nexus) & kInformationLost, 0u);
    for (const Row& row : kTable) {
      EXPECT_EQ(Allowed(state, nexus, Cdb(row)) ? 'A' : 'C', row.lost) << row.command;
    }
  }
  EXPECT_EQ(kFullAccess & kInformationLost, 0u);
}

// The commands that are judged later are neither refused here.
TEST(Access, JudgedLaterUnderLegacyAndLost) {
  for (const State& state : {State(Given().LegacyHolder(A())), State(Given().Lost())}) {
    for (uint8_t code : kJudgedLater) {
      EXPECT_TRUE(Allowed(state, B(), ByteVector{code})) << int{code};
    }
  }
}

TEST(Access, ReservationCommandsReachTheTransition) {
  Clause("table 33: PERSISTENT RESERVE OUT, RESERVE, RELEASE");
  for (uint8_t code : kJudgedLater) {
    ByteVector cdb(10);
    cdb[0] = code;
    SCOPED_TRACE(int{code});
    EXPECT_EQ(Classify(cdb), AccessClass::kReservation);
    ExpectColumns(cdb, kAlways);
  }
  EXPECT_EQ(Classify(ByteVector{0x5E, 0, 0, 0, 0, 0, 0, 0, 8, 0}), AccessClass::kReservation);
}

// An operation code in no row may change the medium.
TEST(Access, EveryOtherOperationCodeIsMostRestrictive) {
  Clause("table 33: every other operation code");
  std::set<unsigned> known(std::begin(kJudgedLater), std::end(kJudgedLater));
  for (const Row& row : kTable) known.insert(row.code);
  for (unsigned code = 0; code < 256; code++) {
    if (known.contains(code)) continue;
    ByteVector cdb(32);
    cdb[0] = static_cast<uint8_t>(code);
    SCOPED_TRACE(code);
    ExpectColumns(cdb, kWrites);
    EXPECT_FALSE(Allowed(Given().LegacyHolder(A()), B(), cdb));
    EXPECT_FALSE(Allowed(Given().Lost(), B(), cdb));
  }
}

// The same for each service action in no row, reserved bits of its byte set or not.
TEST(Access, EveryOtherServiceActionIsMostRestrictive) {
  Clause("table 33: every other service action");
  for (uint8_t code : {0x9E, 0xA3}) {
    std::set<int> known;
    for (const Row& row : kTable) {
      if (row.code == code) known.insert(row.action);
    }
    for (int byte1 = 0; byte1 < 256; byte1++) {
      if (known.contains(byte1 & 0x1F)) continue;
      ByteVector cdb(16);
      cdb[0] = code;
      cdb[1] = static_cast<uint8_t>(byte1);
      ASSERT_EQ(Classify(cdb), AccessClass::kWrite) << int{code} << "/" << byte1;
    }
  }
}

TEST(Access, EveryOtherVariableLengthServiceActionIsMostRestrictive) {
  Clause("table 33: every other service action");
  for (unsigned action = 0; action < 65536; action++) {
    ByteVector cdb(32);
    cdb[0] = 0x7F;
    StoreBE(std::span<uint8_t>(cdb), 8, static_cast<uint16_t>(action));
    const bool reads = action == 0x0009 || action == 0x000A;
    ASSERT_EQ(Classify(cdb), reads ? AccessClass::kRead : AccessClass::kWrite) << action;
  }
}

TEST(Access, StartStopUnitBits) {
  for (unsigned byte4 = 0; byte4 < 256; byte4++) {
    const ByteVector cdb = {0x1B, 0, 0, 0, static_cast<uint8_t>(byte4), 0};
    const bool only_starts = (byte4 & 0x01) != 0 && byte4 >> 4 == 0;
    EXPECT_EQ(Classify(cdb), only_starts ? AccessClass::kStartUnit : AccessClass::kWrite) << byte4;
  }
}

TEST(Access, PreventBits) {
  for (unsigned byte4 = 0; byte4 < 256; byte4++) {
    const ByteVector cdb = {0x1E, 0, 0, 0, static_cast<uint8_t>(byte4), 0};
    EXPECT_EQ(Classify(cdb),
              (byte4 & 3) == 0 ? AccessClass::kAllowMediumRemoval : AccessClass::kWrite)
        << byte4;
  }
}

// 5.6.1: commands from a holder complete normally, as do all without a reservation.
TEST(Access, HolderMayDoEverything) {
  Clause("5.6.1: holder");
  for (Type type : kAllTypes) {
    EXPECT_EQ(AllowedAccess(ReservedByA(type), A()), kFullAccess) << TypeName(type);
  }
}

// 5.6.7: any registered nexus holds an all registrants reservation.
TEST(Access, EveryRegistrantMayDoEverything) {
  Clause("5.6.1: registrants");
  for (Type type : {kWERO, kEARO, kWEAR, kEAAR}) {
    for (const Nexus& nexus : {A(), B(), C()}) {
      EXPECT_EQ(AllowedAccess(ReservedByA(type), nexus), kFullAccess) << TypeName(type);
    }
  }
}

TEST(Access, WithoutReservation) {
  Clause("5.6.1: no reservation");
  const State state = Given().Registered(A(), kKeyA);
  EXPECT_EQ(AllowedAccess(state, A()), kFullAccess);
  EXPECT_EQ(AllowedAccess(state, D()), kFullAccess);
  EXPECT_EQ(AllowedAccess(State{}, D()), kFullAccess);
}

// One initiator port at another target port is another nexus (3.1.48).
TEST(Access, TargetPortsAreApart) {
  Clause("5.6.1: nexus");
  Nexus other = A();
  other.target_port = 2;
  EXPECT_EQ(AllowedAccess(ReservedByA(kEA), other), AllowedAccess(ReservedByA(kEA), D()));
}

// Fewer bytes never allow more; no byte at all allows the least.
TEST(Access, ShortCdbs) {
  EXPECT_EQ(Classify({}), AccessClass::kWrite);
  for (const Row& row : kTable) {
    const ByteVector cdb = Cdb(row);
    for (size_t size = 1; size < cdb.size(); size++) {
      const AccessClass access = Classify(ByteSpan(cdb).first(size));
      EXPECT_TRUE(access == Classify(cdb) || access == AccessClass::kWrite)
          << row.command << " cut to " << size;
    }
  }
  for (uint8_t code : {0x1B, 0x1E, 0x7F, 0x9E, 0xA3}) {
    EXPECT_EQ(Classify(ByteVector{code}), AccessClass::kWrite) << int{code};
  }
  EXPECT_EQ(Classify(ByteVector{0x7F, 0, 0, 0, 0, 0, 0, 0, 0}), AccessClass::kWrite);
}

}  // namespace
}  // namespace scsi_pr
