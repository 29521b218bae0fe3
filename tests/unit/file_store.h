// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <string>

#include "attached_store.h"
#include "disk_record.h"
#include "store/store.h"
#include "temporary_directory.h"
#include "testing.h"

namespace scsi_pr::testing {

using Code = Status::Code;

// A file store of the test, what is in it, and what can be done to it.
class FileStoreFixture : public ::testing::Test {
 protected:
  Store::OpenOptions Options(Store::OpenMode mode = Store::OpenMode::kCreate) const {
    Store::OpenOptions options(mode);
    options.runtime_directory = runtime_.path();
    return options;
  }
  Status Open(const std::string& path, std::shared_ptr<Store>* store) {
    return Store::Open("file:" + path, Options(), store);
  }
  std::shared_ptr<Store> Open() {
    std::shared_ptr<Store> store;
    const Status status = Open(path_, &store);
    EXPECT_TRUE(status.ok()) << status.message();
    return store;
  }
  Code OpenCode(const std::string& path) {
    std::shared_ptr<Store> store;
    const Status status = Open(path, &store);
    EXPECT_EQ(status.ok(), store != nullptr);
    if (!status.ok()) {
      EXPECT_NE(status.message().find(path), std::string::npos) << status.message();
      EXPECT_FALSE(status.hint().empty()) << status.message();
    }
    return status.code();
  }
  static Status Send(Store& store, const Nexus& nexus, const PersistentReserveOut& command) {
    Outcome outcome;
    return store.Update(
        [&](const State& state) { return Apply(state, store.capabilities(), nexus, command); }, {},
        &outcome);
  }
  static State Read(Store& store) {
    std::shared_ptr<const Record> record;
    const Status status = store.Read(&record);
    EXPECT_TRUE(status.ok()) << status.message();
    return status.ok() ? record->state : State{};
  }
  // A registers with APTPL, alone or with as many others, and reserves; then everything is
  // closed.
  void MakeStoreReservedByA(uint64_t others = 0) {
    std::vector<Nexus> list;
    for (uint64_t i = 1; i <= others; i++) list.push_back(NumberedNexus(i));
    const Command command = Register(0, kKeyA).Aptpl();
    const auto store = Open();
    GateSlot* slot = nullptr;
    ASSERT_TRUE(store->Attach(A(), "maker", Store::AttachMode::kNew, nullptr, &slot).ok());
    ASSERT_TRUE(Send(*store, A(), others == 0 ? command : Command(command).List(list)).ok());
    ASSERT_TRUE(Send(*store, A(), Reserve(kKeyA, kWE)).ok());
    store->Detach(slot);
  }
  // Records of several sectors.
  void MakeLargeStore() {
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      std::filesystem::remove_all(entry);
    }
    MakeStoreReservedByA(10);
  }
  // Refused as `code`, and every byte of the file as before.
  void ExpectRefused(Code code) {
    const std::string before = ReadFile(path_);
    EXPECT_EQ(OpenCode(path_), code);
    ExpectFile(before);
  }
  void ExpectFile(const std::string& contents) {
    EXPECT_TRUE(ReadFile(path_) == contents) << "the file was changed";
  }
  // Does something to the contents.
  template <typename Change>
  void Rewrite(Change change) {
    std::string contents = ReadFile(path_);
    change(contents);
    WriteFile(path_, contents);
  }
  void DamageSector(unsigned place, size_t sector) {
    Rewrite([&](std::string& contents) { contents.at(SectorOffset(place, sector) + 100) ^= 1; });
  }
  DiskParts Parts() { return DecodeParts(ReadFile(path_)); }
  unsigned Newest() { return NewestPlace(Parts()); }
  std::string Identity() { return Parts().part[Newest()].content.identity; }

  const TemporaryDirectory directory_;
  const RuntimeDirectoryOfTest runtime_;
  const std::string path_ = directory_ / "lu.pr";
};

}  // namespace scsi_pr::testing
