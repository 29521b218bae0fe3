// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/record.h"

#include <nlohmann/json.hpp>

#include "core/document.h"

namespace scsi_pr {

namespace {

using nlohmann::json;

// Throws what nlohmann-json and NexusFromJson() throw.
std::vector<UnitAttention> DecodeUnitAttentions(const std::string& text) {
  constexpr uint8_t kUnitAttentionKey = 0x6;
  std::vector<UnitAttention> attentions;
  for (const json& item : json::parse(text)) {
    const Sense sense{kUnitAttentionKey, item.at("asc").get<uint8_t>(),
                      item.at("ascq").get<uint8_t>()};
    attentions.push_back({NexusFromJson(item), sense});
    if (item.contains("but-not")) attentions.back().but_not = NexusFromJson(item.at("but-not"));
  }
  return attentions;
}

}  // namespace

std::string EncodeUnitAttentions(const std::vector<UnitAttention>& attentions) {
  json list = json::array();
  for (const UnitAttention& attention : attentions) {
    json item = NexusToJson(attention.nexus);
    item["asc"] = attention.sense.asc;
    item["ascq"] = attention.sense.ascq;
    if (attention.but_not) item["but-not"] = NexusToJson(*attention.but_not);
    list.push_back(std::move(item));
  }
  return list.dump();
}

Status DecodeRecord(uint64_t version, const std::string& document,
                    const std::string& unit_attentions, Record* record) {
  Record decoded{version, {}, {}};
  if (Status status = DecodeDocument(document, &decoded.state); !status.ok()) return status;
  try {
    decoded.unit_attentions = DecodeUnitAttentions(unit_attentions);
  } catch (const std::exception& e) {
    return Status::Error(Status::Code::kCorrupt,
                         std::string("the unit attention conditions are damaged: ") + e.what());
  }
  *record = std::move(decoded);
  return Status();
}

}  // namespace scsi_pr
