"""The way of every command, whatever it does: seen before, readable, the row and its version, then its effect.
"""

import copy
import json
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Optional

from . import changes, rules


class Refused(Exception):
    def __init__(self, reason, *pointers, row=True):
        super().__init__(reason)
        self.reason, self.pointers, self.row = reason, set(pointers), row


class Unchanged(Exception):
    def __init__(self, **metadata):
        super().__init__()
        self.metadata = metadata


def written_once(value):
    """Equal numbers in one spelling."""
    if isinstance(value, dict):
        return {name: written_once(each) for name, each in value.items()}
    if isinstance(value, list):
        return [written_once(each) for each in value]
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return f"number {int(value) if value == int(value) else value.normalize()}"
    return value


@dataclass
class Command:
    id: str
    source: str
    type: str
    data: object
    attributes: dict = field(default_factory=dict)

    @property
    def identity(self):
        return (self.source, self.id)

    @property
    def body(self):
        return (self.type, json.dumps(written_once(self.data), sort_keys=True))


@dataclass
class Answer:
    """The contents that the event of a command must have. A dict or a set that is None: anything."""

    outcome: str
    reason: Optional[str] = None
    operation: Optional[str] = None
    subject: Optional[str] = None
    version: object = None              # (from, to); None: the event says null; ...: anything
    before: Optional[dict] = None       # the root row: its status, person, group
    after: Optional[dict] = None
    also: list = field(default_factory=list)
    pointers: Optional[set] = None      # invalid_data: which members it may name
    metadata: dict = field(default_factory=dict)
    told: object = None                 # of an applied one: changes.Told of its own aggregate
    further: dict = field(default_factory=dict)


def parse(text):
    """JSON as it is written: a number with a point is the decimal that it says."""
    return json.loads(text, parse_float=Decimal)


FIELD_SIZE = 64 * 1024


def size_of(value):
    """How long JSON is in its shortest form, nearly: a number counts as it was written here."""
    return len(json.dumps(value, default=float, separators=(",", ":"), ensure_ascii=False).encode())


def same(left, right):
    """Equal as jsonb compares: 1.0 is 1, true is not."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


ROOTS = {"ticket": "ticket", "jobneed": "jobneed", "job": "job", "attendance": "attendance",
         "face-user": "face_user", "face-model": None, "behaviour": "behaviour_profile"}


class Domain:
    """The rows of one sequence: table -> key -> row. `now` and `actor` are the command's, `event` is what it was
    answered with: ids that the program draws are read from there, and times."""

    def __init__(self, rows=()):
        self.tables = {}
        self.seen = {}
        self.cancelled = set()          # identities that an operator cancelled while they were parked
        self.loaded = {}                # of the command: (table, key) -> the row as it met it, None: it made it
        self.now = self.actor = self.event = None
        for table, row in rows:
            self.put(table, row["id"], copy.deepcopy(row))

    # ---- rows ----

    def table(self, name):
        return self.tables.setdefault(name, {})

    def get(self, name, key):
        row = self.table(name).get(key)
        return self.load(name, key, row) if row is not None else None

    def put(self, name, key, row):
        self.loaded.setdefault((name, key), None)
        self.table(name)[key] = row
        return row

    def where(self, name, **wanted):
        return [self.load(name, row.get("id"), row) for row in self.table(name).values()
                if all(row[column] == value for column, value in wanted.items())]

    def load(self, name, key, row):
        """Notes the row as it is; documents in it are replaced, never changed in place."""
        if name in changes.TOLD and (name, key) not in self.loaded:
            self.loaded[name, key] = dict(row)
        return row

    def root(self, name, key):
        """The row of an aggregate, which a child row is not."""
        row = self.get(name, key)
        return row if row is not None and row.get("parent_id") is None else None

    def touch(self, row, root=True):
        """Every write raises `version` by one and records who and what made it."""
        row["version"] = row.get("version", 0) + 1 if root else row.get("version", 0)
        row["modified_at"], row["modified_by"] = self.now, self.actor
        row.setdefault("created_at", self.now)
        return row

    def draw(self, name, number):
        """An id that the program drew: of no row that is there."""
        if not rules.is_int(number) or self.get(name, number) is not None:
            raise AssertionError(f"the id {number!r} drawn for {name} is not an id, or is in use")
        return number

    # ---- commands ----

    def apply(self, command, event, now):
        """None: it has no event of its own."""
        first = self.seen.get(command.identity)
        if first == command.body:
            return None
        if first is not None:
            return Answer("rejected", "id_reused", version=...)
        self.seen[command.identity] = command.body
        self.event, self.now, self.actor = event, now, command.attributes.get("actor")
        if command.identity in self.cancelled:
            return Answer("rejected", "cancelled", version=...)
        return self.decide(command)

    def decide(self, command):
        from .effects import EFFECTS
        if command.type not in EFFECTS:
            return Answer("rejected", "unknown_type", version=...)
        effect = EFFECTS[command.type]
        pointers = rules.wrong_members(command)
        if not pointers:
            command = replace(command, data=rules.settled_data(command))
            pointers = effect.cross_check(command.data)
        if "expectedversion" in command.attributes and command.type in rules.BULK + rules.COUNTERS:
            pointers = pointers | {"/expectedversion"}
        if pointers:
            return Answer("rejected", "invalid_data", version=None, pointers=pointers)
        kind, key = effect.aggregate(command.data)
        return self.decide_on(command, effect, kind, key)

    def decide_on(self, command, effect, kind, key):
        table = ROOTS.get(kind)
        self.loaded = {}
        row = self.get(table, key) if table and key is not None else None
        before = dict(row) if row is not None else None  # documents in it are replaced, never changed in place
        answer = Answer("rejected", operation=effect.operation(command.data, before),
                        subject=f"{kind}/{key}" if key is not None else None)
        try:
            if row is None and not effect.creates and table and key is not None:
                raise Refused("not_found")
            expected = command.attributes.get("expectedversion")
            if expected is not None and expected != (row["version"] if row else 0):
                raise Refused("stale_object")
            changed = effect.run(self, command.data, command)
        except Refused as refusal:
            answer.reason = refusal.reason
            answer.pointers = refusal.pointers or None
            return self.unmoved(answer, before)
        except Unchanged as same_again:
            answer.outcome, answer.metadata = "unchanged", same_again.metadata
            return self.unmoved(answer, before)
        return self.applied(answer, table, key, before, changed, command)

    @staticmethod
    def unmoved(answer, row):
        answer.version = (row["version"], row["version"]) if row else None
        if row and row.get("parent_id") is not None:
            answer.version = ...  # a child row has no version that means anything
        answer.before = answer.after = row
        return answer

    def applied(self, answer, table, key, before, changed, command):
        answer.outcome = "applied"
        answer.metadata = changed.metadata
        if changed.key is not None:
            key = changed.key
            answer.subject = f"{answer.subject.split('/')[0] if answer.subject else changed.kind}/{key}"
        after = self.get(table, key) if table else None
        answer.before, answer.after = before, dict(after) if after is not None else None
        answer.version = (before["version"] if before else 0, after["version"]) if after else None
        answer.also = sorted(changed.also)
        answer.told, answer.further = changes.tell(self.loaded, lambda name, key: self.table(name).get(key),
                                                   command.type, (table, key))
        answer.operation = self.operation(answer)
        return answer

    @staticmethod
    def operation(answer):
        """By the rows, where the command's name does not say it: a root made, a status, an assignment, else fields."""
        if answer.operation not in ("CREATION", "STATUS_CHANGE", "ASSIGNMENT_CHANGE", "FIELD_UPDATE"):
            return answer.operation
        if answer.before is None and answer.after is not None:
            return "CREATION"
        names = set().union(*(told.members for told in [answer.told, *answer.further.values()]))
        if "status" in names:
            return "STATUS_CHANGE"
        return "ASSIGNMENT_CHANGE" if names & {"assigned_person_id", "assigned_group_id"} else "FIELD_UPDATE"


@dataclass
class Changed:
    """The results of an effect beside the rows: further aggregates (name, from, to), metadata, the key that was drawn."""

    also: list = field(default_factory=list)
    metadata: dict = field(default_factory=dict)
    kind: Optional[str] = None
    key: object = None


class Effect:
    """One command type. `aggregate` tells (kind, key) from the data, key None where it is yet to be drawn."""

    creates = False
    audits = None

    def aggregate(self, data):
        raise NotImplementedError

    def operation(self, _data, _before):
        return self.audits

    def cross_check(self, _data):
        """Pointers of what is wrong between members that are each right."""
        return set()

    def run(self, domain, data, command):
        raise NotImplementedError


def nobody(number):
    """Null and 1 are both nobody."""
    return None if number in (None, 1) else number


def assignment(data):
    """The members that are given: an absent one keeps the value, null and 1 take it away."""
    return {name: nobody(data[name]) for name in ("assigned_person_id", "assigned_group_id") if name in data}


def someone(data):
    """The same where null and 1 are as if not given: in creations and escalations."""
    return {name: value for name, value in assignment(data).items() if value is not None}


def edited(data, columns, clearable):
    """The members of an edit; null clears a nullable one."""
    return {**given(data, *columns), **{name: None for name in clearable if name in data and data[name] is None}}


def given(data, *names):
    return {name: data[name] for name in names if data.get(name) is not None}


def differs(row, changes):
    return any(not same(row.get(name), value) for name, value in changes.items())


def step(machine, present, wanted):
    """True: it moves. To the status it already has: False."""
    if wanted == present:
        return False
    if wanted not in machine.get(present, ()):
        raise Refused("invalid_transition")
    return True
