#include "eav/pg/spi.hpp"

namespace eav::pg {

void Statement::run(std::initializer_list<Argument> arguments) {
  // SPI leaves its own memory context behind.
  MemoryContext const caller = CurrentMemoryContext;
  if (plan_ == nullptr) {
    SPIPlanPtr plan = SPI_prepare_cursor(sql_, count_, types_.data(), CURSOR_OPT_GENERIC_PLAN);
    if (plan == nullptr) {
      ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not prepare \"%s\": %s", sql_,
                                                              SPI_result_code_string(SPI_result))));
    }
    SPI_keepplan(plan);
    plan_ = plan;
  }
  Datum values[max_arguments];
  char nulls[max_arguments];
  int i = 0;
  for (const Argument& argument : arguments) {
    values[i] = argument.value;
    nulls[i] = argument.is_null ? 'n' : ' ';
    ++i;
  }
  Assert(i == count_);
  const int result = SPI_execute_snapshot(plan_, values, nulls, GetLatestSnapshot(),
                                          InvalidSnapshot, false, true, 0);
  if (result < 0) {
    ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
                    errmsg("could not run \"%s\": %s", sql_, SPI_result_code_string(result))));
  }
  MemoryContextSwitchTo(caller);
}

Cell cell(uint64 row, int column) {
  Cell result;
  result.value =
      SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &result.is_null);
  return result;
}

Datum make_array(const Datum* elements, const bool* nulls, std::size_t count, Oid type) {
  int16 length = 0;
  bool by_value = false;
  char align = 0;
  get_typlenbyvalalign(type, &length, &by_value, &align);
  int dimensions[] = {static_cast<int>(count)};
  int lower_bounds[] = {1};
  return PointerGetDatum(construct_md_array(const_cast<Datum*>(elements), const_cast<bool*>(nulls),
                                            1, dimensions, lower_bounds, type, length, by_value,
                                            align));
}

void set_local(const char* name, const char* value) {
  set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

}  // namespace eav::pg
