"""PROTOCOL L3, L4: what is held or parked is in nobody's way, and makes few messages."""

import signal
import uuid

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from harness.commands import Message, append, binary, create_ticket, escalate
from harness.held_row import NEIGHBOUR, STUCK, everything_on, judge_neighbours
from harness.parking import in_seconds, parked, settled
from harness.waiting import until


@pytest.mark.seconds(120)
def test_a_row_held_by_a_stranger_holds_up_no_neighbours_answer(world):
    worker = world.worker()
    delays, p99, copies, status = judge_neighbours(world, worker, 15)
    assert len(delays) > 10 and delays[-1] < 10
    assert p99 <= 2 or len(delays) < 100     # of few, the one that met the command before it was parked is the 99th
    assert copies <= 2
    assert status["held"] == 1
    named = status["stuck"][0]
    assert named["aggregate"] == f"ticket/{STUCK}" and named["topic"] == world.topic and named["partition"] == 0
    assert f"ticket/{STUCK}" in worker.text()
    assert world.violations(ordered=False) == []


@pytest.mark.seconds(120)
def test_without_parking_the_neighbours_wait(world):
    """The protection off."""
    world.worker(worker_park_when_blocking="0s", worker_park_after="1h")
    world.ask(create_ticket(STUCK).at(0), create_ticket(NEIGHBOUR).at(0))
    stuck, neighbour = append(STUCK, "stuck").at(0), append(NEIGHBOUR, "waits").at(0)
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = %s FOR UPDATE", STUCK):
        world.publish(stuck, neighbour)
        until("the neighbour is applied", lambda: world.database.value(
            "SELECT count(*) FROM interlock.audit_event WHERE command_id = %s", neighbour.identity[1]) == 1, 30)
        until("it is known to wait",
              lambda: world.workers[0].metric("interlock_unpublished_seconds") > 3, 30)
        assert world.events_of(neighbour) == []
    world.await_events([stuck, neighbour])


@pytest.mark.seconds(90)
def test_a_copy_that_is_not_read_yet_has_no_second_one(world):
    """A pool that is quiet, or behind: the topic does not grow by what is parked."""
    worker = world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 11)])
    early = [escalate(number, notbefore=in_seconds(3600)) for number in range(1, 11)]
    world.publish(*early)
    until("all are parked", lambda: parked(world) == 10, 20)
    before = sum(world.kafka.ends(world.topic).values())
    # The lanes wait for a table, and the returner goes on.
    with world.database.holding("LOCK TABLE interlock.inbox IN ACCESS EXCLUSIVE MODE"):
        for _ in range(3):
            world.database.execute("UPDATE interlock.parked_command SET due_at = now(), next_at = NULL")
            until("the returner has looked at all of them",
                  lambda: parked(world, "next_at IS NULL") == 0, 20)
        assert sum(world.kafka.ends(world.topic).values()) == before + 10
        # A worker that is told to take nothing new sends nothing at all.
        worker.signal(signal.SIGTSTP)
        until("it is quiet", lambda: "quiet" in worker.text(), 10)
    until("the command is read and nothing else", lambda: parked(world) == 10 and world.lag() == 0, 30)
    assert sum(world.kafka.ends(world.topic).values()) == before + 10
    assert all(world.events_of(each) == [] for each in early)


@pytest.mark.seconds(90)
def test_a_quiet_worker_brings_nothing_back(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    world.publish(escalate(1, notbefore=in_seconds(3600)))
    until("it is parked", lambda: parked(world) == 1, 20)
    worker.signal(signal.SIGTSTP)
    until("it is quiet", lambda: "quiet: no more commands" in worker.text(), 10)
    before = sum(world.kafka.ends(world.topic).values())
    world.database.execute("UPDATE interlock.parked_command SET due_at = now()")
    other = world.worker(ready=False)                                # owns some partitions, and brings back for those
    until("the other one is there", lambda: other.get("/status")[0] == 200, 30)
    assert sum(world.kafka.ends(world.topic).values()) <= before + 1


@pytest.mark.seconds(90)
@pytest.mark.parametrize("count", [126, 127, 128, 129])
def test_an_early_command_with_many_headers_is_applied_once(world, count):
    world.worker()
    world.ask(create_ticket(1))
    early = binary("ticket.escalate", {"ticket_id": 1}, notbefore=in_seconds(1))
    own = early.headers
    fill = [(f"x-{number}", b"1") for number in range(count - len(own))]
    early.headers = fill + own if count <= 128 else own + fill       # of more, the last are not kept
    world.publish(early)
    behind = escalate(1, afterparked=True)
    until("it is parked", lambda: parked(world) == 1, 15)
    world.publish(behind)
    world.await_events([early, behind], 20)
    settled(world)
    assert world.database.value("SELECT level FROM interlock.ticket WHERE id = 1") == 2
    assert copies_of_headers(world, own) == 2


def copies_of_headers(world, own):
    named = dict(own)["ce_id"]
    return sum(dict(record.headers or []).get("ce_id") == named for record in everything_on(world, world.topic))


def limit(world, size):
    resource = ConfigResource(ConfigResource.Type.TOPIC, world.topic, incremental_configs=[
        ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)])
    for future in world.kafka.admin.incremental_alter_configs([resource]).values():
        future.result(20)


@pytest.mark.seconds(90)
@pytest.mark.parametrize("foreign", [False, True], ids=["all of it read", "most of it foreign headers"])
def test_an_early_command_near_the_topics_largest_message_is_applied_once(world, foreign):
    world.worker()
    world.ask(create_ticket(1))
    noise = "".join(uuid.uuid4().hex for _ in range(64))
    early = append(1, noise, notbefore=in_seconds(1))
    value = early.value
    headers = [("content-type", b"application/cloudevents+json")]
    if foreign:
        headers.append(("x-trace", noise.encode() * 40))             # some 80 KB
    message = Message(value, early.key, headers, None, early.identity)
    size = len(value) + sum(len(name) + len(text) for name, text in headers)
    limit(world, size + 110)
    world.publish(message)
    until("it is parked", lambda: parked(world) == 1, 15)
    world.await_events([message], 30)
    settled(world)
    assert world.database.value("SELECT count(*) FROM interlock.ticket_history WHERE action = 'note'") == 1
