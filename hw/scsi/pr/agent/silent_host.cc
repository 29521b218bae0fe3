// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/silent_host.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "agent/fence_command.h"
#include "agent/host_operation.h"
#include "agent/key_file.h"

namespace scsi_pr::agent {

namespace {

constexpr Time kPatience = 90 * kSecond;
constexpr Time kSeek = 600 * kSecond;
constexpr Time kFenceAgain = 5 * kSecond;

// A boot id with and without dashes, as /proc and systemd have it, is one.
std::string Digits(std::string boot_id) {
  std::erase(boot_id, '-');
  return boot_id;
}

Status NoSuchHost(const std::string& host) {
  return Status::Error(Status::Code::kInvalid, "there is no host " + host,
                       "scsi-pr hosts lists them.");
}

Status Lives(const std::string& host, const char* before) {
  return Status::Error(Status::Code::kInUse, "host " + host + " lives: it has answered",
                       std::string("Stop scsi-prd there, or end the machine, ") + before);
}

// Suspect, dead, gone: one write after the other.
class Forgetting : public HostOperation {
 public:
  Forgetting(House& house, const std::string& host, std::shared_ptr<Client> client)
      : HostOperation(house, host, std::move(client), kPatience) {}

 private:
  void Gone() override {
    if (seen_) return Good(nlohmann::json::object());
    Bad(NoSuchHost(host()));
  }
  void Found(const HostRecord& record, Time now) override {
    if (record.state == HostRecord::State::kDead) {
      seen_ = true;
      return Write(std::nullopt);
    }
    if (!Declare(record, now)) Bad(Lives(host(), "before it is forgotten."));
  }

  bool seen_ = false;  // dead
};

class Confirming : public HostOperation {
 public:
  Confirming(House& house, Confirmation confirmation, std::shared_ptr<Client> client)
      : HostOperation(house, confirmation.host, std::move(client), kPatience),
        confirmation_(std::move(confirmation)) {}

  void Begin(Time now) override {
    if (host() == house().host) {
      return Bad(Status::Error(Status::Code::kInvalid, host() + " is this host itself, and lives",
                               "Confirm it on another host, when this one is off."));
    }
    HostOperation::Begin(now);
  }

 private:
  void Gone() override { Bad(NoSuchHost(host())); }
  void Found(const HostRecord& record, Time now) override {
    if (Digits(record.boot_id) != Digits(confirmation_.boot_id)) return Bad(OtherBoot(record));
    if (record.state != HostRecord::State::kDead) {
      if (!Declare(record, now)) Bad(Lives(host(), "before that is confirmed."));
      return;
    }
    if (!record.proof.empty()) {
      return Good({{"proof", record.proof}, {"proof-text", record.proof_text}});
    }
    HostRecord proved = record;
    proved.proof = Proof::kConfirmed;
    proved.proof_text = confirmation_.words;
    proved.nonce = house().nonce();
    house().log.Say(Message::kProof, "host " + host() + " is confirmed dead, by " +
                                         confirmation_.words + ", boot " + record.boot_id);
    Write(proved);
  }
  // What joins has drained before, and what has booted has nothing under way.
  Status OtherBoot(const HostRecord& record) const {
    return Status::Error(
        Status::Code::kInvalid,
        "the boot of host " + host() + " is " + record.boot_id + ", not " + confirmation_.boot_id,
        "If it has booted again, of the boot before there is nothing left to confirm. Else look at "
        "scsi-pr hosts.");
  }

  const Confirmation confirmation_;
};

class Seeking : public HostOperation {
 public:
  Seeking(House& house, Loop& loop, const std::string& host, ProofWays ways, StorageFence* fence)
      : HostOperation(house, host, nullptr, kNever),
        loop_(loop),
        ways_(std::move(ways)),
        fence_(fence) {}

  void Begin(Time now) override {
    until_ = now + kSeek;
    HostOperation::Begin(now);
  }
  void Tick(Time now) override {
    if (ended_) return;
    if (now >= until_) End();
    HostOperation::Tick(now);
  }
  Time NextTick() const override { return ended_ ? kNever : HostOperation::NextTick(); }

 private:
  // Somebody may mend it before there is nothing more to seek.
  bool IsInVain(const Failure&) const override { return false; }
  void Gone() override { End(); }
  void Found(const HostRecord& record, Time now) override {
    const bool is_another = !incarnation_.empty() && record.incarnation != incarnation_;
    if (is_another || record.state != HostRecord::State::kDead || !record.proof.empty()) {
      return End();
    }
    if (incarnation_.empty()) {
      incarnation_ = record.incarnation;
      // Its admission had ended when that was written, so before it was read.
      dead_since_ = now;
    }
    if (ways_.lease) return Prove(record, Proof::kLease, "its admission has ended");
    if (ways_.storage && IsFenced()) return Prove(record, Proof::kStorage, fenced_by_);
    if (ways_.watchdog && record.watchdog != 0 &&
        now > dead_since_ + Declaration::Wait(kWatchdogTurns * record.watchdog)) {
      return Prove(record, Proof::kWatchdog,
                   "of " + std::to_string(record.watchdog / kSecond) + " s, " +
                       std::to_string((now - dead_since_) / kSecond) + " s after its death");
    }
    if (ways_.storage && !fencing_ && now >= next_fence_) Fence(record);
  }

  // Not before what it has begun, which is not worth a zombie.
  void End() {
    ended_ = true;
    is_over_ = !fencing_;
  }

  void Prove(const HostRecord& record, const char* proof, const std::string& words) {
    HostRecord proved = record;
    proved.proof = proof;
    proved.proof_text = words;
    proved.nonce = house().nonce();
    house().log.Say(Message::kProof,
                    "host " + host() + " is dead, by the proof \"" + proof + "\": " + words);
    Write(proved);
  }

  // One after the other: at the disks, and by the command, for what is elsewhere.
  bool IsFenced() const {
    return (at_disks_ || by_command_) && (fence_ == nullptr || at_disks_) &&
           (ways_.fence_command.empty() || by_command_);
  }
  void Fence(const HostRecord& record) {
    fencing_ = true;
    if (fence_ != nullptr && !at_disks_) return FenceAtDisks(record);
    command_ = std::make_unique<FenceCommand>(
        loop_, std::vector{ways_.fence_command, host(), record.boot_id},
        [this](const Status& status) {
          command_.reset();
          Ended(&by_command_, ways_.fence_command, status);
        });
  }
  void FenceAtDisks(const HostRecord& record) {
    const std::string groups = Joined(fence_->groups(), ", ");
    const auto done = [this, groups](const Status& status) { Ended(&at_disks_, groups, status); };
    if (record.paths == fence_->groups()) return fence_->Fence(record.machine_id, done);
    const std::string theirs = record.paths.empty() ? "none" : Joined(record.paths, ", ");
    done(Status::Error(Status::Code::kInvalid,
                       "host " + host() + " is registered with these path groups: " + theirs +
                           "; this one with: " + groups,
                       "Have [paths] name the same groups on all hosts."));
  }
  void Ended(bool* part, const std::string& by, const Status& status) {
    fencing_ = false;
    *part = status.ok();
    // With success the next part is due, or the proof.
    next_fence_ = status.ok() ? 0 : Loop::Now() + kFenceAgain;
    is_over_ = ended_;
    if (status.ok()) fenced_by_ += (fenced_by_.empty() ? "" : " and ") + by;
    if (!status.ok()) house().log.Say(Message::kFenceFailed, status);
  }

  Loop& loop_;
  const ProofWays ways_;
  std::string incarnation_;  // whose death is to be proved
  Time dead_since_ = 0;
  Time until_ = 0;
  StorageFence* const fence_;              // null: none
  std::unique_ptr<FenceCommand> command_;  // that runs
  bool fencing_ = false;                   // one of the two is under way
  bool at_disks_ = false, by_command_ = false;
  std::string fenced_by_;
  Time next_fence_ = 0;
  bool ended_ = false;
};

}  // namespace

std::shared_ptr<Operation> ForgetHost(House& house, const std::string& host,
                                      std::shared_ptr<Client> client) {
  return std::make_shared<Forgetting>(house, host, std::move(client));
}

std::shared_ptr<Operation> ConfirmHostDead(House& house, Confirmation confirmation,
                                           std::shared_ptr<Client> client) {
  return std::make_shared<Confirming>(house, std::move(confirmation), std::move(client));
}

std::shared_ptr<Operation> ProveDead(House& house, Loop& loop, const std::string& host,
                                     const ProofWays& ways, StorageFence* fence) {
  return std::make_shared<Seeking>(house, loop, host, ways, fence);
}

}  // namespace scsi_pr::agent
