// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/contacts.h"

#include <utility>

namespace scsi_pr::agent {

void Contacts::Saw(Time now, const Answer& answer, const Keys& keys) {
  // Those that were forgotten are left out.
  std::map<std::string, Contact> there;
  for (const KeyValue& found : answer.found) {
    if (!found.key.starts_with(keys.Hosts())) continue;
    const std::string host = found.key.substr(keys.Hosts().size());
    Contact& contact = there[host];
    if (const auto before = contacts_.find(host); before != contacts_.end()) {
      contact = before->second;
    }
    HostRecord record;
    const bool is_alive =
        Decode(found.value, &record).ok() && record.state == HostRecord::State::kAlive;
    if (is_alive && contact.nonce != record.nonce) contact = {record.nonce, now};
  }
  contacts_ = std::move(there);
}

void Contacts::Heard(Time now, const std::string& host) {
  if (const auto known = contacts_.find(host); known != contacts_.end()) known->second.at = now;
}

std::optional<Time> Contacts::Last(const std::string& host) const {
  const auto known = contacts_.find(host);
  return known == contacts_.end() ? std::nullopt : known->second.at;
}

}  // namespace scsi_pr::agent
