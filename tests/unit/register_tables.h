// SPDX-License-Identifier: GPL-2.0-or-later
//
// Tables regun and regreg of the seed's 5.6.5, a line a case; `row` is the
// standard's row: service action, RESERVATION KEY (regun: its value; regreg:
// valid?), SERVICE ACTION RESERVATION KEY, and in regreg "single I_T nexus
// specified".
#pragma once

#include "core/access.h"
#include "testing.h"

namespace scsi_pr::testing {

inline constexpr uint64_t kNew = 0x1234567890ABCDEF;
inline constexpr uint64_t kWrong = 0xBAD;
inline constexpr auto kReg = OutAction::kRegister;
inline constexpr auto kIgn = OutAction::kRegisterAndIgnoreExistingKey;
inline constexpr auto kMove = OutAction::kRegisterAndMove;

inline bool MayWrite(const State& state, const Nexus& nexus) {
  return (AllowedAccess(state, nexus) & Bit(AccessClass::kWrite)) != 0;
}

enum class Result { kGoodAlone, kRegisters, kUnregisters, kConflict, kCheck };

struct RegisterRow {
  const char* row;
  OutAction action;
  uint64_t key;
  uint64_t action_key;
  Result result;
};

// From A, which is not registered.
inline constexpr RegisterRow kRegun[] = {
    {"REGISTER / zero / zero", kReg, 0, 0, Result::kGoodAlone},
    {"REGISTER / zero / non-zero", kReg, 0, kNew, Result::kRegisters},
    {"REGISTER / non-zero / any", kReg, kWrong, 0, Result::kConflict},
    {"REGISTER / non-zero / any", kReg, kWrong, kNew, Result::kConflict},
    {"REGISTER / non-zero / any", kReg, kKeyB, kNew, Result::kConflict},
    {"REGISTER AND IGNORE EXISTING KEY / any / zero", kIgn, 0, 0, Result::kGoodAlone},
    {"REGISTER AND IGNORE EXISTING KEY / any / zero", kIgn, kWrong, 0, Result::kGoodAlone},
    {"REGISTER AND IGNORE EXISTING KEY / any / non-zero", kIgn, 0, kNew, Result::kRegisters},
    {"REGISTER AND IGNORE EXISTING KEY / any / non-zero", kIgn, kWrong, kNew, Result::kRegisters},
    {"REGISTER AND MOVE / any / any", kMove, 0, 0, Result::kConflict},
    {"REGISTER AND MOVE / any / any", kMove, 0, kNew, Result::kConflict},
    {"REGISTER AND MOVE / any / any", kMove, kWrong, 0, Result::kConflict},
    {"REGISTER AND MOVE / any / any", kMove, kKeyB, kNew, Result::kConflict},
};

// From A, which is registered with kKeyA, for itself alone.
inline constexpr RegisterRow kRegregSingle[] = {
    {"REGISTER / no / any / yes or no", kReg, kWrong, 0, Result::kConflict},
    {"REGISTER / no / any / yes or no", kReg, kWrong, kNew, Result::kConflict},
    {"REGISTER / no / any / yes or no", kReg, 0, 0, Result::kConflict},
    {"REGISTER / no / any / yes or no", kReg, 0, kNew, Result::kConflict},
    {"REGISTER / yes / zero / yes", kReg, kKeyA, 0, Result::kUnregisters},
    {"REGISTER / yes / non-zero / yes", kReg, kKeyA, kNew, Result::kRegisters},
    {"REGISTER / yes / non-zero / yes", kReg, kKeyA, kKeyA, Result::kRegisters},
    {"REGISTER AND IGNORE EXISTING KEY / yes or no / zero / yes", kIgn, kKeyA, 0,
     Result::kUnregisters},
    {"REGISTER AND IGNORE EXISTING KEY / yes or no / zero / yes", kIgn, kWrong, 0,
     Result::kUnregisters},
    {"REGISTER AND IGNORE EXISTING KEY / yes or no / non-zero / yes", kIgn, kKeyA, kNew,
     Result::kRegisters},
    {"REGISTER AND IGNORE EXISTING KEY / yes or no / non-zero / yes", kIgn, kWrong, kNew,
     Result::kRegisters},
    {"REGISTER AND IGNORE EXISTING KEY / yes or no / non-zero / yes", kIgn, 0, kKeyB,
     Result::kRegisters},
    {"REGISTER AND MOVE / no / any / yes or no", kMove, kWrong, 0, Result::kConflict},
    {"REGISTER AND MOVE / no / any / yes or no", kMove, 0, kNew, Result::kConflict},
};

// Likewise, for more than a single nexus.
inline constexpr RegisterRow kRegregSeveral[] = {
    {"REGISTER / no / any / yes or no", kReg, kWrong, 0, Result::kConflict},
    {"REGISTER / no / any / yes or no", kReg, kWrong, kNew, Result::kConflict},
    {"REGISTER / no / any / yes or no", kReg, 0, kNew, Result::kConflict},
    {"REGISTER / yes / zero / no", kReg, kKeyA, 0, Result::kCheck},
    {"REGISTER / yes / non-zero / no", kReg, kKeyA, kNew, Result::kCheck},
    {"REGISTER / yes / non-zero / no", kReg, kKeyA, kKeyA, Result::kCheck},
    {"REGISTER AND IGNORE EXISTING KEY / yes or no / zero / no", kIgn, kKeyA, 0, Result::kCheck},
    {"REGISTER AND IGNORE EXISTING KEY / yes or no / zero / no", kIgn, kWrong, 0, Result::kCheck},
    {"REGISTER AND IGNORE EXISTING KEY / yes or no / non-zero / no", kIgn, kKeyA, kNew,
     Result::kCheck},
    {"REGISTER AND IGNORE EXISTING KEY / yes or no / non-zero / no", kIgn, 0, kNew, Result::kCheck},
    {"REGISTER AND MOVE / no / any / yes or no", kMove, kWrong, kNew, Result::kConflict},
};

}  // namespace scsi_pr::testing
