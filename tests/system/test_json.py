"""The four json.* commands on every JSON field of every aggregate, on real services: what comes back from jsonb, what is
refused, and many at once."""

import json
import uuid
from decimal import Decimal

import pytest

from harness.checked import checked  # noqa: F401  fixture
from harness.commands import command, create_job
from harness.waiting import until


def outcome(event):
    return (event.outcome, event.reason)


def sentence(kind, field, aggregate, **data):
    return command(f"json.{kind}", {"aggregate": aggregate, "field": field, **data})


def apply(aggregate, *operations, field="other_info"):
    return sentence("apply", field, aggregate, operations=list(operations))


def op(name, path, **more):
    return {"op": name, "path": path, **more}


# ---- every field --------------------------------------------------------------------------------------------

def make_jobneed(world, number):
    world.ask(create_job(number))
    return f"jobneed/{number}"


def make_job(world, number):
    world.database.execute("INSERT INTO interlock.job (id, version) VALUES (%s, 7)", number)
    return f"job/{number}"


def make_attendance(world, number):
    visit = str(uuid.uuid4())
    world.database.execute("INSERT INTO interlock.attendance (id, version, person_id, punch_in) VALUES (%s, 7, %s, now())",
                           visit, number)
    return f"attendance/{visit}"


def make_profile(world, number):
    world.database.execute("INSERT INTO interlock.behaviour_profile (id, version) VALUES (%s, 7)", number)
    return f"behaviour/{number}"


TABLES = {"jobneed": "jobneed", "job": "job", "attendance": "attendance", "behaviour": "behaviour_profile"}
FIELDS = [(make_jobneed, "other_info", {}), (make_job, "other_info", {}), (make_attendance, "extras", {}),
          (make_profile, "anomaly_history", []), (make_profile, "arrivals", {}), (make_profile, "frequent_locations", {})]


def content(world, aggregate, field):
    """As PostgreSQL prints it, with numbers as they stand there."""
    kind, _, key = aggregate.partition("/")
    text = world.database.value(f"SELECT {field}::text FROM interlock.{TABLES[kind]} WHERE id = %s", key)
    return json.loads(text, parse_float=Decimal)


def version(world, aggregate):
    kind, _, key = aggregate.partition("/")
    return world.database.value(f"SELECT version FROM interlock.{TABLES[kind]} WHERE id = %s", key)


@pytest.mark.parametrize("make, field, empty", FIELDS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_every_field_takes_every_command(shared, number, make, field, empty):
    aggregate = make(shared, number)
    before = version(shared, aggregate)
    assert content(shared, aggregate, field) == empty
    full = [1, {"a": 0.5}] if isinstance(empty, list) else {"a": {"n": 1}, "l": [1]}
    other = {} if isinstance(empty, list) else []
    sent = [sentence("replace", field, aggregate, value=full),
            sentence("replace", field, aggregate, value=full),
            sentence("replace", field, aggregate, value=other)]
    if isinstance(empty, list):
        sent += [sentence("merge", field, aggregate, value={"b": 2}),
                 sentence("append", field, aggregate, key="l", value=2),
                 apply(aggregate, op("append", "", value="x"), op("increment", "/0"), op("set", "/1/a", value=None),
                       field=field),
                 apply(aggregate, op("increment", ""), field=field)]
        wanted = ["applied", "unchanged", "invalid_data", "invalid_data", "invalid_data", "applied", "invalid_data"]
        after = [2, {"a": None}, "x"]
    else:
        sent += [sentence("merge", field, aggregate, value={"b": 2}),
                 sentence("append", field, aggregate, key="l", value=2),
                 apply(aggregate, op("append", "/l", value=3), op("increment", "/a/n", by=2), op("remove", "/b"),
                       field=field),
                 apply(aggregate, op("append", "", value=1), field=field)]
        wanted = ["applied", "unchanged", "invalid_data", "applied", "applied", "applied", "invalid_data"]
        after = {"a": {"n": 3}, "l": [1, 2, 3]}
    told = shared.ask(*sent)
    assert [each.reason or each.outcome for each in told] == wanted
    assert content(shared, aggregate, field) == after
    assert version(shared, aggregate) == before + wanted.count("applied")
    assert {each.data["operation"] for each in told} == {"JSON_UPDATE"}
    assert {each.key for each in told if each.outcome != "rejected"} == {aggregate}
    changed = {"old": [], "new": full} if isinstance(empty, list) else \
        {key: {"old": None, "new": value} for key, value in full.items()}
    assert told[0].data["metadata"] == {"field": field, field: changed}


@pytest.mark.parametrize("kind, data", [("merge", {"value": {}}), ("replace", {"value": {}}),
                                        ("append", {"key": "k", "value": 1}),
                                        ("apply", {"operations": [op("increment", "/n")]})])
def test_no_other_field_is_reached(shared, number, kind, data):
    aggregate = make_jobneed(shared, number)
    for wrong, field, parameter in ((aggregate, "remarks", "/field"), (aggregate, "version", "/field"),
                                    (aggregate, "extras", "/field"), (f"ticket/{number}", "other_info", "/aggregate"),
                                    (f"face-user/{number}", "extras", "/aggregate")):
        told = shared.ask(sentence(kind, field, wrong, **data))
        assert outcome(told) == ("rejected", "invalid_data") and told.data["metadata"]["parameter"] == parameter
    missing = shared.ask(sentence(kind, "other_info", "jobneed/999999999", **data))
    assert outcome(missing) == ("rejected", "not_found")


# ---- json.apply ---------------------------------------------------------------------------------------------

def test_all_operations_are_done_or_none(shared, number):
    aggregate = make_jobneed(shared, number)
    assert outcome(shared.ask(apply(aggregate, op("set", "/a/b", value=1), op("increment", "/n", by=5),
                                    op("append", "/log", value={"who": 7})))) == ("applied", None)
    before = content(shared, aggregate, "other_info")
    assert before == {"a": {"b": 1}, "n": 5, "log": [{"who": 7}]}
    for wrong, reason, parameter in (
            (op("test", "/n", value=5), "test_failed", "/operations/2/value"),
            (op("test", "/nothing", value=None), "test_failed", "/operations/2/value"),
            (op("increment", "/log"), "invalid_data", "/operations/2/path"),
            (op("set", "/log/01", value=1), "invalid_data", "/operations/2/path"),
            (op("set", "/log/9", value=1), "invalid_data", "/operations/2/path"),
            (op("append", "/n", value=1), "invalid_data", "/operations/2/path"),
            (op("remove", ""), "invalid_data", "/operations/2/path"),
            (op("set", "/x"), "invalid_data", "/operations/2/value")):
        told = shared.ask(apply(aggregate, op("increment", "/n"), op("remove", "/a"), wrong))
        assert outcome(told) == ("rejected", reason) and told.data["metadata"]["parameter"] == parameter, wrong
        assert told.data["version"] in ({"from": 2, "to": 2}, None)  # None: refused before the row was looked at
    assert content(shared, aggregate, "other_info") == before and version(shared, aggregate) == 2
    assert outcome(shared.ask(apply(aggregate, op("test", "/n", value=5.0), op("remove", "/gone")))) == ("unchanged", None)


def test_numbers_are_exact(shared, number):
    aggregate = make_jobneed(shared, number)

    def send(text):
        """Numbers as written: Python's floats must not touch them."""
        message = apply(aggregate, "@@")
        message.value = message.value.replace(b'"@@"', text.encode())
        return shared.ask(message)
    assert outcome(send('{"op":"set","path":"","value":{"big":9223372036854775806,"huge":123456789012345678901234567890.5,'
                        '"d":0.1,"e":1e2}}')) == ("applied", None)
    for by in ("0.2", "0.3"):
        assert outcome(send(f'{{"op":"increment","path":"/d","by":{by}}}')) == ("applied", None)
    assert outcome(send('{"op":"increment","path":"/big"},{"op":"increment","path":"/e","by":-0.0000000001}')) == (
        "applied", None)
    for path, by in (("/big", "1"), ("/huge", "1"), ("/e", "0.000000000000000001")):
        assert outcome(send(f'{{"op":"increment","path":"{path}","by":{by}}}')) == ("rejected", "invalid_data")
    assert content(shared, aggregate, "other_info") == {
        "big": 9223372036854775807, "huge": Decimal("123456789012345678901234567890.5"), "d": Decimal("0.6"),
        "e": Decimal("99.9999999999")}


def test_a_field_grows_to_its_limits_and_not_beyond(shared, number):
    aggregate = make_jobneed(shared, number)
    told = [shared.ask(apply(aggregate, op("append", "/log", value="x" * 30000))) for _ in range(3)]
    assert [outcome(each) for each in told] == [("applied", None), ("applied", None), ("rejected", "too_large")]
    assert told[2].data["metadata"] == {"limit": 65536}
    deep = "/a" * 31
    assert outcome(shared.ask(apply(aggregate, op("set", deep, value={})))) == ("applied", None)
    told = shared.ask(apply(aggregate, op("set", deep, value={"b": []})))
    assert outcome(told) == ("rejected", "too_large") and told.data["metadata"] == {"depth_limit": 32}


# ---- many at once -------------------------------------------------------------------------------------------

@pytest.mark.seconds(120)
def test_changes_of_many_at_once_are_all_there(world):
    """Two workers, commands of one row spread over all partitions: the old code read, changed and wrote the field."""
    world.worker()
    world.worker()
    until("both own partitions",
          lambda: all(each.metric("interlock_partitions_assigned") > 0 for each in world.workers))
    world.ask(create_job(1))
    sent = []
    for step in range(100):
        sent += [apply("jobneed/1", op("increment", "/count/all"), op("increment", "/count/cents", by=0.01),
                       op("append", "/log", value=step)),
                 sentence("merge", "other_info", "jobneed/1", value={f"key{step}": step})]
    told = world.ask(*[each.at(place % world.partitions) for place, each in enumerate(sent)], timeout=60)
    assert {outcome(each) for each in told} == {("applied", None)}
    found = content(world, "jobneed/1", "other_info")
    assert found["count"] == {"all": 100, "cents": 1} and sorted(found["log"]) == list(range(100))
    assert all(found[f"key{step}"] == step for step in range(100)) and len(found) == 102
    assert version(world, "jobneed/1") == 201
    world.drain()
    world.check(ordered=False)


@pytest.mark.seconds(120)
def test_of_many_who_test_and_set_one_wins(world):
    world.worker()
    world.worker()
    world.ask(create_job(1), apply("jobneed/1", op("set", "/owner", value=None)))
    sent = [apply("jobneed/1", op("test", "/owner", value=None), op("set", "/owner", value=step)).at(step % world.partitions)
            for step in range(60)]
    told = world.ask(*sent, timeout=60)
    winners = [step for step, each in enumerate(told) if outcome(each) == ("applied", None)]
    assert len(winners) == 1 and content(world, "jobneed/1", "other_info") == {"owner": winners[0]}
    assert {outcome(each) for each in told} == {("applied", None), ("rejected", "test_failed")}
