// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/change_right.h"

#include "store/local_store.h"

namespace scsi_pr {

ChangeRight::ChangeRight(LocalStore& store, const std::function<bool()>& cancelled)
    : store_(store) {
  const auto deadline = std::chrono::steady_clock::now() + Store::kPatience;
  for (Pause pause; !(held_ = store.TryLock()); pause()) {
    if (cancelled()) return;
    if (std::chrono::steady_clock::now() >= deadline) break;
  }
  static_cast<void>(store.Noted(Failures::Step::kLock, status()).ok());
}

ChangeRight::~ChangeRight() {
  if (held_) store_.Unlock();
}

Status ChangeRight::status() const { return held_ ? Status() : store_.Busy(); }

}  // namespace scsi_pr
