"""Commands seen again: one effect, one event, whatever way they come. PROTOCOL R2."""

import itertools
import json

import pytest

from harness.commands import Message, append, command, create_ticket, escalate, structured
from harness.waiting import until

numbers = itertools.count(1000, 1000)


@pytest.fixture
def number(shared):
    fresh = next(numbers)
    shared.ask(create_ticket(fresh))
    return fresh


@pytest.fixture(scope="module", autouse=True)
def checked(shared):
    yield
    shared.drain()
    shared.check(ordered=False)


def level(world, number):
    return world.database.value("SELECT level FROM interlock.ticket WHERE id = %s", number)


def settled(world, messages):
    """Sends and waits for the end of the topic, as duplicates are answered by nothing."""
    world.publish(*messages)
    world.drain()


@pytest.mark.parametrize("where", ["same partition", "other partitions", "one batch", "later"])
def test_a_command_sent_again_changes_nothing(shared, number, where):
    message = escalate(number)
    copies = [message] * 5
    if where == "other partitions":
        copies = [message.at(partition) for partition in range(5)]
    if where == "later":
        shared.ask(message)
        shared.drain()
    settled(shared, copies)
    assert level(shared, number) == 1
    shared.await_events([message])
    assert len(shared.events_of(message)) == 1


def test_the_same_body_written_otherwise_is_the_same_command(shared, number):
    body = json.loads(escalate(number).value)
    body["data"] = {"ticket_id": number, "level": 3, "assigned_person_id": 7}
    first = structured(body, f"ticket/{number}")
    body["data"] = {"assigned_person_id": 7, "level": 3, "ticket_id": number}
    second = Message(json.dumps(body, indent=2).encode(), first.key, first.headers, None, first.identity)
    settled(shared, [first, second])
    assert shared.await_events([first])[0].outcome == "applied"
    assert len(shared.events_of(first)) == 1


@pytest.mark.parametrize("partition", [None, 5])
@pytest.mark.parametrize("batch", ["one batch", "later"])
def test_another_body_under_a_used_id_is_refused(shared, number, partition, batch):
    first = escalate(number)
    source, identity = first.identity
    others = [command("ticket.escalate", {"ticket_id": number, "level": 50 + step}, id=identity, source=source)
              for step in range(2)]
    other_type = command("ticket.transition", {"ticket_id": number, "status": "OPEN"}, id=identity, source=source)
    if batch == "later":
        shared.ask(first)
        settled(shared, [each.at(partition) for each in others + [other_type]])
    else:
        settled(shared, [each.at(partition) for each in [first] + others + [other_type]])
    told = until("four events", lambda: len(shared.events_of(first)) == 4 and shared.events_of(first))
    reasons = sorted((each.outcome, each.reason) for each in told if each.reason)
    assert reasons == [("rejected", "id_reused")] * 3
    assert level(shared, number) == 1
    identities = shared.database.value("SELECT count(*) FROM interlock.audit_event WHERE command_id = %s", identity)
    assert identities == 4


def test_another_body_sent_again_is_refused_again_under_its_own_position(shared, number):
    first = escalate(number)
    other = command("ticket.escalate", {"ticket_id": number, "level": 9}, id=first.identity[1], source=first.identity[0])
    settled(shared, [first, other, other])
    told = until("three events", lambda: len(shared.events_of(first)) == 3 and shared.events_of(first))
    assert len({each.event_id for each in told}) == 3 and level(shared, number) == 1


def test_an_id_of_another_source_is_another_command(shared, number):
    told = shared.ask(escalate(number, id="same", source="/one"), escalate(number, id="same", source="/two"))
    assert [each.outcome for each in told] == ["applied", "applied"] and level(shared, number) == 2


def test_a_rejected_command_stays_rejected(shared, number):
    """Recorded the first time: not judged again when the row has moved."""
    message = command("ticket.transition", {"ticket_id": number, "status": "CLOSED"})
    assert shared.ask(message).outcome == "rejected"
    shared.ask(*[command("ticket.transition", {"ticket_id": number, "status": status})
                 for status in ("OPEN", "RESOLVED")])
    settled(shared, [message, message.at(2)])
    assert [each.outcome for each in shared.events_of(message)] == ["rejected"]
    assert shared.database.value("SELECT status FROM interlock.ticket WHERE id = %s", number) == "RESOLVED"


def test_duplicates_are_counted(shared, number):
    before = shared.workers[0].metric("interlock_dedupe_hits_total")
    message = append(number, "once")
    settled(shared, [message] * 11)
    until("ten hits", lambda: shared.workers[0].metric("interlock_dedupe_hits_total") == before + 10, 10)
