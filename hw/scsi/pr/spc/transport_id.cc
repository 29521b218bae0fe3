// SPDX-License-Identifier: GPL-2.0-or-later
#include "spc/transport_id.h"

#include <glib.h>

#include <algorithm>
#include <charconv>

#include "spc/text.h"

namespace scsi_pr {

namespace {

constexpr size_t kFixedLength = 24;  // of every TransportID but iSCSI's
constexpr size_t kIsidDigits = 12;
constexpr std::string_view kIsidSeparator = ",i,0x";

// Where the port name or identifier stands in a 24-byte TransportID.
struct Field {
  TransportId::Protocol protocol;
  size_t offset;
  size_t length;
};
constexpr Field kFields[] = {
    {TransportId::Protocol::kFcp, 8, 8},
    {TransportId::Protocol::kSrp, 8, 16},
    {TransportId::Protocol::kSas, 4, 8},
};

const Field* FieldOf(TransportId::Protocol protocol) {
  for (const Field& field : kFields) {
    if (field.protocol == protocol) return &field;
  }
  return nullptr;
}

std::string ToHex(std::string_view bytes, std::string_view separator = "") {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (size_t i = 0; i < bytes.size(); i++) {
    const auto byte = static_cast<uint8_t>(bytes[i]);
    if (i != 0) hex += separator;
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 0xF];
  }
  return hex;
}

bool AllHex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return g_ascii_isxdigit(c); });
}

std::optional<std::string> FromHex(std::string_view text, size_t length) {
  if (text.size() != 2 * length || !AllHex(text)) return std::nullopt;
  std::string bytes;
  for (size_t i = 0; i < text.size(); i += 2) {
    unsigned byte = 0;
    std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

// Of ASCII alone, whatever the emulator's locale: the rest is UTF-8.
std::string Lower(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](char c) { return g_ascii_tolower(c); });
  return lower;
}

// RFC 3722 6.2 beyond ASCII, from the first to the last: what stringprep prohibits (RFC 3454
// C.1.2 to C.9), what it would map to nothing (B.1), and later characters of these kinds.
// Noncharacters (C.4) are IsNoncharacter(); surrogates (C.5) are no UTF-8. Written out,
// because what GLib knows changes with its version, and stored names must not.
constexpr struct {
  char32_t first;
  char32_t last;
} kProhibited[] = {
    {0x0080, 0x00A0},   {0x00AD, 0x00AD},   {0x0340, 0x0341},    {0x034F, 0x034F}, {0x061C, 0x061C},
    {0x06DD, 0x06DD},   {0x070F, 0x070F},   {0x1680, 0x1680},    {0x1806, 0x1806}, {0x180B, 0x180F},
    {0x2000, 0x200F},   {0x2028, 0x202F},   {0x205F, 0x206F},    {0x2FF0, 0x2FFB}, {0x3000, 0x3000},
    {0x3002, 0x3002},   {0xE000, 0xF8FF},   {0xFE00, 0xFE0F},    {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFD},
    {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF}, {0xF0000, 0x10FFFF},
};

// In ASCII RFC 3722 allows letters, digits, '-', '.' and ':'. We refuse what has no place in any
// text, and the comma, which would make the ISID ambiguous; names with '_' or '/' are in use.
bool IsAllowed(char32_t c) {
  if (c < 0x80) return c > ' ' && c != ',' && c != 0x7F;
  return !IsNoncharacter(c) && std::ranges::none_of(kProhibited, [c](const auto& range) {
    return range.first <= c && c <= range.last;
  });
}

bool AllAllowed(std::string_view name) {
  if (!g_utf8_validate(name.data(), static_cast<gssize>(name.size()), nullptr)) return false;
  const char* const end = name.data() + name.size();
  for (const char* at = name.data(); at < end; at = g_utf8_next_char(at)) {
    if (!IsAllowed(g_utf8_get_char(at))) return false;
  }
  return true;
}

// The prefix alone names nobody.
bool ValidIscsiName(std::string_view name) {
  const std::string lower = Lower(name);
  return !name.empty() && name.size() <= TransportId::kMaxIscsiName && lower != "iqn." &&
         lower != "eui." && AllAllowed(name);
}

// "NAME" or "NAME,i,0x<12 hex>", normalized; nothing if malformed.
std::optional<std::string> NormalizeIscsi(std::string_view text, bool with_isid) {
  std::string_view name = text;
  if (with_isid) {
    const size_t at = text.find(kIsidSeparator);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view isid = text.substr(at + kIsidSeparator.size());
    if (isid.size() != kIsidDigits || !AllHex(isid)) return std::nullopt;
    name = text.substr(0, at);
  }
  if (!ValidIscsiName(name)) return std::nullopt;
  return Lower(text);
}

bool StripPrefix(std::string_view* text, std::string_view prefix) {
  if (Lower(text->substr(0, prefix.size())) != prefix) return false;
  text->remove_prefix(prefix.size());
  return true;
}

// 16 hexadecimal digits, or the same in pairs with colons between them.
std::optional<std::string> ParseWwpn(std::string_view text) {
  constexpr size_t kWithColons = 23;
  if (text.size() != kWithColons) return FromHex(text, 8);
  std::string digits;
  for (size_t i = 0; i < text.size(); i++) {
    const bool between = i % 3 == 2;
    if (between != (text[i] == ':')) return std::nullopt;
    if (!between) digits += text[i];
  }
  return FromHex(digits, 8);
}

}  // namespace

std::optional<TransportId> TransportId::FromIscsiText(std::string_view text, std::string* error) {
  const bool with_isid = text.find(',') != std::string_view::npos;
  if (auto name = NormalizeIscsi(text, with_isid)) return TransportId(Protocol::kIscsi, *name);
  *error =
      "is no iSCSI initiator port name: expected NAME or NAME,i,0x and the 12 hexadecimal "
      "digits of an ISID, the name at most 223 bytes long and without spaces, commas and what "
      "cannot be printed";
  return std::nullopt;
}

std::optional<TransportId> TransportId::FromText(std::string_view text, std::string* error) {
  std::string_view rest = text;
  if (StripPrefix(&rest, "iscsi:")) return FromIscsiText(rest, error);
  if (StripPrefix(&rest, "iqn.") || StripPrefix(&rest, "eui.")) return FromIscsiText(text, error);
  if (StripPrefix(&rest, "naa.")) {
    if (auto name = FromHex(rest, 8)) return TransportId(Protocol::kSas, *name);
    *error = "is no SAS address: expected naa. and 16 hexadecimal digits";
    return std::nullopt;
  }
  if (StripPrefix(&rest, "srp.")) {
    if (auto name = FromHex(rest, 16)) return TransportId(Protocol::kSrp, *name);
    *error = "is no SRP port identifier: expected srp. and 32 hexadecimal digits";
    return std::nullopt;
  }
  if (StripPrefix(&rest, "0x")) {
    if (auto name = FromHex(rest, 16)) return TransportId(Protocol::kSrp, *name);
  }
  if (auto name = ParseWwpn(rest)) return TransportId(Protocol::kFcp, *name);
  *error =
      "is no TransportID: expected an iSCSI name (iqn.…[,i,0xISID]), a SAS address (naa. and "
      "16 hexadecimal digits), a Fibre Channel WWPN (8 bytes, hexadecimal) or an SRP port "
      "identifier (srp. and 32 hexadecimal digits)";
  return std::nullopt;
}

std::string TransportId::ToText() const {
  switch (protocol_) {
    case Protocol::kFcp: return ToHex(name_, ":");
    case Protocol::kSrp: return "srp." + ToHex(name_);
    case Protocol::kSas: return "naa." + ToHex(name_);
    case Protocol::kIscsi: break;
  }
  const bool plain = name_.starts_with("iqn.") || name_.starts_with("eui.");
  return plain ? name_ : "iscsi:" + name_;
}

std::optional<TransportId> TransportId::Decode(ByteSpan bytes, size_t* consumed) {
  if (bytes.empty()) return std::nullopt;
  const auto protocol = static_cast<Protocol>(bytes[0] & 0x0F);
  if (protocol == Protocol::kIscsi) return DecodeIscsi(bytes, consumed);
  const Field* field = FieldOf(protocol);
  const uint8_t format_code = bytes[0] >> 6;
  if (field == nullptr || format_code != 0 || bytes.size() < kFixedLength) return std::nullopt;
  *consumed = kFixedLength;
  const ByteSpan name = bytes.subspan(field->offset, field->length);
  return TransportId(protocol, std::string(name.begin(), name.end()));
}

std::optional<TransportId> TransportId::DecodeIscsi(ByteSpan bytes, size_t* consumed) {
  constexpr size_t kHeader = 4;
  constexpr size_t kMinAdditional = 20;
  const uint8_t format_code = bytes[0] >> 6;
  if (format_code > 1 || bytes.size() < kHeader) return std::nullopt;
  const size_t additional = LoadBE<uint16_t>(bytes, 2);
  if (additional < kMinAdditional || additional % 4 != 0) return std::nullopt;
  if (bytes.size() - kHeader < additional) return std::nullopt;
  const std::string_view field(reinterpret_cast<const char*>(bytes.data()) + kHeader, additional);
  const size_t end = field.find('\0');
  if (end == std::string_view::npos) return std::nullopt;
  // Null-padded: what follows the name is nothing but nulls.
  if (field.find_first_not_of('\0', end) != std::string_view::npos) return std::nullopt;
  auto name = NormalizeIscsi(field.substr(0, end), format_code == 1);
  if (!name) return std::nullopt;
  *consumed = kHeader + additional;
  return TransportId(Protocol::kIscsi, *name);
}

ByteVector TransportId::EncodeIscsi() const {
  const bool with_isid = name_.find(',') != std::string::npos;
  const size_t padded = std::max<size_t>(20, (name_.size() + 1 + 3) / 4 * 4);
  ByteVector bytes = {static_cast<uint8_t>((with_isid ? 0x40 : 0x00) | 0x05), 0};
  AppendBE(bytes, static_cast<uint16_t>(padded));
  bytes.insert(bytes.end(), name_.begin(), name_.end());
  bytes.resize(4 + padded);
  return bytes;
}

ByteVector TransportId::Encode() const {
  if (protocol_ == Protocol::kIscsi) return EncodeIscsi();
  const Field* field = FieldOf(protocol_);
  ByteVector bytes(kFixedLength);
  bytes[0] = static_cast<uint8_t>(protocol_);
  std::ranges::copy(name_, bytes.begin() + static_cast<ptrdiff_t>(field->offset));
  return bytes;
}

}  // namespace scsi_pr
