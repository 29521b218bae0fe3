// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/envelope.h"

#include <glib.h>

#include <memory>

#include "core/json_text.h"

namespace scsi_pr {

namespace {

using nlohmann::json;

std::string Checksum(const json& inner) {
  const std::string text = JsonText(inner);
  const std::unique_ptr<char, decltype(&g_free)> digest(
      g_compute_checksum_for_data(G_CHECKSUM_SHA256, reinterpret_cast<const guchar*>(text.data()),
                                  text.size()),
      g_free);
  return std::string("sha256:") + digest.get();
}

// Texts are a few levels deep. Much deeper ones would overflow the stack in
// nlohmann-json's dump(), which is recursive.
bool RefuseDepth(int depth, json::parse_event_t, json&) {
  constexpr int kMost = 64;
  if (depth > kMost) throw std::invalid_argument("it is nested too deeply");
  return true;
}

}  // namespace

Status Envelope::Corrupt(const std::string& why) const {
  return Status::Error(Status::Code::kCorrupt, std::string(what) + " is damaged: " + why);
}

std::string Seal(const Envelope& envelope, int schema, json inner) {
  json outer;
  outer["format"] = envelope.format;
  outer["schema"] = schema;
  outer["checksum"] = Checksum(inner);
  outer[envelope.member] = std::move(inner);
  return JsonText(outer);
}

Status Unseal(const Envelope& envelope, std::string_view text, int* schema, json* inner) {
  json outer = json::parse(text, RefuseDepth);
  if (outer.at("format").get<std::string>() != envelope.format) {
    return envelope.Corrupt("it is of another format");
  }
  const auto number = GetUnsigned<uint64_t>(outer, "schema", 1);
  if (number > static_cast<uint64_t>(envelope.schema)) {
    return Status::Error(Status::Code::kUnsupported,
                         std::string(envelope.what) + " has schema " + std::to_string(number) +
                             ", this program knows up to " + std::to_string(envelope.schema),
                         "Use the version that wrote it, or a newer one.");
  }
  json& body = outer.at(envelope.member);
  if (outer.at("checksum").get<std::string>() != Checksum(body)) {
    return envelope.Corrupt("its checksum does not match");
  }
  *schema = static_cast<int>(number);
  *inner = std::move(body);
  return Status();
}

}  // namespace scsi_pr
