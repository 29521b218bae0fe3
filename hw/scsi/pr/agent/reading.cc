// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/reading.h"

#include <algorithm>

namespace scsi_pr::agent {

namespace {

// What follows `prefix`; empty if the key does not begin with it.
std::string Below(const std::string& key, const std::string& prefix) {
  return key.starts_with(prefix) ? key.substr(prefix.size()) : "";
}

Status DecodeNexus(const KeyValue& found, const std::string& key, Reading* reading) {
  NexusRecord& record = reading->nexuses[key];
  reading->nexus_revisions[key] = found.revision;
  if (Status status = Decode(found.value, &record); !status.ok()) return status;
  if (key == NexusKey(record.nexus)) return Status();
  return Status::Error(Status::Code::kCorrupt,
                       "a nexus's record is damaged: it is that of another nexus");
}

template <typename Record>
Status DecodeEntry(const KeyValue& found, Entry<Record>* entry) {
  entry->revision = found.revision;
  return Decode(found.value, &entry->record);
}

Status DecodeOne(const KeyValue& found, const Keys& keys, const std::string& lu, Reading* reading) {
  if (found.key == keys.State(lu)) {
    reading->state_revision = found.revision;
    return Decode(found.value, &reading->state.emplace());
  }
  if (found.key == keys.Change(lu)) {
    reading->change_revision = found.revision;
    return Decode(found.value, &reading->change);
  }
  if (const auto nexus = Below(found.key, keys.Nexuses(lu)); !nexus.empty()) {
    return DecodeNexus(found, nexus, reading);
  }
  if (const auto host = Below(found.key, keys.Acks(lu)); !host.empty()) {
    // One that cannot be read acknowledges nothing, and its host writes it anew.
    static_cast<void>(DecodeEntry(found, &reading->acks[host]).ok());
    return Status();
  }
  if (const auto host = Below(found.key, keys.Hosts()); !host.empty()) {
    return DecodeEntry(found, &reading->hosts[host]);
  }
  return Status();
}

Status DecodeFound(const Answer& answer, const Keys& keys, const std::string& lu,
                   Reading* reading) {
  for (const KeyValue& found : answer.found) {
    if (Status status = DecodeOne(found, keys, lu, reading); !status.ok()) return status;
  }
  return Status();
}

void Forget(const Range& range, const Keys& keys, const std::string& lu, Reading* reading) {
  const auto covers = [&range](const std::string& key) {
    return range.below ? key.starts_with(range.key) : key == range.key;
  };
  if (covers(keys.State(lu))) {
    reading->state.reset();
    reading->state_revision = 0;
  }
  if (covers(keys.Change(lu))) {
    reading->change = ChangeRecord();
    reading->change_revision = 0;
  }
  if (covers(keys.Nexuses(lu))) {
    reading->nexuses.clear();
    reading->nexus_revisions.clear();
  }
  if (covers(keys.Acks(lu))) reading->acks.clear();
  if (covers(keys.Hosts())) {
    reading->hosts.clear();
    reading->has_hosts = true;
  }
}

}  // namespace

const HostRecord* Reading::Host(const std::string& name) const {
  const auto found = hosts.find(name);
  return found == hosts.end() ? nullptr : &found->second.record;
}

bool Reading::IsDead(const std::string& host) const {
  if (!has_hosts) return false;
  const HostRecord* record = Host(host);
  if (record == nullptr) return !host.empty();
  return record->state == HostRecord::State::kDead;
}

bool Reading::IsProvedDead(const std::string& host) const {
  const HostRecord* record = Host(host);
  return record != nullptr && IsDead(host) && !record->proof.empty();
}

std::string Reading::IncarnationOf(const std::string& host) const {
  const HostRecord* record = Host(host);
  return record == nullptr ? "forgotten" : record->incarnation;
}

int64_t Reading::RevisionOfNexus(const std::string& nexus) const {
  const auto found = nexus_revisions.find(nexus);
  return found == nexus_revisions.end() ? 0 : found->second;
}

int64_t Reading::RevisionOfHost(const std::string& host) const {
  const auto found = hosts.find(host);
  return found == hosts.end() ? 0 : found->second.revision;
}

bool Reading::HasNexusAt(const std::string& host) const {
  return std::ranges::any_of(nexuses, [&](const auto& each) { return each.second.IsAt(host); });
}

// Who joins has drained before: another incarnation is a proof.
bool Reading::AreRemainsGone(const NexusRecord& nexus) const {
  return std::ranges::all_of(nexus.remains, [this](const NexusRecord::Remains& remains) {
    const HostRecord* host = Host(remains.host);
    return host != nullptr && (host->incarnation != remains.incarnation || !host->proof.empty());
  });
}

Status DecodeReading(const Answer& answer, const Keys& keys, const std::string& lu,
                     Reading* reading) {
  reading->has_hosts = true;
  return DecodeFound(answer, keys, lu, reading);
}

Status UpdateReading(const Answer& answer, const Transaction& transaction, const Keys& keys,
                     const std::string& lu, Reading* reading) {
  const bool applied = answer.outcome == Outcome::kApplied;
  for (const Range& range : transaction.reads) Forget(range, keys, lu, reading);
  if (!applied) {
    for (const Range& range : transaction.otherwise) Forget(range, keys, lu, reading);
  }
  Status status = DecodeFound(answer, keys, lu, reading);
  if (!applied || !status.ok()) return status;
  for (const Write& write : transaction.writes) {
    Forget({write.key, false}, keys, lu, reading);
    if (!write.value) continue;
    status = DecodeOne({write.key, *write.value, answer.revision}, keys, lu, reading);
    if (!status.ok()) return status;
  }
  return Status();
}

std::set<std::string> UnitsAt(const Answer& answer, const Keys& keys, const std::string& host) {
  std::set<std::string> units;
  for (const KeyValue& found : answer.found) {
    const std::string below = Below(found.key, keys.All());
    const std::string lu = below.substr(0, below.find('/'));
    NexusRecord record;
    if (!IsUnitName(lu) || !found.key.starts_with(keys.Nexuses(lu))) continue;
    if (Decode(found.value, &record).ok() && record.IsAt(host)) units.insert(lu);
  }
  return units;
}

}  // namespace scsi_pr::agent
