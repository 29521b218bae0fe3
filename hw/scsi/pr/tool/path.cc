// SPDX-License-Identifier: GPL-2.0-or-later
#include "tool/path.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/document.h"
#include "core/json_text.h"
#include "path/devices.h"
#include "path/group_file.h"
#include "path/host_key.h"
#include "path/sg_transport.h"
#include "tool/common.h"

namespace scsi_pr::tool {

namespace {

using nlohmann::json;
using Code = Status::Code;

// How long a command waits for another one that works on the group.
constexpr std::chrono::seconds kLockPatience{10};

struct Arguments {
  std::string group;
  std::vector<std::string> devices;
  std::string runtime_directory;
  std::string output = "human";
  std::string key;
  std::string machine_id;
  std::string type;
  OpenMode mode = OpenMode::kDefault;
  double timeout = 30;
  bool verbose = false;
  bool as_json = false;
  bool unregistered = false;

  bool json() const { return as_json || output == "json"; }
};

// Every code of core/status.h has an exit status of its own; docs/scsi-pr.1.
int FailPath(const Status& status) {
  const int code = Fail(status);
  return status.code() == Code::kInvalid ? static_cast<int>(kDoesNotFit) : code;
}

Status ParseHostKey(const std::string& text, uint64_t* key) {
  const bool good = ParseKey(text, key) && *key != 0;
  return good ? Status()
              : Status::Error(Code::kInvalid, "\"" + text + "\" is no reservation key of a host",
                              "A key is 0x and 1 to 16 hexadecimal digits, and not 0.");
}

PathGroup::Options GroupOptions(const Arguments& arguments, GroupFile* file) {
  PathGroup::Options options;
  options.open = SgTransport::Open;
  if (file != nullptr) options.save = [file](const GroupState& state) { return file->Save(state); };
  if (arguments.verbose) {
    options.trace = [](const std::string& line) { std::cerr << line << std::endl; };
  }
  options.patience.command =
      std::chrono::milliseconds(static_cast<int64_t>(arguments.timeout * 1000));
  return options;
}

GroupView ViewOf(PathGroup& group) {
  GroupView view;
  view.status = group.Look(&view.unit);
  view.group = group.state();
  return view;
}

void Print(const Arguments& arguments, const GroupView& view) {
  std::cout << (arguments.json() ? JsonText(GroupViewToJson(view), 2) + "\n" : GroupText(view));
}

// A new group's key and type, or that a known one has those that are asked for.
Status Settings(const Arguments& arguments, bool is_new, GroupState* state) {
  uint64_t key = state->key;
  Type type = state->type;
  if (!arguments.key.empty()) {
    if (Status status = ParseHostKey(arguments.key, &key); !status.ok()) return status;
  } else if (is_new) {
    std::string machine_id;
    if (Status status = ReadMachineId(&machine_id); !status.ok()) return status;
    key = DeriveHostKey(machine_id, state->name);
  }
  if (!arguments.type.empty()) type = TypeFromName(arguments.type).value_or(type);
  if (!is_new && (key != state->key || type != state->type)) {
    return Status::Error(Code::kInvalid, "group " + state->name + " has another key or type",
                         "Remove it first: scsi-pr path remove " + state->name);
  }
  state->key = key;
  state->type = type;
  return Status();
}

// The paths that the user means; each once, whatever it is called.
Status FindDevices(const Arguments& arguments, const GroupState& state,
                   std::vector<std::string>* paths) {
  const Devices devices;
  std::vector<std::string> meant;
  for (const std::string& device : arguments.devices) {
    if (Status status = devices.Expand(device, &meant); !status.ok()) return status;
  }
  std::vector<std::pair<std::string, std::string>> known;  // identity, name
  for (const GroupPath& path : state.paths) {
    known.emplace_back(devices.Identity(path.device), path.device);
  }
  for (const std::string& device : meant) {
    const std::string identity = devices.Identity(device);
    const auto same = std::ranges::find_if(known, [&](const auto& each) {
      return each.second != device && !identity.empty() && each.first == identity;
    });
    if (same != known.end()) {
      return Status::Error(Code::kInvalid, device + " is the same path as " + same->second,
                           "Name each path once.");
    }
    known.emplace_back(identity, device);
    paths->push_back(device);
  }
  return Status();
}

// What all commands that change a group have in common: the file, its lock, the end.
int Work(const Arguments& arguments, bool create,
         const std::function<Status(PathGroup&, const GroupState&)>& work) {
  std::shared_ptr<const RuntimeDirectory> directory;
  std::unique_ptr<GroupFile> file;
  Status status = RuntimeDirectory::Open(arguments.runtime_directory, &directory);
  if (status.ok()) {
    status = GroupFile::Open(directory, arguments.group, create, kLockPatience, &file);
  }
  if (!status.ok()) return FailPath(status);
  const bool is_new = !file->state();
  GroupState state = file->state().value_or(GroupState{});
  state.name = arguments.group;
  if (create) status = Settings(arguments, is_new, &state);
  if (!status.ok()) return FailPath(status);
  PathGroup group(state, GroupOptions(arguments, file.get()));
  status = work(group, state);
  for (const std::string& note : group.TakeNotes()) std::cerr << "scsi-pr: " << note << "\n";
  if (!status.ok()) return FailPath(status);
  if (group.state().paths.empty()) {
    file->Remove();
    return kDone;
  }
  if (arguments.json() || arguments.verbose) Print(arguments, ViewOf(group));
  return kDone;
}

int Add(const Arguments& arguments) {
  return Work(arguments, true, [&](PathGroup& group, const GroupState& state) {
    std::vector<std::string> paths;
    Status status = FindDevices(arguments, state, &paths);
    using enum PathGroup::Registering;
    for (const std::string& path : paths) {
      if (status.ok()) status = group.Add(path, arguments.unregistered ? kAtOpen : kNow);
    }
    return status;
  });
}

int Remove(const Arguments& arguments) {
  return Work(arguments, false, [&](PathGroup& group, const GroupState& state) {
    std::vector<std::string> paths;
    for (const std::string& device : arguments.devices) {
      // A device that is gone is still a name in the group.
      if (!Devices().Expand(device, &paths).ok()) paths.push_back(device);
    }
    if (arguments.devices.empty()) {
      for (const GroupPath& path : state.paths) paths.push_back(path.device);
    }
    Status status;
    for (const std::string& path : paths) {
      if (status.ok()) status = group.Remove(path);
    }
    return status;
  });
}

int Open(const Arguments& arguments) {
  return Work(arguments, false,
              [&](PathGroup& group, const GroupState&) { return group.Open(arguments.mode); });
}

int Fence(const Arguments& arguments) {
  uint64_t key = 0;
  Status status;
  if (!arguments.key.empty()) {
    status = ParseHostKey(arguments.key, &key);
  } else if (IsMachineId(arguments.machine_id)) {
    key = DeriveHostKey(arguments.machine_id, arguments.group);
  } else {
    // Its key would be nobody's, and nobody would be fenced.
    status = Status::Error(Code::kInvalid, "\"" + arguments.machine_id + "\" is no machine id",
                           "It is what the other host has in /etc/machine-id.");
  }
  if (!status.ok()) return FailPath(status);
  return Work(arguments, false, [&](PathGroup& group, const GroupState&) {
    PathGroup::View view;
    status = group.Look(&view);
    if (status.ok() && std::ranges::find(view.keys, key) == view.keys.end()) {
      std::cerr << "scsi-pr: nobody is registered with " << KeyToText(key)
                << ": it was fenced before, or is another host's\n";
    }
    return group.PreemptAndAbort(key);
  });
}

int Close(const Arguments& arguments) {
  return Work(arguments, false, [](PathGroup& group, const GroupState&) { return group.Close(); });
}

int List(const Arguments& arguments, const GroupFile::Directory& directory) {
  int code = kDone;
  json list = json::array();
  for (const std::string& name : GroupFile::Names(directory)) {
    GroupState state;
    const Status status = GroupFile::Read(directory, name, &state);
    if (!status.ok()) code = FailPath(status);
    if (!status.ok()) continue;
    list.push_back(GroupToJson(state));
    if (!arguments.json()) std::cout << GroupLine(state) << "\n";
  }
  if (arguments.json()) std::cout << JsonText(list, 2) << "\n";
  return code;
}

int ShowStatus(const Arguments& arguments) {
  std::shared_ptr<const RuntimeDirectory> directory;
  Status status = RuntimeDirectory::Open(arguments.runtime_directory, &directory);
  if (!status.ok()) return FailPath(status);
  if (arguments.group.empty()) return List(arguments, directory);
  GroupState state;
  status = GroupFile::Read(directory, arguments.group, &state);
  if (!status.ok()) return FailPath(status);
  GroupState asked = state;
  for (GroupPath& path : asked.paths) path.dead = false;  // it may work again
  PathGroup group(asked, GroupOptions(arguments, nullptr));
  GroupView view = ViewOf(group);
  view.group = state;  // what was noted, not what this has met
  Print(arguments, view);
  if (!view.group.open) return kClosed;
  if (view.lost()) return kRefused;
  return view.status.ok() ? static_cast<int>(kDone) : FailPath(view.status);
}

// Options

using Shared = std::shared_ptr<Arguments>;

CLI::App* AddCommand(CLI::App* path, const Shared& a, const char* name, const char* description,
                     const char* examples) {
  CLI::App* command = path->add_subcommand(name, description);
  command->footer(std::string("Examples:\n") + examples);
  command->add_option("--output", a->output, "human (the default) or json")
      ->check(CLI::IsMember({"human", "json"}))
      ->type_name("FORM");
  command->add_flag("--json", a->as_json, "As --output=json");
  command->add_flag("--verbose", a->verbose, "Say each command, and how it ended, on stderr");
  command->add_option("--runtime-dir", a->runtime_directory, "Where the groups are noted")
      ->type_name("DIR");
  command->add_option("--timeout", a->timeout, "How long one SCSI command may take")
      ->check(CLI::Range(0.1, 600.0))
      ->type_name("SECONDS")
      ->capture_default_str();
  return command;
}

void AddGroup(CLI::App* command, const Shared& a) {
  command->add_option("GROUP", a->group, "The group's name")->required();
}

void AddOpen(CLI::App* path, const Shared& a, int* result) {
  CLI::App* open = AddCommand(path, a, "open", "Register all paths, and reserve by one of them",
                              "  scsi-pr path open db\n"
                              "  scsi-pr path open --forced db");
  AddGroup(open, a);
  struct Row {
    const char* name;
    const char* description;
    OpenMode mode;
  };
  constexpr Row kRows[] = {
      {"--forced", "Take the logical unit over from another host", OpenMode::kForced},
      {"--retain", "Closing keeps the reservation", OpenMode::kRetain},
      {"--no-reserve", "Reserve nothing, and release what this host has", OpenMode::kNoReserve},
      {"--single", "Nobody else of this host opens it meanwhile", OpenMode::kSingle},
  };
  CLI::Option_group* modes = open->add_option_group("how");
  modes->require_option(0, 1);
  for (const Row& row : kRows) {
    modes->add_flag_callback(
        row.name, [a, row] { a->mode = row.mode; }, row.description);
  }
  open->callback([a, result] { *result = Open(*a); });
}

void AddFence(CLI::App* path, const Shared& a, int* result) {
  CLI::App* fence = AddCommand(
      path, a, "fence", "Have the storage refuse another host, and end what it has under way",
      "  scsi-pr path fence db --key 0x7f3a5c0d11e2b946\n"
      "  scsi-pr path fence db --machine-id $(ssh other cat /etc/machine-id)");
  AddGroup(fence, a);
  CLI::Option_group* whom = fence->add_option_group("whom");
  whom->require_option(1);
  whom->add_option("--key", a->key, "The other host's reservation key")->type_name("KEY");
  whom->add_option("--machine-id", a->machine_id, "The other host's /etc/machine-id")
      ->type_name("ID");
  fence->callback([a, result] { *result = Fence(*a); });
}

void AddConfiguration(CLI::App* path, const Shared& a, int* result) {
  CLI::App* add = AddCommand(path, a, "add", "Make a group, or add paths to it, and register them",
                             "  scsi-pr path add db /dev/sda /dev/sdb\n"
                             "  scsi-pr path add db /dev/mapper/mpatha");
  AddGroup(add, a);
  add->add_option("DEVICE", a->devices, "Disks, sg nodes, or a map of dm-multipath: its paths")
      ->required();
  add->add_option("--key", a->key, "This host's reservation key; else derived from its machine id")
      ->type_name("KEY");
  std::vector<std::string> types;
  for (uint8_t code = 0; code < 16; code++) {
    if (IsKnownType(code) && IsGroupType(Type{code})) types.emplace_back(TypeName(Type{code}));
  }
  add->add_option("--type", a->type,
                  "Of the reservation; exclusive-access-registrants-only if none is named")
      ->check(CLI::IsMember(types))
      ->type_name("TYPE");
  add->add_flag("--unregistered", a->unregistered,
                "Leave registering to open: who is registered has access");
  add->callback([a, result] { *result = Add(*a); });
  CLI::App* remove = AddCommand(path, a, "remove", "Unregister paths, and forget them",
                                "  scsi-pr path remove db /dev/sdb\n"
                                "  scsi-pr path remove db");
  AddGroup(remove, a);
  remove->add_option("DEVICE", a->devices, "Which; without any: all, and the group");
  remove->callback([a, result] { *result = Remove(*a); });
}

}  // namespace

void AddPathCommands(CLI::App& app, int* result) {
  const auto a = std::make_shared<Arguments>();
  CLI::App* path = app.add_subcommand(
      "path", "Have all paths of this host to a physical disk be one registrant of it");
  path->require_subcommand(1);
  AddConfiguration(path, a, result);
  AddOpen(path, a, result);
  AddFence(path, a, result);
  CLI::App* close = AddCommand(path, a, "close", "Release the reservation, unless it is retained",
                               "  scsi-pr path close db");
  AddGroup(close, a);
  close->callback([a, result] { *result = Close(*a); });
  CLI::App* status =
      AddCommand(path, a, "status", "Show a group and its logical unit, or all groups",
                 "  scsi-pr path status db\n"
                 "  scsi-pr path status --json db | jq .state");
  status->add_option("GROUP", a->group, "The group's name; without any: one line for each");
  status->callback([a, result] { *result = ShowStatus(*a); });
}

}  // namespace scsi_pr::tool
