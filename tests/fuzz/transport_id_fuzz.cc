// SPDX-License-Identifier: GPL-2.0-or-later
//
// TransportIDs as bytes, as text and in lists (SPC-3 7.5.4), and text from outside. The first
// byte of an input chooses which of them the rest is.
#include "spc/transport_id.h"

#include <glib.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "core/json_text.h"
#include "fuzz.h"
#include "spc/text.h"

namespace scsi_pr {
namespace {

using fuzz::Require;

// Whatever a TransportID came from: its two forms mean the same.
void CheckForms(const TransportId& id) {
  const ByteVector bytes = id.Encode();
  Require(bytes.size() >= 24 && bytes.size() % 4 == 0, "7.5.4.1: a multiple of four, at least 24");
  size_t consumed = 0;
  const auto decoded = TransportId::Decode(bytes, &consumed);
  Require(decoded == id && consumed == bytes.size(), "the bytes name the same port");
  for (size_t length = 0; length < bytes.size(); length++) {
    const ByteVector truncated = fuzz::Copy(ByteSpan(bytes).first(length));
    Require(!TransportId::Decode(truncated, &consumed), "a truncated TransportID is none");
  }

  const std::string text = id.ToText();
  Require(text.size() <= TransportId::kMaxText, "the text is not longer than announced");
  std::string error;
  const auto read = TransportId::FromText(text, &error);
  Require(read == id, "the text names the same port");
  Require(read->ToText() == text, "the text is the only one");
}

void FuzzBytes(ByteSpan input) {
  const ByteVector bytes = fuzz::Copy(input);
  size_t consumed = 0;
  const auto id = TransportId::Decode(bytes, &consumed);
  if (!id) return;
  Require(consumed >= 24 && consumed <= bytes.size() && consumed % 4 == 0, "length consumed");
  CheckForms(*id);
}

void FuzzText(ByteSpan input) {
  std::string error;
  const auto id = TransportId::FromText(fuzz::Text(input), &error);
  Require(id.has_value() == error.empty(), "an error says what is wrong");
  if (id) CheckForms(*id);
}

// Two lists that begin alike: what follows a TransportID does not change it.
void FuzzList(ByteSpan input) {
  ByteVector again;
  std::vector<TransportId> ids;
  for (ByteSpan rest = input; !rest.empty();) {
    size_t consumed = 0;
    const auto id = TransportId::Decode(rest, &consumed);
    if (!id) break;
    ids.push_back(*id);
    const ByteVector bytes = id->Encode();
    again.insert(again.end(), bytes.begin(), bytes.end());
    rest = rest.subspan(consumed);
  }
  ByteSpan rest = again;
  for (const TransportId& id : ids) {
    size_t consumed = 0;
    Require(TransportId::Decode(rest, &consumed) == id, "a list keeps its members");
    rest = rest.subspan(consumed);
  }
  Require(rest.empty(), "a list keeps its length");
}

// What JSON readers take.
void CheckClean(const std::string& text) {
  Require(g_utf8_validate(text.data(), static_cast<gssize>(text.size()), nullptr), "UTF-8");
  Require(WithoutNoncharacters(text) == text, "no noncharacters");
}

// The first byte: how many bytes it may become.
void FuzzOutside(ByteSpan input) {
  fuzz::Reader reader(input);
  const size_t most = reader.Byte();
  const std::string outside = fuzz::Text(reader.Bytes(input.size()));
  const std::string text = Printable(outside, most);
  CheckClean(text);
  Require(text.size() <= most, "not longer than it may be");
  Require(Printable(text) == text, "what is printable stays");
  Require(Printable(outside).starts_with(text), "nothing but cut");
  const std::string dumped = JsonText(outside);
  CheckClean(dumped);
  Require(nlohmann::json::parse(dumped).is_string(), "JSON");
}

}  // namespace
}  // namespace scsi_pr

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  scsi_pr::fuzz::Reader reader({data, size});
  const uint8_t form = reader.Byte();
  const scsi_pr::ByteSpan input = reader.Bytes(size);
  switch (form) {
    case 'b': scsi_pr::FuzzBytes(input); break;
    case 't': scsi_pr::FuzzText(input); break;
    case 'l': scsi_pr::FuzzList(input); break;
    case 'p': scsi_pr::FuzzOutside(input); break;
    default: break;
  }
  return 0;
}
