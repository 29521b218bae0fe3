// SPDX-License-Identifier: GPL-2.0-or-later
//
// The records of a file: store. The first byte of an input chooses: p, the rest is one
// place of the file; s, the same, and each sector gets the checksum that fits: else that
// would shield what is behind it; b, the rest is a record's body, in sectors that are
// sound; f, the rest is a file; m, it is a record in shared memory.
#include <algorithm>

#include "../unit/disk_record.h"
#include "fuzz.h"
#include "store/record_bytes.h"
#include "store/record_format.h"

namespace scsi_pr {
namespace {

using fuzz::Require;

void CheckPart(const DiskPart& part) {
  Require(part.sound() == part.what.empty(), "what is not sound says why");
  if (!part.sound()) return;
  Require(!FindViolation(part.content.record.state), "a sound record has no violation");
  Require(part.version < Gate::kMostVersions, "a version fits where it is kept");
  const DiskPart again = DecodeDiskPart(EncodeDiskRecord(part.content));
  Require(again.sound() && again.version == part.version &&
              again.content.record.state == part.content.record.state,
          "what is read is written so that it is read again");
}

void DecodePlace(const std::string& bytes) { CheckPart(DecodeDiskPart(bytes)); }

void DecodeBody(const std::string& body) {
  constexpr size_t kPayloadBytes = 459;
  std::string bytes;
  for (size_t at = 0; at < std::max<size_t>(1, body.size()); at += kPayloadBytes) {
    char head[64];
    snprintf(head, sizeof head, "scsi-pr/1 %016x %06zx %08zx %08x ", 7U, at / kPayloadBytes,
             body.size(), 0U);
    std::string line = head + body.substr(at, kPayloadBytes);
    line.resize(kSectorBytes - 1, ' ');
    bytes += line + "\n";
  }
  DecodePlace(testing::Sealed(bytes));
}

void JudgeFile(const std::string& file) {
  const DiskParts parts = testing::DecodeParts(file);
  for (const uint64_t disowned : {uint64_t{0}, uint64_t{0x2a}, UINT64_MAX}) {
    const Verdict verdict = Judge(parts, disowned);
    Require(verdict.place || verdict.newer_is_lost, "nothing left is no state");
    Require(!verdict.newer_is_lost || !verdict.why.empty(), "a loss says why");
    if (!verdict.place) continue;
    const DiskPart& part = parts.part[*verdict.place];
    CheckPart(part);
    Require(part.sound() && (disowned == 0 || part.content.writing != disowned),
            "what does not count is not believed");
  }
}

void DecodeMemory(const std::string& bytes) {
  Record record;
  if (!DecodeRecord(bytes, &record)) return;
  Require(!FindViolation(record.state), "a record that is accepted has no violation");
  Record again;
  Require(DecodeRecord(EncodeRecord(record), &again) && again.state == record.state,
          "what is read is written so that it is read again");
}

}  // namespace
}  // namespace scsi_pr

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace scsi_pr;
  fuzz::Reader reader({data, size});
  const uint8_t form = reader.Byte();
  const std::string rest = fuzz::Text(reader.Bytes(size));
  switch (form) {
    case 'p': DecodePlace(rest); break;
    case 's': DecodePlace(testing::Sealed(rest)); break;
    case 'b': DecodeBody(rest); break;
    case 'f': JudgeFile(rest); break;
    case 'm': DecodeMemory(rest); break;
    default: break;
  }
  return 0;
}
