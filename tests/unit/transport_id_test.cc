// SPDX-License-Identifier: GPL-2.0-or-later
//
// TransportID (SPC-3 7.5.4): text, bytes, and the bounds between.
#include "spc/transport_id.h"

#include <glib.h>

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

std::string Utf8(char32_t c) {
  char bytes[6];
  return std::string(bytes, static_cast<size_t>(g_unichar_to_utf8(c, bytes)));
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
      // 7.5.4.5: initiator port identifier in bytes 8 to 23.
      {"srp.00112233445566778899aabbccddeeff",
       P::kSrp,
       {0x04, 0,    0,    0,    0,    0,    0,    0,    0x00, 0x11, 0x22, 0x33,
        0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF}},
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
  Clause("7.5.4.2", "7.5.4.5", "7.5.4.6: name", "7.5.4.6: ISID", "7.5.4.7");
  for (const Example& example : Examples()) {
    SCOPED_TRACE(example.text);
    EXPECT_EQ(Port(example.text).Encode(), example.bytes);
    EXPECT_EQ(Port(example.text).protocol(), example.protocol);
  }
}

TEST(TransportId, BytesToText) {
  Clause("7.5.4.2", "7.5.4.5", "7.5.4.6: name", "7.5.4.6: ISID", "7.5.4.7");
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
    const bool known = protocol == 0 || protocol == 4 || protocol == 6;
    EXPECT_EQ(Decodes(Padded({protocol}, 24)), known) << int{protocol};
  }
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
  for (const char* name :
       {"iqn.a", "iqn.a,", "iqn.a,i", "iqn.a,i,0x", "iqn.a,i,0x00023d00000",
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

// RFC 3722 6.2: what stringprep (RFC 3454) prohibits, and what it would map to nothing, from the
// first to the last of each range. A name of one that is left would be valid.
TEST(TransportId, IscsiProhibitedCharacters) {
  Clause("7.5.4.6: name");
  constexpr char32_t kProhibited[] = {
      0x80,     0x85,     0x9F,  // C.2.2: controls
      0x06DD,   0x070F,   0x180E,  0x2028,  0x2029,   0x2061,
      0x2063,   0x206A,   0x206F,  0x1D173, 0x1D17A,  0xA0,
      0x1680,   0x2000,   0x200A,  0x202F,  0x205F,   0x3000,    // C.1.2: spaces
      0xE000,   0xF8FF,   0xF0000, 0xFFFFD, 0x100000, 0x10FFFD,  // C.3: private use
      0xFDD0,   0xFDEF,   0xFFFE,  0xFFFF,  0x1FFFE,  0x5FFFF,
      0x10FFFE, 0x10FFFF,                                      // C.4: noncharacters
      0xFFF9,   0xFFFD,   0x2FF0,  0x2FFB,                     // C.6, C.7
      0x0340,   0x0341,   0x200E,  0x200F,  0x202A,   0x202E,  // C.8: change of display
      0xE0001,  0xE0020,  0xE007F,                             // C.9: tags
      0xAD,     0x034F,   0x1806,  0x180B,  0x200B,   0x200D,
      0x2060,   0xFE00,   0xFE0F,  0xFEFF,  // B.1
      0x2066,   0x2069,   0x061C,           // of the kind of C.8, since Unicode 6.3
      0x3002,                               // RFC 3722 6.2
  };
  for (const char32_t c : kProhibited) {
    const std::string name = "iqn.a" + Utf8(c);
    EXPECT_FALSE(Parses(name)) << std::hex << static_cast<uint32_t>(c);
    EXPECT_FALSE(Decodes(Iscsi(0, name, 20))) << std::hex << static_cast<uint32_t>(c);
    EXPECT_FALSE(Decodes(Iscsi(1, name + ",i,0x00023d000001", 32)));
  }
  for (const char32_t c : {0xE4, 0x0416, 0x5B57, 0xAC00, 0x10400, 0x1F600}) {
    EXPECT_TRUE(Decodes(Iscsi(0, "iqn.a" + Utf8(c), 20))) << std::hex << static_cast<uint32_t>(c);
  }
}

// Bytes decide: what Unicode calls equal depends on its version, and a stored state must not.
TEST(TransportId, IscsiNamesAreNotNormalized) {
  const std::string composed = "iqn.\xC3\xA4", capital = "iqn.\xC3\x84";
  const std::string decomposed = "iqn.a\xCC\x88";
  EXPECT_NE(Port(composed), Port(decomposed));
  EXPECT_NE(Port(composed), Port(capital));
  EXPECT_EQ(Port(capital).ToText(), capital);
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
  size_t consumed = 0;
  const auto shouting = TransportId::Decode(Iscsi(0, "IQN.A", 20), &consumed);
  EXPECT_EQ(shouting, Port("iqn.a"));
}

TEST(TransportId, RefusesText) {
  for (const char* text : {"",
                           " ",
                           "iscsi:",
                           "naa.",
                           "naa.5000c50015ea71a",
                           "naa.5000c50015ea71acd",
                           "naa.5000c50015ea71ag",
                           "naa.0x00c50015ea71ac",
                           "naa. 000c50015ea71ac",
                           "srp.",
                           "srp.00112233445566778899aabbccddeef",
                           "srp.00112233445566778899aabbccddeefg",
                           "spi.7,1",
                           "21-00-00-e0-8b-05-05-04",
                           "2:100:00:e0:8b:05:05:04",
                           "21:00:00:e0:8b:05:05",
                           "21:00:00:e0:8b:05:05:04:00",
                           "2100::00e08b050504",
                           "21:00:00:e0:8b:05:05:0g",
                           "0x",
                           "0x21",
                           "hello",
                           "5000",
                           "iqn.a,i,0x1"}) {
    EXPECT_FALSE(Parses(text)) << text;
  }
}

}  // namespace
}  // namespace scsi_pr
