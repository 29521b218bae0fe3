// SPDX-License-Identifier: GPL-2.0-or-later
//
// PERSISTENT RESERVE IN and OUT from bytes (SPC-3 6.11.1, 6.12.1, 6.12.3).
#include "spc/persistent_reserve.h"

#include "testing.h"

namespace scsi_pr {
namespace {

using testing::Clause;
using testing::InCdb;
using testing::Out;
using testing::OutCdb;
using testing::OutData;
using testing::Port;
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
  Clause("table 105", "table 107: RESERVATION KEY", "table 107: SERVICE ACTION RESERVATION KEY");
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
  Clause("table 105");
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
  Clause("table 107: SPEC_I_PT", "table 107: ALL_TG_PT", "table 107: APTPL");
  for (unsigned byte = 0; byte < 256; byte++) {
    ByteVector data((byte & 8) != 0 ? 28 : 24);  // with SPEC_I_PT an empty list
    data[20] = static_cast<uint8_t>(byte);
    const auto parsed =
        ParsePersistentReserveOut(OutCdb(Register(0, 1), static_cast<uint32_t>(data.size())), data);
    const auto* out = std::get_if<PersistentReserveOut>(&parsed);
    ASSERT_NE(out, nullptr) << byte;
    EXPECT_EQ(out->spec_i_pt, (byte & 8) != 0);
    EXPECT_EQ(out->all_tg_pt, (byte & 4) != 0);
    EXPECT_EQ(out->aptpl, (byte & 1) != 0);
  }
}

// Obsolete fields (bytes 16 - 19, 22, 23) and reserved ones are not looked at.
TEST(ParseOut, ObsoleteBytes) {
  Clause("table 107: obsolete");
  ByteVector data = OutData(Register(1, 2));
  for (size_t i : {16, 17, 18, 19, 21, 22, 23}) data[i] = 0xFF;
  EXPECT_EQ(OutError(OutCdb(Register(1, 2)), data), std::nullopt);
}

// Table 106, and 08h of SPC-4 6.16.2; all others are refused.
TEST(ParseOut, ServiceActions) {
  Clause("table 106: reserved codes");
  for (unsigned code = 0; code < 32; code++) {
    ByteVector cdb = OutCdb(Register(0, 1));
    cdb[1] = static_cast<uint8_t>(code);
    auto expected = code <= 8 ? std::nullopt : std::optional(sense::kInvalidFieldInCdb);
    if (code == 7) expected = sense::kInvalidFieldInParameterList;  // zeros move nothing
    EXPECT_EQ(OutError(cdb, ByteVector(24)), expected) << code;
  }
}

// 6.12.1: without SPEC_I_PT the PARAMETER LIST LENGTH field shall contain 24.
TEST(ParseOut, ParameterListLength) {
  Clause("6.12.1: parameter list length");
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
  Clause("6.12.1: parameter list length");
  const ByteVector data(24);
  for (size_t size = 0; size < 24; size++) {
    EXPECT_EQ(OutError(OutCdb(Register(0, 1)), ByteSpan(data).first(size)),
              sense::kParameterListLengthError)
        << size;
  }
}

// With SPEC_I_PT the length is that of all parameter data, at least 24.
TEST(ParseOut, ParameterListLengthWithSpecIPt) {
  Clause("6.12.1: parameter list length");
  ByteVector data(100);
  data[20] = 0x08;
  for (uint32_t length : {0u, 23u}) {
    EXPECT_EQ(OutError(OutCdb(Register(0, 1), length), data), sense::kParameterListLengthError);
  }
  for (uint32_t length : {24u, 25u, 26u, 27u}) {
    EXPECT_EQ(OutError(OutCdb(Register(0, 1), length), data), sense::kParameterListLengthError)
        << "no room for TRANSPORTID PARAMETER DATA LENGTH";
  }
  for (uint32_t length : {28u, 52u, 100u}) {
    EXPECT_EQ(OutError(OutCdb(Register(0, 1), length), data), std::nullopt);
  }
}

// TransportIDs of 24 and of 40 bytes.
const TransportId kSas = Port("naa.5000c50015ea71ac");
const TransportId kIscsi = Port("iqn.2010-11.a:b1,i,0x00023d000001");

ByteVector Concatenated(const std::vector<TransportId>& ids) {
  ByteVector bytes;
  for (const TransportId& id : ids) {
    const ByteVector encoded = id.Encode();
    bytes.insert(bytes.end(), encoded.begin(), encoded.end());
  }
  return bytes;
}

// Tables 107 and 108: 24 bytes, the announced length, TransportIDs.
ByteVector ListData(uint8_t byte20, uint32_t announced, const ByteVector& ids) {
  ByteVector data(24);
  data[20] = byte20;
  AppendBE(data, announced);
  data.insert(data.end(), ids.begin(), ids.end());
  return data;
}

using Parsed = std::variant<PersistentReserveOut, Sense>;

Parsed ParseList(OutAction action, const ByteVector& data) {
  return ParsePersistentReserveOut(OutCdb(Out(action, 0, 1), static_cast<uint32_t>(data.size())),
                                   data);
}
std::optional<Sense> ErrorOf(const Parsed& parsed) {
  const Sense* sense = std::get_if<Sense>(&parsed);
  return sense == nullptr ? std::nullopt : std::optional(*sense);
}
std::vector<TransportId> IdsOf(const Parsed& parsed) {
  const auto* out = std::get_if<PersistentReserveOut>(&parsed);
  EXPECT_NE(out, nullptr);
  return out == nullptr ? std::vector<TransportId>() : out->transport_ids;
}

constexpr OutAction kTakeAList[] = {OutAction::kRegister, OutAction::kRegisterAndIgnoreExistingKey,
                                    OutAction::kPreempt, OutAction::kPreemptAndAbort};

// Table 109: the actions for which SPEC_I_PT is valid.
TEST(ParseOutList, TransportIds) {
  Clause("table 107: additional parameter data", "table 108", "6.12.3: SPEC_I_PT");
  const std::vector<std::vector<TransportId>> lists = {
      {}, {kSas}, {kIscsi}, {kSas, kIscsi}, {kIscsi, kSas, kSas}};
  for (OutAction action : kTakeAList) {
    for (const auto& list : lists) {
      const ByteVector ids = Concatenated(list);
      const auto parsed = ParseList(action, ListData(0x08, static_cast<uint32_t>(ids.size()), ids));
      EXPECT_EQ(IdsOf(parsed), list);
    }
  }
}

// Table 109: the others ignore the bit and what follows, whatever it is.
TEST(ParseOutList, IgnoredByOtherActions) {
  Clause("6.12.3: SPEC_I_PT");
  for (OutAction action : {OutAction::kReserve, OutAction::kRelease, OutAction::kClear}) {
    EXPECT_TRUE(IdsOf(ParseList(action, ListData(0x08, 0xFFFFFFFF, {0xFF, 0xFF}))).empty());
    EXPECT_TRUE(IdsOf(ParseList(action, ListData(0x08, 24, kSas.Encode()))).empty());
    EXPECT_EQ(ErrorOf(ParseList(action, ListData(0x00, 24, kSas.Encode()))),
              sense::kParameterListLengthError)
        << "6.12.1: 24 bytes where SPEC_I_PT is zero";
  }
}

// 6.12.3 a): a list that does not hold what it announces. Every length of both.
TEST(ParseOutList, ShorterThanAnnounced) {
  Clause("6.12.3: list a");
  const ByteVector full = ListData(0x08, 64, Concatenated({kSas, kIscsi}));
  for (OutAction action : kTakeAList) {
    for (size_t size = 0; size < full.size(); size++) {
      const ByteVector data(full.begin(), full.begin() + static_cast<ptrdiff_t>(size));
      EXPECT_EQ(ErrorOf(ParseList(action, data)), sense::kParameterListLengthError) << size;
    }
    for (uint32_t announced : {65u, 0xFFFFu, 0x7FFFFFFFu, 0xFFFFFFE3u, 0xFFFFFFE4u, 0xFFFFFFFFu}) {
      EXPECT_EQ(ErrorOf(ParseList(action, ListData(0x08, announced, Concatenated({kSas, kIscsi})))),
                sense::kParameterListLengthError)
          << announced;
    }
  }
}

// 6.12.3 b): a length that truncates a TransportID.
TEST(ParseOutList, TruncatedTransportId) {
  Clause("6.12.3: list b");
  const ByteVector ids = Concatenated({kSas, kIscsi});
  for (uint32_t announced = 0; announced <= ids.size(); announced++) {
    const auto parsed = ParseList(OutAction::kRegister, ListData(0x08, announced, ids));
    const bool whole = announced == 0 || announced == 24 || announced == ids.size();
    EXPECT_EQ(ErrorOf(parsed),
              whole ? std::nullopt : std::optional(sense::kInvalidFieldInParameterList))
        << announced;
    if (announced == 24) {
      EXPECT_EQ(IdsOf(parsed), std::vector{kSas}) << "the rest is ignored";
    }
  }
}

// Of no initiator port that a device here can have.
std::vector<ByteVector> InvalidTransportIds() {
  const ByteVector unknown_protocol(24, 0x0F);
  ByteVector unknown_format = kSas.Encode();
  unknown_format[0] |= 0xC0;
  ByteVector nameless = kIscsi.Encode();
  std::fill(nameless.begin() + 4, nameless.end(), 0);
  ByteVector endless = kIscsi.Encode();
  endless[2] = 0xFF;
  ByteVector noncharacter = kIscsi.Encode();  // U+FDD0 in the name
  noncharacter[8] = 0xEF, noncharacter[9] = 0xB7, noncharacter[10] = 0x90;
  ByteVector parallel_scsi(24);
  parallel_scsi[0] = 0x01;
  parallel_scsi[3] = 7;
  return {unknown_protocol, unknown_format, nameless, endless, noncharacter, parallel_scsi};
}

// Table regerr: any specified nexus is invalid, wherever in the list.
TEST(ParseOutList, InvalidTransportId) {
  Clause("table regerr: invalid nexus");
  for (const ByteVector& bad : InvalidTransportIds()) {
    ByteVector first = bad, last = kSas.Encode();
    first.insert(first.end(), last.begin(), last.end());
    last.insert(last.end(), bad.begin(), bad.end());
    for (const ByteVector& ids : {bad, first, last}) {
      EXPECT_EQ(ErrorOf(ParseList(OutAction::kRegister,
                                  ListData(0x08, static_cast<uint32_t>(ids.size()), ids))),
                sense::kInvalidFieldInParameterList);
    }
  }
}

TEST(ParseOutList, LongestThatFits) {
  const std::vector<TransportId> many(2000, kSas);
  const ByteVector ids = Concatenated(many);
  EXPECT_EQ(IdsOf(ParseList(OutAction::kRegister,
                            ListData(0x08, static_cast<uint32_t>(ids.size()), ids))),
            many);
}

// REGISTER AND MOVE, the published parameter list (SPC-3 r23 table 119).
ByteVector PublishedMove(uint8_t byte17, uint16_t port, uint32_t announced, const ByteVector& ids) {
  ByteVector data(24);
  data[17] = byte17;
  StoreBE(std::span<uint8_t>(data), 18, port);
  StoreBE(std::span<uint8_t>(data), 20, announced);
  data.insert(data.end(), ids.begin(), ids.end());
  return data;
}

Parsed ParseMove(const ByteVector& data) { return ParseList(OutAction::kRegisterAndMove, data); }

// Every field by hand, as `sg_persist -M` sends them.
TEST(ParseMove, Published) {
  const ByteVector cdb = {0x5F, 0x07, 0xFF, 0, 0, 0, 0, 0, 48, 0};
  const ByteVector data = {
      0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,  // RESERVATION KEY
      0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,  // SERVICE ACTION RESERVATION KEY
      0x00, 0x03,                                      // reserved; UNREG and APTPL
      0x02, 0x01,                                      // RELATIVE TARGET PORT IDENTIFIER
      0x00, 0x00, 0x00, 0x18,                          // TRANSPORTID PARAMETER DATA LENGTH
      0x06, 0x00, 0x00, 0x00, 0x50, 0x00, 0xC5, 0x00,  // TransportID: SAS
      0x15, 0xEA, 0x71, 0xAC, 0x00, 0x00, 0x00, 0x00,  //
      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
  };
  const auto parsed = ParsePersistentReserveOut(cdb, data);
  const auto& out = std::get<PersistentReserveOut>(parsed);
  EXPECT_EQ(out.action, OutAction::kRegisterAndMove);
  EXPECT_EQ(out.reservation_key, 0x0102030405060708u);
  EXPECT_EQ(out.service_action_reservation_key, 0x1112131415161718u);
  EXPECT_TRUE(out.unreg && out.aptpl);
  EXPECT_FALSE(out.all_tg_pt);
  EXPECT_EQ(out.target_port, 0x0201);
  EXPECT_EQ(out.transport_ids, std::vector{kSas});
}

// UNREG is bit 1 of byte 17, APTPL bit 0; the other bits and byte 16 are reserved.
TEST(ParseMove, PublishedByte17) {
  for (unsigned byte = 0; byte < 256; byte++) {
    ByteVector data = PublishedMove(static_cast<uint8_t>(byte), 1, 24, kSas.Encode());
    data[16] = 0xFF;
    const auto parsed = ParseMove(data);
    const auto* out = std::get_if<PersistentReserveOut>(&parsed);
    ASSERT_NE(out, nullptr) << byte;
    EXPECT_EQ(out->unreg, (byte & 2) != 0);
    EXPECT_EQ(out->aptpl, (byte & 1) != 0);
  }
}

// The seed's parameter list: table 107 with SPEC_I_PT, list from byte 24. It
// has neither UNREG nor a target port: bytes 16 to 19 are obsolete.
TEST(ParseMove, Seeds) {
  Clause("table regerr: SPEC_I_PT or ALL_TG_PT of a move", "5.6.rm: c");
  for (unsigned byte = 0; byte < 256; byte++) {
    if ((byte & 0x08) == 0) continue;
    ByteVector data = ListData(static_cast<uint8_t>(byte), 40, kIscsi.Encode());
    for (size_t i : {16, 17, 18, 19, 21, 22, 23}) data[i] = 0xFF;
    const auto parsed = ParseMove(data);
    if ((byte & 0x04) != 0) {
      EXPECT_EQ(ErrorOf(parsed), sense::kInvalidFieldInCdb) << "table regerr, ALL_TG_PT";
      continue;
    }
    const auto* out = std::get_if<PersistentReserveOut>(&parsed);
    ASSERT_NE(out, nullptr) << byte;
    EXPECT_EQ(out->transport_ids, std::vector{kIscsi});
    EXPECT_EQ(out->aptpl, (byte & 1) != 0);
    EXPECT_FALSE(out->unreg);
    EXPECT_EQ(out->target_port, 0);
  }
}

struct Layout {
  const char* name;
  ByteVector (*make)(uint32_t announced, const ByteVector& ids);
};
const Layout kLayouts[] = {
    {"published", [](uint32_t n, const ByteVector& ids) { return PublishedMove(0, 1, n, ids); }},
    {"the seed's", [](uint32_t n, const ByteVector& ids) { return ListData(0x08, n, ids); }},
};

// A list that does not hold what it announces, every length of it.
TEST(ParseMove, ShorterThanAnnounced) {
  for (const Layout& layout : kLayouts) {
    SCOPED_TRACE(layout.name);
    for (const TransportId& id : {kSas, kIscsi}) {
      const ByteVector ids = id.Encode();
      const auto length = static_cast<uint32_t>(ids.size());
      const ByteVector full = layout.make(length, ids);
      EXPECT_EQ(ErrorOf(ParseMove(full)), std::nullopt);
      for (size_t size = 0; size < full.size(); size++) {
        const ByteVector data(full.begin(), full.begin() + static_cast<ptrdiff_t>(size));
        EXPECT_EQ(ErrorOf(ParseMove(data)), sense::kParameterListLengthError) << size;
        // PARAMETER LIST LENGTH is right, but fewer bytes came.
        EXPECT_EQ(OutError(OutCdb(Out(OutAction::kRegisterAndMove, 0, 1),
                                  static_cast<uint32_t>(full.size())),
                           data),
                  sense::kParameterListLengthError)
            << size;
      }
      EXPECT_EQ(ErrorOf(ParseMove(layout.make(length + 1, ids))), sense::kParameterListLengthError);
    }
    EXPECT_EQ(ErrorOf(ParseMove(layout.make(0x07000000, kSas.Encode()))),
              sense::kParameterListLengthError);
  }
}

// Any announced length but that of the one TransportID.
TEST(ParseMove, TruncatedTransportId) {
  for (const Layout& layout : kLayouts) {
    SCOPED_TRACE(layout.name);
    for (const TransportId& id : {kSas, kIscsi}) {
      const ByteVector ids = id.Encode();
      for (uint32_t announced = 0; announced < ids.size(); announced++) {
        EXPECT_EQ(ErrorOf(ParseMove(layout.make(announced, ids))),
                  sense::kInvalidFieldInParameterList)
            << announced;
      }
    }
  }
}

// Exactly one TransportID (5.6.rm c).
TEST(ParseMove, NotExactlyOneTransportId) {
  Clause("5.6.rm: c");
  for (const Layout& layout : kLayouts) {
    SCOPED_TRACE(layout.name);
    const std::vector<std::vector<TransportId>> lists = {{}, {kSas, kSas}, {kSas, kIscsi, kSas}};
    for (const auto& list : lists) {
      const ByteVector ids = Concatenated(list);
      EXPECT_EQ(ErrorOf(ParseMove(layout.make(static_cast<uint32_t>(ids.size()), ids))),
                sense::kInvalidFieldInParameterList)
          << list.size();
    }
    // What is behind the announced one is not part of the list.
    EXPECT_EQ(IdsOf(ParseMove(layout.make(24, Concatenated({kSas, kIscsi})))), std::vector{kSas});
  }
}

TEST(ParseMove, InvalidTransportId) {
  Clause("table regerr: invalid nexus");
  for (const Layout& layout : kLayouts) {
    for (const ByteVector& bad : InvalidTransportIds()) {
      EXPECT_EQ(ErrorOf(ParseMove(layout.make(static_cast<uint32_t>(bad.size()), bad))),
                sense::kInvalidFieldInParameterList)
          << layout.name;
    }
  }
}

// There is no target port 0.
TEST(ParseMove, TargetPortZero) {
  EXPECT_EQ(ErrorOf(ParseMove(PublishedMove(0, 0, 24, kSas.Encode()))),
            sense::kInvalidFieldInParameterList);
  EXPECT_EQ(ErrorOf(ParseMove(PublishedMove(0, 0xFFFF, 24, kSas.Encode()))), std::nullopt);
}

// The seed's layout with SPEC_I_PT zero reads as a published one that names
// no port and no TransportID: refused in any case (table regerr).
TEST(ParseMove, SeedsWithoutSpecIPt) {
  Clause("table regerr: SPEC_I_PT or ALL_TG_PT of a move");
  for (uint8_t byte20 : {uint8_t{0x00}, uint8_t{0x01}, uint8_t{0x04}, uint8_t{0x05}}) {
    ByteVector data(24);
    data[20] = byte20;
    EXPECT_NE(ErrorOf(ParseMove(data)), std::nullopt) << int{byte20};
    EXPECT_NE(ErrorOf(ParseMove(ListData(byte20, 24, kSas.Encode()))), std::nullopt) << int{byte20};
  }
}

// SAM-3 5.2: NACA (bit 2) and LINK (bit 0) ask for what is not supported.
TEST(ParseOut, ControlByte) {
  Clause("6.12.1: CONTROL");
  for (unsigned control = 0; control < 256; control++) {
    ByteVector cdb = OutCdb(Register(0, 1));
    cdb[9] = static_cast<uint8_t>(control);
    const bool refused = (control & 0x05) != 0;
    EXPECT_EQ(OutError(cdb, ByteVector(24)).has_value(), refused) << control;
    if (refused) {
      EXPECT_EQ(OutError(cdb, ByteVector(24)), sense::kInvalidFieldInCdb);
    }
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
  Clause("table 97: reserved");
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
  Clause("6.11.1");
  for (unsigned length : {0u, 1u, 7u, 8u, 255u, 256u, 8192u, 65535u}) {
    const auto parsed =
        ParsePersistentReserveIn(InCdb(InAction::kReadFullStatus, static_cast<uint16_t>(length)));
    const auto* in = std::get_if<PersistentReserveIn>(&parsed);
    ASSERT_NE(in, nullptr) << length;
    EXPECT_EQ(in->allocation_length, length);
  }
}

TEST(ParseIn, ControlByte) {
  Clause("6.11.1");
  for (unsigned control = 0; control < 256; control++) {
    ByteVector cdb = InCdb(InAction::kReadKeys, 8);
    cdb[9] = static_cast<uint8_t>(control);
    const bool refused = (control & 0x05) != 0;
    EXPECT_EQ(InError(cdb), refused ? std::optional(sense::kInvalidFieldInCdb) : std::nullopt)
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
  Clause("6.11.4.3");
  for (unsigned code = 0; code < 256; code++) {
    const bool known = code == 1 || code == 3 || (code >= 5 && code <= 8);
    EXPECT_EQ(IsKnownType(static_cast<uint8_t>(code)), known) << code;
  }
}

TEST(Types, Properties) {
  Clause("6.11.4.3");
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
