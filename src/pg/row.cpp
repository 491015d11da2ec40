#include "eav/pg/row.hpp"

namespace eav::pg {

namespace {

constexpr int max_columns = 16;

struct Columns {
  Datum values[max_columns];
  bool nulls[max_columns];
};

Columns columns_of(std::initializer_list<Column> columns) {
  Columns result;
  Assert(columns.size() <= max_columns);
  int i = 0;
  for (const Column& column : columns) {
    result.values[i] = column.value;
    result.nulls[i++] = column.is_null;
  }
  return result;
}

}  // namespace

Column text(std::string_view string) {
  return Column(
      PointerGetDatum(cstring_to_text_with_len(string.data(), static_cast<int>(string.size()))));
}

Datum row(FunctionCallInfo fcinfo, std::initializer_list<Column> columns) {
  TupleDesc description = nullptr;
  if (get_call_result_type(fcinfo, nullptr, &description) != TYPEFUNC_COMPOSITE) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("function must be called where a row is accepted")));
  }
  Columns cells = columns_of(columns);
  return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), cells.values, cells.nulls));
}

void put_row(ReturnSetInfo* result, std::initializer_list<Column> columns) {
  Columns cells = columns_of(columns);
  tuplestore_putvalues(result->setResult, result->setDesc, cells.values, cells.nulls);
}

}  // namespace eav::pg
