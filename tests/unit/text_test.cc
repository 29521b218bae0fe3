// SPDX-License-Identifier: GPL-2.0-or-later
//
// Text from outside becomes what terminals and JSON readers take: nlohmann-json's, and QEMU's,
// which refuses noncharacters (util/unicode.c).
#include "spc/text.h"

#include <glib.h>

#include <nlohmann/json.hpp>

#include "core/json_text.h"
#include "server/device_server.h"
#include "testing.h"

namespace scsi_pr {
namespace {

using nlohmann::json;
using namespace testing;

constexpr const char* kReplaced = "\xEF\xBF\xBD";  // U+FFFD

std::string Utf8(char32_t c) {
  char bytes[6];
  return std::string(bytes, static_cast<size_t>(g_unichar_to_utf8(c, bytes)));
}

// What is wrong for a JSON reader.
bool IsClean(const std::string& text) {
  if (!g_utf8_validate(text.data(), static_cast<gssize>(text.size()), nullptr)) return false;
  for (const char* at = text.data(); at < text.data() + text.size(); at = g_utf8_next_char(at)) {
    if (IsNoncharacter(g_utf8_get_char(at))) return false;
  }
  return true;
}

const char* const kNotUtf8[] = {
    "\x80",
    "\xBF",
    "\xC3",
    "\xC0\xAF",
    "\xC0\x80",
    "\xE2\x82",
    "\xE0\x80\x80",
    "\xED\xA0\x80",
    "\xED\xBF\xBF",
    "\xF0\x9F\x98",
    "\xF0\x80\x80\x80",
    "\xF4\x90\x80\x80",
    "\xF8\x88\x80\x80\x80",
    "\xFE",
    "\xFF",
};

TEST(Printable, LeavesWhatCanBePrinted) {
  for (const std::string text : {"", "a b~", "\xC3\xA4", "\xD0\x96", "\xE5\xAD\x97",
                                 "\xF0\x9F\x98\x80", "\xEF\xBF\xBD", "e\xCC\x81"}) {
    EXPECT_EQ(Printable(text), text);
  }
}

TEST(Printable, ReplacesWhatIsNotUtf8) {
  for (const std::string bad : kNotUtf8) {
    const std::string text = Printable("a" + bad + "b");
    EXPECT_TRUE(IsClean(text)) << bad;
    EXPECT_TRUE(text.starts_with("a" + std::string(kReplaced)) && text.ends_with("b")) << text;
    EXPECT_TRUE(IsClean(Printable(bad)));
  }
}

TEST(Printable, ReplacesWhatCannotBePrinted) {
  for (const char32_t c : {0x00,   0x01,   0x0A,   0x0D,   0x1B,   0x1F,    0x7F,    0x80,
                           0x85,   0x9B,   0x9F,   0x2028, 0x2029, 0x200E,  0x202E,  0x2066,
                           0xFEFF, 0xFDD0, 0xFDEF, 0xFFFE, 0xFFFF, 0x1FFFE, 0x10FFFF}) {
    const std::string bad = c == 0 ? std::string(1, '\0') : Utf8(c);
    EXPECT_EQ(Printable("a" + bad + "b"), "a" + std::string(kReplaced) + "b")
        << std::hex << static_cast<uint32_t>(c);
  }
}

TEST(Printable, CutsAtACharacter) {
  std::string cyrillic;
  for (int i = 0; i < 100; i++) cyrillic += "\xD0\x96";
  EXPECT_EQ(Printable(cyrillic, 159), cyrillic.substr(0, 158));
  EXPECT_EQ(Printable(cyrillic, 200), cyrillic);
  EXPECT_EQ(Printable("abc", 0), "");
  for (size_t most = 0; most < 20; most++) {
    const std::string text = Printable("a\xC3\xA4\xE5\xAD\x97\xF0\x9F\x98\x80\xFF\x01\n", most);
    EXPECT_LE(text.size(), most);
    EXPECT_TRUE(IsClean(text)) << most;
  }
}

TEST(JsonText, TakesWhateverAStringHolds) {
  for (const std::string bad : kNotUtf8) {
    const std::string text = JsonText({{"a" + bad, "b" + bad}});
    EXPECT_TRUE(IsClean(text));
    EXPECT_EQ(json::parse(text).size(), 1u);
  }
  const std::string odd = "\x01\x7F" + Utf8(0x9B) + Utf8(0xFDD0) + Utf8(0x1FFFE) + Utf8(0x1F600);
  for (const int indent : {-1, 2}) {
    const std::string text = JsonText({{"odd", odd}}, indent);
    EXPECT_TRUE(IsClean(text));
    EXPECT_EQ(json::parse(text).at("odd"),
              "\x01\x7F" + Utf8(0x9B) + kReplaced + kReplaced + Utf8(0x1F600));
  }
  EXPECT_EQ(JsonText({1, "\xC3\xA4"}), "[1,\"\xC3\xA4\"]");
}

// An owner is whatever a neighbour has written into memory that all share.
TEST(JsonText, OwnersOfNeighbours) {
  for (const std::string& owner :
       {std::string("VM \xD0"), Utf8(0xFDD0), std::string("\x1b[2J\n"), std::string(159, '\xFF')}) {
    Attachment attachment;
    attachment.nexus = A();
    attachment.owner = owner;
    Snapshot snapshot;
    snapshot.attached = {attachment};
    std::shared_ptr<Store> store;
    ASSERT_TRUE(Store::Open("memory:", Store::OpenMode::kCreate, &store).ok());
    const std::string text = JsonText(DescribeStore(*store, Status(), snapshot));
    EXPECT_TRUE(IsClean(text));
    EXPECT_EQ(json::parse(text).at("attached")[0].at("owner"), Printable(owner));
  }
}

TEST(StatusText, IsOneLineAndNotEndless) {
  const Status status = Status::Error(Status::Code::kIo, "cannot open /\n\xFF\x1b[2J", "Try \x07.");
  const std::string replaced = kReplaced;
  EXPECT_EQ(status.message(), "cannot open /" + replaced + replaced + replaced + "[2J");
  EXPECT_EQ(status.hint(), "Try " + std::string(kReplaced) + ".");
  EXPECT_LE(Status::Error(Status::Code::kIo, std::string(1 << 20, 'x')).message().size(), 65536u);
}

// Of a store that is named so, and of a document that says so.
TEST(StatusText, OfNamesFromOutside) {
  std::shared_ptr<Store> store;
  const Status status = Store::Open("\x1b[2J\xFF:", Store::OpenMode::kCreate, &store);
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(IsClean(status.message()));
  EXPECT_EQ(status.message().find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace scsi_pr
