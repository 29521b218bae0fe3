// SPDX-License-Identifier: GPL-2.0-or-later
//
// The texts that travel when a nexus is handed over: which store it is, and what
// a hostile source may write.
#include "server/hand_over_text.h"

#include "core/envelope.h"
#include "hand_over.h"
#include "temporary_directory.h"

namespace scsi_pr {
namespace {

using namespace testing;

TEST(HandOverText, Identity) {
  const TemporaryDirectory directory;
  const auto memory = Open("memory:", A());
  const auto file = Open("file:" + (directory / "lu.pr"), A());
  const auto other = Open("file:" + (directory / "other.pr"), A());
  std::string text;
  EXPECT_TRUE(memory->Identify(&text).ok());
  EXPECT_TRUE(Open("memory:else", B())->Recognize(text).ok()) << "its state travels";
  EXPECT_FALSE(file->Recognize(text).ok());
  EXPECT_TRUE(file->Identify(&text).ok());
  EXPECT_TRUE(file->Recognize(text).ok());
  EXPECT_FALSE(memory->Recognize(text).ok());
  const Status status = other->Recognize(text);
  EXPECT_EQ(status.code(), Status::Code::kInvalid);
  EXPECT_NE(status.message().find(file->store().uri()), std::string::npos) << status.message();
  EXPECT_NE(status.message().find(other->store().uri()), std::string::npos) << status.message();
  EXPECT_NE(status.hint(), "");
  for (const std::string& bad : {std::string(), std::string("{}"), text.substr(1)}) {
    EXPECT_EQ(file->Recognize(bad).code(), Status::Code::kCorrupt) << bad;
  }
}

TEST(HandOverText, IncomingNeedsTheSourcesStore) {
  const TemporaryDirectory directory;
  for (const char* path : {"lu.pr", "no-directory/lu.pr"}) {
    std::shared_ptr<Store> store;
    const Status status =
        Store::Open("file:" + (directory / path), Store::OpenMode::kIncoming, &store);
    EXPECT_EQ(status.code(), Status::Code::kInvalid);
    EXPECT_NE(status.hint().find("host"), std::string::npos) << status.hint();
    EXPECT_FALSE(std::filesystem::exists(directory / path));
  }
}

class HostileTextTest : public ::testing::Test {
 protected:
  HandedOver Good() const {
    HandedOver handed;
    handed.nexus = A();
    handed.attachment = "x/1/1";
    handed.key = kKeyA;
    handed.unit_attentions = {sense::kReservationsReleased};
    handed.state = ReservedByA(kWE);
    return handed;
  }
  // With one member of the inner object changed, and a checksum that fits.
  static std::string With(const HandedOver& handed, const std::string& pointer,
                          const nlohmann::json& value) {
    nlohmann::json inner = nlohmann::json::parse(EncodeHandedOver(handed)).at("nexus");
    inner[nlohmann::json::json_pointer(pointer)] = value;
    return Seal({"scsi-pr-nexus", "nexus", "", 1}, 1, inner);
  }

  std::unique_ptr<DeviceServer> server_ = Open("memory:", A(), true);
};

TEST_F(HostileTextTest, RoundTrip) {
  HandedOver read;
  ASSERT_TRUE(DecodeHandedOver(EncodeHandedOver(Good()), &read).ok());
  EXPECT_EQ(EncodeHandedOver(read), EncodeHandedOver(Good()));
  EXPECT_EQ(read.unit_attentions, Good().unit_attentions);
  EXPECT_EQ(read.state, Good().state);
  EXPECT_EQ(read.key, kKeyA);
  EXPECT_TRUE(server_->Arrive(EncodeHandedOver(Good())).ok());
}

TEST_F(HostileTextTest, IsRefusedAndNothingHasChanged) {
  const auto before = StateOf(*server_);
  const std::pair<const char*, nlohmann::json> kChanges[] = {
      {"/store/kind", "disk"},
      {"/store/kind", 7},
      {"/store", nullptr},
      {"/store/id", std::string(5000, 'x')},
      {"/initiator", "nobody"},
      {"/initiator", "iqn.\xEF\xB7\x90"},
      {"/target-port", 65536},
      {"/target-port", -1},
      {"/attachment", {1}},
      {"/epoch", uint64_t{1} << 16},
      {"/epoch", 1.5},
      {"/version", "7"},
      {"/key", "0x7"},
      {"/unit-attentions", 1},
      {"/unit-attentions/0/asc", 0x29},
      {"/unit-attentions/0/asc", 256},
      {"/unit-attentions/0", "x"},
      {"/document", "{}"},
      {"/document", 1},
  };
  for (const auto& [pointer, value] : kChanges) {
    EXPECT_EQ(server_->Arrive(With(Good(), pointer, value)).code(), Status::Code::kCorrupt)
        << pointer << " " << value;
  }
  std::string text = EncodeHandedOver(Good());
  for (size_t i = 0; i < text.size(); i++) {
    std::string flipped = text;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    EXPECT_FALSE(server_->Arrive(flipped).ok()) << i;
  }
  for (size_t length = 0; length < text.size(); length++) {
    EXPECT_FALSE(server_->Arrive(text.substr(0, length)).ok());
  }
  EXPECT_FALSE(server_->Arrive(std::string(100000, '[')).ok());
  HandedOver no_state = Good();
  no_state.state.reset();
  EXPECT_EQ(server_->Arrive(EncodeHandedOver(no_state)).code(), Status::Code::kCorrupt);
  EXPECT_EQ(StateOf(*server_), before);
  EXPECT_EQ(server_->TakeOver(), Ownership::kTaken);
  EXPECT_EQ(server_->TakeUnitAttention(), std::nullopt);
}

TEST_F(HostileTextTest, OfAnotherNexusOrStore) {
  HandedOver handed = Good();
  handed.nexus = B();
  const Status status = server_->Arrive(EncodeHandedOver(handed));
  EXPECT_EQ(status.code(), Status::Code::kInvalid);
  EXPECT_NE(status.message().find(B().initiator.ToText()), std::string::npos);
  handed = Good();
  handed.store.kind = StoreIdentity::Kind::kFile;
  handed.state.reset();
  EXPECT_EQ(server_->Arrive(EncodeHandedOver(handed)).code(), Status::Code::kInvalid);
}

TEST_F(HostileTextTest, Newer) {
  const nlohmann::json inner = nlohmann::json::parse(EncodeHandedOver(Good())).at("nexus");
  const std::string text = Seal({"scsi-pr-nexus", "nexus", "", 2}, 2, inner);
  EXPECT_EQ(server_->Arrive(text).code(), Status::Code::kUnsupported);
}

// What the source calls itself is printed.
TEST_F(HostileTextTest, NoControlCharactersInMessages) {
  for (const std::string uri : {"file:/\n\x1b[2J\xff", "file:/\xC2\x9B\xEF\xB7\x90\xE2\x80\xAE"}) {
    const StoreIdentity identity{StoreIdentity::Kind::kFile, "x", uri};
    const Status status = server_->Recognize(EncodeIdentity(identity));
    EXPECT_NE(status.message().find("file:/"), std::string::npos);
    for (const char* bad : {"\n", "\x1b", "\xff", "\xC2\x9B", "\xEF\xB7\x90", "\xE2\x80\xAE"}) {
      EXPECT_EQ(status.message().find(bad), std::string::npos) << status.message();
    }
  }
}

// A nonce in a gate that a hostile neighbour has written to.
TEST_F(HostileTextTest, AttachmentThatIsNotUtf8) {
  HandedOver handed = Good();
  handed.attachment = "\xff";
  HandedOver read;
  EXPECT_TRUE(DecodeHandedOver(EncodeHandedOver(handed), &read).ok()) << "and nothing is thrown";
}

}  // namespace
}  // namespace scsi_pr
