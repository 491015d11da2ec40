#!/usr/bin/env python3
"""Writes on the primary and reads its own write wherever the database says, round after round.

    EAV_SEEDS="postgresql://host:6432/node1;postgresql://host:6432/node2" read.py [--rounds N]

Any node will do as a seed. User and password come from the environment of libpq (PGUSER,
PGPASSFILE). Exit status: 1 when a round does not succeed within a minute, 2 after a stale read.
Needs psycopg 3.

Made for PgBouncer in transaction mode: every statement is a transaction of its own
(autocommit), nothing is prepared (prepare_threshold=None), no session setting is changed.
"""

import argparse
import json
import os
import random
import sys
import time
from contextlib import contextmanager

import psycopg
from psycopg.rows import namedtuple_row

PATIENCE = 60.0  # seconds for one round, retries included


class Unavailable(Exception):
    """No node may answer now."""


class StaleRead(Exception):
    """A node has answered without the write that it had to show."""


# What may be over in a moment: a node is down, or is not the primary any more, or has just started
# and knows no other node yet.
RETRYABLE = (
    Unavailable,
    psycopg.OperationalError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.UndefinedObject,
)


class Nodes:
    """Connections to the nodes, and the router: the seed that is asked where to go."""

    def __init__(self, seeds):
        self._seeds = list(seeds)
        self._connections = {}

    def connect(self, conninfo):
        """The connection to a node, which is kept until it breaks."""
        connection = self._connections.get(conninfo)
        if connection is None or connection.closed:
            connection = psycopg.connect(
                conninfo,
                autocommit=True,
                prepare_threshold=None,
                connect_timeout=5,
                keepalives_idle=5,  # this and the next: for a host that is gone without a word
                tcp_user_timeout=10_000,
                row_factory=namedtuple_row,
            )
            self._connections[conninfo] = connection
        return connection

    def router(self):
        return self.connect(self._seeds[0])

    def ask_another_seed(self):
        self._seeds.append(self._seeds.pop(0))

    def route(self, consistency, token=None):
        route = fetch(
            self.router(),
            "SELECT * FROM eav.route_read(%s, after_token => %s)",
            consistency,
            token,
        )
        if route.node_id is None:
            raise Unavailable(route.reason)
        return route

    def connect_to(self, route):
        # Without conninfo, the router means itself.
        return self.connect(route.conninfo) if route.conninfo else self.router()

    @contextmanager
    def reading_from(self, route):
        """The connection to a node. Its router is told how the read went."""
        try:
            yield self.connect_to(route)
        except psycopg.errors.ObjectNotInPrerequisiteState:
            raise  # the token is out of date, the node is not to blame
        except psycopg.OperationalError:
            self.router().execute("SELECT eav.report_read_failure(%s)", (route.node_id,))
            raise
        self.router().execute("SELECT eav.report_read_success(%s)", (route.node_id,))


def fetch(connection, query, *values):
    return connection.execute(query, values).fetchone()


def write(nodes, entity, number):
    """Writes on the primary. Returns its name, and a token that stands for the write."""
    primary = nodes.route("strong")
    connection = nodes.connect_to(primary)
    tenant = fetch(connection, "SELECT eav.register_tenant('examples') AS id").id
    event = {"tenant_id": tenant, "entity": entity, "attributes": {"round": number}}
    receipt = fetch(
        connection,
        "SELECT accepted, rejected FROM eav.ingest(%s::text, 'durable')",
        json.dumps(event),
    )
    if receipt.accepted != 1:
        raise RuntimeError("the event was rejected, see eav.ingest_rejects")
    return primary.node_id, fetch(connection, "SELECT eav.write_token() AS token").token


def read(nodes, entity, token):
    """Reads from a replica if one is there that has the write, else from the primary."""
    for consistency in ("bounded", "strong"):
        route = nodes.route(consistency, token)
        with nodes.reading_from(route) as connection:
            if fetch(connection, "SELECT eav.wait_for_token(%s, '1 s') AS has_it", token).has_it:
                row = fetch(
                    connection,
                    """SELECT (SELECT p.live_attrs ->> 'round'
                               FROM eav.entity_jsonb p JOIN eav.entities e USING (tenant_id, entity_id)
                                    JOIN eav.tenants t USING (tenant_id)
                               WHERE t.name = 'examples' AND e.external_id = %s) AS number,
                              eav.freshness_headers() AS headers""",
                    entity,
                )
                return route, row
    raise Unavailable("no node has the write")


def write_and_read(nodes, entity, number):
    """One round. The whole of it is repeated when something fails on the way: that the value is
    written twice then does no harm, and after a promotion the old token is worth nothing."""
    give_up = time.monotonic() + PATIENCE
    pause = 0.1
    while True:
        try:
            primary, token = write(nodes, entity, number)
            return primary, *read(nodes, entity, token)
        except RETRYABLE as error:
            if time.monotonic() > give_up:
                raise
            print(f"round {number}: trying again, {error}".rstrip(), file=sys.stderr)
        nodes.ask_another_seed()
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, 2.0)


def main():
    parser = argparse.ArgumentParser(description="Writes, and reads what it has written.")
    parser.add_argument("--rounds", type=int, default=1)
    rounds = parser.parse_args().rounds
    seeds = [seed for seed in os.environ.get("EAV_SEEDS", "").split(";") if seed.strip()]
    if not seeds:
        parser.error("EAV_SEEDS is not set: connection strings of some nodes, separated by ;")

    nodes = Nodes(seeds)
    entity = f"example-python-{os.getpid()}"
    try:
        for number in range(1, rounds + 1):
            primary, route, row = write_and_read(nodes, entity, number)
            print(f"round {number}: wrote on {primary}, read from {route.node_id}: {route.reason}")
            for header in row.headers:
                for name, value in header.items():
                    print(f"  {name}: {value}")
            if row.number != str(number):
                raise StaleRead(f"{route.node_id} has {row.number}, not {number}")
    except StaleRead as error:
        print(f"stale read: {error}", file=sys.stderr)
        return 2
    except RETRYABLE as error:
        print(f"giving up: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
