// SPDX-License-Identifier: GPL-2.0-or-later
//
// info, list and dump.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/document.h"
#include "core/json_text.h"
#include "spc/text.h"
#include "tool/commands.h"
#include "tool/common.h"

namespace scsi_pr::tool {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Not what a repair has kept of a store, nor one that is being made.
bool IsBesideAStore(const std::string& name) {
  return name.find(".damaged-") != std::string::npos || name.find(".new-") != std::string::npos;
}

// By how it begins, or by its name if that is damaged.
bool IsStore(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error) || IsBesideAStore(path.filename())) return false;
  std::string begin(16, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  return LooksLikeStore(begin) || path.extension() == ".pr";
}

Status FindStores(const std::string& directory, std::vector<fs::path>* stores) {
  std::error_code error;
  fs::directory_iterator entries(directory, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    if (IsStore(entries->path())) stores->push_back(fs::weakly_canonical(entries->path(), error));
  }
  std::ranges::sort(*stores);
  if (!error) return Status();
  return Status::Error(Status::Code::kIo, "cannot list " + directory + ": " + error.message(),
                       "Name directories that you may read.");
}

std::string Summary(const View& view) {
  const State& state = view.state;
  std::string held = state.information_lost ? "information lost" : "not reserved";
  if (state.legacy_holder) held = "RESERVE (SPC-2)";
  if (state.reservation) held = std::string(TypeName(state.reservation->type));
  const auto count = [](size_t number, const char* of) {
    return std::to_string(number) + " " + of;
  };
  return held + ", " + count(state.registrations.size(), "registered") + ", " +
         count(view.attached.size(), "attached") + ", APTPL " + (state.aptpl ? "on" : "off");
}

// Adds one line, or one object.
int ListStore(const Subject& subject, json* list) {
  View view;
  const std::string& path = subject.path;
  const Status status = MakeView(Inspect(subject), &view);
  if (list != nullptr) {
    list->push_back(status.ok() ? ViewToJson(view)
                                : json{{"store", "file:" + path}, {"error", status.message()}});
  } else {
    std::cout << "file:" << Printable(path) << "  "
              << (status.ok() ? Summary(view) : status.message()) << "\n";
  }
  if (status.ok()) return kDone;
  return status.code() == Status::Code::kCorrupt ? kDamaged : kUnusable;
}

}  // namespace

int Info(const StoreArgument& store, bool as_json) {
  View view;
  if (Status status = ReadView(store, &view); !status.ok()) return Fail(status);
  if (as_json) {
    std::cout << JsonText(ViewToJson(view), 2) << "\n";
  } else {
    std::cout << ViewText(view);
  }
  return kDone;
}

int List(const std::vector<std::string>& directories, const StoreArgument& like, bool as_json) {
  int result = kDone;
  json list = json::array();
  for (const std::string& directory : directories) {
    if (directory == "cluster:") {
      result = std::max(result, ListCluster(like, as_json ? &list : nullptr));
      continue;
    }
    std::vector<fs::path> stores;
    if (Status status = FindStores(directory, &stores); !status.ok()) {
      result = std::max(result, Fail(status));
    }
    for (const fs::path& store : stores) {
      const Subject subject{store, like.runtime_directory, like.accept_file_system};
      result = std::max(result, ListStore(subject, as_json ? &list : nullptr));
    }
  }
  if (as_json) std::cout << JsonText(list, 2) << "\n";
  return result;
}

int Dump(const StoreArgument& store) {
  View view;
  if (Status status = ReadView(store, &view); !status.ok()) return Fail(status);
  std::cout << EncodeDocument(view.state) << "\n";
  return kDone;
}

}  // namespace scsi_pr::tool
