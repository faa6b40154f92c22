"""The invariants: what must hold whatever happened. Each check yields a Violation for what does not.

  I1  nothing lost: every distinct command has exactly one inbox row and one audit event
  I2  nothing doubled: the rows are what a replay of the events makes of them (replay.py); an event id is there once
  I3  atomic: the events on the topic are the audit rows, no more and no fewer; offsets stand at the end
  I4  order: versions of an aggregate are gapless; its events and its commands came in order
  I5  zombies fenced: no write under a token below a committed one, no offset committed below a later one (fences.py)
  I6  liveness: all is done within a time (rest.py)
  I7  bounded: what the processes use stays under its caps (rest.py)
"""

from collections import Counter, defaultdict

from . import fences, rest
from .envelope import identity_uuid, read_all
from .letters import every_letter, fates, position
from .replay import Replay
from .violation import About, Options, Violation, about_command, about_row, earliest_first

__all__ = ["Options", "Violation", "check"]


def check(evidence, options=None):
    """Every violation, the earliest first."""
    options = options or Options()
    commands, unreadable = split(evidence)
    found = []
    found += nothing_lost(evidence, commands, unreadable)
    found += nothing_doubled(evidence, commands)
    found += atomic(evidence, options)
    found += in_order(evidence, commands, options)
    found += fences.fenced(evidence, options)
    found += rest.alive(evidence, commands, options)
    found += rest.bounded(evidence, options)
    return earliest_first(found)


def split(evidence):
    """The commands, and what belongs to the dead letters: what cannot be read, and what ended the worker too often (the
    letter says so; its reason is the one thing that is taken on trust)."""
    commands, unreadable = read_all(evidence.records)
    crashed = {position(letter) for letter in evidence.dead_letters
               if letter.header("interlock.reason") == b"crashed_worker"}
    put_aside = [each for each in commands if each.record.position in crashed]
    aside = set(map(id, put_aside))
    return [each for each in commands if id(each) not in aside], unreadable + [each.record for each in put_aside]


# ---- I1 ----------------------------------------------------------------------------------------

def nothing_lost(evidence, commands, unreadable):
    about = About(evidence)
    inbox = defaultdict(list)
    for row in evidence.inbox:
        inbox[row["identity"]].append(row)
    answers, bodies = defaultdict(list), defaultdict(list)
    for event in evidence.events:
        answers[event.identity].append(event)
    for command in commands:
        bodies[command.identity].append(command)
    in_vain = returned_as_letter(unreadable)
    for identity, sent in bodies.items():
        rows = len(inbox.pop(sent[0].identity_uuid, []))
        if rows != 1:
            yield about_command("I1", f"command {identity} has {rows} inbox rows", sent[0])
        if identity in in_vain and not answers.get(identity):
            continue
        for text in one_answer(identity, sent, answers.pop(identity, [])):
            yield about_command("I1", text, sent[0])
    for identity, rows in inbox.items():
        yield about_row("I1", f"inbox row {identity} belongs to no command", rows[0])
    for identity, events in answers.items():
        yield about.event("I1", f"an event answers command {identity}, which nobody sent", events[0])
    yield from every_letter(evidence, unreadable)
    yield from fates(evidence)
    yield from cancelled(evidence, about)


def cancelled(evidence, about):
    """Rejected as cancelled are the commands that an operator cancelled, and no others."""
    items = Counter(row["subject"] for row in evidence.cancelled)
    for event in evidence.events:
        if event.reason == "cancelled":
            subject = " ".join(event.identity)[:512]
            if items.pop(subject, 0) != 1:
                yield about.event("I1", f"{subject} is rejected as cancelled, and no action has it once", event)
    for subject in items:
        yield Violation("I1", f"an action has {subject} as cancelled, and no event says so")


def returned_as_letter(unreadable):
    """Parked once, and put aside when they came back: their inbox row is of then, and their answer is the letter."""
    returned = [record for record in unreadable if record.header("interlock.return") is not None]
    return {command.identity for command in read_all(returned)[0]}


def one_answer(identity, sent, events):
    """One event for the command; one more for each position at which the identity came with another body."""
    real = [event for event in events if event.reason != "id_reused"]
    reused = len(events) - len(real)
    if len(real) != 1:
        yield f"command {identity} has {len(real)} events"
    by_body = Counter(command.body for command in sent) if len(sent) > 1 else {"its own": 1}
    possible = {len(sent) - count for count in by_body.values()}
    if reused not in possible:
        yield f"command {identity} was refused {reused} times as id_reused; sent with bodies {list(by_body.values())}"


# ---- I2 ----------------------------------------------------------------------------------------

def nothing_doubled(evidence, commands):
    about, first = About(evidence), {}
    for event in evidence.events:
        first.setdefault(event.event_id, event)
    for event_id, times in Counter(event.event_id for event in evidence.events).items():
        if times != 1:
            yield about.event("I2", f"event {event_id} is on the topic {times} times", first[event_id])
    for place, times in Counter(position(letter) for letter in evidence.dead_letters).items():
        if times != 1:
            yield Violation("I2", f"the dead letter of {place} is on the topic {times} times", position=place)
    yield from Replay(evidence, commands).violations()


# ---- I3 ----------------------------------------------------------------------------------------

def atomic(evidence, options):
    about, by_id = About(evidence), {row["event_id"]: row for row in evidence.audit}
    topic = {event.event_id for event in evidence.events}
    for event in evidence.events:
        if event.event_id not in by_id:
            yield about.event("I3", f"event {event.event_id} is on the topic but has no audit row", event)
    if options.drained:
        for row in evidence.audit:
            if row["event_id"] not in topic:
                yield about_row("I3", f"audit row {row['event_id']} is not on the topic", row)
        for place, end in evidence.ends.items():
            stands = evidence.committed.get(place)
            if stands != end:
                yield Violation("I3", f"the group stands at {stands} of {place}, which ends at {end}",
                                position=(*place, stands))
    for event in evidence.events:
        row = by_id.get(event.event_id)
        if row is None:
            continue
        command, version = event.data["command"], event.data.get("version") or {}
        mine = (event.outcome, event.reason, event.data.get("operation"), command["source"], command["id"],
                version.get("from"), version.get("to"), event.subject)
        other = (row["outcome"], row["reason"], row["operation"], row["command_source"], row["command_id"],
                 row["version_from"], row["version_to"], row["aggregate"])
        if mine != other:
            yield about.event("I3", f"event {event.event_id} says {mine}, its row {other}", event)
    yield from one_position(evidence)


def one_position(evidence):
    """The inbox row of a command names the position of its audit row. A parked one has no audit row yet, and names that
    of its return when it has; a duplicate has neither row; what was refused as id_reused has no inbox row of its own,
    and the audit row is at a position that is not the command's."""
    inbox = defaultdict(list)
    for row in evidence.inbox:
        inbox[row["identity"]].append(row)
    for row in evidence.audit:
        found = inbox.get(identity_uuid(row["command_source"], row["command_id"]), [])
        if row["reason"] == "id_reused" or not found:  # without any: I1 says so
            continue
        place = (row["topic"], row["partition"], row["offset"])
        places = [((each["topic"], each["partition"], each["offset"]), each["parked"]) for each in found]
        if (place, False) not in places:
            (topic, partition, offset), parked = places[0]
            yield about_row("I3", f"the audit row is not where the command's inbox row is: {topic}/{partition} offset "
                                  f"{offset}{', parked' if parked else ''}", row)


# ---- I4 ----------------------------------------------------------------------------------------

def in_order(evidence, commands, options):
    about, changes = About(evidence), defaultdict(list)
    for event in evidence.events:
        for aggregate, start, end in event.changes():
            changes[aggregate].append((start or 0, end, event))
    for aggregate, steps in changes.items():
        ordered = sorted(steps, key=lambda step: step[1])
        for before, after in zip(ordered, ordered[1:]):
            if after[0] != before[1]:
                yield about.event("I4", f"{aggregate}: version {before[1]} is followed by {after[0]}->{after[1]}",
                                  after[2], aggregate)
        for start, end, event in ordered:
            if end != start + 1:
                yield about.event("I4", f"{aggregate}: a step {start}->{end}", event, aggregate)
    if options.ordered:
        yield from topic_order(evidence, commands, about)


def topic_order(evidence, commands, about):
    """Of every aggregate, among the commands that came under its key through one partition: their events lie in the
    audit topic in the order of their offsets, versions rising. (A duplicate in another partition may be the one that
    was applied; between partitions nothing is promised but the version. A copy of a parked command that came before its
    turn did nothing; where offsets went back it is read again, and may be the one that is applied.)"""
    keys = {command.record.position: command.aggregate_key for command in commands}
    partitions, streams = defaultdict(dict), defaultdict(list)
    for event in evidence.events:
        row = about.rows.get(event.event_id)
        if event.subject is None or row is None:
            continue
        partitions[event.subject].setdefault(event.partition, event)
        place = (row["topic"], row["partition"], row["offset"])
        if keys.get(place) == event.subject:
            streams[(event.subject, place[:2])].append((event.offset, place[2], event, row["fence"]))
    for subject, among in partitions.items():
        if len(among) > 1:
            yield about.event("I4", f"{subject}: its events lie in several partitions of the audit topic",
                              list(among.values())[1])
    copies = {command.record.position for command in commands if command.record.header("interlock.return") is not None}
    for (subject, place), stream in streams.items():
        stream.sort(key=lambda entry: entry[0])
        for (_, before, _, older), (_, after, event, fence) in zip(stream, stream[1:]):
            if before >= after and not ((*place, after) in copies and went_back(evidence, place, after, older, fence)):
                yield about.event("I4", f"{subject}: the event of offset {after} comes after that of {before}", event)
        versions = [(event.data["version"]["to"], event) for _, _, event, _ in stream
                    if event.data.get("version") and event.data["version"].get("to") is not None]
        for (before, _), (after, event) in zip(versions, versions[1:]):
            if after < before:
                yield about.event("I4", f"{subject}: version {after} comes after {before} on the audit topic", event)


def went_back(evidence, place, offset, older, fence):
    """The offsets went back past this one, between the owners with these fences."""
    return any((row["topic"], row["partition"]) == place and older < row["fence"] <= fence and offset < row["below"]
               for row in evidence.rewinds)
