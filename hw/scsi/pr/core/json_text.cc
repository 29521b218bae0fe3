// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/json_text.h"

#include <nlohmann/json.hpp>

#include "spc/text.h"

namespace scsi_pr {

std::string JsonText(const nlohmann::json& value, int indent) {
  constexpr auto kReplace = nlohmann::json::error_handler_t::replace;
  return WithoutNoncharacters(value.dump(indent, ' ', false, kReplace));
}

}  // namespace scsi_pr
