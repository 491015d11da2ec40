// What the load generators need of libpq, clocks and statistics.
#pragma once

#include <libpq-fe.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using std::chrono::microseconds;

inline double milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}
inline double seconds(Clock::duration duration) { return milliseconds(duration) / 1000; }

// Steady times as text that is a timestamptz and RFC 3339: what producers write as observed_at.
class Calendar {
 public:
  std::string text(Time at) const {
    const auto since = std::chrono::duration_cast<microseconds>(
        system_.time_since_epoch() + std::chrono::duration_cast<microseconds>(at - steady_));
    const std::time_t whole = since.count() / 1000000;
    std::tm parts{};
    gmtime_r(&whole, &parts);
    char day[32];
    std::strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &parts);
    char all[48];
    std::snprintf(all, sizeof(all), "%s.%06dZ", day, static_cast<int>(since.count() % 1000000));
    return all;
  }

 private:
  std::chrono::system_clock::time_point system_ = std::chrono::system_clock::now();
  Time steady_ = Clock::now();
};

class Result {
 public:
  explicit Result(PGresult* result) : result_(result, PQclear) {}
  int rows() const { return PQntuples(result_.get()); }
  std::string text(int row, int column) const { return PQgetvalue(result_.get(), row, column); }
  long long number(int row, int column) const {
    return std::atoll(PQgetvalue(result_.get(), row, column));
  }
  ExecStatusType status() const { return PQresultStatus(result_.get()); }

 private:
  std::unique_ptr<PGresult, decltype(&PQclear)> result_;
};

// A connection by the usual environment variables. Errors are exceptions.
class Connection {
 public:
  explicit Connection(const char* name)
      : connection_(PQconnectdb((std::string("application_name='") + name + "'").c_str()),
                    PQfinish) {
    if (PQstatus(connection_.get()) != CONNECTION_OK) {
      fail();
    }
  }

  Result run(const std::string& sql) { return check(PQexec(connection_.get(), sql.c_str())); }
  void prepare(const char* name, const std::string& sql) {
    check(PQprepare(connection_.get(), name, sql.c_str(), 0, nullptr));
  }
  Result run_prepared(const char* name) {
    return check(PQexecPrepared(connection_.get(), name, 0, nullptr, nullptr, nullptr, 0));
  }

  // With one parameter, as text or as the bytes of its type.
  Result run_prepared(const char* name, const std::string& parameter, bool is_binary = false) {
    const char* const value = parameter.c_str();
    const int length = static_cast<int>(parameter.size());
    const int format = is_binary ? 1 : 0;
    return check(
        PQexecPrepared(connection_.get(), name, 1, &value, &length, &format, /*resultFormat=*/0));
  }

  // One COPY, one transaction: committed when this returns.
  void copy(const std::string& command, std::span<const std::string> rows) {
    run(command);
    for (const std::string& some : rows) {
      if (PQputCopyData(connection_.get(), some.data(), static_cast<int>(some.size())) != 1) {
        fail();
      }
    }
    if (PQputCopyEnd(connection_.get(), nullptr) != 1) {
      fail();
    }
    while (PGresult* const result = PQgetResult(connection_.get())) {
      check(result);
    }
  }

  int server_process() const { return PQbackendPID(connection_.get()); }

 private:
  Result check(PGresult* raw) {
    Result result(raw);
    switch (result.status()) {
      case PGRES_COMMAND_OK:
      case PGRES_TUPLES_OK:
      case PGRES_COPY_IN:
        return result;
      default:
        fail();
    }
  }
  [[noreturn]] void fail() { throw std::runtime_error(PQerrorMessage(connection_.get())); }

  std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

// Latencies in milliseconds.
class Samples {
 public:
  void add(Clock::duration duration) { values_.push_back(milliseconds(duration)); }
  void add(const Samples& other) {
    values_.insert(values_.end(), other.values_.begin(), other.values_.end());
  }
  std::size_t size() const { return values_.size(); }
  // The smallest value that at least this share of the values does not exceed.
  double percentile(double share) {
    if (values_.empty()) {
      return 0;
    }
    std::sort(values_.begin(), values_.end());
    const auto rank = static_cast<std::size_t>(share * static_cast<double>(values_.size()));
    return values_[std::min(rank, values_.size() - 1)];
  }
  void print(const char* label) {
    std::printf("%-34s p50 %7.1f  p95 %7.1f  p99 %7.1f  max %7.1f ms   (%zu)\n", label,
                percentile(0.5), percentile(0.95), percentile(0.99), percentile(1), size());
  }

 private:
  std::vector<double> values_;
};

}  // namespace bench
