// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/record_format.h"

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/document.h"
#include "core/envelope.h"
#include "core/json_text.h"
#include "store/uuid.h"

namespace scsi_pr {

namespace {

using nlohmann::json;

constexpr std::string_view kMagic = "scsi-pr/1 ";
constexpr std::string_view kMagicOfAny = "scsi-pr/";
constexpr size_t kVersionAt = kMagic.size();
constexpr size_t kIndexAt = kVersionAt + 16 + 1;
constexpr size_t kLengthAt = kIndexAt + 6 + 1;
constexpr size_t kChecksumAt = kLengthAt + 8 + 1;
constexpr size_t kPayloadAt = kChecksumAt + 8 + 1;
constexpr size_t kPayloadBytes = kSectorBytes - kPayloadAt - 1;  // and a newline
constexpr size_t kUuidBytes = 36;
// More than the largest state takes.
constexpr size_t kMostBodyBytes = size_t{8} << 20;

struct Sector {
  uint64_t version = 0;
  uint64_t index = 0;
  uint64_t body_bytes = 0;
  std::string_view payload;
};

uint32_t Checksum(std::string_view line) {
  const auto add = [](uLong sum, std::string_view bytes) {
    return crc32_z(sum, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  };
  return static_cast<uint32_t>(
      add(add(0, line.substr(0, kChecksumAt)), line.substr(kChecksumAt + 8)));
}

std::string EncodeSector(uint64_t version, size_t index, size_t body_bytes,
                         std::string_view payload) {
  char head[2 * kPayloadAt];  // the numbers fit their fields, which no compiler can know
  snprintf(head, sizeof head, "%s%016llx %06zx %08zx %08x ", kMagic.data(),
           static_cast<unsigned long long>(version), index, body_bytes, 0U);
  std::string line(head);
  line += payload;
  line.resize(kSectorBytes - 1, ' ');
  line += '\n';
  char checksum[8 + 1];
  snprintf(checksum, sizeof checksum, "%08x", Checksum(line));
  return line.replace(kChecksumAt, 8, checksum);
}

bool ReadHex(std::string_view line, size_t at, size_t digits, uint64_t* value) {
  const char* end = line.data() + at + digits;
  return std::from_chars(line.data() + at, end, *value, 16).ptr == end;
}

std::optional<Sector> DecodeSector(std::string_view line) {
  Sector sector;
  uint64_t checksum = 0;
  if (line.size() != kSectorBytes || !line.starts_with(kMagic) || line.back() != '\n' ||
      !ReadHex(line, kVersionAt, 16, &sector.version) ||
      !ReadHex(line, kIndexAt, 6, &sector.index) ||
      !ReadHex(line, kLengthAt, 8, &sector.body_bytes) ||
      !ReadHex(line, kChecksumAt, 8, &checksum) || checksum != Checksum(line) ||
      sector.version >= Gate::kMostVersions || sector.body_bytes > kMostBodyBytes) {
    return std::nullopt;
  }
  sector.payload = line.substr(kPayloadAt, kPayloadBytes);
  return sector;
}

size_t SectorsFor(size_t body_bytes) {
  return std::max<size_t>(1, (body_bytes + kPayloadBytes - 1) / kPayloadBytes);
}

std::string Body(const DiskRecord& record) {
  return record.identity + " {\"document\":" + EncodeDocument(record.record.state) +
         ",\"previous\":" + std::to_string(record.previous) +
         ",\"unit-attentions\":" + JsonText(UnitAttentionsToJson(record.record.unit_attentions)) +
         ",\"writing\":\"" + KeyToText(record.writing) + "\"}";
}

// Throws what nlohmann-json throws.
Status DecodeBody(const std::string& body, DiskRecord* record) {
  record->identity = body.substr(0, kUuidBytes);
  if (!IsUuid(record->identity)) throw std::invalid_argument("it has no identity");
  const json object = json::parse(body.substr(kUuidBytes));
  record->previous = GetUnsigned<uint64_t>(object, "previous", 0);
  record->writing = KeyFromText(object.at("writing").get<std::string>());
  record->record.unit_attentions = UnitAttentionsFromJson(object.at("unit-attentions"));
  return DecodeDocument(JsonText(object.at("document")), &record->record.state);
}

DiskPart Part(DiskPart::Condition condition, std::string what, uint64_t version = 0) {
  DiskPart part;
  part.condition = condition;
  part.what = std::move(what);
  part.version = version;
  return part;
}

using Condition = DiskPart::Condition;

// All of its sectors are sound, and of one version.
DiskPart DecodeWhole(uint64_t version, const std::string& body) {
  DiskPart part = Part(Condition::kSound, "", version);
  part.content.record.version = version;
  try {
    const Status status = DecodeBody(body, &part.content);
    if (status.ok()) return part;
    const bool newer = status.code() == Status::Code::kUnsupported;
    return Part(newer ? Condition::kNewer : Condition::kDamaged, status.message(), version);
  } catch (const std::exception& e) {
    return Part(Condition::kDamaged, e.what(), version);
  }
}

}  // namespace

size_t Stamp::sectors() const { return SectorsFor(body_bytes); }

std::string EncodeDiskRecord(const DiskRecord& record) {
  const std::string body = Body(record);
  const size_t sectors = SectorsFor(body.size());
  std::string bytes;
  for (size_t i = 0; i < sectors; i++) {
    bytes += EncodeSector(record.record.version, i, body.size(),
                          std::string_view(body).substr(i * kPayloadBytes, kPayloadBytes));
  }
  while (bytes.size() % kBlockBytes != 0) bytes += EncodeBlankSector();
  return bytes;
}

std::string EncodeBlankSector() { return EncodeSector(0, 0, 0, ""); }

std::optional<Stamp> DecodeStamp(std::string_view sector) {
  const auto decoded = DecodeSector(sector);
  if (!decoded || decoded->index != 0) return std::nullopt;
  Stamp stamp{decoded->version, decoded->body_bytes, ""};
  if (!stamp.is_blank()) stamp.identity = decoded->payload.substr(0, kUuidBytes);
  return stamp;
}

bool LooksLikeStore(std::string_view begin) { return begin.starts_with(kMagicOfAny); }

DiskPart DecodeDiskPart(std::string_view bytes) {
  const std::string_view first_line = bytes.substr(0, kSectorBytes);
  const auto first = DecodeSector(first_line);
  if (!first) {
    const bool newer = first_line.starts_with(kMagicOfAny) && !first_line.starts_with(kMagic);
    return newer ? Part(Condition::kNewer, "it is of a newer format")
                 : Part(Condition::kDamaged, "its first sector is damaged");
  }
  if (first->body_bytes == 0) return Part(Condition::kUnfinished, "it was taken back");
  if (first->index != 0) return Part(Condition::kDamaged, "its first sector belongs elsewhere");
  std::string body;
  bool mixed = false;
  for (size_t i = 0; i < SectorsFor(first->body_bytes); i++) {
    const auto sector =
        DecodeSector(bytes.substr(std::min(bytes.size(), i * kSectorBytes), kSectorBytes));
    if (!sector) {
      return Part(Condition::kDamaged, "its sector " + std::to_string(i) + " is damaged",
                  first->version);
    }
    mixed = mixed || sector->version != first->version || sector->index != i ||
            sector->body_bytes != first->body_bytes;
    body += sector->payload;
  }
  if (mixed) return Part(Condition::kUnfinished, "its writing was interrupted", first->version);
  body.resize(first->body_bytes);
  return DecodeWhole(first->version, body);
}

Verdict Judge(const DiskParts& parts, uint64_t disowned) {
  const auto counts = [&](const DiskPart& part) {
    return part.sound() && (disowned == 0 || part.content.writing != disowned);
  };
  const DiskPart& a = parts.part[0];
  const DiskPart& b = parts.part[1];
  Verdict verdict;
  if (!counts(a) && !counts(b)) {
    verdict.newer_is_lost = true;
    verdict.why = "the first record: " + (a.sound() ? "it was taken back" : a.what) +
                  "; the second: " + (b.sound() ? "it was taken back" : b.what);
    return verdict;
  }
  const unsigned place = counts(a) && (!counts(b) || a.version > b.version) ? 0 : 1;
  const DiskPart& best = parts.part[place];
  const DiskPart& other = parts.part[1 - place];
  verdict.place = place;
  const char* name = place == 0 ? "second" : "first";
  if (other.condition == Condition::kDamaged || other.condition == Condition::kNewer) {
    // Its first sector may tell that it was the older one.
    verdict.newer_is_lost = other.version == 0 || other.version > best.version;
    verdict.why = std::string("the ") + name + " record: " + other.what;
  } else if (counts(other) && (best.content.previous != other.version ||
                               best.content.identity != other.content.identity)) {
    verdict.newer_is_lost = true;
    verdict.why = "the two records do not belong together: versions " +
                  std::to_string(best.version) + " and " + std::to_string(other.version);
  }
  return verdict;
}

}  // namespace scsi_pr
