// SPDX-License-Identifier: GPL-2.0-or-later
#include "spc/device_identification.h"

#include <algorithm>
#include <utility>

#include "spc/opcodes.h"
#include "spc/text.h"

namespace scsi_pr {

namespace {

// Table 305: those that name one logical unit of the world, the best first.
struct DesignatorRow {
  uint8_t type;
  const char* prefix;
  bool is_text;
};
constexpr DesignatorRow kDesignators[] = {
    {0x3, "naa.", false}, {0x2, "eui.", false}, {0x8, "name.", true}, {0x1, "t10.", false}};

std::string Hexadecimal(ByteSpan bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 0xF];
  }
  return text;
}

// A SCSI name string is padded with nulls.
std::string NameString(ByteSpan bytes) {
  const std::string text(bytes.begin(), bytes.end());
  return Printable(text.substr(0, text.find('\0')));
}

}  // namespace

ByteVector EncodeInquiry(uint8_t page, uint16_t allocation_length) {
  constexpr uint8_t kEvpd = 0x01;
  ByteVector cdb(6);
  cdb[0] = opcode::kInquiry;
  cdb[1] = kEvpd;
  cdb[2] = page;
  StoreBE(std::span<uint8_t>(cdb), 3, allocation_length);
  return cdb;
}

std::vector<std::string> LogicalUnitNames(ByteSpan page) {
  constexpr size_t kHeader = 4;
  constexpr size_t kDesignatorHeader = 4;
  constexpr uint8_t kAssociation = 0x30;  // 0: the logical unit
  std::vector<std::pair<size_t, std::string>> ranked;
  if (page.size() < kHeader || page[1] != kDeviceIdentificationPage) return {};
  ByteSpan rest = page.subspan(kHeader);
  rest = rest.first(std::min<size_t>(rest.size(), LoadBE<uint16_t>(page, 2)));
  while (rest.size() >= kDesignatorHeader) {
    const size_t length = rest[3];
    if (length > rest.size() - kDesignatorHeader) break;
    const ByteSpan designator = rest.subspan(kDesignatorHeader, length);
    for (size_t rank = 0; rank < std::size(kDesignators); rank++) {
      const DesignatorRow& row = kDesignators[rank];
      if ((rest[1] & kAssociation) != 0 || (rest[1] & 0xF) != row.type || length == 0) continue;
      ranked.emplace_back(
          rank, row.prefix + (row.is_text ? NameString(designator) : Hexadecimal(designator)));
    }
    rest = rest.subspan(kDesignatorHeader + length);
  }
  std::ranges::stable_sort(ranked, {}, &std::pair<size_t, std::string>::first);
  std::vector<std::string> names;
  for (auto& [rank, name] : ranked) names.push_back(std::move(name));
  return names;
}

}  // namespace scsi_pr
