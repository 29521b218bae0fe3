// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/storage_fence.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <utility>

#include "core/guarded.h"
#include "path/devices.h"
#include "path/group_file.h"
#include "path/host_key.h"
#include "path/path_group.h"
#include "store/mutex.h"
#include "store/quiet_thread.h"

namespace scsi_pr::agent {

namespace {

using Code = Status::Code;
using Options = StorageFence::Options;

constexpr Type kType = Type::kWriteExclusiveAllRegistrants;
constexpr std::chrono::seconds kLockPatience{10};
constexpr std::chrono::seconds kCommand{10};

// One group, while this process has it for itself.
class Group {
 public:
  static Status Open(const Options& options, const std::string& name,
                     std::unique_ptr<Group>* group) {
    std::unique_ptr<GroupFile> file;
    Status status = GroupFile::Open(options.directory, name, true, kLockPatience, &file);
    if (status.ok()) group->reset(new Group(options, name, std::move(file)));
    return status;
  }

  Status Register() {
    Status status = AddPaths();
    return status.ok() ? paths_->Open(OpenMode::kDefault) : status;
  }

  Status Check() {
    PathGroup::View view;
    // Without paths somebody has removed the group, with what was registered.
    if (!paths_->state().paths.empty()) {
      if (Status status = paths_->Look(&view); !status.ok()) return status;
    }
    const bool registered = std::ranges::find(view.keys, paths_->state().key) != view.keys.end();
    if (view.ours && registered) return Status();
    return Status::Error(Code::kInUse,
                         "path group " + paths_->state().name +
                             ": this host is registered no more, or the reservation is gone",
                         "Has another host fenced it, or somebody cleared it?");
  }

  Status Fence(const std::string& machine_id) {
    return paths_->PreemptAndAbort(DeriveHostKey(machine_id, paths_->state().name));
  }

 private:
  Group(const Options& options, const std::string& name, std::unique_ptr<GroupFile> file)
      : options_(options), devices_(options.groups.at(name)), file_(std::move(file)) {
    GroupState fresh;
    fresh.name = name;
    fresh.key = DeriveHostKey(options.machine_id, name);
    fresh.type = kType;
    const GroupState& saved = file_->state().value_or(fresh);
    const bool is_same = saved.key == fresh.key && saved.type == fresh.type;
    PathGroup::Options how;
    how.open = options.open;
    how.save = [this](const GroupState& state) { return file_->Save(state); };
    how.patience.command = kCommand;
    how.aptpl = true;
    paths_ = std::make_unique<PathGroup>(is_same ? saved : fresh, std::move(how));
  }

  // Those that are there now: the one that is missing today must not keep the host out.
  Status AddPaths() {
    Status first;
    size_t count = 0;
    for (const std::string& device : devices_) {
      std::vector<std::string> paths;
      Status status = options_.expand(device, &paths);
      for (const std::string& path : paths) {
        if (status.ok()) status = paths_->Add(path, PathGroup::Registering::kAtOpen);
        if (status.ok()) count++;
      }
      if (status.code() == Code::kInvalid) return status;
      if (first.ok()) first = status;
    }
    return count > 0 ? Status() : first;
  }

  const Options& options_;
  const std::vector<std::string>& devices_;
  const std::unique_ptr<GroupFile> file_;
  std::unique_ptr<PathGroup> paths_;
};

// In each group; up to the first one that fails.
Status InAll(const Options& options, const std::function<Status(Group&)>& act) {
  for (const auto& [name, devices] : options.groups) {
    std::unique_ptr<Group> group;
    Status status = Group::Open(options, name, &group);
    if (status.ok()) status = act(*group);
    if (!status.ok()) return status;
  }
  return Status();
}

}  // namespace

// Lives as long as its thread, which may wait for the storage when the fence itself is gone.
class StorageFence::Thread : public std::enable_shared_from_this<Thread> {
 public:
  Thread(Loop& loop, Options options) : options_(std::move(options)), loop_(&loop) {
    if (options_.expand) return;
    options_.expand = [](const std::string& device, std::vector<std::string>* paths) {
      return Devices().Expand(device, paths);
    };
  }

  void Start() {
    StartQuietThread([self = shared_from_this()] { self->Run(); }).detach();
  }
  const Options& options() const { return options_; }

  void Do(std::function<Status(Group&)> act, Done done) {
    const MutexLock lock(mutex_);
    jobs_.push_back({std::move(act), std::move(done)});
    wake_.NotifyOne();
  }

  void Stop() {
    const MutexLock lock(mutex_);
    loop_ = nullptr;
    wake_.NotifyOne();
  }

 private:
  struct Job {
    std::function<Status(Group&)> act;
    Done done;
  };

  bool Next(Job* job) {
    const MutexLock lock(mutex_);
    while (jobs_.empty() && loop_ != nullptr) wake_.Wait(mutex_);
    if (loop_ == nullptr) return false;
    *job = std::move(jobs_.front());
    jobs_.pop_front();
    return true;
  }

  void Run() {
    for (Job job; Next(&job);) {
      const Status status = Guarded("the storage", [&] { return InAll(options_, job.act); });
      const MutexLock lock(mutex_);
      if (loop_ == nullptr) return;
      loop_->Post([weak = weak_from_this(), done = std::move(job.done), status] {
        if (const auto self = weak.lock(); self && self->is_used()) done(status);
      });
    }
  }
  bool is_used() {
    const MutexLock lock(mutex_);
    return loop_ != nullptr;
  }

  Options options_;  // never changed after construction
  Mutex mutex_;
  Condition wake_;
  Loop* loop_ GUARDED_BY(mutex_);  // null: stopped
  std::deque<Job> jobs_ GUARDED_BY(mutex_);
};

StorageFence::StorageFence(Loop& loop, Options options)
    : thread_(std::make_shared<Thread>(loop, std::move(options))) {
  thread_->Start();
}

StorageFence::~StorageFence() { thread_->Stop(); }

std::vector<std::string> StorageFence::groups() const {
  std::vector<std::string> names;
  for (const auto& [name, devices] : thread_->options().groups) names.push_back(name);
  return names;
}

void StorageFence::Register(Done done) {
  thread_->Do([](Group& group) { return group.Register(); }, std::move(done));
}

void StorageFence::Check(Done done) {
  thread_->Do([](Group& group) { return group.Check(); }, std::move(done));
}

void StorageFence::Fence(const std::string& machine_id, Done done) {
  thread_->Do([machine_id](Group& group) { return group.Fence(machine_id); }, std::move(done));
}

}  // namespace scsi_pr::agent
