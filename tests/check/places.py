"""json.apply once more, slow and plain: operations on places of a JSON document that RFC 6901 pointers name."""

import copy
import re
from decimal import Decimal, getcontext

getcontext().prec = 80
INT64 = range(-2**63, 2**63)


class Refused(Exception):
    def __init__(self, reason="invalid_data"):
        super().__init__(reason)
        self.reason = reason


def steps_of(path):
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def find(container, step):
    """The key or index of the step in the container, and whether something is there; None: it can have none."""
    if isinstance(container, dict):
        return step, step in container
    if not isinstance(container, list):
        return None, False
    if step == "-":
        return len(container), False
    if not re.fullmatch("0|[1-9][0-9]*", step):
        raise Refused()
    return int(step), int(step) < len(container)


def walk(document, steps):
    """The container that the last step is a place of, or None where the way is not there."""
    for step in steps[:-1]:
        key, there = find(document, step)
        if not there:
            return None
        document = document[key]
    return document


def make(document, steps, fresh):
    """Makes what is missing of the way, the last place with `fresh`; returns its container and key."""
    for place, step in enumerate(steps):
        key, there = find(document, step)
        if key is None or (isinstance(document, list) and key > len(document)):
            raise Refused()
        last = place == len(steps) - 1
        if not there:
            made = fresh if last else {}
            if isinstance(document, list):
                document.append(made)
            else:
                document[key] = made
        if last:
            return document, key
        document = document[key]
    raise AssertionError("no steps")


def scaled(value, places):
    number = value.scaleb(places)
    if number != number.to_integral_value() or int(number) not in INT64:
        raise Refused()
    return int(number)


def places_of(value):
    places = max(0, -value.normalize().as_tuple().exponent)
    if places > 18:
        raise Refused()
    return places


def add(present, by):
    if isinstance(present, bool) or not isinstance(present, (int, float)):
        raise Refused()
    left, right = Decimal(repr(present)), Decimal(repr(by))
    places = max(places_of(left), places_of(right))
    total = scaled(left, places) + scaled(right, places)
    if total not in INT64:
        raise Refused()
    exact = Decimal(total).scaleb(-places)
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def same(left, right):
    """True is not 1."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def change(root, operation):
    op, steps = operation["op"], [""] + steps_of(operation["path"])  # the document is the member "" of `root`
    if op in ("remove", "test"):
        around = walk(root, steps)
        key, there = find(around, steps[-1]) if around is not None else (None, False)
        if op == "remove" and there:
            del around[key]
        if op == "test" and not (there and same(around[key], operation["value"])):
            raise Refused("test_failed")
        return
    fresh = {"set": None, "increment": 0, "append": []}[op]
    around, key = make(root, steps, fresh)
    if op == "set":
        around[key] = copy.deepcopy(operation["value"])
    elif op == "increment":
        around[key] = add(around[key], operation.get("by", 1))
    elif isinstance(around[key], list):
        around[key].append(copy.deepcopy(operation["value"]))
    else:
        raise Refused()


def apply(document, operations):
    """The document after all of them; Refused: after none."""
    root = {"": copy.deepcopy(document)}
    for operation in operations:
        change(root, operation)
    return root[""]
