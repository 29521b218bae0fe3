// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/outcome_operation.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace scsi_pr::agent {

OutcomeOperation::OutcomeOperation(LogicalUnit& unit, std::shared_ptr<Client> client,
                                   std::string id)
    : AskingOperation(unit.house(), std::move(client), 10 * kSecond),
      unit_(unit),
      id_(std::move(id)) {}

// One that is under way here has its own end. Else it was a predecessor's.
void OutcomeOperation::AskAgain() {
  if (!unit_.FindChange(id_)) AskWith({}, {});
}

void OutcomeOperation::AskWith(std::vector<Compare> compares, std::vector<agent::Write> writes) {
  const Keys& keys = house().keys;
  Ask({std::move(compares),
       std::move(writes),
       {{keys.State(unit_.name()), false}, {keys.Change(unit_.name()), false}}});
}

// A change that is not there any more cannot be committed any more.
void OutcomeOperation::Answered(const Answer& answer, Time) {
  const Keys& keys = house().keys;
  StateRecord state;
  ChangeRecord change;
  const KeyValue* found = answer.Find(keys.State(unit_.name()));
  if (found != nullptr && !Decode(found->value, &state).ok()) return;
  if (state.Has(id_)) return Good({{"committed", true}});
  found = answer.Find(keys.Change(unit_.name()));
  if (found != nullptr && !Decode(found->value, &change).ok()) return;
  if (found == nullptr || change.id != id_) return Good({{"committed", false}});
  AskWith({{found->key, found->revision}}, {{found->key, std::nullopt}});
}

}  // namespace scsi_pr::agent
