// Rows that our functions return.
#pragma once

#include <initializer_list>
#include <string_view>

#include "eav/pg/postgres.hpp"

namespace eav::pg {

struct Column {
  explicit Column(Datum datum) : value(datum), is_null(false) {}
  static Column null() {
    Column column{Datum(0)};
    column.is_null = true;
    return column;
  }
  Datum value;
  bool is_null;
};

Column text(std::string_view string);

// The one row of a function with OUT parameters.
Datum row(FunctionCallInfo fcinfo, std::initializer_list<Column> columns);
// One of many, after InitMaterializedSRF().
void put_row(ReturnSetInfo* result, std::initializer_list<Column> columns);

}  // namespace eav::pg
