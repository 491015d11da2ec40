#include "eav/pg/copy.hpp"

#include "eav/pg/compat.hpp"

extern "C" {
#include <nodes/makefuncs.h>
#include <port/pg_bswap.h>
}

namespace eav::pg {

namespace {

constexpr char signature[] = "PGCOPY\n\377\r\n";  // its terminating zero belongs to it
constexpr int buffered_bytes = 64 * 1024;

// What feeds the COPY that is running. The server passes no argument to a data source, so it is
// found here.
struct Source {
  NextRow next;
  void* state;
  StringInfoData buffer;
  bool finished;
};
Source* current = nullptr;

int read_source(void* out, int /*least*/, int most) {
  StringInfo const buffer = &current->buffer;
  if (buffer->cursor == buffer->len && !current->finished) {
    resetStringInfo(buffer);
    while (buffer->len < buffered_bytes && !current->finished) {
      CopyRow row(buffer);
      if (!current->next(current->state, row)) {
        row.begin(-1);
        current->finished = true;
      }
    }
  }
  const int bytes = Min(most, buffer->len - buffer->cursor);
  memcpy(out, buffer->data + buffer->cursor, bytes);
  buffer->cursor += bytes;
  return bytes;
}

}  // namespace

void CopyRow::begin(int16 fields) {
  const uint16 network = pg_hton16(static_cast<uint16>(fields));
  appendBinaryStringInfoNT(out_, reinterpret_cast<const char*>(&network), sizeof(network));
}

void CopyRow::null() {
  const uint32 length = pg_hton32(static_cast<uint32>(-1));
  appendBinaryStringInfoNT(out_, reinterpret_cast<const char*>(&length), sizeof(length));
}

void CopyRow::bytes(const void* data, std::size_t size) {
  const uint32 length = pg_hton32(static_cast<uint32>(size));
  appendBinaryStringInfoNT(out_, reinterpret_cast<const char*>(&length), sizeof(length));
  appendBinaryStringInfoNT(out_, static_cast<const char*>(data), static_cast<int>(size));
}

void CopyRow::int4(int32 value) {
  const uint32 network[] = {pg_hton32(sizeof(value)), pg_hton32(static_cast<uint32>(value))};
  appendBinaryStringInfoNT(out_, reinterpret_cast<const char*>(network), sizeof(network));
}

void CopyRow::int8(int64 value) {
  const uint64 network = pg_hton64(static_cast<uint64>(value));
  bytes(&network, sizeof(network));
}

void CopyRow::float8(double value) {
  int64 bits = 0;
  memcpy(&bits, &value, sizeof(bits));
  int8(bits);
}

void CopyRow::boolean(bool value) {
  const char byte = value ? 1 : 0;
  bytes(&byte, 1);
}

uint64 copy_into(Relation relation, List* columns, NextRow next, void* state) {
  Source source = {next, state, {}, false};
  initStringInfo(&source.buffer);
  appendBinaryStringInfoNT(&source.buffer, signature, sizeof(signature));
  const uint32 flags_and_extension[] = {0, 0};
  appendBinaryStringInfoNT(&source.buffer, reinterpret_cast<const char*>(flags_and_extension),
                           sizeof(flags_and_extension));

  current = &source;
  ParseState* const parse = make_parsestate(nullptr);
  addRangeTableEntryForRelation(parse, relation, RowExclusiveLock, nullptr, false, false);
  List* const options = list_make1(
      makeDefElem(pstrdup("format"), reinterpret_cast<Node*>(makeString(pstrdup("binary"))), -1));
  CopyFromState copy =
      BeginCopyFrom(parse, relation, nullptr, nullptr, false, read_source, columns, options);
  const uint64 rows = CopyFrom(copy);
  EndCopyFrom(copy);
  free_parsestate(parse);
  current = nullptr;
  return rows;
}

}  // namespace eav::pg
