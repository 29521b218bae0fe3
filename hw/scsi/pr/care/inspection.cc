// SPDX-License-Identifier: GPL-2.0-or-later
#include "care/inspection.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/legacy.h"
#include "store/file_path.h"
#include "store/file_system.h"
#include "store/record_file.h"
#include "store/registry.h"

namespace scsi_pr {

namespace {

// What those who use a store say of its name.
std::string IdentityByName(const RecordFile& file, const Subject& subject) {
  for (const auto& directory :
       RuntimeDirectory::Candidates(subject.runtime_directory, file.info().st_uid)) {
    Fact::Store used;
    if (Fact::IsStated(*directory, Fact::Kind::kName, StoreNameKey(file.path()), &used))
      return used.id;
  }
  return "";
}

std::string IdentityOf(const RecordFile& file, const DiskParts& parts, const Subject& subject) {
  for (const DiskPart& part : parts.part) {
    if (part.sound()) return part.content.identity;
  }
  std::optional<Stamp> stamps[2];
  if (!file.ReadStamps(stamps).ok()) return "";
  for (const auto& stamp : stamps) {
    if (stamp && !stamp->is_blank()) return stamp->identity;
  }
  return IdentityByName(file, subject);
}

Status Open(const Subject& subject, Inspection* inspection, std::unique_ptr<RecordFile>* file) {
  Status status = CanonicalizeStorePath(subject.path, &inspection->path);
  if (status.ok()) status = RecordFile::OpenToLook(inspection->path, file);
  if (status.ok()) {
    status = CheckFileSystem((*file)->fd(), inspection->path, subject.accept_file_system);
  }
  if (status.ok()) status = (*file)->ReadParts(&inspection->parts);
  for (const DiskPart& part : inspection->parts.part) {
    if (!status.ok() || part.condition != DiskPart::Condition::kNewer) continue;
    status = Status::Error(Status::Code::kUnsupported,
                           inspection->path + " was written by a newer version: " + part.what,
                           "Use that version, or a newer one.");
  }
  return status;
}

// `*state` and `*version` as the memory, or the disk, has them.
void TakeState(Evidence* e, const std::shared_ptr<MemoryView>& memory, Inspection* inspection) {
  Record record;
  if (memory && memory->in_use()) {
    e->in_force = memory->ReadInForce(&record);
    inspection->attached = memory->Attached();
    inspection->memory = memory;
  } else if (inspection->verdict.place) {
    record = inspection->parts.part[*inspection->verdict.place].content.record;
  }
  inspection->version = record.version;
  e->state = inspection->state = std::move(record.state);
}

// The records, and the memory of the same moment: others may change both all the time.
Status ReadTogether(const RecordFile& file, MemoryView* memory, DiskParts* parts) {
  constexpr int kAttempts = 200;
  Status status;
  for (int i = 0; i < kAttempts; i++) {
    const uint64_t durable = memory == nullptr ? 0 : memory->gate().durable.load();
    status = file.ReadParts(parts);
    if (memory == nullptr || !memory->Refresh() || memory->gate().durable.load() == durable) break;
  }
  return status;
}

// Who has left gives its memory up first, and may still be closing the file.
bool IsUsed(const RecordFile& file, bool has_memory) {
  constexpr int kAttempts = 50;
  const ByteLocks locks(file.fd());
  for (int i = 0; i < kAttempts && !has_memory; i++) {
    if (!locks.IsLockedElsewhere(0, 1)) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return locks.IsLockedElsewhere(0, 1);
}

Inspection InspectOnce(const Subject& subject) {
  Inspection inspection;
  inspection.path = subject.path;
  std::unique_ptr<RecordFile> file;
  inspection.status = Open(subject, &inspection, &file);
  if (!inspection.status.ok()) return inspection;
  inspection.identity = IdentityOf(*file, inspection.parts, subject);
  const std::shared_ptr<MemoryView> memory =
      MemoryView::Find(inspection.identity, subject.runtime_directory, file->info().st_uid);
  inspection.status = ReadTogether(*file, memory.get(), &inspection.parts);
  if (!inspection.status.ok()) return inspection;
  const bool left = memory && !memory->in_use();
  const uint64_t disowned = left ? memory->gate().disowned.load() : 0;
  inspection.verdict = Judge(inspection.parts, disowned);
  Evidence e{inspection.path, file->info(), inspection.parts, inspection.verdict};
  e.used = IsUsed(*file, memory && memory->in_use());
  e.memory = memory.get();
  e.durable = memory ? RecordPlace::Of(memory->gate().durable.load()) : RecordPlace();
  TakeState(&e, memory, &inspection);
  inspection.findings = Explain(e);
  return inspection;
}

// Nothing is to be said about it.
bool IsPlain(const Inspection& inspection) {
  return inspection.status.ok() && inspection.findings.empty();
}

// What others change is read piece by piece, and pieces of different times may
// contradict each other. What is so is found again; what only seemed so is not,
// for it comes with another version.
bool FindTheSame(const Inspection& one, const Inspection& other) {
  const auto same = [](const Finding& a, const Finding& b) {
    return a.kind == b.kind && a.what == b.what;
  };
  return one.status.code() == other.status.code() &&
         one.status.message() == other.status.message() &&
         std::ranges::equal(one.findings, other.findings, same);
}

}  // namespace

bool Inspection::damaged() const { return std::ranges::any_of(findings, &Finding::is_damage); }

Status Inspection::GetState(State* found) const {
  if (!status.ok()) return status;
  const auto hindrance = std::ranges::find_if(findings, [](const Finding& finding) {
    return finding.kind == Finding::Kind::kNothingLeft ||
           finding.kind == Finding::Kind::kNewestRecordDamaged ||
           finding.kind == Finding::Kind::kMemorySpoilt;
  });
  if (hindrance != findings.end()) {
    return Status::Error(Status::Code::kCorrupt, path + " is damaged: " + hindrance->what,
                         "What is left of it, and what to do: scsi-pr check file:" + path);
  }
  *found = state;
  const auto& holder = found->legacy_holder;
  const bool gone = holder && std::ranges::none_of(attached, [&](const Attachment& attachment) {
                      return attachment.nexus == *holder;
                    });
  // Whoever uses the store next releases it.
  if (gone) *found = ApplyReset(*found, Nexus(*holder), Reset::kNexusLoss).state;
  return Status();
}

Inspection Inspect(const Subject& subject) {
  constexpr int kAttempts = 20;
  Inspection inspection = InspectOnce(subject);
  for (int i = 1; i < kAttempts && !IsPlain(inspection); i++) {
    Inspection again = InspectOnce(subject);
    const bool repeated = FindTheSame(inspection, again);
    inspection = std::move(again);
    if (repeated) return inspection;
  }
  return inspection;
}

}  // namespace scsi_pr
