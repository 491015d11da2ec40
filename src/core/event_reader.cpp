#include "eav/core/error.hpp"
#include "eav/core/event.hpp"
#include "eav/core/event_codec.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

namespace {

// Takes from the front of bytes; throws rather than read beyond `end`.
class Cursor {
 public:
  Cursor(std::span<const std::uint8_t> bytes, std::size_t at, std::size_t end)
      : bytes_(bytes), at_(at), end_(end) {}

  std::size_t at() const { return at_; }

  template <typename T>
  T take() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view take(std::size_t count) {
    require(count <= end_ - at_);
    const std::string_view taken(reinterpret_cast<const char*>(bytes_.data()) + at_, count);
    at_ += count;
    return taken;
  }

  void require(bool holds) const {
    if (!holds) {
      throw Error("XX001", "stored events are damaged",
                  "At byte " + std::to_string(at_) + " of " + std::to_string(bytes_.size()) +
                      " is something that cannot have been written.");
    }
  }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t at_;
  std::size_t end_;
};

void read_value(Cursor& cursor, EventReader::Value& value) {
  const auto name_bytes = cursor.take<std::uint8_t>();
  cursor.require(name_bytes != 0);
  value.attribute = cursor.take(name_bytes);
  const auto tag = cursor.take<ValueTag>();
  value.cleared = tag == ValueTag::cleared;
  switch (tag) {
    case ValueTag::cleared:
      return;
    case ValueTag::integer:
      value.type = DataType::integer;
      value.integer = cursor.take<std::int64_t>();
      return;
    case ValueTag::floating:
      value.type = DataType::floating;
      value.floating = cursor.take<double>();
      return;
    case ValueTag::boolean: {
      const auto truth = cursor.take<std::uint8_t>();
      cursor.require(truth <= 1);
      value.type = DataType::boolean;
      value.boolean = truth == 1;
      return;
    }
    case ValueTag::text:
      value.type = DataType::text;
      break;
    case ValueTag::numeric:
      value.type = DataType::numeric;
      break;
    case ValueTag::json:
      value.type = DataType::json;
      break;
    default:
      cursor.require(false);
  }
  value.text = cursor.take(cursor.take<std::uint32_t>());
}

void read_reject(Cursor& cursor, EventReader::Reject& reject) {
  const auto header = cursor.take<RejectHeader>();
  cursor.require(header.fault < event_fault_count && header.has_tenant <= 1 &&
                 header.position != 0);
  reject.tenant_id.reset();
  if (header.has_tenant == 1) {
    reject.tenant_id = header.tenant_id;
  }
  reject.fault = static_cast<EventFault>(header.fault);
  reject.position = header.position;
  reject.reason = cursor.take(header.reason_bytes);
  reject.event = cursor.take(header.event_bytes);
}

}  // namespace

EventReader::Kind EventReader::next(Value& value, Reject& reject) {
  Cursor record(bytes_, at_, bytes_.size());
  if (values_left_ == 0) {
    if (at_ == bytes_.size()) {
      return Kind::end;
    }
    if (bytes_[at_] == static_cast<std::uint8_t>(RecordKind::reject)) {
      read_reject(record, reject);
      at_ = record.at();
      return Kind::reject;
    }
    const auto header = record.take<EventHeader>();
    record.require(header.kind == RecordKind::event && header.values != 0 &&
                   header.values <= max_event_attributes &&
                   (header.entity_bytes == 0 || header.entity_id == 0));
    at_ = record.at();
    record.take(header.value_bytes);
    values_end_ = record.at();
    event_.entity = record.take(header.entity_bytes);
    event_.tenant_id = header.tenant_id;
    event_.entity_id = header.entity_id;
    event_.observed_at = header.observed_at;
    values_left_ = header.values;
  }
  Cursor values(bytes_, at_, values_end_);
  value.tenant_id = event_.tenant_id;
  value.entity_id = event_.entity_id;
  value.entity = event_.entity;
  value.observed_at = event_.observed_at;
  read_value(values, value);
  at_ = values.at();
  if (--values_left_ == 0) {
    values.require(at_ == values_end_);
    at_ += event_.entity.size();
  }
  return Kind::value;
}

}  // namespace eav::core
