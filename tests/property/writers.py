"""Sensible and half-sensible commands, by aggregate."""

from decimal import Decimal

from .model import jobneeds, rules, tickets
from .model.documents import MISSING, TABLES, Nowhere, look, pointer_steps
from .templates import plain, ref, uuid_of
from .writer import (CATEGORY, CHILDREN, CLIENT, EMBEDDINGS, FENCES, JOBNEEDS, JOBS, MODELS, PERSONS, PLAN_CHILDREN,
                     RECORDS, TICKETS, USERS, VERIFICATIONS, json_object, json_value)

LONG = "z" * 20000  # a few of them fill a JSON field
LATE = "2026-12-24T00:00:00Z"


# ---- tickets ------------------------------------------------------------------------------------------------

def ticket(writer):
    rng, number = writer.rng, ref(writer.of(TICKETS))
    kind = rng.choice(("create", "transition", "transition", "transition", "assign", "escalate", "escalate",
                       "append_history", "bulk_update"))
    return f"ticket.{kind}", TICKET_DATA[kind](writer, number)


def ticket_create(writer, number):
    data = {"priority": writer.rng.choice(rules.PRIORITIES)}
    if writer.chance(0.9):
        data["ticket_id"] = number
    writer.maybe(data, 0.7, category=writer.rng.choice((CATEGORY,) * 9 + ("é" * 65,)), site_id=ref(211),
                 client_id=CLIENT)
    writer.maybe(data, 0.4, asset_id=writer.rng.randint(1, 9), comments=writer.text,
                 source=writer.rng.choice(rules.SOURCES))
    return writer.assigned(data, 0.4)


def ticket_transition(writer, number):
    status = writer.status_after(tickets.MACHINE, rules.TICKET_STATUSES, "ticket", number)
    return writer.maybe({"ticket_id": number, "status": status}, 0.3, comments=writer.text)


def ticket_escalate(writer, number):
    data = writer.assigned({"ticket_id": number}, 0.25)
    return writer.maybe(data, 0.2, level=writer.rng.choice((0, 1, 2, 3, rules.INT32, None)))


def ticket_append(writer, number):
    entry = {"action": writer.rng.choice(("note", "call", "é"))}
    writer.maybe(entry, 0.5, people_id=writer.person, when=writer.time, who=writer.text,
                 details=lambda: json_value(writer), previous_state=lambda: json_value(writer))
    return {"ticket_id": number, "entry": entry}


def ticket_bulk(writer, number):
    numbers = [number] + ([] if writer.single else [ref(each) for each in range(*TICKETS)
                                                    if writer.chance(0.5) and ref(each) != number])
    writer.rng.shuffle(numbers)
    there = {ref(row["id"]) for row in writer.there("ticket")}
    if writer.chance(0.7) and there & set(numbers):
        numbers = [each for each in numbers if each in there]
    data = {"ticket_ids": numbers}
    status = writer.status_after(tickets.MACHINE, rules.TICKET_STATUSES, "ticket", numbers[0])
    writer.maybe(data, 0.4, status=status, comments=writer.text,
                 priority=writer.rng.choice(rules.PRIORITIES))
    return writer.assigned(data, 0.3)


TICKET_DATA = {"create": ticket_create, "transition": ticket_transition, "escalate": ticket_escalate,
               "assign": lambda writer, number: writer.assigned({"ticket_id": number}, 0.7),
               "append_history": ticket_append, "bulk_update": ticket_bulk}


# ---- jobneeds -----------------------------------------------------------------------------------------------

def status(writer, number):
    return writer.status_after(jobneeds.MACHINE, rules.JOBNEED_STATUSES, "jobneed", number)


def root(writer):
    """A root jobneed, now and then a checkpoint in its place."""
    if writer.chance(0.03) and not writer.single:
        return ref(writer.rng.randrange(*CHILDREN))
    return ref(writer.of(JOBNEEDS))


def jobneed(writer):
    kind = writer.rng.choice(("create", "create", "transition", "transition", "transition", "assign", "autoclose",
                              "autoclose", "autoclose_checkpoints", "update_checkpoint", "update_checkpoint",
                              "update_checkpoint", "bulk_update_checkpoints", "set_expiry", "mark_mail_sent",
                              "sync_adhoc"))
    return f"job.{kind}", JOBNEED_DATA[kind](writer)


def job_create(writer):
    rng = writer.rng
    data = {"identifier": rng.choice(rules.TOURS + rules.TOURS + rules.IDENTIFIERS), "type": rng.choice(rules.TYPES),
            "starts_at": writer.time()}
    child = writer.chance(0.3)
    if child:
        data["parent_id"] = root(writer)
    if writer.chance(0.9):
        data["jobneed_id"] = ref(rng.randrange(*CHILDREN)) if child else ref(writer.of(JOBNEEDS))
    if not child and writer.chance(0.6):
        data["checkpoints"] = [checkpoint(writer) for _ in range(rng.randint(0, 4))]
    writer.maybe(data, 0.3, expires_at=writer.time, grace_minutes=rng.randint(0, 30), site_id=ref(211),
                 client_id=CLIENT, other_info=lambda: json_object(writer))
    if writer.chance(0.2) and writer.scope in ("plan", "mixed"):
        data["job_id"] = ref(writer.of(JOBS))
    return writer.assigned(data, 0.3)


def checkpoint(writer):
    data = {"asset_id": writer.rng.randint(1, 6), "question_set_id": writer.rng.randint(1, 3),
            "seq": writer.rng.randint(0, 9)}
    return writer.maybe(data, 0.85, jobneed_id=ref(writer.rng.randrange(*CHILDREN)))


def child_of(writer, parent, table, pool):
    """One that the parent has, or any."""
    there = [row["id"] for row in writer.there(table, parent_id=int(parent.strip("§"))) if row["id"] in range(*pool)]
    return ref(writer.rng.choice(there) if there and writer.chance(0.85) else writer.rng.randrange(*pool))


def change(writer, parent):
    number = child_of(writer, parent, "jobneed", CHILDREN)
    return writer.maybe({"jobneed_id": number}, 0.4, status=lambda: status(writer, number),
                        remarks=lambda: writer.rng.choice((writer.text(), writer.text(), None)),
                        seq=writer.rng.choice((0, 1, 2, 9, None)),
                        expires_at=lambda: writer.rng.choice((writer.time(), LATE, None)))


def bulk_change(writer):
    parent = root(writer)
    changes = [change(writer, parent) for _ in range(writer.rng.randint(1, 4))]
    if writer.chance(0.9):
        changes = list({each["jobneed_id"]: each for each in changes}.values())
    return {"parent_id": parent, "checkpoints": changes}


def one_change(writer):
    parent = root(writer)
    return {"parent_id": parent, **change(writer, parent)}


def moved(writer):
    number = root(writer)
    return writer.maybe({"jobneed_id": number, "status": status(writer, number)}, 0.3, remarks=writer.text)


def adhoc(writer):
    number = root(writer)
    data = {"jobneed_id": number, "performed_by": writer.rng.choice((1, ref(201), ref(201))), "started_at": writer.time(8, 9),
            "ended_at": writer.time(17, 20), "status": status(writer, number)}
    if writer.chance(0.8):
        data["ended_at"] = LATE
    return writer.maybe(data, 0.4, remarks=writer.text, alerts=writer.chance(0.5), modified_at=writer.time,
                        attachment_count=writer.rng.randint(0, 3), modified_by="phone/7")


JOBNEED_DATA = {
    "create": job_create,
    "transition": moved,
    "assign": lambda writer: writer.assigned({"jobneed_id": root(writer)}, 0.7),
    "autoclose": lambda writer: writer.maybe({"jobneed_id": root(writer)}, 0.8,
                                             notify=writer.rng.choice(rules.NOTICES + (None,))),
    "autoclose_checkpoints": lambda writer: {"jobneed_id": root(writer)},
    "update_checkpoint": one_change,
    "bulk_update_checkpoints": bulk_change,
    "set_expiry": lambda writer: {"jobneed_id": root(writer), "expires_at": writer.rng.choice(
        (writer.time(), LATE, "2026-12-24T05:30:00+05:30"))},
    "mark_mail_sent": lambda writer: {"jobneed_id": root(writer)},
    "sync_adhoc": adhoc,
}


# ---- plans --------------------------------------------------------------------------------------------------

def saving(writer, data, needed):
    """The action, its job, and what a new one needs."""
    data["action"] = writer.rng.choice(("create", "create", "edit", "edit", "remove"))
    if data["action"] != "create":
        data["job_id"] = child_of(writer, data["parent_id"], "job", PLAN_CHILDREN)
    elif writer.chance(0.9):
        data["job_id"] = ref(writer.rng.randrange(*PLAN_CHILDREN))
    for name, value in needed.items():
        if data["action"] == "create" and writer.chance(0.97) or writer.chance(0.3):
            data[name] = value
    return data


def plan(writer):
    if writer.chance(0.5):
        return fence(writer)
    rng = writer.rng
    data = saving(writer, {"parent_id": ref(writer.of(JOBS))}, {"asset_id": rng.randint(1, 3),
                                                                "question_set_id": rng.randint(1, 3)})
    return "job.save_checkpoint", writer.maybe(
        data, 0.3, seq=rng.randint(0, 9), grace_minutes=rng.randint(0, 9), plan_minutes=rng.randint(0, 9),
        expiry_minutes=rng.randint(0, 9), name=rng.choice(("gate", "roof", None)))


def fence(writer):
    """Of persons who do not punch: whether a face result sees an assignment that a command before it has made depends
    on the batch, as two aggregates have no order."""
    rng = writer.rng
    data = saving(writer, {"parent_id": ref(writer.of(JOBS))}, {
        "name": rng.choice(("gate", "roof")), "person_id": rng.choice((1, ref(204), ref(205), ref(206))),
        "geofence_id": ref(rng.randrange(*FENCES)), "starts_at": "2026-11-01T00:00:00Z"})
    if data["action"] == "edit" and writer.chance(0.05):
        data["person_id"] = None
    writer.maybe(data, 0.25, ends_at=lambda: rng.choice((writer.time(), None)), asset_id=rng.choice((1, 2, None)),
                 question_set_id=rng.choice((1, 2, None)), client_id=rng.choice((CLIENT, 6, None)),
                 utc_offset_minutes=rng.choice((0, 330, -720, None)))
    if writer.chance(0.3):
        writer.maybe(data, 0.9, from_minute=rng.choice((rng.randint(0, 1439), None)), until_minute=rng.choice((
            rng.randint(0, 1439), None)))
    return "job.save_geofence_assignment", data


# ---- attendance ---------------------------------------------------------------------------------------------

# In the circle or the polygon, or far from both: nothing on a rim, where two ways to compute may differ.
SPOTS = ((12.9716, 77.5946), (12.9717, 77.5947), (12.99, 77.5946), (13.05, 77.65), (-33.9, 18.4), (0, 0))


def attendance(writer):
    rng = writer.rng
    record, person = writer.of(RECORDS), ref(PERSONS[0])
    if not writer.single:
        person = ref(201 + record % 3) if writer.chance(0.9) else ref(rng.randrange(*PERSONS))
    data = {"attendance_uuid": f"§u{record}", "person_id": 1 if writer.chance(0.02) else person}
    if writer.chance(0.4):
        data.update(verified=writer.chance(0.7), distance=rng.choice((0, 0.25, 0.4375, 1.5, 12)))
        return "attendance.record_face_result", data
    data.update(direction=rng.choice(("in", "in", "out")))
    data["at"] = {"in": writer.time(5, 11), "out": "2026-11-28T23:10:00Z"}[data["direction"]]
    if writer.chance(0.4):
        data["at"] = rng.choice(("2026-11-20T00:10:00Z", "2026-11-20T08:55:00Z", "2026-11-20T23:50:00Z"))
    if writer.chance(0.7):
        data["latitude"], data["longitude"] = rng.choice(SPOTS)
    writer.maybe(data, 0.7, site_id=ref(rng.choice((211, 212))))
    writer.maybe(data, 0.3, shift_id=rng.choice((1, ref(221), ref(225))))
    return "attendance.punch", data


# ---- behaviour ----------------------------------------------------------------------------------------------

def behaviour(writer):
    rng = writer.rng
    data = {"user_id": ref(writer.of(USERS)), "attendance_uuid": f"§u{rng.randint(310, 330)}",
            "fraud_probability": rng.choice((0, 0, 0.1, 0.37, 1, 0.999)),
            "face": {"verified": writer.chance(0.8), "confidence": rng.choice((0, 0.5, 0.93, 1))}}
    writer.maybe(data, 0.7, punch_in=lambda: rng.choice((writer.time(), writer.time(8, 8), "2026-10-28T08:00:00Z",
                                                         "2026-12-24T23:59:59.999999Z")))
    writer.maybe(data, 0.5, anomaly=lambda: json_value(writer), location=lambda: {
        "latitude": rng.choice((12.9715987, 12.9716, -0.0000001, 90, 1.5) + tuple(range(8))),
        "longitude": rng.choice((77.5945627, -180, 0))})
    return "behaviour.update_profile", data


# ---- faces --------------------------------------------------------------------------------------------------

def face(writer):
    rng = writer.rng
    user, model, embedding = (ref(writer.of(pool)) for pool in (USERS, MODELS, EMBEDDINGS))
    kind = rng.choice(("add", "add", "remove", "verify", "verify"))
    there = writer.there("face_embedding")
    if kind != "add" and there and writer.chance(0.75):
        row = rng.choice(there)
        embedding, user, model = (ref(row[name]) for name in ("id", "user_id", "model_id"))
    if kind == "remove":
        return "face.remove_embedding", {"user_id": user, "model_id": model, "embedding_id": embedding}
    if kind == "verify":
        data = {"verification_id": ref(rng.randrange(*VERIFICATIONS)), "model_id": model, "user_id": user,
                "result": rng.choice(("SUCCESS",) + rules.RESULTS)}
        return "face.record_verification", writer.maybe(data, 0.5, embedding_id=embedding)
    vector = [rng.choice((0, 1, 0.1, -3.25, 1e-30, "§n:1e38"))] * 511 + [rng.choice((0, 0.5, -0.1))]
    data = {"user_id": user, "model_id": model, "vector": vector, "confidence": rng.choice((0, 0.5, 0.99, 1))}
    writer.maybe(data, 0.85, embedding_id=embedding)
    return "face.add_embedding", writer.maybe(data, 0.5, validated=writer.chance(0.7), is_primary=writer.chance(0.4))


# ---- JSON fields --------------------------------------------------------------------------------------------

FIELDS = {"jobneed": (("jobneed/{}", JOBNEEDS, "other_info"),), "plan": (("job/{}", JOBS, "other_info"),),
          "attendance": (("attendance/{}", RECORDS, "extras"),),
          "behaviour": tuple(("behaviour/{}", USERS, name) for name in ("anomaly_history", "arrivals",
                                                                        "frequent_locations"))}
PATHS = ("", "/n", "/n", "/log", "/log/-", "/log/0", "/log/1", "/log/01", "/a/b/c", "/b~1c", "/d~0e", "/",
         "/visits/7/n",
         "/visits/7", "/0", "/-", "/1", "/2/n", "n", "/x~2")


def document(writer):
    rng = writer.rng
    places = FIELDS.get(writer.scope) or sum(FIELDS.values(), ())
    name, pool, field = rng.choice(places)
    number = writer.of(pool)
    if name == "jobneed/{}" and not writer.single and writer.chance(0.03):
        number = rng.randrange(*CHILDREN)
    if name == "job/{}" and writer.chance(0.03):
        number = rng.randrange(*PLAN_CHILDREN)
    data = {"aggregate": name.format(f"§u{number}" if pool == RECORDS else f"§{number}"),
            "field": rng.choice(("remarks", "version")) if writer.chance(0.02) else field}
    if writer.chance(0.01):
        data["aggregate"] = rng.choice(("ticket/§1", "face-user/§101"))
    kind = rng.choice(("merge", "replace", "append", "apply", "apply", "apply"))
    if kind == "append":
        data.update(key=rng.choice(("log", "log", "n", "é")), value=json_value(writer))
        if writer.chance(0.06):
            data["value"] = rng.choice((LONG, [LONG, LONG, LONG]))
        writer.maybe(data, 0.4, max_length=rng.randint(1, 3))
    elif kind == "apply":
        data["operations"] = [operation(writer, present(writer, name, number, field))
                              for _ in range(rng.randint(1, 4))]
    else:
        data["value"] = whole(writer, field)
    return f"json.{kind}", data


def whole(writer, field):
    if writer.chance(0.1):
        return json_value(writer)
    if field == "anomaly_history" and writer.chance(0.1):
        return [LONG, LONG, LONG]
    if field == "anomaly_history":
        return [json_value(writer) for _ in range(writer.rng.randint(0, 60))]
    if field == "arrivals":
        return {f"§u{writer.rng.randint(310, 330)}": writer.rng.choice((writer.time(), "yesterday", None))
                for _ in range(writer.rng.randint(0, 5))}
    if field == "frequent_locations":
        counts = (1, 2, 3, 0, -1, "§n:1.5", "2", "§n:3.0")
        return {f"{writer.rng.randint(0, 12)}.000000,0.000000": writer.rng.choice(counts)
                for _ in range(writer.rng.randint(0, 12))}
    return json_object(writer)


def present(writer, name, number, field):
    """The present value of the field."""
    table = TABLES[name.partition("/")[0]]
    row = writer.domain.get(table, uuid_of(number) if table == "attendance" else number) or {}
    return row.get(field, {})


def a_path(writer, there):
    """One that leads somewhere, or any."""
    steps = list(there) if isinstance(there, dict) else range(len(there))
    if not steps or writer.chance(0.5):
        return writer.rng.choice(PATHS)
    return "/" + str(writer.rng.choice(steps)).replace("~", "~0").replace("/", "~1")


def twin(value):
    """A similar value: equal, or nearly."""
    if isinstance(value, bool):
        return int(value)
    if value in (0, 1) and isinstance(value, int):
        return value == 1
    if isinstance(value, Decimal) and "." in str(value) and "E" not in str(value):
        return f"§n:{value}0"
    return plain(value)


def operation(writer, there):
    rng = writer.rng
    made = {"op": rng.choice(("set", "set", "increment", "increment", "append", "append", "remove", "test")),
            "path": a_path(writer, there)}
    if made["op"] in ("set", "append", "test") and writer.chance(0.98):
        made["value"] = json_value(writer)
    if made["op"] == "test" and writer.chance(0.7):
        try:
            found = look(there, pointer_steps(made["path"]) or [])
            if found is not MISSING:
                made["value"] = twin(found) if writer.chance(0.4) else plain(found)
        except Nowhere:
            pass
    if made["op"] == "increment":
        steps = (1, -1, "§n:0.1", "§n:1e2", 2 ** 62, "§n:1e-18", "§n:1e-19", 2 ** 63)
        writer.maybe(made, 0.5, by=rng.choice(steps))
    return made


WRITERS = {"ticket": ticket, "jobneed": jobneed, "plan": plan, "attendance": attendance,
           "behaviour": behaviour, "face": face, "document": document}
