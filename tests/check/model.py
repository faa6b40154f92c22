"""A second implementation of domain.md, slow and plain: what one command does to one aggregate.

`effect(command, aggregate, state, lookups)` answers with the results that are right, each a tuple
(outcome, reason, new state). Several where the page leaves it open whether a write of equal values counts as one.
An aggregate that is not there has the state None.
"""

import copy

from . import places

TICKET_MACHINE = {
    "NEW": {"OPEN", "CANCELLED"},
    "OPEN": {"RESOLVED", "ONHOLD", "CANCELLED"},
    "ONHOLD": {"OPEN", "RESOLVED", "CANCELLED"},
    "RESOLVED": {"CLOSED", "OPEN"},
    "CLOSED": set(),
    "CANCELLED": set(),
}
JOBNEED_MACHINE = {
    "ASSIGNED": {"INPROGRESS", "AUTOCLOSED"},
    "INPROGRESS": {"COMPLETED", "PARTIALLYCOMPLETED", "AUTOCLOSED"},
    "PARTIALLYCOMPLETED": {"COMPLETED", "AUTOCLOSED"},
    "MAINTENANCE": {"WORKING", "STANDBY"},
    "STANDBY": {"WORKING", "MAINTENANCE"},
    "WORKING": {"MAINTENANCE", "COMPLETED"},
    "COMPLETED": set(),
    "AUTOCLOSED": set(),
}
TOURS = ("INTERNALTOUR", "EXTERNALTOUR")


def nobody(number):
    """Null and 1 are both "nobody"."""
    return None if number in (None, 1) else number


def applied(state, **changes):
    new = copy.deepcopy(state)
    new.update(changes)
    new["version"] += 1
    return ("applied", None, new)


def unchanged(state):
    return ("unchanged", None, state)


def rejected(reason, state):
    return ("rejected", reason, state)


def written(state, **changes):
    """A write: where it changes nothing, either answer is right."""
    results = [applied(state, **changes)]
    if all(state.get(name) == value for name, value in changes.items()):
        results.append(unchanged(state))
    return results


def machine_step(machine, state, status, **changes):
    if status == state["status"]:
        return [unchanged(state)]
    if status not in machine.get(state["status"], set()):
        return [rejected("invalid_transition", state)]
    return [applied(state, status=status, **changes)]


# ---- tickets -----------------------------------------------------------------------------------

def ticket_create(data, state, _lookups):
    if state is not None:
        return [rejected("already_exists", state)]
    new = {"version": 1, "status": "NEW", "level": 0, "escalated": False, "priority": data["priority"],
           "assigned_person_id": nobody(data.get("assigned_person_id")),
           "assigned_group_id": nobody(data.get("assigned_group_id")),
           "site_id": data.get("site_id"), "client_id": data.get("client_id"), "category": data.get("category"),
           "comments": data.get("comments"), "source": data.get("source") or "USERDEFINED", "appended": []}
    return [("applied", None, new)]


def ticket_transition(data, state, _lookups):
    changes = {"comments": data["comments"]} if data.get("comments") is not None else {}
    return machine_step(TICKET_MACHINE, state, data["status"], **changes)


def assignment(data):
    """What is given: absent keeps what is there, null and 1 take it away."""
    return {name: nobody(data[name]) for name in ("assigned_person_id", "assigned_group_id") if name in data}


def of_somebody(changes):
    return any(value is not None for value in changes.values())


def ticket_assign(data, state, _lookups):
    return written(state, **assignment(data))


def ticket_escalate(data, state, lookups):
    level = data["level"] if data.get("level") is not None else state["level"] + 1
    changes = assignment(data)
    if not of_somebody(changes):
        row = lookups["matrix"].get((state["site_id"], state["category"], state["client_id"], level)) or {}
        changes = assignment(row)
        if not of_somebody(changes):
            changes = {}
    return written(state, level=level, escalated=True, **changes)


def ticket_append_history(data, state, _lookups):
    entry = data["entry"]
    result = applied(state)
    result[2]["appended"].append((entry.get("who"), entry["action"], entry.get("details")))
    return [result]


def ticket_bulk_update(data, state, _lookups):
    changes = assignment(data)
    for name in ("priority", "comments"):
        if data.get(name) is not None:
            changes[name] = data[name]
    status = data.get("status")
    if status is not None and status != state["status"]:
        if status not in TICKET_MACHINE[state["status"]]:
            return [rejected("invalid_transition", state)]
        return [applied(state, status=status, **changes)]
    return written(state, **changes)


# ---- jobs --------------------------------------------------------------------------------------

def new_jobneed(data, identifier):
    return {"id": data.get("jobneed_id"), "status": "ASSIGNED", "identifier": identifier,
            "asset_id": data.get("asset_id"), "question_set_id": data.get("question_set_id"),
            "seq": data.get("seq", 0), "remarks": None, "other_info": {}}


def job_create(data, state, lookups):
    if data.get("job_id") is not None and data["job_id"] not in lookups["jobs"]:
        return [rejected("not_found", state)]
    if data.get("parent_id") is not None:
        if state is None:
            return [rejected("not_found", None)]
        child = dict(new_jobneed(data, data["identifier"]), other_info=data.get("other_info") or {})
        return [applied(state, children=state["children"] + [child])]
    if state is not None:
        return [rejected("already_exists", state)]
    new = new_jobneed(data, data["identifier"])
    new.update(version=1, type=data["type"], other_info=data.get("other_info") or {},
               assigned_person_id=nobody(data.get("assigned_person_id")),
               assigned_group_id=nobody(data.get("assigned_group_id")),
               children=[new_jobneed(each, data["identifier"]) for each in data.get("checkpoints") or []])
    return [("applied", None, new)]


def job_transition(data, state, _lookups):
    changes = {"remarks": data["remarks"]} if data.get("remarks") is not None else {}
    for place, child in enumerate(state["children"]):
        if child["id"] == data["jobneed_id"]:
            return child_step(state, place, data["status"], changes)
    return machine_step(JOBNEED_MACHINE, state, data["status"], **changes)


def child_step(state, place, status, changes):
    child = state["children"][place]
    if status is not None and status != child["status"]:
        if status not in JOBNEED_MACHINE[child["status"]]:
            return [rejected("invalid_transition", state)]
        changes = dict(changes, status=status)
    children = copy.deepcopy(state["children"])
    children[place].update(changes)
    return written(state, children=children)


def close_checkpoints(children):
    closed = copy.deepcopy(children)
    for child in closed:
        if child["status"] == "ASSIGNED" and child["identifier"] in TOURS:
            child["status"] = "AUTOCLOSED"
            child["other_info"] = dict(child["other_info"], autoclosed_by_server=True)
    return closed


def job_autoclose_checkpoints(_data, state, _lookups):
    children = close_checkpoints(state["children"])
    if children == state["children"]:
        return [unchanged(state)]
    return [applied(state, children=children)]


def job_autoclose(data, state, _lookups):
    status, other_info = state["status"], state["other_info"]
    done = [child["status"] == "COMPLETED" for child in state["children"]]
    if status == "INPROGRESS" and any(done) and not all(done):
        status = "PARTIALLYCOMPLETED"
    elif status in ("ASSIGNED", "INPROGRESS"):
        status = "AUTOCLOSED"
        notify = data.get("notify")
        other_info = dict(other_info, autoclosed_by_server=True, email_sent=notify == "AUTOCLOSENOTIFY",
                          ticket_generated=notify == "RAISETICKETNOTIFY")
    elif status in ("MAINTENANCE", "STANDBY", "WORKING"):
        return [rejected("invalid_transition", state)]
    children = close_checkpoints(state["children"])
    results = [applied(state, status=status, other_info=other_info, children=children)]
    # Whether a job that was closed already still closes its checkpoints is left open.
    if (status, children) == (state["status"], state["children"]):
        return [unchanged(state)]
    return results + ([unchanged(state)] if status in ("COMPLETED", "AUTOCLOSED") and status == state["status"] else [])


def job_assign(data, state, _lookups):
    changes = assignment(data)
    return written(state, **changes) if changes else [rejected("invalid_data", state)]


def job_set_expiry(_data, state, _lookups):
    # Neither the start nor the expiry is modelled: it may be too early, or the one that is there.
    results = [applied(state), unchanged(state)]
    if state["status"] in ("COMPLETED", "AUTOCLOSED"):
        results = [unchanged(state), rejected("invalid_transition", state)]
    return results + [rejected("invalid_data", state)]


def job_mark_mail_sent(_data, state, _lookups):
    return [unchanged(state)] if state.get("mail_sent") else [applied(state, mail_sent=True)]


SYNCED = ("performed_by", "started_at", "ended_at", "remarks", "alerts", "attachment_count")


def job_sync_adhoc(data, state, _lookups):
    if state["type"] != "ADHOC":
        return [rejected("invalid_data", state)]
    if data["status"] != state["status"] and data["status"] not in JOBNEED_MACHINE[state["status"]]:
        return [rejected("invalid_transition", state)]
    # Of what is not modelled (times are texts here) either answer may be right.
    changes = {name: data[name] for name in SYNCED if data.get(name) is not None}
    results = [applied(state, status=data["status"], **changes)]
    if data["status"] == state["status"]:
        results.append(unchanged(state))
    return results


def job_bulk_update_checkpoints(data, state, lookups):
    new = state
    for each in data["checkpoints"]:
        results = job_update_checkpoint(each, new, lookups)
        if results[0][0] == "rejected":
            return [rejected(results[0][1], state)]
        new = results[0][2]
    changed = dict(new, version=state["version"] + 1)
    results = [("applied", None, changed)]
    # Expiry is not modelled: it may be the one change.
    if new["children"] == state["children"]:
        results.append(unchanged(state))
    return results


def job_update_checkpoint(data, state, _lookups):
    for place, child in enumerate(state["children"]):
        if child["id"] == data["jobneed_id"]:
            changes = {name: data[name] for name in ("seq", "remarks") if data.get(name) is not None}
            results = child_step(state, place, data.get("status"), changes)
            if data.get("expires_at") is not None and results[0][0] == "applied":
                return [results[0], unchanged(state)]  # expiry is not modelled: it may be the one change
            return results
    return [rejected("not_found", state)]


# ---- JSON --------------------------------------------------------------------------------------

def json_merge(data, state, _lookups):
    merged = dict(state[data["field"]], **data["value"])
    return written(state, **{data["field"]: merged})


def json_append(data, state, _lookups):
    document = copy.deepcopy(state[data["field"]])
    array = document.get(data["key"])
    array = (array if isinstance(array, list) else []) + [data["value"]]
    if data.get("max_length") is not None:
        array = array[-data["max_length"]:] if data["max_length"] else []
    document[data["key"]] = array
    return written(state, **{data["field"]: document})


def json_replace(data, state, _lookups):
    return written(state, **{data["field"]: data["value"]})


def json_apply(data, state, _lookups):
    try:
        document = places.apply(state[data["field"]], data["operations"])
    except places.Refused as refused:
        return [rejected(refused.reason, state)]
    return written(state, **{data["field"]: document})


# ---- faces -------------------------------------------------------------------------------------

def face_add_embedding(data, state, lookups):
    state = state or {"version": 0, "embeddings": {}}
    if data["model_id"] not in lookups["models"]:
        return [rejected("not_found", state)]
    number = data["embedding_id"]
    # Another user may have the id: seen from one user either answer is right.
    taken = rejected("already_exists", state)
    if number in state["embeddings"]:
        return [taken]
    embeddings = copy.deepcopy(state["embeddings"])
    primary = [each for each in embeddings.values() if each["model_id"] == data["model_id"] and each["is_primary"]]
    wins = not primary or bool(data.get("is_primary"))
    for each in primary if wins else []:
        each["is_primary"] = False
    embeddings[number] = {"model_id": data["model_id"], "is_primary": wins, "validated": bool(data.get("validated"))}
    return [applied(state, embeddings=embeddings), taken]


def face_remove_embedding(data, state, _lookups):
    state = state or {"version": 0, "embeddings": {}}
    embeddings = copy.deepcopy(state["embeddings"])
    gone = embeddings.pop(data["embedding_id"], None)
    if gone is None or gone["model_id"] != data["model_id"]:
        return [rejected("not_found", state)]
    heirs = sorted(number for number, each in embeddings.items()
                   if each["model_id"] == data["model_id"] and each["validated"])
    if gone["is_primary"] and heirs:
        embeddings[heirs[0]]["is_primary"] = True
    return [applied(state, embeddings=embeddings)]


EFFECTS = {
    "ticket.create": ticket_create,
    "ticket.transition": ticket_transition,
    "ticket.assign": ticket_assign,
    "ticket.escalate": ticket_escalate,
    "ticket.append_history": ticket_append_history,
    "ticket.bulk_update": ticket_bulk_update,
    "job.create": job_create,
    "job.transition": job_transition,
    "job.autoclose": job_autoclose,
    "job.autoclose_checkpoints": job_autoclose_checkpoints,
    "job.update_checkpoint": job_update_checkpoint,
    "job.bulk_update_checkpoints": job_bulk_update_checkpoints,
    "job.assign": job_assign,
    "job.set_expiry": job_set_expiry,
    "job.mark_mail_sent": job_mark_mail_sent,
    "job.sync_adhoc": job_sync_adhoc,
    "face.add_embedding": face_add_embedding,
    "face.remove_embedding": face_remove_embedding,
    "json.merge": json_merge,
    "json.append": json_append,
    "json.replace": json_replace,
    "json.apply": json_apply,
}
CREATORS = ("ticket.create", "job.create", "face.add_embedding", "face.remove_embedding")


def effect(command, state, lookups):
    expected = command.attributes.get("expectedversion")
    version = state["version"] if state is not None else 0
    if state is None and command.type not in CREATORS:
        return [rejected("not_found", None)]
    if expected is not None and int(expected) != version:
        results = [rejected("stale_object", state)]
        if command.type in CREATORS and state is not None:
            results.append(rejected("already_exists", state))
        return results
    return EFFECTS[command.type](command.data, state, lookups)


def system_ticket():
    """The ticket of an autoclosed jobneed; what it says of itself is the workflow's."""
    return {"version": 1, "status": "NEW", "level": 0, "escalated": False, "source": "SYSTEMGENERATED", "appended": [],
            "loose": True}
