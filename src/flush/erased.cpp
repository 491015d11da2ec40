// The other side of sql/67_tombstones.sql: from the commit of an erasure on, a batch looks for the
// tombstone of each of its entities whose tenant has any. Other tenants cost nothing.
#include "eav/flush/erased.hpp"

#include <algorithm>

#include "eav/core/key_index.hpp"
#include "eav/flush/registry.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/spi.hpp"
#include "eav/pg/unique_index.hpp"

extern "C" {
#include <port/pg_bswap.h>
#include <utils/fmgrprotos.h>
#include <utils/uuid.h>
}

namespace eav::flush {

using ingest::StagedRow;

namespace {

// An entity of the batch.
struct Subject {
  pg_uuid_t tombstone;
  bool is_erased;
  int64 discarded;
};

// The entity as its tombstone is made of, without the secret: see eav._erasure_subject(). Ids and
// names differ in the first byte.
std::string_view identity_of(const StagedRow& row, core::ArenaVector<char>& bytes) {
  bytes.clear();
  const auto add = [&bytes](const void* from, std::size_t size) {
    const auto* const first = static_cast<const char*>(from);
    std::for_each(first, first + size, [&bytes](char byte) { bytes.push_back(byte); });
  };
  const auto add_number = [&add](int64 number) {
    const uint64 ordered = pg_hton64(static_cast<uint64>(number));
    add(&ordered, sizeof(ordered));
  };
  bytes.push_back(row.entity.empty() ? 'i' : 'e');
  add_number(row.tenant_id);
  if (row.entity.empty()) {
    add_number(row.entity_id);
  } else {
    add(row.entity.data(), row.entity.size());
  }
  return {bytes.data(), bytes.size()};
}

std::string_view copy_of(std::string_view bytes) {
  auto* const copy = static_cast<char*>(palloc(bytes.size()));
  memcpy(copy, bytes.data(), bytes.size());
  return {copy, bytes.size()};
}

class Tombstones {
 public:
  Tombstones()
      : secret_(read_secret()),
        index_("erased_subjects", "erased_subjects_pkey", F_UUID_EQ, pg::UniqueIndex::See::latest) {
  }
  void close() { index_.close(); }

  Subject look_up(int64 tenant_id, std::string_view identity) {
    Subject subject{};
    const std::size_t size = VARHDRSZ + secret_.size() + identity.size();
    auto* const bytes = static_cast<char*>(palloc(size));
    memcpy(bytes + VARHDRSZ, secret_.data(), secret_.size());
    memcpy(bytes + VARHDRSZ + secret_.size(), identity.data(), identity.size());
    SET_VARSIZE(bytes, size);
    const bytea* const digest =
        DatumGetByteaPP(DirectFunctionCall1(sha256_bytea, PointerGetDatum(bytes)));
    memcpy(subject.tombstone.data, VARDATA_ANY(digest), UUID_LEN);
    subject.is_erased = index_.find(tenant_id, UUIDPGetDatum(&subject.tombstone)) != nullptr;
    pfree(bytes);
    return subject;
  }

 private:
  static std::string_view read_secret() {
    static pg::Statement select("SELECT secret FROM eav.erasure_secret", {});
    select.run({});
    if (SPI_processed != 1) {
      ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                      errmsg("table eav.erasure_secret must have one row, found " UINT64_FORMAT,
                             SPI_processed),
                      errdetail("Without it nobody can tell which entities have been erased."),
                      errhint("Restore the row.")));
    }
    const bytea* const secret = DatumGetByteaPP(pg::cell(0, 1).value);
    return {VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret)};
  }

  std::string_view secret_;
  pg::UniqueIndex index_;
};

// A count that somebody holds is left as it is: no flush waits for that.
void add_to_counts(const core::KeyIndex& keys, std::span<Subject> subjects) {
  static pg::Statement update(
      "UPDATE eav.erased_subjects s SET discarded = s.discarded + n.discarded, "
      "last_discarded_at = clock_timestamp() "
      "FROM (SELECT e.ctid, d.discarded FROM unnest($1, $2, $3) AS d (tenant_id, subject, "
      "discarded) "
      "JOIN eav.erased_subjects e ON e.tenant_id = d.tenant_id AND e.subject = d.subject "
      "FOR NO KEY UPDATE OF e SKIP LOCKED) AS n WHERE s.ctid = n.ctid",
      {INT8ARRAYOID, UUIDARRAYOID, INT8ARRAYOID});
  const core::Arena arena = pg::arena_of(CurrentMemoryContext);
  core::ArenaVector<Datum> tenants(arena);
  core::ArenaVector<Datum> tombstones(arena);
  core::ArenaVector<Datum> counts(arena);
  for (std::size_t number = 0; number < subjects.size(); ++number) {
    if (subjects[number].discarded > 0) {
      tenants.push_back(Int64GetDatum(keys[number].tenant_id));
      tombstones.push_back(UUIDPGetDatum(&subjects[number].tombstone));
      counts.push_back(Int64GetDatum(subjects[number].discarded));
    }
  }
  if (!counts.empty()) {
    update.run({pg::make_array(tenants.data(), nullptr, tenants.size(), INT8OID),
                pg::make_array(tombstones.data(), nullptr, tombstones.size(), UUIDOID),
                pg::make_array(counts.data(), nullptr, counts.size(), INT8OID)});
  }
}

bool has_erased(const Rows& rows) {
  const StagedRow* previous = nullptr;
  for (const StagedRow& row : rows) {
    if ((previous == nullptr || previous->tenant_id != row.tenant_id) &&
        registry::has_erased(row.tenant_id)) {
      return true;
    }
    previous = &row;
  }
  return false;
}

}  // namespace

void discard_erased(Rows& rows, const Unresolved& unresolved) {
  if (!has_erased(rows)) {
    return;
  }
  const core::Arena arena = pg::arena_of(CurrentMemoryContext);
  core::KeyIndex keys(arena);
  core::ArenaVector<Subject> subjects(arena);  // by number of the key
  core::ArenaVector<char> identity(arena);
  Tombstones tombstones;
  std::size_t kept = 0;
  for (const StagedRow& row : rows) {
    if (registry::has_erased(row.tenant_id)) {
      const core::NameKey key{row.tenant_id, identity_of(row, identity)};
      std::size_t number = keys.find(key);
      if (number == keys.size()) {
        keys.number_of({row.tenant_id, copy_of(key.name)});
        subjects.push_back(tombstones.look_up(row.tenant_id, key.name));
      }
      if (subjects[number].is_erased) {
        ++subjects[number].discarded;
        if (unresolved.on_lock == pg::OnLock::wait) {
          unresolved.rejects->push_back(ingest::rejected(
              row, unresolved.description,
              {ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the entity has been erased"}));
        }
        continue;
      }
    }
    rows[kept++] = row;
  }
  rows.truncate(kept);
  tombstones.close();
  add_to_counts(keys, subjects.span());
}

}  // namespace eav::flush
