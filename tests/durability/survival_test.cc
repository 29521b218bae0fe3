// SPDX-License-Identifier: GPL-2.0-or-later
//
// The rows of tests/survival.txt that name SurvivalTest.Rows, as device servers see
// them. Guests in QEMU see them in tests/guest/test_survival.py.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "../process/fixture.h"
#include "../unit/execute.h"
#include "../unit/testing.h"
#include "store/store.h"

namespace scsi_pr {
namespace {

using namespace testing;

struct Row {
  std::string event;
  bool others = false;  // are attached to the store
  bool file = false;
  std::string aptpl;
  bool state_kept = false;
  bool generation_kept = false;
  bool reserve_kept = false;
  bool attentions_kept = false;
};

std::vector<std::string> Fields(const std::string& line) {
  std::vector<std::string> fields(1);
  for (size_t i = 0; i < line.size(); i++) {
    if (line.compare(i, 3, " | ") == 0) {
      fields.emplace_back();
      i += 2;
    } else {
      fields.back() += line[i];
    }
  }
  return fields;
}

std::vector<Row> Rows() {
  std::ifstream file(SURVIVAL_TXT);
  std::vector<Row> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.starts_with("//")) continue;
    const std::vector<std::string> f = Fields(line);
    EXPECT_EQ(f.size(), 8u) << line;
    if (f.size() != 8 || f[7].find("SurvivalTest.Rows") == std::string::npos) continue;
    rows.push_back({f[0].substr(0, f[0].find(';')), f[0].ends_with("others attached"),
                    f[1] == "file", f[2], f[3] == "kept", f[4] == "kept", f[5] == "kept",
                    f[6] == "kept"});
  }
  return rows;
}

// A's device server and its store.
struct Subject {
  std::shared_ptr<Store> store;
  std::unique_ptr<DeviceServer> server;

  explicit Subject(const std::string& uri) {
    EXPECT_TRUE(Store::Open(uri, Store::OpenMode::kCreate, &store).ok());
    Plug();
  }
  void Plug() { EXPECT_TRUE(DeviceServer::Open(store, A(), "a", {}, &server).ok()); }
  void Unplug() { server.reset(); }
  State Read() {
    // Behind the reset, if there was one.
    const ByteVector harmless = {0xA3, 0x0C, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0};
    EXPECT_EQ(Execute(*server, harmless).status, ScsiStatus::kGood);
    std::shared_ptr<const Record> snapshot;
    EXPECT_TRUE(store->Read(&snapshot).ok());
    return snapshot->state;
  }
  void Send(const Command& command) {
    EXPECT_EQ(Execute(*server, OutCdb(command), OutData(command)).status, ScsiStatus::kGood);
  }
};

enum class Before { kPersistent, kReserve, kAttention };

void Establish(Subject& subject, Before before, bool aptpl) {
  Command command = Register(0, kKeyA);
  command.aptpl = aptpl;
  switch (before) {
    case Before::kPersistent: subject.Send(command); return subject.Send(Reserve(kKeyA, kWE));
    case Before::kReserve:
      EXPECT_EQ(Execute(*subject.server, {0x16, 0, 0, 0, 0, 0}).status, ScsiStatus::kGood);
      return;
    case Before::kAttention:
      // B, wherever it is, takes the registrations away.
      subject.Send(command);
      Outcome outcome;
      for (const Command& of_b : {Register(0, kKeyB), Clear(kKeyB)}) {
        EXPECT_TRUE(
            subject.store
                ->Update([&](const State& state) { return Apply(state, kVolatile, B(), of_b); }, {},
                         &outcome)
                .ok());
      }
  }
}

// In a process of its own, which then ends, or is killed.
void EstablishElsewhere(const std::string& uri, Before before, bool aptpl, bool killed) {
  const pid_t child = fork();
  if (child == 0) {
    {
      Subject subject(uri);
      Establish(subject, before, aptpl);
      if (killed && !::testing::Test::HasFailure()) raise(SIGKILL);
    }
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(killed ? WIFSIGNALED(status) : status == 0) << status;
}

class SurvivalTest : public ProcessTest {
 protected:
  // A, after the event.
  std::unique_ptr<Subject> After(const Row& row, Before before, bool aptpl);
  void Expect(const Row& row, bool aptpl);
};

std::unique_ptr<Subject> SurvivalTest::After(const Row& row, Before before, bool aptpl) {
  const std::string uri = row.file ? uri_ : "memory:survival";
  const bool ends = row.event == "QEMU ends and starts again";
  const bool killed = row.event == "kill -9 of QEMU";
  const bool reboots = row.event.starts_with("host ");
  if (ends || killed || reboots) {
    EstablishElsewhere(uri, before, aptpl, !ends);
    if (reboots) runtime_.Clear();
    return std::make_unique<Subject>(uri);
  }
  auto subject = std::make_unique<Subject>(uri);
  Establish(*subject, before, aptpl);
  if (row.event == "guest reboots, or is reset") {
    subject->server->ResetOccurred(Reset::kNexusLoss);
  } else if (row.event == "LOGICAL UNIT RESET") {
    subject->server->ResetOccurred(Reset::kLogicalUnit);
  } else {
    EXPECT_EQ(row.event, "device_del, device_add") << "unknown event";
    subject->Unplug();
    subject->Plug();
  }
  return subject;
}

void SurvivalTest::Expect(const Row& row, bool aptpl) {
  for (const Before before : {Before::kPersistent, Before::kReserve, Before::kAttention}) {
    std::filesystem::remove(path_);
    runtime_.Clear();
    const auto other = row.others && row.file ? Attached(1) : nullptr;
    const auto subject = After(row, before, aptpl);
    const State found = subject->Read();
    if (before == Before::kPersistent) {
      State expected;
      if (row.state_kept) expected = Given().Registered(A(), kKeyA).Reserved(kWE, A());
      expected.aptpl = aptpl && row.state_kept;
      expected.generation = row.generation_kept ? 1 : 0;
      EXPECT_EQ(found, expected);
      EXPECT_TRUE(!other || other->Ask("admits") == (row.state_kept ? "no" : "yes"));
    } else if (before == Before::kReserve) {
      EXPECT_EQ(found.legacy_holder.has_value(), row.reserve_kept);
      EXPECT_TRUE(!other || other->Ask("admits") == (row.reserve_kept ? "no" : "yes"));
    } else {
      const auto attention = subject->server->TakeUnitAttention();
      EXPECT_EQ(attention.has_value(), row.attentions_kept);
    }
  }
}

TEST_F(SurvivalTest, Rows) {
  Clause("5.6.3: nexus loss and resets", "5.6.3: what is kept");
  const std::vector<Row> rows = Rows();
  EXPECT_GT(rows.size(), 15u);
  for (const Row& row : rows) {
    for (const bool aptpl : {false, true}) {
      if (row.aptpl == (aptpl ? "off" : "on")) continue;
      SCOPED_TRACE(row.event + (row.others ? ", others" : "") + (row.file ? ", file" : ", memory") +
                   (aptpl ? ", APTPL" : ""));
      Expect(row, aptpl);
    }
  }
}

}  // namespace
}  // namespace scsi_pr
