// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/config.h"

#include <glib.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "agent/key_file.h"
#include "agent/whole_file.h"
#include "path/group_state.h"
#include "spc/text.h"

namespace scsi_pr::agent {

namespace {

constexpr size_t kMostConfig = 1 << 20;  // bytes
constexpr size_t kMostSecret = 4096;
constexpr size_t kMostPrefix = 200;
constexpr size_t kMostUnit = 160;
constexpr size_t kMostHost = 255;

constexpr std::pair<const char*, LogLevel> kLevels[] = {{"error", LogLevel::kError},
                                                        {"warning", LogLevel::kWarning},
                                                        {"notice", LogLevel::kNotice},
                                                        {"info", LogLevel::kInfo},
                                                        {"debug", LogLevel::kDebug}};

const KeyFile::Known& KnownKeys() {
  static const KeyFile::Known kKnown = {
      {"etcd", {"endpoints", "tls-directory", "user", "password-file", "token-file", "prefix"}},
      {"cluster", {"duration", "proof", "fence-command"}},
      {"host",
       {"name", "group", "runtime-directory", "state-directory", "metrics-file", "log-level",
        "watchdog", "watchdog-timeout"}},
      {"allow", {}},
      {"paths", {}},
  };
  return kKnown;
}

Status Invalid(const std::string& message, const std::string& hint = "") {
  return Status::Error(Status::Code::kInvalid, message, hint);
}

// Who has it is scsi-prd.
Status CheckSecret(const std::string& path, mode_t mode) {
  if ((mode & (S_IROTH | S_IWOTH)) == 0) return Status();
  return Invalid(path + " can be read or written by everybody",
                 "It is a secret: chmod o-rwx " + path + "; scsi-prd must be able to read it.");
}

// By getpwnam_r() or getgrnam_r(): other threads ask, too.
template <typename Entry, auto kGet, auto kId>
std::optional<id_t> Find(const char* name) {
  constexpr size_t kMost = 1 << 20;  // of all members of a group
  for (std::vector<char> buffer(1 << 12); buffer.size() <= kMost;
       buffer.resize(4 * buffer.size())) {
    Entry entry = {};
    Entry* found = nullptr;
    if (kGet(name, &entry, buffer.data(), buffer.size(), &found) == ERANGE) continue;
    return found == nullptr ? std::nullopt : std::optional<id_t>(entry.*kId);
  }
  return std::nullopt;
}
constexpr auto FindUser = Find<passwd, getpwnam_r, &passwd::pw_uid>;
constexpr auto FindGroup = Find<group, getgrnam_r, &group::gr_gid>;

// Names, or numbers where nobody has that name, as chown(1) takes them.
template <typename Find>
std::optional<id_t> IdOf(const std::string& name, Find find) {
  if (const std::optional<id_t> found = find(name.c_str())) return found;
  id_t id = 0;
  const char* end = name.data() + name.size();
  const auto [stopped, error] = std::from_chars(name.data(), end, id);
  if (error != std::errc() || stopped != end || id == static_cast<id_t>(-1)) return std::nullopt;
  return id;
}

std::string ProofText(const Config& config) {
  const ProofWays& ways = config.proof;
  std::vector<std::string> names, fences;
  for (const auto& [group, devices] : config.paths) fences.push_back("path group " + group);
  if (!ways.fence_command.empty()) fences.push_back(ways.fence_command);
  if (ways.watchdog) names.emplace_back("watchdog");
  if (ways.storage) names.emplace_back("storage, by " + Joined(fences, " and "));
  if (ways.lease) names.emplace_back("lease, which is weaker");
  return names.empty() ? "ask: somebody's word, or that the host is back" : Joined(names, "; ");
}

// Takes one key after the other, up to the first one that is wrong.
class Reader {
 public:
  Reader(const KeyFile& file, Config* config) : file_(file), config_(*config) {}

  Status Read();

 private:
  using Key = KeyFile::Key;

  void ReadEtcd();
  void ReadHost();
  void ReadAllow();
  void ReadProof();
  void ReadPaths();
  void ReadSeconds(const Key& key, unsigned least, unsigned most, Time* time);
  void ReadGroup(const Key& key);
  void ReadLevel(const Key& key);
  void ReadPassword(const Key& key);
  void ReadTls(const Key& key);
  void ReadRule(const Key& key);

  bool ok() const { return status_.ok(); }
  void Refuse(const Key& key, const std::string& why, const std::string& hint = "") {
    if (ok()) status_ = Invalid(file_.Where(key) + " " + why, hint);
  }
  // False: it is not set, or something is wrong.
  bool Get(const Key& key, std::string* value);
  bool GetPath(const Key& key, std::string* value);
  // A file that only few may read.
  bool GetSecret(const Key& key, std::string* path, std::string* text);

  const KeyFile& file_;
  Config& config_;
  Status status_;
};

bool Reader::Get(const Key& key, std::string* value) {
  if (!ok() || !file_.Has(key)) return false;
  status_ = file_.Get(key, value);
  return ok();
}

bool Reader::GetPath(const Key& key, std::string* value) {
  std::string path;
  if (!Get(key, &path)) return false;
  if (path.empty() || path[0] == '/') {
    *value = path;
  } else {
    Refuse(key, "is no absolute path: '" + path + "'");
  }
  return ok();
}

bool Reader::GetSecret(const Key& key, std::string* path, std::string* text) {
  if (!GetPath(key, path)) return false;
  if (path->empty()) {
    Refuse(key, "is empty");
    return false;
  }
  mode_t mode = 0;
  status_ = ReadWholeFile(*path, kMostSecret, text, &mode);
  if (!ok()) return false;
  status_ = CheckSecret(*path, mode);
  return ok();
}

void Reader::ReadPassword(const Key& key) {
  std::string path, text;
  if (!GetSecret(key, &path, &text)) return;
  if (text.ends_with('\n')) text.pop_back();
  if (text.empty() || text.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos ||
      Printable(text) != text) {
    status_ = Invalid("there is no password in " + path,
                      "The file has one line, the password, and nothing else.");
  }
  config_.etcd.password = text;
}

// Whether the files are there is for who needs them.
void Reader::ReadTls(const Key& key) {
  if (!GetPath(key, &config_.etcd.tls_directory)) return;
  const std::string path = config_.etcd.tls_directory + "/client-key.pem";
  struct stat info = {};
  if (stat(path.c_str(), &info) == 0) status_ = CheckSecret(path, info.st_mode);
}

void Reader::ReadEtcd() {
  const Key endpoints{"etcd", "endpoints"}, user{"etcd", "user"}, password{"etcd", "password-file"},
      token{"etcd", "token-file"}, prefix{"etcd", "prefix"};
  if (file_.Has(endpoints)) {
    status_ = file_.GetList(endpoints, &config_.etcd.endpoints);
  } else {
    Refuse(endpoints, "is not set",
           "Say where etcd is: endpoints=https://etcd1.example.org:2379;https://….");
  }
  ReadTls({"etcd", "tls-directory"});
  Get(user, &config_.etcd.user);
  ReadPassword(password);
  std::string text;
  GetSecret(token, &config_.etcd.token_file, &text);
  if (config_.etcd.user.empty() && file_.Has(password)) Refuse(password, "is set, and no user");
  if (!config_.etcd.user.empty() && !file_.Has(password))
    Refuse(user, "is set, and no password-file");
  if (file_.Has(user) && file_.Has(token)) Refuse(token, "is set, and a user, too", "Set one.");
  if (!Get(prefix, &config_.prefix)) return;
  const std::string& text_of = config_.prefix;
  const bool is_plain = std::ranges::all_of(text_of, [](char c) { return c > ' ' && c < 0x7F; });
  if (text_of.size() < 2 || text_of.size() > kMostPrefix || text_of.front() != '/' ||
      text_of.back() != '/' || !is_plain) {
    Refuse(prefix, "is no prefix of keys: '" + text_of + "'",
           "It begins and ends with '/', as /scsi-pr/ does, and has no spaces.");
  }
}

void Reader::ReadSeconds(const Key& key, unsigned least, unsigned most, Time* time) {
  std::string text;
  if (!Get(key, &text)) return;
  unsigned seconds = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, seconds);
  if (error != std::errc() || stopped != end || seconds < least || seconds > most) {
    Refuse(key, "is '" + text + "'",
           "It is a number of seconds, from " + std::to_string(least) + " to " +
               std::to_string(most) + ".");
  }
  *time = seconds * kSecond;
}

void Reader::ReadProof() {
  const Key proof{"cluster", "proof"}, command{"cluster", "fence-command"};
  ProofWays& ways = config_.proof;
  GetPath(command, &ways.fence_command);
  std::vector<std::string> names;
  if (ok() && file_.Has(proof)) status_ = file_.GetList(proof, &names);
  const std::map<std::string, bool*> known = {
      {"watchdog", &ways.watchdog}, {"storage", &ways.storage}, {"lease", &ways.lease}};
  for (const std::string& name : names) {
    const auto found = known.find(name);
    if (found != known.end()) {
      *found->second = true;
    } else if (name != "ask" || names.size() != 1) {
      Refuse(proof, "is '" + Joined(names, ";") + "'",
             "Known: ask, alone; or some of watchdog, storage, lease, as in watchdog;storage.");
    }
  }
  if (ways.storage && ways.fence_command.empty() && config_.paths.empty()) {
    Refuse(proof, "has storage, and there is neither a fence-command nor [paths]",
           "Say which program cuts a host off the storage: fence-command=/usr/local/sbin/…; or on "
           "which physical disks it is to be fenced.");
  }
  if (!ways.storage && !ways.fence_command.empty()) {
    Refuse(command, "is set, and proof has no storage", "Write proof=storage.");
  }
}

void Reader::ReadPaths() {
  for (const Key& key : file_.KeysOf("paths")) {
    if (!ok()) return;
    std::vector<std::string>& devices = config_.paths[key.name];
    status_ = file_.GetList(key, &devices);
    const auto is_path = [](const std::string& device) { return device[0] == '/'; };
    if (!IsGroupName(key.name)) {
      Refuse(key, "is no name of a path group",
             "Up to 64 letters, digits, '.', '_' and '-' are one; the same on all hosts.");
    } else if (ok() && !std::ranges::all_of(devices, is_path)) {
      Refuse(key, "is '" + Joined(devices, ";") + "', which are no absolute paths",
             "Name disks, or a map of dm-multipath: /dev/mapper/….");
    } else if (config_.paths.size() > HostRecord::kMostPaths) {
      Refuse(key, "is one too many",
             "There is room for " + std::to_string(HostRecord::kMostPaths) + ".");
    }
  }
}

void Reader::ReadGroup(const Key& key) {
  Get(key, &config_.group);
  if (!ok() || config_.group.empty()) return;
  if (const auto id = FindGroup(config_.group.c_str())) {
    config_.group_id = *id;
  } else {
    Refuse(key, "is '" + config_.group + "', and there is no such group",
           "It is the group of those that run QEMU with shared disks; empty: that of scsi-prd.");
  }
}

void Reader::ReadLevel(const Key& key) {
  std::string text;
  if (!Get(key, &text)) return;
  for (const auto& [name, level] : kLevels) {
    if (text != name) continue;
    config_.log_level = level;
    return;
  }
  Refuse(key, "is '" + text + "'", "Known: error, warning, notice, info, debug.");
}

void Reader::ReadHost() {
  const Key name{"host", "name"};
  char machine[256] = {};
  if (gethostname(machine, sizeof machine - 1) == 0) config_.host = machine;
  Get(name, &config_.host);
  if (!IsWord(config_.host, kMostHost)) {
    Refuse(name, "is '" + config_.host + "'",
           "A host's name has up to 255 letters, digits, '.', '-', '_', ',' and ':'.");
  }
  ReadGroup({"host", "group"});
  GetPath({"host", "runtime-directory"}, &config_.runtime_directory);
  const char* given = getenv("STATE_DIRECTORY");  // by systemd; the first of a list
  config_.state_directory = given != nullptr && given[0] == '/' ? given : "/var/lib/scsi-prd";
  config_.state_directory.resize(
      std::min(config_.state_directory.find(':'), config_.state_directory.size()));
  const Key state{"host", "state-directory"};
  if (GetPath(state, &config_.state_directory) && config_.state_directory.empty()) {
    Refuse(state, "is empty");
  }
  GetPath({"host", "metrics-file"}, &config_.metrics_file);
  ReadLevel({"host", "log-level"});
  GetPath({"host", "watchdog"}, &config_.watchdog);
  ReadSeconds({"host", "watchdog-timeout"}, 5, 120, &config_.watchdog_timeout);
}

void Reader::ReadRule(const Key& key) {
  AllowRule rule;
  const std::string& who = key.name;
  std::optional<id_t> id = 0;
  if (who.starts_with("user:")) {
    rule.who = AllowRule::Who::kUser;
    id = IdOf(rule.name = who.substr(5), FindUser);
  } else if (who.starts_with("group:")) {
    rule.who = AllowRule::Who::kGroup;
    id = IdOf(rule.name = who.substr(6), FindGroup);
  } else if (who != "*") {
    return Refuse(key, "says not who is meant", "Write user:NAME, group:NAME, or *.");
  }
  if (!id) return Refuse(key, "is nobody that this host knows");
  rule.id = *id;
  status_ = file_.GetList(key, &rule.units);
  for (std::string pattern : rule.units) {
    const std::string as_it_is = pattern;
    std::ranges::replace_if(
        pattern, [](char c) { return c == '*' || c == '?'; }, 'x');
    if (IsWord(pattern, kMostUnit)) continue;
    Refuse(key, "has '" + as_it_is + "', which fits no name of a logical unit",
           "Names have letters, digits, '.', '-', '_', ',' and ':'; '*' and '?' stand for others.");
  }
  config_.allow->push_back(std::move(rule));
}

Status Reader::Read() {
  ReadEtcd();
  ReadSeconds({"cluster", "duration"}, 1, 60, &config_.duration);
  ReadPaths();
  ReadProof();
  if (ok()) ReadHost();
  if (file_.HasSection("allow")) config_.allow.emplace();
  for (const Key& key : file_.KeysOf("allow")) {
    if (ok()) ReadRule(key);
  }
  return status_;
}

}  // namespace

Status ParseConfig(std::string_view text, const std::string& path, Config* config) {
  KeyFile file(KnownKeys(), path);
  if (Status status = file.Parse(text); !status.ok()) return status;
  Config read;
  if (Status status = Reader(file, &read).Read(); !status.ok()) return status;
  *config = std::move(read);
  return Status();
}

Status ReadConfig(const std::string& path, Config* config) {
  std::string text;
  mode_t mode = 0;
  if (Status status = ReadWholeFile(path, kMostConfig, &text, &mode); !status.ok()) return status;
  if ((mode & S_IWOTH) != 0) {
    return Invalid(path + " can be written by everybody", "chmod o-w " + path + ".");
  }
  return ParseConfig(text, path, config);
}

bool MayAttach(const Config& config, const Peer& peer, const std::string& unit) {
  if (peer.user == 0 || !config.allow) return true;
  return std::ranges::any_of(*config.allow, [&](const AllowRule& rule) {
    const bool is_meant =
        rule.who == AllowRule::Who::kEverybody ||
        (rule.who == AllowRule::Who::kUser && rule.id == peer.user) ||
        (rule.who == AllowRule::Who::kGroup &&
         std::ranges::find(peer.groups, static_cast<gid_t>(rule.id)) != peer.groups.end());
    return is_meant && std::ranges::any_of(rule.units, [&](const std::string& pattern) {
             return g_pattern_match_simple(pattern.c_str(), unit.c_str()) != 0;
           });
  });
}

std::string ConfigText(const Config& config) {
  std::string text;
  const auto add = [&text](const char* name, const std::string& value) {
    std::string column = std::string(name) + ":";
    column.resize(std::max<size_t>(column.size() + 1, 20), ' ');
    text += column + Printable(value) + "\n";
  };
  const EtcdOptions& etcd = config.etcd;
  add("endpoints", Joined(etcd.endpoints, " "));
  add("TLS", etcd.tls_directory.empty() ? "no files" : "files in " + etcd.tls_directory);
  add("who we are", !etcd.user.empty()         ? "user " + etcd.user
                    : !etcd.token_file.empty() ? "token in " + etcd.token_file
                                               : "nobody, but for TLS");
  add("prefix", config.prefix);
  add("duration", std::to_string(config.duration / kSecond) + " s, of a new cluster");
  add("proof", ProofText(config));
  add("host", config.host);
  add("group", config.group.empty() ? "scsi-prd's own"
                                    : config.group + " (" + std::to_string(config.group_id) + ")");
  add("runtime directory",
      config.runtime_directory.empty() ? "by the rule for all stores" : config.runtime_directory);
  add("state directory", config.state_directory);
  add("watchdog",
      config.watchdog.empty()
          ? "none"
          : config.watchdog + ", " + std::to_string(config.watchdog_timeout / kSecond) + " s");
  for (const auto& [group, devices] : config.paths) {
    add("path group", group + ": " + Joined(devices, " "));
  }
  add("metrics file", config.metrics_file.empty() ? "none" : config.metrics_file);
  for (const auto& [name, level] : kLevels) {
    if (level == config.log_level) add("log level", name);
  }
  if (!config.allow) add("allowed", "everybody who may use the socket: *");
  if (config.allow && config.allow->empty()) add("allowed", "root alone");
  for (const AllowRule& rule : config.allow.value_or(std::vector<AllowRule>())) {
    using Who = AllowRule::Who;
    const std::string id = " (" + std::to_string(rule.id) + "): ";
    add("allowed", (rule.who == Who::kUser    ? "user " + rule.name + id
                    : rule.who == Who::kGroup ? "group " + rule.name + id
                                              : "everybody: ") +
                       Joined(rule.units, " "));
  }
  return text;
}

std::vector<std::string> NeedsRestart(const Config& running, const Config& next) {
  std::vector<std::string> names;
  const auto compare = [&names](const char* name, const auto& one, const auto& other) {
    if (one != other) names.emplace_back(name);
  };
  compare("[etcd] prefix", running.prefix, next.prefix);
  compare("[cluster] duration", running.duration, next.duration);
  compare("[host] name", running.host, next.host);
  compare("[host] group", running.group_id, next.group_id);
  compare("[host] runtime-directory", running.runtime_directory, next.runtime_directory);
  compare("[host] state-directory", running.state_directory, next.state_directory);
  compare("[host] watchdog", running.watchdog, next.watchdog);
  compare("[host] watchdog-timeout", running.watchdog_timeout, next.watchdog_timeout);
  compare("[paths]", running.paths, next.paths);
  return names;
}

}  // namespace scsi_pr::agent
