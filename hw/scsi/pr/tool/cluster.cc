// SPDX-License-Identifier: GPL-2.0-or-later
//
// hosts, metrics, accept-restore, forget-host, confirm-host-dead; and how the others see cluster:
// stores.
#include "tool/cluster.h"

#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cluster/messages.h"
#include "cluster/names.h"
#include "core/document.h"
#include "core/envelope.h"
#include "core/json_text.h"
#include "spc/text.h"
#include "store/runtime_directory.h"
#include "tool/commands.h"

namespace scsi_pr::tool {

namespace {

using nlohmann::json;

constexpr std::string_view kScheme = "cluster:";
constexpr size_t kMaxText = 400;  // bytes of a text for people
constexpr uint64_t kMostSeconds = uint64_t{1} << 40;
// Longer than the daemon waits for etcd.
constexpr std::chrono::seconds kPatience{15};
// Longer than it waits until a host can be declared dead, by the longest D.
constexpr std::chrono::seconds kDeclaring{100};

cluster::Deadline In(std::chrono::seconds time) { return std::chrono::steady_clock::now() + time; }

std::string Text(const json& object, const char* member) {
  const auto found = object.find(member);
  return found == object.end() ? "" : Printable(found->get<std::string>(), kMaxText);
}

// A time that is there or not, in a unit that people read.
std::string Duration(const json& object, const char* member) {
  if (!object.contains(member)) return "-";
  const auto milliseconds = GetUnsigned<uint64_t>(object, member, 0);
  std::ostringstream text;
  if (milliseconds < 120'000) {
    text << std::fixed << std::setprecision(1) << static_cast<double>(milliseconds) / 1000 << " s";
  } else if (milliseconds < 7'200'000) {
    text << milliseconds / 60000 << " min";
  } else {
    text << milliseconds / 3600000 << " h";
  }
  return text.str();
}

// When that was, here.
std::string Date(const json& object, const char* member) {
  if (!object.contains(member)) return "-";
  const auto seconds = static_cast<time_t>(GetUnsigned<uint64_t>(object, member, 0, kMostSeconds));
  tm local = {};
  char text[32] = "-";
  if (localtime_r(&seconds, &local) != nullptr) {
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
  }
  return text;
}

std::string HostLine(const json& host) {
  std::ostringstream line;
  line << "  " << std::left << std::setw(24) << Text(host, "name") << std::setw(9)
       << Text(host, "state") << "since " << std::setw(21) << Date(host, "joined")
       << "last contact " << std::setw(9) << Duration(host, "contact-ms") << "boot "
       << Text(host, "boot-id");
  if (const std::string by = Text(host, "by"); !by.empty()) line << "  by " << by;
  if (const std::string proof = Text(host, "proof"); !proof.empty()) {
    line << "  proof: " << proof << ", " << Text(host, "proof-text");
  }
  if (host.contains("watchdog-ms")) line << "  watchdog " << Duration(host, "watchdog-ms");
  if (host.contains("paths")) {
    line << "  path groups";
    for (const json& group : host.at("paths")) line << " " << group.get<std::string>();
  }
  return line.str();
}

std::string HostsText(const json& result) {
  std::ostringstream out;
  out << "This host     " << Text(result, "host") << "\n"
      << "Life          " << Text(result, "life") << "\n"
      << "D             " << Duration(result, "duration-ms") << "\n"
      << "Hosts         " << result.at("hosts").size() << "\n";
  for (const json& host : result.at("hosts")) out << HostLine(host) << "\n";
  if (const std::string why = Text(result, "refused"); !why.empty()) {
    out << "Refused here  " << why << "\n";
  }
  return out.str();
}

void SayWaiting() {
  if (isatty(STDERR_FILENO) != 0) {
    std::cerr << "Waiting until the host cannot be admitted any more, unless it answers ...\n";
  }
}

std::string WhoAsks() {
  for (const char* variable : {"SUDO_USER", "USER", "LOGNAME"}) {
    const char* name = getenv(variable);
    if (name != nullptr && name[0] != '\0') return name;
  }
  return "somebody";
}

// Asks for something of the cluster, not of a logical unit, and prints it.
int Ask(const StoreArgument& like, const char* op, const json& operand, bool as_json,
        const std::function<std::string(const json&)>& text,
        std::chrono::seconds patience = kPatience) {
  std::unique_ptr<cluster::Client> client;
  const StoreArgument cluster{std::string(kScheme), like.runtime_directory};
  if (Status status = FindDaemon(cluster, &client); !status.ok()) return Fail(status);
  json request = client->Request(op);
  request.update(operand);
  json result;
  std::string output;
  Status status = client->Ask(request, In(patience), Interrupted, &result);
  if (status.ok()) status = cluster::Decoded([&] { output = text(result); });
  if (!status.ok()) return FailOperation(status);
  std::cout << (as_json ? JsonText(result, 2) + "\n" : output);
  return kDone;
}

}  // namespace

bool IsCluster(const StoreArgument& store) { return store.uri.starts_with(kScheme); }

Status FindDaemon(const StoreArgument& store, std::unique_ptr<cluster::Client>* client) {
  const std::string name = store.uri.substr(kScheme.size());
  if (!name.empty() && !cluster::IsClusterName(name)) return cluster::NoSuchName(name);
  Status first;
  for (auto& directory : RuntimeDirectory::Candidates(store.runtime_directory, geteuid())) {
    auto found = std::make_unique<cluster::Client>(directory, name);
    const Status status = found->Reach(std::chrono::steady_clock::now());
    if (status.ok()) {
      *client = std::move(found);
      return status;
    }
    if (first.ok()) first = status;
  }
  std::shared_ptr<const RuntimeDirectory> none;
  return first.ok() ? RuntimeDirectory::Open(store.runtime_directory, &none) : first;
}

Status AskDaemon(const cluster::Client& client, const json& request, json* result) {
  return client.Ask(request, In(kPatience), Interrupted, result);
}

Status ReadClusterView(const cluster::Client& client, View* view) {
  json result;
  if (Status status = AskDaemon(client, client.Request("look"), &result); !status.ok()) {
    return status;
  }
  std::string document;
  const Status status = cluster::Decoded([&] {
    view->uri = std::string(kScheme) + client.name();
    view->identity = client.name();
    view->version = GetUnsigned<uint64_t>(result, "version", 1);
    view->attached = cluster::AttachmentsFromJson(result.at("attached"));
    document = result.at("document").get<std::string>();
  });
  return status.ok() ? DecodeDocument(document, &view->state) : status;
}

int Hosts(const StoreArgument& like, bool as_json) {
  return Ask(like, "hosts", json::object(), as_json, HostsText);
}

int Metrics(const StoreArgument& like) {
  return Ask(like, "metrics", json::object(), false,
             [](const json& result) { return result.at("text").get<std::string>(); });
}

int AcceptRestore(const StoreArgument& like, bool as_json) {
  return Ask(like, "accept-restore", json::object(), as_json, [](const json& result) {
    return "Accepted. The life of what etcd has is now " + Text(result, "life") + "\n";
  });
}

int ForgetHost(const StoreArgument& like, const std::string& host, bool as_json) {
  SayWaiting();
  return Ask(
      like, "forget-host", {{"host", host}}, as_json,
      [&](const json&) { return "Forgotten: " + Printable(host) + "\n"; }, kDeclaring);
}

int ConfirmHostDead(const StoreArgument& like, const Confirmation& confirmation, bool as_json) {
  SayWaiting();
  return Ask(
      like, "confirm-host-dead",
      {{"host", confirmation.host},
       {"boot-id", confirmation.boot_id},
       {"who", WhoAsks()},
       {"why", confirmation.why}},
      as_json,
      [&](const json& result) {
        return Printable(confirmation.host) + " is dead. Proof: " + Text(result, "proof") + ", " +
               Text(result, "proof-text") + "\n";
      },
      kDeclaring);
}

int ListCluster(const StoreArgument& like, json* list) {
  std::unique_ptr<cluster::Client> client;
  json result;
  Status status = FindDaemon({std::string(kScheme), like.runtime_directory}, &client);
  if (status.ok()) status = AskDaemon(*client, client->Request("list"), &result);
  if (status.ok()) {
    status = cluster::Decoded([&] {
      for (const json& unit : result.at("units")) {
        const std::string uri = std::string(kScheme) + Text(unit, "name");
        const auto version = GetUnsigned<uint64_t>(unit, "version", 0);
        const auto attached = GetUnsigned<uint64_t>(unit, "attached", 0);
        if (list != nullptr) {
          list->push_back({{"store", uri}, {"version", version}, {"attached", attached}});
        } else {
          std::cout << uri << "  version " << version << ", " << attached << " attached\n";
        }
      }
    });
  }
  return status.ok() ? static_cast<int>(kDone) : Fail(status);
}

}  // namespace scsi_pr::tool
