// SPDX-License-Identifier: GPL-2.0-or-later
#include "checker.h"

#include <algorithm>
#include <iomanip>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <unordered_map>
#include <unordered_set>

namespace scsi_pr::linear {

namespace {

// A call or an end, in a doubly linked list in the order of time.
struct Entry {
  size_t operation = 0;
  bool is_call = false;
  int64_t time = 0;
  Entry* other = nullptr;  // of a call: its end, if it has one
  Entry* previous = nullptr;
  Entry* next = nullptr;
};

class Timeline {
 public:
  explicit Timeline(const std::vector<Operation>& operations) {
    for (size_t i = 0; i < operations.size(); i++) {
      entries_.push_back({.operation = i, .is_call = true, .time = operations[i].call});
      if (operations[i].end) entries_.push_back({.operation = i, .time = *operations[i].end});
    }
    // What begins when another ends may come before it.
    std::ranges::stable_sort(entries_, [](const Entry& a, const Entry& b) {
      return a.time != b.time ? a.time < b.time : a.is_call && !b.is_call;
    });
    std::map<size_t, Entry*> calls;
    Entry* last = &head_;
    for (Entry& entry : entries_) {
      last->next = &entry;
      entry.previous = last;
      last = &entry;
      if (entry.is_call) calls[entry.operation] = &entry;
    }
    for (Entry& entry : entries_) {
      if (!entry.is_call) calls[entry.operation]->other = &entry;
    }
  }
  Timeline(const Timeline&) = delete;
  Timeline& operator=(const Timeline&) = delete;

  Entry* first() const { return head_.next; }

  void Lift(Entry* call) {
    Unlink(call);
    if (call->other != nullptr) Unlink(call->other);
  }
  void Unlift(Entry* call) {
    if (call->other != nullptr) Relink(call->other);
    Relink(call);
  }

 private:
  static void Unlink(Entry* entry) {
    entry->previous->next = entry->next;
    if (entry->next != nullptr) entry->next->previous = entry->previous;
  }
  static void Relink(Entry* entry) {
    entry->previous->next = entry;
    if (entry->next != nullptr) entry->next->previous = entry;
  }

  std::vector<Entry> entries_;
  Entry head_;
};

// Numbers for logical units, so that each is kept once.
class Numbers {
 public:
  size_t Of(const LogicalUnit& unit) {
    return known_.emplace(unit.Fingerprint(), known_.size()).first->second;
  }

 private:
  std::unordered_map<std::string, size_t> known_;
};

class Search {
 public:
  Search(const History& history, size_t bound, Verdict* verdict)
      : history_(history), bound_(bound), verdict_(*verdict) {
    for (const Operation& operation : history.operations) required_ += operation.end ? 1 : 0;
    linearized_.assign(history.operations.size(), false);
  }

  // All ways from `unit` on. False if the bound was reached.
  bool From(const LogicalUnit& unit) {
    Timeline timeline(history_.operations);
    unit_ = unit;
    number_ = numbers_.Of(unit_);
    Keep();
    Entry* entry = timeline.first();
    for (;;) {
      const bool complete = done_ == required_;
      if (complete) AddLast();
      if (!complete && entry != nullptr && entry->is_call) {
        if (Advance(entry)) {
          timeline.Lift(entry);
          entry = timeline.first();
        } else {
          entry = entry->next;
        }
        if (verdict_.visited > bound_) return false;
        continue;
      }
      // Explained, or an operation has ended that was not given a place.
      if (path_.empty()) return true;
      entry = path_.back().call;
      timeline.Unlift(entry);
      GoBack();
      entry = entry->next;
    }
  }

 private:
  struct Place {
    Entry* call = nullptr;
    LogicalUnit before;
    size_t number = 0;
  };

  bool Advance(Entry* call) {
    const Operation& operation = history_.operations[call->operation];
    LogicalUnit after = unit_;
    if (!Step(history_.capabilities, operation, &after)) return false;
    const size_t number = numbers_.Of(after);
    // No effect: the same as if it never took place.
    if (!operation.end && number == number_) return false;
    linearized_[call->operation] = true;
    if (!seen_.insert(Key(number)).second) {
      linearized_[call->operation] = false;
      return false;
    }
    verdict_.visited++;
    path_.push_back({call, std::move(unit_), number_});
    unit_ = std::move(after);
    number_ = number;
    if (operation.end) done_++;
    Keep();
    return true;
  }

  void GoBack() {
    Place& place = path_.back();
    linearized_[place.call->operation] = false;
    if (history_.operations[place.call->operation].end) done_--;
    unit_ = std::move(place.before);
    number_ = place.number;
    path_.pop_back();
  }

  std::string Key(size_t number) const {
    std::string key((linearized_.size() + 7) / 8, '\0');
    for (size_t i = 0; i < linearized_.size(); i++) {
      if (linearized_[i]) key[i / 8] = static_cast<char>(key[i / 8] | 1 << i % 8);
    }
    return key + std::to_string(number);
  }

  void Keep() {
    if (!verdict_.longest.empty() && path_.size() <= verdict_.longest.size()) return;
    verdict_.longest.clear();
    for (const Place& place : path_) verdict_.longest.push_back(place.call->operation);
    verdict_.reached = unit_;
  }

  void AddLast() {
    if (last_.insert(number_).second) verdict_.last.push_back(unit_);
  }

  const History& history_;
  const size_t bound_;
  Verdict& verdict_;
  size_t required_ = 0;
  size_t done_ = 0;  // of the required ones
  std::vector<bool> linearized_;
  LogicalUnit unit_;
  size_t number_ = 0;
  std::vector<Place> path_;
  Numbers numbers_;
  std::unordered_set<std::string> seen_;
  std::unordered_set<size_t> last_;
};

History Prefix(const History& history, int64_t time) {
  History prefix{history.capabilities, history.before, {}};
  for (Operation operation : history.operations) {
    if (operation.call > time) continue;
    if (operation.end && *operation.end > time) {
      operation.end.reset();
      operation.response = {};
    }
    prefix.operations.push_back(std::move(operation));
  }
  return prefix;
}

}  // namespace

Verdict Check(const History& history, size_t bound) {
  Verdict verdict;
  Search search(history, bound, &verdict);
  for (const LogicalUnit& unit : history.before) {
    if (!search.From(unit)) {
      verdict.kind = Verdict::Kind::kUndecided;
      verdict.last.clear();
      return verdict;
    }
  }
  if (verdict.last.empty()) verdict.kind = Verdict::Kind::kViolation;
  return verdict;
}

History SmallestViolation(const History& history, size_t bound) {
  const auto violates = [&](const History& candidate) {
    return Check(candidate, bound).kind == Verdict::Kind::kViolation;
  };
  if (!violates(history)) return history;
  std::vector<int64_t> ends;
  for (const Operation& operation : history.operations) {
    if (operation.end) ends.push_back(*operation.end);
  }
  std::ranges::sort(ends);
  // A prefix of a linearizable history is linearizable.
  size_t low = 0;
  size_t high = ends.size() - 1;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (violates(Prefix(history, ends[middle]))) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return Prefix(history, ends[low]);
}

std::string Explain(const History& history, const Verdict& verdict) {
  std::vector<size_t> order;
  int64_t start = std::numeric_limits<int64_t>::max();
  for (size_t i = 0; i < history.operations.size(); i++) {
    order.push_back(i);
    start = std::min(start, history.operations[i].call);
  }
  std::ranges::stable_sort(order, {}, [&](size_t i) { return history.operations[i].call; });
  const auto place = [&](size_t i) {
    const auto found = std::ranges::find(verdict.longest, i);
    if (found == verdict.longest.end()) return std::string("-");
    return std::to_string(found - verdict.longest.begin() + 1);
  };
  const auto microseconds = [&](int64_t time) { return static_cast<double>(time - start) / 1000; };

  std::ostringstream text;
  text << std::fixed << std::setprecision(1);
  for (const LogicalUnit& unit : history.before) text << "before: " << Describe(unit) << '\n';
  text << " call µs    end µs  place  operation\n";
  for (const size_t i : order) {
    const Operation& operation = history.operations[i];
    text << std::setw(8) << microseconds(operation.call) << ' ' << std::setw(9);
    if (operation.end) {
      text << microseconds(*operation.end);
    } else {
      text << "?";
    }
    text << ' ' << std::setw(6) << place(i) << "  " << Describe(operation) << '\n';
  }
  text << "the longest order that explains what was seen (column place) leads to:\n  "
       << Describe(verdict.reached) << '\n';
  for (const size_t i : order) {
    const Operation& operation = history.operations[i];
    if (place(i) != "-" || !operation.end || operation.kind != Operation::Kind::kCommand) continue;
    const Effect effect = Carry(verdict.reached.state, history.capabilities, operation.nexus,
                                operation.cdb, operation.data_out);
    text << "there " << Describe(operation) << "\n  would have ended in "
         << DescribeResponse(operation, effect.response) << '\n';
  }
  return text.str();
}

}  // namespace scsi_pr::linear
