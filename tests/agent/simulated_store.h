// SPDX-License-Identifier: GPL-2.0-or-later
//
// An engine in memory: strictly serializable, without a network.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/engine.h"

namespace scsi_pr::agent {

// What a watch tells of it.
inline std::vector<News> NewsOf(const Transaction& transaction, int64_t revision) {
  std::vector<News> news;
  for (const Write& write : transaction.writes) news.push_back({write.key, write.value, revision});
  return news;
}

class SimulatedStore {
 public:
  struct Entry {
    std::string value;
    int64_t revision = 0;
  };

  Answer Apply(const Transaction& transaction) {
    Answer answer;
    answer.outcome = Outcome::kApplied;
    for (const Compare& compare : transaction.compares) {
      const auto entry = entries_.find(compare.key);
      const int64_t revision = entry == entries_.end() ? 0 : entry->second.revision;
      if (revision != compare.revision) answer.outcome = Outcome::kCompareFailed;
    }
    if (answer.outcome == Outcome::kApplied && !transaction.writes.empty()) {
      revision_++;
      for (const Write& write : transaction.writes) {
        if (write.value) entries_[write.key] = {*write.value, revision_};
        if (!write.value) entries_.erase(write.key);
      }
    }
    for (const Range& range : transaction.reads) Find(range, &answer);
    if (answer.outcome == Outcome::kCompareFailed) {
      for (const Range& range : transaction.otherwise) Find(range, &answer);
    }
    answer.cluster = cluster;
    answer.revision = revision_;
    return answer;
  }

  const Entry* Find(const std::string& key) const {
    const auto entry = entries_.find(key);
    return entry == entries_.end() ? nullptr : &entry->second;
  }
  int64_t revision() const { return revision_; }

  uint64_t cluster = 1;

 private:
  void Find(const Range& range, Answer* answer) const {
    for (auto entry = entries_.lower_bound(range.key); entry != entries_.end(); ++entry) {
      const bool fits =
          range.below ? entry->first.starts_with(range.key) : entry->first == range.key;
      if (!fits) break;
      answer->found.push_back({entry->first, entry->second.value, entry->second.revision});
    }
  }

  std::map<std::string, Entry> entries_;
  int64_t revision_ = 1;
};

}  // namespace scsi_pr::agent
