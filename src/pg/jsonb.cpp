#include "eav/pg/jsonb.hpp"

#include <algorithm>
#include <cmath>

#include "eav/pg/memory.hpp"

extern "C" {
#include <utils/datetime.h>
#include <utils/json.h>
}

namespace eav::pg {

using core::DataType;

namespace {

JsonbValue numeric_value(Numeric number) {
  JsonbValue result;
  result.type = jbvNumeric;
  result.val.numeric = number;
  return result;
}

JsonbValue float_value(double number) {
  if (std::isnan(number)) {
    return string_value("NaN");
  }
  if (std::isinf(number)) {
    return string_value(number > 0 ? "Infinity" : "-Infinity");
  }
  // Integers that a double holds exactly need no detour through text.
  constexpr double exact = 9007199254740992.0;
  if (number == std::trunc(number) && std::fabs(number) < exact) {
    return numeric_value(int64_to_numeric(static_cast<int64>(number)));
  }
  return numeric_value(DatumGetNumeric(ingest::numeric_of(number)));
}

bool equal(const JsonbValue& left, const JsonbValue& right) {
  if (left.type != right.type) {
    return false;
  }
  switch (left.type) {
    case jbvNull:
      return true;
    case jbvBool:
      return left.val.boolean == right.val.boolean;
    case jbvString:
      return left.val.string.len == right.val.string.len &&
             memcmp(left.val.string.val, right.val.string.val, left.val.string.len) == 0;
    case jbvNumeric:
      return DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(left.val.numeric),
                                              NumericGetDatum(right.val.numeric)));
    case jbvBinary:
      return compareJsonbContainers(left.val.binary.data, right.val.binary.data) == 0;
    default:
      return false;
  }
}

void push_member(JsonbParseState** state, const JsonbValue& key, const JsonbValue& value) {
  JsonbValue copy = key;
  pushJsonbValue(state, WJB_KEY, &copy);
  copy = value;
  pushJsonbValue(state, WJB_VALUE, &copy);
}

void push_change(JsonbParseState** state, const MemberChange& change) {
  if (!change.removed) {
    push_member(state, string_value(change.name), change.value);
  }
}

// The order in which jsonb keeps the members of an object: shorter names first.
bool precedes(std::string_view left, std::string_view right) {
  return left.size() != right.size() ? left.size() < right.size() : left < right;
}

}  // namespace

JsonbValue json_value(Jsonb* json) {
  JsonbValue result;
  if (JB_ROOT_IS_SCALAR(json)) {
    JsonbExtractScalar(&json->root, &result);
    return result;
  }
  result.type = jbvBinary;
  result.val.binary.data = &json->root;
  result.val.binary.len = static_cast<int>(VARSIZE(json) - VARHDRSZ);
  return result;
}

bool is_deeper(Jsonb* json, std::size_t most) {
  std::size_t depth = 0;
  JsonbIterator* iterator = JsonbIteratorInit(&json->root);
  JsonbValue ignored;
  while (depth <= most) {
    switch (JsonbIteratorNext(&iterator, &ignored, false)) {
      case WJB_BEGIN_ARRAY:
      case WJB_BEGIN_OBJECT:
        ++depth;
        break;
      case WJB_END_ARRAY:
      case WJB_END_OBJECT:
        --depth;
        break;
      case WJB_DONE:
        return false;
      default:
        break;
    }
  }
  return true;
}

JsonbValue integer_value(int64 number) { return numeric_value(int64_to_numeric(number)); }

JsonbValue boolean_value(bool boolean) {
  JsonbValue result;
  result.type = jbvBool;
  result.val.boolean = boolean;
  return result;
}

JsonbValue string_value(std::string_view text) {
  JsonbValue result;
  result.type = jbvString;
  result.val.string.val = const_cast<char*>(text.data());
  result.val.string.len = static_cast<int>(text.size());
  return result;
}

Jsonb* object_of(std::initializer_list<std::pair<const char*, JsonbValue>> members) {
  JsonbParseState* state = nullptr;
  pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
  for (const auto& [name, value] : members) {
    push_member(&state, string_value(name), value);
  }
  return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr));
}

JsonbValue jsonb_of(const ingest::Value& value) {
  switch (value.type) {
    case DataType::text: {
      const text* const string = DatumGetTextPP(value.datum);
      return string_value({VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string)});
    }
    case DataType::integer:
      return integer_value(value.integer);
    case DataType::floating:
      return float_value(value.floating);
    case DataType::numeric: {
      const Numeric number = DatumGetNumeric(value.datum);
      if (numeric_is_nan(number) || numeric_is_inf(number)) {
        return string_value(DatumGetCString(DirectFunctionCall1(numeric_out, value.datum)));
      }
      return numeric_value(number);
    }
    case DataType::boolean:
      return boolean_value(value.boolean);
    case DataType::timestamp: {
      const int utc = 0;
      char* const buffer = static_cast<char*>(palloc(MAXDATELEN + 1));
      return string_value(
          JsonEncodeDateTime(buffer, TimestampTzGetDatum(value.timestamp), TIMESTAMPTZOID, &utc));
    }
    case DataType::json:
      return json_value(DatumGetJsonbP(value.datum));
  }
  pg_unreachable();
}

bool has_already(Jsonb* object, const MemberChange& change) {
  JsonbValue found;
  const bool exists =
      getKeyJsonValueFromContainer(&object->root, change.name.data(),
                                   static_cast<int>(change.name.size()), &found) != nullptr;
  return change.removed ? !exists : exists && equal(found, change.value);
}

// Both sides are merged in the order of jsonb, so that the server finds the result sorted.
Jsonb* apply_changes(Jsonb* object, std::span<MemberChange> changes) {
  std::sort(changes.begin(), changes.end(),
            [](const auto& left, const auto& right) { return precedes(left.name, right.name); });
  JsonbParseState* state = nullptr;
  pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
  auto change = changes.begin();
  const auto push_changes_before = [&](std::string_view name) {
    for (; change != changes.end() && precedes(change->name, name); ++change) {
      push_change(&state, *change);
    }
  };

  JsonbIterator* iterator = JsonbIteratorInit(&object->root);
  JsonbValue key;
  JsonbValue value;
  JsonbIteratorNext(&iterator, &key, true);
  while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY) {
    JsonbIteratorNext(&iterator, &value, true);
    const std::string_view name(key.val.string.val, static_cast<std::size_t>(key.val.string.len));
    push_changes_before(name);
    if (change == changes.end() || change->name != name) {
      push_member(&state, key, value);
    }
  }
  for (; change != changes.end(); ++change) {
    push_change(&state, *change);
  }
  return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr));
}

namespace {

// Bytes behind each other, with what jsonb wants to know of each piece (convertJsonbObject() of the
// server is the model).
class ObjectWriter {
 public:
  // content: room for all the values and their padding.
  ObjectWriter(std::size_t members, std::size_t content)
      : head_(offsetof(Jsonb, root) + sizeof(uint32) + sizeof(JEntry) * members * 2),
        bytes_(static_cast<char*>(MemoryContextAllocHuge(CurrentMemoryContext, head_ + content))),
        end_(head_) {
    root()->header = static_cast<uint32>(members) | JB_FOBJECT;
  }

  void append_key(std::string_view name) {
    append(name.data(), name.size());
    finish(JENTRY_ISSTRING, end_ - name.size());
  }
  void append_value(const JsonbValue& value) {
    const std::size_t begin = end_;
    switch (value.type) {
      case jbvNull:
        return finish(JENTRY_ISNULL, begin);
      case jbvBool:
        return finish(value.val.boolean ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE, begin);
      case jbvString:
        append(value.val.string.val, static_cast<std::size_t>(value.val.string.len));
        return finish(JENTRY_ISSTRING, begin);
      case jbvNumeric:
        align();
        append(value.val.numeric, VARSIZE_ANY(value.val.numeric));
        return finish(JENTRY_ISNUMERIC, begin);
      default:
        align();
        append(value.val.binary.data, static_cast<std::size_t>(value.val.binary.len));
        return finish(JENTRY_ISCONTAINER, begin);
    }
  }
  Jsonb* object() {
    auto* const result = reinterpret_cast<Jsonb*>(bytes_);
    SET_VARSIZE(result, end_);
    return result;
  }

 private:
  JsonbContainer* root() { return &reinterpret_cast<Jsonb*>(bytes_)->root; }
  void append(const void* data, std::size_t size) {
    memcpy(bytes_ + end_, data, size);
    end_ += size;
  }
  void align() {
    while (end_ != INTALIGN(end_)) {
      bytes_[end_++] = 0;
    }
  }
  // Some entries tell where their piece ends, the others how long it is.
  void finish(uint32 type, std::size_t begin) {
    if (end_ - head_ > JENTRY_OFFLENMASK) {
      ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                      errmsg("document exceeds the maximum of %u bytes", JENTRY_OFFLENMASK)));
    }
    root()->children[entries_] = type | (entries_ % JB_OFFSET_STRIDE == 0
                                             ? static_cast<uint32>(end_ - head_) | JENTRY_HAS_OFF
                                             : static_cast<uint32>(end_ - begin));
    ++entries_;
  }

  std::size_t head_;
  char* bytes_;
  std::size_t end_;
  std::size_t entries_ = 0;
};

std::size_t room_for(const JsonbValue& value) {
  constexpr std::size_t padding = 3;
  switch (value.type) {
    case jbvString:
      return static_cast<std::size_t>(value.val.string.len);
    case jbvNumeric:
      return VARSIZE_ANY(value.val.numeric) + padding;
    case jbvBinary:
      return static_cast<std::size_t>(value.val.binary.len) + padding;
    default:
      return 0;
  }
}

}  // namespace

Jsonb* make_object(std::span<const Member> members) {
  core::ArenaVector<const Member*> sorted(arena_of(CurrentMemoryContext));
  sorted.reserve(members.size());
  std::size_t content = 0;
  for (const Member& member : members) {
    sorted.push_back(&member);
    content += member.name.size() + room_for(member.value);
  }
  std::sort(sorted.begin(), sorted.end(), [](const Member* left, const Member* right) {
    return precedes(left->name, right->name);
  });
  ObjectWriter writer(members.size(), content);
  for (const Member* const member : sorted) {
    writer.append_key(member->name);
  }
  for (const Member* const member : sorted) {
    writer.append_value(member->value);
  }
  return writer.object();
}

Jsonb* merge_objects(Jsonb* left, Jsonb* right) {
  return DatumGetJsonbP(
      DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(left), JsonbPGetDatum(right)));
}

}  // namespace eav::pg
