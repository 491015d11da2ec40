// What a value can be, where it is kept, and how text becomes one.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "eav/core/core_only.hpp"

namespace eav::core {

enum class DataType : std::uint8_t { text, integer, floating, numeric, boolean, timestamp, json };
enum class Projection : std::uint8_t { hot, live, current, none };

// The names as the attributes table spells them; nullopt for any other text.
std::optional<DataType> data_type_from_name(std::string_view name);
std::string_view name_of(DataType type);
std::optional<Projection> projection_from_name(std::string_view name);
std::string_view name_of(Projection projection);

// Where an attribute that registers itself goes: states are filtered by, readings change with
// every event.
Projection default_projection(DataType type);

enum class ParseStatus : std::uint8_t { ok, syntax, out_of_range };

// Each takes the whole text, blanks around it allowed, and leaves the result alone unless ok.
ParseStatus parse_integer(std::string_view text, std::int64_t& result);
// Decimal or exponent form, nan, inf, infinity; any case. Rounds to nearest, as float8 does.
ParseStatus parse_floating(std::string_view text, double& result);
// true/false, t/f, yes/no, y/n, on/off, 1/0; any case.
ParseStatus parse_boolean(std::string_view text, bool& result);
// RFC 3339 date-time (a blank may stand for the T, the fraction is cut to microseconds).
// Result: microseconds since 2000-01-01 00:00:00 UTC. syntax says only "not this form":
// PostgreSQL knows many more.
ParseStatus parse_timestamp(std::string_view text, std::int64_t& result);
// Whether numeric accepts the text: digits, point, exponent, NaN, Infinity; out_of_range above
// 131,072 digits before or 16,383 after the point.
ParseStatus check_numeric(std::string_view text);

// The type that an attribute gets from the first text that arrives for it: bool for true and
// false, int, float, json for objects and arrays, else text.
DataType infer_type(std::string_view text);

enum class NameStatus : std::uint8_t { ok, empty, too_long, control_character };
constexpr std::size_t max_name_bytes = 255;
// Names of tenants, entities and attributes. UTF-8 assumed; C0 controls and DEL refused.
NameStatus check_name(std::string_view name);

}  // namespace eav::core
