// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a nexus shows as its logical unit, as far as the host can tell two apart.
#pragma once

#include <string>
#include <utility>

namespace scsi_pr {

// Who attaches a nexus: for people ("VM a, device disk0"), and with what. A text is one.
struct Attacher {
  Attacher(std::string text) : name(std::move(text)) {}  // NOLINT(google-explicit-constructor)
  Attacher(const char* text) : name(text) {}             // NOLINT(google-explicit-constructor)
  Attacher(std::string text, std::string its_medium, std::string its_medium_name = {})
      : name(std::move(text)),
        medium(std::move(its_medium)),
        medium_name(std::move(its_medium_name)) {}

  std::string name;
  // Equal exactly where the media are one; empty: not known. And for people.
  std::string medium;
  std::string medium_name;
  // The administrator insists: it is one medium under two names, or two that share one
  // state.
  bool accept_medium = false;
};

}  // namespace scsi_pr
