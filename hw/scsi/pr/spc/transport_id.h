// SPDX-License-Identifier: GPL-2.0-or-later
//
// TransportID: the name of an initiator port (SPC-3 7.5.4).
//
// A value type. Two TransportIDs are equal when they name the same initiator
// port. The text form is what users type (`pr-initiator=`), what the state
// document holds and what QMP shows:
//
//   protocol  text                                      bytes (SPC-3)
//   FCP       21:00:00:e0:8b:05:05:04  (or 0x + 16 hex) 7.5.4.2
//   SRP       srp. + 32 hex            (or 0x + 32 hex) 7.5.4.5
//   iSCSI     iqn.…  or  iqn.…,i,0x + 12 hex (ISID)     7.5.4.6
//   SAS       naa. + 16 hex                             7.5.4.7
//
// An iSCSI name of another kind than iqn. or eui. is written `iscsi:NAME`. There are no
// others: a TransportID of parallel SCSI, say, can be no initiator port's here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "spc/bytes.h"

namespace scsi_pr {

class TransportId {
 public:
  // PROTOCOL IDENTIFIER (SPC-3 7.5.1).
  enum class Protocol : uint8_t { kFcp = 0x0, kSrp = 0x4, kIscsi = 0x5, kSas = 0x6 };

  // RFC 3720 3.2.6.1: an iSCSI name has at most 223 bytes.
  static constexpr size_t kMaxIscsiName = 223;
  // The longest text form: `iscsi:` NAME `,i,0x` ISID.
  static constexpr size_t kMaxText = 6 + kMaxIscsiName + 5 + 12;

  TransportId() = default;

  // Parses the text form. On failure returns nothing and says in `*error`
  // what is wrong with the text and what would be right.
  static std::optional<TransportId> FromText(std::string_view text, std::string* error);

  // Parses the TransportID at the start of `bytes` (which may be longer: a
  // list of them). On success `*consumed` is its length. Returns nothing for
  // an unknown protocol or format, a truncated or a malformed TransportID.
  static std::optional<TransportId> Decode(ByteSpan bytes, size_t* consumed);

  std::string ToText() const;
  // 24 bytes, or more (a multiple of four) for an iSCSI name.
  ByteVector Encode() const;

  Protocol protocol() const { return protocol_; }

  friend bool operator==(const TransportId&, const TransportId&) = default;

 private:
  TransportId(Protocol protocol, std::string name) : protocol_(protocol), name_(std::move(name)) {}

  static std::optional<TransportId> FromIscsiText(std::string_view text, std::string* error);
  static std::optional<TransportId> DecodeIscsi(ByteSpan bytes, size_t* consumed);
  ByteVector EncodeIscsi() const;

  Protocol protocol_ = Protocol::kSas;
  // iSCSI: the name, lower case, then `,i,0x` and the ISID where there is
  // one. Others: the port name or identifier as it stands in the TransportID.
  std::string name_ = std::string(8, '\0');
};

}  // namespace scsi_pr
