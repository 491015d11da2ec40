// Tombstones as who registers something looks for them (sql/67_tombstones.sql). Flushes look for
// those of their batches by themselves: src/flush/erased.cpp.
#include "eav/pg/guard.hpp"
#include "eav/pg/spi.hpp"

// The secret is read only for an entity: who registers a tenant may not see it.
EAV_FUNCTION(eav_is_being_erased) {
  static eav::pg::Statement look(
      "SELECT CASE WHEN EXISTS (SELECT FROM eav.erasures e WHERE e.tenant_id = $1 "
      "AND e.subjects && t.subjects) THEN true "
      "WHEN EXISTS (SELECT FROM eav.erased_subjects s WHERE s.tenant_id = $1 "
      "AND s.subject = ANY (t.subjects)) THEN false END "
      "FROM (SELECT CASE WHEN $2 IS NULL AND $3 IS NULL "
      "THEN ARRAY['00000000-0000-0000-0000-000000000000'::uuid] "
      "WHEN EXISTS (SELECT FROM eav.erased_subjects s WHERE s.tenant_id = $1) "
      "THEN ARRAY[eav._erasure_subject($1, $2, NULL), eav._erasure_subject($1, NULL, $3)] "
      "END AS subjects OFFSET 0) AS t",
      {INT8OID, INT8OID, TEXTOID});
  SPI_connect();
  look.run({{PG_GETARG_DATUM(0), PG_ARGISNULL(0)},
            {PG_GETARG_DATUM(1), PG_ARGISNULL(1)},
            {PG_GETARG_DATUM(2), PG_ARGISNULL(2)}});
  const eav::pg::Cell answer = eav::pg::cell(0, 1);
  SPI_finish();
  if (answer.is_null) {
    PG_RETURN_NULL();
  }
  return answer.value;
}
