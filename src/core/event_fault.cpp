#include "eav/core/event_fault.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

namespace {

constexpr std::array<std::string_view, event_fault_count> fault_names = {
    "unknown_key",  "missing_key",  "duplicate_key", "wrong_type",
    "out_of_range", "invalid_name", "too_large",     "wrong_tenant"};
constexpr std::array<const char*, event_fault_count> fault_states = {
    "22023",   // invalid_parameter_value
    "23502",   // not_null_violation
    "22030",   // duplicate_json_object_key_value
    "42804",   // datatype_mismatch
    "22003",   // numeric_value_out_of_range
    "42602",   // invalid_name
    "54000",   // program_limit_exceeded
    "42501"};  // insufficient_privilege

}  // namespace

std::string_view name_of(EventFault fault) { return fault_names[static_cast<std::size_t>(fault)]; }

const char* sqlstate_of(EventFault fault) { return fault_states[static_cast<std::size_t>(fault)]; }

}  // namespace eav::core
