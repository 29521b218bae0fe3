// SPDX-License-Identifier: GPL-2.0-or-later
//
// Damage of a file store: what is found, and what a repair makes of it.
#include "store/repair.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <map>

#include "file_store.h"
#include "store/database.h"
#include "store/file_backing.h"
#include "store/inspection.h"

namespace scsi_pr {
namespace {

namespace fs = std::filesystem;
using namespace testing;
using Kind = Finding::Kind;

class RepairTest : public FileStoreFixture {
 protected:
  // The files of the store, by name, as long as nobody uses it.
  std::map<std::string, std::string> Files() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(directory_.path())) {
      files[entry.path().filename()] = ReadFile(entry.path());
    }
    return files;
  }
  // Finds these, and changes nothing.
  Inspection Find(const std::vector<Kind>& kinds) {
    const auto before = Files();
    Inspection inspection = Inspect(path_, true);
    EXPECT_TRUE(inspection.status.ok()) << inspection.status.message();
    std::vector<Kind> found;
    for (const Finding& finding : inspection.findings) {
      found.push_back(finding.kind);
      EXPECT_FALSE(finding.what.empty() || finding.meaning.empty());
      EXPECT_FALSE(finding.is_damage() && finding.action.empty()) << finding.what;
    }
    EXPECT_EQ(found, kinds);
    EXPECT_TRUE(Files() == before) << "looking has changed something";
    return inspection;
  }
  Repair RepairIt() {
    Repair repair;
    const Status status = RepairStore(path_, &repair);
    EXPECT_TRUE(status.ok()) << status.message();
    return repair;
  }
  // The repaired store as the next VM sees it.
  State AfterRepair() {
    EXPECT_TRUE(RepairIt().done);
    EXPECT_FALSE(Inspect(path_, true).damaged());
    return Read(*Open());
  }
  // Nobody may write until REPLACE LOST RESERVATION (SPC-4 5.13.5.3).
  void ExpectGuarded() {
    const auto store = Open();
    GateSlot* slot = nullptr;
    ASSERT_TRUE(store->Attach(C(), "somebody", nullptr, &slot).ok());
    EXPECT_TRUE(Read(*store).information_lost);
    EXPECT_FALSE(slot->admission().Admits(AccessClass::kWrite));
    store->Detach(slot);
  }
  std::string LoadIdentity() {
    std::unique_ptr<Database> database;
    std::string uuid;
    EXPECT_TRUE(Database::Open(path_, &database).ok());
    EXPECT_TRUE(database->LoadIdentity(&uuid).ok());
    return uuid;
  }
};

State Lost(State state) {
  state.information_lost = true;
  return state;
}

TEST_F(RepairTest, SoundStore) {
  MakeStoreReservedByA();
  const Inspection inspection = Find({});
  State state;
  ASSERT_TRUE(inspection.GetState(&state).ok());
  EXPECT_EQ(state, Read(*Open()));
  EXPECT_EQ(inspection.identity, LoadIdentity());
  EXPECT_FALSE(RepairIt().done);
  EXPECT_TRUE(Files().size() == 2) << "nothing was set aside";
}

TEST_F(RepairTest, NotOurs) {
  const auto refused = [&](Status::Code code) {
    const auto before = Files();
    EXPECT_EQ(Inspect(path_, true).status.code(), code);
    Repair repair;
    const Status status = RepairStore(path_, &repair);
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_FALSE(repair.done);
    EXPECT_TRUE(Files() == before);
  };
  refused(Code::kInvalid);
  EXPECT_TRUE(fs::is_empty(directory_.path()));
  WriteFile(path_, std::string(8192, 'x'));
  refused(Code::kInvalid);
  fs::resize_file(path_, uintmax_t{1} << 32);
  EXPECT_EQ(Inspect(path_, true).status.code(), Code::kInvalid);
  fs::remove(path_);
  Sql("CREATE TABLE precious (data TEXT)");
  refused(Code::kInvalid);
  fs::remove(path_);
  MakeStoreReservedByA();
  Sql("PRAGMA user_version = 3");
  refused(Code::kUnsupported);
}

// The newest record is intact: the store goes on as if nothing had been.
TEST_F(RepairTest, DamageThatLosesNothing) {
  const std::map<std::string, std::vector<Kind>> cases = {
      {"UPDATE record_even SET document = 'x'", {Kind::kOlderRecordDamaged}},
      {"DELETE FROM identity", {Kind::kIdentityMissing}},
      {"UPDATE identity SET uuid = 'x'", {Kind::kIdentityMissing}},
      {"DELETE FROM record_even", {Kind::kOlderRecordDamaged}},
      {"DROP TABLE record_even", {Kind::kOlderRecordDamaged}},
  };
  for (const auto& [damage, kinds] : cases) {
    SCOPED_TRACE(damage);
    for (const auto& entry : fs::directory_iterator(directory_.path())) fs::remove(entry);
    MakeStoreReservedByA();
    const State before = Read(*Open());
    Sql(damage);
    Find(kinds);
    EXPECT_EQ(AfterRepair(), before);
    EXPECT_EQ(LoadIdentity().size(), 36u);
  }
}

// The older record is left: nobody knows what the newest has said.
TEST_F(RepairTest, DamageOfTheNewest) {
  const State older = Given().Registered(A(), kKeyA).Aptpl().Generation(1);
  for (const char* damage :
       {"UPDATE record_odd SET document = replace(document, '000a', '000b')",
        "UPDATE record_odd SET unit_attentions = '{'"}) {
    SCOPED_TRACE(damage);
    for (const auto& entry : fs::directory_iterator(directory_.path())) fs::remove(entry);
    MakeStoreReservedByA();
    const std::string identity = LoadIdentity();
    Sql(damage);
    Find({Kind::kNewestRecordDamaged});
    EXPECT_EQ(AfterRepair(), Lost(older));
    EXPECT_EQ(LoadIdentity(), identity);
    ExpectGuarded();
  }
}

// A version that does not fit says nothing about which one is the newest.
TEST_F(RepairTest, RecordsThatDoNotFollowOneAnother) {
  MakeStoreReservedByA();
  Sql("UPDATE record_odd SET version = 99");
  Find({Kind::kNewestRecordDamaged});
  EXPECT_TRUE(AfterRepair().information_lost);
}

// Without the gate nobody can say that what is missing was not the newest.
TEST_F(RepairTest, MissingRecordWithoutAGate) {
  MakeStoreReservedByA();
  fs::remove(path_ + "-gate");
  Sql("DELETE FROM record_even");
  Find({Kind::kNewestRecordDamaged, Kind::kNoGate});
  EXPECT_TRUE(AfterRepair().information_lost);
}

TEST_F(RepairTest, NothingLeft) {
  const auto zero_header = [&] {
    WriteFile(path_, std::string(100, '\0') + ReadFile(path_).substr(100));
  };
  const std::map<std::string, std::function<void()>> cases = {
      {"both records", [&] { Sql("UPDATE record_odd SET document = ''; DELETE FROM record_even"); }},
      {"header", zero_header},
      {"empty", [&] { WriteFile(path_, ""); }},
      {"garbage", [&] { WriteFile(path_, std::string(8192, 'x')); }},
      {"half", [&] { WriteFile(path_, ReadFile(path_).substr(0, 4096)); }},
  };
  for (const auto& [name, damage] : cases) {
    SCOPED_TRACE(name);
    for (const auto& entry : fs::directory_iterator(directory_.path())) fs::remove(entry);
    MakeStoreReservedByA();
    damage();
    const std::string damaged = ReadFile(path_);
    EXPECT_TRUE(Inspect(path_, true).damaged());
    const Repair repair = RepairIt();
    EXPECT_TRUE(ReadFile(repair.damaged) == damaged) << "the damaged store is kept";
    EXPECT_EQ(repair.record.state, Lost(State{}));
    EXPECT_FALSE(Inspect(path_, true).damaged());
    ExpectGuarded();
  }
}

TEST_F(RepairTest, DamagedPages) {
  MakeStoreReservedByA();
  const State before = Read(*Open());
  const std::string sound = ReadFile(path_);
  constexpr size_t kPage = 4096;
  for (size_t page = 0; page < sound.size() / kPage; page++) {
    SCOPED_TRACE(page);
    std::string damaged = sound;
    damaged.replace(page * kPage, 64, 64, '\xA5');
    fs::remove(path_);
    WriteFile(path_, damaged);
    EXPECT_TRUE(Inspect(path_, true).damaged());
    const State after = AfterRepair();
    EXPECT_TRUE(after == before || after.information_lost);
  }
}

// What REPLACE LOST RESERVATION says of the loss is durable, too.
TEST_F(RepairTest, LossSurvivesPowerOn) {
  MakeStoreReservedByA();
  Sql("UPDATE record_odd SET document = ''; UPDATE record_even SET document = ''");
  RepairIt();
  ExpectGuarded();
  ExpectGuarded();
  Find({Kind::kInformationLost});
}

TEST_F(RepairTest, EachDamagedStoreIsKept) {
  MakeStoreReservedByA();
  for (const char* name : {"lu.pr.damaged-1", "lu.pr.damaged-2"}) {
    Sql("DELETE FROM identity");
    EXPECT_EQ(RepairIt().damaged, fs::canonical(directory_.path()).string() + "/" + name);
  }
}

// The gate knows what was in force: an older copy does not bring it back.
TEST_F(RepairTest, OldCopyInPlace) {
  MakeStoreReservedByA();
  const std::string old = ReadFile(path_);
  {
    const auto store = Open();
    GateSlot* slot = nullptr;
    ASSERT_TRUE(store->Attach(B(), "b", nullptr, &slot).ok());
    ASSERT_TRUE(Send(*store, A(), Clear(kKeyA)).ok());
    store->Detach(slot);
  }
  WriteFile(path_, old);
  Find({Kind::kCommitsMissing});
  {
    const auto store = Open();
    std::shared_ptr<const Record> snapshot;
    EXPECT_EQ(store->Read(&snapshot).code(), Code::kCorrupt);
    GateSlot* slot = nullptr;
    EXPECT_EQ(store->Attach(B(), "b", nullptr, &slot).code(), Code::kCorrupt);
  }
  EXPECT_TRUE(AfterRepair().information_lost);
}

TEST_F(RepairTest, NoGate) {
  MakeStoreReservedByA();
  fs::remove(path_ + "-gate");
  Find({Kind::kNoGate});
  EXPECT_FALSE(RepairIt().done);
}

TEST_F(RepairTest, VoidGate) {
  MakeStoreReservedByA();
  std::string gate = ReadFile(path_ + "-gate");
  const std::string sound = gate;
  const std::string boot = GateFile::BootId();
  gate.replace(gate.find(boot), boot.size(), std::string(boot.size(), '0'));
  WriteFile(path_ + "-gate", gate);
  EXPECT_NE(Find({Kind::kGateVoid}).findings[0].what.find("host's start"), std::string::npos);
  WriteFile(path_ + "-gate", "x");
  Find({Kind::kGateVoid});
  WriteFile(path_ + "-gate", sound);
  Find({});
  fs::copy_file(path_, directory_ / "copy.pr");
  fs::copy_file(path_ + "-gate", directory_ / "copy.pr-gate");
  const Inspection copy = Inspect(directory_ / "copy.pr", true);
  ASSERT_EQ(copy.findings.size(), 1u);
  EXPECT_EQ(copy.findings[0].kind, Kind::kGateVoid);
  EXPECT_NE(copy.findings[0].what.find("another store"), std::string::npos);
}

TEST_F(RepairTest, OldSchema) {
  MakeSchema1();
  Find({Kind::kOldSchema, Kind::kNoGate});
  const std::string old = ReadFile(path_);
  Sql("UPDATE logical_unit SET document = 'x'");
  Find({Kind::kNewestRecordDamaged, Kind::kOldSchema, Kind::kNoGate});
  EXPECT_EQ(AfterRepair(), Lost(State{}));
}

// Whoever may use the store may use what is made beside it.
TEST_F(RepairTest, FilesGetTheStoresOwner) {
  if (getuid() != 0) GTEST_SKIP() << "only root gives files away";
  constexpr uid_t kUser = 64055;
  MakeStoreReservedByA();
  ASSERT_EQ(chown(path_.c_str(), kUser, kUser), 0);
  ASSERT_EQ(chmod(path_.c_str(), 0640), 0);
  EXPECT_EQ(Inspect(path_, true).findings.at(0).kind, Kind::kForeignOwner);
  fs::remove(path_ + "-gate");
  Open();
  const auto expect_owner = [&](const std::string& path) {
    struct stat info = {};
    ASSERT_EQ(stat(path.c_str(), &info), 0) << path;
    EXPECT_EQ(info.st_uid, kUser) << path;
    EXPECT_EQ(info.st_gid, kUser) << path;
    EXPECT_EQ(info.st_mode & 0777, mode_t{0640}) << path;
  };
  expect_owner(path_ + "-gate");
  Sql("DELETE FROM identity");
  const Repair repair = RepairIt();
  expect_owner(path_);
  expect_owner(repair.damaged);
  Find({Kind::kGateVoid});
}

}  // namespace
}  // namespace scsi_pr
