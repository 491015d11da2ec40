// How fast events are parsed: ns per value, values/s and MB/s, for payloads of one event and of a
// thousand.
//
//   g++ -std=c++20 -O2 -Iinclude -o .run/parse test/bench/parse.cpp src/core/*.cpp -lsimdjson
//   .run/parse [FILE with one event a line]
//
// Without a file it makes events of eight attributes: integers, decimals, short texts, a boolean.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "eav/core/error.hpp"
#include "eav/core/event.hpp"

#include "eav/core/core_only.hpp"

namespace {

using namespace eav::core;

constexpr std::size_t made_events = 10'000;
constexpr int rounds = 15;

std::vector<std::string> read_events(const char* path) {
  std::vector<std::string> events;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    events.push_back(line);
  }
  return events;
}

std::vector<std::string> make_events() {
  std::mt19937_64 random(1);
  const auto below = [&](std::uint64_t limit) { return random() % limit; };
  std::vector<std::string> events;
  for (std::size_t i = 0; i < made_events; ++i) {
    char event[512];
    std::snprintf(event, sizeof(event),
                  R"({"tenant_id":%d,"entity_id":%d,"observed_at":"2026-11-21T10:%02d:%02d.%03dZ",)"
                  R"("attributes":{"temperature":%.1f,"humidity":%.2f,"battery":%d,)"
                  R"("status":"%s","online":%s,"firmware":"v%d.%d.%d","uptime":%llu,)"
                  R"("position":%.6f}})",
                  static_cast<int>(below(64)), static_cast<int>(below(100'000)),
                  static_cast<int>(below(60)), static_cast<int>(below(60)),
                  static_cast<int>(below(1000)), static_cast<double>(below(1000)) / 10 - 30,
                  static_cast<double>(below(10'000)) / 100, static_cast<int>(below(101)),
                  below(2) == 0 ? "online" : "maintenance", below(2) == 0 ? "true" : "false",
                  static_cast<int>(below(9)), static_cast<int>(below(20)),
                  static_cast<int>(below(100)), static_cast<unsigned long long>(below(1U << 30)),
                  static_cast<double>(below(180'000'000)) / 1e6 - 90);
    events.emplace_back(event);
  }
  return events;
}

// Each with its padding.
std::vector<std::string> make_payloads(const std::vector<std::string>& events, std::size_t each) {
  std::vector<std::string> payloads;
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (i % each == 0) {
      payloads.emplace_back();
    }
    payloads.back() += events[i] + '\n';
  }
  for (std::string& payload : payloads) {
    payload.append(json_padding, '\0');
  }
  return payloads;
}

void* allocate(void* /*context*/, std::size_t bytes) {
  void* const memory = std::malloc(bytes);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

// Parsing alone, or reading back as well.
void measure(const char* title, const std::vector<std::string>& payloads, bool reads) {
  EventParser parser;
  ArenaVector<std::uint8_t> out(
      Arena{allocate, [](void* /*context*/, void* memory) { std::free(memory); }, nullptr});
  const EventRules rules = {std::nullopt, 0, std::numeric_limits<std::int64_t>::max(), 65536};
  std::vector<double> seconds;
  std::uint64_t values = 0;
  std::size_t bytes = 0;
  std::int64_t sum = 0;
  for (int round = 0; round < rounds; ++round) {
    values = 0;
    bytes = 0;
    const auto start = std::chrono::steady_clock::now();
    for (const std::string& payload : payloads) {
      const std::string_view text(payload.data(), payload.size() - json_padding);
      out.clear();
      values += parser.parse(text, rules, out).values;
      bytes += text.size();
      if (reads) {
        EventReader reader(out.span());
        EventReader::Value value{};
        EventReader::Reject reject{};
        while (reader.next(value, reject) != EventReader::Kind::end) {
          sum += value.observed_at + static_cast<std::int64_t>(value.attribute.size());
        }
      }
    }
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::free(out.data());
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  const auto count = static_cast<double>(values);
  std::printf("%-28s %7.1f ns/value %7.2f M values/s %7.0f MB/s   (best %.1f, %llu values%s)\n",
              title, median / count * 1e9, count / median / 1e6,
              static_cast<double>(bytes) / median / 1e6, seconds[0] / count * 1e9,
              static_cast<unsigned long long>(values), sum == 42 ? "!" : "");
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> events = argc > 1 ? read_events(argv[1]) : make_events();
  const std::vector<std::string> single = make_payloads(events, 1);
  const std::vector<std::string> thousand = make_payloads(events, 1000);
  try {
    measure("payloads of 1", single, false);
    measure("payloads of 1000", thousand, false);
    measure("payloads of 1, and read", single, true);
    measure("payloads of 1000, and read", thousand, true);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", error.message.c_str(), error.detail.c_str());
    return 1;
  }
  return 0;
}
