// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/key_file.h"

#include <algorithm>

namespace scsi_pr::agent {

namespace {

std::string_view Trimmed(std::string_view text) {
  constexpr const char* kSpace = " \t\r\f\v";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

Status Invalid(const std::string& message, const std::string& hint = "") {
  return Status::Error(Status::Code::kInvalid, message, hint);
}

}  // namespace

std::string Joined(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

Status KeyFile::Parse(std::string_view text) {
  const char* end = nullptr;
  if (g_utf8_validate(text.data(), static_cast<gssize>(text.size()), &end) == 0) {
    const auto line = 1 + std::count(text.data(), end, '\n');
    return Invalid(At(static_cast<int>(line)) + "there is what is no text in UTF-8");
  }
  if (Status status = FindLines(text); !status.ok()) return status;
  GError* error = nullptr;
  if (g_key_file_load_from_data(file_.get(), text.data(), text.size(), G_KEY_FILE_NONE, &error)) {
    return Status();
  }
  const std::unique_ptr<GError, decltype(&g_error_free)> owned(error, g_error_free);
  // An empty file is none of its; what is missing in it is said later.
  if (lines_.empty()) return Status();
  return Invalid(path_ + ": " + error->message);
}

Status KeyFile::FindLines(std::string_view text) {
  std::string section;
  for (int number = 1; !text.empty(); number++) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (Status status = TakeLine(Trimmed(text.substr(0, end)), number, &section); !status.ok()) {
      return status;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return Status();
}

Status KeyFile::TakeLine(std::string_view line, int number, std::string* section) {
  if (line.empty() || line[0] == '#') return Status();
  if (line.front() == '[' && line.back() == ']') {
    *section = line.substr(1, line.size() - 2);
    return TakeSection(*section, number);
  }
  const size_t equals = line.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return Invalid(At(number) + "'" + std::string(line) + "' is none of [section], key=value, #",
                   "Comments have lines of their own.");
  }
  if (section->empty()) return Invalid(At(number) + "this is before the first [section]");
  const std::string key(Trimmed(line.substr(0, equals)));
  const std::vector<std::string>& known = known_.at(*section);
  if (!known.empty() && std::ranges::find(known, key) == known.end()) {
    return Invalid(At(number) + "[" + *section + "] has no key '" + key + "'",
                   "Known: " + Joined(known, ", ") + ".");
  }
  const auto [first, is_new] = lines_.try_emplace({*section, key}, number);
  if (is_new) return Status();
  return Invalid(At(number) + "[" + *section + "] " + key + " is set in line " +
                     std::to_string(first->second) + ", too",
                 "Set it once.");
}

Status KeyFile::TakeSection(const std::string& section, int number) {
  if (known_.contains(section)) return Status();
  std::string all;
  for (const auto& [name, keys] : known_) all += " [" + name + "]";
  return Invalid(At(number) + "there is no section [" + section + "]", "Known:" + all + ".");
}

std::vector<KeyFile::Key> KeyFile::KeysOf(const std::string& section) const {
  std::vector<Key> keys;
  for (const auto& [key, line] : lines_) {
    if (key.first == section) keys.push_back({key.first, key.second});
  }
  return keys;
}

std::string KeyFile::Where(const Key& key) const {
  const auto found = lines_.find({key.section, key.name});
  const std::string name = "[" + key.section + "] " + key.name;
  return found == lines_.end() ? path_ + ": " + name : At(found->second) + name;
}

Status KeyFile::CannotRead(const Key& key, GError* error) const {
  const std::unique_ptr<GError, decltype(&g_error_free)> owned(error, g_error_free);
  return Invalid(Where(key) + " cannot be understood: " + error->message,
                 "A backslash is written \\\\.");
}

Status KeyFile::Get(const Key& key, std::string* value) const {
  GError* error = nullptr;
  const std::unique_ptr<char, decltype(&g_free)> text(
      g_key_file_get_string(file_.get(), key.section.c_str(), key.name.c_str(), &error), g_free);
  // It may come with what it did understand.
  if (error != nullptr) return CannotRead(key, error);
  *value = Trimmed(text.get());
  return Status();
}

Status KeyFile::GetList(const Key& key, std::vector<std::string>* values) const {
  GError* error = nullptr;
  const std::unique_ptr<char*, decltype(&g_strfreev)> list(
      g_key_file_get_string_list(file_.get(), key.section.c_str(), key.name.c_str(), nullptr,
                                 &error),
      g_strfreev);
  if (error != nullptr) return CannotRead(key, error);
  values->clear();
  for (char** each = list.get(); *each != nullptr; each++) {
    if (const std::string_view word = Trimmed(*each); !word.empty()) values->emplace_back(word);
  }
  if (values->empty()) return Invalid(Where(key) + " is empty");
  return Status();
}

}  // namespace scsi_pr::agent
