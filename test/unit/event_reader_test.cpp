// EventReader: what was written, and bytes that were not.
#include <gtest/gtest.h>

#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "event_text.hpp"
#include "random.hpp"

#include "eav/core/event_codec.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

using namespace test;
using Bytes = std::vector<std::uint8_t>;

// Reads to the end; the number of records and values, or the SQLSTATE of the error.
std::string read(const Bytes& bytes) {
  const auto exact = std::make_unique<std::uint8_t[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), exact.get());
  EventReader reader(std::span<const std::uint8_t>(exact.get(), bytes.size()));
  EventReader::Value value{};
  EventReader::Reject reject{};
  std::size_t count = 0;
  try {
    while (reader.next(value, reject) != EventReader::Kind::end) {
      ++count;
    }
  } catch (const Error& error) {
    EXPECT_EQ(error.message, "stored events are damaged");
    EXPECT_TRUE(error.detail.starts_with("At byte "));
    return error.sqlstate;
  }
  return std::to_string(count);
}

Bytes written(std::string_view text) {
  EventParser parser;
  CountingArena memory;
  ArenaVector<std::uint8_t> out(memory.arena());
  const Payload payload(text);
  parser.parse(payload.text(), any_rules, out);
  return {out.begin(), out.end()};
}

const std::string everything =
    R"([{"tenant_id":1,"entity":"dev","attributes":{"i":-7,"f":2.5,"t":true,"n":null,"s":"text",)"
    R"("big":1e400,"j":[1]}},5,{"tenant_id":3,"entity_id":4,"attributes":{"a":false}}])";

TEST(EventReader, NothingHasAnEnd) { EXPECT_EQ(read({}), "0"); }

TEST(EventReader, TheEndStays) {
  const Bytes bytes = written(event_of("\"a\":1"));
  EventReader reader(bytes);
  EventReader::Value value{};
  EventReader::Reject reject{};
  EXPECT_EQ(reader.next(value, reject), EventReader::Kind::value);
  EXPECT_EQ(reader.next(value, reject), EventReader::Kind::end);
  EXPECT_EQ(reader.next(value, reject), EventReader::Kind::end);
}

TEST(EventReader, LeavesTheOtherAlone) {
  const Bytes bytes = written("[5," + event_of("\"a\":1") + "]");
  EventReader reader(bytes);
  EventReader::Value value{};
  value.attribute = "before";
  EventReader::Reject reject{};
  ASSERT_EQ(reader.next(value, reject), EventReader::Kind::reject);
  EXPECT_EQ(value.attribute, "before");
  EXPECT_EQ(reject.event, "5");
  ASSERT_EQ(reader.next(value, reject), EventReader::Kind::value);
  EXPECT_EQ(value.attribute, "a");
  EXPECT_EQ(reject.event, "5");
}

TEST(EventReader, ViewsPointIntoTheBytes) {
  const Bytes bytes = written(everything);
  EventReader reader(bytes);
  EventReader::Value value{};
  EventReader::Reject reject{};
  const auto inside = [&](std::string_view view) {
    const auto* const begin = reinterpret_cast<const char*>(bytes.data());
    return view.data() >= begin && view.data() + view.size() <= begin + bytes.size();
  };
  while (true) {
    const EventReader::Kind kind = reader.next(value, reject);
    if (kind == EventReader::Kind::end) {
      break;
    }
    if (kind == EventReader::Kind::reject) {
      EXPECT_TRUE(inside(reject.reason) && inside(reject.event));
    } else {
      EXPECT_TRUE(inside(value.entity) && inside(value.attribute));
    }
  }
}

// Cut anywhere, except between two records.
TEST(EventReader, RefusesWhatIsCut) {
  const Bytes bytes = written(everything);
  ASSERT_EQ(read(bytes), "9");
  std::size_t whole = 0;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const std::string result = read({bytes.begin(), bytes.begin() + static_cast<long>(size)});
    whole += result != "XX001" ? 1 : 0;
  }
  EXPECT_EQ(whole, 3U);
}

TEST(EventReader, RefusesWhatCannotBeWritten) {
  const EventHeader header = {RecordKind::event, 1, 1, 4, 1, 0, 0};
  const auto event = [](const EventHeader& changed, const std::string& rest) {
    Bytes bytes(sizeof(changed));
    std::memcpy(bytes.data(), &changed, sizeof(changed));
    bytes.insert(bytes.end(), rest.begin(), rest.end());
    return bytes;
  };
  const std::string value = {1, 'a', static_cast<char>(ValueTag::boolean), 1};
  EXPECT_EQ(read(event(header, value + "e")), "1");
  EventHeader changed = header;
  changed.kind = static_cast<RecordKind>(0);
  EXPECT_EQ(read(event(changed, value + "e")), "XX001");
  changed.kind = static_cast<RecordKind>(3);
  EXPECT_EQ(read(event(changed, value + "e")), "XX001");
  changed = header;
  changed.entity_id = 5;
  EXPECT_EQ(read(event(changed, value + "e")), "XX001") << "both kinds of ids";
  changed = header;
  changed.values = 0;
  EXPECT_EQ(read(event(changed, value + "e")), "XX001");
  changed.values = 2;
  EXPECT_EQ(read(event(changed, value + "e")), "XX001");
  changed.values = 10'001;
  EXPECT_EQ(read(event(changed, value + "e")), "XX001");
  changed = header;
  changed.value_bytes = 5;
  EXPECT_EQ(read(event(changed, value + "e" + "f")), "XX001") << "bytes after the last value";
  const Bytes inner = event(header, value + "e");
  changed.value_bytes = static_cast<std::uint32_t>(value.size() + inner.size());
  changed.entity_bytes = 0;
  EXPECT_EQ(read(event(changed, value + std::string(inner.begin(), inner.end()))), "XX001")
      << "even when they are an event";
  changed = header;
  changed.value_bytes = 3;
  EXPECT_EQ(read(event(changed, value + "e")), "XX001");
  changed.value_bytes = 0xffff'ffff;
  EXPECT_EQ(read(event(changed, value + "e")), "XX001");
  EXPECT_EQ(read(event(header, std::string{0, 'a', 3, 1} + "e")), "XX001") << "no name";
  EXPECT_EQ(read(event(header, std::string{1, 'a', 3, 2} + "e")), "XX001") << "no boolean";
  EXPECT_EQ(read(event(header, std::string{1, 'a', 7, 1} + "e")), "XX001") << "no tag";
  EXPECT_EQ(read(event(header, std::string{2, 'a', 'b', 0} + "e")), "1");

  const RejectHeader reject = {RecordKind::reject, 0, 1, 0, 1, 1, 1, 1};
  const auto rejected = [](const RejectHeader& changed_header) {
    Bytes bytes(sizeof(changed_header));
    std::memcpy(bytes.data(), &changed_header, sizeof(changed_header));
    bytes.push_back('r');
    bytes.push_back('e');
    return bytes;
  };
  EXPECT_EQ(read(rejected(reject)), "1");
  RejectHeader wrong = reject;
  wrong.fault = event_fault_count;
  EXPECT_EQ(read(rejected(wrong)), "XX001");
  wrong = reject;
  wrong.has_tenant = 2;
  EXPECT_EQ(read(rejected(wrong)), "XX001");
  wrong = reject;
  wrong.position = 0;
  EXPECT_EQ(read(rejected(wrong)), "XX001");
  wrong = reject;
  wrong.reason_bytes = 3;
  EXPECT_EQ(read(rejected(wrong)), "XX001");
  wrong = reject;
  wrong.event_bytes = 0xffff'ffff;
  EXPECT_EQ(read(rejected(wrong)), "XX001");
}

TEST(EventReader, SurvivesAnyBytes) {
  EAV_RANDOM(random);
  const Bytes whole = written(everything);
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    Bytes bytes = whole;
    for (std::int64_t j = random.between(1, 4); j > 0; --j) {
      bytes[static_cast<std::size_t>(
          random.between(0, static_cast<std::int64_t>(bytes.size()) - 1))] =
          static_cast<std::uint8_t>(random.bits());
    }
    refused += read(bytes) == "XX001" ? 1 : 0;
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace eav::core
