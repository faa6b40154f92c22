"""Messages of publishers in other languages: spellings of headers, numbers, uuids and words that mean the same, and what is
told to whom where they mean nothing."""

import json
import uuid

import pytest
from confluent_kafka import Producer

from harness.checked import checked  # noqa: F401  fixture
from harness.commands import Message, binary, command, create_ticket, escalate, event, murmur2, structured
from harness.waiting import until


def level(world, number):
    return world.database.value("SELECT level FROM interlock.ticket WHERE id = %s", number)


def with_headers(message, *pairs):
    message.headers += [(name, value.encode()) for name, value in pairs]
    return message


def raw(message, old, new):
    """The message with a piece of its text replaced: what json.dumps would not write."""
    value = message.value.replace(old, new)
    assert value != message.value
    return Message(value, message.key, message.headers, message.partition, message.identity)


# ---- uuids ---------------------------------------------------------------------------------------------

def test_a_uuid_means_the_same_in_either_case(shared):
    """In data, subject, aggregate and key: iOS prints them in upper case."""
    name = str(uuid.uuid4())
    upper = name.upper()
    punch = command("attendance.punch", {"attendance_uuid": upper, "person_id": 7, "direction": "in",
                                         "at": "2026-11-24T09:00:00Z"}, key=f"attendance/{upper}", subject=f"attendance/{upper}")
    merge = command("json.merge", {"aggregate": f"attendance/{upper}", "field": "extras", "value": {"a": 1}},
                    key=f"attendance/{upper}", subject=f"attendance/{name}")
    told = [shared.ask(punch), shared.ask(merge)]
    assert [(each.outcome, each.subject, each.key) for each in told] == [("applied", *[f"attendance/{name}"] * 2)] * 2
    for spelling in (name, upper):
        done = shared.verb("audit", "list", "--aggregate", f"attendance/{spelling}", "--output", "json")
        assert len(json.loads(done.stdout)["events"]) == 2, done.stderr


# ---- headers -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("header", ["ce_expectedVersion", "CE_NOTBEFORE", "ce-notbefore", "CE-EXPECTEDVERSION"])
def test_a_header_that_is_misspelt_is_refused_by_its_name(shared, number, header):
    """A protection that is passed over silently is lost."""
    shared.ask(create_ticket(number))
    told = shared.ask(with_headers(binary("ticket.escalate", {"ticket_id": number}), (header, "7")))
    assert (told.outcome, told.reason, told.subject) == ("rejected", "invalid_data", f"ticket/{number}")
    assert told.data["metadata"]["parameter"] == f"/{header}"
    assert level(shared, number) == 0


def test_headers_of_another_binding_are_named_in_the_dead_letter(shared, number):
    message = binary("ticket.escalate", {"ticket_id": number})
    message.headers = [(name.replace("ce_", "ce-"), value) for name, value in message.headers]
    message.key = f"http/{number}"
    shared.publish(message)
    letter = until("the dead letter", lambda: [each for each in shared.letters.all() if each.key == message.key.encode()])[0]
    assert letter.header("interlock.reason") == b"not_a_cloudevent"
    assert b"ce-specversion" in letter.header("__dlq.errors.message") and b"ce_specversion" in \
        letter.header("__dlq.errors.message")


@pytest.mark.parametrize("type_", ["application/vnd.acme+json", "application/ld+json", "text/json; charset=utf-8"])
def test_any_type_of_json_is_taken_in_either_mode(shared, number, type_):
    shared.ask(create_ticket(number))
    headers = binary("ticket.escalate", {"ticket_id": number}, datacontenttype=type_)
    told = shared.ask(escalate(number, datacontenttype=type_), headers)
    assert [each.outcome for each in told] == ["applied", "applied"]


@pytest.mark.parametrize("word, taken", [("True", True), ("FALSE", True), ("true", True), ("yes", False), ("", False)])
def test_a_word_in_a_header_is_read_as_python_prints_it(shared, number, word, taken):
    shared.ask(create_ticket(number))
    told = shared.ask(with_headers(binary("ticket.escalate", {"ticket_id": number}), ("ce_afterparked", word)))
    assert told.outcome == ("applied" if taken else "rejected")


COPIED = ("correlationid", "causationid", "traceparent", "tracestate", "actor", "tenant", "partitionkey", "dataschema",
          "datacontenttype")
DECIDING = ("notbefore", "expectedversion", "afterparked", "subject", "time")


def test_an_empty_attribute_is_absent_where_it_is_only_copied(shared, number):
    shared.ask(create_ticket(number))
    empty = {name: "" for name in COPIED}
    told = shared.ask(escalate(number, **empty), binary("ticket.escalate", {"ticket_id": number}, **empty))
    for each in told:
        assert each.outcome == "applied", each.body
        assert not {"correlationid", "traceparent"} & set(each.body) and each.data["actor"] is None


@pytest.mark.parametrize("name", DECIDING)
def test_an_empty_attribute_is_refused_where_it_decides(shared, number, name):
    shared.ask(create_ticket(number))
    told = shared.ask(escalate(number, **{name: ""}), binary("ticket.escalate", {"ticket_id": number}, **{name: ""}))
    for each in told:
        assert (each.outcome, each.reason, each.data["metadata"]["parameter"]) == ("rejected", "invalid_data", f"/{name}")
    assert level(shared, number) == 0


# ---- numbers -------------------------------------------------------------------------------------------

def test_a_whole_number_may_have_a_fraction_of_nothing(shared, number):
    shared.ask(create_ticket(number))
    told = shared.ask(command("ticket.escalate", {"ticket_id": float(number), "level": 3.0}, key=f"ticket/{number}",
                              expectedversion=1.0))
    assert (told.outcome, told.subject) == ("applied", f"ticket/{number}")
    assert level(shared, number) == 3


@pytest.mark.parametrize("written", [b"3.0", b"3e0", b"30e-1", b"0.3E+1"])
def test_a_command_again_with_its_numbers_written_otherwise_is_a_duplicate(shared, number, written):
    shared.ask(create_ticket(number))
    first = command("ticket.escalate", {"ticket_id": number, "level": 3})
    shared.ask(first)
    shared.publish(raw(first, b'"level": 3', b'"level": ' + written))
    shared.drain()
    assert len(shared.events_of(first)) == 1
    assert level(shared, number) == 3


def test_numbers_that_a_double_does_not_tell_apart_are_two(shared, number):
    shared.ask(create_ticket(number))
    first = command("ticket.append_history", {"ticket_id": number, "entry": {
        "people_id": 7, "when": "2026-11-24T09:00:00Z", "who": "x", "action": "note", "details": 9007199254740993,
        "previous_state": {}}})
    shared.ask(first)
    shared.publish(raw(first, b"9007199254740993", b"9007199254740992.0"))
    until("both are answered", lambda: len(shared.events_of(first)) == 2)
    assert sorted(each.reason or "" for each in shared.events_of(first)) == ["", "id_reused"]


def test_a_number_beyond_a_double_is_rejected_with_its_event_in_either_mode(shared, number):
    shared.ask(create_ticket(number))
    told = shared.ask(raw(command("ticket.escalate", {"ticket_id": number, "level": 77}), b'"level": 77', b'"level": 1e400'),
                      raw(binary("ticket.escalate", {"ticket_id": number, "level": 77}), b'"level": 77', b'"level": 1e400'))
    for each in told:
        assert (each.outcome, each.reason, each.subject) == ("rejected", "invalid_data", f"ticket/{number}")
        assert each.data["metadata"]["parameter"] == "/level"


# ---- who hears of a refusal ------------------------------------------------------------------------------

@pytest.mark.parametrize("data, subject, key, expected", [
    ({"ticket_id": 41, "level": -1}, None, "ticket/43", "ticket/41"),
    ({"ticket_id": "x"}, "ticket/42", "ticket/43", "ticket/42"),
    ({"ticket_id": "x"}, None, "ticket/43", "ticket/43"),
    ({"ticket_id": "x"}, "forty-two", "ticket/43", "ticket/43"),
    (None, None, "ticket/43", "ticket/43"),
    ({"ticket_id": "x"}, None, "forty-three", None),
    ({"ticket_id": "x"}, None, None, None),
])
def test_a_refusal_is_told_under_what_data_else_subject_else_key_names(shared, data, subject, key, expected):
    told = shared.ask(structured(event("ticket.escalate", data, subject=subject), key))
    assert (told.outcome, told.reason, told.subject, told.key) == ("rejected", "invalid_data", expected, expected)


def test_publish_keys_what_will_be_rejected_by_what_can_be_read(shared, number):
    lines = [event("ticket.escalate", {"ticket_id": number, "level": -1}),
             event("ticket.escalate", {"ticket_id": "x"}, subject=f"ticket/{number}"),
             event("ticket.explode", {}, partitionkey="by/hand")]
    done = shared.verb("publish", "--topic", shared.topic, stdin="\n".join(map(json.dumps, lines)))
    assert done.returncode == 0 and done.stdout.startswith("3 published"), done.stderr
    told = shared.await_events([structured(each, None) for each in lines])
    assert [each.subject for each in told] == [f"ticket/{number}"] * 2 + [None]
    rows = shared.database.rows("SELECT aggregate FROM interlock.audit_event WHERE command_id = ANY (%s)",
                                [each["id"] for each in lines])
    assert sorted(str(row[0]) for row in rows) == ["None", f"ticket/{number}", f"ticket/{number}"]


# ---- partitioners ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("key, digest", [("21", -973932308), ("abc", 479470107), ("foobar", -790332482),
                                         ("a-little-bit-long-string", -985981536),
                                         ("a-little-bit-longer-string", -1486304829)])
def test_the_tests_place_their_messages_as_the_producers_in_java_do(key, digest):
    """The vectors of Kafka's own UtilsTest."""
    assert murmur2(key) == digest & 0xFFFFFFFF


def test_messages_that_another_partitioner_placed_are_counted_and_check_names_them(world):
    """librdkafka's default is CRC32: two producers of one topic then have two partitions for one aggregate."""
    worker = world.worker()
    right, wrong = (Producer({"bootstrap.servers": world.stack.bootstrap, "partitioner": name})
                    for name in ("murmur2_random", "consistent_random"))
    sent = [create_ticket(number) for number in range(1, 41)]
    for each in sent:
        right.produce(world.topic, each.value, each.key, headers=each.headers)
        right.produce(world.topic, each.value, None, headers=each.headers)  # has no place of its own
    assert right.flush(30) == 0
    world.await_events(sent)
    world.drain()
    assert worker.metric("interlock_unexpected_partition_total") == 0
    assert "murmur2 puts them" in said_of("partitioner", world)
    for each in (escalate(number) for number in range(1, 41)):
        wrong.produce(world.topic, each.value, each.key, headers=each.headers)
    assert wrong.flush(30) == 0
    world.drain()
    counted = worker.metric("interlock_unexpected_partition_total")
    assert 20 < counted < 40  # a sixth is right by chance
    says = said_of("partitioner", world)
    assert f" {int(counted)} lie in another partition" in says and "murmur2_random" in says
    assert "murmur2_random" in worker.text()


def said_of(check, world):
    report = json.loads(world.verb("check", "--output", "json").stdout)
    return {row["check"]: row["says"] for row in report["checks"]}[check]
