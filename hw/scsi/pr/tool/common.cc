// SPDX-License-Identifier: GPL-2.0-or-later
#include "tool/common.h"

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cluster/messages.h"
#include "core/document.h"
#include "server/device_server.h"
#include "spc/text.h"
#include "store/membership.h"
#include "tool/cluster.h"

namespace scsi_pr::tool {

namespace {

using nlohmann::json;
using Code = Status::Code;

volatile std::sig_atomic_t interrupted = 0;

void PrintError(const Status& status) {
  std::cerr << "scsi-pr: " << status.message() << "\n";
  if (!status.hint().empty()) std::cerr << status.hint() << "\n";
}

int ExitFor(Code code) {
  switch (code) {
    case Code::kOk: return kDone;
    case Code::kCorrupt: return kDamaged;
    case Code::kInUse: return kRefused;
    case Code::kBusy: return kNotInTime;
    case Code::kUnknown: return kNotKnown;
    default: return kUnusable;
  }
}

Status Invalid(const std::string& message, const std::string& hint) {
  return Status::Error(Code::kInvalid, message, hint);
}

void PrintReservation(const State& state, std::ostream& out) {
  if (state.information_lost) {
    out << "Reservation   information lost, waits for REPLACE LOST RESERVATION\n";
  }
  if (state.legacy_holder) {
    out << "Reservation   made by RESERVE (SPC-2)\n"
        << "  holder      " << NexusText(*state.legacy_holder) << "\n";
  } else if (state.reservation) {
    out << "Reservation   " << TypeName(state.reservation->type) << "\n"
        << "  holder      "
        << (state.reservation->holder ? NexusText(*state.reservation->holder)
                                      : "every registered I_T nexus")
        << "\n";
  } else if (!state.information_lost) {
    out << "Reservation   none\n";
  }
}

}  // namespace

int Fail(const Status& status) {
  PrintError(status);
  return ExitFor(status.code());
}

int FailOperation(const Status& status) {
  PrintError(status);
  return status.code() == Code::kInvalid ? kRefused : ExitFor(status.code());
}

Status SubjectOf(const StoreArgument& store, Subject* subject) {
  const std::string& uri = store.uri;
  if (uri.starts_with("file:")) {
    *subject = {uri.substr(5), store.runtime_directory, store.accept_file_system};
    return Status();
  }
  if (uri.starts_with("memory:")) {
    return Invalid(uri + " is in the memory of one QEMU, which no other program can look into",
                   "Use QMP's query-scsi-pr, scsi-pr-save, scsi-pr-load, scsi-pr-preempt or "
                   "scsi-pr-clear there.");
  }
  if (IsCluster(store)) {
    return Invalid(uri + " is in etcd, and not in a file of this host", "Ask for a file: store.");
  }
  return Invalid("\"" + uri + "\" is no store URI", uri.starts_with('/')
                                                        ? "Write file:" + uri
                                                        : "Known are file:/PATH and cluster:NAME.");
}

Status MakeView(const Inspection& inspection, View* view) {
  view->uri = "file:" + Printable(inspection.path);
  if (Status status = inspection.GetState(&view->state); !status.ok()) return status;
  view->identity = inspection.identity;
  view->version = inspection.version;
  view->attached = inspection.attached;
  return Status();
}

Status ReadView(const StoreArgument& store, View* view) {
  if (IsCluster(store)) {
    std::unique_ptr<cluster::Client> client;
    const Status status = FindDaemon(store, &client);
    return status.ok() ? ReadClusterView(*client, view) : status;
  }
  Subject subject;
  if (Status status = SubjectOf(store, &subject); !status.ok()) return status;
  return MakeView(Inspect(subject), view);
}

void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = 1; };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
}

bool Interrupted() { return interrupted != 0; }

bool ParseKey(const std::string& text, uint64_t* key) {
  const char* end = text.data() + text.size();
  return text.starts_with("0x") && text.size() > 2 && text.size() <= 18 &&
         std::from_chars(text.data() + 2, end, *key, 16).ptr == end;
}

std::string NexusText(const Nexus& nexus) {
  const bool all = nexus.target_port == Nexus::kAllTargetPorts;
  return nexus.initiator.ToText() +
         (all ? ", all target ports" : ", target port " + std::to_string(nexus.target_port));
}

std::string AttachmentText(const Attachment& attachment) {
  return PlaceText(attachment) + " (" + Printable(attachment.owner) +
         "): " + NexusText(attachment.nexus);
}

std::string ReservationText(const Reservation& reservation) {
  return std::string(TypeName(reservation.type)) + ", held by " +
         (reservation.holder ? NexusText(*reservation.holder) : "every registered I_T nexus");
}

json ViewToJson(const View& view) {
  return {{"store", view.uri},
          {"identity", view.identity},
          {"version", view.version},
          {"state", StateToJson(view.state)},
          {"attached", cluster::AttachmentsToJson(view.attached)}};
}

std::string ViewText(const View& view) {
  std::ostringstream out;
  out << "Store         " << view.uri << "\n"
      << "PRgeneration  " << view.state.generation << "\n"
      << "APTPL         " << (view.state.aptpl ? "on" : "off") << "\n";
  PrintReservation(view.state, out);
  out << "Registrations " << view.state.registrations.size() << "\n";
  for (const Registration& registration : view.state.registrations) {
    out << "  " << KeyToText(registration.key) << "  " << NexusText(registration.nexus) << "\n";
  }
  out << "Attached      " << view.attached.size() << "\n";
  for (const Attachment& attachment : view.attached) {
    out << "  " << AttachmentText(attachment) << (attachment.being_fenced ? "  (being fenced)" : "")
        << "\n";
  }
  return out.str();
}

std::string TimeText() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  std::tm local = {};
  localtime_r(&seconds, &local);
  char date[32];
  char zone[8];
  char text[64];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &local);
  std::strftime(zone, sizeof zone, "%z", &local);
  std::snprintf(text, sizeof text, "%s.%03d%.3s:%.2s", date, static_cast<int>(since.count() % 1000),
                zone, zone + 3);
  return text;
}

}  // namespace scsi_pr::tool
