// Prepared statements of our own, run through SPI.
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <span>
#include <utility>

#include "eav/pg/postgres.hpp"

namespace eav::pg {

struct Argument {
  Argument(Datum datum, bool null = false) : value(datum), is_null(null) {}  // NOLINT: implicit
  Datum value;
  bool is_null;
};

// A statement that is planned once per backend, with a generic plan: our parameters are arrays,
// and a plan must not turn from index look-ups into a scan of a table because a batch is large.
// Declare it static.
class Statement {
 public:
  static constexpr int max_arguments = 20;
  constexpr Statement(const char* sql, std::initializer_list<Oid> types)
      : sql_(sql), count_(static_cast<int>(types.size())) {
    int i = 0;
    for (const Oid type : types) {
      types_[i++] = type;
    }
  }

  // Runs it with the latest snapshot, whatever the isolation level of the caller, within
  // an SPI connection; result in SPI_processed and SPI_tuptable.
  void run(std::initializer_list<Argument> arguments);

 private:
  const char* sql_;
  int count_;
  std::array<Oid, max_arguments> types_{};
  SPIPlanPtr plan_ = nullptr;
};

// A value of the current SPI result.
struct Cell {
  Datum value;
  bool is_null;
};
Cell cell(uint64 row, int column);  // column from 1

// An array datum of n elements of a base type, none null unless `nulls` says so.
Datum make_array(const Datum* elements, const bool* nulls, std::size_t count, Oid type);

// Sets a setting until the surrounding GUC nest level ends.
void set_local(const char* name, const char* value);

// Within an SPI connection: body(span) for the elements, so many at a time, in memory that is
// released after each call, with the results of its statements.
template <typename Element, typename Body>
void in_pieces(std::span<const Element> elements, std::size_t most, Body&& body) {
  MemoryContext const context =
      AllocSetContextCreate(CurrentMemoryContext, "eav part of a batch", ALLOCSET_DEFAULT_SIZES);
  MemoryContext const caller = CurrentMemoryContext;
  for (std::size_t at = 0; at < elements.size(); at += most) {
    SPI_connect();
    MemoryContextSwitchTo(context);
    body(elements.subspan(at, std::min(most, elements.size() - at)));
    MemoryContextSwitchTo(caller);
    SPI_finish();
    MemoryContextReset(context);
  }
  MemoryContextDelete(context);
}

}  // namespace eav::pg
