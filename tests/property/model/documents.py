"""JSON fields: merge, replace, append, apply."""

import copy
import re
from decimal import Context, Decimal, Inexact, localcontext

from . import rules
from .domain import FIELD_SIZE, Changed, Effect, Refused, Unchanged, same, size_of

FIELDS = {("jobneed", "other_info"): dict, ("job", "other_info"): dict, ("attendance", "extras"): dict,
          ("behaviour", "anomaly_history"): list, ("behaviour", "arrivals"): dict,
          ("behaviour", "frequent_locations"): dict}
TABLES = {"jobneed": "jobneed", "job": "job", "attendance": "attendance", "behaviour": "behaviour_profile"}


class DocumentEffect(Effect):
    audits = "JSON_UPDATE"

    def aggregate(self, data):
        kind, _, name = data["aggregate"].partition("/")
        return (kind, name.lower() if kind == "attendance" else int(name))

    def form(self, data):
        return FIELDS[(self.aggregate(data)[0], data["field"])]

    def cross_check(self, data):
        kind = self.aggregate(data)[0]
        found = set()
        if kind not in TABLES:
            found.add("/aggregate")
        elif (kind, data["field"]) not in FIELDS:
            found.add("/field")
        else:
            found |= self.check(data)
        return found or self.check_value(data)

    def check(self, _data):
        return set()

    def check_value(self, _data):
        return set()

    def run(self, domain, data, command):
        kind, key = self.aggregate(data)
        row = domain.get(TABLES[kind], key)
        if row.get("parent_id") is not None:
            raise Refused("invalid_data", "/aggregate")
        present = row[data["field"]]
        after = self.change(copy.deepcopy(present), data)
        if same(present, after) and self.may_stay:
            raise Unchanged()
        if size_of(after) > FIELD_SIZE:
            raise Refused("too_large")
        row[data["field"]] = after
        domain.touch(row)
        return Changed(metadata={"field": data["field"]})

    may_stay = True

    def change(self, document, data):
        raise NotImplementedError


class Merge(DocumentEffect):
    def cross_check(self, data):
        found = super().cross_check(data)
        return found | (set() if isinstance(data["value"], dict) else {"/value"})

    def change(self, document, data):
        if not isinstance(document, dict):
            raise Refused("invalid_data", "/field")
        return {**document, **data["value"]}


class Replace(DocumentEffect):
    def check(self, data):
        return set() if isinstance(data["value"], self.form(data)) else {"/value"}

    def change(self, document, data):
        return data["value"]


class Append(DocumentEffect):
    may_stay = False  # decided: what was appended was appended, though it looks the same afterwards

    def change(self, document, data):
        if not isinstance(document, dict):
            raise Refused("invalid_data", "/field")
        array = document.get(data["key"])
        array = (array if isinstance(array, list) else []) + [data["value"]]
        if data.get("max_length") is not None:
            array = array[-data["max_length"]:]
        return {**document, data["key"]: array}


# ---- json.apply ---------------------------------------------------------------------------------------------

class Nowhere(Exception):
    """A path that leads where nothing can be."""


MISSING = object()


def pointer_steps(path):
    """RFC 6901; None: it is no pointer."""
    if path == "":
        return []
    if not path.startswith("/") or re.search(r"~(?![01])", path):
        return None
    steps = [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]
    return steps if len(steps) <= 32 else None


def index_of(array, step):
    if step == "-":
        return len(array)
    if not re.fullmatch(r"0|[1-9]\d*", step, re.ASCII):
        raise Nowhere
    return int(step)


def look(value, steps):
    """The value at the path, or MISSING."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step, MISSING)
        elif isinstance(value, list):
            place = index_of(value, step)
            value = value[place] if place < len(value) and step != "-" else MISSING
        else:
            return MISSING
        if value is MISSING:
            return MISSING
    return value


def put(value, steps, change):
    """The value with `change` (of what is there, or MISSING) at the place; the way to it is made of objects."""
    if not steps:
        return change(value)
    step, rest = steps[0], steps[1:]
    if value is MISSING:
        value = {}
    if isinstance(value, dict):
        return {**value, step: put(value.get(step, MISSING), rest, change)}
    if isinstance(value, list):
        place = index_of(value, step)
        if place > len(value):
            raise Nowhere
        there = value[place] if place < len(value) else MISSING
        return value[:place] + [put(there, rest, change)] + value[place + 1:]
    raise Nowhere


def exact(number):
    """(digits, places) as few as it needs; a number is held exactly by 64 bits and 18 places, or not at all."""
    sign, digits, exponent = Decimal(number).as_tuple()
    value = int("".join(map(str, digits))) * (-1 if sign else 1)
    if value == 0:
        return 0, 0
    while value % 10 == 0:
        value, exponent = value // 10, exponent + 1
    value, places = (value * 10 ** exponent, 0) if exponent >= 0 else (value, -exponent)
    return (value, places) if fits(value) and places <= 18 else None


def fits(value):
    return -rules.INT64 - 1 <= value <= rules.INT64


def add(left, right):
    left, right = exact(left), exact(right)
    if left is None or right is None:
        raise Nowhere
    places = max(left[1], right[1])
    aligned = [value * 10 ** (places - own) for value, own in (left, right)]
    if not all(map(fits, aligned + [sum(aligned)])):
        raise Nowhere
    with localcontext(Context(prec=60, traps=[Inexact])):
        total = Decimal(sum(aligned)).scaleb(-places)
    return int(total) if total == int(total) else total


def increment(by):
    def change(value):
        if value is MISSING:
            value = 0
        if not rules.is_number(value):
            raise Nowhere
        return add(value, by)
    return change


def append(element):
    def change(value):
        if value is MISSING:
            value = []
        if not isinstance(value, list):
            raise Nowhere
        return value + [element]
    return change


def remove(value, steps):
    holder = look(value, steps[:-1])
    if look(value, steps) is MISSING:
        return value
    if isinstance(holder, dict):
        return put(value, steps[:-1], lambda there: {key: each for key, each in there.items() if key != steps[-1]})
    place = int(steps[-1])
    return put(value, steps[:-1], lambda there: there[:place] + there[place + 1:])


class Apply(DocumentEffect):
    def check(self, data):
        found = set()
        for place, each in enumerate(data["operations"]):
            found |= {f"/operations/{place}/{name}" for name in self.wrong(data, each)}
        return found

    def wrong(self, data, each):
        op, steps = each["op"], pointer_steps(each["path"])
        if steps is None or (op == "remove" and not steps):
            yield "path"
        if (op in ("set", "append", "test")) != ("value" in each):
            yield "value"
        elif op == "set" and steps == [] and not isinstance(each["value"], self.form(data)):
            yield "value"
        if op != "increment" and each.get("by") is not None:
            yield "by"

    def change(self, document, data):
        for place, each in enumerate(data["operations"]):
            try:
                document = self.apply(document, each)
            except Nowhere:
                raise Refused("invalid_data", f"/operations/{place}/path") from None
        return document

    @staticmethod
    def apply(document, each):
        steps = pointer_steps(each["path"])
        if each["op"] == "set":
            return put(document, steps, lambda _: each["value"])
        if each["op"] == "increment":
            return put(document, steps, increment(each["by"] if each.get("by") is not None else 1))
        if each["op"] == "append":
            return put(document, steps, append(each["value"]))
        if each["op"] == "remove":
            return remove(document, steps)
        found = look(document, steps)
        if found is MISSING or not same(found, each["value"]):
            raise Refused("test_failed")
        return document


EFFECTS = {"json.merge": Merge(), "json.replace": Replace(), "json.append": Append(), "json.apply": Apply()}
