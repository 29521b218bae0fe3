// SPDX-License-Identifier: GPL-2.0-or-later
#include "tool/changes.h"

#include <algorithm>

#include "cluster/messages.h"
#include "core/document.h"

namespace scsi_pr::tool {

namespace {

using nlohmann::json;

json WithKey(const Registration& registration) {
  json object = NexusToJson(registration.nexus);
  object["key"] = KeyToText(registration.key);
  return object;
}

std::string WithKeyText(const Registration& registration) {
  return NexusText(registration.nexus) + ", key " + KeyToText(registration.key);
}

// The one of exactly that nexus: one for all target ports is another one.
const Registration* FindExactly(const State& state, const Nexus& nexus) {
  const auto it = std::ranges::find(state.registrations, nexus, &Registration::nexus);
  return it == state.registrations.end() ? nullptr : &*it;
}

void CompareRegistrations(const State& before, const State& after, std::vector<Change>* changes) {
  for (const Registration& old : before.registrations) {
    if (FindExactly(after, old.nexus) == nullptr) {
      changes->push_back({"unregistered", WithKey(old), "unregistered " + WithKeyText(old)});
    }
  }
  for (const Registration& now : after.registrations) {
    const Registration* old = FindExactly(before, now.nexus);
    if (old != nullptr && old->key == now.key) continue;
    json details = WithKey(now);
    if (old == nullptr) {
      changes->push_back({"registered", std::move(details), "registered " + WithKeyText(now)});
    } else {
      details["old-key"] = KeyToText(old->key);
      changes->push_back({"key-changed", std::move(details),
                          "changed key " + KeyToText(old->key) + " of " + WithKeyText(now)});
    }
  }
}

void CompareReservations(const State& before, const State& after, std::vector<Change>* changes) {
  const auto add = [&](const char* name, const Reservation& reservation) {
    State only;
    only.reservation = reservation;
    changes->push_back({name, StateToJson(only).at("reservation"),
                        std::string(name) + " " + ReservationText(reservation)});
  };
  if (before.reservation != after.reservation) {
    if (before.reservation) add("released", *before.reservation);
    if (after.reservation) add("reserved", *after.reservation);
  }
  if (before.legacy_holder == after.legacy_holder) return;
  const auto legacy = [&](const char* name, const char* text, const Nexus& nexus) {
    changes->push_back({name, NexusToJson(nexus), text + NexusText(nexus)});
  };
  if (before.legacy_holder) {
    legacy("legacy-released", "released, as made by RESERVE (SPC-2), by ", *before.legacy_holder);
  }
  if (after.legacy_holder) {
    legacy("legacy-reserved", "reserved by RESERVE (SPC-2) by ", *after.legacy_holder);
  }
}

void CompareFlags(const State& before, const State& after, std::vector<Change>* changes) {
  if (before.aptpl != after.aptpl) {
    changes->push_back({"aptpl",
                        {{"aptpl", after.aptpl}},
                        std::string("APTPL is ") + (after.aptpl ? "on" : "off")});
  }
  if (before.information_lost != after.information_lost) {
    changes->push_back({after.information_lost ? "information-lost" : "information-replaced",
                        json::object(),
                        after.information_lost ? "reservation information is lost"
                                               : "lost reservation information is replaced"});
  }
}

void CompareAttached(const View& before, const View& after, std::vector<Change>* changes) {
  const auto find = [](const View& view, const Attachment& wanted) {
    return std::ranges::find_if(view.attached, [&](const Attachment& attachment) {
      return attachment.nexus == wanted.nexus && attachment.process_id == wanted.process_id &&
             attachment.host == wanted.host;
    });
  };
  const auto add = [&](const char* name, const std::string& text, const Attachment& attachment) {
    changes->push_back(
        {name, cluster::AttachmentsToJson({attachment}).at(0), text + AttachmentText(attachment)});
  };
  for (const Attachment& old : before.attached) {
    if (find(after, old) == after.attached.end()) add("detached", "detached ", old);
  }
  for (const Attachment& now : after.attached) {
    const auto old = find(before, now);
    const bool was_being_fenced = old != before.attached.end() && old->being_fenced;
    if (old == before.attached.end()) add("attached", "attached ", now);
    if (now.being_fenced && !was_being_fenced) add("fencing", "is being fenced ", now);
    if (!now.being_fenced && was_being_fenced)
      add("fencing-ended", "is not being fenced any more ", now);
  }
}

}  // namespace

std::vector<Change> Compare(const View& before, const View& after) {
  std::vector<Change> changes;
  CompareAttached(before, after, &changes);
  CompareRegistrations(before.state, after.state, &changes);
  CompareReservations(before.state, after.state, &changes);
  CompareFlags(before.state, after.state, &changes);
  if (changes.empty() && before.state.generation != after.state.generation) {
    changes.push_back({"generation",
                       {{"pr-generation", after.state.generation}},
                       "PRgeneration is " + std::to_string(after.state.generation)});
  }
  return changes;
}

json ChangesToJson(const std::vector<Change>& changes) {
  json list = json::array();
  for (const Change& change : changes) {
    json item = change.details;
    item["change"] = change.name;
    list.push_back(std::move(item));
  }
  return list;
}

}  // namespace scsi_pr::tool
