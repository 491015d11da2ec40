// core/value.hpp but for its numbers and timestamps.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "value_names.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

constexpr ParseStatus ok = ParseStatus::ok;
constexpr ParseStatus syntax = ParseStatus::syntax;

TEST(Names, AreThoseOfTheAttributesTable) {
  const std::vector<std::string_view> types = {"text", "int",       "float", "numeric",
                                               "bool", "timestamp", "json"};
  for (std::size_t i = 0; i < types.size(); ++i) {
    const auto type = static_cast<DataType>(i);
    EXPECT_EQ(name_of(type), types[i]);
    EXPECT_EQ(data_type_from_name(types[i]), type);
  }
  for (const char* const name : {"", "TEXT", "text ", "integer", "tex", "hot"}) {
    EXPECT_EQ(data_type_from_name(name), std::nullopt) << name;
  }
  for (const Projection projection : {Projection::hot, Projection::live, Projection::none}) {
    EXPECT_EQ(projection_from_name(name_of(projection)), projection);
  }
  EXPECT_EQ(name_of(Projection::hot), "hot");
  EXPECT_EQ(name_of(Projection::live), "live");
  EXPECT_EQ(name_of(Projection::none), "none");
  EXPECT_EQ(projection_from_name("Hot"), std::nullopt);
}

TEST(DefaultProjection, StatesAreHotReadingsLive) {
  for (int i = 0; i <= static_cast<int>(DataType::json); ++i) {
    const auto type = static_cast<DataType>(i);
    EXPECT_EQ(default_projection(type), type == DataType::text || type == DataType::boolean
                                            ? Projection::hot
                                            : Projection::live)
        << type;
  }
}

TEST(ParseBoolean, Table) {
  for (const std::string_view text :
       {"true", "t", "yes", "y", "on", "1", "TRUE", "True", "T", "YES", "oN", " true\t", "\n1 "}) {
    bool value = false;
    EXPECT_EQ(parse_boolean(text, value), ok) << text;
    EXPECT_TRUE(value) << text;
  }
  for (const std::string_view text :
       {"false", "f", "no", "n", "off", "0", "FALSE", "False", "F", "NO", "oFf", " 0 "}) {
    bool value = true;
    EXPECT_EQ(parse_boolean(text, value), ok) << text;
    EXPECT_FALSE(value) << text;
  }
  for (const std::string_view text : {"", " ", "tr", "tru", "truee", "fals", "o", "of", "2", "-1",
                                      "01", "1.0", "null", "wahr", "t rue"}) {
    for (const bool before : {true, false}) {
      bool value = before;
      EXPECT_EQ(parse_boolean(text, value), syntax) << text;
      EXPECT_EQ(value, before) << text;
    }
  }
}

TEST(InferType, Table) {
  const std::vector<std::pair<std::string_view, DataType>> cases = {
      {"true", DataType::boolean},
      {" false ", DataType::boolean},
      {"True", DataType::text},
      {"t", DataType::text},
      {"on", DataType::text},
      {"1", DataType::integer},
      {" -42 ", DataType::integer},
      {"+7", DataType::integer},
      {"007", DataType::integer},
      {"9223372036854775807", DataType::integer},
      {"9223372036854775808", DataType::floating},
      {"1.0", DataType::floating},
      {".5", DataType::floating},
      {"5.", DataType::floating},
      {"1e3", DataType::floating},
      {"-1E-3", DataType::floating},
      {"1e309", DataType::text},
      {"1e-400", DataType::text},
      {"nan", DataType::text},
      {"NaN", DataType::text},
      {"inf", DataType::text},
      {"-Infinity", DataType::text},
      {"{}", DataType::json},
      {" [1]", DataType::json},
      {"{not json", DataType::json},
      {"\"text\"", DataType::text},
      {"null", DataType::text},
      {"", DataType::text},
      {"  ", DataType::text},
      {"2026-01-31T12:00:00Z", DataType::text},
      {"12 34", DataType::text},
      {"0x10", DataType::text},
      {"1.2.3", DataType::text},
      {"-", DataType::text},
      {".", DataType::text}};
  for (const auto& [text, type] : cases) {
    EXPECT_EQ(infer_type(text), type) << '"' << text << '"';
  }
}

TEST(CheckName, Table) {
  using enum NameStatus;
  EXPECT_EQ(check_name(""), empty);
  EXPECT_EQ(check_name("a"), NameStatus::ok);
  EXPECT_EQ(check_name(" "), NameStatus::ok);
  EXPECT_EQ(check_name("größer \U0001F600"), NameStatus::ok);
  EXPECT_EQ(check_name(std::string(255, 'n')), NameStatus::ok);
  EXPECT_EQ(check_name(std::string(256, 'n')), too_long);
  EXPECT_EQ(check_name(std::string(300, '\n')), too_long);
  for (int c = 0; c < 256; ++c) {
    const std::string name = {'a', static_cast<char>(c), 'b'};
    EXPECT_EQ(check_name(name), c < 0x20 || c == 0x7f ? control_character : NameStatus::ok) << c;
  }
}

}  // namespace
}  // namespace eav::core
