// SPDX-License-Identifier: GPL-2.0-or-later
//
// scsi-pr: looks at reservation stores from the command line, and changes them as
// an administrator, whether a QEMU uses them or not.
#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "core/guarded.h"
#include "tool/commands.h"
#include "tool/common.h"
#include "tool/path.h"

namespace {

namespace tool = scsi_pr::tool;

constexpr const char* kExitStatus =
    "Exit status: 0 done; 1 the store, a file or the plugin cannot be used; 2 the store or the "
    "document is\n"
    "damaged; 3 refused: somebody uses it or would lose something, or nobody is meant; 4 not in\n"
    "time, nothing has changed; 5 it is not known whether it has changed; 6 the path group is not\n"
    "there, or in another state; 7 it is closed; above 100 wrong usage.";

constexpr const char* kWaitForThem =
    "How long to wait for the commands of those who lose their registration";

// What the options of all subcommands are put into.
struct Arguments {
  tool::StoreArgument store;
  std::string output = "human";
  std::vector<std::string> directories;
  std::string file;
  std::string key;
  std::string host;
  tool::Confirmation confirmation;
  tool::PluginArguments qemu;
  double timeout = 10;
  bool repair = false;
  bool force = false;

  bool as_json() const { return output == "json"; }
  tool::ChangeOptions change() const {
    return {as_json(), std::chrono::milliseconds(static_cast<int64_t>(timeout * 1000))};
  }
};

std::string CheckKey(const std::string& text) {
  uint64_t key = 0;
  return tool::ParseKey(text, &key) ? ""
                                    : "a key is 0x and 1 to 16 hexadecimal digits, not " + text;
}

CLI::App* AddCommand(CLI::App& app, Arguments& arguments, const char* name, const char* description,
                     const char* examples) {
  CLI::App* command = app.add_subcommand(name, description);
  command->footer(std::string("Examples:\n") + examples);
  command->add_option("--output", arguments.output, "human (the default) or json")
      ->check(CLI::IsMember({"human", "json"}))
      ->type_name("FORM");
  command
      ->add_option("--runtime-dir", arguments.store.runtime_directory,
                   "Where the VMs have what is in force (pr-runtime-dir); else it is looked for")
      ->type_name("DIR");
  command->add_flag("--accept-file-system", arguments.store.accept_file_system,
                    "Whatever file system the store is on (pr-accept-file-system)");
  return command;
}

CLI::App* AddStoreCommand(CLI::App& app, Arguments& arguments, const char* name,
                          const char* description, const char* examples) {
  CLI::App* command = AddCommand(app, arguments, name, description, examples);
  command->add_option("STORE", arguments.store.uri, "Store URI: file:/PATH, cluster:NAME")
      ->required();
  return command;
}

void AddTimeout(CLI::App* command, double* timeout, const char* description) {
  command->add_option("--timeout", *timeout, description)
      ->check(CLI::Range(0.001, 600.0))
      ->type_name("SECONDS")
      ->capture_default_str();
}

void AddLookers(CLI::App& app, Arguments& a, int* result) {
  AddStoreCommand(app, a, "info",
                  "Show PRgeneration, reservation, registrations and attached I_T nexuses",
                  "  scsi-pr info file:/var/lib/scsi-pr/quorum.pr\n"
                  "  scsi-pr info --output=json file:/var/lib/scsi-pr/quorum.pr | jq .state")
      ->callback([&a, result] { *result = tool::Info(a.store, a.as_json()); });
  CLI::App* list = AddCommand(app, a, "list", "Show the stores in directories, one line each",
                              "  scsi-pr list /var/lib/scsi-pr\n"
                              "  scsi-pr list cluster:");
  a.directories = {"."};
  list->add_option("DIR", a.directories,
                   "Directories, cluster: for the cluster; the current one if none is named");
  list->callback([&a, result] { *result = tool::List(a.directories, a.store, a.as_json()); });
  CLI::App* check = AddStoreCommand(app, a, "check", "Find and explain damage, and repair it",
                                    "  scsi-pr check file:/var/lib/scsi-pr/quorum.pr\n"
                                    "  scsi-pr check --repair file:/var/lib/scsi-pr/quorum.pr");
  check->add_flag("--repair", a.repair,
                  "Build a sound store of what is left; the damaged one is kept as PATH.damaged-N");
  check->callback([&a, result] { *result = tool::Check(a.store, a.repair, a.as_json()); });
  AddStoreCommand(app, a, "dump", "Print the state's canonical document, for load",
                  "  scsi-pr dump file:/var/lib/scsi-pr/quorum.pr > saved.json")
      ->callback([&a, result] { *result = tool::Dump(a.store); });
  AddStoreCommand(app, a, "watch",
                  "Show who holds what and who is attached, and each change as it comes",
                  "  scsi-pr watch file:/var/lib/scsi-pr/quorum.pr\n"
                  "  scsi-pr watch --output=json file:/var/lib/scsi-pr/quorum.pr | jq -c .changes")
      ->callback([&a, result] { *result = tool::Watch(a.store, a.as_json()); });
}

void AddChangers(CLI::App& app, Arguments& a, int* result) {
  CLI::App* load = AddStoreCommand(app, a, "load", "Put the state of a document into place",
                                   "  scsi-pr load file:/var/lib/scsi-pr/quorum.pr saved.json\n"
                                   "  scsi-pr dump file:/a.pr | scsi-pr load file:/b.pr -");
  load->add_option("FILE", a.file, "What scsi-pr dump has printed; - is standard input")
      ->required();
  load->add_flag("--force", a.force,
                 "Even if an attached I_T nexus loses its registration or reservation");
  AddTimeout(load, &a.timeout, kWaitForThem);
  load->callback([&a, result] { *result = tool::Load(a.store, a.file, a.force, a.change()); });
  CLI::App* clear = AddStoreCommand(app, a, "clear", "Remove the reservation and all registrations",
                                    "  scsi-pr clear file:/var/lib/scsi-pr/quorum.pr");
  AddTimeout(clear, &a.timeout, kWaitForThem);
  clear->callback([&a, result] { *result = tool::Clear(a.store, a.change()); });
  CLI::App* preempt = AddStoreCommand(
      app, a, "preempt", "Remove the registrations with a key, as PREEMPT AND ABORT does",
      "  scsi-pr preempt file:/var/lib/scsi-pr/quorum.pr 0xa");
  preempt->add_option("KEY", a.key, "Reservation key: 0x and 1 to 16 hexadecimal digits")
      ->required()
      ->check(CLI::Validator(CheckKey, ""));
  AddTimeout(preempt, &a.timeout, kWaitForThem);
  preempt->callback([&a, result] {
    uint64_t key = 0;
    tool::ParseKey(a.key, &key);
    *result = tool::Preempt(a.store, key, a.change());
  });
}

void AddCluster(CLI::App& app, Arguments& a, int* result) {
  AddCommand(app, a, "hosts", "Show the hosts of the cluster, as scsi-prd of this one knows them",
             "  scsi-pr hosts")
      ->callback([&a, result] { *result = tool::Hosts(a.store, a.as_json()); });
  AddCommand(app, a, "metrics", "Print what scsi-prd has counted, as OpenMetrics",
             "  scsi-pr metrics")
      ->callback([&a, result] { *result = tool::Metrics(a.store); });
  AddCommand(app, a, "accept-restore", "Go on with an etcd that was put back, or is another one",
             "  scsi-pr accept-restore")
      ->callback([&a, result] { *result = tool::AcceptRestore(a.store, a.as_json()); });
  CLI::App* forget = AddCommand(app, a, "forget-host", "Remove a dead host that will not come back",
                                "  scsi-pr forget-host node3");
  forget->add_option("HOST", a.host, "As scsi-pr hosts names it")->required();
  forget->callback([&a, result] { *result = tool::ForgetHost(a.store, a.host, a.as_json()); });
  CLI::App* confirm = AddCommand(
      app, a, "confirm-host-dead", "Vouch that a silent host is off, so that its VMs can be fenced",
      "  scsi-pr confirm-host-dead node3 --boot-id 6f0b7ac8… --reason 'unplugged'");
  confirm->add_option("HOST", a.confirmation.host, "As scsi-pr hosts names it")->required();
  confirm->add_option("--boot-id", a.confirmation.boot_id, "Which of its boots has ended: the same")
      ->required()
      ->type_name("ID");
  confirm->add_option("--reason", a.confirmation.why, "How you know; it is recorded")
      ->type_name("TEXT");
  confirm->callback(
      [&a, result] { *result = tool::ConfirmHostDead(a.store, a.confirmation, a.as_json()); });
}

void AddPluginCheck(CLI::App& app, Arguments& a, int* result) {
  CLI::App* check = app.add_subcommand(
      "plugin-check", "Tell whether this host's QEMU starts with the plugin, by starting it");
  check->footer("Examples:\n  scsi-pr plugin-check || echo 'No VM with a shared disk starts here'");
  check->add_option("--emulator", a.qemu.emulator, "The QEMU")
      ->type_name("FILE")
      ->capture_default_str();
  check->add_option("--plugin", a.qemu.plugin, "The plugin")
      ->type_name("FILE")
      ->capture_default_str();
  AddTimeout(check, &a.timeout, "How long QEMU may take");
  check->callback([&a, result] {
    a.qemu.timeout = a.change().timeout;
    *result = tool::PluginCheck(a.qemu);
  });
}

int Run(int argc, char** argv) {
  CLI::App app("Looks at SCSI-3 persistent reservation stores, and changes them.", "scsi-pr");
  app.require_subcommand(1);
  app.set_version_flag("--version", SCSI_PR_VERSION);
  app.footer(kExitStatus);
  Arguments arguments;
  int result = 0;
  AddLookers(app, arguments, &result);
  AddChangers(app, arguments, &result);
  AddCluster(app, arguments, &result);
  AddPluginCheck(app, arguments, &result);
  tool::AddPathCommands(app, &result);
  CLI11_PARSE(app, argc, argv);
  std::cout.flush();
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  int result = 0;
  const scsi_pr::Status status = scsi_pr::Guarded("what the command names", [&] {
    result = Run(argc, argv);
    return scsi_pr::Status();
  });
  return status.ok() ? result : tool::Fail(status);
}
