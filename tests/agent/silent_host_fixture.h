// SPDX-License-Identifier: GPL-2.0-or-later
//
// Two hosts, of which one is cut off while a command of a VM there is on its way.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>

#include "agent/silent_host.h"
#include "cluster/client.h"
#include "daemon_fixture.h"

namespace scsi_pr::testing {

using namespace std::chrono_literals;
using agent::HostRecord;

class SilentHostTest : public DaemonTest {
 protected:
  // A is on h1, with a command under way, and holds the reservation; B on h2.
  void Begin() {
    a_ = Attached(h1_, A());
    b_ = Attached(h2_, B());
    ASSERT_EQ(a_->Send(Register(0, kKeyA)), ScsiStatus::kGood);
    ASSERT_EQ(b_->Send(Register(0, kKeyB)), ScsiStatus::kGood);
    ASSERT_EQ(a_->Send(Reserve(kKeyA, kWERO)), ScsiStatus::kGood);
    entered_ = a_->owner().slot->Enter(AccessClass::kWrite);
    ASSERT_TRUE(entered_);
  }
  void End() {
    if (entered_) a_->owner().slot->Leave(*entered_);
    entered_.reset();
  }
  void TearDown() override {
    h1_.engine().cut_off = false;
    End();
  }
  // With the time that its commands are given.
  Status Fence(std::chrono::milliseconds patience) {
    b_->waiting().abort_timeout = patience;
    Outcome outcome;
    return b_->Try(PreemptAndAbort(kKeyB, kKeyA, kWERO), &outcome);
  }
  Status Confirm(const std::string& host, const std::string& boot_id,
                 nlohmann::json* result = nullptr) {
    std::shared_ptr<const RuntimeDirectory> directory;
    EXPECT_TRUE(RuntimeDirectory::Open(h2_.runtime(), &directory).ok());
    const cluster::Client client(directory, "");
    nlohmann::json request = client.Request("confirm-host-dead"), answer;
    request.update({{"host", host}, {"boot-id", boot_id}, {"who", "me"}, {"why", "unplugged"}});
    const Status status = client.Ask(
        request, std::chrono::steady_clock::now() + 20s, [] { return false; }, &answer);
    if (result != nullptr) *result = answer;
    return status;
  }
  HostRecord Record(const std::string& host) {
    const agent::Keys keys(agent::Config().prefix);
    const agent::Answer answer = store_->Apply({{}, {}, {{keys.Host(host), false}}});
    HostRecord record;  // as it is before it joins
    if (answer.found.empty()) return record;
    EXPECT_TRUE(agent::Decode(answer.found[0].value, &record).ok());
    return record;
  }
  static void Restart(TestHost& host, const agent::ProofWays& ways) {
    host.Stop();
    host.configure = [ways](agent::Daemon::Options& options) { options.config.proof = ways; };
    host.Start();
  }

  std::unique_ptr<TestNexus> a_, b_;
  std::optional<Admission::Epoch> entered_;
};

}  // namespace scsi_pr::testing
