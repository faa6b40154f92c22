"""Bad input: its outcome, one event or one dead letter, and neighbours that notice nothing."""

import hashlib
import itertools
import json
import re

import pytest

from harness.bad_input import DEAD, INVALID, data_of, nested
from harness.checked import checked  # noqa: F401  fixture
from harness.commands import (Message, append, binary, command, create_job, create_ticket, escalate, event, structured,
                              transition)
from harness.waiting import until


# ---- not readable as a command: a dead letter ------------------------------------------------------

@pytest.mark.parametrize("name", DEAD)
def test_a_message_that_is_not_a_command_becomes_a_dead_letter(shared, number, name):
    """With a neighbour of another key before and behind it, in the same partition."""
    value = DEAD[name]
    key = f"bad/{number}"
    headers = [("x-trace", b"\x00\xff"), ("x-trace", b"again")]
    bad = Message(value, key, headers, 0)
    before, behind = create_ticket(number).at(0), create_ticket(number + 1).at(0)
    positions = shared.publish(before, bad, behind)
    answered = shared.await_events([before, behind])
    assert [each.outcome for each in answered] == ["applied", "applied"]

    def letters():
        return [each for each in shared.letters.all() if each.key == key.encode()]
    letter = until("the dead letter is there", letters)[0]
    assert letter.value == value
    told = dict(letter.headers)
    assert told["__dlq.errors.topic"] == shared.topic.encode()
    assert told["__dlq.errors.partition"] == b"0"
    assert told["__dlq.errors.offset"] == str(positions[1][1]).encode()
    assert told["__dlq.errors.group"] == shared.group.encode()
    assert told["__dlq.errors.message"] and told["interlock.reason"]
    assert told["interlock.first-failed-at"] and told["interlock.attempts"].isdigit()
    assert told["interlock.redrive-count"] == b"0"
    assert [pair for pair in letter.headers if pair[0] == "x-trace"] == headers
    assert shared.database.value("SELECT count(*) FROM interlock.dead_letter WHERE kafka_offset = %s "
                                 "AND digest = sha256(%s)", positions[1][1], value or b"") == 1


def test_headers_that_a_dead_letter_brings_are_replaced(shared, number):
    """As after a redrive that failed again."""
    key = f"again/{number}"
    shared.publish(Message(b"{", key, [("__dlq.errors.topic", b"old"), ("interlock.reason", b"old"),
                                       ("interlock.redrive-count", b"3"), ("own", b"kept")], 0))
    letter = until("the dead letter is there",
                   lambda: [each for each in shared.letters.all() if each.key == key.encode()])[0]
    names = [name for name, _ in letter.headers]
    assert names.count("__dlq.errors.topic") == 1 and names.count("interlock.reason") == 1
    assert letter.header("__dlq.errors.topic") == shared.topic.encode()
    assert letter.header("interlock.reason") != b"old" and letter.header("interlock.redrive-count") == b"3"
    assert letter.header("own") == b"kept"


def test_a_dead_letter_over_the_producer_s_limit_is_cut(shared, number):
    """It could never be produced as it is, and would stop everything behind it."""
    key, value = f"huge/{number}", b"\x00" + b"x" * 998_000
    shared.publish(Message(value, key, [("own", b"h" * 1500)], 0), create_ticket(number).at(0))
    letter = until("the dead letter is there",
                   lambda: [each for each in shared.letters.all() if each.key and each.key.startswith(b"huge/")])[0]
    assert letter.value and value.startswith(letter.value) and len(letter.value) < len(value)
    assert letter.header("interlock.truncated")
    told = b" ".join(each or b"" for _, each in letter.headers)
    assert str(len(value)).encode() in told and hashlib.sha256(value).hexdigest().encode() in told
    until("the command behind it goes on", lambda: shared.database.value(
        "SELECT count(*) FROM interlock.ticket WHERE id = %s", number) == 1)


# ---- readable, but wrong: a rejection with an event --------------------------------------------------

@pytest.mark.parametrize("type_, changes", INVALID, ids=lambda value: value if isinstance(value, str) else
                         re.sub(r"\W+", "_", str(value))[:40].strip("_"))
def test_data_that_breaks_the_table_is_rejected(shared, number, type_, changes):
    before, behind = create_ticket(number).at(1), create_ticket(number + 1).at(1)
    bad = command(type_, data_of(type_, **changes), key="ticket/1").at(1)
    told = shared.ask(before, bad, behind)
    assert [each.outcome for each in told] == ["applied", "rejected", "applied"]
    assert told[1].reason == "invalid_data"
    assert told[1].data["metadata"], "it says which parameter"
    assert len(shared.events_of(bad)) == 1


@pytest.mark.parametrize("body", [
    event("ticket.explode", {"ticket_id": 1}), event("", {"ticket_id": 1}, type="x"), event("TICKET.CREATE", {}),
    event("ticket.create ", {"ticket_id": 1, "priority": "LOW"}),
], ids=lambda body: body["type"])
def test_an_unknown_type_is_rejected(shared, body):
    told = shared.ask(structured(body, "ticket/1", 1))
    assert (told.outcome, told.reason) == ("rejected", "unknown_type")
    assert told.data["version"] is None and told.data["command"]["type"] == body["type"]


@pytest.mark.parametrize("data", [..., None, [], "text", 5], ids=["none", "null", "array", "text", "number"])
def test_data_that_is_no_object_is_rejected(shared, data):
    body = event("ticket.escalate", None)
    if data is not ...:
        body["data"] = data
    told = shared.ask(structured(body, "ticket/1", 1))
    assert (told.outcome, told.reason) == ("rejected", "invalid_data")


@pytest.mark.parametrize("attributes", [
    {"expectedversion": "three"}, {"expectedversion": -1}, {"expectedversion": 1.5}, {"subject": "ticket/999999"},
    {"subject": "nonsense"}, {"time": "yesterday"}, {"specversion": "0.3"},
], ids=lambda value: "_".join(f"{name}_{each}" for name, each in value.items()))
def test_an_attribute_that_cannot_be_right_is_rejected(shared, number, attributes):
    shared.ask(create_ticket(number))
    told = shared.ask(escalate(number, **attributes))
    assert (told.outcome, told.reason) == ("rejected", "invalid_data")
    assert shared.database.row("SELECT level, version FROM interlock.ticket WHERE id = %s", number) == (0, 1)


def test_data_in_base64_is_rejected(shared, number):
    body = event("ticket.escalate", None, data_base64="eyJ0aWNrZXRfaWQiOjF9")
    told = shared.ask(structured(body, "ticket/1", 1))
    assert (told.outcome, told.reason) == ("rejected", "invalid_data")


def test_a_binary_event_without_an_id_becomes_a_dead_letter(shared, number):
    bad = binary("ticket.escalate", {"ticket_id": number})
    bad.headers = [pair for pair in bad.headers if pair[0] != "ce_id"]
    bad.key = f"binary/{number}"
    shared.publish(bad)
    until("the dead letter is there", lambda: [each for each in shared.letters.all() if each.key == bad.key.encode()])


def test_a_binary_event_whose_data_is_no_json_is_rejected(shared, number):
    bad = binary("ticket.escalate", {"ticket_id": number})
    bad.value = b"<ticket>1</ticket>"
    told = shared.ask(bad)
    assert (told.outcome, told.reason) == ("rejected", "invalid_data")


# ---- at the limits: still a command -------------------------------------------------------------------

def test_a_command_just_within_the_limits_is_applied(shared, number):
    shared.ask(create_ticket(number))
    long_id, long_source = "i" * 128, "/" + "s" * 127
    wide = append(number, {"text": "y" * 20000})
    deep = append(number, nested(25))
    room = 65536 - len(json.dumps(event("ticket.explode", {"fill": ""})).encode())
    full = structured(event("ticket.explode", {"fill": "z" * room}), f"ticket/{number}")
    assert len(full.value) == 65536
    told = shared.ask(escalate(number, id=long_id, source=long_source), escalate(number, id="é" * 64), wide, deep, full)
    assert [each.outcome for each in told] == ["applied"] * 4 + ["rejected"]
    assert told[0].identity == (long_source, long_id) and told[4].reason == "unknown_type"


@pytest.mark.parametrize("key", [None, "", "ticket/1", "something else", "ключ", "k" * 1000],
                         ids=["none", "empty", "other", "free", "letters", "long"])
def test_a_key_that_is_not_the_aggregate_is_applied_and_counted(shared, number, key):
    worker = shared.workers[0]
    before = worker.metric("interlock_misrouted_total")
    shared.ask(create_ticket(number))
    told = shared.ask(escalate(number).keyed(key).at(2))
    assert told.outcome == "applied" and told.key == f"ticket/{number}"
    if key:
        until("it is counted", lambda: worker.metric("interlock_misrouted_total") == before + 1, 10)


def test_a_field_that_would_grow_too_large_is_refused(shared, number):
    shared.ask(create_job(number))
    told = []
    while not told or (told[-1].outcome == "applied" and len(told) < 80):
        told.append(shared.ask(command("json.append", {"aggregate": f"jobneed/{number}", "field": "other_info", "key": "k",
                                                       "value": "v" * 60000})))
    assert (told[-1].outcome, told[-1].reason) == ("rejected", "too_large")
    assert shared.database.value("SELECT jsonb_array_length(other_info->'k') FROM interlock.jobneed WHERE id = %s",
                                 number) == len(told) - 1
    assert shared.ask(command("json.append", {"aggregate": f"jobneed/{number}", "field": "other_info", "key": "n",
                                              "value": 1, "max_length": 5})).outcome == "applied"


# ---- constraints ----------------------------------------------------------------------------------------

def forbid(world, kind):
    """A rule that only the database knows, broken by tickets whose comment is "forbidden"."""
    if kind == "check":
        world.database.execute("ALTER TABLE interlock.ticket DROP CONSTRAINT IF EXISTS no_such_comment; "
                               "ALTER TABLE interlock.ticket ADD CONSTRAINT no_such_comment "
                               "CHECK (comments <> 'forbidden check')")
        return "constraint:no_such_comment"
    if kind == "unique":
        world.database.execute("CREATE UNIQUE INDEX IF NOT EXISTS one_such_comment ON interlock.ticket (comments) "
                               "WHERE comments = 'forbidden unique'; INSERT INTO interlock.ticket (id, comments) "
                               "VALUES (999999999, 'forbidden unique') ON CONFLICT DO NOTHING")
        return "constraint:one_such_comment"
    world.database.execute(
        "CREATE OR REPLACE FUNCTION interlock.refuse_comment() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no such comment'; END $$; "
        "CREATE OR REPLACE TRIGGER no_such_comment BEFORE INSERT ON interlock.ticket FOR EACH ROW "
        "WHEN (NEW.comments = 'forbidden trigger') EXECUTE FUNCTION interlock.refuse_comment()")
    return None


@pytest.mark.parametrize("culprits", [1, 3])
@pytest.mark.parametrize("kind", ["check", "unique", "trigger"])
def test_a_rule_that_only_the_database_knows_rejects_its_commands_alone(shared, number, kind, culprits):
    reason = forbid(shared, kind)
    splits = shared.workers[0].metric("interlock_batch_splits_total")
    bad = [create_ticket(number + 500 + step, comments=f"forbidden {kind}") for step in range(culprits)]
    good = [create_ticket(number + step) for step in range(40)]
    batch = good[:20] + bad + good[20:]
    told = shared.ask(*[each.at(3) for each in batch])
    assert [each.outcome for each in told] == ["applied"] * 20 + ["rejected"] * culprits + ["applied"] * 20
    for each in told[20:20 + culprits]:
        assert each.reason and (reason is None or each.reason == reason)
    assert shared.database.value("SELECT count(*) FROM interlock.ticket WHERE id >= %s AND id < %s", number,
                                 number + 1000) == 40
    assert shared.workers[0].metric("interlock_batch_splits_total") > splits


def test_a_checkpoint_under_an_id_in_use_is_refused(shared, number):
    shared.ask(create_job(number, checkpoints=1))
    told = shared.ask(create_ticket(number), create_job(number + 100, checkpoints=2, first_checkpoint=number),
                      create_ticket(number + 1))
    assert [each.outcome for each in told] == ["applied", "rejected", "applied"]
    assert told[1].reason == "already_exists"
    assert shared.database.value("SELECT count(*) FROM interlock.jobneed WHERE id = %s", number + 100) == 0
    assert shared.database.value("SELECT parent_id FROM interlock.jobneed WHERE id = %s", number + 1) == number


def test_a_plan_that_is_not_there_is_not_found(shared, number):
    bad = create_job(number + 100, job_id=987654321)
    told = shared.ask(*[each.at(3) for each in (create_ticket(number), bad, create_ticket(number + 1))])
    assert [each.outcome for each in told] == ["applied", "rejected", "applied"]
    assert told[1].reason == "not_found"


def test_checkpoints_that_are_equal_are_rejected(shared, number):
    same = {"asset_id": 1, "question_set_id": 1, "seq": 1}
    bad = command("job.create", data_of("job.create", jobneed_id=number, checkpoints=[same, dict(same, seq=2)]))
    told = shared.ask(bad)
    assert told.outcome == "rejected"
    assert shared.database.value("SELECT count(*) FROM interlock.jobneed WHERE id = %s OR parent_id = %s", number,
                                 number) == 0


def test_a_batch_full_of_everything_is_answered_message_by_message(shared, number):
    good = [create_ticket(number + step) for step in range(60)]
    rejected = [command(type_, data_of(type_, **changes), key=f"ticket/{number}") for type_, changes in INVALID[:30]]
    refused = [transition(number + step, "CLOSED") for step in range(20)]
    dead = [Message(value, f"mixed/{number}", [], None) for value in list(DEAD.values())[:20]]
    mixed = [each for group in itertools.zip_longest(good, rejected, dead) for each in group if each is not None]
    shared.publish(*[each.at(4) for each in mixed + refused])
    told = shared.await_events(good + rejected + refused)
    assert [each.outcome for each in told[:60]] == ["applied"] * 60
    assert [each.reason for each in told[60:90]] == ["invalid_data"] * 30
    assert [each.reason for each in told[90:]] == ["invalid_transition"] * 20
    until("20 dead letters", lambda: sum(each.key == f"mixed/{number}".encode() for each in shared.letters.all()) == 20)
