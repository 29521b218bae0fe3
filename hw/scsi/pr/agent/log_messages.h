// SPDX-License-Identifier: GPL-2.0-or-later
//
// What scsi-prd tells an administrator: each kind of message has a level and an id by which the
// journal finds it, whatever its words are (journalctl MESSAGE_ID=…). Ids are for ever. What
// each one means is in docs/many-hosts-setup.md.
#pragma once

#include <array>
#include <cstddef>

namespace scsi_pr::agent {

// As syslog counts them.
enum class LogLevel { kError = 3, kWarning = 4, kNotice = 5, kInfo = 6, kDebug = 7 };

enum class Message : size_t {
  kStarted,
  kStartFailed,
  kStopped,
  kConfigReloaded,
  kConfigRefused,
  kJoined,
  kLostMembership,
  kSuspect,
  kDeclaredDead,
  kProof,
  kFenceFailed,
  kWasDead,
  kWatchdog,
  kWatchdogFailed,
  kStorage,
  kStorageFailed,
  kRefusedRestored,
  kRefusedNewer,
  kRefusedNameTaken,
  kRefused,
  kEngineUnreachable,
  kEngineBack,
  kNoSpace,
  kAuthenticationFailure,
  kChangeBegun,
  kChangeCommitted,
  kChangeGivenUp,
  kChangeUnknown,
  kDrainLate,
  kNexusAttached,
  kNexusDetached,
  kNexusHandedOver,
  kNexusTakenOver,
  kMemoryOpened,
  kMemoryClosed,
  kMemoryFailed,
  kUnitDamaged,
  kPeerRefused,
  kMetricsFailed,
  kDetail,
  kCount,
};

struct MessageKind {
  Message message;
  const char* name;  // one word
  LogLevel level;
  const char* id;  // 32 hexadecimal digits
};

inline constexpr std::array<MessageKind, static_cast<size_t>(Message::kCount)> kMessageKinds = {{
    {Message::kStarted, "started", LogLevel::kInfo, "ed577da4474f46cfb2f7008a8a3fd7d0"},
    {Message::kStartFailed, "start-failed", LogLevel::kError, "df58b5e15582481b9b3254038c3ab2bb"},
    {Message::kStopped, "stopped", LogLevel::kInfo, "d59f4c615d224990b9023feb6cc9a03f"},
    {Message::kConfigReloaded, "config-reloaded", LogLevel::kNotice,
     "3cd796e3a60a48b2bc0dbf39f8b1f8d4"},
    {Message::kConfigRefused, "config-refused", LogLevel::kError,
     "e011ab9b55da4ccfa08894a28a5de6d3"},
    {Message::kJoined, "joined", LogLevel::kNotice, "2239604a582049e0879c6611ffabc8d9"},
    {Message::kLostMembership, "lost-membership", LogLevel::kError,
     "6c274c09e17a4c9d8028f35a2c5b77bf"},
    {Message::kSuspect, "suspect", LogLevel::kWarning, "6a2a3f12eb4b4eb8acc697e1f235c22e"},
    {Message::kDeclaredDead, "declared-dead", LogLevel::kError, "4dc7b7848f6a4d21b95fc8b2ddc916cf"},
    {Message::kProof, "proof", LogLevel::kWarning, "cb7d2e0311384c829bc114849e636f5c"},
    {Message::kFenceFailed, "fence-failed", LogLevel::kError, "cf5d3b3e9d184949a5b68543bd5617bd"},
    {Message::kWasDead, "was-dead", LogLevel::kError, "d3faa6c11c4f4ebe9cbe416e941cfd67"},
    {Message::kWatchdog, "watchdog", LogLevel::kNotice, "72889fcad78e4c8494a40e253060a2ef"},
    {Message::kWatchdogFailed, "watchdog-failed", LogLevel::kError,
     "8783fb59a4e2470e8ac896902ebc1c12"},
    {Message::kStorage, "storage", LogLevel::kNotice, "3ec60dac5d0746d19de71f63c589b199"},
    {Message::kStorageFailed, "storage-failed", LogLevel::kError,
     "24b6b89602434a92b98d71287e8d1e47"},
    {Message::kRefusedRestored, "refused-restored", LogLevel::kError,
     "09e1c1f3541e4dfa916b1dd22a430fd7"},
    {Message::kRefusedNewer, "refused-newer", LogLevel::kError, "172653f9491f4dd99686ffd4f5eee90f"},
    {Message::kRefusedNameTaken, "refused-name-taken", LogLevel::kError,
     "5ba6a062e9074716a7b6c9a055a78fd1"},
    {Message::kRefused, "refused", LogLevel::kError, "637f6545133c4c16807e62929cf4e55e"},
    {Message::kEngineUnreachable, "engine-unreachable", LogLevel::kWarning,
     "4659ddfad2694df88d57ce55008600e0"},
    {Message::kEngineBack, "engine-back", LogLevel::kNotice, "fff4847668974ce4996bc60ee149560e"},
    {Message::kNoSpace, "no-space", LogLevel::kError, "3399661167ed42478c59609fb51562fc"},
    {Message::kAuthenticationFailure, "authentication-failure", LogLevel::kError,
     "7498460b547848efb0f43b05a500cecd"},
    {Message::kChangeBegun, "change-begun", LogLevel::kDebug, "39c93dbf438d4d439ff11e385eac6c73"},
    {Message::kChangeCommitted, "change-committed", LogLevel::kInfo,
     "f3bf9d45061b450980d515cf69287659"},
    {Message::kChangeGivenUp, "change-given-up", LogLevel::kNotice,
     "f111e38ab1f94250a37ff6b79aa1edcb"},
    {Message::kChangeUnknown, "change-unknown", LogLevel::kError,
     "0cf29ffbff014902a68c7d0ba3fbd404"},
    {Message::kDrainLate, "drain-late", LogLevel::kWarning, "fd445beeccc24929907a966c90189246"},
    {Message::kNexusAttached, "nexus-attached", LogLevel::kInfo,
     "071bdd1157864518ae6ca38f7104e2a2"},
    {Message::kNexusDetached, "nexus-detached", LogLevel::kInfo,
     "f7bd02d27a9242d9a9036adf3f32e098"},
    {Message::kNexusHandedOver, "nexus-handed-over", LogLevel::kInfo,
     "5b87d042f9bc439fbec8b6a1b870dd69"},
    {Message::kNexusTakenOver, "nexus-taken-over", LogLevel::kInfo,
     "541234af233a4fcbbf15d251f4ae142a"},
    {Message::kMemoryOpened, "memory-opened", LogLevel::kInfo, "46c71a5f61884a9cabe2a8c0a08ca6a0"},
    {Message::kMemoryClosed, "memory-closed", LogLevel::kInfo, "2df51010218c46dcb222afe03d173f6d"},
    {Message::kMemoryFailed, "memory-failed", LogLevel::kError, "b34407915b1e4f19a88977c8a8f95bb5"},
    {Message::kUnitDamaged, "unit-damaged", LogLevel::kError, "4b6f0f2c9d1e4a55a8a1f7c3b2e09d64"},
    {Message::kPeerRefused, "peer-refused", LogLevel::kWarning, "a73dcb556b6a4101acfea250aac4fc86"},
    {Message::kMetricsFailed, "metrics-failed", LogLevel::kWarning,
     "68a29288af45434c8143df5b3b9dea56"},
    {Message::kDetail, "detail", LogLevel::kDebug, "6cd2c511c25d42178df8341eb8742657"},
}};

constexpr const MessageKind& KindOf(Message message) {
  return kMessageKinds[static_cast<size_t>(message)];
}

// A row that is missing or misplaced does not compile.
static_assert([] {
  for (size_t i = 0; i < kMessageKinds.size(); i++) {
    if (kMessageKinds[i].message != static_cast<Message>(i) || kMessageKinds[i].id == nullptr) {
      return false;
    }
  }
  return true;
}());

}  // namespace scsi_pr::agent
