// SPDX-License-Identifier: GPL-2.0-or-later
//
// The durable half of a file: store as bytes: a text file with two records of the
// logical unit, of which the newer counts.
//
// The file is blocks of 4096 bytes; the even ones belong to place 0, the odd ones to
// place 1. A record fills the blocks of its place, sector after sector; a sector is a
// line of 512 bytes:
//
//   scsi-pr/1 VVVVVVVVVVVVVVVV IIIIII LLLLLLLL CCCCCCCC PAYLOAD…\n
//
// in hexadecimal digits: the record's version, the sector's number in it (from 0), the
// length of the record's body in bytes, CRC-32 (zlib's) of the line without these eight
// digits. The payloads, one behind the other, are the body, padded with spaces:
//
//   UUID {"document":{…},"previous":N,"unit-attentions":[…],"writing":"0x…"}
//
// the store's identity; the canonical document of the state (core/document.h); the
// version in the other place; what the change has to tell: nexuses with "asc" and "ascq"
// and, where it is set, "but-not" (a nexus); a random number of this writing.
//
// A change overwrites the older record. A disk writes a sector as a whole or not at all,
// but several in any order. So each sector says for itself whether it is damaged, and a
// place with sound sectors of different versions is a change that was interrupted: it
// was never in force, and the other record counts. A damaged sector is damage, and never
// makes the other record count by itself: it may have been the newest.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/status.h"
#include "gate/gate.h"
#include "store/record.h"

namespace scsi_pr {

inline constexpr size_t kSectorBytes = 512;
inline constexpr size_t kBlockBytes = 4096;

// What one place holds.
struct DiskRecord {
  std::string identity;   // UUID
  uint64_t previous = 0;  // the version in the other place
  Record record;
  uint64_t writing = 0;  // random: no other writing of a record has it
};

// Whole blocks.
std::string EncodeDiskRecord(const DiskRecord& record);
// One sector of no record: what a place begins with that has none (any more).
std::string EncodeBlankSector();

// What the first sector of a place says by itself.
struct Stamp {
  uint64_t version = 0;
  size_t body_bytes = 0;
  std::string identity;  // empty if it is blank
  size_t sectors() const;
  bool is_blank() const { return body_bytes == 0; }
};
// Nothing if the sector is damaged.
std::optional<Stamp> DecodeStamp(std::string_view sector);
// Whether a file that begins so may be a store.
bool LooksLikeStore(std::string_view begin);

struct DiskPart {
  enum class Condition {
    kSound,
    kUnfinished,  // a change was interrupted, or taken back: nothing of it counts
    kDamaged,
    kNewer,  // of a newer version of this program
  };

  Condition condition = Condition::kDamaged;
  std::string what;      // is wrong, for people
  uint64_t version = 0;  // where the first sector is sound
  DiskRecord content;    // if it is sound

  bool sound() const { return condition == Condition::kSound; }
};

// `bytes`: the blocks of one place, as many as there are.
DiskPart DecodeDiskPart(std::string_view bytes);

// Both.
struct DiskParts {
  DiskPart part[2];
  uint64_t newest() const { return std::max(part[0].version, part[1].version); }
};

// What can be believed of them.
struct Verdict {
  // The last good record, in this place; none: nothing is left.
  std::optional<unsigned> place;
  // Something newer is damaged, or may have been: the record must not be taken for the
  // last one that was committed.
  bool newer_is_lost = false;
  std::string why;  // if so, or if nothing is left
};
// `disowned`: the writing of a change that was refused or interrupted while others saw that
// it was not in force (Gate::disowned). Its record is not believed. 0: none.
Verdict Judge(const DiskParts& parts, uint64_t disowned);

}  // namespace scsi_pr
