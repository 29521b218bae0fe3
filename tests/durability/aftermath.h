// SPDX-License-Identifier: GPL-2.0-or-later
//
// The state of a store after a death.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "../process/child.h"
#include "../unit/temporary_directory.h"
#include "core/document.h"
#include "gate/gate.h"

namespace scsi_pr::testing {

// As far as somebody may look who finds no process that uses the store.
inline void CopyMemory(const std::string& from, const std::string& to) {
  for (const auto& entry : std::filesystem::directory_iterator(from)) {
    std::string contents(sizeof(Gate), '\0');
    std::ifstream(entry.path(), std::ios::binary)
        .read(contents.data(), static_cast<std::streamsize>(contents.size()));
    WriteFile(to + "/" + entry.path().filename().string(), contents);
  }
}

// What the next one to open the store would find if every process died now, and whoever
// powers the logical unit on then.
inline State FoundAfterDeathOfAll(const std::string& path, const RuntimeDirectoryOfTest& runtime) {
  // The memory first, as of one moment: what it disowns may be taken back from the disk meanwhile,
  // and is not disowned any more then.
  const RuntimeDirectoryOfTest another;
  CopyMemory(runtime.path(), another.path());
  const TemporaryDirectory directory;
  const std::string copy = directory / "lu.pr";
  WriteFile(copy, ReadFile(path));
  Child child("file:" + copy, 9);
  EXPECT_EQ(child.opened(), "ok");
  State found;
  const std::string text = child.Ask("state");
  EXPECT_TRUE(DecodeDocument(text, &found).ok()) << text;
  return AfterPowerOn(found);
}

}  // namespace scsi_pr::testing
