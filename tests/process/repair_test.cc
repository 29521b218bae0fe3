// SPDX-License-Identifier: GPL-2.0-or-later
//
// A repair that is killed at any point, and one of a store that is in use.
#include <fstream>

#include "fixture.h"

namespace scsi_pr {
namespace {

namespace fs = std::filesystem;
using testing::Child;
using testing::kGood;
using testing::PipeProcess;
using testing::ProcessTest;
using testing::ReadFile;
using testing::Register;
using testing::Reserve;
using testing::WriteFile;

class RepairTest : public ProcessTest {
 protected:
  std::string Repair(const char* crash = "nowhere") {
    const char* program = getenv("REPAIR_PROCESS");
    if (program == nullptr) abort();  // tests/process/meson.build sets it
    PipeProcess process({program, path_, crash});
    return process.ReadLine();
  }
  // Reserved with APTPL by a process that was killed. The first sectors of both records
  // are garbage.
  void MakeDamagedStore() {
    const auto a = Attached(1);
    ASSERT_EQ(a->Ask(Register(1, true)), kGood);
    ASSERT_EQ(a->Ask(Reserve(1)), kGood);
    a->Kill();
    WriteFile(path_, Garbled(ReadFile(path_)));
  }
  static std::string Garbled(std::string bytes) {
    for (const size_t at : {100, 4196}) bytes[at] = static_cast<char>(bytes[at] ^ 1);
    return bytes;
  }
};

// After each: refused as damaged, or repaired; and the next repair completes it.
TEST_F(RepairTest, KilledAtEveryStep) {
  for (const char* step : {"built", "kept", "replaced"}) {
    SCOPED_TRACE(step);
    for (const auto& entry : fs::directory_iterator(directory_.path())) fs::remove(entry);
    MakeDamagedStore();
    const std::string before = ReadFile(path_);
    EXPECT_EQ(Repair(step), "") << "it was killed";
    const bool replaced = std::string(step) == "replaced";
    {
      Child b(uri_, 2);
      EXPECT_EQ(b.opened().starts_with("error 2 "), !replaced) << b.opened();
    }
    const std::string again = Repair();
    EXPECT_TRUE(again.starts_with("ok ")) << again;
    EXPECT_TRUE(ReadFile(path_ + ".damaged-1") == before) << "the damaged store is kept";
    EXPECT_FALSE(fs::exists(path_ + ".damaged-2"));
    const auto b = Attached(2);
    EXPECT_EQ(b->Ask("admits"), "no") << "reservation information is lost";
    EXPECT_EQ(b->Ask(Register(2)), "status 2");
  }
}

// The newest record is damaged, and not the one that tells whose memory to ask.
TEST_F(RepairTest, RefusedWhileInUse) {
  const auto a = Attached(1);
  ASSERT_EQ(a->Ask(Register(1, true)), kGood);
  const std::string sound = ReadFile(path_);
  WriteFile(path_, Garbled(sound).replace(4096, 4096, sound, 4096, 4096));
  const std::string answer = Repair();
  EXPECT_TRUE(answer.starts_with("error 4 ")) << answer;
  EXPECT_NE(answer.find(std::to_string(a->pid()) + " (helper)"), std::string::npos) << answer;
  EXPECT_FALSE(fs::exists(path_ + ".damaged-1"));
  WriteFile(path_, sound);
  EXPECT_EQ(a->Ask("keys"), "1");
}

}  // namespace
}  // namespace scsi_pr
