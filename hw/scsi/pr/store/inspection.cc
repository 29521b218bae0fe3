// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/inspection.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <numeric>

#include "core/legacy.h"
#include "store/file_backing.h"
#include "store/file_path.h"
#include "store/membership.h"

namespace scsi_pr {

namespace {

using Condition = GateFile::Condition;

// Whether anything in the file, or in its write-ahead log, says that it is ours:
// its application ID, or a piece of a document.
bool LooksLikeStore(const std::string& path) {
  for (const char* suffix : {"", "-wal"}) {
    std::ifstream file(path + suffix, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (bytes.size() >= 72 && bytes.compare(68, 4, "scPR") == 0) return true;
    if (bytes.find(R"("format":"scsi-pr")") != std::string::npos) return true;
  }
  return false;
}

// What `path` is, if not a store of ours, or a damaged one.
Status Refusal(const Evidence& e) {
  const Status& file = e.salvage.file;
  if (file.ok()) return file;
  // A file that we cannot recognise may be anything, a disk's image for example.
  const bool ours = e.gate_condition == Condition::kSound || e.info.st_size == 0 ||
                    e.gate_condition == Condition::kOtherStore ||
                    e.gate_condition == Condition::kOtherBoot;
  if (file.code() == Status::Code::kCorrupt && (ours || LooksLikeStore(e.path))) return Status();
  std::string hint = file.hint();
  if (file.code() == Status::Code::kCorrupt || file.code() == Status::Code::kInvalid) {
    hint = "Name another file.";
  }
  const char* is = file.code() == Status::Code::kCorrupt
                       ? " is no scsi-pr store, or not to be recognised as one: "
                       : " cannot be used: ";
  return Status::Error(file.code() == Status::Code::kCorrupt ? Status::Code::kInvalid : file.code(),
                       e.path + is + file.message(), hint);
}

std::vector<Attachment> ListLive(const Gate& gate, const RangeLock& locks) {
  std::vector<size_t> all(Gate::kSlots);
  std::iota(all.begin(), all.end(), size_t{0});
  std::vector<Attachment> attached = ListAttached(
      gate, all, [&](size_t index) { return FileBacking::IsTaken(locks, index); });
  std::erase_if(attached, [](const Attachment& attachment) { return !attachment.live; });
  return attached;
}

void InspectMark(const RepairMark& mark, Inspection* inspection) {
  inspection->findings = {{Finding::Kind::kRepairInterrupted, "a repair was interrupted",
                           "The damaged store is " + mark.damaged + ".",
                           "scsi-pr check --repair again: it goes on."}};
}

using SoundGate = std::unique_ptr<const GateFile>;

uint64_t PublishedBy(const SoundGate& gate) { return gate ? gate->gate().published.load() : 0; }

// Reads the database, and around it the gate: what is published meanwhile may be
// what the records say, or newer. `e->info` is set.
void GatherEvidence(const RangeLock& locks, bool thorough, Evidence* e, SoundGate* gate) {
  GateFile::Identity identity{"", GateFile::BootId(), e->info.st_dev, e->info.st_ino, e->info};
  SoundGate earlier;
  GateFile::Look(e->path + "-gate", identity, &earlier);
  uint64_t before = PublishedBy(earlier);
  e->salvage = ReadWhatIsLeft(e->path, locks, thorough);
  e->used = locks.DatabaseUser() != 0;
  e->taken = FileBacking::IsTaken(locks);
  struct stat log = {};
  e->log_left = stat((e->path + "-wal").c_str(), &log) == 0 && log.st_size > 0;
  // A store that names none has none yet. If that cannot be read, any gate of
  // this file will do to tell who is attached.
  identity.nonce = e->salvage.gate_nonce.value_or("");
  if (e->salvage.gate_nonce && identity.nonce.empty()) identity.nonce = "none";
  e->gate_condition = GateFile::Look(e->path + "-gate", identity, gate);
  const uint64_t after = PublishedBy(*gate);
  // A gate that is new shows nothing yet.
  if (!e->salvage.gate_nonce || after == 0) return;
  if (!earlier || earlier->gate().nonce != identity.nonce) before = 0;
  e->published = std::clamp(e->salvage.newest(), before, after);
}

void InspectStore(const RangeLock& locks, bool thorough, Inspection* inspection) {
  Evidence e{.path = inspection->path};
  if (stat(e.path.c_str(), &e.info) != 0) {
    inspection->status =
        Status::Error(Status::Code::kIo, "cannot use " + e.path + ": " + strerror(errno));
    return;
  }
  SoundGate gate;
  GatherEvidence(locks, thorough, &e, &gate);
  inspection->gate = std::move(gate);
  inspection->status = Refusal(e);
  if (!inspection->status.ok()) return;
  if (inspection->gate) inspection->attached = ListLive(inspection->gate->gate(), locks);
  inspection->schema = e.salvage.schema;
  inspection->identity = e.salvage.identity.value_or("");
  inspection->verdict = Judge(e.salvage, e.published);
  inspection->findings = Explain(e, inspection->verdict);
}

Inspection InspectOnce(const std::string& path, bool thorough) {
  Inspection inspection;
  inspection.path = path;
  Status& status = inspection.status;
  status = CanonicalizeStorePath(path, &inspection.path);
  if (status.ok() && access(inspection.path.c_str(), F_OK) != 0 && errno == ENOENT) {
    status = Status::Error(Status::Code::kInvalid, "there is no store " + inspection.path,
                           "Name an existing one.");
  }
  std::unique_ptr<RangeLock> locks;
  if (status.ok()) status = RangeLock::OpenToLook(inspection.path, &locks);
  if (!status.ok()) return inspection;
  if (const auto mark = RepairInterruptedAt(inspection.path)) {
    InspectMark(*mark, &inspection);
  } else {
    InspectStore(*locks, thorough, &inspection);
  }
  return inspection;
}

// Nothing is to be said about it.
bool IsPlain(const Inspection& inspection) {
  return inspection.status.ok() && inspection.findings.empty();
}

// What others change is read piece by piece, and pieces of different times may
// contradict each other. What is so is found again; what only seemed so is not,
// for it comes with another version, or another gate.
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

Status Inspection::GetState(State* state) const {
  if (!status.ok()) return status;
  const auto hindrance = std::ranges::find_if(findings, [](const Finding& finding) {
    return finding.is_damage() && finding.kind != Finding::Kind::kOlderRecordDamaged &&
           finding.kind != Finding::Kind::kGateRemoved;
  });
  if (hindrance != findings.end()) {
    return Status::Error(Status::Code::kCorrupt, path + " is damaged: " + hindrance->what,
                         "What is left of it, and what to do: scsi-pr check file:" + path);
  }
  *state = verdict.record->state;
  const auto& holder = state->legacy_holder;
  const bool gone = holder && std::ranges::none_of(attached, [&](const Attachment& attachment) {
    return attachment.nexus == *holder;
  });
  // Whoever uses the store next releases it.
  if (gone) *state = ApplyReset(*state, Nexus(*holder), Reset::kNexusLoss).state;
  return Status();
}

Inspection Inspect(const std::string& path, bool thorough) {
  constexpr int kAttempts = 20;
  Inspection inspection = InspectOnce(path, thorough);
  for (int i = 1; i < kAttempts && !IsPlain(inspection); i++) {
    Inspection again = InspectOnce(path, thorough);
    const bool repeated = FindTheSame(inspection, again);
    inspection = std::move(again);
    if (repeated) return inspection;
  }
  return inspection;
}

std::optional<RepairMark> RepairInterruptedAt(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string first(kRepairMark.size(), '\0');
  RepairMark mark;
  const bool is_mark =
      file.read(first.data(), static_cast<std::streamsize>(first.size())) && first == kRepairMark &&
      std::getline(file, mark.damaged) && std::getline(file, mark.repaired);
  return is_mark ? std::optional(mark) : std::nullopt;
}

}  // namespace scsi_pr
