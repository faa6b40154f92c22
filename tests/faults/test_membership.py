"""Workers join and leave; who serves what, how soon after a death, and rules O1 to O3 of the protocol."""

import itertools
import time

import pytest

from harness.commands import create_ticket, escalate, partition_of
from harness.waiting import until
from storm import STALL_SECONDS, gentle, served, storm
from trial import minutes

# Who holds which slot: the number is in the low bits of an advisory lock's key.
SLOTS = ("SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted AND "
         "application_name = 'interlock slot' AND datname = current_database() ORDER BY objid::bigint")


# ---- the storm -----------------------------------------------------------------------------------------------------

@pytest.mark.fault(4)
@pytest.mark.seconds(240)
def test_members_that_come_and_go_all_the_time_lose_nothing_and_get_on(trial):
    """Static and dynamic ones in one group, ended and killed."""
    kinds = itertools.cycle(["true", "false"])
    workers = [trial.world.worker(start=False, consumers_static=next(kinds), consumers_session_timeout="2s")
               for _ in range(5)]
    storm(trial, workers, 8)


@pytest.mark.fault(4)
@pytest.mark.long
@pytest.mark.seconds(900)
@pytest.mark.parametrize("session", ["2s", "10s"])
@pytest.mark.parametrize("static", ["true", "false"], ids=["static", "dynamic"])
def test_a_storm_of_minutes(trial, static, session):
    """With a session shorter than the time between two deaths there is no livelock. With the default of 10 s the group
    may stand still until the storm is over: Kafka waits so long for whoever is dead, and by then the next one is.
    Nothing is lost by that either."""
    workers = [trial.world.worker(start=False, consumers_static=static, consumers_session_timeout=session)
               for _ in range(5)]
    storm(trial, workers, min(300, 60 * max(minutes(), 1)), stall=STALL_SECONDS if session == "2s" else None)


# ---- from a death to the first answers -----------------------------------------------------------------------------

def serve_again(trial, other, clean, restarted):
    """One worker dies; milliseconds until every partition answers. Afterwards it is there again."""
    world = trial.world
    victim = next(each for each in world.workers if each is not other)
    died = time.monotonic()
    if clean:
        assert victim.end() == 0
    else:
        victim.kill()
    if restarted:
        victim.start()
    took = trial.recovered(since=died)
    if not restarted:
        until("the other one has all of it", lambda: served([other]) == world.partitions, 60)
        victim.start()
    victim.wait_ready()
    until("both work", lambda: served(world.workers) == world.partitions and
          world.kafka.group_members(world.group) == 2, 60)
    return took


@pytest.mark.fault(4)
@pytest.mark.seconds(400)
@pytest.mark.parametrize("membership", ["dynamic", pytest.param("static", marks=pytest.mark.long),
                                        pytest.param("static, started again", marks=pytest.mark.long)])
def test_the_partitions_of_a_dead_worker_are_served_again(trial, membership):
    """Stopped, and killed. A dynamic member that ends says so, and the others have its partitions at once; of a
    killed one, and of a static one that is not started again, Kafka learns by its silence."""
    session = "10s" if minutes() else "2s"
    workers = trial.workers(2, consumers_static=str(membership != "dynamic").lower(), consumers_session_timeout=session)
    figures = {"clean_ms": [], "hard_ms": []}
    with gentle(trial, burst=4):
        trial.progress(60)
        for turn in range(5 if minutes() else 1):
            for name, clean in (("clean_ms", True), ("hard_ms", False)):
                other = workers[turn % 2]
                figures[name].append(serve_again(trial, other, clean, restarted=membership.endswith("again")))
    trial.note(membership=membership, session=session, **figures)
    trial.judge()


def slot_lock(world):
    """The key of the advisory lock that the only slot's session holds."""
    return world.database.value("SELECT classid::bigint << 32 | objid::bigint FROM pg_locks JOIN pg_stat_activity "
                                "USING (pid) WHERE locktype = 'advisory' AND application_name = 'interlock slot' AND "
                                "datname = current_database()")


@pytest.mark.fault(1)
@pytest.mark.seconds(150)
def test_a_transaction_that_a_dead_worker_left_open_holds_up_its_partition_alone(trial):
    """Until Kafka ends it (consumers.transaction_timeout, and up to 10 s until the broker looks) nobody can say what is
    committed of that partition, if nobody takes the dead worker's slot. The others have nothing to do with it."""
    world = trial.world
    settings = {"consumers_static": "false", "consumers_session_timeout": "2s",
                "consumers_transaction_timeout": "10s" if minutes() else "60s"}
    dead = world.worker(**settings)
    lock = slot_lock(world)
    world.ask(create_ticket(1))
    world.drain()
    assert dead.end() == 0
    dead.environment["FAULT_POINTS"] = "after_send_offsets=crash@1"
    left = escalate(1)
    world.publish(left)
    dead.start()
    until("it has died in its transaction", lambda: not dead.runs(), 60)
    died = time.monotonic()
    stuck = partition_of("ticket/1", world.partitions)
    tickets = {partition_of(f"ticket/{number}", world.partitions): number for number in range(2, 60)}
    others = [create_ticket(number) for partition, number in tickets.items() if partition != stuck]
    world.publish(*others)
    with world.database.holding("SELECT pg_advisory_lock(%s)", lock):
        heir = world.worker(ready=False, **settings)
        until("it has another slot", lambda: slot_of(heir) == 1, 40)
        world.await_events(others, 60)
        others_ms = round(1000 * (time.monotonic() - died))
        assert not world.events_of(left), "it was not held up: nothing shows that the others did not wait for it"
        if minutes():  # until the transaction's timeout
            world.await_events([left], 90)
            trial.note(stuck_ms=round(1000 * (time.monotonic() - died)))
    heir.kill()
    del dead.environment["FAULT_POINTS"]
    began = time.monotonic()
    dead.start()
    world.await_events([left], 90)
    trial.note(others_ms=others_ms, started_again_ms=round(1000 * (time.monotonic() - began)))
    trial.judge()


# ---- O1: slots -----------------------------------------------------------------------------------------------------

def slot_of(worker):
    found = [line for line in worker.text().splitlines() if "run: slot " in line]
    return int(found[-1].split("run: slot ")[1].split()[0]) if found else None


def end_slot_sessions(world, limit):
    """From the lowest number up."""
    return world.database.value(f"SELECT count(pg_terminate_backend(pid)) FROM ({SLOTS} LIMIT {limit}) AS sessions")


@pytest.mark.fault(13)
@pytest.mark.seconds(120)
def test_workers_that_lost_their_slots_keep_them_and_one_whose_slot_is_taken_moves(trial):
    """PROTOCOL O1. As when PostgreSQL restarts: every slot's session ends, and the first to come back must not take the
    other's number, or the two would fence each other for ever. Then the number of a worker that sleeps is taken by
    another: when it wakes it goes on under new ids."""
    world = trial.world
    settings = {"consumers_session_timeout": "4s"}
    first = world.worker(**settings)
    second = world.worker(**settings)
    assert (slot_of(first), slot_of(second)) == (0, 1)
    with gentle(trial):
        trial.progress(60)
        first.stop()
        assert end_slot_sessions(world, 2) == 2
        until("the second one has a slot again", lambda: second.text().count("run: slot ") == 2, 30)
        assert slot_of(second) == 1, "the smallest free number was another's"
        first.cont()
        until("the first one has a slot again", lambda: first.text().count("run: slot ") == 2, 30)
        assert (slot_of(first), slot_of(second)) == (0, 1)
        trial.recovered()

        first.stop()
        assert end_slot_sessions(world, 1) == 1
        third = world.worker(ready=False, **settings)
        until("a third one has its number", lambda: slot_of(third) == 0, 30)
        first.cont()
        until("the first one has another", lambda: slot_of(first) == 2, 40)
        until("it is a member under its new ids", lambda: "cell 0: slot 2: joining group" in first.text(), 60)
        for each in world.workers:
            each.wait_ready()
        trial.recovered()
    trial.judge()


# ---- O2: one group a schema ----------------------------------------------------------------------------------------

@pytest.mark.fault(5)
@pytest.mark.seconds(90)
def test_of_two_groups_that_start_on_one_schema_at_once_one_is_refused(world):
    """PROTOCOL O2: whoever writes the group's row first; the others end and say whose it is, and own nothing."""
    workers = [world.worker(start=False, kafka_group=f"{world.group}.{number % 2}") for number in range(4)]
    for worker in workers:
        worker.start()
    until("one group's have ended",
          lambda: [each.runs() for each in workers] in ([True, False] * 2, [False, True] * 2), 60)
    winner = world.database.value("SELECT group_id FROM interlock.consumer_group")
    for number, worker in enumerate(workers):
        if worker.runs():
            assert winner == f"{world.group}.{number % 2}"
            worker.wait_ready()
        else:
            assert worker.process.returncode == 1 and f"belongs to consumer group '{winner}'" in worker.text()
    assert world.ask(create_ticket(1)).outcome == "applied"


# ---- O3: a takeover that is blocked --------------------------------------------------------------------------------

LANES_IN_TRANSACTION = ("SELECT array_agg(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
                        "application_name LIKE 'lane-%%' AND state LIKE 'idle in transaction%%'")


@pytest.mark.fault(2)
@pytest.mark.seconds(150)
def test_a_worker_that_stopped_in_a_transaction_does_not_hold_up_a_takeover(trial):
    """PROTOCOL O3: the takeover waits 5 s for its lock, then it ends the sessions that hold it. No timeout of
    PostgreSQL would for the next hour."""
    world = trial.world
    settings = {"consumers_session_timeout": "2s", "consumers_static": "false",
                "database_idle_in_transaction_timeout": "1h", "worker_lanes": "1"}
    sleeper = world.worker(FAULT_POINTS="after_load=stop@5", **settings)
    with gentle(trial):
        until("it sleeps in a transaction", lambda: world.database.value(LANES_IN_TRANSACTION) and
              "fault point after_load, time 5" in sleeper.text(), 60)
        sleeper.stopped = True
        stopped = time.monotonic()
        held = world.database.value(LANES_IN_TRANSACTION)
        other = world.worker(ready=False, **settings)
        until("the other one has all of it and is ready",
              lambda: served([other]) == world.partitions and other.ready(), 60)
        trial.recovered(since=stopped)
        alive = world.database.value("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)", held)
        assert alive == 0, "the takeover came through without ending who held its lock: the lock was not held"
        sleeper.cont()
        trial.progress(60)
        until("the sleeper works again", sleeper.ready, 60)
    trial.judge()
