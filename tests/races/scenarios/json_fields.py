"""JSON fields, which the old system read, changed and wrote back as a whole."""

from harness.commands import append, command, create_job, create_ticket

from .description import ENTRIES, HISTORY, VERSIONS, Old, RAISE_VERSION, Scenario, document, each, keys_of

PART = "JSON"
COUNTER = "SELECT coalesce((other_info->>'counter')::int, 0) FROM interlock.jobneed WHERE id = %(b)s"
LENGTH = "SELECT coalesce(jsonb_array_length(other_info->'list'), 0) FROM interlock.jobneed WHERE id = %(b)s"


def field(b):
    return {"aggregate": f"jobneed/{b}", "field": "other_info"}


def merge(b, value):
    return command("json.merge", {**field(b), "value": value})


def push(b, value, **more):
    return command("json.append", {**field(b), "key": "list", "value": value, **more})


def apply(b, *operations):
    return command("json.apply", {**field(b), "operations": list(operations)})


def increment(path):
    return {"op": "increment", "path": path, "by": 1}


def grouped(b, n):
    return apply(b, increment("/counter"), {"op": "append", "path": "/list", "value": n},
                 {"op": "set", "path": f"/k{n}", "value": n})


def half_refused(b, n):
    """Every second one finds at its end that it should not have begun."""
    wanted = "there" if n % 2 else "elsewhere"
    return apply(b, increment("/counter"), {"op": "test", "path": "/place", "value": wanted})


def old_push(document, n, limit=None):
    document.setdefault("list", []).append(n)
    if limit:
        document["list"] = document["list"][-limit:]


def old_count(document, _n):
    document["counter"] = document.get("counter", 0) + 1


def old_grouped(document, n):
    old_count(document, n)
    old_push(document, n)
    document[f"k{n}"] = n


def old_half_refused(n):
    """It counted first and looked afterwards, each in a statement of its own."""
    return [document(old_count)]


STARTED = {"counter": 0, "list": [], "place": "there"}

JSON_FIELDS = [
    Scenario(
        "JSON counter", PART, representative=True,
        setup=lambda b: [create_job(b, other_info=STARTED)],
        storm=lambda b: [apply(b, increment("/counter")) for _ in range(50)],
        expected={"changed": 50, "counter": 50},
        measure={"counter": COUNTER},
        old=Old(50, each(document(old_count)))),
    Scenario(
        "JSON keys", PART,
        setup=lambda b: [create_job(b)],
        storm=lambda b: [merge(b, {f"k{n}": n}) for n in range(50)],
        expected={"changed": 50, "keys": 50},
        measure={"keys": keys_of()},
        old=Old(50, each(document(lambda document, n: document.update({f"k{n}": n}))))),
    Scenario(
        "array append", PART,
        setup=lambda b: [create_job(b)],
        storm=lambda b: [push(b, n) for n in range(30)],
        expected={"changed": 30, "length": 30},
        measure={"length": LENGTH},
        old=Old(30, each(document(old_push)))),
    Scenario(
        "grouped update", PART,
        setup=lambda b: [create_job(b, other_info=STARTED)],
        storm=lambda b: [grouped(b, n) for n in range(20)],
        expected={"changed": 20, "counter": 20, "length": 20, "keys": 20},
        measure={"counter": COUNTER, "length": LENGTH, "keys": keys_of()},
        old=Old(20, each(document(old_grouped)))),
    Scenario(
        "grouped update, all or nothing", PART,
        setup=lambda b: [create_job(b, other_info=STARTED)],
        storm=lambda b: [half_refused(b, n) for n in range(20)],
        expected={"changed": 10, "counter": 10},
        measure={"counter": COUNTER},
        old=Old(20, old_half_refused)),
    Scenario(
        "ticket log appends", PART,
        setup=lambda b: [create_ticket(b)],
        storm=lambda b: [append(b, {"n": n}) for n in range(40)],
        expected={"changed": 40, "entries": 40},
        measure={"entries": ENTRIES},
        old=Old(40, each(HISTORY))),
    Scenario(
        "max length", PART,
        setup=lambda b: [create_job(b)],
        storm=lambda b: [push(b, n, max_length=100) for n in range(150)],
        expected={"changed": 150, "length": 100, "versions": 151},
        measure={"length": LENGTH, "versions": VERSIONS},
        old=Old(150, each(document(lambda document, n: old_push(document, n, 100)), RAISE_VERSION))),
]
