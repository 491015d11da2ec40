// Random numbers for property tests. Each prints its seed; EAV_SEED=n in the environment repeats
// it.
#pragma once

#include <gtest/gtest.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <string_view>

namespace eav::test {

class Random {
 public:
  Random() : seed_(choose_seed()), engine_(seed_) {
    std::printf("EAV_SEED=%" PRIu64 "\n", seed_);
    std::fflush(stdout);  // also when the test crashes
  }

  std::uint64_t seed() const { return seed_; }

  std::uint64_t bits() { return engine_(); }
  // Both ends included.
  std::int64_t between(std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(engine_);
  }
  bool chance(double probability) { return std::bernoulli_distribution(probability)(engine_); }

  // All magnitudes alike, and now and then an extreme.
  std::int64_t any_int64() {
    if (chance(0.1)) {
      constexpr std::int64_t extremes[] = {0, 1, -1, std::numeric_limits<std::int64_t>::max(),
                                           std::numeric_limits<std::int64_t>::min()};
      return extremes[between(0, 4)];
    }
    return static_cast<std::int64_t>(bits()) >> between(0, 63);
  }
  std::string text(std::string_view alphabet, std::size_t most) {
    std::string result(static_cast<std::size_t>(between(0, static_cast<std::int64_t>(most))), ' ');
    for (char& c : result) {
      c = alphabet[static_cast<std::size_t>(
          between(0, static_cast<std::int64_t>(alphabet.size()) - 1))];
    }
    return result;
  }

 private:
  static std::uint64_t choose_seed() {
    const char* const given = std::getenv("EAV_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  }

  std::uint64_t seed_;
  std::mt19937_64 engine_;
};

}  // namespace eav::test

// For the scope of a property test: random numbers, and the seed beside every failure.
#define EAV_RANDOM(random)  \
  eav::test::Random random; \
  SCOPED_TRACE("EAV_SEED=" + std::to_string(random.seed()))
