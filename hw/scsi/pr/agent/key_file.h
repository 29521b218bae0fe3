// SPDX-License-Identifier: GPL-2.0-or-later
//
// Settings in the form of GKeyFile: [section], key=value, lists with ';', comments after '#' in
// lines of their own. GKeyFile reads the values; but it bears keys that are there twice or that
// nobody knows, and its messages have no lines.
#pragma once

#include <glib.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/status.h"

namespace scsi_pr::agent {

// "a, b and c" without the "and".
std::string Joined(const std::vector<std::string>& words, const char* between);

class KeyFile {
 public:
  // Sections, and which keys each has; none: any.
  using Known = std::map<std::string, std::vector<std::string>>;
  struct Key {
    std::string section, name;
  };

  // `path`: for messages.
  KeyFile(const Known& known, std::string path) : known_(known), path_(std::move(path)) {}

  // Once, before all others. kInvalid.
  Status Parse(std::string_view text);

  bool Has(const Key& key) const { return lines_.contains({key.section, key.name}); }
  bool HasSection(const std::string& section) const {
    return g_key_file_has_group(file_.get(), section.c_str()) != 0;
  }
  std::vector<Key> KeysOf(const std::string& section) const;
  // "PATH, line 3: [etcd] user"
  std::string Where(const Key& key) const;
  // Of a key that is there. kInvalid.
  Status Get(const Key& key, std::string* value) const;
  // Likewise; at least one value, and none that is empty.
  Status GetList(const Key& key, std::vector<std::string>* values) const;

 private:
  using File = std::unique_ptr<GKeyFile, decltype(&g_key_file_free)>;

  Status FindLines(std::string_view text);
  Status TakeLine(std::string_view line, int number, std::string* section);
  Status TakeSection(const std::string& section, int number);
  std::string At(int line) const { return path_ + ", line " + std::to_string(line) + ": "; }
  Status CannotRead(const Key& key, GError* error) const;

  const Known& known_;
  const std::string path_;
  std::map<std::pair<std::string, std::string>, int> lines_;
  File file_{g_key_file_new(), g_key_file_free};
};

}  // namespace scsi_pr::agent
