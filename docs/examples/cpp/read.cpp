// Writes on the primary and reads its own write wherever the database says, round after round.
//
//     g++ -std=c++20 -I"$(pg_config --includedir)" read.cpp -o read -L"$(pg_config --libdir)" -lpq
//     EAV_SEEDS="postgresql://host:6432/node1;postgresql://host:6432/node2" ./read [--rounds N]
//
// Any node will do as a seed. User and password come from the environment of libpq (PGUSER,
// PGPASSFILE). Exit status: 1 when a round does not succeed within a minute, 2 after a stale read.
//
// Made for PgBouncer in transaction mode: every statement is a transaction of its own, none is
// prepared, no session setting is changed.

#include <libpq-fe.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Text = std::optional<std::string>;  // nullopt: null

constexpr auto patience = 60s;  // for one round, retries included

// What may be over in a moment: a node is down, or is not the primary any more, or has just started
// and knows no other node yet.
struct Retryable : std::runtime_error {
  explicit Retryable(const std::string& what, std::string sqlstate = "")
      : runtime_error(what), state(std::move(sqlstate)) {}
  bool is_outdated_token() const { return state == "55000"; }
  std::string state;
};
struct StaleRead : std::runtime_error {
  using runtime_error::runtime_error;
};

// No answer at all, connections, conflicts with recovery, resources, "not now", shutdown;
// read-only; unknown node.
bool is_retryable(std::string_view sqlstate) {
  const auto sqlclass = sqlstate.substr(0, 2);
  return sqlclass == "" || sqlclass == "08" || sqlclass == "40" || sqlclass == "53" ||
         sqlclass == "55" || sqlclass == "57" || sqlstate == "25006" || sqlstate == "42704";
}

struct Deleter {
  void operator()(PGconn* connection) const { PQfinish(connection); }
  void operator()(PGresult* result) const { PQclear(result); }
};
using Connection = std::unique_ptr<PGconn, Deleter>;
using Result = std::unique_ptr<PGresult, Deleter>;

std::string message_of(const char* message) {
  std::string text = message;
  text.erase(text.find_last_not_of('\n') + 1);
  return text;
}

// The last two are for a host that is gone without a word.
Connection connect(const std::string& conninfo) {
  const char* keywords[] = {"dbname", "connect_timeout", "keepalives_idle", "tcp_user_timeout",
                            nullptr};
  const char* values[] = {conninfo.c_str(), "5", "5", "10000", nullptr};
  Connection connection(PQconnectdbParams(keywords, values, 1));
  if (PQstatus(connection.get()) != CONNECTION_OK)
    throw Retryable(message_of(PQerrorMessage(connection.get())));
  return connection;
}

Result query(PGconn* connection, const char* sql, const std::vector<Text>& parameters = {}) {
  std::vector<const char*> values;
  for (const Text& parameter : parameters)
    values.push_back(parameter ? parameter->c_str() : nullptr);
  Result result(PQexecParams(connection, sql, static_cast<int>(values.size()), nullptr,
                             values.data(), nullptr, nullptr, 0));
  if (PQresultStatus(result.get()) == PGRES_TUPLES_OK) return result;
  const char* sqlstate = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
  const std::string message = message_of(PQerrorMessage(connection));
  if (is_retryable(sqlstate ? sqlstate : "")) throw Retryable(message, sqlstate ? sqlstate : "");
  throw std::runtime_error(message);
}

// The value of a column, by name, in the first row.
Text value(const Result& result, const char* column) {
  const int number = PQfnumber(result.get(), column);
  if (PQntuples(result.get()) == 0 || PQgetisnull(result.get(), 0, number)) return std::nullopt;
  return PQgetvalue(result.get(), 0, number);
}

struct Route {
  std::string node_id;
  std::string conninfo;
  std::string reason;
};

// Connections to the nodes, and the router: the seed that is asked where to go.
class Nodes {
 public:
  explicit Nodes(std::vector<std::string> seeds) : seeds_(std::move(seeds)) {}

  // The connection to a node, which is kept until it breaks.
  PGconn* connection_to(const std::string& conninfo) {
    Connection& connection = connections_[conninfo];
    if (PQstatus(connection.get()) != CONNECTION_OK) connection = connect(conninfo);
    return connection.get();
  }
  PGconn* router() { return connection_to(seeds_.front()); }
  void ask_another_seed() { std::rotate(seeds_.begin(), seeds_.begin() + 1, seeds_.end()); }

  Route route(const std::string& consistency, const Text& token = std::nullopt) {
    const Result row = query(router(), "SELECT * FROM eav.route_read($1, after_token => $2)",
                             {consistency, token});
    const Text node_id = value(row, "node_id");
    const std::string reason = value(row, "reason").value_or("");
    if (!node_id) throw Retryable(reason);
    // Without conninfo, the router means itself.
    return {*node_id, value(row, "conninfo").value_or(seeds_.front()), reason};
  }

  // What read(connection) returns. The router is told how the read went.
  template <typename Read>
  Result read_from(const Route& route, Read read) {
    Result result;
    try {
      result = read(connection_to(route.conninfo));
    } catch (const Retryable& error) {
      // When the token is out of date, the node is not to blame.
      if (!error.is_outdated_token())
        query(router(), "SELECT eav.report_read_failure($1)", {route.node_id});
      throw;
    }
    query(router(), "SELECT eav.report_read_success($1)", {route.node_id});
    return result;
  }

 private:
  std::vector<std::string> seeds_;
  std::map<std::string, Connection> connections_;
};

struct Written {
  std::string node_id;
  std::string token;  // stands for the write
};

// Writes on the primary.
Written write(Nodes& nodes, const std::string& entity, int number) {
  const Route primary = nodes.route("strong");
  PGconn* connection = nodes.connection_to(primary.conninfo);
  const Result tenant = query(connection, "SELECT eav.register_tenant('examples') AS id");
  const std::string event = "{\"tenant_id\": " + value(tenant, "id").value() + ", \"entity\": \"" +
                            entity + "\", \"attributes\": {\"round\": " + std::to_string(number) +
                            "}}";
  const Result receipt =
      query(connection, "SELECT accepted, rejected FROM eav.ingest($1::text, 'durable')", {event});
  if (value(receipt, "accepted") != "1")
    throw std::runtime_error("the event was rejected, see eav.ingest_rejects");
  const Result token = query(connection, "SELECT eav.write_token() AS token");
  return {primary.node_id, value(token, "token").value()};
}

struct Answer {
  Route route;
  Text number;
  std::string headers;
};

// Reads from a replica if one is there that has the write, else from the primary.
Answer read(Nodes& nodes, const std::string& entity, const std::string& token) {
  for (const char* consistency : {"bounded", "strong"}) {
    const Route route = nodes.route(consistency, token);
    const Result row = nodes.read_from(route, [&](PGconn* connection) -> Result {
      const Result wait =
          query(connection, "SELECT eav.wait_for_token($1, '1 s') AS has_it", {token});
      if (value(wait, "has_it") != "t") return nullptr;
      return query(
          connection,
          "SELECT (SELECT p.live_attrs ->> 'round' "
          "        FROM eav.entity_jsonb p JOIN eav.entities e USING (tenant_id, entity_id) "
          "             JOIN eav.tenants t USING (tenant_id) "
          "        WHERE t.name = 'examples' AND e.external_id = $1) AS number, "
          "       (SELECT string_agg('  ' || name || ': ' || content, E'\\n') "
          "        FROM jsonb_array_elements(eav.freshness_headers()) header, "
          "             jsonb_each_text(header) AS pair (name, content)) AS headers",
          {entity});
    });
    if (row) return {route, value(row, "number"), value(row, "headers").value_or("")};
  }
  throw Retryable("no node has the write");
}

// One round. The whole of it is repeated when something fails on the way: that the value is
// written twice then does no harm, and after a promotion the old token is worth nothing.
std::pair<Written, Answer> write_and_read(Nodes& nodes, const std::string& entity, int number) {
  static std::minstd_rand random(std::random_device{}());
  const auto give_up = Clock::now() + patience;
  for (auto pause = 100ms;; pause = std::min(2 * pause, 2000ms)) {
    try {
      const Written written = write(nodes, entity, number);
      return {written, read(nodes, entity, written.token)};
    } catch (const Retryable& error) {
      if (Clock::now() > give_up) throw;
      std::cerr << "round " << number << ": trying again, " << error.what() << std::endl;
    }
    nodes.ask_another_seed();
    std::this_thread::sleep_for(pause * std::uniform_real_distribution(0.5, 1.0)(random));
  }
}

std::vector<std::string> seeds_of_environment() {
  const char* variable = std::getenv("EAV_SEEDS");
  std::istringstream list(variable ? variable : "");
  std::vector<std::string> seeds;
  for (std::string seed; std::getline(list, seed, ';');)
    if (!seed.empty()) seeds.push_back(seed);
  if (seeds.empty())
    throw std::runtime_error(
        "EAV_SEEDS is not set: connection strings of some nodes, separated by ;");
  return seeds;
}

int rounds_of(int argc, char** argv) {
  if (argc == 1) return 1;
  if (argc != 3 || std::string_view(argv[1]) != "--rounds")
    throw std::runtime_error("usage: read [--rounds N]");
  return std::stoi(argv[2]);
}

void run(int rounds, Nodes& nodes) {
  const std::string entity = "example-cpp-" + std::to_string(getpid());
  for (int number = 1; number <= rounds; number++) {
    const auto [written, answer] = write_and_read(nodes, entity, number);
    std::cout << "round " << number << ": wrote on " << written.node_id << ", read from "
              << answer.route.node_id << ": " << answer.route.reason << '\n'
              << answer.headers << std::endl;
    if (answer.number != std::to_string(number))
      throw StaleRead(answer.route.node_id + " has " + answer.number.value_or("nothing") +
                      ", not " + std::to_string(number));
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int rounds = rounds_of(argc, argv);
    Nodes nodes(seeds_of_environment());
    run(rounds, nodes);
    return 0;
  } catch (const StaleRead& error) {
    std::cerr << "stale read: " << error.what() << '\n';
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "giving up: " << error.what() << '\n';
    return 1;
  }
}
