#include "eav/core/rollup.hpp"

#include <algorithm>
#include <cmath>

#include "eav/core/core_only.hpp"

namespace eav::core {

namespace {

constexpr std::int64_t hour_length = 3600LL * 1000 * 1000;

std::size_t place_of(std::int64_t hour) { return static_cast<std::uint64_t>(hour / hour_length); }

bool accepts(const Rollup& rollup, Rollup::Numbers numbers) {
  return numbers == Rollup::Numbers::none || rollup.numbers == Rollup::Numbers::none ||
         rollup.numbers == numbers;
}

}  // namespace

std::int64_t hour_of(std::int64_t timestamp) {
  const std::int64_t past = timestamp % hour_length;
  return timestamp - past - (past < 0 ? hour_length : 0);
}

Rollup& RollupBatch::open(const Key& key, std::int64_t hour, Rollup::Numbers numbers) {
  Rollup rollup{};
  rollup.tenant_id = key.tenant_id;
  rollup.hour = hour;
  rollup.attribute_id = key.attribute_id;
  rollup.numbers = numbers;
  rollup.first_observed_at = key.version.observed_at;
  rollup.last_observed_at = key.version.observed_at;
  rollup.last_ingested_at = key.version.ingested_at;
  number_at_[place_of(hour) % places] = static_cast<std::uint32_t>(rollups_.size());
  rollups_.push_back(rollup);
  return rollups_.back();
}

Rollup& RollupBatch::rollup_for(const Key& key, Rollup::Numbers numbers) {
  const std::int64_t hour = hour_of(key.version.observed_at);
  const std::uint32_t number = number_at_[place_of(hour) % places];
  if (number >= rollups_.size()) {
    return open(key, hour, numbers);
  }
  Rollup& rollup = rollups_[number];
  if (rollup.hour != hour || rollup.attribute_id != key.attribute_id ||
      rollup.tenant_id != key.tenant_id || !accepts(rollup, numbers)) {
    return open(key, hour, numbers);
  }
  rollup.first_observed_at = std::min(rollup.first_observed_at, key.version.observed_at);
  rollup.last_observed_at = std::max(rollup.last_observed_at, key.version.observed_at);
  rollup.last_ingested_at = std::max(rollup.last_ingested_at, key.version.ingested_at);
  if (numbers != Rollup::Numbers::none) {
    rollup.numbers = numbers;
  }
  return rollup;
}

std::size_t RollupBatch::add_cleared(const Key& key) {
  Rollup& rollup = rollup_for(key, Rollup::Numbers::none);
  ++rollup.cleared;
  return number_of(rollup);
}

std::size_t RollupBatch::add_other(const Key& key) {
  Rollup& rollup = rollup_for(key, Rollup::Numbers::none);
  ++rollup.values;
  return number_of(rollup);
}

std::size_t RollupBatch::add_integer(const Key& key, std::int64_t value) {
  Rollup& rollup = rollup_for(key, Rollup::Numbers::integer);
  const bool is_first = rollup.number_count == 0;
  rollup.least_integer = is_first ? value : std::min(rollup.least_integer, value);
  rollup.greatest_integer = is_first ? value : std::max(rollup.greatest_integer, value);
  rollup.sum_of_integers += value;
  ++rollup.values;
  ++rollup.number_count;
  return number_of(rollup);
}

std::size_t RollupBatch::add_floating(const Key& key, double value) {
  if (!std::isfinite(value)) {
    return add_other(key);
  }
  Rollup* rollup = &rollup_for(key, Rollup::Numbers::floating);
  if (!std::isfinite(rollup->sum_of_floatings + value)) {
    rollup = &open(key, rollup->hour, Rollup::Numbers::floating);
  }
  const bool is_first = rollup->number_count == 0;
  rollup->least_floating = is_first ? value : std::min(rollup->least_floating, value);
  rollup->greatest_floating = is_first ? value : std::max(rollup->greatest_floating, value);
  rollup->sum_of_floatings += value;
  ++rollup->values;
  ++rollup->number_count;
  return number_of(*rollup);
}

std::size_t RollupBatch::add_numeric(const Key& key) {
  Rollup& rollup = rollup_for(key, Rollup::Numbers::numeric);
  ++rollup.values;
  ++rollup.number_count;
  return number_of(rollup);
}

}  // namespace eav::core
