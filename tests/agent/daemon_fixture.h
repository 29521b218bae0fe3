// SPDX-License-Identifier: GPL-2.0-or-later
//
// Hosts in one process: each has a daemon on a thread, a runtime directory, and stores that
// attach to it as a QEMU's do. The engine of all of them is in memory.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "../unit/attached_store.h"
#include "agent/daemon.h"
#include "memory_engine.h"

namespace scsi_pr::testing {

class TestSink : public agent::LogSink {
 public:
  void Write(const agent::MessageKind& kind, const std::string& text,
             const agent::LogFields&) override {
    const MutexLock lock(mutex_);
    said_[kind.name] = text;
    if (getenv("SCSI_PRD_TEST_LOG") != nullptr)
      fprintf(stderr, "%s: %s\n", kind.name, text.c_str());
  }
  // The last one of that name; empty: none.
  std::string Said(const std::string& name) {
    const MutexLock lock(mutex_);
    return said_[name];
  }

 private:
  Mutex mutex_;
  std::map<std::string, std::string> said_ GUARDED_BY(mutex_);
};

class TestHost {
 public:
  TestHost(std::string name, std::shared_ptr<agent::SharedStore> store)
      : name_(std::move(name)), engine_(std::make_shared<agent::MemoryEngine>(std::move(store))) {}
  ~TestHost() { Stop(); }

  agent::MemoryEngine& engine() { return *engine_; }
  const std::string& runtime() const { return runtime_.path(); }
  agent::Daemon& daemon() { return *daemon_; }
  const std::string& boot_id() const { return boot_id_; }
  std::string Said(const std::string& name) { return sink_->Said(name); }
  // What is other than usual, from the next start on.
  std::function<void(agent::Daemon::Options&)> configure;

  void Start() {
    agent::Daemon::Options options;
    options.config.host = name_;
    options.config.group = "";
    options.config.runtime_directory = runtime();
    options.config.state_directory = state_.path();
    options.config.duration = 2 * agent::kSecond;
    options.machine_id = "machine-" + name_;
    options.boot_id = boot_id_;
    if (configure) configure(options);
    const Status status =
        agent::Daemon::Create(std::move(options), engine_, log_, metrics_, &daemon_);
    ASSERT_TRUE(status.ok()) << status.message();
    thread_ = std::thread([this] { daemon_->Run(); });
  }
  // What the machine has of it is left as it is: as by SIGKILL, for all that others see.
  void Stop() {
    if (!daemon_) return;
    daemon_->Stop();
    thread_.join();
    daemon_.reset();
  }
  // Another boot; the runtime directory is empty then. While it is stopped, and nobody is attached.
  void Reboot() {
    boot_id_ += "-again";
    for (const auto& entry : std::filesystem::directory_iterator(runtime())) {
      std::filesystem::remove_all(entry);
    }
  }

  Status Open(std::shared_ptr<Store>* store, const std::string& unit = "q") const {
    Store::OpenOptions options(Store::OpenMode::kCreate);
    options.runtime_directory = runtime();
    return Store::Open("cluster:" + unit, options, store);
  }

 private:
  static std::string Memory() { return "/dev/shm/"; }

  const std::string name_;
  const std::shared_ptr<agent::MemoryEngine> engine_;
  const TemporaryDirectory runtime_{Memory()};
  const TemporaryDirectory state_{Memory()};
  std::string boot_id_ = "boot-" + name_;
  TestSink* const sink_ = new TestSink;  // the log's
  agent::Log log_{std::unique_ptr<agent::LogSink>(sink_), agent::LogLevel::kDebug};
  agent::Metrics metrics_;
  std::unique_ptr<agent::Daemon> daemon_;
  std::thread thread_;
};

// One nexus on one host.
class TestNexus {
 public:
  TestNexus(TestHost& host, const Nexus& nexus) : nexus_(nexus) {
    // The daemon may just be joining.
    Status status;
    EXPECT_TRUE(Eventually([&] { return (status = host.Open(&store_)).ok(); })) << status.message();
  }
  ~TestNexus() { Detach(); }

  Status TryAttach(Store::AttachMode mode = Store::AttachMode::kNew) {
    return store_->Attach(nexus_, "owner", mode, &owner_, &owner_.slot);
  }
  void Attach() {
    const Status status = TryAttach();
    ASSERT_TRUE(status.ok()) << status.message();
  }
  void Detach() {
    if (owner_.slot == nullptr) return;
    store_->Detach(owner_.slot);  // until then it is called
    owner_.slot = nullptr;
  }
  Status Try(const PersistentReserveOut& command, Outcome* outcome) {
    return store_->Update(
        [&](const State& state) { return Apply(state, store_->capabilities(), nexus_, command); },
        waiting_, outcome);
  }
  ScsiStatus Send(const PersistentReserveOut& command) {
    Outcome outcome;
    const Status status = Try(command, &outcome);
    EXPECT_TRUE(status.ok()) << status.message();
    return outcome.status;
  }
  State Read() {
    std::shared_ptr<const Record> record;
    const Status status = store_->Read(&record);
    EXPECT_TRUE(status.ok()) << status.message();
    return status.ok() ? record->state : State();
  }
  bool Writes() {
    const auto epoch = owner_.slot->Enter(AccessClass::kWrite);
    if (epoch) owner_.slot->Leave(*epoch);
    return epoch.has_value();
  }
  std::vector<Sense> Attentions() {
    std::vector<Sense> all;
    while (const auto sense = owner_.slot->unit_attentions().Take()) all.push_back(*sense);
    return all;
  }

  Owner& owner() { return owner_; }
  Store& store() { return *store_; }
  Store::Waiting& waiting() { return waiting_; }

 private:
  const Nexus nexus_;
  std::shared_ptr<Store> store_;
  Owner owner_;
  Fencings fencings_;
  Store::Waiting waiting_{.listener = &fencings_};
};

class DaemonTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (TestHost* host : {&h1_, &h2_}) host->Start();
  }

  // As scsi-pr accept-restore does it: another life, which names the one before.
  void AcceptRestore() {
    const agent::Keys keys(agent::Config().prefix);
    agent::Meta meta;
    const agent::Answer answer = store_->Apply({{}, {}, {{keys.Meta(), false}}});
    ASSERT_TRUE(agent::Decode(answer.found.at(0).value, &meta).ok());
    meta.earlier_lives.push_back(std::exchange(meta.life, "life-2"));
    store_->Apply({{}, {{keys.Meta(), agent::Encode(meta)}}, {}});
  }

  static std::unique_ptr<TestNexus> Attached(TestHost& host, const Nexus& nexus) {
    auto attached = std::make_unique<TestNexus>(host, nexus);
    attached->Attach();
    return attached;
  }

  const std::shared_ptr<agent::SharedStore> store_ = std::make_shared<agent::SharedStore>();
  TestHost h1_{"h1", store_};
  TestHost h2_{"h2", store_};
};

}  // namespace scsi_pr::testing
