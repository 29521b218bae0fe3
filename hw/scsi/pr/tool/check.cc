// SPDX-License-Identifier: GPL-2.0-or-later
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/document.h"
#include "core/json_text.h"
#include "spc/text.h"
#include "store/repair.h"
#include "tool/commands.h"
#include "tool/common.h"

namespace scsi_pr::tool {

namespace {

using nlohmann::json;

json ToJson(const Inspection& inspection) {
  json findings = json::array();
  for (const Finding& finding : inspection.findings) {
    json item = {{"finding", FindingName(finding.kind)},
                 {"damage", finding.is_damage()},
                 {"what", finding.what},
                 {"meaning", finding.meaning}};
    if (!finding.action.empty()) item["action"] = finding.action;
    findings.push_back(std::move(item));
  }
  return {{"store", "file:" + inspection.path},
          {"sound", !inspection.damaged()},
          {"attached", inspection.attached.size()},
          {"findings", std::move(findings)}};
}

void Print(const Inspection& inspection) {
  std::cout << "file:" << Printable(inspection.path) << " is "
            << (inspection.damaged() ? "damaged" : "sound");
  if (!inspection.attached.empty()) {
    std::cout << "; " << inspection.attached.size() << " I_T nexuses are attached";
  }
  std::cout << "\n";
  for (const Finding& finding : inspection.findings) {
    std::cout << (finding.is_damage() ? "Damage: " : "Note: ") << finding.what << "\n  "
              << finding.meaning << "\n";
    if (!finding.action.empty()) std::cout << "  To do: " << finding.action << "\n";
  }
}

json ToJson(const Repair& repair) {
  return {{"damaged", repair.damaged},
          {"version", repair.record.version},
          {"information-lost", repair.record.state.information_lost},
          {"state", StateToJson(repair.record.state)}};
}

void Print(const Repair& repair) {
  std::cout << "Repaired. The damaged store is " << repair.damaged << "\n";
  if (!repair.record.state.information_lost) {
    std::cout << "The last committed state was intact: nothing is lost.\n";
    return;
  }
  std::cout
      << "Reservation information is lost: nearly every command of every VM ends in "
         "PERSISTENT\nRESERVATION INFORMATION LOST until an initiator sends REPLACE LOST "
         "RESERVATION\n(sg_persist --out --replace-lost --param-sark=KEY --prout-type=TYPE), or "
         "until\nscsi-pr load or scsi-pr clear.\n";
}

}  // namespace

int Check(const std::string& uri, bool repair, bool as_json) {
  std::string path;
  if (Status status = FilePath(uri, &path); !status.ok()) return Fail(status);
  const Inspection inspection = Inspect(path, true);
  if (!inspection.status.ok()) return Fail(inspection.status);
  json result = ToJson(inspection);
  if (!as_json) Print(inspection);
  int code = inspection.damaged() ? kDamaged : kDone;
  if (repair && inspection.damaged()) {
    Repair repaired;
    if (Status status = RepairStore(path, &repaired); !status.ok()) return Fail(status);
    code = kDone;
    if (repaired.done) result["repaired"] = ToJson(repaired);
    if (repaired.done && !as_json) Print(repaired);
  }
  if (as_json) std::cout << JsonText(result, 2) << "\n";
  return code;
}

}  // namespace scsi_pr::tool
