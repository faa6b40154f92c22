"""One sequence against the model: every event, then every row."""

import math

from .model.changes import why_not
from .model.rules import parse_time
from .model.domain import Command, same

DERIVED = {"final"}  # generated from other columns
NEAR = ("fraud_risk_score", "regularity", "arrival_average")
COMPARED = ("ticket", "ticket_history", "jobneed", "job", "attendance", "behaviour_profile", "behavioural_event",
            "face_model", "face_user", "face_embedding", "face_embedding_counter", "face_verification_log")


class Mismatch(Exception):
    """Where they part, in a sentence."""


def differ(what, wanted, found):
    raise Mismatch(f"{what}: the model says {wanted!r}, found {found!r}")


def run_model(domain, run):
    """Answers every message of the run; the first one that the program answers otherwise is a Mismatch."""
    events = dict(run.events)
    for place, message in enumerate(run.messages):
        command = Command(message["id"], message["source"], message["type"], message["data"], message["attributes"])
        queue = events.get(command.identity, [])
        event = queue[0] if queue else None
        what = f"command {place} ({command.id} {command.type})"
        try:
            answer = domain.apply(command, event, parse_time(event.body["time"]) if event else 0)
        except AssertionError as error:
            raise Mismatch(f"{what}: {error}") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise Mismatch(f"{what}: its event does not tell the id that was drawn ({error}): "
                           f"{event.data if event else None}") from error
        if answer is None:
            continue
        if event is None:
            differ(f"{what}", f"{answer.outcome} {answer.reason or ''}", "no event")
        events[command.identity] = queue[1:]
        compare_event(what, command, answer, event)
    for identity, rest in events.items():
        if rest:
            differ(f"events of {identity}", "no others", [each.data for each in rest])


def compare_event(what, command, answer, event):
    data = event.data
    if (answer.outcome, answer.reason) != (data["outcome"], data["reason"]):
        differ(what, (answer.outcome, answer.reason), (data["outcome"], data["reason"], data["metadata"]))
    if answer.pointers is not None:
        pointer = (data["metadata"] or {}).get("parameter")
        if pointer not in answer.pointers:
            differ(f"{what}, metadata.parameter", sorted(answer.pointers), pointer)
    if answer.version is not ...:
        version = data["version"]
        found = (version["from"], version["to"]) if version else None
        if found != answer.version:
            differ(f"{what}, version", answer.version, found)
    if answer.reason not in ("invalid_data", "id_reused", "unknown_type"):
        compare_known(what, answer, event)
    if command.attributes.get("actor") != data["actor"] and answer.reason != "id_reused":
        differ(f"{what}, actor", command.attributes.get("actor"), data["actor"])
    compare_metadata(what, answer, data["metadata"] or {})


def compare_known(what, answer, event):
    """The part of an event that is about rows."""
    data = event.data
    if answer.subject is not None and not answer.subject == event.subject == event.key:
        differ(f"{what}, subject and key", answer.subject, (event.subject, event.key))
    # A refusal may come before the data are asked what they would have been.
    if answer.outcome != "rejected" and answer.operation != data["operation"]:
        differ(f"{what}, operation", answer.operation, data["operation"])
    also = [(each["aggregate"], each["version"]["from"], each["version"]["to"]) for each in data["also"]]
    if also != answer.also:
        differ(f"{what}, also", answer.also, also)
    compare_further(what, answer, data["also"])
    if answer.version is None or answer.version is ...:
        return
    for name, column in (("status", "status"), ("person", "assigned_person_id"), ("group", "assigned_group_id")):
        wanted = {"old": (answer.before or {}).get(column), "new": (answer.after or {}).get(column)}
        if data[name] != wanted:
            differ(f"{what}, {name}", wanted, data[name])


def compare_metadata(what, answer, metadata):
    for name, value in answer.metadata.items():
        if name not in metadata or not same(metadata[name], value):
            differ(f"{what}, metadata.{name}", value, metadata.get(name))
    if answer.told is not None and (why := why_not(answer.told, metadata)) is not None:
        raise Mismatch(f"{what}, metadata.{why}")


def compare_further(what, answer, also):
    """The changes of each further aggregate; nothing is told of one that was made."""
    if answer.told is None:
        return
    for each in also:
        told = answer.further.get(each["aggregate"])
        found = each["metadata"]
        if set(found) == {"bytes", "sha256"}:
            continue
        why = why_not(told, found) if told is not None else (f"nothing, found {found}" if found else None)
        if why is not None:
            raise Mismatch(f"{what}, also {each['aggregate']}, metadata.{why}")


# ---- rows ---------------------------------------------------------------------------------------------------

def equal(name, wanted, found):
    if name in NEAR and wanted is not None and found is not None:
        return math.isclose(wanted, found, rel_tol=1e-12, abs_tol=1e-12)
    return same(wanted, found)


def compare_rows(domain, found):
    """Takes every row of the model's out of `found`."""
    for table in COMPARED:
        for key, row in domain.table(table).items():
            there = found.pop((table, key), None)
            if there is None:
                differ(f"{table} {key}", row, "no row")
            for name in sorted((set(row) | set(there)) - DERIVED):
                if not equal(name, row.get(name), there.get(name)):
                    differ(f"{table} {key}, {name}", row.get(name), there.get(name))
