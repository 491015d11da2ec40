#include "eav/rollup/pending.hpp"

#include <algorithm>
#include <array>

#include "eav/core/rollup.hpp"
#include "eav/pg/bulk_insert.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/memory.hpp"

namespace eav::rollup {

using core::DataType;
using core::Rollup;
using core::RollupBatch;
using ingest::StagedRow;

namespace {

// The columns of eav.rollup_pending, in their order.
enum Column : int {
  column_tenant_id,
  column_bucket,
  column_value_count,
  column_cleared_count,
  column_number_count,
  column_new_entities,
  column_first_observed_at,
  column_last_observed_at,
  column_last_ingested_at,
  column_attribute_id,
  column_min_value,
  column_max_value,
  column_sum_value,
  column_count
};

// Of the numerics of a rollup. Null without any.
struct NumericSums {
  Numeric least;
  Numeric greatest;
  Numeric sum;
};

struct Batch {
  RollupBatch rollups;
  core::ArenaVector<NumericSums> numerics;  // by number of the rollup, up to the last with any
};

int compare(Numeric left, Numeric right) {
  return DatumGetInt32(
      DirectFunctionCall2(numeric_cmp, NumericGetDatum(left), NumericGetDatum(right)));
}

Numeric sum_of(Numeric left, Numeric right) {
  return DatumGetNumeric(
      DirectFunctionCall2(numeric_add, NumericGetDatum(left), NumericGetDatum(right)));
}

// See eav._is_summed().
bool is_summed(Numeric number) {
  static Numeric limit = nullptr;
  static Numeric negative_limit = nullptr;
  if (negative_limit == nullptr) {
    const auto read = [](const char* digits) {
      return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(digits),
                                                 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
    };
    MemoryContext const caller = MemoryContextSwitchTo(TopMemoryContext);
    limit = read("1e10000");
    negative_limit = read("-1e10000");
    MemoryContextSwitchTo(caller);
  }
  return compare(number, limit) < 0 && compare(number, negative_limit) > 0;
}

void add_numeric(Batch& batch, const RollupBatch::Key& key, Datum value) {
  Numeric const number = DatumGetNumeric(value);
  if (!is_summed(number)) {
    batch.rollups.add_other(key);
    return;
  }
  const std::size_t rollup = batch.rollups.add_numeric(key);
  while (batch.numerics.size() <= rollup) {
    batch.numerics.push_back({nullptr, nullptr, nullptr});
  }
  NumericSums& sums = batch.numerics[rollup];
  if (sums.sum == nullptr) {
    sums = {number, number, number};
    return;
  }
  Numeric const before = sums.sum;
  sums.least = compare(number, sums.least) < 0 ? number : sums.least;
  sums.greatest = compare(number, sums.greatest) > 0 ? number : sums.greatest;
  sums.sum = sum_of(before, number);
  // The first is the value itself.
  if (batch.rollups.rollups()[rollup].number_count > 2) {
    pfree(before);
  }
}

void add(Batch& batch, const StagedRow& row) {
  const RollupBatch::Key key{row.tenant_id, row.attribute_id, row.version};
  if (row.value.cleared) {
    batch.rollups.add_cleared(key);
    return;
  }
  switch (row.value.type) {
    case DataType::integer:
      batch.rollups.add_integer(key, row.value.integer);
      break;
    case DataType::floating:
      batch.rollups.add_floating(key, row.value.floating);
      break;
    case DataType::numeric:
      add_numeric(batch, key, row.value.datum);
      break;
    default:
      batch.rollups.add_other(key);
      break;
  }
}

Datum numeric_of(int64 number) { return NumericGetDatum(int64_to_numeric(number)); }

Datum numeric_of(core::WideInteger number) {
  if (number >= PG_INT64_MIN && number <= PG_INT64_MAX) {
    return numeric_of(static_cast<int64>(number));
  }
  // A batch has less than 2^32 values, so that the upper part fits.
  constexpr int64 base = INT64CONST(1000000000000000000);
  const Datum upper = DirectFunctionCall2(
      numeric_mul, numeric_of(static_cast<int64>(number / base)), numeric_of(base));
  return DirectFunctionCall2(numeric_add, upper, numeric_of(static_cast<int64>(number % base)));
}

// With 15 digits, as by a cast.
Datum numeric_of(double number) {
  return DirectFunctionCall1(float8_numeric, Float8GetDatum(number));
}

struct Numbers {
  Datum least;
  Datum greatest;
  Datum sum;
};

template <typename Number, typename Sum>
Numbers numbers_of(int64 count, Number least, Number greatest, Sum sum) {
  const Datum first = numeric_of(least);
  return {first, least == greatest ? first : numeric_of(greatest),
          count == 1 ? first : numeric_of(sum)};
}

Numbers numbers_of(const Batch& batch, std::size_t number) {
  const Rollup& rollup = batch.rollups.rollups()[number];
  switch (rollup.numbers) {
    case Rollup::Numbers::integer:
      return numbers_of(rollup.number_count, rollup.least_integer, rollup.greatest_integer,
                        rollup.sum_of_integers);
    case Rollup::Numbers::floating:
      return numbers_of(rollup.number_count, rollup.least_floating, rollup.greatest_floating,
                        rollup.sum_of_floatings);
    default: {
      const NumericSums& sums = batch.numerics[number];
      return {NumericGetDatum(sums.least), NumericGetDatum(sums.greatest),
              NumericGetDatum(sums.sum)};
    }
  }
}

// A row for an attribute and what belongs to no hour, or to one.
void fill_empty_row(int64 tenant_id, int32 attribute_id, Datum* values, bool* nulls) {
  values[column_tenant_id] = Int64GetDatum(tenant_id);
  values[column_attribute_id] = Int32GetDatum(attribute_id);
  values[column_bucket] = TimestampTzGetDatum(DT_NOBEGIN);
  std::fill_n(values + column_value_count, column_first_observed_at - column_value_count,
              Int64GetDatum(0));
  std::fill_n(nulls, static_cast<int>(column_count), true);
  std::fill_n(nulls, static_cast<int>(column_first_observed_at), false);
  nulls[column_attribute_id] = false;
}

void fill_row(void* state, std::size_t number, Datum* values, bool* nulls) {
  const auto& batch = *static_cast<const Batch*>(state);
  const Rollup& rollup = batch.rollups.rollups()[number];
  fill_empty_row(rollup.tenant_id, rollup.attribute_id, values, nulls);
  values[column_bucket] = TimestampTzGetDatum(rollup.hour);
  values[column_value_count] = Int64GetDatum(rollup.values);
  values[column_cleared_count] = Int64GetDatum(rollup.cleared);
  values[column_number_count] = Int64GetDatum(rollup.number_count);
  values[column_first_observed_at] = TimestampTzGetDatum(rollup.first_observed_at);
  values[column_last_observed_at] = TimestampTzGetDatum(rollup.last_observed_at);
  values[column_last_ingested_at] = TimestampTzGetDatum(rollup.last_ingested_at);
  std::fill_n(nulls + column_first_observed_at, column_attribute_id - column_first_observed_at,
              false);
  if (rollup.number_count == 0) {
    return;
  }
  const Numbers numbers = numbers_of(batch, number);
  values[column_min_value] = numbers.least;
  values[column_max_value] = numbers.greatest;
  values[column_sum_value] = numbers.sum;
  std::fill_n(nulls + column_min_value, column_count - column_min_value, false);
}

struct Entities {
  flush::AttributeId attribute;
  int64 count;
};

void fill_entities(void* state, std::size_t number, Datum* values, bool* nulls) {
  const Entities& entities = static_cast<const Entities*>(state)[number];
  fill_empty_row(entities.attribute.tenant_id, entities.attribute.attribute_id, values, nulls);
  values[column_new_entities] = Int64GetDatum(entities.count);
}

void append(pg::FillRow fill, void* state, std::size_t count) {
  if (count == 0) {
    return;
  }
  Relation const pending = table_open(pg::relation_oid("rollup_pending"), RowExclusiveLock);
  pg::append_rows(pending, fill, state, count);
  table_close(pending, NoLock);
}

}  // namespace

void note_values(std::span<const StagedRow> rows, std::span<const core::HistoryKey> order) {
  const core::Arena arena = pg::arena_of(CurrentMemoryContext);
  Batch batch{RollupBatch(arena), core::ArenaVector<NumericSums>(arena)};
  for (const core::HistoryKey& key : order) {
    add(batch, rows[key.row]);
  }
  append(fill_row, &batch, batch.rollups.rollups().size());
}

void note_entities(std::span<flush::AttributeId> first) {
  core::ArenaVector<Entities> entities(pg::arena_of(CurrentMemoryContext));
  std::sort(first.begin(), first.end());
  for (const flush::AttributeId& attribute : first) {
    if (entities.empty() || entities.back().attribute != attribute) {
      entities.push_back({attribute, 0});
    }
    ++entities.back().count;
  }
  append(fill_entities, entities.data(), entities.size());
}

void note_lost_entities(const flush::AttributeId& attribute, int64 count) {
  Entities entities{attribute, -count};
  append(fill_entities, &entities, count > 0 ? 1 : 0);
}

}  // namespace eav::rollup
