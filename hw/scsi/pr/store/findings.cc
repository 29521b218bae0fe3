// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/findings.h"

#include <algorithm>

#include "store/database.h"

namespace scsi_pr {

namespace {

using Kind = Finding::Kind;
using Condition = GateFile::Condition;

constexpr const char* kRepair = "Stop the VMs that use it, then: scsi-pr check --repair";
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

void FindInRecords(const Evidence& e, const Verdict& verdict, Findings& findings) {
  const Salvage& s = e.salvage;
  const auto damaged = [](const char* name, const Status& status) {
    return std::string("the ") + name + " record is damaged: " + status.message();
  };
  if (!verdict.record) {
    findings.Add(Kind::kNewestRecordDamaged,
                 s.schema == 1
                     ? damaged("only", s.even.status)
                     : damaged("even", s.even.status) + "; " + damaged("odd", s.odd.status),
                 "No record is left. A repair makes an empty state of which every initiator is "
                 "told that reservation information was lost.",
                 kRepair);
    return;
  }
  if (s.schema == 1) return;
  const bool even_is_it = verdict.record->version % 2 == 0;
  const Salvage::Part& other = even_is_it ? s.odd : s.even;
  const char* name = even_is_it ? "odd" : "even";
  const bool ok = other.status.ok() && verdict.older.has_value();
  if (ok) return;
  const std::string what = other.status.ok()
                               ? "the two records do not follow one another: versions " +
                                     std::to_string(other.version) + " and " +
                                     std::to_string(verdict.record->version)
                               : damaged(name, other.status);
  if (verdict.newer_is_lost) {
    findings.Add(Kind::kNewestRecordDamaged, what,
                 "It is, or may be, the newest one. What is left is version " +
                     std::to_string(verdict.record->version) +
                     ". A repair takes that, and every initiator is told that reservation "
                     "information was lost.",
                 kRepair);
  } else {
    findings.Add(Kind::kOlderRecordDamaged, what,
                 "It is the predecessor; the state in force, version " +
                     std::to_string(verdict.record->version) + ", is intact.",
                 "Its disk should be looked at. The next change, or scsi-pr check --repair, "
                 "replaces it.");
  }
}

void FindInDatabase(const Evidence& e, const Verdict& verdict, Findings& findings) {
  const Salvage& s = e.salvage;
  if (!s.file.ok()) {
    findings.Add(Kind::kFileDamaged, "the file is damaged: " + s.file.message(),
                 "Nothing can be read of it. A repair keeps it under another name and makes an "
                 "empty state of which every initiator is told that reservation information was "
                 "lost.",
                 kRepair);
    return;
  }
  if (s.integrity != "ok") {
    findings.Add(Kind::kStructureDamaged, "the database's structure is damaged: " + s.integrity,
                 "No program that uses the store would open it.", kRepair);
  }
  FindInRecords(e, verdict, findings);
  if (!s.identity) {
    findings.Add(Kind::kIdentityMissing, "the store's identity is missing",
                 "A migration would not know the store again. A repair gives it a new one.",
                 kRepair);
  }
  if (!s.gate_nonce) {
    findings.Add(Kind::kGateNameMissing, "the name of its gate is missing",
                 "No program that uses the store would open it.", kRepair);
  }
  if (s.schema < Database::kSchema) {
    findings.Add(Kind::kOldSchema, "the store was written by an older version (store schema " +
                                       std::to_string(s.schema) + ")",
                 "It is upgraded when it is next opened while nothing is attached to it.");
  }
  if (verdict.record && verdict.record->state.information_lost) {
    findings.Add(
        Kind::kInformationLost, "reservation information was lost and has not been replaced",
        "Nearly every command ends in PERSISTENT RESERVATION INFORMATION LOST.",
        "Let an initiator send REPLACE LOST RESERVATION; or scsi-pr load what was saved, or "
        "scsi-pr clear.");
  }
}

// What the sound gate says of the records.
void ComparePublished(const Evidence& e, const Verdict& verdict, Findings& findings) {
  if (!e.published || !verdict.record) return;
  const uint64_t newest = e.salvage.newest();
  if (*e.published > newest) {
    findings.Add(Kind::kCommitsMissing,
                 "version " + std::to_string(*e.published) +
                     " was in force, but the newest record is version " + std::to_string(newest),
                 "Committed changes are gone. The write-ahead log " + e.path +
                     "-wal was removed or damaged, or an old copy was put in place.",
                 kRepair);
  } else if (*e.published < newest && !verdict.newer_is_lost && !e.used) {
    findings.Add(Kind::kUnfinishedChange,
                 "a process died before its change was in force everywhere",
                 std::string(kNoDamage) + " Whoever uses the store next completes it.");
  }
}

void FindInGate(const Evidence& e, const Verdict& verdict, Findings& findings) {
  if (e.gate_condition == Condition::kSound) return ComparePublished(e, verdict, findings);
  const std::string path = e.path + "-gate";
  if (e.taken) {
    findings.Add(
        Kind::kGateRemoved,
        path + " is not the gate of the processes that use the store" +
            (e.gate_condition == Condition::kMissing ? ": there is none" : ""),
        "It was removed or replaced while VMs ran, or they are of another version. These go "
        "on, but no other can start.",
        "Stop the VMs that use the store, then start them again.");
    return;
  }
  switch (e.gate_condition) {
    case Condition::kUnreadable:
      findings.Add(Kind::kGateUnreadable, path + " cannot be read",
                   "Who is attached cannot be told.", "Run this as root.");
      break;
    case Condition::kMissing:
      findings.Add(Kind::kNoGate, "there is no gate",
                   std::string(kNoDamage) + " The next VM makes one.");
      break;
    default:
      findings.Add(
          Kind::kGateVoid,
          path + (e.gate_condition == Condition::kOtherBoot ? " is from before the host's start"
                  : e.gate_condition == Condition::kOtherStore
                      ? " belongs to another store, or another copy of this one"
                      : " is of another version, or none at all"),
          std::string(kNoDamage) + " The next VM makes a new one.",
          GateFile::IsInUse(path) ? "But processes use it: first stop the VMs that use the "
                                    "store to which it belongs."
                                  : "");
  }
}

// What the user that owns the store could not use.
void FindOwners(const Evidence& e, Findings& findings) {
  for (const char* suffix : {"-gate", "-wal", "-shm"}) {
    struct stat info = {};
    if (stat((e.path + suffix).c_str(), &info) != 0 || e.info.st_uid == 0) continue;
    const bool others = (info.st_mode & 0006) == 0006;
    const bool group = info.st_gid == e.info.st_gid && (info.st_mode & 0060) == 0060;
    if (info.st_uid == e.info.st_uid || others || group) continue;
    findings.Add(Kind::kForeignOwner, e.path + suffix + " belongs to another user than the store",
                 "A QEMU that runs as the store's owner cannot use it.",
                 "chown --reference=" + e.path + " " + e.path + suffix);
  }
}

void FindLog(const Evidence& e, Findings& findings) {
  if (!e.log_left || e.used || !e.salvage.file.ok()) return;
  findings.Add(Kind::kLogLeft, "a write-ahead log is left over, " + e.path + "-wal",
               "The last process that used the store was killed. " + std::string(kNoDamage) +
                   " The log is a part of the store: never remove it. Whoever uses the store next "
                   "folds it in.");
}

}  // namespace

std::vector<Finding> Explain(const Evidence& e, const Verdict& verdict) {
  std::vector<Finding> list;
  Findings findings(&list);
  FindInDatabase(e, verdict, findings);
  FindInGate(e, verdict, findings);
  FindOwners(e, findings);
  FindLog(e, findings);
  return list;
}

std::string_view FindingName(Kind kind) {
  switch (kind) {
    case Kind::kFileDamaged: return "file-damaged";
    case Kind::kStructureDamaged: return "structure-damaged";
    case Kind::kNewestRecordDamaged: return "newest-record-damaged";
    case Kind::kOlderRecordDamaged: return "older-record-damaged";
    case Kind::kCommitsMissing: return "commits-missing";
    case Kind::kIdentityMissing: return "identity-missing";
    case Kind::kGateNameMissing: return "gate-name-missing";
    case Kind::kRepairInterrupted: return "repair-interrupted";
    case Kind::kGateRemoved: return "gate-removed";
    case Kind::kInformationLost: return "information-lost";
    case Kind::kOldSchema: return "old-schema";
    case Kind::kLogLeft: return "log-left";
    case Kind::kUnfinishedChange: return "unfinished-change";
    case Kind::kNoGate: return "no-gate";
    case Kind::kGateVoid: return "gate-void";
    case Kind::kGateUnreadable: return "gate-unreadable";
    case Kind::kForeignOwner: return "foreign-owner";
  }
  return "";
}

}  // namespace scsi_pr
