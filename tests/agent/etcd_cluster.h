// SPDX-License-Identifier: GPL-2.0-or-later
//
// Debian's etcd on loopback, with one member or several, that goes with the object.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "../unit/temporary_directory.h"
#include "agent/http.h"

namespace scsi_pr::agent {

// Why a test cannot run here; empty if it can.
std::string WhyNoEtcd();

class EtcdCluster {
 public:
  // `arguments` go to each member; without "--cert-file" among them it is plain HTTP.
  explicit EtcdCluster(size_t members, std::vector<std::string> arguments = {});
  ~EtcdCluster();

  // All of them, beginning with that one.
  std::vector<std::string> Endpoints(size_t first = 0) const;
  size_t Leader() const;
  void Signal(size_t member, int signal) const;
  void Kill(size_t index);
  const std::string& directory() const { return directory_.path(); }

 private:
  struct Member {
    std::string client, peer;
    pid_t process = -1;
  };

  void Start(size_t index);
  void WaitFor(const Member& member) const;

  const testing::TemporaryDirectory directory_;
  const std::vector<std::string> arguments_;
  std::vector<Member> members_;
};

// The answer to a POST, whatever it says.
std::string PostTo(const std::string& url, const std::string& body, const std::string& token = "",
                   const TlsFiles& tls = {});

}  // namespace scsi_pr::agent
