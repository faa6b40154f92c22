"""Rules of the model broken on purpose, one at a time: each must be noticed, or the comparison sees nothing."""

from .model import attendance, behaviour, documents, faces, jobneeds, plans, rules, tickets
from .model import domain as common


def no_max_length(_self, document, data):
    array = document.get(data["key"])
    return {**document, data["key"]: (array if isinstance(array, list) else []) + [data["value"]]}


def twice(self, command, event, now):
    self.seen.clear()
    return apply(self, command, event, now)


def touch_without_author(self, row, root=True):
    touch(self, row, root)
    row["modified_by"] = None
    return row


def any_heir(domain, data):
    found = siblings(domain, data)
    return [{**row, "validated": True} if not row["validated"] else row for row in found]


def unnumbered(domain, ticket, action, **entry):
    entry["people_id"] = None
    enter(domain, ticket, action, **entry)


apply, touch = common.Domain.apply, common.Domain.touch
siblings, enter = faces.EmbeddingEffect.siblings, tickets.enter

# The name of a broken rule: (object, name, in its place)
RULES = {
    "NEW -> CLOSED is allowed": (tickets, "MACHINE", {**tickets.MACHINE, "NEW": ("OPEN", "CANCELLED", "CLOSED")}),
    "RESOLVED -> OPEN is not": (tickets, "MACHINE", {**tickets.MACHINE, "RESOLVED": ("CLOSED",)}),
    "a completed job may be autoclosed": (jobneeds, "FINAL", ("AUTOCLOSED",)),
    "ASSIGNED -> COMPLETED is allowed": (jobneeds, "MACHINE", {**jobneeds.MACHINE, "ASSIGNED": (
        "INPROGRESS", "AUTOCLOSED", "COMPLETED")}),
    "checkpoints of tasks are autoclosed": (rules, "TOURS", rules.TOURS + ("TASK",)),
    "1 is somebody": (common, "nobody", lambda number: number),
    "an escalation does not ask the matrix": (tickets.Escalate, "assignment", staticmethod(
        lambda domain, ticket, data, level: common.assignment(data))),
    "history without people": (tickets, "enter", unnumbered),
    "an autoclose raises no ticket": (jobneeds, "raise_ticket", lambda domain, jobneed, drawn: None),
    "a duplicate is a new command": (common.Domain, "apply", twice),
    "nobody is the author": (common.Domain, "touch", touch_without_author),
    "an array never drops its oldest": (documents.Append, "change", no_max_length),
    "true is 1": (documents, "same", lambda left, right: left == right),
    "an increment may be inexact": (documents, "fits", lambda value: True),
    "0.31 of the new risk": (behaviour, "RISK_OF_NEW", 0.31),
    "an unvalidated embedding is promoted": (faces.EmbeddingEffect, "siblings", staticmethod(any_heir)),
    "the latest shift is the nearest": (attendance, "nearest_shift", lambda domain, site, moment: max(
        (shift["id"] for shift in domain.where("shift", site_id=site, enabled=True)), default=None)),
    "everything is inside": (attendance, "in_polygon", lambda ring, place: True),
    "plans have no twins": (plans.Save, "check_unique", lambda self, domain, row: None),
    "texts of 129 bytes are words": (rules, "COMMANDS", {**rules.COMMANDS, "ticket.create": {
        **rules.COMMANDS["ticket.create"], "category": rules.may(rules.text(20000))}}),
}
