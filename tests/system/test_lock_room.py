"""check computes whether PostgreSQL's table of locks has room for what the lanes hold (PROTOCOL O4), and what to set."""

import contextlib
import json
import re

import psycopg2
import pytest

from harness.database import session
from harness.postgresql import make_world_on, postgresql_seed, servers  # noqa: F401

LANES, PARTITIONS = 35, 250


def locks_line(world, lanes=LANES):
    done = world.verb("check", "--output", "json", worker_lanes=lanes)
    return {row["check"]: (row["result"], row["says"]) for row in json.loads(done.stdout)["checks"]}["locks"]


def hold_all(server, database):
    """The locks that the lanes of all workers hold when each has commands of all of its partitions."""
    with contextlib.ExitStack() as lanes:
        for _ in range(LANES):
            connection = lanes.enter_context(session(server.url(database), autocommit=False))
            connection.cursor().execute("SELECT pg_advisory_xact_lock_shared(4812404, p) FROM generate_series(1, %s) p",
                                        (PARTITIONS,))


@pytest.mark.seconds(120)
def test_the_advice_of_check_is_enough_and_without_it_the_server_runs_out(servers, make_world_on):  # noqa: F811
    server = servers.primary(max_locks_per_transaction="10")
    world = make_world_on(server)
    assert locks_line(world, lanes=4)[0] == "ok"
    wide = world.topic + ".wide"
    world.more_topics.append(wide)
    world.kafka.create_topics({wide: PARTITIONS - world.partitions, wide + ".dlq": 1})
    world.settings["kafka_topics"] = f"{world.topic},{wide}"
    result, says = locks_line(world)
    assert result == "fix" and f"{LANES} lanes x {PARTITIONS} partitions" in says
    with pytest.raises(psycopg2.Error) as full:
        hold_all(server, world.name)
    assert full.value.pgcode == "53200"
    server.settings["max_locks_per_transaction"] = re.search(r"set max_locks_per_transaction = (\d+)", says).group(1)
    server.stop()
    server.start()
    assert locks_line(world)[0] == "ok"
    hold_all(server, world.name)
