// SPDX-License-Identifier: GPL-2.0-or-later
//
// What scsi-prd counts, as OpenMetrics text: for the socket, and for a file that node_exporter
// collects (its reader knows no "# EOF", and takes it for a comment).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/records.h"
#include "core/status.h"
#include "store/mutex.h"

namespace scsi_pr::agent {

// Units are in the names that others see: seconds.
enum class Metric : size_t {
  kRenewals,        // counter by result: renewed | failed
  kEngineSeconds,   // histogram by request: read | txn | identify
  kEngineFailures,  // counter by the failure's kind: unreachable, no-answer, …
  kChanges,         // counter by result: committed | given-up | refused | unknown
  kDrainSeconds,    // histogram
  kConflicts,       // counter: compares that did not hold, for somebody was faster
  kSuspicions,      // counter by whose: ours (we were suspected) | others (we suspect)
  kDeclaredDead,    // counter: by this host
  kProofs,          // counter by proof: how often a GOOD rested on one
  kLost,            // counter: how often this host has lost its membership
  kMember,          // gauge: 1 or 0
  kLogicalUnits,    // gauge: memories that are open
  kNexuses,         // gauge: attached on this host
  kCount,
};

class Metrics {
 public:
  Metrics();

  // All of them: any thread. `label`: a value that the metric has by the table above, else it is
  // empty; unknown ones are counted as "other".
  void Count(Metric metric, std::string_view label = "", uint64_t by = 1);
  void Set(Metric metric, int64_t value);
  void Observe(Metric metric, double seconds, std::string_view label = "");
  // Of a counter, all labels together. The watchdog looks whether kRenewals grows.
  uint64_t Total(Metric metric) const;
  int64_t Level(Metric metric) const;  // of a gauge

  // By CLOCK_BOOTTIME; told as the seconds that are left.
  void SetAdmitUntil(Time until);

  // The whole text; its last line is "# EOF". `now`: by CLOCK_BOOTTIME.
  std::string Text(Time now) const;
  // The text becomes the file, readable for everybody, in one step. kIo.
  static Status WriteFile(const std::string& path, std::string_view text);

 private:
  struct Value {
    uint64_t count = 0;  // of a counter or a histogram
    int64_t level = 0;   // of a gauge
    double sum = 0;      // seconds
    std::vector<uint64_t> buckets;
  };

  Value& ValueOf(Metric metric, std::string_view label) REQUIRES(mutex_);

  mutable Mutex mutex_;
  // By label; all that the table has are there from the beginning.
  std::array<std::map<std::string, Value, std::less<>>, static_cast<size_t>(Metric::kCount)> values_
      GUARDED_BY(mutex_);
  Time admit_until_ GUARDED_BY(mutex_) = 0;
};

}  // namespace scsi_pr::agent
