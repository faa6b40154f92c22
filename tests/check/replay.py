"""I2: every aggregate is what the commands make of it, applied once each, in the order of its versions.

The commands are run again through the model of tests/property, and every event and every row is compared with what
the model says. Events come in an order that keeps the versions of each aggregate; between aggregates, in the order of
their times. That order is right for all rows that commands lock. Rows that they look up without a lock (an embedding,
a job, who is assigned to a geofence) they may have seen a moment earlier; and what no command writes may have been
changed by hand. There either answer is right: `may_have_seen_otherwise`. Facts that cannot be known are not judged, and
neither is anything that depends on them: `open`.
"""

import heapq
from collections import defaultdict

from property.compare import COMPARED, DERIVED, Mismatch, compare_event, equal
from property.model import Domain
from property.model.rules import COMMANDS, COUNTERS, parse_time
from property.model.domain import Command

from .beginnings import begin, key_of, owner_of
from .violation import About, Violation

# Refusals that are about the message, the server or an operator, and not about the row it names.
NOT_THE_ROWS = ("id_reused", "too_large", "cancelled")
ATTRIBUTES = ("actor", "expectedversion")
INDEXES = {"jobneed": ("parent_id",), "job": ("parent_id", "identifier"), "face_embedding": ("user_id",),
           "ticket": ("jobneed_id",), "geofence_vertex": ("geofence_id",), "shift": ("site_id",),
           "escalation_matrix": ("site_id",)}
ROOTS = {"face-user": "face_user", "behaviour": "behaviour_profile"}
PLACES = ("geofence", "geofence_vertex", "shift")


class Rows(dict):
    """A table, found by the columns that never change."""

    def __init__(self, columns):
        super().__init__()
        self.indexes = {column: defaultdict(dict) for column in columns}

    def __setitem__(self, key, row):
        super().__setitem__(key, row)
        for column, index in self.indexes.items():
            index[row.get(column)][key] = row

    def __delitem__(self, key):
        for column, index in self.indexes.items():
            index[self[key].get(column)].pop(key)
        super().__delitem__(key)

    def like(self, wanted):
        for column, index in self.indexes.items():
            if column in wanted:
                return list(index.get(wanted[column], {}).values())
        return list(self.values())


class LargeDomain(Domain):
    def __init__(self, rows):
        super().__init__()
        for table, row in rows:
            self.put(table, key_of(table, row), dict(row))

    def table(self, name):
        if name not in self.tables:
            self.tables[name] = Rows(INDEXES.get(name, ()))
        return self.tables[name]

    def where(self, name, **wanted):
        return [self.load(name, row.get("id"), row) for row in self.table(name).like(wanted)
                if all(row[column] == value for column, value in wanted.items())]

    def version(self, aggregate):
        """0: it is not there."""
        kind, _, key = aggregate.partition("/")
        row = self.get(ROOTS.get(kind, kind), key if kind == "attendance" else int(key))
        return row["version"] if row is not None else 0


def attributes_of(command):
    """In binary mode all of them are texts."""
    found = {name: command.attributes[name] for name in ATTRIBUTES if command.attributes.get(name) is not None}
    version = found.get("expectedversion")
    if isinstance(version, str) and version.isascii() and version.isdigit():
        found["expectedversion"] = int(version)
    return found


# ---- the order -------------------------------------------------------------------------------------------------

def steps_of(event):
    """[(aggregate, version before, version after)] of what it changed, or found as it was."""
    if event.outcome == "applied":
        return [(aggregate, start or 0, end) for aggregate, start, end in event.changes()]
    version = event.data.get("version")
    if event.subject is None or event.data["command"]["type"] in COUNTERS:
        return []
    if version and version.get("to") is not None:
        return [(event.subject, version["to"], version["to"])]
    return [(event.subject, 0, 0)] if event.reason == "not_found" else []


def is_of_postgresql(event):
    """Refused by a constraint or a trigger of the database, which the model does not have."""
    return (event.reason or "").startswith("constraint:") or \
        event.reason == "invalid_data" and "sqlstate" in (event.data.get("metadata") or {})


def in_order(events, times):
    """So that each comes behind what made the versions it found."""
    steps = defaultdict(list)
    for number, event in enumerate(events):
        for aggregate, start, end in steps_of(event):
            steps[aggregate].append((start, end, times[number], number))
    after, before = defaultdict(list), [0] * len(events)
    for chain in steps.values():
        chain.sort()
        for (*_, one), (*_, next_) in zip(chain, chain[1:]):
            after[one].append(next_)
            before[next_] += 1
    ready = [(times[number], number) for number, count in enumerate(before) if count == 0]
    heapq.heapify(ready)
    ordered, left = [], set(range(len(events)))
    while ready:
        number = heapq.heappop(ready)[1]
        ordered.append(number)
        left.discard(number)
        for next_ in after[number]:
            before[next_] -= 1
            if before[next_] == 0:
                heapq.heappush(ready, (times[next_], next_))
    return ordered + sorted(left, key=lambda number: times[number])  # those left run in a circle, which I4 reports


# ---- the replay ------------------------------------------------------------------------------------------------

class Replay:
    def __init__(self, evidence, commands):
        self.evidence, self.about = evidence, About(evidence)
        self.commands = {}
        for command in commands:
            self.commands.setdefault(command.identity, []).append(command)
        self.events = [event for event in evidence.events if event.reason not in NOT_THE_ROWS]
        self.times = {id(event): self.time_of(event) for event in evidence.events}
        rows, self.open = begin(evidence, lambda event: self.times[id(event)])
        self.domain = LargeDomain(rows)
        self.touched = defaultdict(list)   # aggregate -> [(event, its root row after)]
        self.uncounted = set()             # (table, key) of counters that an event which is not judged may have raised
        self.seen_at = {}                  # (table, key) of what is looked up -> when its last change was published

    @staticmethod
    def time_of(event):
        return parse_time(event.body.get("time")) or event.published_at or 0

    def command_of(self, event):
        """The message at the position where it was decided, else any of its name and type."""
        row = self.about.rows.get(event.event_id)
        sent = [each for each in self.commands.get(event.identity, [])
                if each.type == event.data["command"]["type"]]
        place = (row["topic"], row["partition"], row["offset"]) if row else None
        return next((each for each in sent if each.record.position == place), sent[0] if sent else None)

    def violations(self):
        times = [self.times[id(event)] for event in self.events]
        for number in in_order(self.events, times):
            event = self.events[number]
            why = self.judge(event)
            if why is not None:
                yield self.about.event("I2", why, event)
        yield from self.compare()

    def judge(self, event):
        """Why it cannot be right, or None."""
        steps, command = steps_of(event), self.command_of(event)
        if command is None or not self.is_known(event, steps):
            return self.give_up(event, command, steps)  # where something is wrong with it, I1 or I4 says so
        if is_of_postgresql(event) or self.is_of_the_envelope(event):
            return None
        message = Command(command.id, command.source, command.type, command.data, attributes_of(command))
        self.domain.event, self.domain.actor = event, message.attributes.get("actor")
        self.domain.now = self.times[id(event)]
        try:
            answer = self.domain.decide(message)
            self.compare_answer(message, answer, event)
        except (Mismatch, AssertionError) as mismatch:
            self.give_up(event, command, steps)
            return None if self.may_have_seen_otherwise(event, command) else f"{command.type}: {mismatch}"
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self.give_up(event, command, steps)
            return f"{command.type}: its event does not tell what it should ({error!r})"
        for aggregate, _, _ in steps if event.outcome == "applied" else []:
            self.touched[aggregate].append((event, answer.after if aggregate == event.subject else None))
        if event.outcome == "applied":
            self.note(event, command)
        return None

    def is_known(self, event, steps):
        names = {aggregate for aggregate, _, _ in steps} | ({event.subject} - {None})
        if names & self.open:
            return False
        if event.outcome != "applied" and event.reason == "not_found" and not event.data.get("version"):
            # It was not there, and no command made it later: somebody else did, if it is there now.
            return all(self.domain.version(name) == 0 for name, _, _ in steps)
        return all(self.domain.version(aggregate) == start for aggregate, start, _ in steps)

    def give_up(self, event, command, steps):
        if event.outcome == "applied" or not event.data.get("version"):
            self.open |= {aggregate for aggregate, start, end in steps if start != end}
        data = command.data if command is not None else None
        if event.data["command"]["type"] in COUNTERS and isinstance(data, dict):
            self.uncounted |= {("face_model", data.get("model_id")),
                               ("face_embedding_counter", data.get("embedding_id")),
                               ("face_verification_log", data.get("verification_id"))}

    def compare_answer(self, message, answer, event):
        if event.reason == answer.reason == "invalid_data":
            answer.pointers = None  # of several faults either may be named
        answer.told = None  # what an event tells of a change is compared in tests/property: here the rows are judged
        compare_event(event.outcome, message, answer, event)

    @staticmethod
    def is_of_the_envelope(event):
        """Refused for an attribute that the model does not read."""
        if event.reason != "invalid_data":
            return False
        pointer = (event.data.get("metadata") or {}).get("parameter")
        return isinstance(pointer, str) and pointer.count("/") == 1 and \
            pointer[1:] not in COMMANDS.get(event.data["command"]["type"], {})

    # ---- what is looked up ----

    def note(self, event, command):
        """When a change of what others look up was sure to be seen: its event was out."""
        metadata = event.data.get("metadata") or {}
        if command.type.startswith("job.save_"):
            self.seen_at["job", metadata.get("job_id")] = event.published_at
            row = self.domain.get("job", metadata.get("job_id")) or {}
            self.seen_at["assigned", row.get("person_id")] = event.published_at
        elif command.type in ("face.add_embedding", "face.remove_embedding"):
            self.seen_at["face_embedding", metadata.get("embedding_id")] = event.published_at
        elif command.type == "attendance.record_face_result" and self.may_have_seen_otherwise(event, command):
            self.open.add(event.subject)

    def may_have_seen_otherwise(self, event, command):
        data = command.data if isinstance(command.data, dict) else {}
        if self.evidence.before is None and (event.subject or "").startswith("job/") and \
                event.subject not in self.touched and self.domain.version(event.subject) == 0:
            return True  # a child that was there before and is gone: commands remove them
        if command.type == "attendance.record_face_result":
            return self.was_near("assigned", data.get("person_id"), command) or \
                any(self.was_written_since(table, None, event) for table in PLACES)
        if command.type == "ticket.escalate":
            return self.was_written_since("escalation_matrix", None, event)
        if command.type == "job.create":
            return self.was_near("job", data.get("job_id"), command) or \
                self.was_written_since("job", data.get("job_id"), event)
        if command.type.startswith("face."):
            return self.was_near("face_embedding", data.get("embedding_id"), command) or \
                self.was_written_since("face_model", data.get("model_id"), event) or self.is_of_an_open_user(data)
        return False

    def was_near(self, table, key, command):
        """Somebody else's command changed it, and its event was not out yet when this command was sent."""
        if (table, key) not in self.seen_at:
            return False
        published, sent = self.seen_at[table, key], command.record.at
        return published is None or sent is None or published >= sent

    def was_written_since(self, table, key, event):
        """By the numbers of transactions, which rise: nobody writes down when rows were changed by hand."""
        row, written = self.about.rows.get(event.event_id) or {}, self.evidence.written.get((table, key))
        return written is not None and row.get("transaction") is not None and written > row["transaction"]

    def is_of_an_open_user(self, data):
        row = self.domain.get("face_embedding", data.get("embedding_id"))
        return row is not None and owner_of("face_embedding", row) in self.open

    # ---- the rows ----

    def compare(self):
        found = {}
        for table in COMPARED:
            for row in self.evidence.tables.get(table, []):
                found[table, key_of(table, row)] = row
        for table in COMPARED:
            for key, row in self.domain.table(table).items():
                there = found.pop((table, key), None)
                if self.is_judged(table, key, row):
                    yield from self.compare_row(table, key, row, there)
        for (table, key), row in found.items():
            if self.is_judged(table, key, row, surplus=True):
                yield self.of_row(table, row, f"{name_of(table, key)}: a row that no command made: {row}")

    def is_judged(self, table, key, row, surplus=False):
        owner = owner_of(table, row)
        if owner is None:
            return (table, key) not in self.uncounted and (not surplus or self.evidence.before is not None)
        return owner not in self.open and (owner in self.touched or self.evidence.before is not None)

    def compare_row(self, table, key, row, there):
        if there is None:
            yield self.of_row(table, row, f"{name_of(table, key)} is missing; the replay makes it {row}")
            return
        for column in list(there) + [name for name in row if name not in there]:
            wanted, value = row.get(column), there.get(column)
            if wanted is value or (wanted == value and type(wanted) is type(value) not in (list, dict)):
                continue
            if column not in DERIVED and not equal(column, wanted, value):
                yield self.of_row(table, row, f"{name_of(table, key)}.{column} is {value!r}; the replay makes it "
                                              f"{wanted!r}", column, wanted)

    def of_row(self, table, row, text, column=None, wanted=None):
        """About the command that left it so: of a root's column the one that set it, else the last one."""
        owner = owner_of(table, row)
        if not self.touched.get(owner):
            return Violation("I2", text, aggregate=owner)
        event = self.touched[owner][-1][0]
        for earlier, after in reversed(self.touched[owner]):
            if after is None or after.get("id") != row.get("id") or after.get(column) != wanted:
                break
            event = earlier
        return self.about.event("I2", text, event, owner)


def name_of(table, key):
    return f"{table} {key}" if isinstance(key, tuple) else f"{table}/{key}"
