// SPDX-License-Identifier: GPL-2.0-or-later
#include "simulated_state.h"

#include "core/document.h"

namespace scsi_pr::agent {

namespace {

constexpr size_t kNexuses = 8;

// Making and reading them takes longer than all else.
struct Documents {
  std::map<std::pair<uint64_t, bool>, std::string> texts;
  std::map<std::string, std::pair<uint64_t, bool>> meanings;
};
Documents& TheDocuments() {
  static Documents documents;
  return documents;
}

std::pair<uint64_t, bool> MeaningOf(const std::string& document) {
  auto& meanings = TheDocuments().meanings;
  if (const auto found = meanings.find(document); found != meanings.end()) return found->second;
  State state;
  static_cast<void>(DecodeDocument(document, &state).ok());
  uint64_t mask = state.reservation ? 0 : SimulatedState::kAll;
  for (size_t i = 0; i < kNexuses && state.reservation; i++) {
    if (state.Find(SimulatedNexusOf(i)) != nullptr) mask |= uint64_t{1} << i;
  }
  return meanings[document] = {mask, state.aptpl};
}

}  // namespace

Nexus SimulatedNexusOf(size_t index) {
  std::string error;
  return {*TransportId::FromText("iqn.n" + std::to_string(index), &error), 1};
}

bool MayWrite(AccessMask allowed) { return (allowed & Bit(AccessClass::kWrite)) != 0; }

State SimulatedState::Of(uint64_t mask, bool aptpl) {
  State state;
  if (mask == kAll) return state;
  state.aptpl = aptpl;
  state.reservation = Reservation{Type::kWriteExclusiveAllRegistrants, std::nullopt};
  state.registrations.push_back({SimulatedNexusOf(kNexuses), 1});
  for (size_t i = 0; i < kNexuses; i++) {
    if ((mask >> i & 1) != 0) state.registrations.push_back({SimulatedNexusOf(i), 1});
  }
  return state;
}

const std::string& SimulatedState::DocumentOf(uint64_t mask, bool aptpl) {
  std::string& text = TheDocuments().texts[{mask, aptpl}];
  if (text.empty()) text = EncodeDocument(Of(mask, aptpl));
  return text;
}

uint64_t SimulatedState::MaskOf(const std::optional<StateRecord>& state) {
  return state ? MeaningOf(state->document).first : kAll;
}

bool SimulatedState::SurvivesPowerOn(const std::optional<StateRecord>& state) {
  if (!state) return true;
  const auto [mask, aptpl] = MeaningOf(state->document);
  return aptpl || mask == kAll;
}

}  // namespace scsi_pr::agent
