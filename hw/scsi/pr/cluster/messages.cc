// SPDX-License-Identifier: GPL-2.0-or-later
#include "cluster/messages.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/document.h"
#include "core/envelope.h"
#include "spc/text.h"

namespace scsi_pr::cluster {

namespace {

using nlohmann::json;

constexpr size_t kMaxText = 400;         // bytes of a text for people
constexpr size_t kMaxName = 255;         // bytes of a host's
constexpr size_t kMaxWord = 64;          // bytes that say which proof
constexpr size_t kMostAttached = 65536;  // on all hosts
constexpr size_t kMostHosts = 1024;      // that one change finds dead

const json& List(const json& list, size_t most) {
  if (!list.is_array() || list.size() > most) {
    throw std::invalid_argument("there is no list of at most " + std::to_string(most));
  }
  return list;
}

template <typename Value, typename Encode>
json ToList(const std::vector<Value>& values, Encode encode) {
  json list = json::array();
  for (const Value& value : values) list.push_back(encode(value));
  return list;
}

template <typename Value, typename Decode>
std::vector<Value> FromList(const json& list, size_t most, Decode decode) {
  std::vector<Value> values;
  for (const json& item : List(list, most)) values.push_back(decode(item));
  return values;
}

json AttachmentToJson(const Attachment& attachment) {
  json object = NexusToJson(attachment.nexus);
  if (!attachment.host.empty()) object["host"] = Printable(attachment.host);
  object["process-id"] = attachment.process_id;
  object["owner"] = Printable(attachment.owner);
  object["live"] = attachment.live;
  object["commands"] = attachment.commands;
  object["being-fenced"] = attachment.being_fenced;
  return object;
}

Attachment AttachmentFromJson(const json& object) {
  Attachment attachment;
  attachment.nexus = NexusFromJson(object);
  if (object.contains("host")) {
    attachment.host = Printable(object.at("host").get<std::string>(), kMaxText);
  }
  attachment.process_id = GetUnsigned<uint32_t>(object, "process-id", 0);
  attachment.owner = Printable(object.at("owner").get<std::string>(), kMaxText);
  attachment.live = object.at("live").get<bool>();
  attachment.commands = GetUnsigned<uint32_t>(object, "commands", 0);
  attachment.being_fenced = object.at("being-fenced").get<bool>();
  return attachment;
}

json ProofToJson(const HostProof& proof) {
  json object = {{"host", Printable(proof.host)}, {"proof", Printable(proof.proof)}};
  if (!proof.text.empty()) object["text"] = Printable(proof.text);
  return object;
}

HostProof ProofFromJson(const json& object) {
  HostProof proof;
  proof.host = Printable(object.at("host").get<std::string>(), kMaxName);
  proof.proof = Printable(object.at("proof").get<std::string>(), kMaxWord);
  if (object.contains("text")) {
    proof.text = Printable(object.at("text").get<std::string>(), kMaxText);
  }
  return proof;
}

}  // namespace

json NexusesToJson(const std::vector<Nexus>& nexuses) { return ToList(nexuses, NexusToJson); }

std::vector<Nexus> NexusesFromJson(const json& list) {
  return FromList<Nexus>(list, State::kMaxRegistrations, NexusFromJson);
}

json AttachmentsToJson(const std::vector<Attachment>& attachments) {
  return ToList(attachments, AttachmentToJson);
}

std::vector<Attachment> AttachmentsFromJson(const json& list) {
  return FromList<Attachment>(list, kMostAttached, AttachmentFromJson);
}

json ProofsToJson(const std::vector<HostProof>& proofs) { return ToList(proofs, ProofToJson); }

std::vector<HostProof> ProofsFromJson(const json& list) {
  return FromList<HostProof>(list, kMostHosts, ProofFromJson);
}

json DecisionToJson(const Decision& decision) {
  return {{"document", EncodeDocument(decision.state)},
          {"unit-attentions", UnitAttentionsToJson(decision.unit_attentions)},
          {"preempted", NexusesToJson(decision.preempted)}};
}

Decision DecisionFromJson(const json& object) {
  Decision decision;
  const std::string& document = object.at("document").get_ref<const std::string&>();
  if (Status status = DecodeDocument(document, &decision.state); !status.ok()) {
    throw std::invalid_argument(status.message());
  }
  decision.unit_attentions = UnitAttentionsFromJson(object.at("unit-attentions"));
  decision.preempted = NexusesFromJson(object.at("preempted"));
  return decision;
}

}  // namespace scsi_pr::cluster
