"""The parts of a scenario.

Every scenario works on ids of its own: `b` is the first of a thousand that nobody else uses, so that any number of them,
and any number of copies of one, run in one database. In SQL it is %(b)s; %(uuid)s is the attendance record of that
number, %(n)s the number of a connection of the old pattern.
"""

import uuid
from dataclasses import dataclass, field
from typing import Callable, Optional

SPAN = 1000  # ids of one copy of a scenario


ORDERED = -1  # as a message's partition: it goes under its own key, since its order is what is shown


def attendance_uuid(number):
    return str(uuid.UUID(int=number))


def ordered(messages):
    return [message.at(ORDERED) for message in messages]


@dataclass(frozen=True)
class Step:
    """A part of the old pattern: read, compute in the program, write, each statement by itself. `compute` gets the row
    and the number of the connection, and returns the parameters of the writes, or None: nothing to do."""

    read: str
    compute: Callable
    writes: tuple
    before: tuple = ()  # statements around the read: the lock that was let go too early
    after: tuple = ()


@dataclass(frozen=True)
class Old:
    """`steps(n)`: what connection n does, all of them at once. Where they are more than PostgreSQL takes, one does the
    work of several."""

    connections: int
    steps: Callable


@dataclass(frozen=True)
class Hold:
    """Somebody else holds what the commands want when they come: a row in PostgreSQL (a statement that locks it), or the
    Redis lock of an aggregate."""

    row: str = ""
    redis: str = ""
    meanwhile: str = ""      # this becomes true while it is held
    for_good: bool = False   # Redis: held until all is done; the commands go on after their longest wait


@dataclass(frozen=True)
class Scenario:
    name: str
    part: str
    setup: Callable                                # b -> commands that are answered before the storm
    storm: Callable                                # b -> commands that come at once
    expected: dict                                 # fact -> number
    measure: dict                                  # fact -> SQL that counts it
    old: Old
    audited: dict = field(default_factory=dict)    # facts that the old system had nothing to count by
    prepare: tuple = ()                            # rows that no command makes
    hold: Optional[Hold] = None
    representative: bool = False                   # of the layers, in every run of the tests

    @property
    def facts(self):
        return {**self.measure, **self.audited}


# ---- old patterns that many share ------------------------------------------------------------------------

def each(*steps):
    """All connections do the same."""
    return lambda n: list(steps)


def plus_one(row, _n):
    return {"value": row[0] + 1}


def nothing(_row, _n):
    return {}


def if_none(row, _n):
    """Look-up, then insert."""
    return {} if row[0] == 0 else None


def when(status):
    """Look-up of a status, then the write that it allows."""
    return lambda row, _n: {} if row[0] == status else None


RAISE_VERSION = Step("SELECT version FROM interlock.jobneed WHERE id = %(b)s", plus_one,
                     ("UPDATE interlock.jobneed SET version = %(value)s WHERE id = %(b)s",))
LEVEL = Step("SELECT level FROM interlock.ticket WHERE id = %(b)s", plus_one,
             ("UPDATE interlock.ticket SET level = %(value)s WHERE id = %(b)s",))
HISTORY = Step(
    "SELECT history_count FROM interlock.ticket WHERE id = %(b)s", plus_one,
    ("INSERT INTO interlock.ticket_history (ticket_id, seq, occurred_at, action) VALUES (%(b)s, %(value)s, now(), 'note')",
     "UPDATE interlock.ticket SET history_count = %(value)s WHERE id = %(b)s"))


def on(step, offset):
    """The same on the aggregate `offset` ids further."""
    def moved(sql):
        return sql.replace("%(b)s", f"(%(b)s + {offset})")
    return Step(moved(step.read), step.compute, tuple(map(moved, step.writes)), tuple(map(moved, step.before)),
                tuple(map(moved, step.after)))


def document(change, table="jobneed", column="other_info", key="%(b)s"):
    """Read a JSON field, change it in the program, write it back. `change(document, n)` changes it in place."""
    def compute(row, n):
        change(row[0], n)
        return {"document": row[0]}
    return Step(f"SELECT {column} FROM interlock.{table} WHERE id = {key}", compute,
                (f"UPDATE interlock.{table} SET {column} = %(document)s WHERE id = {key}",))


# ---- facts that many share -----------------------------------------------------------------------------------

ENTRIES = "SELECT count(DISTINCT seq) FROM interlock.ticket_history WHERE ticket_id = %(b)s"
LEVELS = "SELECT coalesce(sum(level), 0) FROM interlock.ticket WHERE id BETWEEN %(b)s AND %(b)s + 99"
TICKETS_OF_JOB = "SELECT count(*) FROM interlock.ticket WHERE jobneed_id = %(b)s"
VERSIONS = "SELECT version FROM interlock.jobneed WHERE id = %(b)s"


def in_status(status, table="jobneed"):
    return f"SELECT count(*) FROM interlock.{table} WHERE id = %(b)s AND status = '{status}'"


def children_in_status(status):
    return f"SELECT count(*) FROM interlock.jobneed WHERE parent_id = %(b)s AND status = '{status}'"


def keys_of(table="jobneed", column="other_info", key="%(b)s"):
    return (f"SELECT count(*) FROM interlock.{table}, jsonb_object_keys({column}) k WHERE id = {key} "
            "AND starts_with(k, 'k')")


def applied(type_):
    """Commands of a type that changed the aggregates of a job or ticket."""
    return ("SELECT count(*) FROM interlock.audit_event WHERE aggregate IN ('jobneed/' || %(b)s, 'ticket/' || %(b)s) "
            f"AND command_type = '{type_}' AND outcome = 'applied'")
