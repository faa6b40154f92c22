"""The worker is asked to stop: under load, twice, and while servers are gone. The messages that it leaves are listed, and
not one of them is lost."""

import re
import time

import pytest

from harness.bounds import is_sanitized
from harness.commands import create_ticket, escalate
from harness.postgresql import make_world_on, postgresql_seed, servers  # noqa: F401
from harness.waiting import until
from harness.wires import wires

DRAIN = 2       # seconds, where a test waits for the deadline
GENEROUS = 60   # after which nobody waits any more
# The promised times in seconds, twice that for a sanitized binary. The measured ones are in the report.
HEALTHY = 5                # with all servers there
PAST_DEADLINE = DRAIN + 5  # with any of them gone: the slack that process.c gives the threads (STOP_SLACK_US)
AT_ONCE = 2                # told a second time
GONE = {        # what a server does that is no use any more
    "silent": lambda wire: wire.silence(),
    "refusing": lambda wire: (wire.refuse(), wire.cut()),
    "unanswered": lambda wire: (wire.leave_unanswered(), wire.silence()),
}


def end(worker, within, *codes):
    """Returns how long it took, in milliseconds, which is less than was promised."""
    began = time.monotonic()
    worker.term()
    assert worker.wait(GENEROUS) in codes, worker.text()[-3000:]
    took = time.monotonic() - began
    assert took < within * (2 if is_sanitized(worker.binary) else 1), f"{took:.2f} s:\n{worker.text()[-3000:]}"
    return round(1000 * took)


def left(worker):
    """The list in the log: partition -> (messages, committed offset), and the keys."""
    partitions = {int(number): (int(count), int(offset)) for number, count, offset in re.findall(
        r"left: \S+/(\d+): (\d+) messages were received and not published; committed offset (-?\d+)", worker.text())}
    return partitions, re.findall(r"left: key (\S+), held for", worker.text())


def light(trial, **options):
    load = trial.load(burst=4, **options)
    load.pause = 0.1
    return load


def given_back(world):
    """Every partition has no owner, and PostgreSQL knows what Kafka knows: the next owner has nothing to look up."""
    committed = world.kafka.committed(world.group, world.topic)
    rows = world.database.rows("SELECT o.partition, o.owner_token IS NULL, p.published FROM interlock.partition_owner o "
                               "JOIN interlock.partition_published p ON p.partition_id = o.id")
    return all(free and published == max(committed[number], 0) for number, free, published in rows)


@pytest.mark.fault(3)
@pytest.mark.seconds(240)
def test_a_worker_stopped_under_load_ends_cleanly_and_nothing_is_read_again(trial):
    """Every message but once: a duplicate that the inbox finds would be one that was read again."""
    world, took, again = trial.world, [], 0
    worker = world.worker()
    with trial.load(burst=20, duplicates=0):
        for _ in range(4):
            trial.progress(trial.random.randrange(20, 150))
            took.append(end(worker, HEALTHY, 0))
            assert left(worker) == ({}, []) and given_back(world)
            worker.start().wait_ready()
            trial.progress(20)
            again += worker.metric("interlock_dedupe_hits_total")
        trial.recovered()
    trial.note(end_ms=took, read_again=int(again))
    assert again == 0
    trial.judge()


def hold_one(trial, worker):
    """A command of a ticket whose row somebody holds: a delivery that is certainly in flight, whatever else is."""
    message = escalate(1)
    trial.loads[-1].distinct[message.identity] = message
    trial.world.publish(message)
    until("a key is held", lambda: worker.metric("interlock_held_keys") > 0, 60)


def end_without(trial, wired, worker, names, how):
    """Returns how long it took to end, and judges what it says it left."""
    world = trial.world
    until("there is a ticket to hold", lambda: world.database.value("SELECT 1 FROM interlock.ticket WHERE id = 1"), 60)
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        hold_one(trial, worker)
        for name in names:
            GONE[how](getattr(wired, name))
        took = end(worker, PAST_DEADLINE, 2)
    partitions, _ = left(worker)
    assert partitions and "ending by force" in worker.text()
    for name in names:
        getattr(wired, name).heal()
    committed = world.kafka.committed(world.group, world.topic)
    assert all(offset <= committed[number] or committed[number] < 0 for number, (_, offset) in partitions.items())
    return took


@pytest.mark.fault(3)
@pytest.mark.seconds(300)
def test_a_worker_stopped_while_servers_are_silent_ends_by_its_deadline_and_lists_what_it_leaves(trial):
    world, took = trial.world, {}
    with wires(world) as wired:
        settings = {"worker_park_when_blocking": "0s", "consumers_drain_timeout": f"{DRAIN}s",
                    "consumers_session_timeout": "2s", **wired.settings}
        worker = world.worker(start=False, **settings)
        with light(trial):
            for names in (("database",), ("kafka",), ("database", "kafka")):
                worker.start().wait_ready()
                trial.progress(10)
                took["+".join(names)] = end_without(trial, wired, worker, names, "silent")
            worker.start()
            trial.recovered()
        trial.note(end_ms=took)
        trial.judge()
        assert worker.end() == 0


@pytest.mark.long
@pytest.mark.fault(3)
@pytest.mark.seconds(300)
@pytest.mark.parametrize("how", GONE)
@pytest.mark.parametrize("names", [("database",), ("kafka",), ("database", "kafka"), ("database", "kafka", "redis")],
                         ids="+".join)
def test_a_worker_stopped_while_servers_are_gone(trial, names, how):
    """Some time after they went: reconnecting by then."""
    world = trial.world
    with wires(world) as wired:
        settings = {"worker_park_when_blocking": "0s", "consumers_drain_timeout": f"{DRAIN}s",
                    "consumers_session_timeout": "2s", **wired.settings}
        worker = world.worker(**settings)
        with light(trial):
            trial.progress(10)
            took = [end_without(trial, wired, worker, names, how)]
            worker.start().wait_ready()
            trial.progress(10)
            for name in names:
                GONE[how](getattr(wired, name))
            until("it noticed", lambda: worker.get("/readyz")[0] == 503, 60)
            took.append(end(worker, PAST_DEADLINE, 0, 2))
            for name in names:
                getattr(wired, name).heal()
            worker.start()
            trial.recovered()
        trial.note(end_ms=took)
        trial.judge()
        assert worker.end() == 0


@pytest.mark.fault(3)
@pytest.mark.seconds(90)
def test_a_worker_stopped_twice_ends_at_once_and_lists_what_it_leaves(world):
    worker = world.worker(consumers_drain_timeout="2min")
    world.ask(create_ticket(1))
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        world.publish(waiting := escalate(1))
        until("a key is held", lambda: worker.metric("interlock_held_keys") > 0, 30)
        worker.term()
        until("it drains", lambda: "run: ending" in worker.text(), 30)
        end(worker, AT_ONCE, 2)
    partitions, keys = left(worker)
    assert [count for count, _ in partitions.values()] == [1] and keys == ["ticket/1"]
    worker.start()
    world.await_events([waiting])
    world.drain()
    world.check()


@pytest.mark.long
@pytest.mark.fault(3)
@pytest.mark.seconds(180)
def test_a_worker_stopped_while_a_commit_waits_for_a_standby_ends_by_its_deadline(servers, make_world_on):  # noqa: F811
    """The server waits for as long as it takes, and no timeout of a statement counts there."""
    server = servers.primary()
    world = make_world_on(server)
    worker = world.worker(consumers_drain_timeout=f"{DRAIN}s")
    world.ask(create_ticket(1))
    server.set(synchronous_standby_names="nobody")
    world.publish(waiting := escalate(1))
    until("a commit waits", lambda: server.ask(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") > 0, 30)
    end(worker, PAST_DEADLINE, 2)
    assert [count for count, _ in left(worker)[0].values()] == [1]
    server.set(synchronous_standby_names="")
    worker.start()
    world.await_events([waiting])
    world.drain()
    world.check()
