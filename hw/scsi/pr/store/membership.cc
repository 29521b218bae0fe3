// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/membership.h"

#include <algorithm>

#include "core/legacy.h"
#include "spc/text.h"

namespace scsi_pr {

size_t ForgetTheDead(Gate& gate, const IsLive& is_live) {
  size_t attached = 0;
  for (size_t i = 0; i < Gate::kSlots; i++) {
    GateSlot& slot = gate.slots[i];
    if (!slot.attached()) continue;
    if (is_live(i)) {
      attached++;
    } else {
      slot.Detach();
    }
  }
  return attached;
}

std::optional<Outcome> LoseNexusThatIsGone(const State& state, const Gate& gate) {
  if (!state.legacy_holder) return std::nullopt;
  if (FindAttached(gate, *state.legacy_holder)) return std::nullopt;
  return ApplyReset(state, *state.legacy_holder, Reset::kNexusLoss);
}

std::optional<size_t> FindAttached(const Gate& gate, const Nexus& nexus) {
  const auto* slot = std::ranges::find_if(
      gate.slots, [&](const GateSlot& each) { return each.attached_nexus() == nexus; });
  if (slot == std::end(gate.slots)) return std::nullopt;
  return static_cast<size_t>(slot - gate.slots);
}

Status CheckNexusFree(const Gate& gate, const Nexus& nexus, const std::string& uri) {
  const auto index = FindAttached(gate, nexus);
  if (!index) return Status();
  const GateSlot& other = gate.slots[*index];
  return Status::Error(
      Status::Code::kInUse,
      "I_T nexus " + nexus.initiator.ToText() + ", target port " +
          std::to_string(nexus.target_port) + " is attached to " + uri + " already, by process " +
          std::to_string(other.process_id()) + " (" + other.owner() + ")",
      "Give every device that shares a store a pr-initiator or a pr-target-port of its own; two "
      "VMs also need different -uuid.");
}

Status CheckMedium(const Gate& gate, const Nexus& nexus, const Attacher& owner,
                   const std::string& uri) {
  if (owner.medium.empty() || owner.accept_medium) return Status();
  GateSlot ours;
  ours.SetMedium(owner.medium);
  const auto* other = std::ranges::find_if(gate.slots, [&](const GateSlot& slot) {
    const auto attached = slot.attached_nexus();
    return attached && *attached != nexus && slot.medium() != 0 && slot.medium() != ours.medium();
  });
  if (other == std::end(gate.slots)) return Status();
  return Status::Error(Status::Code::kInUse,
                       owner.name + " shows " + owner.medium_name + ", but " + uri +
                           " is used for another medium, by process " +
                           std::to_string(other->process_id()) + " (" + other->owner() + ")",
                       "Each disk needs a store of its own; with pr-dir, a wwn, device_id or "
                       "serial of its own. If it is one medium under two names, set "
                       "pr-accept-medium=on.");
}

std::vector<Attachment> ListAttached(const Gate& gate, const std::vector<size_t>& slots,
                                     const IsLive& is_live) {
  std::vector<Attachment> attached;
  for (const size_t index : slots) {
    const GateSlot& slot = gate.slots[index];
    const auto nexus = slot.attached_nexus();
    if (!nexus) continue;
    attached.push_back({*nexus, slot.process_id(), slot.owner(), is_live(index),
                        slot.admission().in_flight(), slot.is_being_fenced()});
  }
  return attached;
}

std::string PlaceText(const Attachment& attachment) {
  const std::string process = "process " + std::to_string(attachment.process_id);
  const std::string host = "host " + Printable(attachment.host);
  if (attachment.host.empty()) return process;
  return attachment.process_id == 0 ? host : process + " of " + host;
}

}  // namespace scsi_pr
