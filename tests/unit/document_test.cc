// SPDX-License-Identifier: GPL-2.0-or-later
//
// The canonical document: what it promises in core/document.h.
#include "core/document.h"

#include <glib.h>

#include <nlohmann/json.hpp>

#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;
using nlohmann::json;
using Code = Status::Code;

State Example() {
  return Given()
      .Registered(A(), 0xDEADBEEF)
      .Registered(MakeNexus("iqn.\xC3\xA4,i,0x00023d000001", 65535), 0xFFFFFFFFFFFFFFFF)
      .Reserved(kWERO, A())
      .Aptpl()
      .Generation(0xFFFFFFFF);
}

Code Decode(const std::string& text) {
  const State before = ReservedByA(kEA);
  State state = before;
  const Status status = DecodeDocument(text, &state);
  if (!status.ok()) {
    EXPECT_EQ(state, before) << "nothing is touched on error";
    EXPECT_FALSE(status.message().empty());
  }
  return status.code();
}

// `text` as the header describes it: dumped without spaces, members sorted.
std::string Sha256(const std::string& text) {
  gchar* digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text.data(),
                                                static_cast<gssize>(text.size()));
  const std::string checksum = std::string("sha256:") + digest;
  g_free(digest);
  return checksum;
}

// Changes the example's members by `change`, with a checksum that fits.
template <typename Change>
std::string Forged(Change change) {
  json document = json::parse(EncodeDocument(Example()));
  change(document.at("state"));
  document["checksum"] = Sha256(document.at("state").dump());
  return document.dump();
}

TEST(Document, Exactly) {
  const State state =
      Given().Registered(MakeNexus("iqn.a", 2), 0xDEADBEEF).Reserved(kWE, MakeNexus("iqn.a", 2));
  const std::string body =
      R"({"aptpl":false,"pr-generation":0,"registrations":[{"initiator":"iqn.a",)"
      R"("key":"0x00000000deadbeef","target-port":2}],"reservation":{"holder":)"
      R"({"initiator":"iqn.a","target-port":2},"scope":"logical-unit","type":"write-exclusive"}})";
  EXPECT_EQ(EncodeDocument(state), R"({"checksum":")" + Sha256(body) +
                                       R"(","format":"scsi-pr","schema":1,"state":)" + body + "}");
}

TEST(Document, RoundTrip) {
  Clause("5.6.3: what is kept");
  std::vector<State> states = {State{}, Example()};
  for (Type type : kAllTypes) states.push_back(ReservedByA(type));
  states.push_back(
      Given().Registered(AtAll(A()), 1).Registered(B(), 2).Reserved(kEA, At(A(), 65535)));
  for (const State& state : states) {
    const std::string text = EncodeDocument(state);
    EXPECT_EQ(text.find('\n'), std::string::npos);
    State decoded = ReservedByA(kEA);
    const Status status = DecodeDocument(text, &decoded);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(decoded, state);
    EXPECT_EQ(EncodeDocument(decoded), text);
  }
}

TEST(Document, Reformatted) {
  EXPECT_EQ(Decode(json::parse(EncodeDocument(Example())).dump(2)), Code::kOk)
      << "the checksum is of the contents, not of the spaces";
}

TEST(Document, OptionalMembers) {
  const json none = StateToJson(State{});
  EXPECT_FALSE(none.contains("reservation"));
  EXPECT_FALSE(StateToJson(ReservedByA(kWEAR)).at("reservation").contains("holder"));
  EXPECT_TRUE(StateToJson(ReservedByA(kWE)).at("reservation").contains("holder"));
}

// 64-bit numbers do not survive readers that use doubles.
TEST(Document, KeysAreText) {
  EXPECT_EQ(KeyToText(0), "0x0000000000000000");
  EXPECT_EQ(KeyToText(0xDEADBEEF), "0x00000000deadbeef");
  EXPECT_EQ(KeyToText(0xFFFFFFFFFFFFFFFF), "0xffffffffffffffff");
}

// Target port 0 in a registration: all of them.
TEST(Document, AllTargetPorts) {
  EXPECT_EQ(Decode(Forged([](json& s) { s["registrations"][0]["target-port"] = 0; })), Code::kOk);
  EXPECT_EQ(StateToJson(Given().Registered(AtAll(A()), 1))["registrations"][0]["target-port"], 0);
}

TEST(Document, EveryTruncation) {
  const std::string text = EncodeDocument(Example());
  for (size_t size = 0; size < text.size(); size++) {
    EXPECT_EQ(Decode(text.substr(0, size)), Code::kCorrupt) << size;
  }
}

// No flipped bit goes unnoticed.
TEST(Document, EveryFlippedBit) {
  const std::string text = EncodeDocument(Example());
  for (size_t i = 0; i < text.size() * 8; i++) {
    std::string damaged = text;
    damaged[i / 8] = static_cast<char>(damaged[i / 8] ^ (1 << i % 8));
    EXPECT_NE(Decode(damaged), Code::kOk) << "byte " << i / 8 << ": " << damaged;
  }
}

TEST(Document, NotADocument) {
  for (const char* text : {"", " ", "null", "[]", "{}", "42", "\"text\"", "\xFF\xFE", "{\"a\":1}",
                           "SQLite format 3", "[[[[[[[[", "{\"format\":\"scsi-pr\"}"}) {
    EXPECT_EQ(Decode(text), Code::kCorrupt) << text;
  }
  EXPECT_EQ(Decode(EncodeDocument(State{}) + "x"), Code::kCorrupt) << "something behind it";
  EXPECT_EQ(Decode(EncodeDocument(State{}) + EncodeDocument(State{})), Code::kCorrupt);
}

// Far deeper than any stack, and valid JSON.
TEST(Document, NestedTooDeeply) {
  constexpr size_t kDepth = 500000;
  const std::string nested = std::string(kDepth, '[') + std::string(kDepth, ']');
  EXPECT_EQ(Decode(nested), Code::kCorrupt);
  EXPECT_EQ(Decode(R"({"format":"scsi-pr","schema":1,"checksum":"","state":)" + nested + "}"),
            Code::kCorrupt);
}

TEST(Document, AnotherFormat) {
  json document = json::parse(EncodeDocument(State{}));
  document["format"] = "something-else";
  EXPECT_EQ(Decode(document.dump()), Code::kCorrupt);
}

// A newer schema is recognized whatever else it has changed.
TEST(Document, NewerSchema) {
  EXPECT_EQ(Decode(R"({"format":"scsi-pr","schema":3})"), Code::kUnsupported);
  json document = json::parse(EncodeDocument(Example()));
  for (const int64_t schema :
       {int64_t{3}, int64_t{1000}, int64_t{1} << 31, (int64_t{1} << 32) + 1, INT64_MAX}) {
    document["schema"] = schema;
    EXPECT_EQ(Decode(document.dump()), Code::kUnsupported) << schema;
  }
}

TEST(Document, SchemaThatNeverWas) {
  json document = json::parse(EncodeDocument(Example()));
  for (const json& schema : {json(0), json(-1), json("1"), json(1.5), json(nullptr), json(true)}) {
    document["schema"] = schema;
    EXPECT_EQ(Decode(document.dump()), Code::kCorrupt) << schema;
  }
  document.erase("schema");
  EXPECT_EQ(Decode(document.dump()), Code::kCorrupt);
}

TEST(Document, Checksum) {
  json document = json::parse(EncodeDocument(Example()));
  for (const json& checksum :
       {json(""), json("sha256:"), json(Sha256("")), json(0), json(nullptr)}) {
    document["checksum"] = checksum;
    EXPECT_EQ(Decode(document.dump()), Code::kCorrupt) << checksum;
  }
}

// What schema 1 can say is of schema 1, so that whoever knows no more reads it.
TEST(Document, SchemaOfWhatItSays) {
  const auto schema = [](const State& state) {
    return json::parse(EncodeDocument(state)).at("schema").get<int>();
  };
  EXPECT_EQ(schema(State{}), 1);
  EXPECT_EQ(schema(Example()), 1);
  EXPECT_EQ(schema(Given().LegacyHolder(A())), 2);
  EXPECT_EQ(schema(Given().Lost()), 2);
}

TEST(Document, LegacyHolderExactly) {
  const std::string body =
      R"({"aptpl":false,"legacy-holder":{"initiator":"iqn.a","target-port":2},)"
      R"("pr-generation":3,"registrations":[]})";
  EXPECT_EQ(EncodeDocument(Given().LegacyHolder(MakeNexus("iqn.a", 2)).Generation(3)),
            R"({"checksum":")" + Sha256(body) + R"(","format":"scsi-pr","schema":2,"state":)" +
                body + "}");
}

TEST(Document, Schema2RoundTrips) {
  const State kStates[] = {Given().LegacyHolder(At(A(), 65535)).Aptpl(), Given().Lost(),
                           Given().Registered(A(), 1).Reserved(kWE, A()).Aptpl().Lost()};
  for (const State& state : kStates) {
    State decoded;
    EXPECT_TRUE(DecodeDocument(EncodeDocument(state), &decoded).ok());
    EXPECT_EQ(decoded, state);
  }
}

// One state, one document: the lowest schema that can say it is the only one.
TEST(Document, HigherSchemaThanNeeded) {
  json document = json::parse(EncodeDocument(State{}));
  document["schema"] = 2;
  EXPECT_EQ(Decode(document.dump()), Code::kCorrupt);
}

// Under schema 1 older programs would let everybody in: it never is.
TEST(Document, Schema2UnderTheNameOfSchema1) {
  for (const State& state : {State(Given().LegacyHolder(A())), State(Given().Lost())}) {
    json document = json::parse(EncodeDocument(state));
    document["schema"] = 1;
    EXPECT_EQ(Decode(document.dump()), Code::kCorrupt);
  }
}

TEST(Document, Schema2Invariants) {
  const auto decode = [](void (*change)(json&)) {
    json document = json::parse(EncodeDocument(Given().LegacyHolder(A())));
    change(document.at("state"));
    document["checksum"] = Sha256(document.at("state").dump());
    return Decode(document.dump());
  };
  EXPECT_EQ(decode([](json&) {}), Code::kOk);
  EXPECT_EQ(decode([](json& s) { s["legacy-holder"] = nullptr; }), Code::kCorrupt);
  EXPECT_EQ(decode([](json& s) { s["legacy-holder"] = "naa.5000000000000001"; }), Code::kCorrupt);
  EXPECT_EQ(decode([](json& s) { s["legacy-holder"]["target-port"] = 0; }), Code::kCorrupt);
  EXPECT_EQ(decode([](json& s) { s["legacy-holder"].erase("initiator"); }), Code::kCorrupt);
  EXPECT_EQ(decode([](json& s) { s["information-lost"] = true; }), Code::kCorrupt);
  EXPECT_EQ(decode([](json& s) { s["information-lost"] = 1; }), Code::kCorrupt);
  EXPECT_EQ(decode([](json& s) {
              s["registrations"] = StateToJson(Given().Registered(A(), 1))["registrations"];
            }),
            Code::kCorrupt);
}

struct Change {
  const char* what;
  void (*change)(json& state);
};

// Damage behind a checksum that fits.
constexpr Change kChanges[] = {
    {"no generation", [](json& s) { s.erase("pr-generation"); }},
    {"negative generation", [](json& s) { s["pr-generation"] = -1; }},
    {"33-bit generation", [](json& s) { s["pr-generation"] = int64_t{1} << 32; }},
    {"fraction", [](json& s) { s["pr-generation"] = 1.5; }},
    {"no aptpl", [](json& s) { s.erase("aptpl"); }},
    {"aptpl is a number", [](json& s) { s["aptpl"] = 1; }},
    {"no registrations", [](json& s) { s.erase("registrations"); }},
    {"registration is a number", [](json& s) { s["registrations"][0] = 1; }},
    {"no key", [](json& s) { s["registrations"][0].erase("key"); }},
    {"key is a number", [](json& s) { s["registrations"][0]["key"] = 1; }},
    {"key 0", [](json& s) { s["registrations"][0]["key"] = "0x0000000000000000"; }},
    {"key without 0x", [](json& s) { s["registrations"][0]["key"] = "000000000000000001"; }},
    {"short key", [](json& s) { s["registrations"][0]["key"] = "0x1"; }},
    {"long key", [](json& s) { s["registrations"][0]["key"] = "0x00000000000000001"; }},
    {"signed key", [](json& s) { s["registrations"][0]["key"] = "0x-000000000000001"; }},
    {"key with a letter", [](json& s) { s["registrations"][0]["key"] = "0x000000000000000g"; }},
    {"no initiator", [](json& s) { s["registrations"][0].erase("initiator"); }},
    {"bad initiator", [](json& s) { s["registrations"][0]["initiator"] = "naa.1"; }},
    {"initiator with a noncharacter",
     [](json& s) { s["registrations"][1]["initiator"] = "iqn.\xEF\xB7\x90"; }},
    {"initiator with a control character",
     [](json& s) { s["registrations"][1]["initiator"] = "iqn.\xC2\x85"; }},
    {"initiator of parallel SCSI", [](json& s) { s["registrations"][1]["initiator"] = "spi.7,1"; }},
    {"no target port", [](json& s) { s["registrations"][0].erase("target-port"); }},
    {"target port -1", [](json& s) { s["registrations"][0]["target-port"] = -1; }},
    {"holder at all target ports", [](json& s) { s["reservation"]["holder"]["target-port"] = 0; }},
    {"all target ports and one of them",
     [](json& s) {
       s["registrations"].push_back(s["registrations"][0]);
       s["registrations"].back()["target-port"] = 0;
     }},
    {"target port 65536", [](json& s) { s["registrations"][0]["target-port"] = 65536; }},
    {"one nexus twice", [](json& s) { s["registrations"].push_back(s["registrations"][0]); }},
    {"unknown type", [](json& s) { s["reservation"]["type"] = "read-shared"; }},
    {"type is a number", [](json& s) { s["reservation"]["type"] = 5; }},
    {"unknown scope", [](json& s) { s["reservation"]["scope"] = "element"; }},
    {"no holder", [](json& s) { s["reservation"].erase("holder"); }},
    {"holder not registered", [](json& s) { s["reservation"]["holder"]["target-port"] = 9; }},
    {"all registrants with a holder",
     [](json& s) { s["reservation"]["type"] = "write-exclusive-all-registrants"; }},
    {"reservation null", [](json& s) { s["reservation"] = nullptr; }},
    // Not canonical: another text for the same state.
    {"initiator in capitals",
     [](json& s) { s["registrations"][0]["initiator"] = "NAA.5000000000000001"; }},
    {"key in capitals", [](json& s) { s["registrations"][0]["key"] = "0x00000000DEADBEEF"; }},
    {"unknown member", [](json& s) { s["more"] = 1; }},
    {"unknown member of a registration", [](json& s) { s["registrations"][0]["more"] = 1; }},
    {"registrations by name",
     [](json& s) {
       const json list = s["registrations"];
       s["registrations"] = {{"a", list[0]}, {"b", list[1]}};
     }},
};

TEST(Document, Invariants) {
  EXPECT_EQ(Decode(Forged([](json&) {})), Code::kOk);
  for (const Change& change : kChanges) {
    EXPECT_EQ(Decode(Forged(change.change)), Code::kCorrupt) << change.what;
  }
}

}  // namespace
}  // namespace scsi_pr
