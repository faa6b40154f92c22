"""PostgreSQL, Redis and the broker fail, one after another."""

import itertools
import random
import threading

import pytest

from harness.commands import create_ticket, escalate, partition_of
from harness.database import session
from harness.load import TICKETS, Load, judge, progress
from harness.waiting import holds_for, until


# ---- somebody holds a row --------------------------------------------------------------------------------------

@pytest.mark.fault(14)
@pytest.mark.seconds(90)
@pytest.mark.parametrize("redis", ["true", "false"], ids=["redis", "no redis"])
def test_a_forgotten_session_makes_one_ticket_wait(world, redis):
    worker = world.worker(redis_enabled=redis)
    world.ask(*[create_ticket(number) for number in range(1, 101)])
    held = partition_of("ticket/1", world.partitions)
    with world.database.holding("UPDATE interlock.ticket SET comments = 'mine' WHERE id = 1"):
        messages = [escalate(number) for _ in range(3) for number in range(1, 101)]
        world.publish(*messages)
        until("all other tickets went on",
              lambda: world.database.value("SELECT sum(level) FROM interlock.ticket WHERE id > 1") == 3 * 99, 15)
        elsewhere = [each for each in messages if partition_of(each.key, world.partitions) != held]
        world.await_events(elsewhere, 10)
        holds_for("the held ticket waits", lambda: world.database.value(
            "SELECT level FROM interlock.ticket WHERE id = 1") == 0, 1)
        assert world.letters.all() == []
    world.await_events(messages, 20)
    world.drain()
    world.check()
    assert worker.metric("interlock_busy_rows_total") > 0


@pytest.mark.fault(14)
@pytest.mark.seconds(90)
def test_rows_held_for_moments_only_delay(world):
    """Other programs lock tickets all the time: everybody gets their turn."""
    world.worker(redis_enabled="false")
    ending = threading.Event()
    with Load(world) as load:
        until("the tickets are there", lambda: world.database.count("ticket") >= TICKETS)

        def hold():
            numbers = itertools.cycle(range(1, TICKETS + 1))
            with session(world.database.url, autocommit=False) as connection, connection.cursor() as cursor:
                while not ending.is_set():
                    cursor.execute("SELECT pg_sleep(0.05) FROM interlock.ticket WHERE id = ANY(%s) FOR UPDATE",
                                   ([next(numbers) for _ in range(4)],))
                    connection.commit()
        thread = threading.Thread(target=hold, daemon=True)
        thread.start()
        progress(world, 600)
    ending.set()
    thread.join(20)
    judge(world, load)


# ---- services fail -------------------------------------------------------------------------------------------------

@pytest.mark.fault(14)
@pytest.mark.seconds(120)
def test_database_sessions_are_ended(world):
    world.worker()
    world.worker()
    with Load(world) as load:
        for _ in range(6):
            progress(world, 40)
            assert world.database.end_sessions() > 0
        progress(world, 40)
    judge(world, load)


def outage(world, fail, mend=lambda: None, rounds=1, workers=2, settings=None, timeout=60):
    for _ in range(workers):
        world.worker(**(settings or {}))
    with Load(world) as load:
        for _ in range(rounds):
            progress(world, 60)
            fail()
            mend()
            progress(world, 60, timeout)
    for worker in world.workers:
        worker.wait_ready()
    judge(world, load)


@pytest.mark.fault(14)
@pytest.mark.seconds(150)
def test_postgresql_is_restarted(world):
    outage(world, lambda: world.stack.restart("postgresql"), rounds=2)


@pytest.mark.fault(14)
@pytest.mark.seconds(150)
def test_postgresql_crashes(world):
    outage(world, lambda: world.stack.kill("postgresql"), lambda: world.stack.start("postgresql"))


@pytest.mark.fault(14)
@pytest.mark.seconds(150)
def test_redis_is_stopped_and_comes_back_empty(world):
    """Stopped for as long as it takes to apply commands without it: they are, and that is counted."""
    def without():
        world.stack.stop("redis")
        progress(world, 100)
        until("it is counted", lambda: sum(each.metric("interlock_lock_degraded_total") for each in world.workers) > 0)
    outage(world, without, lambda: world.stack.start("redis"))


@pytest.mark.fault(14)
@pytest.mark.seconds(90)
def test_redis_forgets_everything_again_and_again(world):
    outage(world, lambda: world.stack.redis("flushall"), rounds=8)


@pytest.mark.fault(14)
@pytest.mark.seconds(150)
def test_redis_is_busy_and_full(world):
    """Out of memory for writes, then read-only in effect: no lock can be taken."""
    outage(world, lambda: world.stack.redis("config", "set", "maxmemory", "1"),
           lambda: (progress(world, 60), world.stack.redis("config", "set", "maxmemory", "0")))


@pytest.mark.fault(14)
@pytest.mark.seconds(150)
def test_the_broker_is_restarted(world):
    outage(world, lambda: world.stack.restart("kafka"), rounds=2)


@pytest.mark.fault(14)
@pytest.mark.seconds(150)
def test_the_broker_crashes(world):
    outage(world, lambda: world.stack.kill("kafka"), lambda: world.stack.start("kafka"))


@pytest.mark.fault(14)
@pytest.mark.seconds(150)
def test_the_broker_is_gone_while_a_worker_is_told_to_stop(world):
    """It must end within its deadline all the same; nothing is lost by that."""
    worker = world.worker(consumers_drain_timeout="3s")
    with Load(world) as load:
        progress(world, 60)
        load.stop()
        world.stack.kill("kafka")
        try:
            worker.term()
            assert worker.wait(40) in (0, 2)
        finally:
            world.stack.start("kafka")
    worker.start().wait_ready()
    judge(world, load)


@pytest.mark.fault(14)
@pytest.mark.seconds(150)
def test_everything_fails_in_turn(world):
    generator = random.Random(3)
    workers = [world.worker(), world.worker()]
    with Load(world, duplicates=0.3) as load:
        for fault in (lambda: world.stack.restart("redis"), world.database.end_sessions,
                      lambda: (workers[0].kill(), workers[0].start()), lambda: world.stack.restart("postgresql"),
                      lambda: (workers[1].kill(), workers[1].start()), lambda: world.stack.restart("kafka")):
            progress(world, generator.randrange(20, 80))
            fault()
        progress(world, 50)
    judge(world, load)
