"""The invariants I1 to I4: what must hold whatever happened. Each check yields sentences about what does not.

  I1  nothing lost: every distinct command has exactly one inbox row and one audit event
  I2  nothing doubled: the rows are what a replay of the events makes of them; an event id is there once
  I3  atomic: the events on the topic are the audit rows, no more and no fewer; offsets stand at the end
  I4  order: versions of an aggregate are gapless; its events and its commands came in order
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, replace

from . import model
from .envelope import read_all

# Refusals that are about the message and not about the row it names.
NOT_THE_ROWS = {"invalid_data", "id_reused", "too_large", "unknown_type"}


@dataclass
class Options:
    ordered: bool = True   # every command came under its aggregate's key: topic order must hold
    drained: bool = True   # the group has reached the end of the topics


@dataclass
class Violation:
    invariant: str
    text: str

    def __str__(self):
        return f"{self.invariant}: {self.text}"


def check(evidence, options=None):
    """Every violation, in the order of the invariants."""
    options = options or Options()
    commands, unreadable = read_all(evidence.records)
    found = []
    found += [Violation("I1", text) for text in nothing_lost(evidence, commands, unreadable)]
    found += [Violation("I2", text) for text in nothing_doubled(evidence, commands)]
    found += [Violation("I3", text) for text in atomic(evidence, options)]
    found += [Violation("I4", text) for text in in_order(evidence, commands, options)]
    return found


# ---- I1 ----------------------------------------------------------------------------------------

def nothing_lost(evidence, commands, unreadable):
    inbox = Counter(row["identity"] for row in evidence.inbox)
    answers = defaultdict(list)
    for event in evidence.events:
        answers[event.identity].append(event)
    bodies = defaultdict(list)
    for command in commands:
        bodies[command.identity].append(command)
    for identity, sent in bodies.items():
        rows = inbox.pop(sent[0].identity_uuid, 0)
        if rows != 1:
            yield f"command {identity} has {rows} inbox rows"
        yield from one_answer(identity, sent, answers.pop(identity, []))
    for identity in inbox:
        yield f"inbox row {identity} belongs to no command"
    for identity in answers:
        yield f"an event answers command {identity}, which nobody sent"
    if len(unreadable) != len({position(letter) for letter in evidence.dead_letters}):
        yield f"{len(unreadable)} unreadable messages, but {len(evidence.dead_letters)} dead letters"
    if len(unreadable) != evidence.dead_rows:
        yield f"{len(unreadable)} unreadable messages, but {evidence.dead_rows} dead letter rows"


def one_answer(identity, sent, events):
    """One event for the command; one more for each position at which the identity came with another body."""
    real = [event for event in events if event.reason != "id_reused"]
    reused = len(events) - len(real)
    if len(real) != 1:
        yield f"command {identity} has {len(real)} events"
    by_body = Counter(command.body for command in sent)
    possible = {len(sent) - count for count in by_body.values()}
    if reused not in possible:
        yield f"command {identity} was refused {reused} times as id_reused; sent with bodies {list(by_body.values())}"


def position(letter):
    return tuple((letter.header(f"__dlq.errors.{name}") or b"").decode() for name in ("topic", "partition", "offset"))


# ---- I2 ----------------------------------------------------------------------------------------

def nothing_doubled(evidence, commands):
    for event_id, times in Counter(event.event_id for event in evidence.events).items():
        if times != 1:
            yield f"event {event_id} is on the topic {times} times"
    places = Counter(position(letter) for letter in evidence.dead_letters)
    for place, times in places.items():
        if times != 1:
            yield f"the dead letter of {place} is on the topic {times} times"
    yield from Replay(evidence, commands).violations()


def with_drawn_id(command, event):
    """The embedding's id, where the command leaves it to be drawn, is what the event says."""
    if command.type != "face.add_embedding" or not isinstance(command.data, dict) or command.data.get("embedding_id"):
        return command
    drawn = (event.data.get("metadata") or {}).get("embedding_id", 0)
    return replace(command, data={**command.data, "embedding_id": drawn})


class Replay:
    """Applies every event's command to a model of its aggregates, in the order of versions, and compares."""

    def __init__(self, evidence, commands):
        self.evidence = evidence
        self.commands = {}
        for command in commands:
            self.commands.setdefault(command.identity, []).append(command)
        self.states = defaultdict(dict)  # aggregate -> version -> state after it
        self.lookups = {"matrix": {(row["site_id"], row["category"], row["client_id"], row["level"]): row
                                   for row in evidence.tables.get("escalation_matrix", [])},
                        "jobs": {row["id"] for row in evidence.tables.get("job", [])},
                        "models": {row["id"] for row in evidence.tables.get("face_model", [])}}

    def command_of(self, event):
        for command in self.commands.get(event.identity, []):
            if command.type == event.data["command"]["type"]:
                return with_drawn_id(command, event)
        return None

    def violations(self):
        changes = defaultdict(list)
        for event in self.evidence.events:
            for aggregate, start, end in event.changes():
                changes[aggregate].append((end, start, event))
        for aggregate in sorted(changes):
            yield from self.replay(aggregate, sorted(changes[aggregate], key=lambda change: change[0]))
        for event in self.evidence.events:
            if event.outcome != "applied" and event.reason not in NOT_THE_ROWS:
                yield from self.judge_refusal(event)
        yield from self.compare_tickets()
        yield from self.compare_jobneeds()
        yield from self.compare_faces()
        yield from self.compare_counters()

    def replay(self, aggregate, changes):
        states = self.states[aggregate]
        states[0] = None
        for end, start, event in changes:
            if (start or 0) not in states:
                return  # rows that were there before the first command, or a gap, which I4 reports
            before, command = states[start or 0], self.command_of(event)
            if command is None:
                return  # I1 reports it
            if command.type not in model.EFFECTS:
                yield f"{aggregate} was changed by {command.type}, which changes no aggregate"
                return
            if before is None and command.type == "job.autoclose":
                states[end] = model.system_ticket()
                continue
            results = model.effect(command, before, self.lookups)
            right = [state for outcome, _, state in results if outcome == "applied"]
            if not right:
                yield (f"{aggregate} {start}->{end}: {command.type} {command.identity} was applied; "
                       f"the model says {[result[:2] for result in results]}")
                return
            states[end] = dict(right[0], version=end)

    def judge_refusal(self, event):
        command = self.command_of(event)
        version = event.data.get("version")
        if command is None or command.type not in model.EFFECTS or command.type == "ticket.bulk_update":
            return
        if (event.reason or "").startswith("constraint:"):
            return
        states = self.states.get(event.subject, {0: None})
        at = version["to"] if version and version.get("to") is not None else 0
        if at not in states or (at == 0 and not (event.reason == "not_found")):
            return
        results = model.effect(command, states[at], self.lookups)
        if (event.outcome, event.reason) not in [result[:2] for result in results]:
            yield (f"{event.subject} at version {at}: {command.type} {command.identity} was {event.outcome} "
                   f"{event.reason or ''}; the model says {[result[:2] for result in results]}")

    def final(self, kind):
        for aggregate, states in self.states.items():
            name, _, number = aggregate.partition("/")
            if name == kind and len(states) > 1:
                yield int(number), states[max(states)]

    def compare_tickets(self):
        rows = {row["id"]: row for row in self.evidence.tables.get("ticket", [])}
        history = defaultdict(list)
        for row in self.evidence.tables.get("ticket_history", []):
            history[row["ticket_id"]].append(row)
        for number, state in self.final("ticket"):
            row = rows.get(number)
            if row is None:
                yield f"ticket/{number} is missing"
                continue
            for name, value in state.items():
                if name in row and row[name] != value and not (state.get("loose") and name not in ("version", "level")):
                    yield f"ticket/{number}.{name} is {row[name]!r}; the replay makes it {value!r}"
            yield from self.compare_history(number, row, state, history[number])

    @staticmethod
    def compare_history(number, row, state, entries):
        if [entry["seq"] for entry in entries] != list(range(1, len(entries) + 1)):
            yield f"ticket/{number}: its history is not numbered 1 to {len(entries)}"
        if row["history_count"] != len(entries):
            yield f"ticket/{number}: history_count {row['history_count']}, but {len(entries)} entries"
        wanted = [(who, action, details) for who, action, details in state["appended"]]
        there = [entry for entry in ((each["who"], each["action"], each["details"]) for each in entries)
                 if entry in wanted]
        if there != wanted:
            yield f"ticket/{number}: {len(wanted)} entries appended, {len(there)} found or in another order"

    def compare_jobneeds(self):
        rows = {row["id"]: row for row in self.evidence.tables.get("jobneed", [])}
        for number, state in self.final("jobneed"):
            row = rows.get(number)
            if row is None:
                yield f"jobneed/{number} is missing"
                continue
            for name in ("version", "status", "other_info", "remarks"):
                if row[name] != state[name]:
                    yield f"jobneed/{number}.{name} is {row[name]!r}; the replay makes it {state[name]!r}"
            children = sorted((each["asset_id"] or 0, each["question_set_id"] or 0, each["seq"], each["status"],
                               each["remarks"] or "", str(each["other_info"]))
                              for each in rows.values() if each["parent_id"] == number)
            wanted = sorted((each["asset_id"] or 0, each["question_set_id"] or 0, each["seq"], each["status"],
                             each["remarks"] or "", str(each["other_info"])) for each in state["children"])
            if children != wanted:
                differing = [pair for pair in zip(children, wanted) if pair[0] != pair[1]][:3]
                yield (f"jobneed/{number}: {len(children)} checkpoints, the replay makes {len(wanted)}; "
                       f"first differences {differing}")

    def compare_faces(self):
        versions = {row["id"]: row["version"] for row in self.evidence.tables.get("face_user", [])}
        embeddings = defaultdict(dict)
        for row in self.evidence.tables.get("face_embedding", []):
            embeddings[row["user_id"]][row["id"]] = {name: row[name]
                                                     for name in ("model_id", "is_primary", "validated")}
        for number, state in self.final("face-user"):
            if versions.get(number) != state["version"]:
                yield f"face-user/{number}.version is {versions.get(number)}; the replay makes it {state['version']}"
            if embeddings[number] != state["embeddings"]:
                yield (f"face-user/{number} has the embeddings {embeddings[number]}; "
                       f"the replay makes them {state['embeddings']}")

    def compare_counters(self):
        counts, successes, embeddings, logged = Counter(), Counter(), Counter(), set()
        for event in self.evidence.events:
            command = self.command_of(event)
            if command is None or command.type != "face.record_verification" or event.outcome != "applied":
                continue
            data = command.data
            counts[data["model_id"]] += 1
            successes[data["model_id"]] += data["result"] == "SUCCESS"
            if data.get("embedding_id") is not None:
                embeddings[data["embedding_id"]] += 1
            logged.add(data["verification_id"])
        models = {row["id"]: row for row in self.evidence.tables.get("face_model", [])}
        for number, count in counts.items():
            row = models.get(number) or {"verification_count": 0, "successful_verifications": 0}
            if (row["verification_count"], row["successful_verifications"]) != (count, successes[number]):
                yield (f"face-model/{number} counts {row['verification_count']}/{row['successful_verifications']}; "
                       f"the replay makes it {count}/{successes[number]}")
        uses = {row["id"]: row["verification_count"]
                for row in self.evidence.tables.get("face_embedding_counter", [])}
        for number, count in embeddings.items():
            if uses.get(number, 0) != count:
                yield f"embedding {number} counts {uses.get(number, 0)}; the replay makes it {count}"
        rows = {row["id"] for row in self.evidence.tables.get("face_verification_log", [])}
        for number in logged - rows:
            yield f"verification {number} is not in the log"


# ---- I3 ----------------------------------------------------------------------------------------

def atomic(evidence, options):
    topic = {event.event_id for event in evidence.events}
    rows = {row["event_id"] for row in evidence.audit}
    for event_id in sorted(topic - rows):
        yield f"event {event_id} is on the topic but has no audit row"
    if options.drained:
        for event_id in sorted(rows - topic):
            yield f"audit row {event_id} is not on the topic"
        for place, end in evidence.ends.items():
            if evidence.committed.get(place) != end:
                yield f"the group stands at {evidence.committed.get(place)} of {place}, which ends at {end}"
    by_id = {row["event_id"]: row for row in evidence.audit}
    for event in evidence.events:
        row = by_id.get(event.event_id)
        if row is None:
            continue
        command = event.data["command"]
        mine = (event.outcome, event.reason, event.data.get("operation"), command["source"], command["id"])
        other = (row["outcome"], row["reason"], row["operation"], row["command_source"], row["command_id"])
        if mine != other:
            yield f"event {event.event_id} says {mine}, its row {other}"


# ---- I4 ----------------------------------------------------------------------------------------

def in_order(evidence, commands, options):
    changes = defaultdict(list)
    for event in evidence.events:
        for aggregate, start, end in event.changes():
            changes[aggregate].append((start or 0, end, event))
    for aggregate, steps in changes.items():
        ordered = sorted(steps, key=lambda step: step[1])
        for before, after in zip(ordered, ordered[1:]):
            if after[0] != before[1]:
                yield f"{aggregate}: version {before[1]} is followed by {after[0]}->{after[1]}"
        for start, end, _ in ordered:
            if end != start + 1:
                yield f"{aggregate}: a step {start}->{end}"
    if options.ordered:
        yield from topic_order(evidence, commands)


def topic_order(evidence, commands):
    """Of every aggregate, among the commands that came under its key through one partition: their events lie in the
    audit topic in the order of their offsets, versions rising. (A duplicate in another partition may be the one that was
    applied; between partitions nothing is promised but the version.)"""
    places = {row["event_id"]: (row["topic"], row["partition"], row["offset"]) for row in evidence.audit}
    keys = {command.record.position: command.aggregate_key for command in commands}
    partitions, streams = defaultdict(set), defaultdict(list)
    for event in evidence.events:
        place = places.get(event.event_id)
        if event.subject is None or place is None:
            continue
        partitions[event.subject].add(event.partition)
        if keys.get(place) == event.subject:
            streams[(event.subject, place[:2])].append((event.offset, place[2], event))
    for subject, among in partitions.items():
        if len(among) > 1:
            yield f"{subject}: its events lie in several partitions of the audit topic"
    for (subject, _), stream in streams.items():
        stream.sort(key=lambda entry: entry[0])
        for (_, before, _), (_, after, _) in zip(stream, stream[1:]):
            if before >= after:
                yield f"{subject}: the event of offset {after} comes after that of {before}"
        versions = [event.data["version"]["to"] for _, _, event in stream
                    if event.data.get("version") and event.data["version"].get("to") is not None]
        for before, after in zip(versions, versions[1:]):
            if after < before:
                yield f"{subject}: version {after} comes after {before} on the audit topic"
