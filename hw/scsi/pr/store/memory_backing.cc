// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/memory_backing.h"

#include <glib.h>

#include <algorithm>

namespace scsi_pr {

MemoryBacking::MemoryBacking() : gate_(std::make_unique<Gate>()) {
  gchar* nonce = g_uuid_string_random();
  g_strlcpy(gate_->nonce, nonce, sizeof gate_->nonce);
  g_free(nonce);
  gate_->published = record_.version;
}

Status MemoryBacking::Load(Record* record) {
  const std::lock_guard lock(mutex_);
  *record = record_;
  return Status();
}

Status MemoryBacking::Save(const Record& record, bool) {
  const std::lock_guard lock(mutex_);
  record_ = record;
  return Status();
}

Status MemoryBacking::Identify(StoreIdentity* identity) {
  identity->kind = StoreIdentity::Kind::kMemory;
  return Status();
}

bool MemoryBacking::TakeSlot(bool, size_t* index) {
  const auto* slot = std::ranges::find_if(gate_->slots, [](const auto& s) { return !s.attached(); });
  *index = static_cast<size_t>(slot - gate_->slots);
  return *index < Gate::kSlots;
}

}  // namespace scsi_pr
