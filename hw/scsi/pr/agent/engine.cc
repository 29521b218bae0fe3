// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/engine.h"

#include <algorithm>

namespace scsi_pr::agent {

bool IsPassing(Failure::Kind kind) {
  using Kind = Failure::Kind;
  return kind == Kind::kUnreachable || kind == Kind::kNoAnswer || kind == Kind::kBusy ||
         kind == Kind::kBadAnswer;
}

const KeyValue* Answer::Find(const std::string& key) const {
  const auto entry = std::ranges::find(found, key, &KeyValue::key);
  return entry == found.end() ? nullptr : &*entry;
}

}  // namespace scsi_pr::agent
