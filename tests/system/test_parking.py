"""PROTOCOL L4: commands that wait in PostgreSQL and come back through their topic."""

import datetime
import json
import random
import uuid

import pytest

from harness.commands import append, command, create_ticket, escalate, transition
from harness.parking import in_seconds, parked, settled
from harness.waiting import holds_for, until


def due(world, *messages):
    """Makes early commands due, as time would."""
    world.database.execute("UPDATE interlock.parked_command SET due_at = now() WHERE command_id = ANY(%s)",
                           [each.identity[1] for each in messages])


def history(world, number):
    return [row[0] for row in world.database.rows("SELECT details FROM interlock.ticket_history WHERE ticket_id = %s "
                                                  "AND action = 'note' ORDER BY seq", number)]


def passed_over(world):
    """The aggregates whose commands may be answered out of the order of their positions."""
    return world.violations(ordered=False)


@pytest.mark.seconds(60)
def test_an_early_command_waits_and_is_applied_when_it_is_due(world):
    world.worker()
    world.ask(create_ticket(1))
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
    early = escalate(1, notbefore=when.isoformat())
    world.publish(early)
    until("it is parked", lambda: parked(world, "reason = 'notbefore'") == 1, 10)
    world.ask(append(1, {"n": 1}))                                  # a later one passes
    assert world.events_of(early) == []
    event, = world.await_events([early], 15) and world.events_of(early)
    late = datetime.datetime.fromisoformat(event.body["time"].replace("Z", "+00:00")) - when
    assert datetime.timedelta(0) <= late < datetime.timedelta(seconds=3), late  # under one on a machine at rest
    settled(world)
    assert world.database.value("SELECT level FROM interlock.ticket WHERE id = 1") == 1
    assert world.database.value("SELECT count(*) FROM interlock.inbox WHERE parked") == 0
    assert passed_over(world) == []


def test_a_time_that_has_passed_is_no_reason_to_wait(world):
    world.worker()
    assert world.ask(create_ticket(1), escalate(1, notbefore=in_seconds(-1)))[1].outcome == "applied"
    assert world.database.value("SELECT count(*) FROM interlock.parked_command") == 0


@pytest.mark.parametrize("wrong", ["yes", 1, "true"])
def test_afterparked_is_true_or_false(world, wrong):
    world.worker()
    event = world.ask(command("ticket.create", {"ticket_id": 1, "priority": "LOW"}, afterparked=wrong))
    assert (event.outcome, event.reason) == ("rejected", "invalid_data")
    assert event.data["metadata"]["parameter"] == "/afterparked"


@pytest.mark.seconds(60)
def test_later_commands_wait_behind_an_early_one_only_if_they_say_so(world):
    world.worker()
    world.ask(create_ticket(1), create_ticket(2))
    early = append(1, "early", notbefore=in_seconds(5))
    behind = [append(1, f"behind {number}", afterparked=True) for number in range(5)]
    passing = append(1, "passing")
    other = append(2, "other", afterparked=True)                    # nothing of its aggregate is parked
    world.publish(early, *behind, passing, other)
    world.await_events([passing, other])
    until("six are parked", lambda: parked(world) == 6, 10)
    more = append(1, "behind 5", afterparked=True)
    world.publish(more)
    until("seven are parked", lambda: parked(world) == 7, 10)
    # Brought back before its time, it is nothing.
    due(world, early)
    until("it was brought back", lambda: parked(world, "reason = 'notbefore' AND returns > 0") == 1, 10)
    assert world.events_of(early) == []
    world.await_events([early, *behind, more], 30)
    settled(world)
    assert history(world, 1) == ["passing", "early"] + [f"behind {number}" for number in range(6)]


@pytest.mark.seconds(60)
def test_commands_that_wait_come_back_in_order(world):
    world.worker()
    world.ask(create_ticket(1))
    early = append(1, "first", notbefore=in_seconds(4))
    behind = [append(1, number, afterparked=True) for number in range(50)]
    world.publish(early, *behind)
    until("all are parked", lambda: parked(world) == 51, 10)
    world.await_events([early, *behind], 30)
    settled(world)
    assert history(world, 1) == ["first"] + list(range(50))
    assert passed_over(world) == []


@pytest.mark.seconds(60)
def test_a_parked_command_that_comes_again_changes_and_publishes_nothing(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    early = escalate(1, notbefore=in_seconds(3600))
    world.publish(early)
    until("it is parked", lambda: parked(world) == 1, 10)
    forged = early.at(None)
    forged.headers.append(("interlock.return", str(uuid.uuid4()).encode()))
    world.publish(early, early.at(3), forged)
    # Its own position again, by a rewind.
    worker.end()
    world.kafka.move_offsets(world.group, world.topic, {number: 0 for number in range(world.partitions)})
    worker.start().wait_ready()
    world.drain()
    assert world.events_of(early) == [] and parked(world) == 1
    assert world.database.value("SELECT level FROM interlock.ticket WHERE id = 1") == 0


@pytest.mark.seconds(60)
def test_a_return_that_comes_twice_is_applied_once_and_answered_after_a_rewind(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    early = escalate(1, notbefore=in_seconds(2))
    world.publish(early)
    until("it is parked", lambda: parked(world) == 1, 10)
    token = world.database.value("SELECT token FROM interlock.parked_command")
    again = early.at(None)
    again.headers.append(("interlock.return", str(token).encode()))
    world.publish(again, again)                                     # before its time: nothing
    world.await_events([early], 15)
    world.publish(again, again)                                     # after its time: duplicates
    settled(world)
    worker.end()
    world.kafka.move_offsets(world.group, world.topic, {number: 0 for number in range(world.partitions)})
    worker.start().wait_ready()
    world.drain()
    assert len(world.events_of(early)) == 1
    assert world.database.value("SELECT level FROM interlock.ticket WHERE id = 1") == 1
    assert passed_over(world) == []


@pytest.mark.seconds(60)
def test_a_command_held_too_long_is_parked_and_what_follows_waits_behind_it(world):
    """PROTOCOL L4."""
    worker = world.worker(worker_park_after="1s", retries_default_longest="200ms")
    world.ask(create_ticket(1), create_ticket(2))
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        first = [append(1, number) for number in range(20)]
        world.publish(*first, append(2, "free"))
        until("the key is parked", lambda: parked(world, "reason = 'held'") == 1 and parked(world) == 20, 20)
        until("the partition moved on", lambda: world.lag() == 0, 20)
        later = [append(1, number) for number in range(20, 30)]
        world.publish(*later)
        until("they follow", lambda: parked(world) == 30, 10)
        status = json.loads(world.verb("status", "--output", "json",
                                       http_listen=f"127.0.0.1:{worker.port()}").stdout)
        until("status shows them", lambda: json.loads(worker.get("/status")[1])["parked"]["commands"] == 30, 10)
        assert set(status["parked"]) == {"commands", "early", "held", "behind", "paused", "redriven", "replayed",
                                         "next_due", "next_early", "oldest", "stuck"}
        until("it was parked again", lambda: parked(world, "parkings > 1") >= 1, 20)
    world.await_events([*first, *later], 40)
    settled(world)
    assert history(world, 1) == list(range(30))
    assert passed_over(world) == []


@pytest.mark.seconds(90)
def test_a_partition_that_is_full_of_what_waits_parks_it_and_moves_on(world):
    """PROTOCOL L3: long before park_after."""
    world.worker(worker_park_after="1h", consumers_in_flight_commands="600")
    world.ask(create_ticket(1), create_ticket(2))
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        waiting = [append(1, number).at(0) for number in range(700)]
        behind = [append(2, number).at(0) for number in range(20)]
        world.publish(*waiting, *behind)
        world.await_events(behind, 60)
        until("all that waits is parked", lambda: parked(world) == 700, 60)
        until("the partition moved on", lambda: world.lag() == 0, 20)
    world.await_events(waiting, 60)
    settled(world)
    assert history(world, 1) == list(range(700))


@pytest.mark.seconds(500)
@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_workers_are_killed_while_commands_park_and_return(world, delivery):
    """At whatever step: 15 rounds, two workers, early commands and what waits behind them, each applied once, in order."""
    generator = random.Random(4)
    workers = [world.worker(kafka_delivery=delivery), world.worker(kafka_delivery=delivery)]
    world.ask(*[create_ticket(number) for number in range(1, 11)])
    sent = {number: [] for number in range(1, 11)}
    passing = []
    for turn in range(15):
        messages = []
        for number in sent:
            messages.append(append(number, ["early", turn], notbefore=in_seconds(generator.uniform(0.1, 1.5)),
                                   afterparked=True))
            sent[number].append(messages[-1])
            messages += [append(number, ["behind", turn, step], afterparked=True) for step in range(3)]
            sent[number] += messages[-3:]
            passing.append(escalate(number))
            messages.append(passing[-1])
        world.publish(*messages)
        seen = world.database.count("audit_event")
        until("they move", lambda: world.database.count("audit_event") > seen + generator.randrange(30), 30, pause=0.002)
        victim = generator.choice(workers)
        victim.kill()
        victim.start()
    for worker in workers:
        worker.wait_ready()
    everything = [message for messages in sent.values() for message in messages] + passing
    world.await_events(everything, 240)
    settled(world, 240)
    if delivery == "exactly_once":
        assert all(len(events) == 1 for events in world.events_by_identity().values())
        assert passed_over(world) == []
    for number, messages in sent.items():
        assert world.database.value("SELECT level FROM interlock.ticket WHERE id = %s", number) == 15
        noted = history(world, number)
        assert len(noted) == len(messages)
        assert noted == [expected for turn in range(15)
                         for expected in [["early", turn], *[["behind", turn, step] for step in range(3)]]]


@pytest.mark.seconds(60)
def test_a_parked_command_is_refused_by_what_holds_when_it_returns(world):
    world.worker()
    world.ask(create_ticket(1))
    early = transition(1, "CLOSED", notbefore=in_seconds(1.5))
    stale = escalate(1, notbefore=in_seconds(1.5), expectedversion=1)
    world.publish(early, stale)
    until("both are parked", lambda: parked(world) == 2, 10)
    world.ask(transition(1, "OPEN"))
    events = world.await_events([early, stale], 20)
    assert [event.reason for event in events] == ["invalid_transition", "stale_object"]
    settled(world)


@pytest.mark.seconds(60)
def test_the_matrix_is_asked_when_a_parked_escalation_returns(world):
    world.worker()
    world.database.execute("INSERT INTO interlock.escalation_matrix (site_id, category, client_id, level, "
                           "assigned_person_id) VALUES (3, 'lift', 4, 1, 77)")
    world.ask(create_ticket(1, site_id=3, category="lift", client_id=4))
    early = escalate(1, notbefore=in_seconds(1))
    world.publish(early)
    until("it is parked", lambda: parked(world) == 1, 10)
    world.await_events([early], 15)
    assert world.database.value("SELECT assigned_person_id FROM interlock.ticket WHERE id = 1") == 77


def test_without_a_time_nothing_is_parked_and_parked_ones_hold_up_nobody_else(world):
    worker = world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 21)])
    world.publish(*[escalate(number, notbefore=in_seconds(3600)) for number in range(1, 11)])
    until("ten are parked", lambda: parked(world) == 10, 10)
    events = world.ask(*[escalate(number) for number in range(1, 21)])
    assert all(event.outcome == "applied" for event in events)
    holds_for("ten stay parked", lambda: parked(world) == 10, 1)
    assert worker.metric("interlock_parked_total") == 10


@pytest.mark.seconds(90)
@pytest.mark.parametrize("crash", [False, True], ids=["", "and a crash before it is published"])
@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one after the other"])
def test_the_id_of_a_parked_command_with_another_body_is_refused(world, together, crash):
    """PROTOCOL R2, whatever the size of the batch."""
    worker = world.worker(worker_lanes="1")
    world.ask(create_ticket(1))
    assert worker.end() == 0
    early = escalate(1, id="same", notbefore=in_seconds(6))
    other = command("ticket.escalate", {"ticket_id": 1, "level": 9}, id="same")
    if together:
        world.publish(early, other)
    else:
        worker.start().wait_ready()
        world.publish(early)
        until("it is parked", lambda: parked(world) == 1, 10)
        assert worker.end() == 0
        world.publish(other)
    worker.environment["FAULT_POINTS"] = "after_commit=crash@1" if crash else ""
    worker.start()
    if crash:
        until("it has died", lambda: not worker.runs(), 30)
        worker.environment["FAULT_POINTS"] = ""
        worker.start()
    until("both are answered", lambda: len(world.events_of(early)) == 2, 40)
    settled(world)
    assert sorted((each.outcome, each.reason) for each in world.events_of(early)) == \
        [("applied", None), ("rejected", "id_reused")]
    assert world.database.value("SELECT level FROM interlock.ticket WHERE id = 1") == 1
    world.check(ordered=False)
