// SPDX-License-Identifier: GPL-2.0-or-later
//
// Damage of a file store: what is found, and what a repair makes of it.
#include "care/repair.h"

#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <map>

#include "care/inspection.h"
#include "file_store.h"
#include "store/gate_memory.h"

namespace scsi_pr {
namespace {

namespace fs = std::filesystem;
using namespace testing;
using Kind = Finding::Kind;

class RepairTest : public FileStoreFixture {
 protected:
  Inspection Look() const { return Inspect({path_, runtime_.path()}); }
  // The files of the store, by name.
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
    Inspection inspection = Look();
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
    const Status status = RepairStore({path_, runtime_.path()}, &repair);
    EXPECT_TRUE(status.ok()) << status.message();
    return repair;
  }
  // The repaired store as the next VM sees it.
  State AfterRepair() {
    EXPECT_TRUE(RepairIt().done);
    EXPECT_FALSE(Look().damaged());
    return Read(*Open());
  }
  // Nobody may write until REPLACE LOST RESERVATION (SPC-4 5.13.5.3).
  void ExpectGuarded() {
    const auto store = Open();
    GateSlot* slot = nullptr;
    ASSERT_TRUE(store->Attach(C(), "somebody", Store::AttachMode::kNew, nullptr, &slot).ok());
    EXPECT_TRUE(Read(*store).information_lost);
    EXPECT_FALSE(slot->admission().Admits(AccessClass::kWrite));
    store->Detach(slot);
  }
  // Of which neither a process nor a memory is left.
  void Cut(size_t size) { WriteFile(path_, ReadFile(path_).substr(0, size)); }
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
  EXPECT_EQ(inspection.identity, Identity());
  EXPECT_FALSE(RepairIt().done);
  EXPECT_EQ(Files().size(), 1u) << "nothing was set aside";
}

TEST_F(RepairTest, NotOurs) {
  const auto refused = [&](Status::Code code) {
    const auto before = Files();
    EXPECT_EQ(Look().status.code(), code);
    Repair repair;
    const Status status = RepairStore({path_, runtime_.path()}, &repair);
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_FALSE(repair.done);
    EXPECT_TRUE(Files() == before);
  };
  refused(Status::Code::kInvalid);
  EXPECT_TRUE(fs::is_empty(directory_.path()));
  WriteFile(path_, std::string(8192, 'x'));
  refused(Status::Code::kInvalid);
  fs::resize_file(path_, uintmax_t{1} << 32);
  EXPECT_EQ(Look().status.code(), Status::Code::kInvalid);
  fs::remove(path_);
  MakeStoreReservedByA();
  Rewrite([&](std::string& contents) { contents[SectorOffset(Newest(), 0) + 8] = '2'; });
  refused(Status::Code::kUnsupported);
}

// The newest record is intact: the store goes on as if nothing had been.
TEST_F(RepairTest, DamageOfTheOlderRecord) {
  MakeLargeStore();
  const State before = Read(*Open());
  const std::string identity = Identity();
  DamageSector(1 - Newest(), 1);
  Find({Kind::kOlderRecordDamaged});
  EXPECT_EQ(AfterRepair(), before);
  EXPECT_EQ(Identity(), identity);
}

// The older record is left: nobody knows what the newest has said.
TEST_F(RepairTest, DamageOfTheNewest) {
  for (const size_t sector : {0, 1}) {
    SCOPED_TRACE(sector);
    MakeLargeStore();
    const State older = Parts().part[1 - Newest()].content.record.state;
    const std::string identity = Identity();
    DamageSector(Newest(), sector);
    Find({Kind::kNewestRecordDamaged});
    State state;
    EXPECT_EQ(Look().GetState(&state).code(), Status::Code::kCorrupt);
    EXPECT_EQ(AfterRepair(), Lost(older));
    EXPECT_EQ(Identity(), identity);
    ExpectGuarded();
  }
}

// An old copy of the one record beside the other: nobody can say which was the newest.
TEST_F(RepairTest, RecordsThatDoNotFollowOneAnother) {
  MakeStoreReservedByA();
  const unsigned older = 1 - Newest();
  const std::string old = ReadFile(path_);
  {
    const auto store = Open();
    for (const uint64_t key : {2, 3, 4}) {
      ASSERT_TRUE(Send(*store, A(), RegisterIgnore(key).Aptpl()).ok());
    }
  }
  ASSERT_EQ(Newest(), older);
  Rewrite([&](std::string& contents) {
    PutBytesOfPlace(&contents, 1 - older, BytesOfPlace(old, 1 - older));
  });
  Find({Kind::kNewestRecordDamaged});
  EXPECT_TRUE(AfterRepair().information_lost);
}

TEST_F(RepairTest, NothingLeft) {
  const std::map<std::string, std::function<void()>> cases = {
      {"both records",
       [&] {
         for (const unsigned place : {0, 1}) DamageSector(place, 0);
       }},
      {"empty", [&] { WriteFile(path_, ""); }},
      {"a part of a sector", [&] { Cut(100); }},
  };
  for (const auto& [name, damage] : cases) {
    SCOPED_TRACE(name);
    MakeLargeStore();
    damage();
    const std::string damaged = ReadFile(path_);
    Find({Kind::kNothingLeft});
    const Repair repair = RepairIt();
    EXPECT_TRUE(ReadFile(repair.damaged) == damaged) << "the damaged store is kept";
    EXPECT_EQ(repair.record.state, Lost(State{}));
    EXPECT_FALSE(Look().damaged());
    ExpectGuarded();
  }
}

TEST_F(RepairTest, DamagedBlocks) {
  MakeStoreReservedByA();
  const State before = Read(*Open());
  const std::string sound = ReadFile(path_);
  for (size_t block = 0; block < sound.size() / kBlockBytes; block++) {
    SCOPED_TRACE(block);
    std::string damaged = sound;
    damaged.replace(block * kBlockBytes, 64, 64, '\xA5');
    fs::remove(path_);
    WriteFile(path_, damaged);
    EXPECT_TRUE(Look().damaged());
    const State after = AfterRepair();
    EXPECT_TRUE(after == before || after.information_lost);
  }
}

// What REPLACE LOST RESERVATION says of the loss is durable, too.
TEST_F(RepairTest, LossSurvivesPowerOn) {
  MakeStoreReservedByA();
  for (const unsigned place : {0, 1}) DamageSector(place, 0);
  RepairIt();
  ExpectGuarded();
  ExpectGuarded();
  Find({Kind::kInformationLost});
}

TEST_F(RepairTest, EachDamagedStoreIsKept) {
  MakeLargeStore();
  for (const char* name : {"lu.pr.damaged-1", "lu.pr.damaged-2"}) {
    DamageSector(Newest(), 1);
    EXPECT_EQ(RepairIt().damaged, fs::canonical(directory_.path()).string() + "/" + name);
  }
}

// A change that was interrupted was never in force: nothing is lost, nothing to repair.
TEST_F(RepairTest, UnfinishedChange) {
  MakeStoreReservedByA();
  const unsigned newest = Newest();
  Rewrite([&](std::string& contents) {
    contents.replace(SectorOffset(newest, 0), kSectorBytes, EncodeBlankSector());
  });
  Find({Kind::kUnfinishedChange});
  EXPECT_FALSE(RepairIt().done);
  EXPECT_EQ(Read(*Open()), State(Given().Registered(A(), kKeyA).Aptpl().Generation(1)));
}

// Of a store in use the memory says what is in force, and what the disk should have.
class InspectionInUseTest : public RepairTest {
 protected:
  void SetUp() override {
    MakeStoreReservedByA();
    old_ = ReadFile(path_);
    store_ = Open();
    ASSERT_TRUE(store_->Attach(B(), "b", Store::AttachMode::kNew, nullptr, &slot_).ok());
    ASSERT_TRUE(Send(*store_, A(), Clear(kKeyA)).ok());
  }
  void TearDown() override { store_->Detach(slot_); }
  void ExpectInForce(const Inspection& inspection) {
    State state;
    ASSERT_TRUE(inspection.GetState(&state).ok());
    EXPECT_EQ(state, Read(*store_));
    ASSERT_EQ(inspection.attached.size(), 1u);
    EXPECT_EQ(inspection.attached[0].nexus, B());
  }
  void ExpectNoRepair() {
    Repair repair;
    EXPECT_EQ(RepairStore({path_, runtime_.path()}, &repair).code(), Status::Code::kInUse);
    EXPECT_EQ(Files().count("lu.pr.damaged-1"), 0u);
  }

  std::string old_;
  std::shared_ptr<Store> store_;
  GateSlot* slot_ = nullptr;
};

TEST_F(InspectionInUseTest, Sound) { ExpectInForce(Find({})); }

TEST_F(InspectionInUseTest, OldCopyInPlace) {
  WriteFile(path_, old_);
  ExpectInForce(Find({Kind::kCommitsMissing}));
  ExpectNoRepair();
}

TEST_F(InspectionInUseTest, Replaced) {
  WriteFile(directory_ / "copy", old_);
  fs::rename(directory_ / "copy", path_);
  ExpectInForce(Find({Kind::kReplaced}));
}

// Nobody may think that what the disk has is in force.
TEST_F(InspectionInUseTest, MemoryElsewhere) {
  const RuntimeDirectoryOfTest another;
  const Inspection inspection = Inspect({path_, another.path()});
  ASSERT_EQ(inspection.findings.size(), 1u);
  EXPECT_EQ(inspection.findings[0].kind, Kind::kMemoryElsewhere);
  EXPECT_FALSE(inspection.damaged());
}

// Nothing on the disk says which store it was; those who use it do.
TEST_F(InspectionInUseTest, BothFirstSectorsDamaged) {
  for (const unsigned place : {0, 1}) DamageSector(place, 0);
  const Inspection inspection = Look();
  ASSERT_EQ(inspection.attached.size(), 1u);
  EXPECT_EQ(inspection.attached[0].nexus, B());
  Repair repair;
  const Status status = RepairStore({path_, runtime_.path()}, &repair);
  EXPECT_EQ(status.code(), Status::Code::kInUse);
  EXPECT_NE(status.message().find("(b)"), std::string::npos) << status.message();
}

TEST_F(InspectionInUseTest, SpoiltMemory) {
  const std::string memory = runtime_.path() + "/" + GateMemory::NameFor(Identity());
  fs::resize_file(memory, sizeof(Gate));
  const Inspection inspection = Find({Kind::kMemorySpoilt});
  State state;
  EXPECT_EQ(inspection.GetState(&state).code(), Status::Code::kCorrupt);
}

// Whoever may use the store may use what is made beside it.
TEST_F(RepairTest, FilesGetTheStoresOwner) {
  if (getuid() != 0) GTEST_SKIP() << "only root gives files away";
  constexpr uid_t kUser = 64055;
  MakeStoreReservedByA();
  ASSERT_EQ(chown(path_.c_str(), kUser, kUser), 0);
  ASSERT_EQ(chmod(path_.c_str(), 0640), 0);
  const auto expect_owner = [&](const std::string& path) {
    struct stat info = {};
    ASSERT_EQ(stat(path.c_str(), &info), 0) << path;
    EXPECT_EQ(info.st_uid, kUser) << path;
    EXPECT_EQ(info.st_gid, kUser) << path;
    EXPECT_EQ(info.st_mode & 0777, mode_t{0640}) << path;
  };
  const auto store = Open();
  const std::string memory = runtime_.path() + "/" + GateMemory::NameFor(Identity());
  expect_owner(memory);
  EXPECT_EQ(Look().findings.size(), 0u);
  ASSERT_EQ(chown(memory.c_str(), 0, 0), 0);
  EXPECT_EQ(Look().findings.at(0).kind, Kind::kForeignOwner);
}

TEST_F(RepairTest, RepairedFileHasTheStoresOwner) {
  if (getuid() != 0) GTEST_SKIP() << "only root gives files away";
  constexpr uid_t kUser = 64055;
  MakeLargeStore();
  ASSERT_EQ(chown(path_.c_str(), kUser, kUser), 0);
  DamageSector(Newest(), 1);
  RepairIt();
  struct stat info = {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, kUser);
}

}  // namespace
}  // namespace scsi_pr
