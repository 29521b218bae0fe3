// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/config.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit/temporary_directory.h"

namespace scsi_pr::agent {
namespace {

using testing::TemporaryDirectory;
using testing::WriteFile;

// What every valid one has; "root" is a group everywhere.
const std::string kLeast = "[etcd]\nendpoints=http://127.0.0.1:2379\n[host]\ngroup=root\n";

Config Parsed(const std::string& text) {
  Config config;
  const Status status = ParseConfig(text, "a.conf", &config);
  EXPECT_TRUE(status.ok()) << status.message();
  return config;
}

// Message and hint; empty if it was taken.
std::string Refusal(const std::string& text) {
  Config config;
  config.host = "as it was";
  const Status status = ParseConfig(text, "a.conf", &config);
  if (status.ok()) return "";
  EXPECT_EQ(config.host, "as it was");
  return status.message() + " (" + status.hint() + ")";
}

TEST(Config, Defaults) {
  unsetenv("STATE_DIRECTORY");
  const Config config = Parsed(kLeast);
  EXPECT_EQ(config.etcd.endpoints, std::vector<std::string>{"http://127.0.0.1:2379"});
  EXPECT_EQ(config.prefix, "/scsi-pr/");
  EXPECT_EQ(config.duration, 8 * kSecond);
  char name[256] = {};
  ASSERT_EQ(gethostname(name, sizeof name - 1), 0);
  EXPECT_EQ(config.host, name);
  EXPECT_EQ(config.group_id, 0u);
  EXPECT_EQ(config.runtime_directory, "");
  EXPECT_EQ(config.state_directory, "/var/lib/scsi-prd");
  EXPECT_EQ(config.metrics_file, "");
  EXPECT_EQ(config.log_level, LogLevel::kInfo);
  EXPECT_FALSE(config.allow);
}

TEST(Config, Proofs) {
  const auto with = [](const std::string& cluster, const std::string& host = "") {
    return "[etcd]\nendpoints=x\n[cluster]\n" + cluster + "[host]\ngroup=root\n" + host;
  };
  EXPECT_FALSE(Parsed(with("")).proof.any());
  EXPECT_FALSE(Parsed(with("proof=ask\n")).proof.any());
  EXPECT_EQ(Parsed(with("proof=lease\n")).proof, (ProofWays{.lease = true}));
  EXPECT_EQ(Parsed(with("proof=watchdog;storage\nfence-command=/sbin/fence\n")).proof,
            (ProofWays{.watchdog = true, .storage = true, .fence_command = "/sbin/fence"}));
  for (const char* wrong : {"proof=word\n", "proof=ask;lease\n", "proof=watchdog;ask\n"}) {
    EXPECT_NE(Refusal(with(wrong)).find("[cluster] proof is '"), std::string::npos) << wrong;
  }
  EXPECT_NE(Refusal(with("proof=storage\n")).find("neither a fence-command nor [paths]"),
            std::string::npos);
  EXPECT_NE(Refusal(with("fence-command=/sbin/fence\n")).find("proof=storage"), std::string::npos);
  EXPECT_NE(Refusal(with("proof=storage\nfence-command=fence\n")).find("is no absolute path"),
            std::string::npos);
}

TEST(Config, Paths) {
  EXPECT_TRUE(Parsed(kLeast).paths.empty());
  const std::string storage = "[etcd]\nendpoints=x\n[cluster]\nproof=storage\n[host]\ngroup=root\n";
  const Config config =
      Parsed(storage + "[paths]\ndata=/dev/sdb;/dev/sdc\nquorum=/dev/mapper/mpatha\n");
  EXPECT_EQ(config.paths,
            (std::map<std::string, std::vector<std::string>>{{"data", {"/dev/sdb", "/dev/sdc"}},
                                                             {"quorum", {"/dev/mapper/mpatha"}}}));
  EXPECT_NE(ConfigText(config).find("storage, by path group data and path group quorum"),
            std::string::npos);
  EXPECT_EQ(NeedsRestart(config, Parsed(storage + "[paths]\ndata=/dev/sdb\n")),
            std::vector<std::string>{"[paths]"});
  const auto refusal = [](const std::string& line) { return Refusal(kLeast + "[paths]\n" + line); };
  EXPECT_NE(refusal("a:b=/dev/sda\n").find("no name of a path group"), std::string::npos);
  EXPECT_NE(refusal("a=sda\n").find("no absolute paths"), std::string::npos);
  EXPECT_FALSE(refusal("a=\n").empty());
  std::string many;
  for (int i = 0; i < 33; i++) many += "g" + std::to_string(i) + "=/dev/sda\n";
  EXPECT_NE(refusal(many).find("room for 32"), std::string::npos);
}

TEST(Config, Watchdog) {
  EXPECT_EQ(Parsed(kLeast).watchdog, "");
  const Config config = Parsed(kLeast + "watchdog=/dev/watchdog0\nwatchdog-timeout=30\n");
  EXPECT_EQ(config.watchdog, "/dev/watchdog0");
  EXPECT_EQ(config.watchdog_timeout, 30 * kSecond);
  for (const char* wrong : {"4", "121", "1m", ""}) {
    EXPECT_NE(Refusal(kLeast + "watchdog-timeout=" + wrong + "\n").find("from 5 to 120"),
              std::string::npos)
        << wrong;
  }
}

TEST(Config, StateDirectoryOfSystemd) {
  setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
  EXPECT_EQ(Parsed(kLeast).state_directory, "/var/lib/one");
  EXPECT_EQ(Parsed(kLeast + "state-directory=/three\n").state_directory, "/three");
  unsetenv("STATE_DIRECTORY");
}

TEST(Config, Everything) {
  const TemporaryDirectory directory;
  WriteFile(directory / "password", "s3cret ä\n");
  chmod((directory / "password").c_str(), 0640);
  const Config config = Parsed(
      "# of a host\n\n[etcd]\r\n"
      "endpoints = https://e1:2379 ; https://e2:2379;\n"
      "tls-directory=/etc/tls\nuser=pr\nprefix=/a/b/\npassword-file=" +
      (directory / "password") +
      "\n[cluster]\nduration=60\n[host]\nname=h1\ngroup=\nruntime-directory=/run/x\n"
      "state-directory=/s\nmetrics-file=/m.prom\nlog-level=debug\n"
      "[allow]\nuser:root=web-*;db-?\ngroup:4711=*\n* = public\n");
  EXPECT_EQ(config.etcd.endpoints,
            (std::vector<std::string>{"https://e1:2379", "https://e2:2379"}));
  EXPECT_EQ(config.etcd.tls_directory, "/etc/tls");
  EXPECT_EQ(config.etcd.user, "pr");
  EXPECT_EQ(config.etcd.password, "s3cret ä");
  EXPECT_EQ(config.prefix, "/a/b/");
  EXPECT_EQ(config.duration, 60 * kSecond);
  EXPECT_EQ(config.host, "h1");
  EXPECT_EQ(config.group, "");
  EXPECT_EQ(config.group_id, static_cast<gid_t>(-1));
  EXPECT_EQ(config.runtime_directory, "/run/x");
  EXPECT_EQ(config.state_directory, "/s");
  EXPECT_EQ(config.metrics_file, "/m.prom");
  EXPECT_EQ(config.log_level, LogLevel::kDebug);
  ASSERT_TRUE(config.allow);
  EXPECT_EQ(config.allow->size(), 3u);
  const std::string text = ConfigText(config);
  EXPECT_EQ(text.find("s3cret"), std::string::npos) << "no secret is printed";
  EXPECT_NE(text.find("user root (0): web-* db-?"), std::string::npos) << text;
}

TEST(Config, WhoMayAttach) {
  Config config = Parsed(kLeast + "[allow]\nuser:64055=web-*;db-?\ngroup:107=quorum\n*=public-*\n");
  const Peer qemu{64055, {64055, 36}}, kvm{1000, {1000, 107}}, nobody{65534, {65534}};
  EXPECT_TRUE(MayAttach(config, qemu, "web-1"));
  EXPECT_TRUE(MayAttach(config, qemu, "db-2"));
  EXPECT_FALSE(MayAttach(config, qemu, "db-22"));
  EXPECT_FALSE(MayAttach(config, qemu, "my-web-1"));
  EXPECT_FALSE(MayAttach(config, qemu, "quorum"));
  EXPECT_TRUE(MayAttach(config, kvm, "quorum"));
  EXPECT_FALSE(MayAttach(config, kvm, "web-1"));
  EXPECT_TRUE(MayAttach(config, nobody, "public-1"));
  EXPECT_FALSE(MayAttach(config, nobody, "quorum"));
  EXPECT_TRUE(MayAttach(config, {0, {0}}, "anything")) << "root";
  config.allow.reset();
  EXPECT_TRUE(MayAttach(config, nobody, "anything")) << "the socket's permissions alone";
  config = Parsed(kLeast + "[allow]\n# nobody\n");
  EXPECT_FALSE(MayAttach(config, kvm, "quorum")) << "a section without a line";
  EXPECT_TRUE(MayAttach(config, {0, {0}}, "quorum"));
}

TEST(Config, WhatNeedsARestart) {
  const Config config = Parsed(kLeast);
  EXPECT_TRUE(NeedsRestart(config, config).empty());
  Config next = Parsed(
      "[etcd]\nendpoints=http://e:1\n[host]\ngroup=root\nlog-level=error\n"
      "metrics-file=/m\n[allow]\n*=a\n");
  EXPECT_TRUE(NeedsRestart(config, next).empty()) << "taken over while it runs";
  next.host = "another", next.prefix = "/x/";
  EXPECT_EQ(NeedsRestart(config, next), (std::vector<std::string>{"[etcd] prefix", "[host] name"}));
}

struct Broken {
  const char* name;
  std::string text;
  const char* says;

  // Printable: a report is text.
  friend void PrintTo(const Broken& broken, std::ostream* out) { *out << Printable(broken.text); }
};

// Whatever a byte becomes: it is understood, or refused with the place.
TEST(Config, Damaged) {
  const std::string good =
      kLeast + "name=h1\n[cluster]\nduration=9\n[allow]\nuser:root=a*;b\n*=c\n";
  for (size_t i = 0; i < good.size(); i++) {
    for (const char byte : {'\0', '\n', '[', ']', '=', ';', '\\', '\xff', ' ', '#'}) {
      std::string damaged = good;
      damaged[i] = byte;
      Config config;
      const Status status = ParseConfig(damaged, "a.conf", &config);
      EXPECT_TRUE(status.ok() || status.message().starts_with("a.conf")) << status.message();
    }
    Config config;
    static_cast<void>(ParseConfig(good.substr(0, i), "a.conf", &config).ok());
  }
}

class BrokenConfig : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenConfig, SaysWhatIsWrongAndWhere) {
  const std::string said = Refusal(GetParam().text);
  EXPECT_TRUE(said.starts_with("a.conf")) << said;
  EXPECT_NE(said.find(GetParam().says), std::string::npos) << said;
}

INSTANTIATE_TEST_SUITE_P(
    All, BrokenConfig,
    ::testing::Values(
        Broken{"Empty", "", "[etcd] endpoints is not set"},
        Broken{"Comments", "# nothing\n", "[etcd] endpoints is not set"},
        Broken{"Section", kLeast + "[etdc]\n", "line 5: there is no section [etdc]"},
        Broken{"Key", "[etcd]\nendpoint=x\n", "line 2: [etcd] has no key 'endpoint'"},
        Broken{"KeyOfAnotherSection", kLeast + "duration=3\n", "[host] has no key 'duration'"},
        Broken{"Language", kLeast + "name[de]=x\n", "[host] has no key 'name[de]'"},
        Broken{"Twice", kLeast + "name=a\nname=b\n", "line 6: [host] name is set in line 5, too"},
        Broken{"NoSection", "user=x\n", "line 1: this is before the first [section]"},
        Broken{"NoPair", kLeast + "what is this\n", "line 5: 'what is this' is none of"},
        Broken{"CommentBehind", "[etcd] # mine\n", "line 1: '[etcd] # mine' is none of"},
        Broken{"NoKey", kLeast + "=x\n", "line 5: '=x' is none of"},
        Broken{"Null", kLeast + std::string("name=a\0b\n", 9), "line 5: there is what is no text"},
        Broken{"Latin1", "[etcd]\nuser=\xe4\n", "line 2: there is what is no text in UTF-8"},
        Broken{"Escape", kLeast + "name=a\\qb\n", "line 5: [host] name cannot be understood"},
        Broken{"NoEndpoint", "[etcd]\nendpoints= ; \n", "line 2: [etcd] endpoints is empty"},
        Broken{"ShortDuration", kLeast + "[cluster]\nduration=0\n", "[cluster] duration is '0'"},
        Broken{"LongDuration", kLeast + "[cluster]\nduration=61\n", "from 1 to 60"},
        Broken{"HugeDuration", kLeast + "[cluster]\nduration=99999999999\n", "from 1 to 60"},
        Broken{"NegativeDuration", kLeast + "[cluster]\nduration=-1\n", "from 1 to 60"},
        Broken{"Unit", kLeast + "[cluster]\nduration=8s\n", "is '8s'"},
        Broken{"Host", kLeast + "name=a/b\n", "line 5: [host] name is 'a/b'"},
        Broken{"NoHost", kLeast + "name=\n", "[host] name is ''"},
        Broken{"LongHost", kLeast + "name=" + std::string(256, 'x') + "\n", "up to 255"},
        Broken{"Group", "[etcd]\nendpoints=x\n[host]\ngroup=no-such-group\n",
               "line 4: [host] group is 'no-such-group', and there is no such group"},
        Broken{"Level", kLeast + "log-level=loud\n", "Known: error, warning"},
        Broken{"RelativePath", kLeast + "metrics-file=m.prom\n", "is no absolute path: 'm.prom'"},
        Broken{"NoStateDirectory", kLeast + "state-directory=\n", "state-directory is empty"},
        Broken{"Prefix", "[etcd]\nendpoints=x\nprefix=scsi-pr\n", "begins and ends with '/'"},
        Broken{"RootPrefix", "[etcd]\nendpoints=x\nprefix=/\n", "is no prefix of keys: '/'"},
        Broken{"SpaceInPrefix", "[etcd]\nendpoints=x\nprefix=/a b/\n", "has no spaces"},
        Broken{"NoPassword", "[etcd]\nendpoints=x\nuser=u\n", "user is set, and no password-file"},
        Broken{"NoToken", "[etcd]\nendpoints=x\ntoken-file=\n", "token-file is empty"},
        Broken{"Who", kLeast + "[allow]\nqemu=*\n", "line 6: [allow] qemu says not who is meant"},
        Broken{"NoUser", kLeast + "[allow]\nuser:no-such-user=*\n", "nobody that this host knows"},
        Broken{"NoUserAtAll", kLeast + "[allow]\nuser:=*\n", "nobody that this host knows"},
        Broken{"EveryUser", kLeast + "[allow]\nuser:4294967295=*\n", "nobody that this host"},
        Broken{"NoUnits", kLeast + "[allow]\n*=\n", "[allow] * is empty"},
        Broken{"Units", kLeast + "[allow]\n*=a/b\n", "'a/b', which fits no name"}),
    [](const auto& each) { return each.param.name; });

// ---------------------------------------------------------------- Files

class SecretFile : public ::testing::Test {
 protected:
  std::string RefusalOf(const std::string& password, mode_t mode) const {
    const std::string path = directory_ / "password";
    WriteFile(path, password);
    chmod(path.c_str(), mode);
    Config config;
    const Status status =
        ParseConfig("[etcd]\nendpoints=x\nuser=u\npassword-file=" + path + "\n[host]\ngroup=\n",
                    "a.conf", &config);
    return status.ok() ? "" : status.message() + " (" + status.hint() + ")";
  }

  const TemporaryDirectory directory_;
};

TEST_F(SecretFile, OfAFew) {
  EXPECT_EQ(RefusalOf("p\n", 0640), "");
  EXPECT_EQ(RefusalOf("p", 0400), "");
  for (const mode_t mode : {0644, 0602}) {
    EXPECT_NE(RefusalOf("p\n", mode).find("can be read or written by everybody (It is a secret"),
              std::string::npos);
  }
}

TEST_F(SecretFile, HasOneLine) {
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("a\nb\n"), std::string("a\0b\n", 4),
        std::string("a\r\n"), std::string("\x1b[31m\n"), std::string("\xff\n")}) {
    EXPECT_NE(RefusalOf(text, 0600).find("there is no password in"), std::string::npos) << text;
  }
  EXPECT_NE(RefusalOf(std::string(5000, 'x'), 0600).find("is longer than"), std::string::npos);
}

TEST_F(SecretFile, KeyOfTls) {
  const std::string path = directory_ / "client-key.pem";
  const std::string text =
      "[etcd]\nendpoints=x\ntls-directory=" + directory_.path() + "\n[host]\ngroup=\n";
  WriteFile(path, "key");
  chmod(path.c_str(), 0644);
  EXPECT_NE(Refusal(text).find(path + " can be read or written by everybody"), std::string::npos);
  chmod(path.c_str(), 0640);
  EXPECT_EQ(Refusal(text), "");
}

TEST(ConfigFile, Files) {
  const TemporaryDirectory directory;
  const std::string path = directory / "scsi-prd.conf";
  Config config;
  EXPECT_EQ(ReadConfig(path, &config).code(), Status::Code::kIo);
  EXPECT_EQ(ReadConfig(directory.path(), &config).code(), Status::Code::kInvalid);
  EXPECT_EQ(ReadConfig("/dev/zero", &config).code(), Status::Code::kInvalid);
  ASSERT_EQ(mkfifo((directory / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(ReadConfig(directory / "fifo", &config).code(), Status::Code::kInvalid);
  WriteFile(path, kLeast);
  chmod(path.c_str(), 0666);
  EXPECT_NE(ReadConfig(path, &config).message().find("can be written by everybody"),
            std::string::npos);
  chmod(path.c_str(), 0644);
  EXPECT_TRUE(ReadConfig(path, &config).ok());
  WriteFile(path, std::string((1 << 20) + 1, '#'));
  EXPECT_EQ(ReadConfig(path, &config).code(), Status::Code::kInvalid);
}

}  // namespace
}  // namespace scsi_pr::agent
