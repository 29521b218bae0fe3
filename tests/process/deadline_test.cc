// SPDX-License-Identifier: GPL-2.0-or-later
//
// The deadline of a gate among processes: whoever ends admission meets one that is in the
// middle of a step. The publisher is this process, which has the gate mapped.
#include <fcntl.h>
#include <sys/mman.h>

#include "fixture.h"
#include "gate/gate.h"

namespace scsi_pr {
namespace {

using testing::Child;
using testing::ProcessTest;

class DeadlineTest : public ProcessTest {
 protected:
  void SetUp() override {
    first_ = Attached(1);
    const int fd = open(PathOfGate().c_str(), O_RDWR | O_CLOEXEC);
    void* mapped = mmap(nullptr, sizeof(Gate), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    ASSERT_NE(mapped, MAP_FAILED);
    gate_ = std::launder(static_cast<Gate*>(mapped));
    ASSERT_TRUE(gate_->IsOfThisLayout());
  }
  void TearDown() override {
    if (gate_ != nullptr) munmap(gate_, sizeof(Gate));
  }

  static void StopAt(Child& child, const std::string& point, const std::string& command) {
    EXPECT_EQ(child.Ask("crash " + point + " 1 " + std::to_string(SIGSTOP)), "ok");
    child.Write(command);
    child.AwaitStop();
  }
  static uint64_t InAnHour() { return BootTime() + 3'600'000'000'000; }

  Child& first() { return *first_; }
  Gate& gate() { return *gate_; }

 private:
  // The only file of the runtime directory that has room for one.
  std::string PathOfGate() const {
    for (const std::string& name : runtime_.Names()) {
      const std::string path = runtime_.path() + "/" + name;
      if (std::filesystem::file_size(path) >= sizeof(Gate)) return path;
    }
    return "";
  }

  std::unique_ptr<Child> first_;
  Gate* gate_ = nullptr;
};

// A command that sleeps while its host is taken for dead is waited for, and does not go on.
TEST_F(DeadlineTest, CountedThenTheDeadlineThenTheClock) {
  AdmitUntil(gate(), InAnHour());
  StopAt(first(), "counted", "enter");
  GateSlot& slot = gate().slots[0];
  EXPECT_EQ(slot.admission().in_flight(), 1u) << "before it looks at anything else";
  AdmitUntil(gate(), 0);
  ASSERT_TRUE(slot.BeginDrain(kFullAccess));
  EXPECT_EQ(slot.admission().draining(), 1u);
  const uint32_t rung = slot.drained().count();
  first().Signal(SIGCONT);
  EXPECT_EQ(first().ReadLine(), "no");
  EXPECT_EQ(slot.admission().draining(), 0u);
  EXPECT_NE(slot.drained().count(), rung) << "whoever waits for it must look";
  EXPECT_EQ(first().Ask("enter"), "no");
  AdmitUntil(gate(), InAnHour());
  Enter(first());
}

// Admission ends while a nexus attaches: it does not keep the deadline that it has seen.
TEST_F(DeadlineTest, EndsWhileANexusAttaches) {
  AdmitUntil(gate(), InAnHour());
  const auto second = Start(2);
  StopAt(*second, "deadline", "attach");
  AdmitUntil(gate(), 0);
  second->Signal(SIGCONT);
  EXPECT_EQ(second->ReadLine(), "ok");
  EXPECT_EQ(gate().slots[1].admit_until(), 0u);
  EXPECT_EQ(second->Ask("enter"), "no");
}

}  // namespace
}  // namespace scsi_pr
