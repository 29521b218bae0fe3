// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/record_bytes.h"

#include <cstring>
#include <optional>
#include <string_view>

#include "core/unit_attention.h"

namespace scsi_pr {

namespace {

class Writer {
 public:
  template <typename Int>
  void Put(Int value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void Put(const std::string& text) {
    Put(static_cast<uint16_t>(text.size()));
    bytes_ += text;
  }
  void Put(const Nexus& nexus) {
    Put(nexus.initiator.ToText());
    Put(nexus.target_port);
  }
  void Put(const std::optional<Nexus>& nexus) {
    Put(static_cast<uint8_t>(nexus.has_value()));
    if (nexus) Put(*nexus);
  }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(const std::string& bytes) : bytes_(bytes) {}

  // Zero once the bytes have ended.
  template <typename Int>
  Int Get() {
    Int value = 0;
    const std::string_view bytes = Take(sizeof value);
    if (good_) memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  Nexus GetNexus() {
    std::string error;
    const auto initiator = TransportId::FromText(Take(Get<uint16_t>()), &error);
    const auto port = Get<uint16_t>();
    if (!initiator) good_ = false;
    return good_ ? Nexus{*initiator, port} : Nexus{};
  }
  std::optional<Nexus> GetOptionalNexus() {
    if (Get<uint8_t>() == 0) return std::nullopt;
    return GetNexus();
  }
  void Refuse() { good_ = false; }
  bool good() const { return good_; }
  bool ended() const { return at_ == bytes_.size(); }

 private:
  std::string_view Take(size_t size) {
    if (!good_ || bytes_.size() - at_ < size) {
      good_ = false;
      return {};
    }
    at_ += size;
    return std::string_view(bytes_).substr(at_ - size, size);
  }

  const std::string& bytes_;
  size_t at_ = 0;
  bool good_ = true;
};

constexpr uint8_t kAptplFlag = 1;
constexpr uint8_t kLostFlag = 2;

void GetRegistrations(Reader& in, State* state) {
  const auto count = in.Get<uint32_t>();
  if (count > State::kMaxRegistrations) return in.Refuse();
  state->registrations.reserve(count);
  for (uint32_t i = 0; i < count && in.good(); i++) {
    Nexus nexus = in.GetNexus();
    state->registrations.push_back({std::move(nexus), in.Get<uint64_t>()});
  }
}

void GetReservation(Reader& in, State* state) {
  const auto type = in.Get<uint8_t>();
  if (type == 0) return;
  if (!IsKnownType(type)) return in.Refuse();
  state->reservation = Reservation{static_cast<Type>(type), in.GetOptionalNexus()};
}

void GetUnitAttentions(Reader& in, std::vector<UnitAttention>* attentions) {
  const auto count = in.Get<uint32_t>();
  for (uint32_t i = 0; i < count && in.good(); i++) {
    Nexus nexus = in.GetNexus();
    const Sense sense{in.Get<uint8_t>(), in.Get<uint8_t>(), in.Get<uint8_t>()};
    if (!IsUnitAttentionCondition(sense)) return in.Refuse();
    attentions->push_back({std::move(nexus), sense, in.GetOptionalNexus()});
  }
}

}  // namespace

std::string EncodeRecord(const Record& record) {
  Writer out;
  const State& state = record.state;
  out.Put(state.generation);
  out.Put(static_cast<uint8_t>((state.aptpl ? kAptplFlag : 0) |
                               (state.information_lost ? kLostFlag : 0)));
  out.Put(static_cast<uint32_t>(state.registrations.size()));
  for (const Registration& registration : state.registrations) {
    out.Put(registration.nexus);
    out.Put(registration.key);
  }
  out.Put(static_cast<uint8_t>(state.reservation ? state.reservation->type : Type{0}));
  if (state.reservation) out.Put(state.reservation->holder);
  out.Put(state.legacy_holder);
  out.Put(static_cast<uint32_t>(record.unit_attentions.size()));
  for (const UnitAttention& attention : record.unit_attentions) {
    out.Put(attention.nexus);
    out.Put(attention.sense.key);
    out.Put(attention.sense.asc);
    out.Put(attention.sense.ascq);
    out.Put(attention.but_not);
  }
  return out.Take();
}

bool DecodeRecord(const std::string& bytes, Record* record) {
  *record = {};
  Reader in(bytes);
  record->state.generation = in.Get<uint32_t>();
  const auto flags = in.Get<uint8_t>();
  record->state.aptpl = (flags & kAptplFlag) != 0;
  record->state.information_lost = (flags & kLostFlag) != 0;
  GetRegistrations(in, &record->state);
  GetReservation(in, &record->state);
  record->state.legacy_holder = in.GetOptionalNexus();
  GetUnitAttentions(in, &record->unit_attentions);
  return in.good() && in.ended() && !FindViolation(record->state);
}

}  // namespace scsi_pr
