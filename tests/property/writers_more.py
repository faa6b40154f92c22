"""The other aggregates' commands, and the rows that are there before the first one."""

from .model import jobneeds, rules
from .writers import (ASSIGNED, CATEGORY, CHILDREN, CLIENT, EMBEDDINGS, FENCES, JOBNEEDS, JOBS, MODELS, PERSONS, PLAN_CHILDREN,
                      RECORDS, SEED_TIME, SHIFTS, TICKETS, USERS, VERIFICATIONS, json_object, json_value, ref, ticket)

def status(writer, number):
    return writer.status_after(jobneeds.MACHINE, rules.JOBNEED_STATUSES, "jobneed", number)


LATE = "2026-12-24T00:00:00Z"


def root(writer):
    """A root jobneed, now and then a checkpoint in its place."""
    return ref(writer.rng.randrange(*CHILDREN)) if writer.chance(0.03) and not writer.single else ref(writer.of(JOBNEEDS))


# ---- jobneeds -----------------------------------------------------------------------------------------------

def jobneed(writer):
    kind = writer.rng.choice(("create", "create", "transition", "transition", "transition", "assign", "autoclose",
                              "autoclose", "autoclose_checkpoints", "update_checkpoint", "update_checkpoint", "update_checkpoint",
                              "bulk_update_checkpoints", "set_expiry", "mark_mail_sent", "sync_adhoc"))
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
    writer.maybe(data, 0.3, expires_at=writer.time, grace_minutes=rng.randint(0, 30), site_id=ref(211), client_id=CLIENT,
                 other_info=lambda: json_object(writer))
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
    return writer.maybe({"jobneed_id": number}, 0.4, status=lambda: status(writer, number), remarks=writer.text,
                        seq=writer.rng.randint(0, 9), expires_at=lambda: writer.rng.choice((writer.time(), LATE)))


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
    data = {"jobneed_id": number, "performed_by": ref(201), "started_at": writer.time(8, 9),
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
        expiry_minutes=rng.randint(0, 9), name=rng.choice(("gate", "roof")))


def fence(writer):
    """Of persons who do not punch: whether a face result sees an assignment that a command before it has made depends on
    the batch, as two aggregates have no order."""
    rng = writer.rng
    data = saving(writer, {"parent_id": ref(writer.of(JOBS))}, {
        "name": rng.choice(("gate", "roof")), "person_id": rng.choice((1, ref(204), ref(205), ref(206))),
        "geofence_id": ref(rng.randrange(*FENCES)), "starts_at": "2026-11-01T00:00:00Z"})
    writer.maybe(data, 0.25, ends_at=writer.time, asset_id=rng.randint(1, 2), question_set_id=rng.randint(1, 2),
                 client_id=rng.choice((CLIENT, 6)))
    if writer.chance(0.3):
        writer.maybe(data, 0.9, from_minute=rng.randint(0, 1439), until_minute=rng.randint(0, 1439))
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
    writer.maybe(data, 0.5, site_id=ref(rng.choice((211, 212))), shift_id=rng.choice((1, ref(221), ref(225))))
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
PATHS = ("", "/n", "/n", "/log", "/log/-", "/log/0", "/log/1", "/log/01", "/a/b/c", "/b~1c", "/d~0e", "/", "/visits/7/n",
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
        writer.maybe(data, 0.4, max_length=rng.randint(1, 3))
    elif kind == "apply":
        data["operations"] = [operation(writer) for _ in range(rng.randint(1, 4))]
    else:
        data["value"] = whole(writer, field)
    return f"json.{kind}", data


def whole(writer, field):
    if writer.chance(0.1):
        return json_value(writer)
    if field == "anomaly_history":
        return [json_value(writer) for _ in range(writer.rng.randint(0, 60))]
    if field == "arrivals":
        return {f"§u{writer.rng.randint(310, 330)}": writer.rng.choice((writer.time(), "yesterday", None))
                for _ in range(writer.rng.randint(0, 5))}
    if field == "frequent_locations":
        return {f"{writer.rng.randint(0, 12)}.000000,0.000000": writer.rng.choice((1, 2, 3, 0, -1, "§n:1.5", "2", "§n:3.0"))
                for _ in range(writer.rng.randint(0, 12))}
    return json_object(writer)


def operation(writer):
    rng = writer.rng
    made = {"op": rng.choice(("set", "set", "increment", "increment", "append", "append", "remove", "test")),
            "path": rng.choice(PATHS)}
    if made["op"] in ("set", "append", "test") and writer.chance(0.98):
        made["value"] = json_value(writer)
    if made["op"] == "increment":
        writer.maybe(made, 0.5, by=rng.choice((1, -1, "§n:0.1", "§n:1e2", 2 ** 62, "§n:1e-18", "§n:1e-19", 2 ** 63)))
    return made


WRITERS = {"ticket": ticket, "jobneed": jobneed, "plan": plan, "attendance": attendance,
           "behaviour": behaviour, "face": face, "document": document}


# ---- rows ---------------------------------------------------------------------------------------------------

def rows(writer):
    """Aggregates in every status, plans, and what is looked up."""
    rng, scope, made = writer.rng, writer.scope, []

    def add(table, number, **columns):
        made.append((table, {"id": ref(number), **columns}))
    stamp = {"version": rng.randint(1, 3), "created_at": SEED_TIME, "modified_at": SEED_TIME, "modified_by": None}
    if scope in ("ticket", "mixed"):
        for number in range(*TICKETS):
            if writer.chance(0.7):
                add("ticket", number, status=rng.choice(rules.TICKET_STATUSES), priority="LOW", site_id=ref(211),
                    category=CATEGORY, client_id=CLIENT, **stamp)
        for level in (1, 2, 3):
            add("escalation_matrix", 240 + level, site_id=ref(211), category=CATEGORY, client_id=CLIENT, level=level,
                assigned_person_id=rng.choice((None, 31)), assigned_group_id=rng.choice((None, 41)))
    if scope in ("plan", "attendance", "mixed"):
        for number in range(*JOBS):
            add("job", number, identifier=rng.choice(rules.TOURS + ("TASK",)), client_id=rng.choice((None, CLIENT)), **stamp)
    if scope in ("jobneed", "mixed"):
        add_jobneeds(writer, add, stamp)
    if scope in ("attendance", "mixed"):
        add_places(rng, add)
        add_assignments(rng, add, stamp)
    if scope in ("face", "mixed"):
        for number in range(*MODELS):
            add("face_model", number, verification_count=0, successful_verifications=0, last_used=None)
    return made


def add_jobneeds(writer, add, stamp):
    rng, child = writer.rng, CHILDREN[0]
    for number in range(*JOBNEEDS):
        if writer.chance(0.15):
            continue
        statuses = rules.JOBNEED_STATUSES + ("ASSIGNED", "INPROGRESS") * 3
        identifier, type_ = rng.choice(rules.TOURS + rules.TOURS + ("TASK",)), rng.choice(rules.TYPES)
        add("jobneed", number, status=rng.choice(statuses), identifier=identifier, type=type_,
            starts_at=SEED_TIME, **stamp)
        for asset in range(rng.randint(0, 3)):
            add("jobneed", child, parent_id=ref(number), status=rng.choice(statuses), identifier=identifier,
                type=type_, starts_at=SEED_TIME, asset_id=11 + asset, question_set_id=1, **{**stamp, "version": 0})
            child += 1


def add_places(rng, add):
    for number in range(*SHIFTS):
        add("shift", number, site_id=ref(rng.choice((211, 212))), start_minute=rng.choice((0, 30, 480, 540, 1320, 1430)),
            end_minute=600, utc_offset_minutes=rng.choice((0, 0, 330)), enabled=rng.random() < 0.8)
    for number in range(*FENCES):
        circle = number % 2 == 0
        add("geofence", number, enabled=rng.random() < 0.8, center_latitude=12.9716 if circle else None,
            center_longitude=77.5946 if circle else None, radius_m=150.0 if circle else None)
        if not circle:
            for place, (latitude, longitude) in enumerate(((12.96, 77.58), (12.96, 77.60), (12.98, 77.60), (12.98, 77.58))):
                add("geofence_vertex", 900 + 10 * number + place, geofence_id=ref(number), seq=place + 1,
                    latitude=latitude, longitude=longitude)


def add_assignments(rng, add, stamp):
    for number in range(*ASSIGNED):
        span = rng.choice(((None, None), (None, None), (480, 1200), (1380, 600)))
        add("job", number, parent_id=ref(JOBS[0]), identifier="GEOFENCE", name=f"seed {number}",
            person_id=ref(rng.randrange(*PERSONS)), geofence_id=ref(rng.randrange(*FENCES)),
            starts_at=rng.choice((SEED_TIME, 1_793_900_000_000_000)), ends_at=rng.choice((None, 1_796_000_000_000_000)),
            from_minute=span[0], until_minute=span[1], **{**stamp, "version": 0})
