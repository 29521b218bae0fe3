// SPDX-License-Identifier: GPL-2.0-or-later
#include "care/findings.h"

#include <sys/stat.h>

namespace scsi_pr {

namespace {

using Kind = Finding::Kind;

constexpr const char* kRepair = "Stop the VMs that use it, then: scsi-pr check --repair";
constexpr const char* kHeals =
    "The next change that must survive a power loss writes it anew. Its disk should be looked at.";
constexpr const char* kNoDamage = "Nothing is damaged.";

class Findings {
 public:
  explicit Findings(std::vector<Finding>* list) : list_(*list) {}
  void Add(Kind kind, std::string what, std::string meaning, std::string action = "") {
    list_.push_back({kind, std::move(what), std::move(meaning), std::move(action)});
  }

 private:
  std::vector<Finding>& list_;
};

bool InUse(const Evidence& e) { return e.memory != nullptr && e.memory->in_use(); }

// Of a store that nobody uses, the disk is all there is.
void FindInRecords(const Evidence& e, Findings& findings) {
  const Verdict& verdict = e.verdict;
  if (!verdict.place) {
    findings.Add(Kind::kNothingLeft, "no record is left: " + verdict.why,
                 "A repair makes an empty state of which every initiator is told that reservation "
                 "information was lost.",
                 kRepair);
    return;
  }
  const std::string version = std::to_string(e.parts.part[*verdict.place].version);
  if (verdict.newer_is_lost) {
    findings.Add(Kind::kNewestRecordDamaged, verdict.why,
                 "It is, or may be, the newest one. What is left is version " + version +
                     ". A repair takes that, and every initiator is told that reservation "
                     "information was lost.",
                 kRepair);
    return;
  }
  const DiskPart& other = e.parts.part[1 - *verdict.place];
  if (other.condition == DiskPart::Condition::kDamaged) {
    findings.Add(Kind::kOlderRecordDamaged, verdict.why,
                 "It is the predecessor; the newest record, version " + version + ", is intact.",
                 "Its disk should be looked at. The next change, or scsi-pr check --repair, "
                 "replaces it.");
  } else if (!other.sound() || other.version > e.parts.part[*verdict.place].version) {
    findings.Add(Kind::kUnfinishedChange, "a change was interrupted, or refused by the disk",
                 std::string(kNoDamage) + " It was never in force. The next change overwrites it.");
  }
}

// Of one in use, the memory knows what the disk should have.
void CompareWithMemory(const Evidence& e, Findings& findings) {
  const Gate& gate = e.memory->gate();
  if (gate.store_device.load() != e.info.st_dev || gate.store_inode.load() != e.info.st_ino) {
    findings.Add(
        Kind::kReplaced,
        e.path + " is not the file of the VMs that use the store: it was replaced or copied",
        "The state in force stays; no other VM can start.",
        "Put the original file back; or remove this one: the next change that must survive "
        "makes the file anew.");
    return;
  }
  if (!e.in_force.ok()) {
    findings.Add(Kind::kMemorySpoilt, e.memory->path() + ": " + e.in_force.message(),
                 "A process that may write to it has damaged it. Reservations stay as they are, "
                 "commands that look at them fail.",
                 "Stop the VMs that use the store, then start them again.");
  }
  const RecordPlace& durable = e.durable;
  const DiskPart& part = e.parts.part[durable.index];
  if (!part.sound() || part.version != durable.version) {
    findings.Add(
        Kind::kCommitsMissing,
        "version " + std::to_string(durable.version) + " was on the disk, and is not any more",
        "The file was overwritten with an old copy, cut, or damaged. The state in force is "
        "in memory, and stays.",
        kHeals);
  }
}

// What the user that owns the store could not use.
void FindOwner(const Evidence& e, Findings& findings) {
  struct stat info = {};
  if (e.memory == nullptr || e.info.st_uid == 0 || stat(e.memory->path().c_str(), &info) != 0)
    return;
  const bool others = (info.st_mode & 0006) == 0006;
  const bool group = info.st_gid == e.info.st_gid && (info.st_mode & 0060) == 0060;
  if (info.st_uid == e.info.st_uid || others || group) return;
  findings.Add(Kind::kForeignOwner, e.memory->path() + " belongs to another user than the store",
               "A QEMU that runs as the store's owner cannot use it.",
               "chown --reference=" + e.path + " " + e.memory->path());
}

}  // namespace

std::vector<Finding> Explain(const Evidence& e) {
  std::vector<Finding> list;
  Findings findings(&list);
  if (InUse(e)) {
    CompareWithMemory(e, findings);
  } else {
    FindInRecords(e, findings);
  }
  if (e.state.information_lost) {
    findings.Add(Kind::kInformationLost,
                 "reservation information was lost and has not been replaced",
                 "Nearly every command ends in PERSISTENT RESERVATION INFORMATION LOST.",
                 "Let an initiator send REPLACE LOST RESERVATION; or scsi-pr load what was saved, "
                 "or scsi-pr clear.");
  }
  if (e.used && !InUse(e)) {
    findings.Add(
        Kind::kMemoryElsewhere,
        "processes use the store whose runtime directory is not to be seen from here",
        "What is in force, and who is attached, cannot be told; this is what the disk has.",
        "Name their runtime directory with --runtime-dir, as this program sees it.");
  }
  FindOwner(e, findings);
  return list;
}

std::string_view FindingName(Kind kind) {
  switch (kind) {
    case Kind::kNothingLeft: return "nothing-left";
    case Kind::kNewestRecordDamaged: return "newest-record-damaged";
    case Kind::kOlderRecordDamaged: return "older-record-damaged";
    case Kind::kCommitsMissing: return "commits-missing";
    case Kind::kReplaced: return "replaced";
    case Kind::kMemorySpoilt: return "memory-spoilt";
    case Kind::kInformationLost: return "information-lost";
    case Kind::kUnfinishedChange: return "unfinished-change";
    case Kind::kMemoryElsewhere: return "memory-elsewhere";
    case Kind::kForeignOwner: return "foreign-owner";
  }
  return "";
}

}  // namespace scsi_pr
