// One pass over the tokens of a payload. Values are written as they are met; the header of an event
// is filled in at its end, when its keys are known. An event that turns out wrong is taken back,
// and the rest of it only walked over.
#include <array>
#include <string>
#include <type_traits>

#include "eav/core/error.hpp"
#include "eav/core/event.hpp"
#include "eav/core/event_codec.hpp"
#include "eav/core/event_fault.hpp"
#include "eav/core/event_values.hpp"
#include "eav/core/json_walk.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

namespace {

// What PostgreSQL's timestamps can be, in microseconds since 2000.
constexpr std::int64_t least_timestamp = -211'813'488'000'000'000;
constexpr std::int64_t end_of_timestamps = 9'223'371'331'200'000'000;
constexpr std::int64_t epoch_2000_ms = 946'684'800'000;

enum class Key : std::uint8_t { tenant_id, entity_id, entity, observed_at, attributes, unknown };
constexpr std::array<std::string_view, 5> key_names = {"tenant_id", "entity_id", "entity",
                                                       "observed_at", "attributes"};
constexpr unsigned bit(Key key) { return 1U << static_cast<unsigned>(key); }

Key key_of(std::string_view name) {
  for (std::size_t i = 0; i < key_names.size(); ++i) {
    if (key_names[i] == name) {
      return static_cast<Key>(i);
    }
  }
  return Key::unknown;
}

constexpr bool starts_document(char c) { return c == '{' || c == '['; }
constexpr const char* no_document = "an object or an array is expected";

// The walk over one payload. Nothing in here needs a destructor: what `out` raises goes past it.
class PayloadWalk {
 public:
  PayloadWalk(std::string_view payload, const JsonIndex& index, const EventRules& rules,
              ArenaVector<std::uint8_t>& out)
      : json_(payload, index),
        rules_(rules),
        out_(out, payload.size() + EventWriter::slack),
        values_(json_, rules_, out_, rejection_) {}

  EventCounts run() {
    while (!json_.at_end()) {
      if (!starts_document(json_.peek())) {
        json_.fail(no_document);
      }
      if (json_.peek() == '{') {
        event(0);
      } else {
        array();
      }
    }
    out_.finish();
    return counts_;
  }

 private:
  void array() {
    json_.take();
    if (json_.peek() == ']') {
      json_.take();
      return;
    }
    do {
      event(1);
    } while (json_.next_element(']'));
  }

  // `depth`, here and below: of the arrays and objects around.
  void event(std::size_t depth) {
    const std::size_t text = json_.offset();
    const std::size_t record = out_.size();
    position_ += 1;
    rejection_.clear();
    seen_ = 0;
    values_.begin_event();
    tenant_id_ = rules_.tenant_id;
    entity_id_ = 0;
    observed_at_ = rules_.now;
    if (json_.peek() == '{') {
      out_.make_room(sizeof(EventHeader));
      out_.skip(sizeof(EventHeader));
      members(depth + 1);
      finish_event(record);
    } else {
      json_.skip(depth);
      rejection_.add(EventFault::wrong_type) << "event is no object";
    }
    if (rejection_) {
      out_.rewind(record);
      write_reject(json_.text_from(text));
    }
  }

  void members(std::size_t depth) {
    json_.take();
    if (json_.peek() == '}') {
      json_.take();
      return;
    }
    do {
      const JsonString name = json_.key();
      const Key key = key_of(name.is_escaped ? values_.unescaped(name) : name.raw);
      if (key == Key::unknown) {
        rejection_.add(EventFault::unknown_key) << "unknown key " << Quoted{name.raw};
      } else if ((seen_ & bit(key)) != 0) {
        rejection_.add(EventFault::duplicate_key)
            << "key " << Quoted{name.raw} << " is given twice";
      } else {
        seen_ |= bit(key);
        member(key, depth);
        continue;
      }
      json_.skip(depth);
    } while (json_.next_element('}'));
  }

  // Takes the value also when the event is rejected already.
  void member(Key key, std::size_t depth) {
    if (key == Key::tenant_id) {
      tenant_id(depth);
    } else if (rejection_) {
      json_.skip(depth);
    } else if (key == Key::entity_id) {
      entity_id_ = integer("entity_id", depth).value_or(0);
    } else if (key == Key::entity) {
      entity(depth);
    } else if (key == Key::observed_at) {
      observed_at(depth);
    } else {
      values_.attributes(depth);
    }
  }

  void tenant_id(std::size_t depth) {
    tenant_id_ = integer("tenant_id", depth);
    if (tenant_id_ && rules_.tenant_id && *tenant_id_ != *rules_.tenant_id) {
      rejection_.add(EventFault::wrong_tenant)
          << "tenant_id " << *tenant_id_ << " is not the one of this session";
    }
  }

  std::optional<std::int64_t> integer(std::string_view name, std::size_t depth) {
    if (!json_.at_number()) {
      json_.skip(depth);
      rejection_.add(EventFault::wrong_type) << name << " is no integer";
      return std::nullopt;
    }
    const JsonNumber number = json_.number();
    if (number.kind == NumberKind::integer) {
      return number.integer;
    }
    if (number.kind == NumberKind::big_integer) {
      rejection_.add(EventFault::out_of_range) << name << " is beyond 64 bits";
    } else {
      rejection_.add(EventFault::wrong_type) << name << " is no integer";
    }
    return std::nullopt;
  }

  void entity(std::size_t depth) {
    if (json_.peek() != '"') {
      json_.skip(depth);
      rejection_.add(EventFault::wrong_type) << "entity is no string";
      return;
    }
    entity_ = json_.string();
  }

  void observed_at(std::size_t depth) {
    ParseStatus status = ParseStatus::syntax;
    if (json_.peek() == '"') {
      const JsonString text = json_.string();
      status = parse_timestamp(text.is_escaped ? values_.unescaped(text) : text.raw, observed_at_);
      if (status == ParseStatus::syntax) {
        rejection_.add(EventFault::wrong_type)
            << "observed_at " << Quoted{text.raw} << " is no time";
        return;
      }
    } else if (json_.at_number()) {
      const auto milliseconds = integer("observed_at", depth);
      if (!milliseconds) {
        return;
      }
      std::int64_t since_2000 = 0;
      status = __builtin_sub_overflow(*milliseconds, epoch_2000_ms, &since_2000) ||
                       __builtin_mul_overflow(since_2000, 1000, &observed_at_)
                   ? ParseStatus::out_of_range
                   : ParseStatus::ok;
    } else {
      json_.skip(depth);
      rejection_.add(EventFault::wrong_type) << "observed_at is neither a string nor an integer";
      return;
    }
    if (status != ParseStatus::ok || observed_at_ < least_timestamp ||
        observed_at_ >= end_of_timestamps) {
      rejection_.add(EventFault::out_of_range) << "observed_at is no time that can be kept";
    } else if (observed_at_ > rules_.latest) {
      rejection_.add(EventFault::out_of_range) << "observed_at is too far in the future";
    }
  }

  void finish_event(std::size_t record) {
    const bool has_entity = (seen_ & bit(Key::entity)) != 0;
    const bool has_entity_id = (seen_ & bit(Key::entity_id)) != 0;
    if (rejection_) {
      return;
    }
    if (has_entity && has_entity_id) {
      rejection_.add(EventFault::duplicate_key) << "both entity_id and entity are given";
    } else if (!has_entity && !has_entity_id) {
      rejection_.add(EventFault::missing_key) << "neither entity_id nor entity is given";
    } else if (!tenant_id_) {
      rejection_.add(EventFault::missing_key) << "tenant_id is not given";
    } else if (values_.count() == 0) {
      rejection_.add(EventFault::missing_key) << "no attributes are given";
    } else {
      const std::size_t value_bytes = out_.size() - record - sizeof(EventHeader);
      const std::size_t values_end = out_.size();
      out_.make_room(max_name_bytes + EventWriter::slack);
      if (!has_entity || values_.write_name(entity_, "entity")) {
        out_.put_at(record, EventHeader{RecordKind::event,
                                        static_cast<std::uint8_t>(out_.size() - values_end),
                                        static_cast<std::uint16_t>(values_.count()),
                                        static_cast<std::uint32_t>(value_bytes), *tenant_id_,
                                        entity_id_, observed_at_});
        counts_.accepted += 1;
        counts_.values += values_.count();
      }
    }
  }

  void write_reject(std::string_view event) {
    // It belongs to who has sent it, whatever tenant it names.
    const std::optional<std::int64_t> tenant = rules_.tenant_id ? rules_.tenant_id : tenant_id_;
    const std::string_view reason = rejection_.reason();
    counts_.rejected += 1;
    counts_.faults[static_cast<std::size_t>(rejection_.fault())] += 1;
    out_.make_room(sizeof(RejectHeader) + reason.size() + event.size() + EventWriter::slack);
    out_.put(RejectHeader{RecordKind::reject, static_cast<std::uint8_t>(rejection_.fault()),
                          static_cast<std::uint8_t>(tenant ? 1 : 0), 0, position_,
                          tenant.value_or(0), static_cast<std::uint32_t>(reason.size()),
                          static_cast<std::uint32_t>(event.size())});
    out_.put(reason.data(), reason.size());
    out_.put_bytes(event);
  }

  JsonWalk json_;
  const EventRules& rules_;
  EventWriter out_;
  Rejection rejection_;
  ValueWriter values_;  // works on the four above
  EventCounts counts_;
  std::uint32_t position_ = 0;

  // The present event.
  unsigned seen_ = 0;  // bits of keys
  std::optional<std::int64_t> tenant_id_;
  std::int64_t entity_id_ = 0;
  JsonString entity_{};
  std::int64_t observed_at_ = 0;
};
static_assert(std::is_trivially_destructible_v<PayloadWalk>);

// The first fault of a payload that has no index, because it is malformed below its grammar: what
// is before that may be malformed as well, or forbid that a string begins there.
JsonFault first_fault(std::string_view payload, JsonIndex& index) {
  const LexicalFault lexical = find_lexical_fault(payload);
  const bool is_string = lexical.begin < payload.size() && payload[lexical.begin] == '"';
  std::string before(payload.substr(0, lexical.begin));
  before += is_string ? "\"\"" : "";
  const std::size_t size = before.size();
  before.append(json_padding, '\0');
  try {
    const std::string_view text(before.data(), size);
    index.build(text);
    JsonWalk json(text, index);
    while (!json.at_end()) {
      if (!starts_document(json.peek())) {
        json.fail(no_document);
      }
      json.skip(0);
    }
  } catch (const JsonFault& fault) {
    if (fault.offset < lexical.begin + (is_string ? 1 : 0)) {
      return fault;
    }
  }
  return lexical.fault;
}

Error error_of(const JsonFault& fault) {
  const std::string place = "At byte offset " + std::to_string(fault.offset) + ", counted from 0, ";
  if (fault.too_deep) {
    return {
        "54001", "payload is nested too deeply",
        place + "more than " + std::to_string(max_json_depth) + " arrays and objects are open."};
  }
  return {"22P02", "payload is malformed JSON", place + fault.expected + "."};
}

}  // namespace

struct EventParser::State {
  JsonIndex index;
};

EventParser::EventParser() : state_(std::make_unique<State>()) {}
EventParser::~EventParser() = default;

std::size_t EventParser::buffered_bytes() const { return state_->index.capacity(); }

EventCounts EventParser::parse(std::string_view payload, const EventRules& rules,
                               ArenaVector<std::uint8_t>& out) {
  if (payload.size() > max_payload_bytes) {
    throw Error("54000", "payload is too large",
                "It has " + std::to_string(payload.size()) + " bytes, more than " +
                    std::to_string(max_payload_bytes) + ".");
  }
  JsonIndex& index = state_->index;
  try {
    if (!index.build(payload)) {
      throw first_fault(payload, index);
    }
    if (*index.tokens() == payload.size()) {
      throw Error("22P02", "payload is empty", "It is neither an event nor an array of events.");
    }
    const EventCounts counts = PayloadWalk(payload, index, rules, out).run();
    index.release_if_large();
    return counts;
  } catch (const JsonFault& fault) {
    index.release_if_large();
    throw error_of(fault);
  } catch (...) {
    index.release_if_large();
    throw;
  }
}

}  // namespace eav::core
