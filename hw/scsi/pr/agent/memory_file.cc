// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/memory_file.h"

#include <cerrno>
#include <limits>
#include <nlohmann/json.hpp>

#include "agent/whole_file.h"
#include "core/envelope.h"

namespace scsi_pr::agent {

namespace {

using nlohmann::json;

constexpr size_t kMostBytes = 1 << 19;
constexpr mode_t kMode = 0644;
constexpr Envelope kEnvelope = {"scsi-prd-memory", "memory", "what this host knows of the store",
                                1};

constexpr const char* kIfDamaged =
    "If etcd was not put back to a backup since this host was a member, and it is the etcd of "
    "then: "
    "remove the file and start scsi-prd again.";

Membership::Memory FromJson(const json& object) {
  Membership::Memory memory;
  memory.life = object.at("life").get<std::string>();
  if (!memory.life.empty() && !IsWord(memory.life)) {
    throw std::invalid_argument("\"life\" is no word");
  }
  memory.cluster = GetUnsigned<uint64_t>(object, "cluster", 0);
  memory.revision = GetUnsigned<int64_t>(object, "revision", 0);
  memory.restored = object.at("restored").get<bool>();
  for (const json& each : object.at("units")) {
    memory.units.push_back({each.at("lu").get<std::string>(),
                            GetUnsigned<uint64_t>(each, "version", StateRecord::kFirstVersion + 1),
                            each.at("nonce").get<std::string>()});
    if (!IsUnitName(memory.units.back().lu) || !IsWord(memory.units.back().nonce)) {
      throw std::invalid_argument("\"units\" has what is no word");
    }
  }
  if (memory.units.size() > Membership::Memory::kMostUnits) {
    throw std::invalid_argument("\"units\" is too long");
  }
  return memory;
}

Status Decode(std::string_view text, Membership::Memory* memory) {
  try {
    json inner;
    int schema = 0;
    if (Status status = Unseal(kEnvelope, text, &schema, &inner); !status.ok()) return status;
    *memory = FromJson(inner);
    return Status();
  } catch (const std::exception& error) {
    return kEnvelope.Corrupt(error.what());
  }
}

}  // namespace

Status MemoryFile::Read(Membership::Memory* memory) const {
  std::string text;
  Status status = ReadWholeFile(path_, kMostBytes, &text);
  if (!status.ok() && status.code() == Status::Code::kIo && errno == ENOENT) {
    *memory = {};
    return Status();
  }
  if (status.ok()) status = Decode(text, memory);
  if (status.ok()) return status;
  const bool has_name = status.message().find(path_) != std::string::npos;
  return Status::Error(status.code(), (has_name ? "" : path_ + ": ") + status.message(),
                       status.hint().empty() ? kIfDamaged : status.hint());
}

Status MemoryFile::Write(const Membership::Memory& memory) const {
  json units = json::array();
  for (const SeenVersion& each : memory.units) {
    units.push_back({{"lu", each.lu}, {"version", each.version}, {"nonce", each.nonce}});
  }
  const json inner = {{"life", memory.life},
                      {"cluster", memory.cluster},
                      {"revision", memory.revision},
                      {"restored", memory.restored},
                      {"units", std::move(units)}};
  const Status status =
      ReplaceFile(path_, Seal(kEnvelope, kEnvelope.schema, inner) + "\n", kMode, true);
  if (status.ok()) return status;
  return Status::Error(status.code(), status.message(),
                       "The state directory must be writable for scsi-prd, on a disk with room.");
}

}  // namespace scsi_pr::agent
