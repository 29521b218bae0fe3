// SPDX-License-Identifier: GPL-2.0-or-later
//
// TransportID (SPC-3 7.5.4): text, bytes, and the bounds between.
#include "spc/transport_id.h"

#include "testing.h"

namespace scsi_pr {
namespace {

using testing::Clause;
using testing::Port;

ByteVector Padded(ByteVector bytes, size_t size) {
  bytes.resize(size);
  return bytes;
}

// An iSCSI TransportID (7.5.4.6) around any contents of its name field.
ByteVector Iscsi(uint8_t format_code, std::string_view name, size_t additional_length) {
  ByteVector bytes = {static_cast<uint8_t>(format_code << 6 | 0x5), 0};
  AppendBE(bytes, static_cast<uint16_t>(additional_length));
  bytes.insert(bytes.end(), name.begin(), name.end());
  return Padded(bytes, 4 + additional_length);
}

bool Decodes(ByteSpan bytes) {
  size_t consumed = 0;
  return TransportId::Decode(bytes, &consumed).has_value();
}

bool Parses(std::string_view text) {
  std::string error;
  const bool parses = TransportId::FromText(text, &error).has_value();
  EXPECT_EQ(parses, error.empty()) << "an error says what is wrong";
  return parses;
}

struct Example {
  const char* text;
  TransportId::Protocol protocol;
  ByteVector bytes;
};

std::vector<Example> Examples() {
  using P = TransportId::Protocol;
  return {
      // 7.5.4.2: N_PORT NAME in bytes 8 to 15.
      {"21:00:00:e0:8b:05:05:04", P::kFcp,
       Padded({0x00, 0, 0, 0, 0, 0, 0, 0, 0x21, 0, 0, 0xE0, 0x8B, 0x05, 0x05, 0x04}, 24)},
      // 7.5.4.3: SCSI ADDRESS in bytes 2 and 3, target port in 6 and 7.
      {"spi.7,258", P::kSpi, Padded({0x01, 0, 0, 7, 0, 0, 1, 2}, 24)},
      // 7.5.4.5: initiator port identifier in bytes 8 to 23.
      {"srp.00112233445566778899aabbccddeeff", P::kSrp,
       {0x04, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
        0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF}},
      // 7.5.4.6, format 00b: at least 20 bytes after the header.
      {"iqn.2010-11.a:b", P::kIscsi, Iscsi(0, "iqn.2010-11.a:b", 20)},
      // Format 01b: name, ",i,0x", ISID; 33 bytes and a null make 36.
      {"iqn.2010-11.a:b1,i,0x00023d000001", P::kIscsi,
       Iscsi(1, "iqn.2010-11.a:b1,i,0x00023d000001", 36)},
      // A name whose null needs another four bytes.
      {"iqn.2010-11.abcdefgh", P::kIscsi, Iscsi(0, "iqn.2010-11.abcdefgh", 24)},
      {"iqn.2010-11.abcdefg", P::kIscsi, Iscsi(0, "iqn.2010-11.abcdefg", 20)},
      {"eui.02004567a425678d", P::kIscsi, Iscsi(0, "eui.02004567a425678d", 24)},
      // Another kind of iSCSI name, which without its prefix would be SAS.
      {"iscsi:naa.52004567ba64678d", P::kIscsi, Iscsi(0, "naa.52004567ba64678d", 24)},
      // 7.5.4.7: SAS ADDRESS in bytes 4 to 11.
      {"naa.5000c50015ea71ac", P::kSas,
       Padded({0x06, 0, 0, 0, 0x50, 0x00, 0xC5, 0x00, 0x15, 0xEA, 0x71, 0xAC}, 24)},
  };
}

TEST(TransportId, TextToBytes) {
  Clause("7.5.4.2", "7.5.4.3", "7.5.4.5", "7.5.4.6: name", "7.5.4.6: ISID", "7.5.4.7");
  for (const Example& example : Examples()) {
    SCOPED_TRACE(example.text);
    EXPECT_EQ(Port(example.text).Encode(), example.bytes);
    EXPECT_EQ(Port(example.text).protocol(), example.protocol);
  }
}

TEST(TransportId, BytesToText) {
  Clause("7.5.4.2", "7.5.4.3", "7.5.4.5", "7.5.4.6: name", "7.5.4.6: ISID", "7.5.4.7");
  for (const Example& example : Examples()) {
    SCOPED_TRACE(example.text);
    size_t consumed = 0;
    const auto id = TransportId::Decode(example.bytes, &consumed);
    ASSERT_TRUE(id);
    EXPECT_EQ(consumed, example.bytes.size());
    EXPECT_EQ(id->ToText(), example.text);
    EXPECT_EQ(*id, Port(example.text));
  }
}

TEST(TransportId, DecodesTheFirstOfAList) {
  for (const Example& example : Examples()) {
    SCOPED_TRACE(example.text);
    ByteVector list = example.bytes;
    list.insert(list.end(), 24, 0xFF);
    size_t consumed = 0;
    const auto id = TransportId::Decode(list, &consumed);
    ASSERT_TRUE(id);
    EXPECT_EQ(consumed, example.bytes.size());
    EXPECT_EQ(id->Encode(), example.bytes);
  }
}

// 6.12.3 b): a length that truncates a TransportID is an error, wherever it cuts.
TEST(TransportId, RefusesEveryTruncation) {
  Clause("6.12.3: list b");
  for (const Example& example : Examples()) {
    for (size_t length = 0; length < example.bytes.size(); length++) {
      SCOPED_TRACE(std::string(example.text) + " cut to " + std::to_string(length));
      EXPECT_FALSE(Decodes(ByteSpan(example.bytes).first(length)));
    }
  }
}

TEST(TransportId, DifferentPortsDiffer) {
  const std::vector<Example> examples = Examples();
  for (const Example& one : examples) {
    for (const Example& other : examples) {
      EXPECT_EQ(Port(one.text) == Port(other.text), &one == &other) << one.text << other.text;
    }
  }
}

// 7.5.4.1: FORMAT CODE 00b for all, also 01b for iSCSI, the rest reserved.
TEST(TransportId, FormatCode) {
  Clause("7.5.4.1");
  for (const Example& example : Examples()) {
    const unsigned own = example.bytes[0] >> 6;
    for (unsigned code = 0; code < 4; code++) {
      if (code == own) continue;
      ByteVector bytes = example.bytes;
      bytes[0] = static_cast<uint8_t>((bytes[0] & 0x3F) | code << 6);
      EXPECT_FALSE(Decodes(bytes)) << example.text << " as format " << code;
    }
  }
}

// 7.5.1: protocol identifiers of ports that can be initiators here.
TEST(TransportId, ProtocolIdentifier) {
  Clause("7.5.4.1");
  for (uint8_t protocol = 0; protocol < 16; protocol++) {
    const bool known = protocol == 0 || protocol == 1 || protocol == 4 || protocol == 6;
    EXPECT_EQ(Decodes(Padded({protocol}, 24)), known) << int{protocol};
  }
}

// 7.5.4.3: bytes 4 and 5 are obsolete; two that differ there are one port.
TEST(TransportId, SpiIgnoresObsoleteBytes) {
  Clause("7.5.4.3");
  const ByteVector bytes = Padded({0x01, 0, 0, 7, 0xAB, 0xCD, 0, 1}, 24);
  size_t consumed = 0;
  EXPECT_EQ(TransportId::Decode(bytes, &consumed), Port("spi.7,1"));
}

// 7.5.4.6: at least 20, a multiple of four, and there.
TEST(TransportId, IscsiAdditionalLength) {
  Clause("7.5.4.6: ADDITIONAL LENGTH");
  for (size_t length = 0; length <= 64; length++) {
    const ByteVector bytes = Padded(Iscsi(0, "iqn.a", length), std::max<size_t>(4 + length, 24));
    EXPECT_EQ(Decodes(bytes), length >= 20 && length % 4 == 0) << length;
  }
  ByteVector longer = Iscsi(0, "iqn.a", 20);
  longer[2] = 0xFF;  // as long as the field can say
  longer[3] = 0xFC;
  EXPECT_FALSE(Decodes(longer));
}

// 7.5.4.6: null-terminated, null-padded.
TEST(TransportId, IscsiNullTermination) {
  Clause("7.5.4.6: name");
  EXPECT_FALSE(Decodes(Iscsi(0, std::string(20, 'a'), 20))) << "no room for a null";
  EXPECT_TRUE(Decodes(Iscsi(0, std::string(19, 'a'), 20)));
  EXPECT_TRUE(Decodes(Iscsi(0, "iqn.a", 240))) << "more padding than necessary";
  EXPECT_FALSE(Decodes(Iscsi(0, "", 20))) << "no name";
  for (size_t position = 6; position < 20; position++) {
    ByteVector bytes = Iscsi(0, "iqn.a", 20);
    bytes[4 + position] = 'x';
    EXPECT_FALSE(Decodes(bytes)) << "non-null padding at " << position;
  }
}

// Padding does not make another port.
TEST(TransportId, IscsiPaddingIsNoPartOfTheName) {
  size_t consumed = 0;
  const auto id = TransportId::Decode(Iscsi(0, "iqn.a", 60), &consumed);
  EXPECT_EQ(consumed, 64u);
  EXPECT_EQ(id, Port("iqn.a"));
}

TEST(TransportId, IscsiIsidDigits) {
  Clause("7.5.4.6: ISID");
  EXPECT_TRUE(Decodes(Iscsi(1, "iqn.a,i,0x00023d000001", 24)));
  for (const char* name : {
           "iqn.a", "iqn.a,", "iqn.a,i", "iqn.a,i,0x", "iqn.a,i,0x00023d00000",
           "iqn.a,i,0x00023d0000011", "iqn.a,i,0x00023d00000g", "iqn.a,t,0x00023d000001",
           "iqn.a,i,00023d000001", "iqn.a,i,0x-0023d000001", ",i,0x00023d000001",
           "iqn.a,b,i,0x00023d000001", "iqn.a,i,0x00023d000001,i,0x00023d000001"}) {
    EXPECT_FALSE(Decodes(Iscsi(1, name, 60))) << name;
  }
  EXPECT_FALSE(Decodes(Iscsi(0, "iqn.a,i,0x00023d000001", 24))) << "an ISID in format 00b";
}

// RFC 3720 3.2.6.1: 223 bytes at most; with an ISID, too.
TEST(TransportId, IscsiLongestName) {
  Clause("7.5.4.6: name");
  const std::string longest = "iqn." + std::string(219, 'x');
  const std::string isid = ",i,0x00023d000001";
  EXPECT_EQ(Port(longest).ToText(), longest);
  EXPECT_EQ(Port(longest + isid).ToText(), longest + isid);
  EXPECT_EQ(Port("iscsi:x" + longest.substr(1) + isid).ToText().size(), TransportId::kMaxText);
  EXPECT_TRUE(Decodes(Iscsi(0, longest, 224)));
  EXPECT_TRUE(Decodes(Iscsi(1, longest + isid, 244)));
  EXPECT_FALSE(Parses(longest + "x"));
  EXPECT_FALSE(Parses(longest + "x" + isid));
  EXPECT_FALSE(Decodes(Iscsi(0, longest + "x", 228)));
  EXPECT_FALSE(Decodes(Iscsi(1, longest + "x" + isid, 244)));
}

TEST(TransportId, IscsiForbiddenCharacters) {
  Clause("7.5.4.6: name");
  for (const char* name : {"iqn.a b", "iqn.a,b", "iqn.\x01", "iqn.\n", "iqn.\x7F", "iqn.\xFF",
                           "iqn.\xC3", "iqn.\xC0\xAF", "iqn.\xED\xA0\x80"}) {
    EXPECT_FALSE(Decodes(Iscsi(0, name, 20))) << name;
    EXPECT_FALSE(Parses(name)) << name;
  }
  // The prefix alone names nobody, however it comes.
  for (const char* name : {"iqn.", "eui.", "EUI."}) {
    EXPECT_FALSE(Decodes(Iscsi(0, name, 20))) << name;
    EXPECT_FALSE(Decodes(Iscsi(1, std::string(name) + ",i,0x00023d000001", 24))) << name;
    EXPECT_FALSE(Parses("iscsi:" + std::string(name))) << name;
    EXPECT_FALSE(Parses("iscsi:" + std::string(name) + ",i,0x00023d000001")) << name;
  }
  EXPECT_TRUE(Decodes(Iscsi(0, "iqn.\xC3\xA4", 20))) << "UTF-8 is allowed";
  EXPECT_FALSE(Parses(std::string_view("iqn.a\0b", 7))) << "a null in the text";
}

// RFC 3722: names are compared in lower case.
TEST(TransportId, CanonicalText) {
  EXPECT_EQ(Port("IQN.2010-11.A:B").ToText(), "iqn.2010-11.a:b");
  EXPECT_EQ(Port("iqn.a,i,0x00023D00000F").ToText(), "iqn.a,i,0x00023d00000f");
  EXPECT_EQ(Port("iscsi:iqn.a").ToText(), "iqn.a");
  EXPECT_EQ(Port("NAA.5000C50015EA71AC").ToText(), "naa.5000c50015ea71ac");
  EXPECT_EQ(Port("0x210000E08B050504").ToText(), "21:00:00:e0:8b:05:05:04");
  EXPECT_EQ(Port("21:00:00:E0:8B:05:05:04").ToText(), "21:00:00:e0:8b:05:05:04");
  EXPECT_EQ(Port("0x00112233445566778899AABBCCDDEEFF").ToText(),
            "srp.00112233445566778899aabbccddeeff");
  EXPECT_EQ(Port("SPI.007,01").ToText(), "spi.7,1");
  size_t consumed = 0;
  const auto shouting = TransportId::Decode(Iscsi(0, "IQN.A", 20), &consumed);
  EXPECT_EQ(shouting, Port("iqn.a"));
}

TEST(TransportId, RefusesText) {
  for (const char* text :
       {"", " ", "iscsi:", "naa.", "naa.5000c50015ea71a", "naa.5000c50015ea71acd",
        "naa.5000c50015ea71ag", "naa.0x00c50015ea71ac", "naa. 000c50015ea71ac", "srp.",
        "srp.00112233445566778899aabbccddeef", "srp.00112233445566778899aabbccddeefg", "spi.",
        "spi.7", "spi.7,", "spi.,1", "spi.-1,1", "spi.65536,1", "spi.7,65536", "spi.7,1x",
        "spi. 7,1", "spi.7;1",
        "21-00-00-e0-8b-05-05-04", "2:100:00:e0:8b:05:05:04",
        "21:00:00:e0:8b:05:05", "21:00:00:e0:8b:05:05:04:00", "2100::00e08b050504", "21:00:00:e0:8b:05:05:0g",
        "0x", "0x21", "hello", "5000", "iqn.a,i,0x1"}) {
    EXPECT_FALSE(Parses(text)) << text;
  }
}

}  // namespace
}  // namespace scsi_pr
