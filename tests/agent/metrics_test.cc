// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/metrics.h"

#include <glib.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <limits>
#include <sstream>
#include <thread>

#include "../unit/temporary_directory.h"

namespace scsi_pr::agent {
namespace {

bool HasLine(const std::string& text, const std::string& line) {
  return text.find("\n" + line + "\n") != std::string::npos;
}

TEST(Metrics, FromTheBeginning) {
  const std::string text = Metrics().Text(0);
  EXPECT_TRUE(text.ends_with("\n# EOF\n"));
  EXPECT_TRUE(HasLine(text, "# TYPE scsi_prd_changes counter"));
  EXPECT_TRUE(HasLine(text, "scsi_prd_changes_total{result=\"committed\"} 0")) << text;
  EXPECT_TRUE(HasLine(text, "scsi_prd_conflicts_total 0"));
  EXPECT_TRUE(HasLine(text, "scsi_prd_member 0"));
  EXPECT_TRUE(HasLine(text, "scsi_prd_admitted_seconds 0.0"));
}

TEST(Metrics, Values) {
  Metrics metrics;
  metrics.Count(Metric::kChanges, "committed");
  metrics.Count(Metric::kChanges, "committed", 4);
  metrics.Count(Metric::kDeclaredDead);
  metrics.Count(Metric::kChanges, "whatever\"}\n");
  metrics.Count(Metric::kDeclaredDead, "whatever");
  metrics.Set(Metric::kNexuses, 12);
  metrics.SetAdmitUntil(10 * kSecond);
  const std::string text = metrics.Text(3500 * kMillisecond);
  EXPECT_TRUE(HasLine(text, "scsi_prd_changes_total{result=\"committed\"} 5"));
  EXPECT_TRUE(HasLine(text, "scsi_prd_changes_total{result=\"other\"} 1"));
  EXPECT_TRUE(HasLine(text, "scsi_prd_declared_dead_total 2"));
  EXPECT_TRUE(HasLine(text, "scsi_prd_nexuses 12"));
  EXPECT_EQ(metrics.Total(Metric::kChanges), 6u);
  EXPECT_EQ(metrics.Level(Metric::kNexuses), 12);
  EXPECT_TRUE(HasLine(text, "scsi_prd_admitted_seconds 6.5"));
  EXPECT_TRUE(HasLine(metrics.Text(11 * kSecond), "scsi_prd_admitted_seconds 0.0"));
}

TEST(Metrics, Histograms) {
  Metrics metrics;
  for (const double seconds :
       {0.001, 0.002, 0.002, 100.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    metrics.Observe(Metric::kEngineSeconds, seconds, "read");
  }
  metrics.Observe(Metric::kEngineSeconds, 1, "a new one");
  metrics.Observe(Metric::kDrainSeconds, 0.25);
  const std::string text = metrics.Text(0);
  const std::string name = "scsi_prd_engine_request_seconds";
  EXPECT_TRUE(HasLine(text, name + "_bucket{request=\"read\",le=\"0.001\"} 3")) << text;
  EXPECT_TRUE(HasLine(text, name + "_bucket{request=\"read\",le=\"0.0025\"} 5"));
  EXPECT_TRUE(HasLine(text, name + "_bucket{request=\"read\",le=\"30.0\"} 5"));
  EXPECT_TRUE(HasLine(text, name + "_bucket{request=\"read\",le=\"+Inf\"} 6"));
  EXPECT_TRUE(HasLine(text, name + "_count{request=\"read\"} 6"));
  EXPECT_TRUE(HasLine(text, name + "_count{request=\"other\"} 1"));
  EXPECT_TRUE(HasLine(text, "scsi_prd_drain_seconds_bucket{le=\"0.25\"} 1"));
  EXPECT_TRUE(HasLine(text, "scsi_prd_drain_seconds_sum 0.25"));
}

// Each line is one that OpenMetrics knows, and no family comes twice.
TEST(Metrics, Form) {
  constexpr const char* kSample =
      R"re(^[a-z_]+(\{[a-z]+="[^"\\]+"(,le="[^"]+")?\})? [0-9]+(\.[0-9]+)?(e[-+][0-9]+)?$)re";
  constexpr const char* kHead =
      R"(^# (TYPE [a-z_]+ (counter|gauge|histogram)|UNIT [a-z_]+_seconds seconds|HELP [a-z_]+ .+\.|EOF)$)";
  std::istringstream text(Metrics().Text(0));
  for (std::string line; std::getline(text, line);) {
    const char* form = line.starts_with("#") ? kHead : kSample;
    EXPECT_TRUE(g_regex_match_simple(form, line.c_str(), {}, {})) << line;
  }
}

TEST(Metrics, ManyThreads) {
  Metrics metrics;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&metrics] {
      for (int n = 0; n < 1000; n++) {
        metrics.Count(Metric::kConflicts);
        if (n % 100 == 0) static_cast<void>(metrics.Text(0));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(HasLine(metrics.Text(0), "scsi_prd_conflicts_total 4000"));
}

TEST(Metrics, File) {
  const testing::TemporaryDirectory directory;
  const std::string path = directory / "scsi-prd.prom";
  for (const char* text : {"one\n", "two\n"}) {
    ASSERT_TRUE(Metrics::WriteFile(path, text).ok());
    EXPECT_EQ(testing::ReadFile(path), text);
  }
  struct stat info = {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644u) << "whoever collects it is another user";
  EXPECT_EQ(Metrics::WriteFile(directory / "no/file", "x").code(), Status::Code::kIo);
}

}  // namespace
}  // namespace scsi_pr::agent
