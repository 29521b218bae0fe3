// SPDX-License-Identifier: GPL-2.0-or-later
//
// Runs the checks of c_abi_test.c, which a C compiler has compiled.
#include "c_abi_test.h"

#include "temporary_directory.h"

namespace {

TEST(CAbi, DevicesOfOneMemoryStore) {
  EXPECT_STREQ(c_abi_check_devices("memory:c-abi-test"), nullptr);
}
TEST(CAbi, DevicesOfOneFileStore) {
  const scsi_pr::testing::TemporaryDirectory directory;
  EXPECT_STREQ(c_abi_check_devices(("file:" + (directory / "lu.pr")).c_str()), nullptr);
}
TEST(CAbi, Resets) {
  EXPECT_STREQ(c_abi_check_reset("memory:c-abi-reset"), nullptr);
  const scsi_pr::testing::TemporaryDirectory directory;
  EXPECT_STREQ(c_abi_check_reset(("file:" + (directory / "lu.pr")).c_str()), nullptr);
}
TEST(CAbi, Administration) {
  const scsi_pr::testing::TemporaryDirectory directory;
  EXPECT_STREQ(c_abi_check_administration(("file:" + (directory / "lu.pr")).c_str()), nullptr);
}
TEST(CAbi, HandOver) { EXPECT_STREQ(c_abi_check_hand_over(), nullptr); }
TEST(CAbi, FencedSince) { EXPECT_STREQ(c_abi_check_fenced_since("memory:c-abi-since"), nullptr); }
TEST(CAbi, Reports) { EXPECT_STREQ(c_abi_check_reports(), nullptr); }
TEST(CAbi, Errors) { EXPECT_STREQ(c_abi_check_errors(), nullptr); }
TEST(CAbi, SameNexusTwice) { EXPECT_STREQ(c_abi_check_same_nexus("memory:c-abi-same"), nullptr); }

}  // namespace
