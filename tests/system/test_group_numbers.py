"""Numbers of the whole group: shown by one of its processes; and what each process tells PostgreSQL of itself."""

import datetime
import json
import os
import socket

import pytest

from harness.commands import append, create_ticket, escalate
from harness.prometheus import faults
from harness.waiting import until


def group_series(worker):
    return {name: value for name, value in worker.metrics().items() if 'scope="group"' in name}


def value_of(worker, name, **labels):
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(value for series, value in group_series(worker).items()
               if series.startswith(name + "{") and all(each in series for each in wanted))


def showing(workers):
    return [worker for worker in workers if worker.runs() and group_series(worker)]


def pause(world, scope, target, ends_in=None):
    """As the verb writes it; what it does to commands is not the matter here."""
    return world.database.value(
        "WITH act AS (INSERT INTO interlock.operator_action (verb, actor, host, version, reason)"
        " VALUES ('pause', 'anna', 'here', '1', 'matrix is wrong') RETURNING id)"
        " INSERT INTO interlock.pause (scope, target, ends_at, action_id)"
        " SELECT %s, %s, now() + %s * interval '1 s', id FROM act RETURNING id", scope, target, ends_in)


def later(minutes):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)).isoformat()


# ---- one of them shows the group's numbers -----------------------------------------------------------------

@pytest.mark.seconds(240)
def test_exactly_one_of_five_workers_shows_the_numbers_of_the_group_and_another_one_when_it_dies(world):
    workers = [world.worker(ready=False) for _ in range(5)]
    for worker in workers:
        worker.wait_ready()
    world.ask(create_ticket(1))
    world.publish(*[append(1, "early", notbefore=later(60)) for _ in range(3)])
    for _ in range(4):
        shown, = until("one shows them", lambda: (lambda found: found if len(found) == 1 else None)(showing(workers)), 30)
        until("all that is parked, once", lambda: value_of(shown, "interlock_parked_commands") == 3, 30)
        assert value_of(shown, "interlock_parked_commands", reason="notbefore") == 3
        shown.kill()
        counts = []

        def another():
            counts.append(len(showing(workers)))
            return counts[-1] == 1
        until("another one shows them", another, 30)
        assert max(counts) == 1


@pytest.mark.seconds(120)
def test_the_numbers_of_the_group_are_what_postgresql_has(world):
    worker = world.worker()
    deep = create_ticket(9)
    deep.value = b"[" * 40 + b"]" * 40
    world.publish(deep)
    until("the letter is recorded", lambda: world.database.count("dead_letter") == 1, 20)
    until("it is counted", lambda: value_of(worker, "interlock_dead_letters", state="open", cause="too_deep") == 1, 20)
    assert value_of(worker, "interlock_dead_letters", state="open") == 1
    number = pause(world, "topic", "of another one", 3600)
    until_resumed = pause(world, "type", "ticket.escalate")
    until("the pauses are counted", lambda: value_of(worker, "interlock_pauses") == 2, 20)
    assert value_of(worker, "interlock_pause_end_seconds", id=number) > 1e9
    assert value_of(worker, "interlock_pause_end_seconds", id=until_resumed) == float("inf")
    assert list(faults(worker.get("/metrics")[1])) == []
    status = json.loads(worker.get("/status")[1])["of_group"]
    assert status["dead_letters"] == {"open": 1, "redriving": 0, "resolved": 0, "replaced": 0, "discarded": 0}
    assert [(each["scope"], each["target"], each["says"]) for each in status["pauses"]] == [
        ("topic", "of another one", "anna: matrix is wrong"), ("type", "ticket.escalate", "anna: matrix is wrong")]
    world.database.execute("UPDATE interlock.pause SET resumed_at = now()")
    until("they are over", lambda: value_of(worker, "interlock_pauses") == 0, 20)


@pytest.mark.seconds(120)
def test_the_backlog_of_the_group_is_what_its_workers_have_not_decided(world):
    worker = world.worker(worker_park_after="1h", worker_park_when_blocking="0s")
    world.ask(create_ticket(1).at(0))
    held = [escalate(1).at(0) for _ in range(5)]
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        world.publish(*held)
        until("they are counted", lambda: value_of(worker, "interlock_backlog_commands", state="waiting") == 5, 30)
        pause(world, "partition", f"{world.topic}/0", 3600)
        until("those of a paused partition apart",
              lambda: value_of(worker, "interlock_backlog_commands", state="paused") == 5, 30)
        assert value_of(worker, "interlock_backlog_commands", state="waiting") == 0
        committed, end, slot = world.database.row(
            "SELECT committed, end_offset, owner_slot FROM interlock.partition_published p"
            " JOIN interlock.partition_owner o ON o.id = p.partition_id WHERE o.partition = 0")
        assert (committed, end, slot) == (1, 6, 0)


# ---- worker_seen -------------------------------------------------------------------------------------------

@pytest.mark.seconds(120)
def test_each_worker_is_seen_with_its_address_and_forgotten_when_it_ends_in_an_orderly_way(world):
    first, second = world.worker(), world.worker()

    def seen():
        return {pid: rest for pid, *rest in world.database.rows(
            "SELECT pid, host, http, ready, waits_for, version, now() - seen_at < interval '20 s' FROM interlock.worker_seen")}

    def expected(worker):
        version = json.loads(world.verb("version", "--output", "json").stdout)["interlock"]
        return [socket.gethostname(), f"127.0.0.1:{worker.port()}", True, None, version, True]
    until("both are seen", lambda: seen() == {each.pid: expected(each) for each in (first, second)}, 30)
    assert os.getpid() not in seen()
    second.end()
    assert set(seen()) == {first.pid}
    first.kill()
    assert set(seen()) == {first.pid}
