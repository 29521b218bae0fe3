// SPDX-License-Identifier: GPL-2.0-or-later
//
// Runs a fuzz target on files, without a fuzzer: every file below the
// directories that are named. TAP, a line an input; a finding ends it at once.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <set>

#include "fuzz.h"

namespace {

std::set<std::filesystem::path> FilesBelow(int argc, char** argv) {
  std::set<std::filesystem::path> files;
  for (int i = 1; i < argc; i++) {
    if (!std::filesystem::exists(argv[i])) continue;  // nothing found yet
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
      if (entry.is_regular_file()) files.insert(entry.path());
    }
  }
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  const auto files = FilesBelow(argc, argv);
  if (files.empty()) {
    std::cout << "Bail out! no inputs\n";
    return 1;
  }
  std::cout << "1.." << files.size() << std::endl;
  int number = 0;
  for (const auto& path : files) {
    std::ifstream file(path, std::ios::binary);
    std::string input{std::istreambuf_iterator<char>(file), {}};
    input.shrink_to_fit();
    std::cout << "# " << path.string() << std::endl;
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
    std::cout << "ok " << ++number << " " << path.filename().string() << std::endl;
  }
}
