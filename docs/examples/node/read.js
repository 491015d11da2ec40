#!/usr/bin/env node
// Writes on the primary and reads its own write wherever the database says, round after round.
//
//     EAV_SEEDS="postgresql://host:6432/node1;postgresql://host:6432/node2" node read.js [--rounds N]
//
// Any node will do as a seed. User and password come from PGUSER and PGPASSFILE. Exit status: 1 when
// a round does not succeed within a minute, 2 after a stale read. Needs the module pg.
//
// Made for PgBouncer in transaction mode: every statement is a transaction of its own, none has a
// name (so none stays prepared), no session setting is changed.
'use strict';

const { Client, DatabaseError } = require('pg');

const PATIENCE = 60_000; // milliseconds for one round, retries included

// What may be over in a moment: a node is down, or is not the primary any more, or has just started
// and knows no other node yet.
class Retryable extends Error {}
class StaleRead extends Error {}

// Of the SQLSTATEs: connections, conflicts with recovery, resources, "not now", shutdown, read-only,
// unknown node.
const RETRYABLE_STATES = /^(08|40|53|55|57|25006|42704)/;
const OUTDATED_TOKEN = '55000';

function retryable(error) {
  if (error instanceof DatabaseError && !RETRYABLE_STATES.test(error.code)) return error;
  return new Retryable(error.message, { cause: error });
}

// Connections to the nodes, and the router: the seed that is asked where to go.
class Nodes {
  #seeds;
  #clients = new Map();

  constructor(seeds) {
    this.#seeds = [...seeds];
  }

  // The connection to a node, which is kept until it breaks.
  async connect(conninfo) {
    let client = this.#clients.get(conninfo);
    if (client) return client;
    client = new Client({
      connectionString: conninfo,
      connectionTimeoutMillis: 5_000,
      query_timeout: 15_000,
    });
    // Also for one that breaks while nobody uses it, which would end the program otherwise.
    client.on('error', () => this.#drop(conninfo, client));
    client.on('end', () => this.#drop(conninfo, client));
    try {
      await client.connect();
    } catch (error) {
      throw retryable(error);
    }
    this.#clients.set(conninfo, client);
    return client;
  }

  #drop(conninfo, client) {
    if (this.#clients.get(conninfo) === client) this.#clients.delete(conninfo);
  }

  // The first row.
  async query(conninfo, text, ...values) {
    const client = await this.connect(conninfo);
    try {
      return (await client.query(text, values)).rows[0];
    } catch (error) {
      if (!(error instanceof DatabaseError)) {
        this.#drop(conninfo, client);
        client.end().catch(() => {});
      }
      throw retryable(error);
    }
  }

  askRouter(text, ...values) {
    return this.query(this.#seeds[0], text, ...values);
  }

  askAnotherSeed() {
    this.#seeds.push(this.#seeds.shift());
  }

  async route(consistency, token = null) {
    const route = await this.askRouter(
      'SELECT * FROM eav.route_read($1, after_token => $2)',
      consistency,
      token,
    );
    if (route.node_id === null) throw new Retryable(route.reason);
    // Without conninfo, the router means itself.
    return { ...route, conninfo: route.conninfo ?? this.#seeds[0] };
  }

  // What read(conninfo) returns. The router is told how the read went.
  async readFrom(route, read) {
    let result;
    try {
      result = await read(route.conninfo);
    } catch (error) {
      // When the token is out of date, the node is not to blame.
      if (error instanceof Retryable && error.cause?.code !== OUTDATED_TOKEN) {
        await this.askRouter('SELECT eav.report_read_failure($1)', route.node_id);
      }
      throw error;
    }
    await this.askRouter('SELECT eav.report_read_success($1)', route.node_id);
    return result;
  }

  async close() {
    await Promise.allSettled([...this.#clients.values()].map((client) => client.end()));
  }
}

// Writes on the primary. Returns its name, and a token that stands for the write.
async function write(nodes, entity, number) {
  const primary = await nodes.route('strong');
  const { id } = await nodes.query(
    primary.conninfo,
    "SELECT eav.register_tenant('examples') AS id",
  );
  const event = { tenant_id: Number(id), entity, attributes: { round: number } };
  const receipt = await nodes.query(
    primary.conninfo,
    "SELECT accepted, rejected FROM eav.ingest($1::text, 'durable')",
    JSON.stringify(event),
  );
  if (Number(receipt.accepted) !== 1) throw new Error('the event was rejected, see eav.ingest_rejects');
  const { token } = await nodes.query(primary.conninfo, 'SELECT eav.write_token() AS token');
  return { writer: primary.node_id, token };
}

// Reads from a replica if one is there that has the write, else from the primary.
async function read(nodes, entity, token) {
  for (const consistency of ['bounded', 'strong']) {
    const route = await nodes.route(consistency, token);
    const row = await nodes.readFrom(route, async (conninfo) => {
      const { has_it: hasIt } = await nodes.query(
        conninfo,
        "SELECT eav.wait_for_token($1, '1 s') AS has_it",
        token,
      );
      if (!hasIt) return null;
      return nodes.query(
        conninfo,
        `SELECT (SELECT p.live_attrs ->> 'round'
                 FROM eav.entity_jsonb p JOIN eav.entities e USING (tenant_id, entity_id)
                      JOIN eav.tenants t USING (tenant_id)
                 WHERE t.name = 'examples' AND e.external_id = $1) AS number,
                eav.freshness_headers() AS headers`,
        entity,
      );
    });
    if (row) return { route, row };
  }
  throw new Retryable('no node has the write');
}

// One round. The whole of it is repeated when something fails on the way: that the value is
// written twice then does no harm, and after a promotion the old token is worth nothing.
async function writeAndRead(nodes, entity, number) {
  const giveUp = performance.now() + PATIENCE;
  for (let pause = 100; ; pause = Math.min(2 * pause, 2_000)) {
    try {
      const { writer, token } = await write(nodes, entity, number);
      return { writer, ...(await read(nodes, entity, token)) };
    } catch (error) {
      if (!(error instanceof Retryable) || performance.now() > giveUp) throw error;
      console.error(`round ${number}: trying again, ${error.message}`);
    }
    nodes.askAnotherSeed();
    await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random() / 2)));
  }
}

async function main() {
  const [option = '--rounds', value = '1', ...rest] = process.argv.slice(2);
  const rounds = Number(value);
  if (option !== '--rounds' || !Number.isInteger(rounds) || rest.length > 0) {
    throw new Error('usage: read.js [--rounds N]');
  }
  const seeds = (process.env.EAV_SEEDS ?? '').split(';').filter((seed) => seed.trim());
  if (seeds.length === 0) {
    throw new Error('EAV_SEEDS is not set: connection strings of some nodes, separated by ;');
  }

  const nodes = new Nodes(seeds);
  const entity = `example-node-${process.pid}`;
  try {
    for (let number = 1; number <= rounds; number++) {
      const { writer, route, row } = await writeAndRead(nodes, entity, number);
      console.log(`round ${number}: wrote on ${writer}, read from ${route.node_id}: ${route.reason}`);
      for (const [name, content] of row.headers.flatMap(Object.entries)) {
        console.log(`  ${name}: ${content}`);
      }
      if (row.number !== String(number)) {
        throw new StaleRead(`${route.node_id} has ${row.number}, not ${number}`);
      }
    }
  } finally {
    await nodes.close();
  }
}

main().catch((error) => {
  if (error instanceof StaleRead) {
    console.error(`stale read: ${error.message}`);
    process.exitCode = 2;
  } else {
    console.error(error instanceof Retryable ? `giving up: ${error.message}` : error);
    process.exitCode = 1;
  }
});
