// SPDX-License-Identifier: GPL-2.0-or-later
//
// The file of a store as bytes: what is written is read, and a damaged, torn or old
// record is never believed, whatever has happened to which sector.
#include "store/record_format.h"

#include <random>

#include "disk_record.h"
#include "store/record_bytes.h"
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;
using Condition = DiskPart::Condition;

constexpr const char* kIdentity = "01234567-89ab-4def-8123-456789abcdef";

State Registered(size_t count) {
  State state;
  for (uint64_t i = 1; i <= count; i++) state.registrations.push_back({NumberedNexus(i), i});
  state.aptpl = true;
  return state;
}

DiskRecord MakeRecord(uint64_t version, State state) {
  DiskRecord record;
  record.identity = kIdentity;
  record.previous = version - 1;
  record.writing = version * 100;
  record.record = {version, std::move(state), {}};
  record.record.unit_attentions = {{B(), sense::kReservationsReleased, A()},
                                   {C(), sense::kRegistrationsPreempted, std::nullopt}};
  return record;
}

// Versions 6 in place 0 and 7 in place 1.
constexpr uint64_t kVersion = 7;
std::string MakeFile(size_t registrations) {
  std::string file;
  PutBytesOfPlace(&file, 0, EncodeDiskRecord(MakeRecord(kVersion - 1, Registered(registrations))));
  PutBytesOfPlace(&file, 1, EncodeDiskRecord(MakeRecord(kVersion, Registered(registrations + 1))));
  return file;
}

void ExpectSame(const Record& found, const Record& expected) {
  EXPECT_EQ(found.version, expected.version);
  EXPECT_EQ(found.state, expected.state);
  ASSERT_EQ(found.unit_attentions.size(), expected.unit_attentions.size());
  for (size_t i = 0; i < found.unit_attentions.size(); i++) {
    EXPECT_EQ(found.unit_attentions[i].nexus, expected.unit_attentions[i].nexus);
    EXPECT_EQ(found.unit_attentions[i].sense, expected.unit_attentions[i].sense);
    EXPECT_EQ(found.unit_attentions[i].but_not, expected.unit_attentions[i].but_not);
  }
}

TEST(RecordFormat, WhatIsWrittenIsRead) {
  for (const size_t count : {0, 1, 100, 1000}) {
    const DiskRecord record = MakeRecord(kVersion, Registered(count));
    const std::string bytes = EncodeDiskRecord(record);
    EXPECT_EQ(bytes.size() % kBlockBytes, 0u);
    const DiskPart part = DecodeDiskPart(bytes);
    ASSERT_TRUE(part.sound()) << part.what;
    EXPECT_EQ(part.content.identity, kIdentity);
    EXPECT_EQ(part.content.previous, kVersion - 1);
    ExpectSame(part.content.record, record.record);
  }
}

// For people with a pager; the checksum is what the format says it is.
TEST(RecordFormat, LinesOfText) {
  const std::string bytes = EncodeDiskRecord(MakeRecord(0x1f, Registered(3)));
  for (size_t at = 0; at < bytes.size(); at += kSectorBytes) {
    const std::string line = bytes.substr(at, kSectorBytes);
    EXPECT_EQ(line.find('\n'), kSectorBytes - 1);
    EXPECT_TRUE(line.starts_with("scsi-pr/1 "));
    EXPECT_TRUE(Sealed(line) == line);
  }
  EXPECT_TRUE(bytes.starts_with("scsi-pr/1 000000000000001f 000000 "));
  EXPECT_EQ(bytes.substr(52, 36), kIdentity);
}

TEST(RecordFormat, FirstSectorTellsVersionAndIdentity) {
  const auto stamp =
      DecodeStamp(EncodeDiskRecord(MakeRecord(kVersion, {})).substr(0, kSectorBytes));
  ASSERT_TRUE(stamp);
  EXPECT_EQ(stamp->version, kVersion);
  EXPECT_EQ(stamp->identity, kIdentity);
  EXPECT_TRUE(DecodeStamp(EncodeBlankSector())->is_blank());
  EXPECT_FALSE(DecodeStamp(""));
}

TEST(RecordFormat, TheNewerRecordCounts) {
  for (const bool swapped : {false, true}) {
    DiskParts parts = DecodeParts(MakeFile(5));
    if (swapped) std::swap(parts.part[0], parts.part[1]);
    const Verdict verdict = Judge(parts, 0);
    EXPECT_EQ(verdict.place, swapped ? 0u : 1u);
    EXPECT_FALSE(verdict.newer_is_lost);
  }
}

// Judged by the versions that the records really have: the newest, or that it is lost.
void ExpectNeverTheOlder(const DiskParts& parts, const Record& newest) {
  const Verdict verdict = Judge(parts, 0);
  if (verdict.newer_is_lost) return;
  ASSERT_TRUE(verdict.place);
  ExpectSame(parts.part[*verdict.place].content.record, newest);
}

// Every byte of both records.
TEST(RecordFormat, NoChangedByteBringsTheOlderRecordBack) {
  const std::string file = MakeFile(2);
  const DiskParts sound = DecodeParts(file);
  const Record newest = sound.part[1].content.record;
  for (unsigned place = 0; place < 2; place++) {
    const std::string bytes = BytesOfPlace(file, place);
    const size_t used = DecodeStamp(bytes.substr(0, kSectorBytes))->sectors() * kSectorBytes;
    for (size_t at = 0; at < bytes.size() && !::testing::Test::HasFailure(); at++) {
      if (at > used) at += 100;
      if (at >= bytes.size()) break;
      SCOPED_TRACE(std::to_string(place) + ", " + std::to_string(at));
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ 1);
      DiskParts parts = sound;
      parts.part[place] = DecodeDiskPart(changed);
      EXPECT_EQ(parts.part[place].sound(), at >= used) << "no byte is unguarded";
      ExpectNeverTheOlder(parts, newest);
    }
  }
}

TEST(RecordFormat, NoCutBringsTheOlderRecordBack) {
  const std::string sound = MakeFile(20);
  const Record newest = MakeRecord(kVersion, Registered(21)).record;
  for (size_t size = 0; size < sound.size(); size += 256) {
    SCOPED_TRACE(size);
    ExpectNeverTheOlder(DecodeParts(sound.substr(0, size)), newest);
  }
}

// A change that was interrupted: any of its sectors are on the disk, and the others are
// as they were before.
TEST(RecordFormat, TornRecords) {
  std::mt19937 random(20261129);
  const std::string before = MakeFile(20);
  const DiskRecord next = MakeRecord(kVersion + 1, Registered(18));
  std::string bytes = EncodeDiskRecord(next);
  const size_t sectors = DecodeStamp(bytes.substr(0, kSectorBytes))->sectors();
  const std::string old = BytesOfPlace(before, 0);
  for (int round = 0; round < 100; round++) {
    SCOPED_TRACE(round);
    std::string torn = old;
    size_t written = 0;
    for (size_t i = 0; i < bytes.size() / kSectorBytes; i++) {
      const size_t at = i * kSectorBytes;
      if (random() % 2 != 0) continue;
      torn.replace(at, kSectorBytes, bytes, at, kSectorBytes);
      if (i < sectors) written++;
    }
    std::string file = before;
    PutBytesOfPlace(&file, 0, torn);
    const DiskParts parts = DecodeParts(file);
    const Verdict verdict = Judge(parts, 0);
    EXPECT_FALSE(verdict.newer_is_lost) << verdict.why;
    EXPECT_EQ(verdict.place, written == sectors ? 0u : 1u);
  }
}

// The older record is the other one's predecessor, or something is missing.
TEST(RecordFormat, RecordsThatDoNotBelongTogether) {
  const auto lost = [](const DiskRecord& one, const DiskRecord& other) {
    std::string file;
    PutBytesOfPlace(&file, 0, EncodeDiskRecord(one));
    PutBytesOfPlace(&file, 1, EncodeDiskRecord(other));
    return Judge(DecodeParts(file), 0).newer_is_lost;
  };
  EXPECT_FALSE(lost(MakeRecord(6, {}), MakeRecord(7, {})));
  EXPECT_TRUE(lost(MakeRecord(5, {}), MakeRecord(7, {})));
  EXPECT_TRUE(lost(MakeRecord(7, {}), MakeRecord(7, {})));
  DiskRecord of_another = MakeRecord(6, {});
  of_another.identity = "11234567-89ab-4def-8123-456789abcdef";
  EXPECT_TRUE(lost(of_another, MakeRecord(7, {})));
}

TEST(RecordFormat, WhatWasTakenBackDoesNotCount) {
  std::string file = MakeFile(5);
  PutBytesOfPlace(&file, 1, EncodeBlankSector() + BytesOfPlace(file, 1).substr(kSectorBytes));
  const DiskParts parts = DecodeParts(file);
  EXPECT_EQ(parts.part[1].condition, Condition::kUnfinished);
  const Verdict verdict = Judge(parts, 0);
  EXPECT_EQ(verdict.place, 0u);
  EXPECT_FALSE(verdict.newer_is_lost);
}

TEST(RecordFormat, WhatIsDisownedDoesNotCount) {
  const DiskParts parts = DecodeParts(MakeFile(5));
  const auto place = [&](uint64_t disowned) {
    const Verdict verdict = Judge(parts, disowned);
    EXPECT_FALSE(verdict.newer_is_lost) << verdict.why;
    return verdict.place;
  };
  EXPECT_EQ(place(kVersion * 100), 0u);
  EXPECT_EQ(place(kVersion * 100 + 1), 1u) << "another writing of that version";
  EXPECT_EQ(place((kVersion - 1) * 100), 1u);
  EXPECT_EQ(place(0), 1u);
}

TEST(RecordFormat, OfANewerVersion) {
  std::string format = EncodeDiskRecord(MakeRecord(kVersion, {}));
  format.replace(format.find("/1"), 2, "/2");
  EXPECT_EQ(DecodeDiskPart(format).condition, Condition::kNewer);
  std::string document = EncodeDiskRecord(MakeRecord(kVersion, {}));
  const std::string schema = "\"schema\":";
  document[document.find(schema) + schema.size()] = '9';
  EXPECT_EQ(DecodeDiskPart(document).condition, Condition::kDamaged);
  const DiskPart part = DecodeDiskPart(Sealed(document));
  EXPECT_EQ(part.condition, Condition::kNewer) << part.what;
}

// Sealed by whoever made it: text of another program's, or of a hostile one.
TEST(RecordFormat, UnknownUnitAttentionConditionIsDamage) {
  std::string bytes = EncodeDiskRecord(MakeRecord(kVersion, {}));
  const std::string asc = "\"asc\":42,\"ascq\":4";
  ASSERT_NE(bytes.find(asc), std::string::npos);
  bytes.replace(bytes.find(asc), asc.size(), "\"asc\":99,\"ascq\":9");
  EXPECT_EQ(DecodeDiskPart(Sealed(bytes)).condition, Condition::kDamaged);
}

// In shared memory, where a neighbour may write anything.
TEST(RecordBytes, WhatIsWrittenIsRead) {
  const Record record = MakeRecord(kVersion, ReservedByA(kWERO)).record;
  Record found;
  ASSERT_TRUE(DecodeRecord(EncodeRecord(record), &found));
  found.version = record.version;
  ExpectSame(found, record);
}

TEST(RecordBytes, NoPartOfARecordIsOne) {
  const std::string bytes = EncodeRecord(MakeRecord(kVersion, ReservedByA(kWE)).record);
  Record found;
  for (size_t size = 0; size < bytes.size(); size++) {
    EXPECT_FALSE(DecodeRecord(bytes.substr(0, size), &found)) << size;
  }
  EXPECT_FALSE(DecodeRecord(bytes + '\0', &found));
}

TEST(RecordBytes, ChangedBytesMakeNoImpossibleState) {
  const std::string bytes = EncodeRecord(MakeRecord(kVersion, ReservedByA(kWERO)).record);
  for (size_t at = 0; at < bytes.size(); at++) {
    for (const int value : {0x00, 0x01, 0x7f, 0xff}) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(value);
      Record found;
      if (!DecodeRecord(changed, &found)) continue;
      EXPECT_EQ(FindViolation(found.state), std::nullopt) << at;
    }
  }
}

}  // namespace
}  // namespace scsi_pr
