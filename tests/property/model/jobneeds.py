"""Jobneeds and their checkpoints."""

import copy

from . import rules
from .tickets import raise_ticket
from .domain import Changed, Effect, Refused, Unchanged, assignment, differs, edited, given, nobody, someone, step

MACHINE = {
    "ASSIGNED": ("INPROGRESS", "AUTOCLOSED"),
    "INPROGRESS": ("COMPLETED", "PARTIALLYCOMPLETED", "AUTOCLOSED"),
    "PARTIALLYCOMPLETED": ("COMPLETED", "AUTOCLOSED"),
    "MAINTENANCE": ("WORKING", "STANDBY"),
    "STANDBY": ("WORKING", "MAINTENANCE"),
    "WORKING": ("MAINTENANCE", "COMPLETED"),
}
FINAL = ("COMPLETED", "AUTOCLOSED")


def new_jobneed(number, **columns):
    return {"id": number, "version": 0, "parent_id": None, "job_id": None, "asset_id": None, "question_set_id": None,
            "site_id": None, "client_id": None, "assigned_person_id": None, "assigned_group_id": None,
            "performed_by": None, "expires_at": None, "started_at": None, "ended_at": None, "seq": 0,
            "grace_minutes": 0, "attachment_count": 0, "alerts": False, "mail_sent": False, "dynamic": False,
            "status": "ASSIGNED", "remarks": None, "other_info": {}, **columns}


def root_of(domain, number, pointer):
    """A checkpoint has no aggregate of its own."""
    row = domain.get("jobneed", number)
    if row is None:
        raise Refused("not_found")
    if row["parent_id"] is not None:
        raise Refused("invalid_data", pointer)
    return row


def children(domain, number):
    return domain.where("jobneed", parent_id=number)


class JobneedEffect(Effect):
    """On a root, named by jobneed_id."""

    def aggregate(self, data):
        return ("jobneed", data["jobneed_id"])

    def run(self, domain, data, command):
        return self.change(domain, root_of(domain, data["jobneed_id"], "/jobneed_id"), data) or Changed()

    def change(self, domain, jobneed, data):
        raise NotImplementedError


class Create(Effect):
    creates = True

    def operation(self, data, _before):
        return "CREATION" if data.get("parent_id") is None else "CHECKPOINT_UPDATE"

    def aggregate(self, data):
        parent = data.get("parent_id")
        return ("jobneed", parent if parent is not None else data.get("jobneed_id"))

    def cross_check(self, data):
        found = set()
        expires = data.get("expires_at")
        if expires is not None and rules.parse_time(expires) < rules.parse_time(data["starts_at"]):
            found.add("/expires_at")
        if data.get("parent_id") is not None and data.get("checkpoints"):
            found.add("/checkpoints")
        if data.get("other_info") is not None and not isinstance(data["other_info"], dict):
            found.add("/other_info")
        return found

    def run(self, domain, data, command):
        parent = data.get("parent_id")
        if data.get("job_id") is not None and domain.get("job", data["job_id"]) is None:
            raise Refused("not_found")
        if parent is not None:
            root_of(domain, parent, "/parent_id")
        checkpoints = data.get("checkpoints") or []
        kinds = [(each["asset_id"], each["question_set_id"]) for each in checkpoints]
        if len(set(kinds)) != len(kinds):
            raise Refused("already_exists")
        self.check_ids(domain, [data.get("jobneed_id")] + [each.get("jobneed_id") for each in checkpoints])
        return self.insert(domain, data, parent, checkpoints)

    @staticmethod
    def check_ids(domain, numbers):
        named = [number for number in numbers if number is not None]
        if len(set(named)) != len(named) or any(domain.get("jobneed", number) is not None for number in named):
            raise Refused("already_exists")

    def insert(self, domain, data, parent, checkpoints):
        told = domain.event.data.get("metadata") or {}
        number = data.get("jobneed_id")
        if number is None:
            number = domain.draw("jobneed", told.get("jobneed_id") if parent is not None
                                else int(domain.event.subject.partition("/")[2]))
        common = {**given(data, "identifier", "type"), "starts_at": rules.parse_time(data["starts_at"])}
        columns = given(data, "job_id", "grace_minutes", "site_id", "client_id", "other_info")
        if data.get("expires_at") is not None:
            columns["expires_at"] = rules.parse_time(data["expires_at"])
        row = new_jobneed(number, parent_id=parent, **common, **columns, **someone(data))
        domain.put("jobneed", number, domain.touch(copy.deepcopy(row), root=parent is None))
        drawn = told.get("checkpoint_ids") or []
        for place, each in enumerate(checkpoints):
            child = each.get("jobneed_id")
            if child is None:
                child = domain.draw("jobneed", drawn[place] if place < len(drawn) else None)
            domain.put("jobneed", child, domain.touch(
                new_jobneed(child, parent_id=number, **common, **given(each, "asset_id", "question_set_id", "seq")),
                root=False))
        if parent is not None:
            domain.touch(domain.get("jobneed", parent))
            return Changed(metadata={"jobneed_id": number})
        return Changed(kind="jobneed", key=number)


class Transition(JobneedEffect):
    audits = "STATUS_CHANGE"

    def change(self, domain, jobneed, data):
        if not step(MACHINE, jobneed["status"], data["status"]):
            raise Unchanged()
        jobneed.update(given(data, "status", "remarks"))
        domain.touch(jobneed)


class Assign(JobneedEffect):
    audits = "ASSIGNMENT_CHANGE"

    def change(self, domain, jobneed, data):
        if not assignment(data):
            raise Refused("invalid_data", "")
        if not differs(jobneed, assignment(data)):
            raise Unchanged()
        jobneed.update(assignment(data))
        domain.touch(jobneed)


def close_checkpoints(domain, number):
    """Every ASSIGNED checkpoint of a tour."""
    closed = 0
    for child in children(domain, number):
        if child["status"] == "ASSIGNED" and child["identifier"] in rules.TOURS:
            child["status"] = "AUTOCLOSED"
            child["other_info"] = {**child["other_info"], "autoclosed_by_server": True}
            domain.touch(child, root=False)
            closed += 1
    return closed


class Autoclose(JobneedEffect):
    audits = "AUTOCLOSE"

    def change(self, domain, jobneed, data):
        status = jobneed["status"]
        if status in FINAL:
            raise Unchanged()  # decided: what is finished is left alone, its checkpoints too
        if status not in MACHINE or "AUTOCLOSED" not in MACHINE[status]:
            raise Refused("invalid_transition")
        done = [child["status"] == "COMPLETED" for child in children(domain, jobneed["id"])]
        if status == "INPROGRESS" and any(done) and not all(done):
            status = "PARTIALLYCOMPLETED"
        elif status != "PARTIALLYCOMPLETED":
            status = "AUTOCLOSED"
        closed = close_checkpoints(domain, jobneed["id"])
        if status == jobneed["status"] and not closed:
            raise Unchanged()
        also = self.close(domain, jobneed, data.get("notify")) if status == "AUTOCLOSED" else []
        jobneed["status"] = status
        domain.touch(jobneed)
        return Changed(also, {"checkpoints_autoclosed": closed})

    @staticmethod
    def close(domain, jobneed, notify):
        def drawn():
            names = [each["aggregate"] for each in domain.event.data.get("also") or []]
            return int(names[0].partition("/")[2]) if names else None
        ticket = raise_ticket(domain, jobneed, drawn) if notify == "RAISETICKETNOTIFY" else None
        jobneed["other_info"] = {**jobneed["other_info"], "autoclosed_by_server": True,
                                 "email_sent": notify == "AUTOCLOSENOTIFY",
                                 "ticket_generated": notify == "RAISETICKETNOTIFY"}
        return [(f"ticket/{ticket['id']}", 0, 1)] if ticket else []


class AutocloseCheckpoints(JobneedEffect):
    audits = "AUTOCLOSE"

    def change(self, domain, jobneed, data):
        closed = close_checkpoints(domain, jobneed["id"])
        if not closed:
            raise Unchanged()
        domain.touch(jobneed)
        return Changed(metadata={"checkpoints_autoclosed": closed})


def checkpoint_changes(domain, parent, change, pointer):
    """(child, what of it changes); refuses what may not be."""
    child = domain.get("jobneed", change["jobneed_id"])
    if child is None or child["parent_id"] != parent:
        raise Refused("not_found")
    changes = edited(change, ("seq", "remarks"), ("remarks", "expires_at"))
    if change.get("status") is not None:
        step(MACHINE, child["status"], change["status"])
        changes["status"] = change["status"]
    if change.get("expires_at") is not None:
        changes["expires_at"] = rules.parse_time(change["expires_at"])
        if changes["expires_at"] < child["starts_at"]:
            raise Refused("invalid_data", pointer + "/expires_at")
    return child, changes


class UpdateCheckpoint(Effect):
    audits = "CHECKPOINT_UPDATE"

    def aggregate(self, data):
        return ("jobneed", data["parent_id"])

    def run(self, domain, data, command):
        parent = root_of(domain, data["parent_id"], "/parent_id")
        child, changes = checkpoint_changes(domain, parent["id"], data, "")
        if not differs(child, changes):
            raise Unchanged()
        child.update(changes)
        domain.touch(child, root=False)
        domain.touch(parent)
        return Changed(metadata={"jobneed_id": child["id"]})


class BulkUpdateCheckpoints(Effect):
    audits = "CHECKPOINT_UPDATE"

    def aggregate(self, data):
        return ("jobneed", data["parent_id"])

    def cross_check(self, data):
        seen = set()
        for place, each in enumerate(data["checkpoints"]):
            if each["jobneed_id"] in seen:
                return {f"/checkpoints/{place}/jobneed_id"}
            seen.add(each["jobneed_id"])
        return set()

    def run(self, domain, data, command):
        parent = root_of(domain, data["parent_id"], "/parent_id")
        planned = [checkpoint_changes(domain, parent["id"], each, f"/checkpoints/{place}")
                   for place, each in enumerate(data["checkpoints"])]
        moved = [(child, changes) for child, changes in planned if differs(child, changes)]
        metadata = {"count": len(moved), "unchanged": len(planned) - len(moved)}
        if not moved:
            raise Unchanged(**metadata)
        for child, changes in moved:
            child.update(changes)
            domain.touch(child, root=False)
        domain.touch(parent)
        return Changed(metadata=metadata)


class SetExpiry(JobneedEffect):
    audits = "FIELD_UPDATE"

    def change(self, domain, jobneed, data):
        moment = rules.parse_time(data["expires_at"])
        if moment < jobneed["starts_at"]:
            raise Refused("invalid_data", "/expires_at")
        if moment == jobneed["expires_at"]:
            raise Unchanged()
        if jobneed["status"] in FINAL:
            raise Refused("invalid_transition")  # decided: what is finished takes no expiry
        jobneed["expires_at"] = moment
        domain.touch(jobneed)


class MarkMailSent(JobneedEffect):
    audits = "FLAG_SET"

    def change(self, domain, jobneed, data):
        if jobneed["mail_sent"]:
            raise Unchanged()
        jobneed["mail_sent"] = True
        domain.touch(jobneed)


class SyncAdhoc(JobneedEffect):
    def operation(self, data, before):
        return "FIELD_UPDATE" if before and before["status"] == data["status"] else "STATUS_CHANGE"

    def cross_check(self, data):
        early = rules.parse_time(data["ended_at"]) < rules.parse_time(data["started_at"])
        return {"/ended_at"} if early else set()

    def change(self, domain, jobneed, data):
        if jobneed["type"] != "ADHOC":
            raise Refused("invalid_data", "/jobneed_id")
        step(MACHINE, jobneed["status"], data["status"])
        # Decided: the phone's modified_at and modified_by go into the audit, not into the row's own.
        changes = given(data, "status", "remarks", "alerts", "attachment_count")
        changes["performed_by"] = nobody(data["performed_by"])
        changes.update({name: rules.parse_time(data[name]) for name in ("started_at", "ended_at")})
        if not differs(jobneed, changes):
            raise Unchanged()
        jobneed.update(changes)
        domain.touch(jobneed)


EFFECTS = {"job.create": Create(), "job.transition": Transition(), "job.assign": Assign(), "job.autoclose": Autoclose(),
           "job.autoclose_checkpoints": AutocloseCheckpoints(), "job.update_checkpoint": UpdateCheckpoint(),
           "job.bulk_update_checkpoints": BulkUpdateCheckpoints(), "job.set_expiry": SetExpiry(),
           "job.mark_mail_sent": MarkMailSent(), "job.sync_adhoc": SyncAdhoc()}
