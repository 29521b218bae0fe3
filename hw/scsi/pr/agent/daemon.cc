// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/daemon.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/key_file.h"
#include "agent/reading.h"
#include "agent/server.h"
#include "agent/silent_host.h"
#include "cluster/names.h"
#include "cluster/wire.h"
#include "core/guarded.h"
#include "store/uuid.h"

namespace scsi_pr::agent {

namespace {

constexpr size_t kThreads = 8;
constexpr Time kClose = 5 * kSecond;
constexpr Time kRemember = kSecond;
constexpr Time kFindAgain = 5 * kSecond;
constexpr Time kRegisterAgain = 2 * kSecond;
constexpr Time kCheckStorage = 5 * kSecond;

uint64_t Date() { return static_cast<uint64_t>(std::max<time_t>(time(nullptr), 0)); }

std::unique_ptr<StorageFence> MakeFence(Loop& loop, const Daemon::Options& options,
                                        std::shared_ptr<const RuntimeDirectory> directory) {
  if (options.config.paths.empty()) return nullptr;
  return std::make_unique<StorageFence>(
      loop, StorageFence::Options{options.config.paths, options.machine_id, std::move(directory),
                                  options.open_path, options.expand_path});
}

gid_t GroupOf(const Config& config) { return config.group.empty() ? getegid() : config.group_id; }

// Those of which a predecessor, or the VMs that go on, have the memory.
std::vector<std::string> NamesIn(const RuntimeDirectory& directory) {
  std::vector<std::string> names = directory.List(GateMemory::NameFor(cluster::MemoryIdentity("")));
  std::erase_if(names, [](const std::string& name) { return !cluster::IsClusterName(name); });
  return names;
}

// As the metrics have them.
const char* NameOf(Failure::Kind kind) {
  switch (kind) {
    case Failure::Kind::kNone: return "none";
    case Failure::Kind::kUnreachable: return "unreachable";
    case Failure::Kind::kNoAnswer: return "no-answer";
    case Failure::Kind::kBusy: return "busy";
    case Failure::Kind::kNoSpace: return "no-space";
    case Failure::Kind::kTooLarge: return "too-large";
    case Failure::Kind::kAuthentication: return "authentication";
    case Failure::Kind::kPermission: return "permission";
    case Failure::Kind::kRefused: return "refused";
    case Failure::Kind::kBadAnswer: return "bad-answer";
  }
  return "other";
}

Message MessageOf(Failure::Kind kind) {
  switch (kind) {
    case Failure::Kind::kNoSpace: return Message::kNoSpace;
    case Failure::Kind::kAuthentication:
    case Failure::Kind::kPermission: return Message::kAuthenticationFailure;
    default: return Message::kEngineUnreachable;
  }
}

}  // namespace

// The hints of one logical unit, on the loop.
class Daemon::HintSource {
 public:
  HintSource(Daemon& daemon, const std::string& name)
      : hints_(
            daemon.asker_.engine()->Hint(daemon.house_.keys.Unit(name), [&daemon, name](auto news) {
              daemon.loop_.Post([&daemon, name, news = std::move(news)] {
                const auto unit = daemon.units_.find(name);
                if (unit != daemon.units_.end()) unit->second->Look(Loop::Now(), news);
                daemon.Tick();
              });
            })) {}

 private:
  const std::unique_ptr<Engine::Hints> hints_;
};

// ---------------------------------------------------------------- Beginning

Status Daemon::Create(Options options, std::shared_ptr<Engine> engine, Log& log, Metrics& metrics,
                      std::unique_ptr<Daemon>* daemon) {
  std::shared_ptr<const RuntimeDirectory> directory;
  Status status = RuntimeDirectory::Open(options.config.runtime_directory, &directory);
  if (!status.ok()) return status;
  Membership::Memory memory;
  if (status = MemoryFile(options.config.state_directory).Read(&memory); !status.ok()) {
    return status;
  }
  std::unique_ptr<Daemon> created(
      new Daemon(std::move(options), directory, memory, std::move(engine), log, metrics));
  status = Server::Create(*created, directory, created->house_.group, &created->server_);
  if (!status.ok()) return status;
  if (status = created->TakeOver(); !status.ok()) return status;
  *daemon = std::move(created);
  return status;
}

Daemon::Daemon(Options options, std::shared_ptr<const RuntimeDirectory> directory,
               const Membership::Memory& memory, std::shared_ptr<Engine> engine, Log& log,
               Metrics& metrics)
    : options_(std::move(options)),
      directory_(std::move(directory)),
      log_(log),
      metrics_(metrics),
      memory_writer_(MemoryFile(options_.config.state_directory),
                     [&log](const Status& why) { log.Say(Message::kMemoryFailed, why); }),
      loop_([&log](const Status& thrown) { log.Say(Message::kDetail, thrown); }),
      renewals_(loop_, engine, 1,
                [this](bool writes, Time took, const Answer& a) { Heard(writes, took, a); }),
      asker_(loop_, engine, kThreads,
             [this](bool writes, Time took, const Answer& a) { Heard(writes, took, a); }),
      house_{options_.config.host,
             Keys(options_.config.prefix),
             directory_,
             GroupOf(options_.config),
             asker_,
             log_,
             metrics_,
             [] { return RandomUuid(); },
             [this](const std::string& lu, const std::optional<StateRecord>& state) {
               return See(lu, state);
             },
             [this](const std::string& host) { NeedProof(host); }},
      storage_(MakeFence(loop_, options_, directory_)),
      membership_(
          {options_.config.host, options_.machine_id, options_.boot_id, 1, options_.config.duration,
           Date, storage_ ? storage_->groups() : std::vector<std::string>()},
          house_.keys, memory, *this, house_.nonce),
      watchdog_({.path = options_.config.watchdog,
                 .time = options_.config.watchdog_timeout,
                 .arm = options_.arm_watchdog},
                ForWatchdog(), membership_, log_),
      timer_(loop_.Timer([this] { Tick(); })),
      remembered_(memory.units),
      life_(memory.life) {}

Daemon::~Daemon() {
  RememberUnits(Loop::Now());
  hosts_hints_.reset();
  hints_.clear();
  server_.reset();
  units_.clear();
}

Status Daemon::TakeOver() {
  for (const std::string& name : NamesIn(*directory_)) {
    Status why;
    if (Unit(name, &why) == nullptr) return why;
  }
  return Status();
}

void Daemon::Run() {
  TakeHints();
  Wake();
  loop_.Run();
}

void Daemon::Stop() {
  loop_.Post([this] {
    watchdog_.Stop(Loop::Now());
    Tick();
  });
}

void Daemon::Reload(Config config, std::shared_ptr<Engine> engine) {
  loop_.Post([this, config = std::move(config), engine = std::move(engine)]() mutable {
    // What needs a restart stays as it was.
    config.host = options_.config.host;
    config.prefix = options_.config.prefix;
    config.runtime_directory = options_.config.runtime_directory;
    config.state_directory = options_.config.state_directory;
    config.group = options_.config.group;
    config.group_id = options_.config.group_id;
    config.paths = options_.config.paths;
    options_.config = std::move(config);
    renewals_.UseEngine(engine);
    asker_.UseEngine(engine);
    TakeHints();
    LookAtAll();
    Tick();
  });
}

// From the engine that there is now.
void Daemon::TakeHints() {
  hints_.clear();
  for (const auto& [name, unit] : units_) {
    hints_[name] = std::make_unique<HintSource>(*this, name);
  }
  hosts_hints_ = asker_.engine()->Hint(house_.keys.Hosts(),
                                       [this](auto) { loop_.Post([this] { LookAtHosts(); }); });
}

LogicalUnit* Daemon::Unit(const std::string& name, Status* why) {
  if (const auto unit = units_.find(name); unit != units_.end()) return unit->second.get();
  std::unique_ptr<Publisher> publisher;
  *why = Publisher::Open(directory_, name, house_.group, &publisher);
  if (!why->ok()) return nullptr;
  auto unit = std::make_unique<LogicalUnit>(house_, name, std::move(publisher));
  log_.Say(Message::kMemoryOpened, UriOf(name) + " is in use on this host");
  if (membership_.phase() == Membership::Phase::kMember) {
    unit->AdmitUntil(admit_until_);
    unit->Open(Loop::Now());
  }
  hints_[name] = std::make_unique<HintSource>(*this, name);
  metrics_.Set(Metric::kLogicalUnits, static_cast<int64_t>(units_.size() + 1));
  return (units_[name] = std::move(unit)).get();
}

// ---------------------------------------------------------------- The membership's

void Daemon::Send(uint64_t request, const Transaction& transaction) {
  renewals_.Ask(transaction, alive_,
                [this, request](const Answer& answer) { Answered(request, answer); });
}

void Daemon::Answered(uint64_t request, const Answer& answer) {
  if (answer.answered()) {
    renewed_ = Loop::Now();
    contacts_.Heard(renewed_, house_.host);
    // Something has been written since the last look; a hint may have been lost.
    if (std::exchange(seen_, answer.revision) != answer.revision) LookAtAll();
  }
  metrics_.Count(Metric::kRenewals, answer.answered() ? "renewed" : "failed");
  failure_ = answer.failure;
  membership_.Answered(Loop::Now(), request, answer);
  NotePhase();
  Tick();
}

void Daemon::LookAtAll() {
  const Time now = Loop::Now();
  for (const auto& [name, unit] : units_) unit->Look(now);
}

void Daemon::LookAtHosts() {
  Transaction read;
  read.reads = {{house_.keys.Hosts(), true}};
  asker_.Ask(std::move(read), alive_, [this](const Answer& answer) {
    if (answer.answered()) contacts_.Saw(Loop::Now(), answer, house_.keys);
  });
}

void Daemon::Shut() {
  admit_until_ = 0;
  draining_ = false;
  register_ = check_storage_ = kNever;
  drained_++;
  metrics_.SetAdmitUntil(0);
  for (const auto& [name, unit] : units_) unit->Close();
}

void Daemon::Drain() { draining_ = true; }

void Daemon::Open() {
  const Time now = Loop::Now();
  for (const auto& [name, unit] : units_) unit->Open(now);
  find_left_ = now;
  if (storage_) check_storage_ = now + kCheckStorage;
}

// What this host had attached when it was switched off, or its VMs died while there was no daemon:
// whoever fences such a nexus waits for this host, where nobody uses the logical unit any more.
void Daemon::FindLeft() {
  find_left_ = kNever;
  asker_.Ask({{}, {}, {{house_.keys.All(), true}}}, alive_,
             [this](const Answer& answer) { FoundLeft(answer); });
}

void Daemon::FoundLeft(const Answer& answer) {
  if (!answer.answered()) {
    find_left_ = Loop::Now() + kFindAgain;
    return;
  }
  for (const std::string& name : UnitsAt(answer, house_.keys, house_.host)) {
    Status why;
    if (Unit(name, &why) == nullptr) log_.Say(Message::kDetail, why);
  }
}

void Daemon::Admit(Time until) {
  admit_until_ = until;
  metrics_.SetAdmitUntil(until);
  for (const auto& [name, unit] : units_) unit->AdmitUntil(until);
}

void Daemon::Remember(const Membership::Memory& memory) {
  const bool is_new_life = life_ != memory.life && !life_.empty();
  for (const auto& [name, unit] : units_) {
    if (is_new_life) unit->Forget();
  }
  // Its revisions are others.
  if (is_new_life) house_.declarations->clear();
  life_ = memory.life;
  remembered_ = memory.units;
  memory_writer_.Write(memory);
}

// What is refused is so when all this has ended: the membership shuts whoever asks this.
Status Daemon::See(const std::string& lu, const std::optional<StateRecord>& state) {
  const Status status = membership_.See(lu, state);
  seen_more_ = true;
  if (status.ok()) return status;
  loop_.Post([this, life = memory().life, status] {
    membership_.Disbelieve(life, status);
    NotePhase();
  });
  return status;
}

// A promise that may be broken must be visible.
void Daemon::WasDead(const HostRecord& record) {
  std::string under_way;
  size_t count = 0;
  for (const auto& [name, unit] : units_) {
    for (const Publisher::Slot& slot : unit->publisher().Slots()) {
      const Attachment& attachment = slot.attachment;
      if (attachment.commands == 0) continue;
      count += attachment.commands;
      under_way += "; " + std::to_string(attachment.commands) + " on " + UriOf(name) + " of " +
                   attachment.nexus.initiator.ToText();
    }
  }
  const std::string by = record.by.empty() ? "another host" : record.by;
  const std::string proof =
      record.proof.empty() ? ", without a proof"
                           : ", by the proof \"" + record.proof + "\" (" + record.proof_text + ")";
  log_.Say(Message::kWasDead, "this host was declared dead by " + by + proof + "; " +
                                  std::to_string(count) + " commands are under way here" +
                                  under_way);
}

void Daemon::NeedProof(const std::string& host) {
  ProofWays ways = options_.config.proof;
  // [paths] that were read again are taken over by a restart only.
  if (!storage_ && ways.fence_command.empty()) ways.storage = false;
  if (!ways.any() || !proving_[host].expired()) return;
  auto operation = ProveDead(house_, loop_, host, ways, storage_.get());
  proving_[host] = operation;
  Run(operation);
}

// Nothing is under way here: only now may this host register, which lets in what was fenced; and
// only then does it join, so that whoever fences it finds its registrations.
void Daemon::Emptied() {
  register_ = kNever;
  if (!storage_) return membership_.Drained(Loop::Now());
  storage_->Register([this, drained = drained_](const Status& status) {
    if (drained == drained_) Registered(status);
    Tick();
  });
}

void Daemon::Registered(const Status& status) {
  const std::string groups = "path groups " + Joined(storage_->groups(), ", ");
  if (status.ok()) {
    log_.Say(Message::kStorage, "this host is registered with its " + groups);
    membership_.Drained(Loop::Now());
  } else {
    if (storage_status_.message() != status.message()) log_.Say(Message::kStorageFailed, status);
    register_ = Loop::Now() + kRegisterAgain;
  }
  storage_status_ = status;
}

// A fencing may have come when this host was back already, and the storage may lose what it has.
void Daemon::CheckStorage(Time now) {
  check_storage_ = now + kCheckStorage;
  storage_->Check([this, drained = drained_](const Status& status) {
    if (drained != drained_ || status.code() != Status::Code::kInUse) return;
    // Who is not admitted reads first in its record that it was declared dead, and tells it.
    if (Loop::Now() > admit_until_) return;
    log_.Say(Message::kStorageFailed, status);
    membership_.Rejoin();
    NotePhase();
    Tick();
  });
}

WatchdogKeeper::House Daemon::ForWatchdog() {
  return {[this](Time now) { return now <= admit_until_; },
          [this] {
            return std::ranges::all_of(
                units_, [](const auto& unit) { return unit.second->publisher().IsEmpty(); });
          },
          [this] { Shut(); }};
}

// A disk has other things to do than to write down each change.
void Daemon::RememberUnits(Time now) {
  next_remember_ = now + kRemember;
  if (!std::exchange(seen_more_, false) || remembered_ == memory().units) return;
  remembered_ = memory().units;
  memory_writer_.Write(memory());
}

void Daemon::Refused(const Status& why) {
  refused_ = why;
  const auto message = why.code() == Status::Code::kCorrupt       ? Message::kRefusedRestored
                       : why.code() == Status::Code::kUnsupported ? Message::kRefusedNewer
                       : why.code() == Status::Code::kInUse       ? Message::kRefusedNameTaken
                                                                  : Message::kRefused;
  log_.Say(message, why);
}

void Daemon::NotePhase() {
  using Phase = Membership::Phase;
  const Phase before = std::exchange(phase_, membership_.phase());
  if (before == phase_) return;
  metrics_.Set(Metric::kMember, phase_ == Phase::kMember);
  if (phase_ == Phase::kMember) {
    refused_ = Status();
    log_.Say(Message::kJoined, "this host, " + house_.host + ", is a member of the cluster");
  } else if (before == Phase::kMember) {
    metrics_.Count(Metric::kLost);
    // Why a host is refused is told.
    if (phase_ == Phase::kRefused) return;
    log_.Say(Message::kLostMembership,
             "this host was declared dead, or its record is not its own any more: all is shut");
  }
}

Status Daemon::WhyNoMember() const {
  if (!refused_.ok()) return refused_;
  if (membership_.phase() == Membership::Phase::kMember && Loop::Now() <= admit_until_) {
    return Status();
  }
  if (membership_.phase() == Membership::Phase::kLeaving && !storage_status_.ok()) {
    return storage_status_;
  }
  const std::string detail = failure_.message.empty() ? "" : ": " + failure_.message;
  return Status::Error(
      Status::Code::kBusy, "host " + house_.host + " is not a member of its cluster now" + detail,
      failure_.hint.empty() ? "scsi-prd joins as soon as etcd answers." : failure_.hint);
}

void Daemon::Run(std::shared_ptr<Operation> operation) {
  operations_.push_back(operation);
  operation->Begin(Loop::Now());
}

// ---------------------------------------------------------------- Time

// What one of them has done may be for another one to go on with: at once, for GLib's timers are
// a millisecond late.
void Daemon::Tick() {
  constexpr int kTurns = 8;
  Time now = 0;
  Time next = 0;
  for (int turn = 0; turn < kTurns && next <= now; turn++) {
    now = Loop::Now();
    Step(now);
    if (watchdog_.has_stopped()) return loop_.Quit();
    next = NextTick(now);
  }
  // Never a loop that spins.
  timer_->SetTime(std::max(next, now + kMillisecond / 5));
}

// All that may have something to do.
void Daemon::Step(Time now) {
  membership_.Tick(now);
  if (draining_ && std::ranges::all_of(units_, [](const auto& entry) {
        return entry.second->IsClosedAndEmpty();
      })) {
    draining_ = false;
    watchdog_.Tick(now);  // what is written now says whether it is armed
    Emptied();
  }
  if (now >= register_) Emptied();
  if (now >= check_storage_) CheckStorage(now);
  for (const auto& [name, unit] : units_) {
    if (now >= unit->NextTick()) unit->Tick(now);
  }
  for (const auto& operation : operations_) {
    if (now >= operation->NextTick()) operation->Tick(now);
  }
  operations_.remove_if([](const auto& operation) { return operation->is_over(); });
  watchdog_.Tick(now);
  if (watchdog_.has_stopped()) return;
  server_->Tick(now);
  if (now >= find_left_) FindLeft();
  if (now >= next_close_) CloseIdle(now);
  if (seen_more_ && now >= next_remember_) RememberUnits(now);
}

Time Daemon::NextTick(Time now) const {
  constexpr Time kDrainPoll = 10 * kMillisecond;
  Time next = std::min({membership_.NextTick(), server_->NextTick(), watchdog_.NextTick(),
                        next_close_, find_left_, register_, check_storage_});
  if (seen_more_) next = std::min(next, next_remember_);
  if (draining_) next = std::min(next, now + kDrainPoll);
  for (const auto& [name, unit] : units_) next = std::min(next, unit->NextTick());
  for (const auto& operation : operations_) next = std::min(next, operation->NextTick());
  return next;
}

void Daemon::CloseIdle(Time now) {
  next_close_ = now + kClose;
  for (auto unit = units_.begin(); unit != units_.end();) {
    if (!unit->second->IsIdle()) {
      ++unit;
      continue;
    }
    log_.Say(Message::kMemoryClosed, UriOf(unit->first) + " is not in use here any more");
    hints_.erase(unit->first);
    unit = units_.erase(unit);
    metrics_.Set(Metric::kLogicalUnits, static_cast<int64_t>(units_.size()));
  }
}

void Daemon::Heard(bool writes, Time took, const Answer& answer) {
  metrics_.Observe(Metric::kEngineSeconds, static_cast<double>(took) / kSecond,
                   writes ? "txn" : "read");
  if (answer.outcome == Outcome::kCompareFailed) metrics_.Count(Metric::kConflicts);
  if (!answer.answered()) metrics_.Count(Metric::kEngineFailures, NameOf(answer.failure.kind));
  NoteEngine(answer);
  Wake();
}

// Once for each kind of trouble, and when it is over.
void Daemon::NoteEngine(const Answer& answer) {
  const Failure::Kind kind = answer.answered() ? Failure::Kind::kNone : answer.failure.kind;
  const Failure::Kind before = std::exchange(engine_, kind);
  if (before == kind) return;
  if (kind == Failure::Kind::kNone) return log_.Say(Message::kEngineBack, "etcd answers");
  log_.Say(MessageOf(kind),
           Status::Error(Status::Code::kIo, answer.failure.message, answer.failure.hint));
}

}  // namespace scsi_pr::agent
