"""Random sequences of commands. A sequence depends on its seed and number alone."""

import copy
import random
from dataclasses import dataclass, field

from .model import Domain
from .model.domain import Command, parse
from .seeds import SEED_TIME, rows
from .tables import seed_row
from .templates import fill
from .writer import SCOPES, Writer
from .writers import WRITERS

LONGEST = 40
SOURCE = "/property"
ACTORS = (None, "user/9", "user/10", "scheduler")


@dataclass
class Sequence:
    seed: object
    number: int
    scope: str
    key: str                                       # Kafka key of all its commands: they come in order
    rows: list = field(default_factory=list)       # (table, row template): there before the first command
    commands: list = field(default_factory=list)   # {"id", "type", "data", "attributes"} templates

    def only(self, places):
        return Sequence(self.seed, self.number, self.scope, self.key, self.rows, [self.commands[i] for i in places])


class FakeEvent:
    """The ids that the program would draw; numbers that no place of a sequence has."""

    def __init__(self, first):
        self.subject = f"drawn/{first}"
        self.data = {"metadata": {"jobneed_id": first, "job_id": first, "embedding_id": first,
                                  "checkpoint_ids": list(range(first + 1, first + 20))},
                     "also": [{"aggregate": f"ticket/{first}"}]}


class Generator:
    """Knows from the model how far the rows have come, so that commands are likely to find something to do. Whether the
    model is right does not matter here."""

    def __init__(self, seed, number):
        self.seed, self.number = seed, number
        self.random = random.Random(f"{seed}/{number}")
        self.domain, self.drawn = None, 1_000_000

    def chance(self, probability):
        return self.random.random() < probability

    def make(self):
        rng = self.random
        scope = rng.choices(list(SCOPES), [scope.weight for scope in SCOPES.values()])[0]
        writer = Writer(rng, scope)
        sequence = Sequence(self.seed, self.number, scope, writer.key() if writer.single else "§0", rows(writer))
        self.domain = writer.domain = Domain([(table, seed_row(table, row))
                                           for table, row in parse(fill(sequence.rows, 0))])
        for _ in range(rng.randint(3, LONGEST)):
            sequence.commands.append(self.command(writer, sequence.commands))
            self.follow(sequence.commands[-1])
        return sequence

    def follow(self, made):
        self.drawn += 20
        command = Command(made["id"], SOURCE, made["type"], parse(fill(made["data"], 0)), made["attributes"])
        self.domain.apply(command, FakeEvent(self.drawn), SEED_TIME)

    def command(self, writer, before):
        if before and self.chance(0.07):
            return copy.deepcopy(self.random.choice(before))          # delivered again
        type_, data = WRITERS[self.random.choice(SCOPES[writer.scope].writers)](writer)
        writer.last = (type_, str(data.get("jobneed_id") or data.get("parent_id") or data.get("aggregate")))
        made = {"id": f"c{len(before)}", "type": type_, "data": data, "attributes": {}}
        made["attributes"] = self.attributes(writer, made)
        if self.chance(0.08):
            made["data"] = mutate(self.random, made["data"])
        if self.chance(0.01):
            made["type"] = "ticket.explode"
        if before and self.chance(0.02):
            made["id"] = self.random.choice(before)["id"]             # another command under a name in use
        return made

    def attributes(self, writer, made):
        found = {}
        actor = self.random.choice(ACTORS)
        if actor is not None:
            found["actor"] = actor
        if self.chance(0.2) and not writer.names_a_child():
            found["expectedversion"] = writer.version(made) if self.chance(0.7) else self.random.randint(0, 9)
        if self.chance(0.3):
            found["correlationid"] = f"c-{self.random.randint(1, 99)}"
        return found


# Values that are wrong nearly everywhere, and an id nowhere: ids of other sequences must not be met.
STRANGE = (None, True, False, -1, 0, 2 ** 63, 1.5, -0.5, "", "x", "NEW", "2026-11-24", "2026-02-30T00:00:00Z",
           "2026-11-24T09:00:00Z", "2026-11-24t09:00:00.25z", "2026-11-24 09:00:00Z", "2026-11-24T09:00:00+24:00",
           "2026-11-24T09:00:60Z", "2026-12-31T23:59:60Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z",
           "2026-11-24T09:00:00.Z", "2026-11-24T09:00Z", [], {}, ["a"], [None], {"a": 0}, "é" * 70,
           "y" * 20000, "§n:1e300", "§n:0.0")


def places_of(value, path=()):
    if isinstance(value, dict):
        for key, each in value.items():
            yield path + (key,)
            yield from places_of(each, path + (key,))
    elif isinstance(value, list) and len(value) < 50:
        for index, each in enumerate(value):
            yield path + (index,)
            yield from places_of(each, path + (index,))


def mutate(rng, data):
    """One thing about it becomes another, is missing, or is too much."""
    data = copy.deepcopy(data)
    path = rng.choice(sorted(places_of(data), key=str) or [()])
    if not path:
        return data
    holder = data
    for step in path[:-1]:
        holder = holder[step]
    what = rng.random()
    if what < 0.25 and isinstance(holder, dict):
        del holder[path[-1]]
    elif what < 0.4 and isinstance(holder, dict):
        holder[rng.choice(("surplus", "Status", "a/b~c", ""))] = rng.choice(STRANGE)
    else:
        holder[path[-1]] = rng.choice(STRANGE)
    return data


def sequences(seed, first, count):
    return [Generator(seed, number).make() for number in range(first, first + count)]
