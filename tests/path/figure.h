// SPDX-License-Identifier: GPL-2.0-or-later
//
// The flow charts of docs/paths.md, box by box. A test's name says figure and box; what it expects
// is what the chart says, at a logical unit whose reservations are real.
#pragma once

#include "host.h"

namespace scsi_pr::testing {

class Figure : public ::testing::Test {
 protected:
  FakeUnit unit_;
  Host here_{unit_, kKeyA, {"a0", "a1"}};
  Host other_{unit_, kKeyB, {"b0", "b1"}};

  Status Open(OpenMode mode) { return here_->Open(mode); }
  // The other host has the logical unit, this one is configured.
  void OtherHasIt() {
    other_.Configured().Opened();
    here_.Configured();
    unit_.sent.clear();
  }
  void ThisHasIt(OpenMode mode = OpenMode::kRetain) {
    here_.Configured().Opened(mode);
    EXPECT_TRUE(here_->Close().ok());
    unit_.sent.clear();
  }
  void ExpectAllWrite(Host& who, bool may) {
    for (const std::string& device : who.devices())
      EXPECT_EQ(unit_.MayWrite(device), may) << device;
  }
};

}  // namespace scsi_pr::testing
