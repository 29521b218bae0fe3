// SPDX-License-Identifier: GPL-2.0-or-later
//
// What comes over the socket of scsi-prd, and the file that it writes. The first byte of an
// input chooses: f, the rest is bytes of a connection, which come piece by piece; m, a message's
// text, which is taken for each thing that a message can be; e, a file of who is attached on other
// hosts (cluster/elsewhere.h).
#include <nlohmann/json.hpp>

#include "cluster/elsewhere.h"
#include "cluster/messages.h"
#include "cluster/wire.h"
#include "core/state.h"
#include "fuzz.h"

namespace scsi_pr {
namespace {

using fuzz::Require;
using nlohmann::json;

// By whatever it throws but memory, a decoder refuses.
template <typename Function>
bool Accepts(Function decode) {
  try {
    decode();
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void CheckDecision(const json& object) {
  cluster::Decision decision;
  if (!Accepts([&] { decision = cluster::DecisionFromJson(object); })) return;
  Require(!FindViolation(decision.state), "a state that is accepted has no violation");
  const json again = cluster::DecisionToJson(decision);
  Require(cluster::DecisionToJson(cluster::DecisionFromJson(again)) == again,
          "what is read is written so that it is read again");
}

void CheckAttachments(const json& list) {
  std::vector<Attachment> attached;
  if (!Accepts([&] { attached = cluster::AttachmentsFromJson(list); })) return;
  const json again = cluster::AttachmentsToJson(attached);
  Require(cluster::AttachmentsToJson(cluster::AttachmentsFromJson(again)) == again,
          "who is attached is written so that it is read again");
}

void CheckProofs(const json& list) {
  std::vector<HostProof> proofs;
  if (!Accepts([&] { proofs = cluster::ProofsFromJson(list); })) return;
  Require(cluster::ProofsFromJson(cluster::ProofsToJson(proofs)) == proofs,
          "a proof is written so that it is read again");
}

void CheckResult(const json& message) {
  json result = "as before";
  const Status status = cluster::ResultOf(message, &result);
  Require(status.ok() == result.is_object(), "a result is an object, or as it was");
  Require(status.ok() || !status.message().empty() || message.contains("error"),
          "an error says what is wrong");
  if (status.ok()) return;
  json again;
  const Status repeated = cluster::ResultOf(cluster::Error(status), &again);
  Require(repeated.code() == status.code() && repeated.message() == status.message() &&
              repeated.hint() == status.hint(),
          "an error is sent so that it is heard");
}

void CheckMessage(const json& message) {
  Require(message.is_object(), "a message is an object");
  CheckResult(message);
  for (const auto& [member, value] : message.items()) {
    CheckDecision(value);
    CheckAttachments(value);
    CheckProofs(value);
  }
  std::string frame;
  if (!cluster::EncodeFrame(message, &frame).ok()) return;
  cluster::FrameReader reader;
  reader.Append(frame);
  json again;
  bool found = false;
  std::string repeated;
  // But for noncharacters, which JsonText() replaces.
  Require(reader.Next(&again, &found).ok() && found &&
              cluster::EncodeFrame(again, &repeated).ok() && repeated == frame,
          "what is sent is heard");
}

void Decode(const std::string& text) {
  json message = "as before";
  if (cluster::DecodeMessage(text, &message).ok()) {
    CheckMessage(message);
  } else {
    Require(message == "as before", "what is refused changes nothing");
  }
}

void Receive(fuzz::Reader input) {
  cluster::FrameReader reader;
  while (!input.empty()) {
    reader.Append(fuzz::Text(input.Bytes(size_t{1} + input.Byte())));
    for (bool found = true; found;) {
      json message;
      if (!reader.Next(&message, &found).ok()) return;
      if (found) CheckMessage(message);
    }
  }
}

void DecodeElsewhere(const std::string& text) {
  cluster::Elsewhere elsewhere;
  if (!cluster::DecodeElsewhere(text, &elsewhere).ok()) return;
  cluster::Elsewhere again;
  Require(cluster::DecodeElsewhere(cluster::EncodeElsewhere(elsewhere), &again).ok() &&
              again == elsewhere,
          "what is read is written so that it is read again");
}

}  // namespace
}  // namespace scsi_pr

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace scsi_pr;
  fuzz::Reader reader({data, size});
  switch (reader.Byte()) {
    case 'f': Receive(reader); break;
    case 'm': Decode(fuzz::Text(reader.Bytes(size))); break;
    case 'e': DecodeElsewhere(fuzz::Text(reader.Bytes(size))); break;
    default: break;
  }
  return 0;
}
