"""Every batch and every takeover reads few rows of the engine's own tables, however many have gathered there."""

import datetime
import time

import pytest

from harness.commands import create_ticket, escalate
from harness.waiting import until

FENCES = ("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT id, fence, owner_token, (SELECT parked FROM "
          "interlock.parking) FROM interlock.partition_owner WHERE id = ANY ((SELECT array_agg(id) FROM "
          "interlock.partition_owner)::int4[])")
UPDATES = "SELECT n_tup_upd FROM pg_stat_all_tables WHERE schemaname = 'interlock' AND relname = %s"


def updates(world, table):
    return world.database.value(UPDATES, table)


def buffers(world):
    plan = world.database.value(FENCES)[0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def in_a_moment(ticket):
    due = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)
    return escalate(ticket, notbefore=due.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


@pytest.mark.fault(34)
@pytest.mark.seconds(120)
def test_an_old_snapshot_does_not_make_every_batch_read_more(trial):
    """While somebody holds one, each version of a row stays. The fence's row has a new one at takeovers alone, and
    whether anything is parked is one row that rarely changes."""
    world = trial.world
    worker = world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 31)])
    # A takeover, and its owner's slot a moment later.
    until("the statistics are there", lambda: updates(world, "partition_owner") == 2 * world.partitions, 20)
    with world.database.holding("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT FROM interlock.ticket"):
        before = buffers(world)
        owner, published = updates(world, "partition_owner"), updates(world, "partition_published")
        began = world.database.value("SELECT extract(epoch FROM now())")
        for _ in range(3):
            parked = [in_a_moment(1 + step % 30) for step in range(200)]
            world.publish(*parked)
            world.ask(*[escalate(1 + step % 30) for step in range(100)])
            world.await_events(parked, 60)
        until("nothing is parked any more, and known to be", lambda: not world.database.value(
            "SELECT parked FROM interlock.parking"), 30)
        lasted = float(world.database.value("SELECT extract(epoch FROM now())") - began)
        assert buffers(world) <= before + 8
        until("the statistics are there", lambda: updates(world, "partition_published") > published, 20)
        assert updates(world, "partition_owner") == owner
        assert updates(world, "partition_published") - published <= (lasted / 3 + 2) * world.partitions
        assert updates(world, "parking") <= 2 * 3 + 2
    assert worker.runs()
    trial.judge()


LETTERS = ("INSERT INTO interlock.dead_letter (partition_id, kafka_offset, fence, digest, reason) "
           "SELECT o.id, -n, 1, sha256(n::text::bytea), 'not_json' FROM interlock.partition_owner o, "
           "generate_series(1, %s) n")
READ = ("SELECT seq_scan, coalesce(idx_tup_fetch, 0) FROM pg_stat_all_tables "
        "WHERE schemaname = 'interlock' AND relname = 'dead_letter'")


# The group's numbers, which are counted as often as that, read all of them each time.
COUNTED_EVERY = 2


def takes_over_under(world, letters):
    """Rows of dead letters that takeovers of all partitions read."""
    worker = world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 31)])
    world.drain()
    assert worker.end() == 0
    world.database.execute(LETTERS, letters // world.partitions)
    world.database.execute("ANALYZE interlock.dead_letter")
    before = world.database.row(READ)
    began = world.database.value("SELECT sum(fence) FROM interlock.partition_owner")
    started = time.monotonic()
    worker.start().wait_ready()
    until("they are taken over", lambda: world.database.value(
        "SELECT sum(fence) FROM interlock.partition_owner") == began + world.partitions, 30)
    world.ask(escalate(1))
    assert worker.end() == 0  # a session that ends tells what it has read
    scans, fetched = (after - earlier for after, earlier in zip(world.database.row(READ), before))
    counts = 1 + int((time.monotonic() - started) / COUNTED_EVERY)
    return max(0, scans - counts) * letters + fetched


@pytest.mark.fault(35)
@pytest.mark.seconds(90)
def test_a_takeover_does_not_read_the_dead_letters(trial):
    """Whether one of them ended the worker is asked of an index of those alone."""
    assert takes_over_under(trial.world, 120_000) < 100
    trial.record()


@pytest.mark.long
@pytest.mark.fault(35)
@pytest.mark.seconds(240)
def test_a_takeover_does_not_read_two_million_dead_letters(trial):
    assert takes_over_under(trial.world, 2_000_000) < 100
    trial.record()
