// SPDX-License-Identifier: GPL-2.0-or-later
#include "disk_model.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

namespace scsi_pr::testing {

namespace {

using Kind = DiskEvent::Kind;
constexpr size_t kSector = 512;

uint64_t Inode(int fd) {
  struct stat info = {};
  return fstat(fd, &info) == 0 ? info.st_ino : 0;
}

bool Coin(std::mt19937& random) { return random() % 2 == 0; }

void Put(std::string* contents, size_t offset, std::string_view data) {
  if (contents->size() < offset + data.size()) contents->resize(offset + data.size());
  contents->replace(offset, data.size(), data);
}

std::string Garbage(size_t size, std::mt19937& random) {
  std::string garbage(size, '\0');
  for (char& each : garbage) each = static_cast<char>(random());
  return garbage;
}

}  // namespace

std::string DiskRecorder::NameOf(const std::string& path) const {
  return path.substr(directory_.size() + 1);
}

void DiskRecorder::Add(DiskEvent event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
}

uint64_t DiskRecorder::FileOf(int fd) {
  const std::lock_guard lock(mutex_);
  const auto [found, is_new] = files_.try_emplace(Inode(fd), last_file_ + 1);
  if (is_new) last_file_++;
  return found->second;
}

// Another file may get its number once it has no name any more.
void DiskRecorder::Forget(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto node = names_.extract(name);
  if (node.empty()) return;
  const ino_t inode = node.mapped();
  const auto named = [&](const auto& each) { return each.second == inode; };
  if (std::ranges::none_of(names_, named)) files_.erase(inode);
}

void DiskRecorder::Mark(std::string text) { Add({.kind = Kind::kMark, .name = std::move(text)}); }

void DiskRecorder::Removed(const std::string& path) {
  Forget(NameOf(path));
  Add({.kind = Kind::kUnlink, .name = NameOf(path)});
}

void DiskRecorder::After(const FileCall& call) {
  const auto offset = static_cast<size_t>(call.offset);
  switch (call.kind) {
    case FileCall::Kind::kOpen:
      // A name that is known already says nothing new.
      if ((call.flags & O_CREAT) == 0 || call.path == directory_) return;
      names_[NameOf(call.path)] = Inode(call.fd);
      return Add({.kind = Kind::kCreate, .name = NameOf(call.path), .file = FileOf(call.fd)});
    case FileCall::Kind::kWrite:
      return Add({.kind = Kind::kWrite,
                  .file = FileOf(call.fd),
                  .offset = offset,
                  .data = std::string(call.data, call.size)});
    case FileCall::Kind::kSync:
      if (call.path == directory_) return Add({.kind = Kind::kSyncNames});
      return Add({.kind = Kind::kSync, .file = FileOf(call.fd)});
    case FileCall::Kind::kLink:
      names_[NameOf(call.new_path)] = names_[NameOf(call.path)];
      return Add(
          {.kind = Kind::kLink, .name = NameOf(call.path), .new_name = NameOf(call.new_path)});
    case FileCall::Kind::kRename:
      Forget(NameOf(call.new_path));
      names_[NameOf(call.new_path)] = names_[NameOf(call.path)];
      names_.erase(NameOf(call.path));
      return Add(
          {.kind = Kind::kRename, .name = NameOf(call.path), .new_name = NameOf(call.new_path)});
    case FileCall::Kind::kUnlink:
      Forget(NameOf(call.path));
      return Add({.kind = Kind::kUnlink, .name = NameOf(call.path)});
    case FileCall::Kind::kRead:
    case FileCall::Kind::kLock: return;
  }
}

uint64_t SimulatedDisk::FileNamed(const std::string& name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? 0 : found->second;
}

// A change of names.
void SimulatedDisk::Name(const DiskEvent& event) {
  Naming naming;
  if (event.kind == Kind::kCreate) {
    if (FileNamed(event.name) == event.file) return;  // it was there
    files_[event.file] = {};
    naming.changes[event.name] = event.file;
  } else {
    const uint64_t file = FileNamed(event.name);
    if (event.kind != Kind::kUnlink) naming.changes[event.new_name] = file;
    if (event.kind != Kind::kLink) naming.changes[event.name] = std::nullopt;
  }
  for (const auto& [name, file] : naming.changes) {
    if (file) {
      names_[name] = *file;
    } else {
      names_.erase(name);
    }
  }
  pending_names_.push_back(std::move(naming));
}

void SimulatedDisk::Play(const DiskEvent& event) {
  switch (event.kind) {
    case Kind::kMark: return;
    case Kind::kWrite: files_[event.file].pending.push_back(event); return;
    case Kind::kSync: {
      File& file = files_[event.file];
      std::mt19937 unused;
      file.synced = Contents(file, Loss::kNothing, unused);
      file.pending.clear();
      return;
    }
    case Kind::kSyncNames:
      synced_names_ = names_;
      pending_names_.clear();
      return;
    case Kind::kCreate:
    case Kind::kLink:
    case Kind::kRename:
    case Kind::kUnlink: return Name(event);
  }
}

std::string SimulatedDisk::Contents(const File& file, Loss loss, std::mt19937& random) {
  std::string contents = file.synced;
  if (loss == Loss::kEverything) return contents;
  const bool all = loss == Loss::kNothing;
  for (const DiskEvent& event : file.pending) {
    for (size_t done = 0; done < event.data.size();) {
      const size_t offset = event.offset + done;
      const size_t size = std::min(kSector - offset % kSector, event.data.size() - done);
      if (all || Coin(random)) {
        Put(&contents, offset, std::string_view(event.data).substr(done, size));
      } else if (offset >= file.synced.size() && Coin(random)) {
        Put(&contents, offset, Garbage(size, random));
      }
      done += size;
    }
  }
  return contents;
}

void SimulatedDisk::WriteAfterPowerLoss(const std::string& directory, Loss loss,
                                        std::mt19937& random) const {
  std::map<std::string, uint64_t> names = loss == Loss::kNothing ? names_ : synced_names_;
  if (loss == Loss::kAnything) {
    for (const Naming& naming : pending_names_) {
      if (Coin(random)) continue;
      for (const auto& [name, file] : naming.changes) {
        if (file) {
          names[name] = *file;
        } else {
          names.erase(name);
        }
      }
    }
  }
  for (const auto& [name, file] : names) {
    std::ofstream out(directory + "/" + name, std::ios::binary);
    out << Contents(files_.at(file), loss, random);
  }
}

}  // namespace scsi_pr::testing
