"""What sensible and half-sensible commands look like, by aggregate. Everything is drawn from small pools, so that
commands meet."""

from dataclasses import dataclass

from .model import rules, tickets
from .model.effects import EFFECTS
from .model.world import ROOTS, parse

TICKETS, JOBNEEDS, CHILDREN, JOBS, PLAN_CHILDREN = (1, 6), (11, 14), (20, 44), (61, 64), (70, 84)
USERS, MODELS, EMBEDDINGS, VERIFICATIONS = (101, 104), (111, 113), (120, 134), (140, 170)
PERSONS, SHIFTS, FENCES, RECORDS = (201, 204), (221, 226), (231, 235), (301, 304)
ASSIGNED = (85, 91)           # geofence assignments that no command names
UNKNOWN = 999
SEED_TIME = 1_793_000_000_000_000
TABLES = {TICKETS: "ticket", JOBNEEDS: "jobneed"}
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


def ref(number):
    return f"§{number}"


class Writer:
    def __init__(self, rng, scope):
        self.rng, self.scope = rng, scope
        self.single = scope in ("ticket", "jobneed", "behaviour", "attendance") and rng.random() < 0.5
        self.last = self.world = None

    # ---- drawing ----

    def chance(self, probability):
        return self.rng.random() < probability

    def of(self, pool):
        """An id of the pool; now and then one that is nowhere."""
        if self.single and pool in (TICKETS, JOBNEEDS, USERS, RECORDS):
            return pool[0]
        there = [row["id"] for row in self.there(TABLES.get(pool)) if row["id"] in range(*pool)]
        if there and self.chance(0.6):
            return self.rng.choice(there)
        return UNKNOWN if self.chance(0.02) else self.rng.randrange(*pool)

    def there(self, table, **columns):
        """The rows that there are by now, of ids that the sequence has places for."""
        return [row for row in self.world.where(table, **columns) if row["id"] < UNKNOWN] if self.world and table else []

    def status_after(self, machine, statuses, table, number):
        """Mostly one that the machine allows."""
        row = self.world.get(table, int(number.strip("§")))
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
        return (f"2026-11-{self.rng.randint(1, 28):02d}T{self.rng.randint(first, last):02d}:{self.rng.randint(0, 59):02d}:"
                f"{self.rng.randint(0, 59):02d}{self.rng.choice(('', '.5', '.123456', '.1234567'))}"
                f"{self.rng.choice(('Z', 'Z', '+05:30', '-08:00', '+00:00'))}")

    def assigned(self, data, probability=0.5):
        return self.maybe(data, probability, assigned_person_id=self.person, assigned_group_id=self.person)

    def version(self, made):
        """The one that the command's aggregate has."""
        from .sequences import fill
        kind, key = EFFECTS[made["type"]].aggregate(parse(fill(made["data"], 0)))
        row = self.world.get(ROOTS[kind], key) if ROOTS[kind] and key is not None else None
        return row["version"] if row else 0

    def names_a_child(self):
        """A checkpoint named as if it were a root has no version that means anything."""
        return self.last in CHILDREN_NAMED

    # ---- commands and rows ----

    def key(self):
        return {"ticket": "ticket/§1", "jobneed": "jobneed/§11", "behaviour": "behaviour/§101",
                "attendance": "attendance/§u301"}[self.scope]

    def command(self):
        from .writers_more import WRITERS
        type_, data = WRITERS[self.rng.choice(SCOPES[self.scope].writers)](self)
        self.last = (type_, str(data.get("jobneed_id") or data.get("parent_id") or data.get("aggregate")))
        return type_, data

    def rows(self):
        from .writers_more import rows
        return rows(self)


class ChildrenNamed:
    def __contains__(self, last):
        numbers = "".join(each for each in last[1] if each.isdigit())
        if last[0] in ("job.update_checkpoint", "job.bulk_update_checkpoints") or not numbers:
            return False
        number = int(numbers)
        return CHILDREN[0] <= number < CHILDREN[1] or PLAN_CHILDREN[0] <= number < PLAN_CHILDREN[1]


CHILDREN_NAMED = ChildrenNamed()


# ---- tickets ------------------------------------------------------------------------------------------------

def ticket(writer):
    rng, number = writer.rng, ref(writer.of(TICKETS))
    kind = rng.choice(("create", "transition", "transition", "transition", "assign", "escalate", "escalate",
                       "append_history", "bulk_update"))
    return f"ticket.{kind}", TICKET_DATA[kind](writer, number)


def ticket_create(writer, number):
    data = {"priority": writer.rng.choice(rules.PRIORITIES)}
    if writer.chance(0.9):
        data["ticket_id"] = number
    writer.maybe(data, 0.7, category=CATEGORY, site_id=ref(211), client_id=CLIENT)
    writer.maybe(data, 0.4, asset_id=writer.rng.randint(1, 9), comments=writer.text,
                 source=writer.rng.choice(rules.SOURCES))
    return writer.assigned(data, 0.4)


def ticket_transition(writer, number):
    status = writer.status_after(tickets.MACHINE, rules.TICKET_STATUSES, "ticket", number)
    return writer.maybe({"ticket_id": number, "status": status}, 0.3, comments=writer.text)


def ticket_escalate(writer, number):
    data = writer.assigned({"ticket_id": number}, 0.25)
    return writer.maybe(data, 0.2, level=writer.rng.choice((0, 1, 2, 3, rules.INT32, None)))


def ticket_append(writer, number):
    entry = {"action": writer.rng.choice(("note", "call", "é"))}
    writer.maybe(entry, 0.5, people_id=writer.person, when=writer.time, who=writer.text,
                 details=lambda: json_value(writer), previous_state=lambda: json_value(writer))
    return {"ticket_id": number, "entry": entry}


def ticket_bulk(writer, number):
    numbers = [number] + ([] if writer.single else [ref(each) for each in range(*TICKETS)
                                                    if writer.chance(0.5) and ref(each) != number])
    writer.rng.shuffle(numbers)
    there = {ref(row["id"]) for row in writer.there("ticket")}
    if writer.chance(0.7) and there & set(numbers):
        numbers = [each for each in numbers if each in there]
    data = {"ticket_ids": numbers}
    status = writer.status_after(tickets.MACHINE, rules.TICKET_STATUSES, "ticket", numbers[0])
    writer.maybe(data, 0.4, status=status, comments=writer.text,
                 priority=writer.rng.choice(rules.PRIORITIES))
    return writer.assigned(data, 0.3)


TICKET_DATA = {"create": ticket_create, "transition": ticket_transition, "escalate": ticket_escalate,
               "assign": lambda writer, number: writer.assigned({"ticket_id": number}, 0.7),
               "append_history": ticket_append, "bulk_update": ticket_bulk}


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
