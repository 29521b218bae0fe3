// SPDX-License-Identifier: GPL-2.0-or-later
//
// Two hosts of a cluster whose daemons are FakeAgents, and their stores.
#pragma once

#include <gtest/gtest.h>

#include "attached_store.h"
#include "cluster/cluster_store.h"
#include "cluster/names.h"
#include "hand_over.h"

namespace scsi_pr::testing {

using namespace std::chrono_literals;

// Two hosts, which know of each other by the cluster alone.
class ClusterStoreTest : public ::testing::Test {
 protected:
  using Mode = Store::OpenMode;

  void TearDown() override { stores_.clear(); }
  Store::OpenOptions Options(int host, Mode mode = Mode::kCreate) const {
    Store::OpenOptions options(mode);
    options.runtime_directory = Directory(host);
    return options;
  }
  std::string Directory(int host) const {
    return host == 1 ? runtime_.path() : other_runtime_.path();
  }
  std::shared_ptr<Store> Open(int host = 1) {
    std::shared_ptr<Store> store;
    const Status status = Store::Open("cluster:quorum", Options(host), &store);
    EXPECT_TRUE(status.ok()) << status.message();
    return store;
  }
  // As another process of that host would.
  std::unique_ptr<cluster::ClusterStore> OpenSecond(int host = 1) {
    std::shared_ptr<const RuntimeDirectory> directory;
    EXPECT_TRUE(RuntimeDirectory::Open(Directory(host), &directory).ok());
    const cluster::Client client(directory, "quorum");
    cluster::Connection use;
    nlohmann::json result;
    EXPECT_TRUE(cluster::Keeper::OpenUse(client, false, std::chrono::steady_clock::now() + 5s,
                                         cluster::NeverCancelled, &use, &result)
                    .ok());
    std::unique_ptr<HostLocks> locks;
    EXPECT_TRUE(HostLocks::Join(directory, cluster::MemoryIdentity("quorum"), 5000ms, &locks).ok());
    return std::make_unique<cluster::ClusterStore>(client, std::move(locks), std::move(use), "h1");
  }
  static Status TryAttach(Store& store, const Nexus& nexus, GateSlot** slot) {
    return store.Attach(nexus, "VM of the test", Store::AttachMode::kNew, nullptr, slot);
  }
  static GateSlot* Attach(Store& store, const Nexus& nexus) {
    GateSlot* slot = nullptr;
    const Status status = TryAttach(store, nexus, &slot);
    EXPECT_TRUE(status.ok()) << status.message();
    return slot;
  }
  static Status Try(Store& store, const Nexus& nexus, const PersistentReserveOut& command,
                    const Store::Waiting& waiting, Outcome* outcome) {
    return store.Update(
        [&](const State& state) { return Apply(state, store.capabilities(), nexus, command); },
        waiting, outcome);
  }
  static Status Send(Store& store, const Nexus& nexus, const PersistentReserveOut& command,
                     const Store::Waiting& waiting = {}) {
    Outcome outcome;
    const Status status = Try(store, nexus, command, waiting, &outcome);
    if (status.ok()) {
      EXPECT_EQ(outcome.status, ScsiStatus::kGood);
    }
    return status;
  }
  static ScsiStatus SendStatus(Store& store, const Nexus& nexus,
                               const PersistentReserveOut& command) {
    Outcome outcome;
    const Status status = Try(store, nexus, command, {}, &outcome);
    EXPECT_TRUE(status.ok()) << status.message();
    return outcome.status;
  }
  static Status::Code SendCode(Store& store, const Nexus& nexus,
                               const PersistentReserveOut& command,
                               const Store::Waiting& waiting = {}) {
    const Status status = Send(store, nexus, command, waiting);
    EXPECT_EQ(status.ok(), status.hint().empty()) << status.message();
    return status.code();
  }
  static State Read(Store& store) {
    std::shared_ptr<const Record> record;
    const Status status = store.Read(&record);
    EXPECT_TRUE(status.ok()) << status.message();
    return status.ok() ? record->state : State();
  }
  static bool Writes(GateSlot* slot) {
    const auto epoch = slot->Enter(AccessClass::kWrite);
    if (epoch) slot->Leave(*epoch);
    return epoch.has_value();
  }
  std::unique_ptr<DeviceServer> OpenServer(int host, const Nexus& nexus, bool incoming = false,
                                           NexusListener* listener = nullptr) {
    return testing::Open("cluster:quorum", nexus, incoming, listener, Directory(host));
  }
  // A and B of host 1 and 2.
  void AttachBoth() {
    stores_ = {Open(1), Open(2)};
    a_ = Attach(*stores_[0], A());
    b_ = Attach(*stores_[1], B());
  }
  void DetachBoth() {
    stores_[0]->Detach(a_);
    stores_[1]->Detach(b_);
  }
  void RegisterBoth() {
    EXPECT_TRUE(Send(*stores_[0], A(), Register(0, kKeyA)).ok());
    EXPECT_TRUE(Send(*stores_[1], B(), Register(0, kKeyB)).ok());
  }

  const RuntimeDirectoryOfTest other_runtime_;
  const RuntimeDirectoryOfTest runtime_;
  FakeCluster cluster_;
  FakeAgent agent_{cluster_, runtime_.path(), "h1"};
  FakeAgent other_{cluster_, other_runtime_.path(), "h2"};
  std::vector<std::shared_ptr<Store>> stores_;
  GateSlot* a_ = nullptr;
  GateSlot* b_ = nullptr;
};

}  // namespace scsi_pr::testing
