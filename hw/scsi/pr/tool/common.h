// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the subcommands of scsi-pr share: how they end, how they name things,
// and how they find their store.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "care/inspection.h"
#include "core/state.h"
#include "core/status.h"
#include "store/store.h"

namespace scsi_pr::tool {

// Exit status; docs/scsi-pr.1. CLI11 ends wrong usage with one above 100.
enum Exit : int {
  kDone = 0,
  kUnusable = 1,   // the store, or a file, cannot be used
  kDamaged = 2,    // the store, or the document, is damaged
  kRefused = 3,    // somebody uses it, or would lose something; or nobody is meant
  kNotInTime = 4,  // nothing has changed; trying again may help
  kNotKnown = 5,   // a change was sent, and nobody can say whether it is in force
  // Of path groups alone:
  kDoesNotFit = 6,  // what was asked for does not fit the group, or there is none
  kClosed = 7,      // status: it is not open
};

// Says on stderr what is wrong and what to do.
int Fail(const Status& status);
// The same after an operation of an administrator, which may be senseless.
int FailOperation(const Status& status);

// A reservation key on the command line: 0x and 1 to 16 hexadecimal digits.
bool ParseKey(const std::string& text, uint64_t* key);

// A store at one time, as people want to see it.
struct View {
  std::string uri;
  std::string identity;
  uint64_t version = 0;
  State state;
  std::vector<Attachment> attached;
};

// Which store, as the command line says it.
struct StoreArgument {
  std::string uri;
  std::string runtime_directory = {};  // empty: wherever it may be
  bool accept_file_system = false;
};

// kInvalid, saying why, for stores that only QEMU itself can look at.
Status SubjectOf(const StoreArgument& store, Subject* subject);
Status MakeView(const Inspection& inspection, View* view);
// Looks at the store without using it.
Status ReadView(const StoreArgument& store, View* view);

// Stops what it is about to do when the user interrupts; until then signals end
// the program as usual.
void CatchInterrupts();
bool Interrupted();

std::string NexusText(const Nexus& nexus);
std::string AttachmentText(const Attachment& attachment);
std::string ReservationText(const Reservation& reservation);
// "store", "identity", "version", "state" and "attached".
nlohmann::json ViewToJson(const View& view);
// Several lines, for people.
std::string ViewText(const View& view);
// Now, in the local time zone, to the millisecond (RFC 3339).
std::string TimeText();

}  // namespace scsi_pr::tool
