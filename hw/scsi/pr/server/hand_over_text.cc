// SPDX-License-Identifier: GPL-2.0-or-later
#include "server/hand_over_text.h"

#include <algorithm>

#include "core/document.h"
#include "core/envelope.h"
#include "spc/text.h"

namespace scsi_pr {

namespace {

using nlohmann::json;
using Kind = StoreIdentity::Kind;

constexpr Envelope kIdentityEnvelope{"scsi-pr-store", "store", "the name of the source's store", 1};
constexpr Envelope kNexusEnvelope{"scsi-pr-nexus", "nexus", "what the source has handed over", 1};
constexpr size_t kMaxText = 4096;                                     // bytes of a name
constexpr std::string_view kKinds[] = {"memory", "file", "cluster"};  // as Kind has them

std::string GetText(const json& object, const char* member) {
  auto text = object.at(member).get<std::string>();
  if (text.size() > kMaxText) {
    throw std::invalid_argument(std::string("\"") + member + "\" is too long");
  }
  return text;
}

json IdentityToJson(const StoreIdentity& identity) {
  return {{"kind", kKinds[static_cast<size_t>(identity.kind)]},
          {"id", identity.id},
          {"uri", Printable(identity.uri, kMaxText)}};
}

StoreIdentity IdentityFromJson(const json& object) {
  const auto* kind = std::ranges::find(kKinds, GetText(object, "kind"));
  if (kind == std::end(kKinds)) throw std::invalid_argument("its kind of store is unknown");
  return {static_cast<Kind>(kind - std::begin(kKinds)), GetText(object, "id"),
          Printable(GetText(object, "uri"), kMaxText)};
}

// What is not of a state document.
HandedOver HandedOverFromJson(const json& object) {
  HandedOver handed;
  handed.store = IdentityFromJson(object.at("store"));
  handed.nexus = NexusFromJson(object);
  handed.attachment = GetText(object, "attachment");
  handed.epoch = GetUnsigned<uint64_t>(object, "epoch", 0);
  handed.version = GetUnsigned<uint64_t>(object, "version", 0);
  if (object.contains("key")) handed.key = KeyFromText(object.at("key").get<std::string>());
  for (const json& item : object.at("unit-attentions")) {
    handed.unit_attentions.push_back(UnitAttentionFromJson(item));
  }
  return handed;
}

Status Decode(std::string_view text, HandedOver* handed) {
  int schema = 0;
  json body;
  if (Status status = Unseal(kNexusEnvelope, text, &schema, &body); !status.ok()) return status;
  HandedOver decoded = HandedOverFromJson(body);
  const bool with_state = decoded.store.kind == Kind::kMemory;
  if (body.contains("document") != with_state) {
    return kNexusEnvelope.Corrupt("only a memory: store has a state that travels");
  }
  if (with_state) {
    const auto document = body.at("document").get<std::string>();
    Status status = DecodeDocument(document, &decoded.state.emplace());
    if (!status.ok()) return status;
  }
  *handed = std::move(decoded);
  return Status();
}

// nlohmann-json and the readers above report by exception; none leaves here.
template <typename Function>
Status WithoutExceptions(const Envelope& envelope, Function decode) {
  try {
    return decode();
  } catch (const std::exception& e) {
    return envelope.Corrupt(e.what());
  }
}

}  // namespace

std::string EncodeIdentity(const StoreIdentity& identity) {
  return Seal(kIdentityEnvelope, 1, IdentityToJson(identity));
}

Status DecodeIdentity(std::string_view text, StoreIdentity* identity) {
  return WithoutExceptions(kIdentityEnvelope, [&] {
    int schema = 0;
    json body;
    Status status = Unseal(kIdentityEnvelope, text, &schema, &body);
    if (status.ok()) *identity = IdentityFromJson(body);
    return status;
  });
}

std::string EncodeHandedOver(const HandedOver& handed) {
  json body = NexusToJson(handed.nexus);
  body["store"] = IdentityToJson(handed.store);
  body["attachment"] = handed.attachment;
  body["epoch"] = handed.epoch;
  body["version"] = handed.version;
  if (handed.key != 0) body["key"] = KeyToText(handed.key);
  json& attentions = body["unit-attentions"] = json::array();
  for (const Sense& sense : handed.unit_attentions) {
    attentions.push_back(UnitAttentionToJson(sense));
  }
  if (handed.state) body["document"] = EncodeDocument(*handed.state);
  return Seal(kNexusEnvelope, 1, std::move(body));
}

Status DecodeHandedOver(std::string_view text, HandedOver* handed) {
  return WithoutExceptions(kNexusEnvelope, [&] { return Decode(text, handed); });
}

}  // namespace scsi_pr
