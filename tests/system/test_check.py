"""The checker itself: every invariant broken by hand, and seen."""

import json
import subprocess
import sys
import uuid

import pytest

from check.envelope import Record, Unreadable, read_command
from check.evidence import AuditEvent, Evidence
from check.invariants import Options, check
from harness.commands import append, command, create_ticket, escalate
from harness.stack import ROOT

TOPIC = "commands"


class Story:
    """A consistent little world, as the worker would have left it."""

    def __init__(self):
        self.evidence = Evidence()
        self.versions = {}

    def send(self, message, partition=0, topic=TOPIC):
        offset = sum(record.partition == partition for record in self.evidence.records)
        key = message.key.encode() if message.key is not None else None
        record = Record(topic, partition, offset, key, message.value, message.headers)
        self.evidence.records.append(record)
        self.evidence.ends[(topic, partition)] = self.evidence.committed[(topic, partition)] = offset + 1
        return record

    def answer(self, record, outcome="applied", reason=None, raises=True, **data):
        read = read_command(record)
        subject = f"ticket/{read.data['ticket_id']}"
        version = self.versions.get(subject, 0)
        self.versions[subject] = version + (1 if raises else 0)
        body = {"id": str(uuid.uuid4()), "subject": subject,
                "data": {"command": {"source": read.source, "id": read.id, "type": read.type}, "operation": "ESCALATION",
                         "outcome": outcome, "reason": reason, "also": [],
                         "version": {"from": version, "to": self.versions[subject]}, **data}}
        event = AuditEvent(0, len(self.evidence.events), subject, body)
        self.evidence.events.append(event)
        self.evidence.audit.append({
            "event_id": event.event_id, "topic": record.topic, "partition": record.partition, "offset": record.offset,
            "outcome": outcome, "operation": "ESCALATION", "command_source": read.source, "command_id": read.id,
            "reason": reason, "aggregate": subject})
        if reason != "id_reused":
            self.evidence.inbox.append({"identity": read.identity_uuid, "topic": record.topic, "parked": False,
                                        "partition": record.partition, "offset": record.offset})
        return event


def history_row(seq, details, action="note", who="tester"):
    return {"ticket_id": 7, "seq": seq, "who": who, "action": action, "details": details}


@pytest.fixture
def story():
    """Ticket 7: created, escalated twice, two entries; one duplicate, one refusal, one unreadable message."""
    made = Story()
    made.answer(made.send(create_ticket(7)))
    made.answer(made.send(escalate(7)))
    again = escalate(7)
    made.answer(made.send(again))
    made.send(again, partition=1)
    for details in ("first", "second"):
        made.answer(made.send(append(7, details)))
    made.answer(made.send(command("ticket.transition", {"ticket_id": 7, "status": "CLOSED"})), outcome="rejected",
                reason="invalid_transition", raises=False)
    evidence = made.evidence
    garbage = made.send(type("M", (), {"key": "x", "value": b"{", "headers": []}))
    evidence.dead_letters.append(Record(TOPIC + ".dlq", 0, 0, b"x", b"{", [
        ("__dlq.errors.topic", TOPIC.encode()), ("__dlq.errors.partition", b"0"),
        ("__dlq.errors.offset", str(garbage.offset).encode())]))
    evidence.dead_rows = 1
    evidence.tables = {
        "ticket": [{"id": 7, "version": 5, "status": "NEW", "level": 2, "escalated": True, "priority": "LOW",
                    "assigned_person_id": None, "assigned_group_id": None, "site_id": None, "client_id": None,
                    "category": None, "comments": None, "source": "USERDEFINED", "history_count": 4}],
        "ticket_history": [history_row(1, None, "escalated"), history_row(2, None, "escalated"),
                           history_row(3, "first"), history_row(4, "second")],
    }
    return made


def broken(story, invariant, words, options=None):
    found = [str(each) for each in check(story.evidence, options)]
    assert any(each.startswith(invariant) and words in each for each in found), found


def test_a_consistent_world_has_no_violation(story):
    assert check(story.evidence) == []


def test_a_lost_command_is_found(story):
    story.evidence.inbox.pop(1)
    broken(story, "I1", "0 inbox rows")


def test_a_command_without_an_event_is_found(story):
    story.evidence.events.pop(1)
    broken(story, "I1", "has 0 events")
    broken(story, "I3", "is not on the topic")


def test_an_inbox_row_of_no_command_is_found(story):
    story.evidence.inbox.append({"identity": str(uuid.uuid4()), "parked": False})
    broken(story, "I1", "belongs to no command")


def test_a_lost_dead_letter_is_found(story):
    story.evidence.dead_letters.clear()
    broken(story, "I1", "1 unreadable messages, but 0 dead letters")


def test_a_doubled_event_is_found(story):
    event = story.evidence.events[2]
    story.evidence.events.append(AuditEvent(0, 99, event.key, event.body))
    broken(story, "I2", "on the topic 2 times")


def test_a_command_applied_twice_is_found(story):
    record = story.evidence.records[1]
    story.answer(record)
    broken(story, "I1", "has 2 inbox rows")
    broken(story, "I1", "has 2 events")


def test_a_lost_update_is_found(story):
    story.evidence.tables["ticket"][0]["level"] = 1
    broken(story, "I2", "ticket/7.level is 1; the replay makes it 2")


def test_a_lost_history_entry_is_found(story):
    del story.evidence.tables["ticket_history"][3]
    broken(story, "I2", "2 entries appended, 1 found")


def test_history_in_another_order_is_found(story):
    rows = story.evidence.tables["ticket_history"]
    rows[2]["details"], rows[3]["details"] = rows[3]["details"], rows[2]["details"]
    broken(story, "I2", "in another order")


def test_an_outcome_that_the_rules_do_not_give_is_found(story):
    story.evidence.events[-1].body["data"]["outcome"] = "unchanged"
    broken(story, "I2", "the model says")


def test_an_event_without_its_row_is_found(story):
    story.evidence.audit.pop(2)
    broken(story, "I3", "has no audit row")


def test_an_event_that_differs_from_its_row_is_found(story):
    story.evidence.audit[2]["outcome"] = "rejected"
    broken(story, "I3", "its row")


def test_offsets_that_stand_before_the_end_are_found(story):
    story.evidence.committed[(TOPIC, 0)] -= 1
    broken(story, "I3", "the group stands at")


def test_offsets_of_a_running_pool_are_not_judged(story):
    story.evidence.committed[(TOPIC, 0)] -= 1
    assert check(story.evidence, Options(drained=False)) == []


def test_a_gap_between_versions_is_found(story):
    for event in story.evidence.events[2:]:
        event.data["version"] = {key: value + 1 for key, value in event.data["version"].items()}
    broken(story, "I4", "is followed by")


def test_two_changes_from_one_version_are_found(story):
    story.evidence.events[2].data["version"] = {"from": 1, "to": 2}
    broken(story, "I4", "version 2 is followed by 1->2")


def test_events_in_another_order_are_found(story):
    events = story.evidence.events
    events[1].offset, events[2].offset = events[2].offset, events[1].offset
    broken(story, "I4", "version 2 comes after 3")
    assert check(story.evidence, Options(ordered=False)) == []


def test_commands_applied_in_another_order_are_found(story):
    rows = story.evidence.audit
    rows[1]["offset"], rows[2]["offset"] = rows[2]["offset"], rows[1]["offset"]
    broken(story, "I4", "comes after that of")


def test_another_body_under_a_used_id_wants_its_own_event(story):
    used = escalate(7, id="used")
    story.answer(story.send(used))
    story.evidence.tables["ticket"][0].update(level=3, version=6, history_count=5)
    story.evidence.tables["ticket_history"].append(history_row(5, None, "escalated"))
    other = story.send(command("ticket.escalate", {"ticket_id": 7, "level": 9}, id="used"))
    broken(story, "I1", "was refused 0 times as id_reused")
    story.answer(other, outcome="rejected", reason="id_reused", raises=False)
    assert check(story.evidence) == []


@pytest.mark.parametrize("value", [
    None, b"", b"{", b"[]", b"\xff\xfe", b'{"specversion":"1.0"}', b'{"specversion":"1.0","id":"a","id":"b"}',
    b'{"specversion":"1.0","id":"a\\u0000","source":"s","type":"t"}',
    json.dumps({"specversion": "1.0", "id": "a" * 129, "source": "s", "type": "t"}).encode(),
    json.dumps({"specversion": "1.0", "id": "a", "source": "s", "type": "t", "data": "x" * 65536}).encode(),
    b'{"specversion":"1.0","id":"a","source":"s","type":"t","data":' + b"[" * 40 + b"]" * 40 + b"}",
], ids=range(11))
def test_what_is_no_command_is_told_from_what_is_one(value):
    with pytest.raises(Unreadable):
        read_command(Record(TOPIC, 0, 0, None, value))


def test_the_program_finds_a_row_changed_by_hand(world):
    world.worker()
    world.ask(create_ticket(1), escalate(1), escalate(1))
    world.drain()
    checker = [sys.executable, ROOT / "tests/check", "--database", world.database.url, "--topics", world.topic,
               "--audit-topic", world.audit_topic, "--group", world.group]

    def run():
        return subprocess.run(checker, capture_output=True, text=True, timeout=60, check=False)
    clean = run()
    assert clean.returncode == 0 and "0 violations" in clean.stdout, clean.stdout + clean.stderr
    world.database.execute("UPDATE interlock.ticket SET level = 1 WHERE id = 1")
    world.database.execute("DELETE FROM interlock.inbox WHERE identity = (SELECT min(identity::text)::uuid "
                           "FROM interlock.inbox)")
    found = run()
    assert found.returncode == 1
    assert "I1" in found.stdout and "0 inbox rows" in found.stdout, found.stdout
    assert "ticket/1.level is 1; the replay makes it 2" in found.stdout, found.stdout
