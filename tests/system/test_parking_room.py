"""How much may wait in PostgreSQL (PROTOCOL L4, L5): past it, commands that would have to wait are held at their offsets, and
nothing is dropped."""

import pytest

from harness.commands import append, command, create_ticket
from harness.parking import in_seconds, parked, settled
from harness.pauses import BECAUSE, pause, resume
from harness.waiting import holds_for, until

AN_HOUR = 3600
LARGE = "x" * 3000


def metric(worker, name):
    return worker.metric(f"interlock_{name}")


@pytest.mark.seconds(120)
def test_past_the_room_for_paused_commands_their_partitions_stop_and_go_on_when_half_is_drained(world):
    worker = world.worker(worker_pause_bytes="64KiB", retries_default_longest="500ms")
    world.ask(*[create_ticket(number).at(0) for number in range(1, 11)])
    number = pause(world, "--type", "ticket.append_history", "--until-resumed")
    first = [append(ticket, LARGE).at(0) for ticket in range(1, 11) for _ in range(3)]
    world.publish(*first)
    until("it is full", lambda: metric(worker, "pause_full") == 1, 20)
    until("those are parked", lambda: parked(world, "reason = 'paused'") == 30, 20)
    more = [append(ticket, "more").at(0) for ticket in range(1, 11)]
    world.publish(*more)
    holds_for("no more are parked", lambda: parked(world) == 30, 3)
    assert world.lag() > 0 and worker.ready() and "partitions stop, and nothing is dropped" in worker.text()
    assert world.ask(create_ticket(11).at(1)).outcome == "applied"   # other partitions go on
    resume(world, number)
    world.await_events([*first, *more], 60)
    settled(world)
    until("there is room again", lambda: metric(worker, "pause_full") == 0, 30)
    world.check(ordered=False)


@pytest.mark.seconds(120)
def test_a_source_that_parks_too_much_leaves_room_for_the_others(world):
    worker = world.worker(worker_park_source_max="10", worker_park_after="6s", retries_default_longest="500ms")
    world.ask(create_ticket(1), create_ticket(2))
    early = [append(1, number, notbefore=in_seconds(AN_HOUR)) for number in range(10)]
    world.publish(*early)
    until("its room is used up", lambda: metric(worker, "parking_full") == 1, 20)
    entry = {"people_id": 7, "when": "2026-11-24T09:00:00Z", "who": "tester", "action": "note", "details": "other",
             "previous_state": {}}
    other = command("ticket.append_history", {"ticket_id": 2, "entry": entry}, source="/other", partition=5,
                    notbefore=in_seconds(AN_HOUR))
    late = append(1, "late", notbefore=in_seconds(AN_HOUR))
    world.publish(late.at(0), other)
    until("the other source's is parked", lambda: parked(world, "command_source = '/other'") == 1, 20)
    holds_for("one more of the first is not", lambda: parked(world) == 11 and world.lag() > 0, 3)
    assert world.verb("parked", "cancel", "--source", early[0].identity[0], *BECAUSE).returncode == 0
    until("it is parked after all, and so the others could return", lambda: parked(world) == 2, 30)
    assert world.events_of(late) == [] and world.events_of(other) == []


def test_a_time_that_is_too_far_ahead_is_refused(world):
    world.worker()
    near, far = append(1, 1, notbefore=in_seconds(365 * 86400)), append(1, 2, notbefore=in_seconds(367 * 86400))
    world.publish(near)
    event = world.ask(far)
    assert (event.outcome, event.reason, event.data["metadata"]["parameter"]) == ("rejected", "invalid_data", "/notbefore")
    assert parked(world) == 1 and world.events_of(near) == []
