// See sql/69_pii.sql. From here on a value of a personal attribute is a text like others.
#include "eav/flush/pii.hpp"

#include "eav/flush/registry.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/spi.hpp"

namespace eav::flush {

using ingest::StagedRow;

namespace {

bool is_to_encrypt(const StagedRow& row) {
  return row.resolved->is_pii && !row.value.cleared && !row.in_history;
}

}  // namespace

void encrypt_pii(Rows& rows) {
  static pg::Statement encrypt("SELECT eav._encrypt_pii($1, $2, $3)",
                               {INT8ARRAYOID, INT8ARRAYOID, TEXTARRAYOID});
  const core::Arena arena = pg::arena_of(CurrentMemoryContext);
  core::ArenaVector<Datum> tenants(arena);
  core::ArenaVector<Datum> entities(arena);
  core::ArenaVector<Datum> texts(arena);
  for (const StagedRow& row : rows) {
    if (is_to_encrypt(row)) {
      tenants.push_back(Int64GetDatum(row.tenant_id));
      entities.push_back(Int64GetDatum(row.entity_id));
      texts.push_back(row.value.datum);
    }
  }
  if (texts.empty()) {
    return;
  }
  encrypt.run({pg::make_array(tenants.data(), nullptr, tenants.size(), INT8OID),
               pg::make_array(entities.data(), nullptr, entities.size(), INT8OID),
               pg::make_array(texts.data(), nullptr, texts.size(), TEXTOID)});
  // In the memory of the batch: the result goes with the next statement.
  ArrayType* const encrypted = DatumGetArrayTypePCopy(pg::cell(0, 1).value);
  Datum* sealed = nullptr;
  int count = 0;
  deconstruct_array(encrypted, TEXTOID, -1, false, TYPALIGN_INT, &sealed, nullptr, &count);
  for (StagedRow& row : rows) {
    if (is_to_encrypt(row)) {
      row.value.datum = *sealed++;
    }
  }
}

}  // namespace eav::flush
