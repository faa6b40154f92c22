"""The pools that commands are drawn from: small ones, so that commands meet, and the rows that the model has by then."""

from dataclasses import dataclass

from .model.effects import EFFECTS
from .model.domain import ROOTS, parse
from .templates import fill, ref, uuid_of

TICKETS, JOBNEEDS, CHILDREN, JOBS, PLAN_CHILDREN = (1, 6), (11, 14), (20, 44), (61, 64), (70, 84)
USERS, MODELS, EMBEDDINGS, VERIFICATIONS = (101, 104), (111, 113), (120, 134), (140, 170)
PERSONS, SHIFTS, FENCES, RECORDS = (201, 204), (221, 226), (231, 235), (301, 304)
ASSIGNED = (85, 91)           # geofence assignments that no command names
UNKNOWN = 999
TABLES = {TICKETS: ("ticket", int), JOBNEEDS: ("jobneed", int), RECORDS: ("attendance", uuid_of)}
CATEGORY, CLIENT = "lift", 5
TEXTS = ("", "late", "on \"it\"", "tab\tand\nline", "Grüße, 世界 🚪", "\u0007", "back\\slash/", "x" * 300)


@dataclass
class Scope:
    weight: float
    writers: tuple


SCOPES = {
    "ticket": Scope(3, ("ticket",)),
    "jobneed": Scope(4, ("jobneed", "jobneed", "document")),
    "plan": Scope(1.5, ("plan", "plan", "document")),
    "attendance": Scope(2, ("attendance", "attendance", "attendance", "document")),
    "behaviour": Scope(1.5, ("behaviour", "behaviour", "behaviour", "document")),
    "face": Scope(1.5, ("face",)),
    "mixed": Scope(3, ("ticket", "jobneed", "plan", "attendance", "behaviour", "face", "document")),
}


class Writer:
    def __init__(self, rng, scope):
        self.rng, self.scope = rng, scope
        self.single = scope in ("ticket", "jobneed", "behaviour", "attendance") and rng.random() < 0.5
        self.last = self.domain = None

    # ---- drawing ----

    def chance(self, probability):
        return self.rng.random() < probability

    def of(self, pool):
        """An id of the pool; now and then one that is nowhere."""
        if self.single and pool in (TICKETS, JOBNEEDS, USERS, RECORDS):
            return pool[0]
        there = [number for number in range(*pool) if self.is_there(pool, number)]
        if there and self.chance(0.6):
            return self.rng.choice(there)
        return UNKNOWN if self.chance(0.02) else self.rng.randrange(*pool)

    def is_there(self, pool, number):
        table, key = TABLES.get(pool, (None, ref))
        return table is not None and self.domain.get(table, key(number)) is not None

    def there(self, table, **columns):
        """The rows that there are by now, of ids that the sequence has places for."""
        return [row for row in self.domain.where(table, **columns) if row["id"] < UNKNOWN]

    def status_after(self, machine, statuses, table, number):
        """Mostly one that the machine allows."""
        row = self.domain.get(table, int(number.strip("§")))
        allowed = machine.get(row["status"]) if row else None
        return self.rng.choice(allowed if allowed and self.chance(0.6) else statuses)

    def maybe(self, data, probability, **members):
        """Members that may be given: a value, or how to draw it."""
        for name, value in members.items():
            if self.chance(probability):
                data[name] = value() if callable(value) else value
        return data

    def person(self):
        return self.rng.choice((None, 1, ref(201), ref(202), 7, 8))

    def text(self):
        return self.rng.choice(TEXTS)

    def time(self, first=8, last=20):
        return (f"2026-11-{self.rng.randint(1, 28):02d}T{self.rng.randint(first, last):02d}:"
                f"{self.rng.randint(0, 59):02d}:"
                f"{self.rng.randint(0, 59):02d}{self.rng.choice(('', '.5', '.123456', '.1234567'))}"
                f"{self.rng.choice(('Z', 'Z', '+05:30', '-08:00', '+00:00'))}")

    def assigned(self, data, probability=0.5):
        return self.maybe(data, probability, assigned_person_id=self.person, assigned_group_id=self.person)

    def version(self, made):
        """The one that the command's aggregate has."""
        kind, key = EFFECTS[made["type"]].aggregate(parse(fill(made["data"], 0)))
        row = self.domain.get(ROOTS[kind], key) if ROOTS[kind] and key is not None else None
        return row["version"] if row else 0

    def names_a_child(self):
        """A checkpoint named as if it were a root has no version that means anything."""
        return self.last in CHILDREN_NAMED

    def key(self):
        return {"ticket": "ticket/§1", "jobneed": "jobneed/§11", "behaviour": "behaviour/§101",
                "attendance": "attendance/§u301"}[self.scope]


class ChildrenNamed:
    def __contains__(self, last):
        numbers = "".join(each for each in last[1] if each.isdigit())
        if last[0] in ("job.update_checkpoint", "job.bulk_update_checkpoints") or not numbers:
            return False
        number = int(numbers)
        return CHILDREN[0] <= number < CHILDREN[1] or PLAN_CHILDREN[0] <= number < PLAN_CHILDREN[1]


CHILDREN_NAMED = ChildrenNamed()


# ---- JSON values --------------------------------------------------------------------------------------------

NUMBERS = (0, 1, -1, 7, 2 ** 53 + 1, -2 ** 63, 2 ** 63 - 1, "§n:0.1", "§n:1e2", "§n:1.50", "§n:-0.0",
           "§n:123456789.123456789", "§n:1e-18", "§n:12345678901234567890", "§n:2.5E+3")


def json_value(writer, depth=0):
    rng = writer.rng
    what = rng.random()
    if what < 0.35 or depth > 2:
        return rng.choice(NUMBERS)
    if what < 0.5:
        return rng.choice((True, False, None))
    if what < 0.7:
        return writer.text()
    if what < 0.85:
        return [json_value(writer, depth + 1) for _ in range(rng.randint(0, 3))]
    return json_object(writer, depth + 1)


def json_object(writer, depth=0):
    keys = [key for key in ("n", "log", "a", "b/c", "d~e", "", "visits") if writer.chance(0.3)]
    return {key: json_value(writer, depth) for key in keys}
