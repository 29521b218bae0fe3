// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an administrator asks of the cluster while etcd answers, does not, or is a backup.
#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>

#include "cluster/client.h"
#include "daemon_fixture.h"
#include "store/runtime_directory.h"

namespace scsi_pr::testing {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

class AdministrationTest : public DaemonTest {
 protected:
  static Status Ask(const TestHost& host, const char* operation, json* result) {
    std::shared_ptr<const RuntimeDirectory> directory;
    Status status = RuntimeDirectory::Open(host.runtime(), &directory);
    if (!status.ok()) return status;
    const cluster::Client client(directory, "");
    return client.Ask(
        client.Request(operation), std::chrono::steady_clock::now() + seconds(30),
        [] { return false; }, result);
  }

  // Asked while etcd does not answer, which it does again soon.
  Status AskInTrouble(const char* operation, std::atomic<bool>& trouble, json* result) {
    trouble = true;
    auto answer = std::async([&] { return Ask(h1_, operation, result); });
    std::this_thread::sleep_for(milliseconds(300));
    trouble = false;
    return answer.get();
  }

  // h1_ refuses what the store says.
  void PutBackABackup() {
    const auto a = Attached(h1_, A());
    const agent::SimulatedStore backup = store_->Copy();
    EXPECT_EQ(a->Send(Register(0, kKeyA)), ScsiStatus::kGood);
    store_->Restore(backup);
    const auto is_refused = [&] {
      json hosts;
      return Ask(h1_, "hosts", &hosts).ok() && hosts.contains("refused");
    };
    EXPECT_TRUE(Eventually(is_refused));
  }

  agent::Meta ReadMeta() {
    const agent::Keys keys(agent::Config().prefix);
    agent::Meta meta;
    const agent::Answer answer = store_->Apply({{}, {}, {{keys.Meta(), false}}});
    EXPECT_TRUE(agent::Decode(answer.found.at(0).value, &meta).ok());
    return meta;
  }
};

TEST_F(AdministrationTest, HostsAreToldWhenEtcdAnswersAgain) {
  const auto a = Attached(h1_, A());  // so both hosts have joined
  const auto b = Attached(h2_, B());
  json told;
  const Status status = AskInTrouble("hosts", h1_.engine().cut_off, &told);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(told.at("hosts").size(), 2u);
}

TEST_F(AdministrationTest, ThatEtcdDoesNotAnswerIsSaidInTheEnd) {
  json told;
  h1_.engine().cut_off = true;
  const Status status = Ask(h1_, "hosts", &told);
  EXPECT_EQ(status.code(), Status::Code::kBusy);
  EXPECT_EQ(status.message(), "etcd does not answer: the network is cut off");
}

TEST_F(AdministrationTest, WhatNoOtherTryWillHelpIsSaidAtOnce) {
  json told;
  h1_.engine().failure = agent::Failure::Kind::kPermission;
  h1_.engine().cut_off = true;
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(Ask(h1_, "hosts", &told).code(), Status::Code::kBusy);
  EXPECT_LT(std::chrono::steady_clock::now() - began, seconds(4));
}

TEST_F(AdministrationTest, ARestoreIsAcceptedWhenEtcdAnswersAgain) {
  PutBackABackup();
  json told;
  const Status status = AskInTrouble("accept-restore", h1_.engine().cut_off, &told);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(ReadMeta().life, told.at("life").get<std::string>());
}

// The answer got lost, not what was written.
TEST_F(AdministrationTest, ARestoreIsAcceptedOnce) {
  PutBackABackup();
  const agent::Meta before = ReadMeta();
  json told;
  const Status status = AskInTrouble("accept-restore", h1_.engine().deaf, &told);
  ASSERT_TRUE(status.ok()) << status.message();
  const agent::Meta meta = ReadMeta();
  EXPECT_EQ(meta.life, told.at("life").get<std::string>());
  EXPECT_EQ(meta.earlier_lives, std::vector{before.life});
}

TEST_F(AdministrationTest, WithoutADoubtNothingIsAccepted) {
  json told;
  const Status status = Ask(h1_, "accept-restore", &told);
  EXPECT_EQ(status.code(), Status::Code::kInvalid);
  EXPECT_NE(status.message().find("takes the store for the one that it was"), std::string::npos)
      << status.message();
}

}  // namespace
}  // namespace scsi_pr::testing
