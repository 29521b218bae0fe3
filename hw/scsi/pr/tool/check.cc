// SPDX-License-Identifier: GPL-2.0-or-later
#include <iostream>
#include <nlohmann/json.hpp>

#include "care/repair.h"
#include "core/document.h"
#include "core/json_text.h"
#include "spc/text.h"
#include "tool/cluster.h"
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

void PrintSound(const std::string& uri, bool sound, size_t attached) {
  std::cout << uri << " is " << (sound ? "sound" : "damaged");
  if (attached != 0) std::cout << "; " << attached << " I_T nexuses are attached";
  std::cout << "\n";
}

void Print(const Inspection& inspection) {
  PrintSound("file:" + Printable(inspection.path), !inspection.damaged(),
             inspection.attached.size());
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

// What etcd keeps can be read and makes sense, or it is said why not; there is nothing to repair
// on this host.
int CheckCluster(const StoreArgument& store, bool as_json) {
  View view;
  if (Status status = ReadView(store, &view); !status.ok()) return Fail(status);
  if (as_json) {
    std::cout << JsonText({{"store", view.uri},
                           {"sound", true},
                           {"attached", view.attached.size()},
                           {"findings", json::array()}},
                          2)
              << "\n";
  } else {
    PrintSound(view.uri, true, view.attached.size());
  }
  return kDone;
}

}  // namespace

int Check(const StoreArgument& store, bool repair, bool as_json) {
  if (IsCluster(store)) return CheckCluster(store, as_json);
  Subject subject;
  if (Status status = SubjectOf(store, &subject); !status.ok()) return Fail(status);
  const Inspection inspection = Inspect(subject);
  if (!inspection.status.ok()) return Fail(inspection.status);
  json result = ToJson(inspection);
  if (!as_json) Print(inspection);
  int code = inspection.damaged() ? kDamaged : kDone;
  if (repair && inspection.damaged()) {
    Repair repaired;
    if (Status status = RepairStore(subject, &repaired); !status.ok()) return Fail(status);
    code = kDone;
    if (repaired.done) result["repaired"] = ToJson(repaired);
    if (repaired.done && !as_json) Print(repaired);
  }
  if (as_json) std::cout << JsonText(result, 2) << "\n";
  return code;
}

}  // namespace scsi_pr::tool
