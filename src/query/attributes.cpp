#include "eav/query/attributes.hpp"

#include <algorithm>

#include "eav/pg/memory.hpp"

namespace eav::query {

namespace {

// The columns of eav.attributes.
enum Column : int {
  column_attribute_id = 1,
  column_name = 3,
  column_projection = 5,
  column_document_name = 8,
  column_moving_from = 9
};

constexpr const char* table = "attributes";

std::string_view text_view(Datum datum) {
  const text* const value = DatumGetTextPP(datum);
  return {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
}

std::string_view copy_of(std::string_view text) {
  return {pnstrdup(text.data(), text.size()), text.size()};
}

void add(core::Projection projection, Tiers& tiers) {
  tiers.hot = tiers.hot || projection == core::Projection::hot;
  tiers.live = tiers.live || projection == core::Projection::live;
  tiers.current = tiers.current || projection == core::Projection::current;
}

void add_moving(Datum names, Tiers& tiers) {
  Datum* elements = nullptr;
  bool* nulls = nullptr;
  int count = 0;
  deconstruct_array(DatumGetArrayTypeP(names), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls,
                    &count);
  for (int i = 0; i < count; ++i) {
    if (!nulls[i]) {
      add(core::projection_from_name(text_view(elements[i])).value(), tiers);
    }
  }
}

}  // namespace

Attributes::Attributes(int64 tenant_id)
    : context_(CurrentMemoryContext),
      tenant_id_(tenant_id),
      known_(pg::arena_of(CurrentMemoryContext)),
      unusual_(pg::arena_of(CurrentMemoryContext)) {}

void Attributes::close() {
  for (auto* const scan : {&by_name_, &by_id_}) {
    if (*scan) {
      (*scan)->close();
      scan->reset();
    }
  }
}

const Attribute* Attributes::make(TupleTableSlot* row) const {
  MemoryContext const caller = MemoryContextSwitchTo(context_);
  auto* const attribute = static_cast<Attribute*>(palloc0(sizeof(Attribute)));
  slot_getallattrs(row);
  const Datum* const values = row->tts_values - 1;
  const bool* const nulls = row->tts_isnull - 1;
  attribute->attribute_id = DatumGetInt32(values[column_attribute_id]);
  attribute->name = copy_of(text_view(values[column_name]));
  attribute->member = nulls[column_document_name]
                          ? attribute->name
                          : copy_of(text_view(values[column_document_name]));
  attribute->projection = core::projection_from_name(text_view(values[column_projection])).value();
  add(attribute->projection, attribute->tiers);
  // What has none is in no document, whatever there still is of it.
  if (attribute->tiers.any() && !nulls[column_moving_from]) {
    add_moving(values[column_moving_from], attribute->tiers);
  }
  MemoryContextSwitchTo(caller);
  return attribute;
}

const Attribute* Attributes::named(std::string_view name) {
  MemoryContext const caller = MemoryContextSwitchTo(context_);
  if (!by_name_) {
    by_name_.emplace(table, "attributes_tenant_id_name_key", 2, pg::IndexScan::Want::rows);
  }
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(tenant_id_));
  ScanKeyInit(
      &keys[1], 2, BTEqualStrategyNumber, F_TEXTEQ,
      PointerGetDatum(cstring_to_text_with_len(name.data(), static_cast<int>(name.size()))));
  by_name_->start(keys);
  TupleTableSlot* const row = by_name_->next_row();
  MemoryContextSwitchTo(caller);
  return row != nullptr ? make(row) : nullptr;
}

const Attribute* Attributes::with_id(int32 attribute_id) {
  const auto precedes = [](const Attribute* one, int32 id) { return one->attribute_id < id; };
  if (next_ >= known_.size() || known_[next_]->attribute_id != attribute_id) {
    next_ = static_cast<std::size_t>(
        std::lower_bound(known_.begin(), known_.end(), attribute_id, precedes) - known_.begin());
  }
  if (next_ < known_.size() && known_[next_]->attribute_id == attribute_id) {
    return known_[next_++];
  }
  const Attribute* const attribute = load(attribute_id);
  if (attribute != nullptr) {
    known_.push_back(attribute);
    std::rotate(known_.begin() + next_, known_.end() - 1, known_.end());
    ++next_;
  }
  return attribute;
}

// They are asked for in ascending order, mostly: the next one is near.
const Attribute* Attributes::load(int32 attribute_id) {
  constexpr int max_steps = 8;
  MemoryContext const caller = MemoryContextSwitchTo(context_);
  if (!by_id_) {
    by_id_.emplace(table, "attributes_pkey", 2, pg::IndexScan::Want::rows);
  }
  const auto is_before = [&] {
    return at_attribute_ != nullptr && at_attribute_->attribute_id < attribute_id;
  };
  const auto step = [&] {
    TupleTableSlot* const row = by_id_->next_row();
    at_attribute_ = row != nullptr ? make(row) : nullptr;
  };
  bool is_near = at_ && *at_ <= attribute_id;
  if (is_near) {
    for (int i = 0; i < max_steps && is_before(); ++i) {
      step();
    }
    is_near = !is_before();
  }
  if (!is_near) {
    ScanKeyData keys[2];
    ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(tenant_id_));
    ScanKeyInit(&keys[1], 2, BTGreaterEqualStrategyNumber, F_INT4GE, Int32GetDatum(attribute_id));
    by_id_->start(keys);
    step();
  }
  at_ = attribute_id;
  MemoryContextSwitchTo(caller);
  return at_attribute_ != nullptr && at_attribute_->attribute_id == attribute_id ? at_attribute_
                                                                                 : nullptr;
}

// There are few, if any.
void Attributes::load_unusual() {
  MemoryContext const caller = MemoryContextSwitchTo(context_);
  pg::IndexScan scan(table, "attributes_unusual_idx", 1, pg::IndexScan::Want::rows);
  ScanKeyData keys[1];
  ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(tenant_id_));
  scan.start(keys);
  while (TupleTableSlot* const row = scan.next_row()) {
    unusual_.push_back(make(row));
  }
  scan.close();
  has_loaded_unusual_ = true;
  MemoryContextSwitchTo(caller);
}

const Attribute* Attributes::unusual(std::string_view member) {
  if (!has_loaded_unusual_) {
    load_unusual();
  }
  const auto* const found =
      std::find_if(unusual_.begin(), unusual_.end(),
                   [&](const Attribute* attribute) { return attribute->member == member; });
  return found != unusual_.end() ? *found : nullptr;
}

const Attribute* Attributes::renamed(std::string_view member) {
  const Attribute* const attribute = unusual(member);
  return attribute != nullptr && attribute->name != member ? attribute : nullptr;
}

const Attribute* Attributes::named_ever(std::string_view name) {
  const Attribute* const attribute = named(name);
  return attribute != nullptr ? attribute : renamed(name);
}

void notice_unknown(std::string_view name, const Attribute* now) {
  const auto length = static_cast<int>(name.size());
  ereport(NOTICE, (errmsg("attribute \"%.*s\" does not exist", length, name.data()),
                   now == nullptr ? 0
                                  : errhint("It has been renamed to \"%.*s\".",
                                            static_cast<int>(now->name.size()), now->name.data())));
}

}  // namespace eav::query
