// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/engine.h"

#include <algorithm>

namespace scsi_pr::agent {

const KeyValue* Answer::Find(const std::string& key) const {
  const auto entry = std::ranges::find(found, key, &KeyValue::key);
  return entry == found.end() ? nullptr : &*entry;
}

}  // namespace scsi_pr::agent
