// SPDX-License-Identifier: GPL-2.0-or-later
#include "cluster/elsewhere.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cluster/names.h"
#include "cluster/wire.h"
#include "temporary_directory.h"
#include "testing.h"

namespace scsi_pr::cluster {
namespace {

using testing::A;
using testing::B;
using Code = Status::Code;

const Elsewhere kTwo{"h1", {{A(), "h2", "VM a", true}, {B(), "h3", "VM b, device d0", false}}};

class ElsewhereTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(RuntimeDirectory::Open(runtime_.path(), &directory_).ok());
    ASSERT_EQ(stat(runtime_.path().c_str(), &like_), 0);
    like_.st_mode = S_IFREG | 0640;
  }
  std::string File() const { return runtime_.path() + "/" + ElsewhereFileName("lu"); }
  Code ReadCode() {
    Elsewhere read = kTwo;
    const Status status = ReadElsewhere(*directory_, "lu", &read);
    if (!status.ok()) {
      EXPECT_EQ(read, kTwo) << "something was made of it";
      EXPECT_FALSE(status.hint().empty());
    }
    return status.code();
  }

  const testing::RuntimeDirectoryOfTest runtime_;
  std::shared_ptr<const RuntimeDirectory> directory_;
  struct stat like_ = {};
};

TEST_F(ElsewhereTest, WhatIsWrittenIsRead) {
  Elsewhere read = kTwo;
  EXPECT_TRUE(ReadElsewhere(*directory_, "lu", &read).ok());
  EXPECT_EQ(read, Elsewhere());
  EXPECT_TRUE(WriteElsewhere(*directory_, "lu", like_, {"h1", {}}).ok());
  EXPECT_TRUE(WriteElsewhere(*directory_, "lu", like_, kTwo).ok());
  EXPECT_TRUE(ReadElsewhere(*directory_, "lu", &read).ok());
  EXPECT_EQ(read, kTwo);
  struct stat info = {};
  ASSERT_EQ(stat(File().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
  EXPECT_EQ(runtime_.Names().size(), 1u);
  RemoveElsewhere(*directory_, "lu");
  EXPECT_TRUE(runtime_.Names().empty());
}

// One that was killed while it wrote has left a file that nobody reads.
TEST_F(ElsewhereTest, AfterAnUnfinishedOne) {
  testing::WriteFile(File() + "new", "half of");
  EXPECT_TRUE(WriteElsewhere(*directory_, "lu", like_, kTwo).ok());
  EXPECT_EQ(runtime_.Names().size(), 1u);
}

TEST_F(ElsewhereTest, HostileFiles) {
  const std::string one =
      R"({"initiator":"naa.5000000000000001","target-port":1,"host":"h2","owner":"x","live":true})";
  const auto text = [&](const std::string& attached) {
    return R"({"schema":1,"host":"h1","attached":)" + attached + "}";
  };
  testing::WriteFile(File(), text("[" + one + "]"));
  EXPECT_EQ(ReadCode(), Code::kOk);
  for (const std::string& bad :
       {std::string(), std::string("x"), std::string("{}"), text("1"), text("[1]"), text("[{}]"),
        std::string(R"({"schema":0,"host":"h1","attached":[]})"),
        std::string(R"({"schema":1,"host":1,"attached":[]})"),
        text("[" + one.substr(0, one.size() - 5) + "1}]"),
        text("[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]"), text("[\"\xff\"]")}) {
    testing::WriteFile(File(), bad);
    EXPECT_EQ(ReadCode(), Code::kCorrupt) << bad;
  }
  testing::WriteFile(File(), R"({"schema":2,"host":"h1","attached":[]})");
  EXPECT_EQ(ReadCode(), Code::kUnsupported);
  testing::WriteFile(File(), std::string(kMaxFrame + 1, ' '));
  EXPECT_EQ(ReadCode(), Code::kIo);
}

TEST_F(ElsewhereTest, WhatIsNoFile) {
  ASSERT_EQ(symlink("/etc/passwd", File().c_str()), 0);
  EXPECT_EQ(ReadCode(), Code::kIo);
  unlink(File().c_str());
  ASSERT_EQ(mkfifo(File().c_str(), 0600), 0);
  EXPECT_EQ(ReadCode(), Code::kIo);
  unlink(File().c_str());
  ASSERT_EQ(mkdir(File().c_str(), 0700), 0);
  EXPECT_EQ(ReadCode(), Code::kIo);
}

TEST_F(ElsewhereTest, TextsBecomePrintable) {
  const Elsewhere odd{"h\n1", {{A(), "h\x1b", "VM \xff", true}}};
  Elsewhere read;
  EXPECT_TRUE(DecodeElsewhere(EncodeElsewhere(odd), &read).ok());
  EXPECT_EQ(read.host.find('\n'), std::string::npos);
  EXPECT_EQ(read.attached.at(0).host.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace scsi_pr::cluster
