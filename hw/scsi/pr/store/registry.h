// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a host knows about stores in use: which one guards a medium, and which one has a
// file's name. A fact is a file of the runtime directory that everybody to whom it matters
// keeps locked (shared); it says something as long as anybody does. Never waits for a disk.
#pragma once

#include <memory>
#include <string>

#include "core/status.h"
#include "store/runtime_directory.h"

namespace scsi_pr {

class Fact {
 public:
  enum class Kind { kMedium, kName };
  // Whom the fact is about: a store, by what no other one has, and for people.
  struct Store {
    std::string id;
    std::string uri;
    std::string user;  // who has said so first: "VM a, device disk0"
    // It goes on with a store of that URI, whose process hands it over.
    bool succeeds = false;
  };

  // States that `store` has this medium, or name. True in `*agrees` if nobody says
  // otherwise; else `*other` is who has it, and `*fact` stays empty.
  static Status State(std::shared_ptr<const RuntimeDirectory> directory, Kind kind,
                      const std::string& key, const Store& store, std::unique_ptr<Fact>* fact,
                      bool* agrees, Store* other);
  // Whether any store in use has it.
  static bool IsStated(const RuntimeDirectory& directory, Kind kind, const std::string& key,
                       Store* store);
  ~Fact();
  Fact(const Fact&) = delete;
  Fact& operator=(const Fact&) = delete;

 private:
  Fact(std::shared_ptr<const RuntimeDirectory> directory, std::string name, int fd)
      : directory_(std::move(directory)), name_(std::move(name)), fd_(fd) {}

  const std::shared_ptr<const RuntimeDirectory> directory_;
  const std::string name_;
  const int fd_;
};

}  // namespace scsi_pr
