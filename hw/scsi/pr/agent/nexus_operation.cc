// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/nexus_operation.h"

#include <algorithm>
#include <utility>

#include "cluster/names.h"

namespace scsi_pr::agent {

using What = NexusChange::What;

namespace {

constexpr Time kPatience = 5 * kSecond;

}  // namespace

NexusOperation::NexusOperation(LogicalUnit& unit, std::shared_ptr<Client> client, What what,
                               const Nexus& nexus, std::string owner_text, bool is_shared)
    : Operation(std::move(client)),
      unit_(unit),
      what_(what),
      nexus_(nexus),
      key_(NexusKey(nexus)),
      owner_text_(std::move(owner_text)),
      is_shared_(is_shared) {}

bool NexusOperation::IsAttach() const {
  return what_ == What::kAttach || what_ == What::kAttachIncoming;
}

// The kernel's locks say who has the nexus on this host: a process that has it still, or again,
// keeps the record.
bool NexusOperation::IsNothingToWrite() const {
  if (what_ == What::kDetach) return unit_.IsAttached(key_);
  return what_ == What::kHandOver && unit_.IsOwned(key_);
}

void NexusOperation::Begin(Time now) {
  deadline_ = now + kPatience;
  Tick(now);
}

void NexusOperation::BeginNow(Time now) {
  begun_ = true;
  if (IsNothingToWrite()) return Good(nlohmann::json::object());
  NexusChange::Options options;
  options.host = unit_.house().host;
  options.lu = unit_.name();
  options.what = what_;
  options.nexus = nexus_;
  options.owner_text = owner_text_;
  options.deadline = deadline_;
  options.attached_here = is_shared_;
  options.declarations = unit_.house().declarations;
  NexusChange::Outside& outside = *this;
  change_ = std::make_unique<NexusChange>(std::move(options), unit_.house().keys, outside,
                                          unit_.house().nonce);
  change_->Tick(now);
}

void NexusOperation::Look(Time now) {
  if (change_ && !change_->is_over()) change_->Look(now);
}

void NexusOperation::Send(uint64_t request, const Transaction& transaction) {
  unit_.house().asker.Ask(transaction, alive_, [this, request](const Answer& answer) {
    change_->Answered(Loop::Now(), request, answer);
  });
}

void NexusOperation::Ended(NexusChange::Result result, const Status& why) {
  if (result != NexusChange::Result::kGood) return Bad(why);
  done_ = true;
  Note();
}

void NexusOperation::Note() const {
  const std::string what = nexus_.initiator.ToText() + ", target port " +
                           std::to_string(nexus_.target_port) + " of " + UriOf(unit_.name());
  const auto message = what_ == What::kDetach     ? Message::kNexusDetached
                       : what_ == What::kHandOver ? Message::kNexusHandedOver
                       : what_ == What::kTakeOver ? Message::kNexusTakenOver
                                                  : Message::kNexusAttached;
  const char* said = what_ == What::kDetach     ? " is detached"
                     : what_ == What::kHandOver ? " is handed over"
                     : what_ == What::kTakeOver ? " is taken over"
                                                : " is attached";
  unit_.house().log.Say(message,
                        what + said + (owner_text_.empty() ? "" : " (" + owner_text_ + ")"),
                        {{"LU", unit_.name()}, {"NEXUS", key_}});
}

// The gate here shows a state that is not older than what was written.
void NexusOperation::Show(Time now) {
  if (!welcome_) {
    const bool is_new = IsAttach() && client_ != nullptr;
    if (is_new && !unit_.publisher().Welcome(key_, change_->version())) {
      return;
    }
    welcome_ = true;
    ticket_ = unit_.participant().Look(now);
  }
  if (unit_.participant().seen() < ticket_) return;
  Good({{"version", unit_.publisher().published()}, {"owner", change_->owned()}});
}

void NexusOperation::Tick(Time now) {
  if (is_over_) return;
  if (!begun_ && unit_.IsNext(*this)) BeginNow(now);
  if (!begun_ || is_over_) return;
  if (now >= change_->NextTick()) change_->Tick(now);
  if (done_) Show(now);
  if (is_over_ || now < deadline_ + 5 * kSecond) return;
  Bad(Status::Error(Status::Code::kBusy, UriOf(unit_.name()) + " cannot be shown on this host",
                    "Look for a stopped QEMU process that uses it."));
}

Time NexusOperation::NextTick() const {
  if (is_over_) return kNever;
  if (!begun_) return unit_.IsNext(*this) ? 0 : kNever;
  if (!done_) return std::min(change_->NextTick(), deadline_ + 5 * kSecond);
  if (!welcome_ || unit_.participant().seen() >= ticket_) return 0;
  return deadline_ + 5 * kSecond;
}

}  // namespace scsi_pr::agent
