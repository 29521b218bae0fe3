// SPDX-License-Identifier: GPL-2.0-or-later
//
// load, clear and preempt: through the same store, with the same barrier, as the
// command of a guest. Killed at any point they leave what a QEMU would leave that
// is killed there: the next participant completes it, or takes it back.
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/document.h"
#include "core/json_text.h"
#include "server/administration.h"
#include "server/device_server.h"
#include "spc/text.h"
#include "tool/changes.h"
#include "tool/cluster.h"
#include "tool/commands.h"
#include "tool/common.h"

namespace scsi_pr::tool {

namespace {

using nlohmann::json;

using Operation = std::function<Status(Store&, const Store::Waiting&)>;

Status Read(Store& store, View* view) {
  Snapshot snapshot;
  if (Status status = store.Look(&snapshot); !status.ok()) return status;
  view->uri = Printable(store.uri());
  view->state = std::move(snapshot.state);
  view->attached = std::move(snapshot.attached);
  return Status();
}

class Listener : public FencingListener {
  void DrainLate(const std::vector<Attachment>& pending) override {
    std::cerr << "scsi-pr: waiting for the commands of\n";
    for (const Attachment& attachment : pending) {
      std::cerr << "  " << AttachmentText(attachment) << "\n";
    }
  }
};

void PrintChanges(const char* name, const View& before, const View& after, bool as_json) {
  View unmoved = after;
  unmoved.attached = before.attached;  // who comes and goes has nothing to do with it
  const std::vector<Change> changes = Compare(before, unmoved);
  if (as_json) {
    std::cout << JsonText({{"store", after.uri},
                           {"done", name},
                           {"changes", ChangesToJson(changes)},
                           {"state", StateToJson(after.state)}},
                          2)
              << "\n";
    return;
  }
  std::cout << name << " " << after.uri
            << (changes.empty() ? ": nothing was to be changed\n" : "\n");
  for (const Change& change : changes) std::cout << "  " << change.text << "\n";
  const bool fleeting =
      after.attached.empty() && !after.state.aptpl && !after.state.registrations.empty();
  if (fleeting) {
    std::cout
        << "No device is attached, and APTPL is off: the next one to attach powers the logical "
           "unit on,\nwhich ends these registrations.\n";
  }
}

// In the runtime directory of those who use the store, if anybody does.
Status OpenStore(const StoreArgument& argument, std::shared_ptr<Store>* store) {
  if (IsCluster(argument)) {
    std::unique_ptr<cluster::Client> client;
    if (Status status = FindDaemon(argument, &client); !status.ok()) return status;
    Store::OpenOptions options(Store::OpenMode::kExisting);
    options.runtime_directory = client->directory()->path();
    return Store::Open(argument.uri, options, store);
  }
  Subject subject;
  if (Status status = SubjectOf(argument, &subject); !status.ok()) return status;
  Store::OpenOptions options(Store::OpenMode::kExisting);
  options.accept_file_system = argument.accept_file_system;
  options.runtime_directory = argument.runtime_directory;
  const Inspection found = Inspect(subject);
  if (found.memory) options.runtime_directory = found.memory->directory();
  return Store::Open(argument.uri, options, store);
}

int Run(const char* name, const StoreArgument& argument, const ChangeOptions& options,
        const Operation& operation) {
  CatchInterrupts();
  Listener listener;
  std::shared_ptr<Store> store;
  if (Status status = OpenStore(argument, &store); !status.ok()) return Fail(status);
  View before;
  View after;
  if (Status status = Read(*store, &before); !status.ok()) return Fail(status);
  if (Status status = operation(*store, {options.timeout, Interrupted, &listener}); !status.ok()) {
    return FailOperation(status);
  }
  if (Status status = Read(*store, &after); !status.ok()) return Fail(status);
  PrintChanges(name, before, after, options.as_json);
  return kDone;
}

// A document of 4096 registrations has less than 2 MiB.
Status ReadDocument(const std::string& file, std::string* text) {
  constexpr size_t kMost = 16u << 20;
  std::ifstream opened;
  if (file != "-") opened.open(file, std::ios::binary);
  std::istream& in = file == "-" ? std::cin : opened;
  text->resize(kMost + 1);
  in.read(text->data(), static_cast<std::streamsize>(text->size()));
  text->resize(static_cast<size_t>(in.gcount()));
  if (in.bad() || (file != "-" && !opened.is_open())) {
    return Status::Error(Status::Code::kIo, "cannot read " + file,
                         "Name a file that scsi-pr dump has made.");
  }
  if (text->size() <= kMost) return Status();
  return Status::Error(Status::Code::kIo, file + " is too large for a reservation state document");
}

}  // namespace

int Load(const StoreArgument& store, const std::string& file, bool force,
         const ChangeOptions& options) {
  std::string document;
  if (Status status = ReadDocument(file, &document); !status.ok()) return Fail(status);
  return Run("load", store, options, [&](Store& opened, const Store::Waiting& waiting) {
    return administration::Load(opened, document, force, waiting);
  });
}

int Clear(const StoreArgument& store, const ChangeOptions& options) {
  return Run("clear", store, options, administration::Clear);
}

int Preempt(const StoreArgument& store, uint64_t key, const ChangeOptions& options) {
  return Run("preempt", store, options, [&](Store& opened, const Store::Waiting& waiting) {
    return administration::Preempt(opened, key, waiting);
  });
}

}  // namespace scsi_pr::tool
