#include "eav/query/filter.hpp"

#include <algorithm>

#include "eav/pg/jsonb.hpp"
#include "eav/pg/memory.hpp"
#include "eav/query/value_key.hpp"

namespace eav::query {

namespace {

using core::Comparison;
using core::Condition;
using core::FilterNode;
using core::KeyRange;
using core::ValueKey;

// What stands on one side of a comparison: a path that begins with $.name, a literal, or something
// else.
struct Operand {
  enum class Kind : uint8 { path, literal, other };
  Kind kind;
  std::string_view name;
  // Of a path: the members below the attribute, and whether this is all there is to it.
  core::ArenaVector<std::string_view> below;
  bool is_plain;
  JsonbValue literal;
};

bool is_predicate(const JsonPathItem& item) {
  switch (item.type) {
    case jpiAnd:
    case jpiOr:
    case jpiNot:
    case jpiIsUnknown:
    case jpiEqual:
    case jpiNotEqual:
    case jpiLess:
    case jpiGreater:
    case jpiLessOrEqual:
    case jpiGreaterOrEqual:
    case jpiExists:
    case jpiStartsWith:
    case jpiLikeRegex:
      return !jspHasNext(&item);
    default:
      return false;
  }
}

Comparison comparison_of(JsonPathItemType type) {
  switch (type) {
    case jpiEqual:
      return Comparison::equal;
    case jpiLess:
      return Comparison::less;
    case jpiLessOrEqual:
      return Comparison::less_or_equal;
    case jpiGreater:
      return Comparison::greater;
    case jpiGreaterOrEqual:
      return Comparison::greater_or_equal;
    default:
      return Comparison::not_equal;
  }
}

KeyRange range_of_strings_with(const JsonbValue& prefix) {
  return core::range_of_prefix(utf8_of(prefix.val.string.val, prefix.val.string.len));
}

std::string_view string_of(JsonPathItem& item) {
  int32 length = 0;
  const char* const text = jspGetString(&item, &length);
  return {text, static_cast<std::size_t>(length)};
}

// Reads a jsonpath twice: for the names that it mentions, and for the tree.
class Reader {
 public:
  Reader(Filter& filter, Attributes& attributes)
      : filter_(filter),
        attributes_(attributes),
        arena_(pg::arena_of(CurrentMemoryContext)),
        builder_(arena_) {}

  void note_mentions(JsonPathItem item);
  const FilterNode* read(JsonPathItem& item);

 private:
  void note(std::string_view name);
  void note_binary(JsonPathItem& item);
  void note_unary(JsonPathItem& item);
  void note_subscripts(JsonPathItem& item);
  const FilterNode* read_comparison(JsonPathItem& item);
  const FilterNode* read_path_predicate(JsonPathItem& argument, const KeyRange& range);
  const FilterNode* compare(const Operand& path, Comparison comparison, const Operand& literal);
  const FilterNode* exists(const Operand& path);
  const FilterNode* condition(const Condition& condition);
  Operand operand(JsonPathItem item);
  void read_below(JsonPathItem& item, Operand& result);
  JsonbValue containment(const Operand& path, const JsonbValue& literal);

  Filter& filter_;
  Attributes& attributes_;
  core::Arena arena_;
  core::FilterBuilder builder_;
};

void Reader::note(std::string_view name) {
  if (std::any_of(filter_.mentions.begin(), filter_.mentions.end(),
                  [&](const Mention& mention) { return mention.name == name; })) {
    return;
  }
  const Attribute* attribute = attributes_.named(name);
  if (attribute == nullptr) {
    notice_unknown(name, attributes_.renamed(name));
  } else if (!attribute->tiers.any()) {
    ereport(NOTICE, (errmsg("attribute \"%.*s\" is in no document", static_cast<int>(name.size()),
                            name.data()),
                     errdetail("It has projection none: only history has its values.")));
    attribute = nullptr;
  } else {
    filter_.needed.push_back(attribute);
  }
  filter_.mentions.push_back({name, attribute});
}

void Reader::note_binary(JsonPathItem& item) {
  JsonPathItem argument;
  jspGetLeftArg(&item, &argument);
  note_mentions(argument);
  jspGetRightArg(&item, &argument);
  note_mentions(argument);
}

void Reader::note_unary(JsonPathItem& item) {
  JsonPathItem argument;
  jspGetArg(&item, &argument);
  note_mentions(argument);
}

void Reader::note_subscripts(JsonPathItem& item) {
  for (int i = 0; i < item.content.array.nelems; ++i) {
    JsonPathItem from;
    JsonPathItem to;
    const bool has_to = jspGetArraySubscript(&item, &from, &to, i);
    note_mentions(from);
    if (has_to) {
      note_mentions(to);
    }
  }
}

// Whatever is not known here may look at anything.
void Reader::note_mentions(JsonPathItem item) {
  check_stack_depth();
  JsonPathItem next;
  switch (item.type) {
    case jpiNull:
    case jpiString:
    case jpiNumeric:
    case jpiBool:
    case jpiCurrent:
    case jpiKey:
    case jpiAnyKey:
    case jpiAnyArray:
    case jpiAny:
    case jpiLast:
    case jpiType:
    case jpiSize:
    case jpiAbs:
    case jpiFloor:
    case jpiCeiling:
    case jpiDouble:
      break;
    case jpiAnd:
    case jpiOr:
    case jpiEqual:
    case jpiNotEqual:
    case jpiLess:
    case jpiGreater:
    case jpiLessOrEqual:
    case jpiGreaterOrEqual:
    case jpiStartsWith:
    case jpiAdd:
    case jpiSub:
    case jpiMul:
    case jpiDiv:
    case jpiMod:
      note_binary(item);
      break;
    case jpiNot:
    case jpiIsUnknown:
    case jpiExists:
    case jpiPlus:
    case jpiMinus:
    case jpiFilter:
      note_unary(item);
      break;
    case jpiIndexArray:
      note_subscripts(item);
      break;
    case jpiLikeRegex:
      jspInitByBuffer(&next, item.base, item.content.like_regex.expr);
      note_mentions(next);
      break;
    case jpiRoot:
      if (jspGetNext(&item, &next) && next.type == jpiKey) {
        note(string_of(next));
      } else {
        filter_.needs_whole = true;
      }
      break;
    case jpiVariable: {
      const std::string_view name = string_of(item);
      ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                      errmsg("filter contains the variable \"%.*s\"", static_cast<int>(name.size()),
                             name.data()),
                      errhint("Write its value into the filter.")));
      break;
    }
    default:
      filter_.needs_whole = true;
      break;
  }
  if (jspGetNext(&item, &next)) {
    note_mentions(next);
  }
}

const FilterNode* Reader::read(JsonPathItem& item) {
  check_stack_depth();
  JsonPathItem left;
  JsonPathItem right;
  switch (item.type) {
    case jpiAnd:
    case jpiOr: {
      jspGetLeftArg(&item, &left);
      jspGetRightArg(&item, &right);
      const FilterNode* const one = read(left);
      const FilterNode* const other = read(right);
      return item.type == jpiAnd ? builder_.all_of(one, other) : builder_.any_of(one, other);
    }
    case jpiEqual:
    case jpiNotEqual:
    case jpiLess:
    case jpiGreater:
    case jpiLessOrEqual:
    case jpiGreaterOrEqual:
      return read_comparison(item);
    case jpiStartsWith: {
      jspGetLeftArg(&item, &left);
      jspGetRightArg(&item, &right);
      const Operand prefix = operand(right);
      return read_path_predicate(left, prefix.kind == Operand::Kind::literal
                                           ? range_of_strings_with(prefix.literal)
                                           : core::range_of_strings());
    }
    case jpiLikeRegex:
      jspInitByBuffer(&left, item.base, item.content.like_regex.expr);
      return read_path_predicate(left, core::range_of_strings());
    case jpiExists: {
      jspGetArg(&item, &left);
      const Operand path = operand(left);
      return path.kind == Operand::Kind::path ? exists(path) : builder_.anything();
    }
    default:
      return builder_.anything();
  }
}

// Of values of an attribute itself the range; all that is known of values below it is that it has
// some.
const FilterNode* Reader::read_path_predicate(JsonPathItem& argument, const KeyRange& range) {
  const Operand path = operand(argument);
  if (path.kind != Operand::Kind::path) {
    return builder_.anything();
  }
  return path.is_plain && path.below.empty() ? condition({path.name, range, true, core::no_literal})
                                             : exists(path);
}

const FilterNode* Reader::read_comparison(JsonPathItem& item) {
  JsonPathItem argument;
  jspGetLeftArg(&item, &argument);
  const Operand left = operand(argument);
  jspGetRightArg(&item, &argument);
  const Operand right = operand(argument);
  const Comparison comparison = comparison_of(item.type);
  if (left.kind == Operand::Kind::path && right.kind == Operand::Kind::literal) {
    return compare(left, comparison, right);
  }
  if (right.kind == Operand::Kind::path && left.kind == Operand::Kind::literal) {
    return compare(right, core::mirrored(comparison), left);
  }
  // Nothing compares with what is not there.
  const FilterNode* result = builder_.anything();
  for (const Operand* const side : {&left, &right}) {
    if (side->kind == Operand::Kind::path) {
      result = builder_.all_of(result, exists(*side));
    }
  }
  return result;
}

const FilterNode* Reader::compare(const Operand& path, Comparison comparison,
                                  const Operand& literal) {
  const bool is_equality = comparison == Comparison::equal && path.is_plain;
  uint32 number = core::no_literal;
  if (is_equality) {
    number = static_cast<uint32>(filter_.literals.size());
    filter_.literals.push_back(containment(path, literal.literal));
  }
  if (!path.below.empty() || !path.is_plain) {
    Condition some{path.name, core::range_of_all(), false, number};
    if (!path.below.empty()) {
      some.range = core::range_of(Comparison::equal, ValueKey::of_object());
      some.or_array = true;
    }
    return condition(some);
  }
  return condition({path.name, core::range_of(comparison, key_of(literal.literal)), true, number});
}

const FilterNode* Reader::exists(const Operand& path) {
  if (path.below.empty()) {
    return condition({path.name, core::range_of_all(), false, core::no_literal});
  }
  return condition({path.name, core::range_of(Comparison::equal, ValueKey::of_object()), true,
                    core::no_literal});
}

const FilterNode* Reader::condition(const Condition& condition) {
  return filter_.attribute(condition.attribute) == nullptr ? builder_.nothing()
                                                           : builder_.condition(condition);
}

Operand Reader::operand(JsonPathItem item) {
  Operand result{Operand::Kind::other, {}, core::ArenaVector<std::string_view>(arena_), true, {}};
  JsonPathItem next;
  if (jspIsScalar(item.type) && !jspHasNext(&item)) {
    result.kind = Operand::Kind::literal;
    result.literal.type = static_cast<jbvType>(item.type);
    if (item.type == jpiString) {
      const std::string_view text = string_of(item);
      result.literal.val.string.val = const_cast<char*>(text.data());
      result.literal.val.string.len = static_cast<int>(text.size());
    } else if (item.type == jpiNumeric) {
      result.literal.val.numeric = jspGetNumeric(&item);
    } else if (item.type == jpiBool) {
      result.literal.val.boolean = jspGetBool(&item);
    }
  } else if (item.type == jpiRoot && jspGetNext(&item, &next) && next.type == jpiKey) {
    result.kind = Operand::Kind::path;
    result.name = string_of(next);
    read_below(next, result);
  }
  return result;
}

// [*] changes nothing, as elements of arrays are looked at anyway.
void Reader::read_below(JsonPathItem& item, Operand& result) {
  JsonPathItem next;
  while (result.is_plain && jspGetNext(&item, &next)) {
    if (next.type == jpiKey) {
      result.below.push_back(string_of(next));
    } else if (next.type != jpiAnyArray) {
      result.is_plain = false;
    }
    item = next;
  }
}

// What the value of the attribute contains (@>) when the comparison is true.
JsonbValue Reader::containment(const Operand& path, const JsonbValue& literal) {
  JsonbValue value = literal;
  for (std::size_t i = path.below.size(); i-- > 0;) {
    JsonbParseState* state = nullptr;
    JsonbValue key = pg::string_value(path.below[i]);
    pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
    pushJsonbValue(&state, WJB_KEY, &key);
    pushJsonbValue(&state, WJB_VALUE, &value);
    Jsonb* const object = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr));
    value.type = jbvBinary;
    value.val.binary.data = &object->root;
    value.val.binary.len = static_cast<int>(VARSIZE(object) - VARHDRSZ);
  }
  return value;
}

}  // namespace

const Attribute* Filter::attribute(std::string_view name) const {
  const auto* const found =
      std::find_if(mentions.begin(), mentions.end(),
                   [&](const Mention& mention) { return mention.name == name; });
  return found != mentions.end() ? found->attribute : nullptr;
}

Filter make_filter(JsonPath* path, Attributes& attributes) {
  const core::Arena arena = pg::arena_of(CurrentMemoryContext);
  Filter filter{path,
                nullptr,
                core::ArenaVector<Mention>(arena),
                core::ArenaVector<const Attribute*>(arena),
                false,
                core::ArenaVector<JsonbValue>(arena),
                pg::object_of({})};
  if (path == nullptr) {
    filter.tree = core::FilterBuilder(arena).anything();
    return filter;
  }
  JsonPathItem root;
  jspInit(&root, path);
  if (!is_predicate(root)) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("filter is no predicate"),
                    errdetail("It does not end in true or false."),
                    errhint("A filter is like $.color == \"red\" && $.size > 100.")));
  }
  Reader reader(filter, attributes);
  reader.note_mentions(root);
  filter.tree = reader.read(root);
  return filter;
}

bool is_met(const Filter& filter, Documents& documents) {
  if (filter.path == nullptr) {
    return true;
  }
  Jsonb* const document =
      filter.needs_whole ? documents.whole() : documents.of(filter.needed.span());
  LOCAL_FCINFO(call, 4);
  InitFunctionCallInfoData(*call, nullptr, 4, InvalidOid, nullptr, nullptr);
  call->args[0] = {JsonbPGetDatum(document), false};
  call->args[1] = {PointerGetDatum(filter.path), false};
  call->args[2] = {JsonbPGetDatum(filter.no_variables), false};
  call->args[3] = {BoolGetDatum(false), false};
  const Datum result = jsonb_path_match(call);
  return !call->isnull && DatumGetBool(result);
}

}  // namespace eav::query
