// SPDX-License-Identifier: GPL-2.0-or-later
//
// The state document (core/document.h). The first byte of an input chooses:
// d, the rest is a document; s, the rest is its member "state", to which a
// checksum that fits is added: else the checksum would shield what is behind
// it; m, a valid document is made and then changed.
#include "core/document.h"

#include <glib.h>

#include <nlohmann/json.hpp>

#include "core/transition.h"
#include "fuzz.h"

namespace scsi_pr {
namespace {

using fuzz::Require;
using nlohmann::json;

// What DecodeDocument() leaves alone unless it accepts.
State Untouched() {
  State state;
  state.generation = 4711;
  state.registrations = {{Nexus{}, 1}};
  return state;
}

void Decode(const std::string& text) {
  const State before = Untouched();
  State state = before;
  const Status status = DecodeDocument(text, &state);
  if (!status.ok()) {
    Require(state == before, "a document that is refused changes nothing");
    Require(!status.message().empty(), "an error says what is wrong");
    return;
  }
  Require(!FindViolation(state), "a document that is accepted has no violation");
  // But for spaces and the order of members.
  Require(json::parse(EncodeDocument(state)) == json::parse(text), "what is accepted is canonical");
}

// With a checksum as core/document.h describes it.
std::string Forge(json state) {
  std::string body;
  try {
    body = state.dump();
  } catch (const json::exception&) {
    return "";  // not UTF-8: no document holds it
  }
  gchar* digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, body.data(),
                                                static_cast<gssize>(body.size()));
  const std::string checksum = std::string("sha256:") + digest;
  g_free(digest);
  const json document = {
      {"format", "scsi-pr"}, {"schema", 1}, {"checksum", checksum}, {"state", state}};
  return document.dump();
}

// A small state from a few bytes, without a look at what is valid.
json MakeState(fuzz::Reader& reader) {
  static constexpr const char* kPorts[] = {"naa.5000000000000001",
                                           "naa.5000000000000002",
                                           "iqn.a",
                                           "IQN.A",
                                           "iqn.a,i,0x00023d000001",
                                           "iqn.\xEF\xB7\x90",
                                           "srp.00000000000000000000000000000001",
                                           "21:00:00:e0:8b:05:05:04"};
  static constexpr const char* kTypes[] = {"write-exclusive",
                                           "exclusive-access",
                                           "write-exclusive-registrants-only",
                                           "exclusive-access-registrants-only",
                                           "write-exclusive-all-registrants",
                                           "exclusive-access-all-registrants",
                                           "read-shared",
                                           ""};
  const auto nexus = [&] {
    const uint8_t byte = reader.Byte();
    return json{{"initiator", kPorts[byte % 8]}, {"target-port", byte / 8 % 4}};
  };
  json registrations = json::array();
  for (int count = reader.Byte() % 8; count > 0; count--) {
    json registration = nexus();
    registration["key"] = KeyToText(reader.Byte());
    registrations.push_back(registration);
  }
  const uint8_t reserved = reader.Byte();
  json state = {{"pr-generation", reader.Byte()},
                {"aptpl", (reserved & 0x80) != 0},
                {"registrations", registrations}};
  if ((reserved & 0x40) != 0) {
    state["reservation"] = {{"type", kTypes[reserved % 8]}, {"scope", "logical-unit"}};
    if ((reserved & 0x20) != 0) state["reservation"]["holder"] = nexus();
  }
  return state;
}

json MakeValue(fuzz::Reader& reader) {
  static const json kValues[] = {nullptr,
                                 true,
                                 0,
                                 -1,
                                 1.5,
                                 65535,
                                 65536,
                                 4294967295,
                                 4294967296,
                                 UINT64_MAX,
                                 1e300,
                                 "",
                                 "0x0000000000000000",
                                 "0x0000000000000001",
                                 "0x000000000000000g",
                                 json::array(),
                                 json::object(),
                                 "iscsi:",
                                 "iqn.a,i,0x",
                                 "0xFFFFFFFFFFFFFFFF"};
  const uint8_t byte = reader.Byte();
  if (byte % 32 < std::size(kValues)) return kValues[byte % 32];
  return json(fuzz::Text(reader.Bytes(byte / 32 * 8)));
}

// Descends by bytes of the input and replaces, removes or adds what is there.
void Change(json& value, fuzz::Reader& reader) {
  const uint8_t choice = reader.Byte();
  if (value.is_structured() && !value.empty() && choice < 0xC0) {
    auto member = value.begin();
    std::advance(member, choice % value.size());
    if (choice >= 0xA0) {
      value.erase(member);
    } else {
      Change(*member, reader);
    }
  } else if (value.is_array() && choice < 0xE0) {
    value.push_back(value.empty() ? MakeValue(reader) : json(value[0]));
  } else if (value.is_object() && choice < 0xE0) {
    value[fuzz::Text(reader.Bytes(4))] = MakeValue(reader);
  } else {
    value = MakeValue(reader);
  }
}

void DecodeChanged(fuzz::Reader reader) {
  json state = MakeState(reader);
  while (!reader.empty()) Change(state, reader);
  Decode(Forge(state));
}

}  // namespace
}  // namespace scsi_pr

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace scsi_pr;
  fuzz::Reader reader({data, size});
  const uint8_t form = reader.Byte();
  switch (form) {
    case 'd': Decode(fuzz::Text(reader.Bytes(size))); break;
    case 's': {
      const json state = json::parse(fuzz::Text(reader.Bytes(size)), nullptr, false);
      if (!state.is_discarded()) Decode(Forge(state));
      break;
    }
    case 'm': DecodeChanged(reader); break;
    default: break;
  }
  return 0;
}
