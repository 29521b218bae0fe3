// SPDX-License-Identifier: GPL-2.0-or-later
//
// kill -9 at each command that a path group sends, before it is carried out and after, and at each
// time its state is saved: the next call finds out what is so, and ends as if nothing had been.
#include <functional>

#include "host.h"

namespace scsi_pr {
namespace {

using namespace testing;

struct World {
  FakeUnit unit;
  Host here{unit, kKeyA, {"a0", "a1"}};
  Host other{unit, kKeyB, {"b0", "b1"}};
};
using Do = std::function<Status(World&)>;

Do Open(OpenMode mode) {
  return [mode](World& world) { return world.here->Open(mode); };
}
Status Close(World& world) { return world.here->Close(); }
Status Add(World& world) {
  for (const std::string& device : world.here.devices()) {
    if (Status status = world.here->Add(device); !status.ok()) return status;
  }
  return Status();
}
// What is gone already was removed.
Status Remove(World& world) {
  for (const std::string& device : world.here.devices()) {
    const bool has = std::ranges::any_of(
        world.here.state().paths, [&](const GroupPath& path) { return path.device == device; });
    if (!has) continue;
    if (Status status = world.here->Remove(device); !status.ok()) return status;
  }
  return Status();
}

// How it all has ended.
struct End {
  std::string unit;   // whose reservation, and who is registered
  std::string group;  // what this host has noted

  friend bool operator==(const End&, const End&) = default;
};
void PrintTo(const End& end, std::ostream* out) { *out << end.unit << "; noted: " << end.group; }

// `flags`: with what it takes for registered, which nobody can know of a path that is dead.
End EndOf(World& world, bool flags) {
  End end;
  const State state = world.unit.state();
  const std::string holder = world.unit.Holder();
  if (state.reservation) end.unit += std::string(TypeName(state.reservation->type)) + " ";
  end.unit += holder.empty() ? "nobody" : holder.substr(0, 1);
  for (const char* device : {"a0", "a1", "b0", "b1"}) {
    if (world.unit.Registered(device)) end.unit += std::string(" ") + device;
  }
  const GroupState& saved = world.here.saved();
  end.group = saved.open ? ModeName(*saved.open) : "closed";
  end.group += saved.retain ? " retain" : "";
  end.group += saved.pending ? " pending" : "";
  for (const GroupPath& path : saved.paths) {
    end.group += " " + path.device + (path.registered && flags ? " registered" : "");
  }
  end.group += saved.reserved ? " reserved" : "";
  return end;
}

struct Case {
  const char* name;
  std::vector<Do> before;
  Do what;  // is killed
  Do next = what;
  bool holder_dies = false;  // the path a0, before it
  bool sends = true;         // any command
  bool persistent = true;    // the storage has persistent reservations
};

void PrintTo(const Case& the, std::ostream* out) { *out << the.name; }

class Crash : public ::testing::TestWithParam<Case> {
 protected:
  // Whether it was killed.
  static bool Run(World& world, const Do& what) {
    try {
      static_cast<void>(what(world).ok());
      return false;
    } catch (const Killed&) {
      return true;
    }
  }
  static void Prepare(World& world) {
    if (!GetParam().persistent) world.unit.HasNoPersistentReservations();
    for (const Do& each : GetParam().before) ASSERT_TRUE(each(world).ok());
    world.here.Restart();  // each call is a process of its own
    if (GetParam().holder_dies) world.unit.Cut("a0");
  }
  static bool Flags() { return GetParam().persistent && !GetParam().holder_dies; }
  static End Uninterrupted() {
    World world;
    Prepare(world);
    EXPECT_TRUE(GetParam().next(world).ok());
    return EndOf(world, Flags());
  }
  // `kill` arms what kills. Whether there was anybody to kill.
  static bool IsRepaired(const std::function<void(World&)>& kill, const std::string& where) {
    World world;
    Prepare(world);
    kill(world);
    if (!Run(world, GetParam().what)) return false;
    world.unit.KillNobody();
    world.here.KillNobody();
    world.here.Restart();
    const Status status = GetParam().next(world);
    EXPECT_TRUE(status.ok()) << where << ": " << status.message();
    EXPECT_EQ(EndOf(world, Flags()), Uninterrupted()) << where;
    // Which path has it is known, too, as far as that can be.
    const auto reserved = world.here.saved().reserved;
    const std::string holder = world.unit.Holder();
    if (reserved && holder.starts_with('a')) {
      EXPECT_EQ(world.here.saved().paths[*reserved].device, holder) << where;
    }
    return true;
  }
};

TEST_P(Crash, AtACommand) {
  int n = 0;
  const auto at = [&](bool carried_out) {
    return [&n, carried_out](World& world) { world.unit.KillAt(n, carried_out); };
  };
  while (IsRepaired(at(false), "before command " + std::to_string(n)) &&
         IsRepaired(at(true), "after command " + std::to_string(n)) && !HasFailure()) {
    n++;
  }
  EXPECT_EQ(n > 0, GetParam().sends);
}

TEST_P(Crash, AtASave) {
  int n = 0;
  const auto at = [&](World& world) { world.here.KillAtSave(n); };
  while (IsRepaired(at, "at save " + std::to_string(n)) && !HasFailure()) n++;
  EXPECT_GT(n, 0) << "nobody was killed";
}

const Do kOtherOpens = [](World& world) {
  world.other.Configured();
  return world.other->Open(OpenMode::kDefault);
};
const Do kRetained = Open(OpenMode::kRetain);

// Whoever has made the reservation is known also where it was not the first path.
TEST(CrashByTheOtherPath, ItIsKnown) {
  for (const OpenMode mode : {OpenMode::kDefault, OpenMode::kForced}) {
    for (int n = 0;; n++) {
      World world;
      ASSERT_TRUE(Add(world).ok());
      if (mode == OpenMode::kForced) world.other.Configured().Opened();
      world.unit.Cut("a0");
      world.unit.KillAt(n, true);
      try {
        static_cast<void>(world.here->Open(mode).ok());
        EXPECT_GT(n, 3);
        break;
      } catch (const Killed&) {
      }
      world.unit.KillNobody();
      world.unit.Mend("a0");
      const bool made = world.unit.Holder() == "a1";
      world.here.Restart();
      EXPECT_TRUE(world.here->Open(mode).ok());
      EXPECT_EQ(world.unit.Holder(), made ? "a1" : "a0") << n;
      EXPECT_EQ(world.here.saved().reserved, made ? 1u : 0u) << n;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Each, Crash,
    ::testing::Values(
        Case{"Add",
             {},
             Add,
             [](World& world) {
               const Status status = Add(world);
               return status.ok() ? world.here->Open(OpenMode::kDefault) : status;
             }},
        Case{"Open", {Add}, Open(OpenMode::kDefault)},  //
        Case{"OpenForced", {kOtherOpens, Add}, Open(OpenMode::kForced)},
        Case{"OpenForcedFree", {Add}, Open(OpenMode::kForced)},
        Case{"OpenRetain", {Add}, kRetained},
        Case{"OpenNoReserve", {Add, kRetained, Close}, Open(OpenMode::kNoReserve)},
        Case{"OpenSingle", {Add}, Open(OpenMode::kSingle)},
        Case{"Close", {Add, Open(OpenMode::kDefault)}, Close},
        Case{"CloseRetained", {Add, kRetained}, Close, Close, false, false},
        Case{"CloseWithoutTheHolder", {Add, Open(OpenMode::kDefault)}, Close, Close, true},
        Case{"SinglePathOpen",
             {Add},
             Open(OpenMode::kDefault),
             Open(OpenMode::kDefault),
             false,
             true,
             false},
        Case{"SinglePathOpenThenClose", {Add}, Open(OpenMode::kDefault), Close, false, true, false},
        Case{"SinglePathClose", {Add, Open(OpenMode::kDefault)}, Close, Close, false, true, false},
        Case{"Remove", {Add, kRetained, Close}, Remove},
        Case{"OpenThenClose", {Add}, Open(OpenMode::kDefault), Close},
        Case{"RetainThenClose", {Add}, kRetained, Open(OpenMode::kDefault)},
        Case{"CloseThenOpen", {Add, Open(OpenMode::kDefault)}, Close, Open(OpenMode::kDefault)},
        Case{"CloseThenForced", {Add, Open(OpenMode::kDefault)}, Close, Open(OpenMode::kForced)},
        Case{"OpenThenRemove",
             {Add},
             Open(OpenMode::kDefault),
             [](World& world) {
               const Status status = Close(world);
               return status.ok() ? Remove(world) : status;
             }}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace scsi_pr
