// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/metrics.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "agent/whole_file.h"

namespace scsi_pr::agent {

namespace {

enum class Type { kCounter, kGauge, kHistogram };

struct Family {
  Metric metric;
  Type type;
  const char* name;
  const char* help;
  const char* label;                // its name; empty: it has none
  std::vector<const char*> values;  // of the label
};

Family Counter(Metric metric, const char* name, const char* help, const char* label = "",
               std::vector<const char*> values = {}) {
  return {metric, Type::kCounter, name, help, label, std::move(values)};
}
Family Gauge(Metric metric, const char* name, const char* help) {
  return {metric, Type::kGauge, name, help, "", {}};
}
Family Histogram(Metric metric, const char* name, const char* help, const char* label = "",
                 std::vector<const char*> values = {}) {
  return {metric, Type::kHistogram, name, help, label, std::move(values)};
}

const std::vector<Family>& Families() {
  static const std::vector<Family> kFamilies = {
      Counter(Metric::kRenewals, "scsi_prd_renewals",
              "Reads of this host's record that renew its admission", "result",
              {"renewed", "failed"}),
      Histogram(Metric::kEngineSeconds, "scsi_prd_engine_request_seconds",
                "How long requests to the engine took, with those that had no answer", "request",
                {"read", "txn", "identify"}),
      Counter(Metric::kEngineFailures, "scsi_prd_engine_failures",
              "Requests to the engine that had no answer that counts", "reason",
              {"unreachable", "no-answer", "busy", "no-space", "too-large", "authentication",
               "permission", "refused", "bad-answer"}),
      Counter(Metric::kChanges, "scsi_prd_changes",
              "Changes of a logical unit's state that were begun on this host", "result",
              {"committed", "given-up", "refused", "unknown"}),
      Histogram(Metric::kDrainSeconds, "scsi_prd_drain_seconds",
                "How long commands of preempted nexuses on this host took to end"),
      Counter(Metric::kConflicts, "scsi_prd_conflicts",
              "Writes whose comparison did not hold, for another one was faster"),
      Counter(Metric::kSuspicions, "scsi_prd_suspicions",
              "Hosts marked as suspect: ours, by another host; others, by this one", "whose",
              {"ours", "others"}),
      Counter(Metric::kDeclaredDead, "scsi_prd_declared_dead",
              "Hosts that this one has declared dead"),
      Counter(Metric::kProofs, "scsi_prd_proofs",
              "Hosts whose death a PREEMPT AND ABORT took for proved, by the proof", "proof",
              {Proof::kConfirmed, Proof::kWatchdog, Proof::kStorage, Proof::kLease}),
      Counter(Metric::kLost, "scsi_prd_lost_memberships",
              "How often this host had lost its membership and joined again"),
      Gauge(Metric::kMember, "scsi_prd_member", "Whether this host is a member of its cluster"),
      Gauge(Metric::kLogicalUnits, "scsi_prd_logical_units",
            "Logical units that VMs of this host use"),
      Gauge(Metric::kNexuses, "scsi_prd_nexuses", "I_T nexuses that are attached on this host"),
  };
  return kFamilies;
}

const Family& FamilyOf(Metric metric) { return Families()[static_cast<size_t>(metric)]; }

constexpr double kBounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                              0.25,  0.5,    1.0,   2.5,  5.0,   10.0, 30.0};
constexpr size_t kBuckets = std::size(kBounds) + 1;  // the last one: more

const char* WordFor(Type type) {
  switch (type) {
    case Type::kCounter: return "counter";
    case Type::kGauge: return "gauge";
    case Type::kHistogram: return "histogram";
  }
  return "unknown";
}

// The same in every locale; "1.0", not "1", as OpenMetrics wants bounds.
std::string Decimal(double number) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, number).ptr;
  std::string decimal(text, end);
  if (decimal.find_first_of(".e") == std::string::npos) decimal += ".0";
  return decimal;
}

void AddHead(std::string* text, const std::string& name, Type type, const char* help) {
  *text += "# TYPE " + name + " " + WordFor(type) + "\n";
  if (name.ends_with("_seconds")) *text += "# UNIT " + name + " seconds\n";
  *text += "# HELP " + name + " " + help + ".\n";
}

std::string Braced(const std::string& labels) { return labels.empty() ? "" : "{" + labels + "}"; }

}  // namespace

Metrics::Metrics() {
  const MutexLock lock(mutex_);
  for (const Family& family : Families()) {
    auto& values = values_[static_cast<size_t>(family.metric)];
    if (family.values.empty()) values[""];
    for (const char* value : family.values) values[value];
    for (auto& [label, value] : values) {
      if (family.type == Type::kHistogram) value.buckets.resize(kBuckets);
    }
  }
}

Metrics::Value& Metrics::ValueOf(Metric metric, std::string_view label) {
  auto& values = values_[static_cast<size_t>(metric)];
  const auto found = values.find(label);
  if (found != values.end()) return found->second;
  Value& other = values[FamilyOf(metric).values.empty() ? "" : "other"];
  if (FamilyOf(metric).type == Type::kHistogram) other.buckets.resize(kBuckets);
  return other;
}

void Metrics::Count(Metric metric, std::string_view label, uint64_t by) {
  const MutexLock lock(mutex_);
  ValueOf(metric, label).count += by;
}

void Metrics::Set(Metric metric, int64_t value) {
  const MutexLock lock(mutex_);
  ValueOf(metric, "").level = value;
}

void Metrics::Observe(Metric metric, double seconds, std::string_view label) {
  // Also of what is no number.
  if (!(seconds >= 0)) seconds = 0;
  const auto bucket = std::ranges::lower_bound(kBounds, seconds) - std::begin(kBounds);
  const MutexLock lock(mutex_);
  Value& value = ValueOf(metric, label);
  value.count++;
  value.sum += seconds;
  value.buckets[static_cast<size_t>(bucket)]++;
}

uint64_t Metrics::Total(Metric metric) const {
  const MutexLock lock(mutex_);
  uint64_t total = 0;
  for (const auto& [label, value] : values_[static_cast<size_t>(metric)]) total += value.count;
  return total;
}

int64_t Metrics::Level(Metric metric) const {
  const MutexLock lock(mutex_);
  const auto& values = values_[static_cast<size_t>(metric)];
  return values.empty() ? 0 : values.begin()->second.level;
}

void Metrics::SetAdmitUntil(Time until) {
  const MutexLock lock(mutex_);
  admit_until_ = until;
}

namespace {

// Each bucket has all that are below it.
void AddHistogram(std::string* text, const std::string& name, const std::string& labels,
                  const std::vector<uint64_t>& buckets, double sum) {
  const std::string before = labels.empty() ? "" : labels + ",";
  uint64_t count = 0;
  for (size_t i = 0; i < kBuckets; i++) {
    count += buckets[i];
    const std::string bound = i < std::size(kBounds) ? Decimal(kBounds[i]) : "+Inf";
    *text += name + "_bucket{" + before + "le=\"" + bound + "\"} " + std::to_string(count) + "\n";
  }
  *text += name + "_count" + Braced(labels) + " " + std::to_string(count) + "\n";
  *text += name + "_sum" + Braced(labels) + " " + Decimal(sum) + "\n";
}

}  // namespace

std::string Metrics::Text(Time now) const {
  std::string text;
  const MutexLock lock(mutex_);
  for (const Family& family : Families()) {
    AddHead(&text, family.name, family.type, family.help);
    for (const auto& [label, value] : values_[static_cast<size_t>(family.metric)]) {
      const std::string labels =
          label.empty() ? "" : std::string(family.label) + "=\"" + label + "\"";
      const std::string name = family.name;
      switch (family.type) {
        case Type::kCounter:
          text += name + "_total" + Braced(labels) + " " + std::to_string(value.count) + "\n";
          break;
        case Type::kGauge:
          text += name + Braced(labels) + " " + std::to_string(value.level) + "\n";
          break;
        case Type::kHistogram: AddHistogram(&text, name, labels, value.buckets, value.sum); break;
      }
    }
  }
  const char* left = "scsi_prd_admitted_seconds";
  AddHead(&text, left, Type::kGauge, "For how long commands are admitted yet without a renewal");
  const Time nanoseconds = admit_until_ > now ? admit_until_ - now : 0;
  text += std::string(left) + " " + Decimal(static_cast<double>(nanoseconds) / kSecond) + "\n";
  return text + "# EOF\n";
}

Status Metrics::WriteFile(const std::string& path, std::string_view text) {
  constexpr mode_t kForEverybody = 0644;
  return ReplaceFile(path, text, kForEverybody, false);
}

}  // namespace scsi_pr::agent
