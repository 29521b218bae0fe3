// SPDX-License-Identifier: GPL-2.0-or-later
//
// Looking at a store that others change meanwhile: what is whole is never
// called damaged.
#include <atomic>
#include <thread>

#include "care/inspection.h"
#include "fixture.h"

namespace scsi_pr {
namespace {

using testing::ProcessTest;

class InspectionTest : public ProcessTest {
 protected:
  // What the first of so many looks says that finds something wrong; or nothing.
  std::string Wrong(int looks) const {
    for (int i = 0; i < looks; i++) {
      const Inspection inspection = Inspect({path_});
      State state;
      const Status status = inspection.GetState(&state);
      if (!status.ok()) return status.message();
      if (inspection.damaged()) return "damaged";
    }
    return "";
  }
};

TEST_F(InspectionTest, WhileAnotherChangesTheState) {
  const auto a = Attached(1);
  ASSERT_EQ(a->Ask("hammer 1000"), "ok");
  const std::string wrong = Wrong(500);
  a->Kill();
  EXPECT_EQ(wrong, "");
}

// The memory is made by the first who comes, and removed by the last who goes.
TEST_F(InspectionTest, WhileOthersComeAndGo) {
  Attached(1)->Ask("quit");
  std::atomic<bool> enough = false;
  std::thread others([&] {
    while (!enough) {
      Attached(2)->Ask("quit");
    }
  });
  const std::string wrong = Wrong(300);
  enough = true;
  others.join();
  EXPECT_EQ(wrong, "");
}

}  // namespace
}  // namespace scsi_pr
