"""The attacks of domain.md at their sizes. Commands are spread over wrong partitions and two worker processes, so that
row locks and not routing have to hold."""

import itertools
import random

import pytest

from harness.commands import append, command, create_job, create_ticket, escalate, job_transition
from harness.waiting import until


WAYS = {"redis": {}, "no redis": {"redis_enabled": "false"}, "two cells": {"consumers_count": "2"}}


@pytest.fixture(params=WAYS)
def pair(request, world):
    """A world with two workers that both own partitions."""
    settings = WAYS[request.param]
    world.worker(**settings)
    world.worker(**settings)
    until("both own partitions", lambda: all(each.metric("interlock_partitions_assigned") > 0 for each in world.workers))
    return world


def scatter(messages, partitions, seed=1):
    """Every message to a partition that its key did not choose."""
    generator = random.Random(seed)
    mixed = list(messages)
    generator.shuffle(mixed)
    turn = itertools.cycle(range(partitions))
    return [each.at(next(turn)) for each in mixed]


def applied(events):
    return [each for each in events if each.outcome == "applied"]


@pytest.mark.seconds(90)
def test_a_hundred_escalations_of_ten_tickets_all_count(pair):
    pair.ask(*[create_ticket(number) for number in range(1, 11)])
    told = pair.ask(*scatter([escalate(1 + step % 10) for step in range(100)], pair.partitions), timeout=60)
    assert len(applied(told)) == 100
    assert pair.database.row("SELECT sum(level), min(level), max(level) FROM interlock.ticket") == (100, 10, 10)
    pair.drain()
    pair.check(ordered=False)


@pytest.mark.seconds(90)
def test_two_hundred_appends_to_one_ticket_are_all_kept(pair):
    pair.ask(create_ticket(1))
    told = pair.ask(*scatter([append(1, {"n": step}) for step in range(200)], pair.partitions), timeout=60)
    assert len(applied(told)) == 200
    rows = pair.database.rows("SELECT seq, (details->>'n')::int FROM interlock.ticket_history WHERE ticket_id = 1 "
                              "ORDER BY seq")
    assert [row[0] for row in rows] == list(range(1, 201))
    assert sorted(row[1] for row in rows) == list(range(200))
    pair.drain()
    pair.check(ordered=False)


@pytest.mark.seconds(90)
def test_fifty_autocloses_of_one_job_close_it_once(pair):
    pair.ask(create_job(1, checkpoints=5, first_checkpoint=101), job_transition(1, "INPROGRESS"))
    told = pair.ask(*scatter([command("job.autoclose", {"jobneed_id": 1, "notify": "RAISETICKETNOTIFY"})
                              for _ in range(50)], pair.partitions), timeout=60)
    closing = [each for each in told if each.data["status"] == {"old": "INPROGRESS", "new": "AUTOCLOSED"}]
    assert len(closing) == 1 and len(applied(told)) == 1
    assert pair.database.value("SELECT count(*) FROM interlock.ticket WHERE jobneed_id = 1") == 1
    assert [each["aggregate"].split("/")[0] for each in closing[0].data["also"]] == ["ticket"]
    pair.drain()
    pair.check(ordered=False)


def json_changes():
    """100 changes of one row: keys of their own, and one array."""
    for step in range(50):
        yield command("json.merge", {"aggregate": "jobneed/1", "field": "other_info", "value": {f"k{step}": step}})
        yield command("json.append", {"aggregate": "jobneed/1", "field": "other_info", "key": "list", "value": step})


@pytest.mark.seconds(90)
def test_a_hundred_json_changes_of_one_row_are_all_kept(pair):
    pair.ask(create_job(1))
    told = pair.ask(*scatter(json_changes(), pair.partitions), timeout=60)
    assert len(applied(told)) == 100
    document = pair.database.value("SELECT other_info FROM interlock.jobneed WHERE id = 1")
    assert sorted(document.pop("list")) == list(range(50))
    assert document == {f"k{step}": step for step in range(50)}
    pair.drain()
    pair.check(ordered=False)


@pytest.mark.seconds(150)
def test_all_of_it_at_once(pair):
    """50 autocloses, a tour of 100 checkpoints closed 10 times, 100 escalations, 200 appends, 100 JSON changes."""
    pair.ask(create_job(1), create_job(2, checkpoints=5, first_checkpoint=1001), job_transition(2, "INPROGRESS"),
             create_job(3, checkpoints=100, first_checkpoint=2001),
             *[create_ticket(number) for number in range(10001, 10012)])
    storm = [command("job.autoclose", {"jobneed_id": 2, "notify": "RAISETICKETNOTIFY"}) for _ in range(50)]
    storm += [command("job.autoclose_checkpoints", {"jobneed_id": 3}) for _ in range(10)]
    storm += [escalate(10001 + step % 10) for step in range(100)]
    storm += [append(10011, {"n": step}) for step in range(200)]
    storm += list(json_changes())
    told = pair.ask(*scatter(storm, pair.partitions), timeout=110)
    database = pair.database
    assert database.value("SELECT sum(level) FROM interlock.ticket") == 100
    assert database.value("SELECT count(*) FROM interlock.ticket_history WHERE ticket_id = 10011") == 200
    assert database.value("SELECT count(*) FROM interlock.ticket WHERE jobneed_id = 2") == 1
    assert database.value("SELECT status FROM interlock.jobneed WHERE id = 2") == "AUTOCLOSED"
    assert database.rows("SELECT status, count(*) FROM interlock.jobneed WHERE parent_id = 3 GROUP BY status") == [
        ("AUTOCLOSED", 100)]
    assert len(database.value("SELECT other_info->'list' FROM interlock.jobneed WHERE id = 1")) == 50
    by_type = {}
    for each in applied(told):
        by_type[each.data["command"]["type"]] = by_type.get(each.data["command"]["type"], 0) + 1
    assert by_type == {"job.autoclose": 1, "job.autoclose_checkpoints": 1, "ticket.escalate": 100,
                       "ticket.append_history": 200, "json.merge": 50, "json.append": 50}
    pair.drain()
    pair.check(ordered=False)
    assert pair.letters.all() == []
