// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/contacts.h"

#include <gtest/gtest.h>

namespace scsi_pr::agent {
namespace {

using State = HostRecord::State;

const Keys kKeys("/p/");

// The records of all hosts.
class Hosts {
 public:
  void Write(const std::string& host, State state, const std::string& nonce) {
    const HostRecord record{"m", "b", "i", 1, 8 * kSecond, state, "", nonce, "", 0};
    store_[kKeys.Host(host)] = Encode(record);
  }
  void Forget(const std::string& host) { store_.erase(kKeys.Host(host)); }
  void See(Time now) {
    Answer answer;
    answer.outcome = Outcome::kApplied;
    answer.found.push_back({kKeys.Meta(), "{}", 1});
    for (const auto& [key, value] : store_) answer.found.push_back({key, value, 1});
    contacts.Saw(now, answer, kKeys);
  }

  Contacts contacts;

 private:
  std::map<std::string, std::string> store_;
};

TEST(Contacts, WhatAHostWritesItselfIsAContact) {
  Hosts hosts;
  hosts.Write("a", State::kAlive, "n1");
  hosts.Write("b", State::kSuspect, "n1");
  hosts.See(10 * kSecond);
  EXPECT_EQ(hosts.contacts.Last("a"), 10 * kSecond);
  EXPECT_EQ(hosts.contacts.Last("b"), std::nullopt) << "somebody else has written that";
  EXPECT_EQ(hosts.contacts.Last("c"), std::nullopt);
  hosts.See(20 * kSecond);
  EXPECT_EQ(hosts.contacts.Last("a"), 10 * kSecond) << "nothing new";
  hosts.Write("a", State::kDead, "n2");
  hosts.Write("b", State::kAlive, "n3");
  hosts.See(30 * kSecond);
  EXPECT_EQ(hosts.contacts.Last("a"), 10 * kSecond);
  EXPECT_EQ(hosts.contacts.Last("b"), 30 * kSecond);
}

TEST(Contacts, AForgottenHostIsForgotten) {
  Hosts hosts;
  hosts.Write("a", State::kAlive, "n1");
  hosts.See(10 * kSecond);
  hosts.Forget("a");
  hosts.See(20 * kSecond);
  EXPECT_EQ(hosts.contacts.Last("a"), std::nullopt);
  hosts.contacts.Heard(21 * kSecond, "a");
  EXPECT_EQ(hosts.contacts.Last("a"), std::nullopt);
}

TEST(Contacts, HeardOfOtherwise) {
  Hosts hosts;
  hosts.Write("a", State::kAlive, "n1");
  hosts.See(10 * kSecond);
  hosts.contacts.Heard(15 * kSecond, "a");
  hosts.See(20 * kSecond);
  EXPECT_EQ(hosts.contacts.Last("a"), 15 * kSecond);
}

}  // namespace
}  // namespace scsi_pr::agent
