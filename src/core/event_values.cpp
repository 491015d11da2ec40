#include "eav/core/event_values.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

void ValueWriter::attributes(std::size_t depth) {
  if (json_.peek() != '{') {
    json_.skip(depth);
    rejection_.add(EventFault::wrong_type) << "attributes is no object";
    return;
  }
  json_.take();
  if (json_.peek() == '}') {
    json_.take();
    return;
  }
  do {
    const JsonString name = json_.key();
    if (rejection_ || !begin_value(name)) {
      json_.skip(depth + 1);
    } else {
      value(name, depth + 1);
    }
  } while (json_.next_element('}'));
}

bool ValueWriter::begin_value(const JsonString& name) {
  if (count_ == max_event_attributes) {
    rejection_.add(EventFault::too_large)
        << "event has more than " << static_cast<std::int64_t>(max_event_attributes)
        << " attributes";
    return false;
  }
  ++count_;
  out_.make_room(1 + max_name_bytes + EventWriter::slack);
  const std::size_t place = out_.size();
  out_.skip(1);
  if (!write_name(name, "attribute name")) {
    return false;
  }
  out_.put_at(place, static_cast<std::uint8_t>(out_.size() - place - 1));
  return true;
}

bool ValueWriter::write_name(const JsonString& name, std::string_view what) {
  if (!name.is_escaped && !name.raw.empty() && name.raw.size() <= max_name_bytes &&
      !contains_byte(name.raw, '\x7f')) {  // no other control characters are in JSON strings
    out_.put_bytes(name.raw);
    return true;
  }
  if (name.has_nul) {
    rejection_.add(EventFault::out_of_range)
        << what << ' ' << Quoted{name.raw} << " contains a NUL character";
    return false;
  }
  const std::string_view plain = name.is_escaped ? unescaped(name) : name.raw;
  switch (check_name(plain)) {
    case NameStatus::ok:
      break;
    case NameStatus::empty:
      rejection_.add(EventFault::invalid_name) << what << " is empty";
      return false;
    case NameStatus::too_long:
      rejection_.add(EventFault::invalid_name)
          << what << ' ' << Quoted{name.raw} << " is longer than "
          << static_cast<std::int64_t>(max_name_bytes) << " bytes";
      return false;
    case NameStatus::control_character:
      rejection_.add(EventFault::invalid_name)
          << what << ' ' << Quoted{name.raw} << " contains a control character";
      return false;
  }
  out_.skip(plain.size());
  return true;
}

void ValueWriter::value(const JsonString& name, std::size_t depth) {
  switch (json_.peek()) {
    case '"':
      text_value(name, json_.string());
      return;
    case '{':
    case '[': {
      const std::size_t begin = json_.offset();
      if (json_.skip(depth)) {
        reject_nul(name);
      } else {
        sized_value(ValueTag::json, name, json_.text_from(begin));
      }
      return;
    }
    case 't':
      json_.literal("true");
      out_.put(ValueTag::boolean);
      out_.put(std::uint8_t{1});
      return;
    case 'f':
      json_.literal("false");
      out_.put(ValueTag::boolean);
      out_.put(std::uint8_t{0});
      return;
    case 'n':
      json_.literal("null");
      out_.put(ValueTag::cleared);
      return;
    default:
      if (!json_.at_number()) {
        json_.fail("a value is expected");
      }
      number_value(name);
  }
}

void ValueWriter::number_value(const JsonString& name) {
  const std::size_t begin = json_.offset();
  const JsonNumber number = json_.number();
  if (number.kind == NumberKind::integer) {
    out_.put(ValueTag::integer);
    out_.put(number.integer);
  } else if (number.kind == NumberKind::floating) {
    out_.put(ValueTag::floating);
    out_.put(number.floating);
  } else {
    const std::string_view text = json_.text_from(begin);
    if (check_numeric(text) != ParseStatus::ok) {
      rejection_.add(EventFault::out_of_range)
          << "number of attribute " << Quoted{name.raw} << " is beyond what numeric can keep";
      return;
    }
    sized_value(ValueTag::numeric, name, text);
  }
}

void ValueWriter::text_value(const JsonString& name, const JsonString& text) {
  if (text.has_nul) {
    reject_nul(name);
  } else if (!text.is_escaped) {
    sized_value(ValueTag::text, name, text.raw);
  } else {
    const std::size_t place = out_.size();
    out_.skip(sizeof(ValueTag) + sizeof(std::uint32_t));
    const std::string_view plain = unescaped(text);
    if (is_small_enough(name, plain.size())) {
      out_.put_at(place, ValueTag::text);
      out_.put_at(place + sizeof(ValueTag), static_cast<std::uint32_t>(plain.size()));
      out_.skip(plain.size());
    }
  }
}

void ValueWriter::sized_value(ValueTag tag, const JsonString& name, std::string_view text) {
  if (is_small_enough(name, text.size())) {
    out_.make_room(sizeof(tag) + sizeof(std::uint32_t) + text.size() + EventWriter::slack);
    out_.put(tag);
    out_.put(static_cast<std::uint32_t>(text.size()));
    out_.put_bytes(text);
  }
}

bool ValueWriter::is_small_enough(const JsonString& name, std::size_t bytes) {
  if (bytes > rules_.max_value_bytes) {
    rejection_.add(EventFault::too_large)
        << "value of attribute " << Quoted{name.raw} << " takes "
        << static_cast<std::int64_t>(bytes) << " bytes, more than "
        << static_cast<std::int64_t>(rules_.max_value_bytes);
    return false;
  }
  return true;
}

void ValueWriter::reject_nul(const JsonString& name) {
  rejection_.add(EventFault::out_of_range)
      << "value of attribute " << Quoted{name.raw} << " contains a NUL character";
}

std::string_view ValueWriter::unescaped(const JsonString& text) {
  out_.make_room(text.raw.size());
  const char* const end = unescape(text.raw, out_.here());
  return {out_.here(), static_cast<std::size_t>(end - out_.here())};
}

}  // namespace eav::core
