"""A finding of a check: the invariant, a sentence, and which command, position and aggregate it is about."""

from dataclasses import dataclass
from typing import Optional


@dataclass
class Options:
    ordered: bool = True              # every command came under its aggregate's key: topic order must hold
    drained: bool = True              # the group has reached the end of the topics
    broker_crashed: bool = False      # one that was alone: it may have answered with older offsets than it acknowledged
    within: Optional[float] = None    # I6: at rest within so many seconds; the evidence was gathered after waiting
    caps: dict = None                 # I7: name of rest.Usage -> the most of it


@dataclass
class Violation:
    invariant: str
    text: str
    command: Optional[tuple] = None    # source, id
    position: Optional[tuple] = None   # topic, partition, offset
    aggregate: Optional[str] = None
    at: Optional[int] = None           # Unix microseconds: of the command's transaction, else of its message

    def __str__(self):
        told = []
        if self.command is not None:
            told.append("command " + " ".join(str(each) for each in self.command))
        if self.position is not None:
            topic, partition, offset = self.position
            told.append(f"{topic}/{partition} offset {offset}" if offset is not None else f"{topic}/{partition}")
        if self.aggregate is not None:
            told.append(self.aggregate)
        return f"{self.invariant}: {self.text}" + (f" [{', '.join(told)}]" if told else "")


def earliest_first(violations):
    """The earliest comes first; findings without a time come last, in the order of the invariants."""
    return sorted(violations, key=lambda each: (each.at is None, each.at or 0, each.invariant))


def about_command(invariant, text, command):
    record = command.record
    return Violation(invariant, text, command.identity, record.position, command.aggregate_key, record.at)


def about_row(invariant, text, row, aggregate=None):
    """A row that carries a position, as all of the engine's own do."""
    command = (row["command_source"], row["command_id"]) if "command_id" in row else None
    return Violation(invariant, text, command, (row["topic"], row["partition"], row["offset"]),
                     aggregate or row.get("aggregate"), row.get("at"))


class About:
    """Finds what an event is about."""

    def __init__(self, evidence):
        self.rows = {row["event_id"]: row for row in evidence.audit}

    def event(self, invariant, text, event, aggregate=None):
        row = self.rows.get(event.event_id)
        position = (row["topic"], row["partition"], row["offset"]) if row else None
        return Violation(invariant, text, event.identity, position, aggregate or event.subject,
                         row["at"] if row else event.published_at)
