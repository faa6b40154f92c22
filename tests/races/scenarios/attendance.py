"""Attendance, faces, and what the lock itself promises."""


from harness.commands import command, create_ticket, escalate

from .description import (LEVEL, LEVELS, Hold, Old, Scenario, Step, attendance_uuid, document, each, if_none, keys_of,
                          nothing, plus_one)

PART = "attendance"
RECORD = "%(uuid)s::uuid"
VECTOR = [round((step % 7 - 3) / 10, 1) for step in range(512)]


def punch(b, direction, at):
    return command("attendance.punch", {"attendance_uuid": attendance_uuid(b), "person_id": b, "direction": direction,
                                        "at": at})


def visit(b):
    return [punch(b, "in", "2026-11-24T08:00:00Z"), punch(b, "out", "2026-11-24T17:00:00Z")]


def face_result(b, distance):
    return command("attendance.record_face_result", {"attendance_uuid": attendance_uuid(b), "person_id": b,
                                                     "verified": True, "distance": distance})


def count_extras(b, n):
    return command("json.apply", {"aggregate": f"attendance/{attendance_uuid(b)}", "field": "extras", "operations": [
        {"op": "set", "path": f"/k{n}", "value": n}]})


def old_result(document, n):
    side = "in" if "distance_in" not in document else "out"
    document.setdefault(f"distance_{side}", n)


def old_extras(change):
    return document(change, "attendance", "extras", RECORD)


def verify(b, n, **data):
    return command("face.record_verification", {"verification_id": b + n, "model_id": b, "user_id": b,
                                                "result": "SUCCESS", **data}, key=f"face-model/{b}")


def old_count(table):
    return Step(f"SELECT verification_count FROM interlock.{table} WHERE id = %(b)s", plus_one,
                (f"UPDATE interlock.{table} SET verification_count = %(value)s WHERE id = %(b)s",))


def add_embedding(b, n):
    return command("face.add_embedding", {"user_id": b, "model_id": b, "embedding_id": b + n, "vector": VECTOR,
                                          "confidence": 0.9}, key=f"face-user/{b}")


OLD_EMBEDDING = Step(
    "SELECT count(*) FROM interlock.face_embedding WHERE user_id = %(b)s AND model_id = %(b)s AND is_primary",
    lambda row, _n: {"primary": row[0] == 0},
    ("INSERT INTO interlock.face_embedding (id, user_id, model_id, is_primary) "
     "VALUES (%(b)s + %(n)s, %(b)s, %(b)s, %(primary)s)",))


def save(kind, b, **data):
    return command(f"job.save_{kind}", {"parent_id": b, "action": "create", **data})


def assignment(b):
    return save("geofence_assignment", b, name="night", person_id=b, geofence_id=2, starts_at="2026-11-24T00:00:00Z",
                asset_id=5, question_set_id=6, client_id=1)


def old_insert(look, columns, values):
    return Step(f"SELECT count(*) FROM interlock.job WHERE parent_id = %(b)s AND {look}", if_none,
                (f"INSERT INTO interlock.job (id, parent_id, {columns}) VALUES (%(b)s + 1 + %(n)s, %(b)s, {values})",))


CHILDREN = "SELECT count(*) FROM interlock.job WHERE parent_id = %(b)s"
MODEL = ("INSERT INTO interlock.face_model (id) VALUES (%(b)s)",)
EMBEDDING = (*MODEL, "INSERT INTO interlock.face_user (id) VALUES (%(b)s)",
             "INSERT INTO interlock.face_embedding (id, user_id, model_id) VALUES (%(b)s, %(b)s, %(b)s)")
JOB = ("INSERT INTO interlock.job (id, client_id, identifier) VALUES (%(b)s, 1, 'INTERNALTOUR')",)
DISTANCES = ("SELECT (extras ? 'distance_in')::int + (extras ? 'distance_out')::int FROM interlock.attendance "
             f"WHERE id = {RECORD}")
TICKET_ROW = "SELECT 1 FROM interlock.ticket WHERE id = %(b)s FOR UPDATE"
OLD_BUSY_LEVEL = Step("SELECT level FROM interlock.ticket WHERE id = %(b)s FOR UPDATE NOWAIT", plus_one, LEVEL.writes)
# "It opened the transaction first and took the lock inside, so the lock was released before the commit."
OLD_EARLY_RELEASE = Step(LEVEL.read, LEVEL.compute, LEVEL.writes,
                         before=("SELECT pg_advisory_lock(%(b)s)",), after=("SELECT pg_advisory_unlock(%(b)s)",))

ATTENDANCE = [
    Scenario(
        "punch-in and punch-out results at once", PART,
        setup=visit,
        storm=lambda b: [face_result(b, 0.2), face_result(b, 0.3)],
        expected={"changed": 2, "distances": 2},
        measure={"distances": DISTANCES},
        old=Old(2, each(old_extras(old_result)))),
    Scenario(
        "rapid updates", PART,
        setup=visit,
        storm=lambda b: [count_extras(b, n) for n in range(20)],
        expected={"changed": 20, "keys": 20},
        measure={"keys": keys_of("attendance", "extras", RECORD)},
        old=Old(20, each(old_extras(lambda document, n: document.update({f"k{n}": n}))))),
    Scenario(
        "attendance lock timeout", PART,
        setup=visit,
        storm=lambda b: [face_result(b, 0.2), face_result(b, 0.3)],
        expected={"changed": 2, "distances": 2},
        measure={"distances": DISTANCES},
        hold=Hold(row=f"SELECT 1 FROM interlock.attendance WHERE id = {RECORD} FOR UPDATE"),
        old=Old(2, each(Step(f"SELECT extras FROM interlock.attendance WHERE id = {RECORD} FOR UPDATE NOWAIT",
                             nothing, ())))),
    Scenario(
        "verification counters", PART, representative=True, prepare=MODEL,
        setup=lambda b: [],
        storm=lambda b: [verify(b, n) for n in range(50)],
        expected={"changed": 50, "count": 50},
        measure={"count": "SELECT verification_count FROM interlock.face_model WHERE id = %(b)s"},
        old=Old(50, each(old_count("face_model")))),
    Scenario(
        "primary embedding uniqueness", PART, prepare=MODEL, representative=True,
        setup=lambda b: [],
        storm=lambda b: [add_embedding(b, n) for n in range(10)],
        expected={"changed": 10, "embeddings": 10, "primaries": 1},
        measure={"embeddings": "SELECT count(*) FROM interlock.face_embedding WHERE user_id = %(b)s",
                 "primaries": "SELECT count(*) FROM interlock.face_embedding WHERE user_id = %(b)s AND is_primary"},
        old=Old(10, each(OLD_EMBEDDING))),
    Scenario(
        "embedding counters", PART,
        prepare=(*EMBEDDING, "INSERT INTO interlock.face_embedding_counter (id) VALUES (%(b)s)"),
        setup=lambda b: [],
        storm=lambda b: [verify(b, n, embedding_id=b) for n in range(20)],
        expected={"changed": 20, "count": 20},
        measure={"count": "SELECT verification_count FROM interlock.face_embedding_counter WHERE id = %(b)s"},
        old=Old(20, each(old_count("face_embedding_counter")))),
    Scenario(
        "constraint enforcement, checkpoint", PART, prepare=JOB,
        setup=lambda b: [],
        storm=lambda b: [save("checkpoint", b, job_id=b + 1 + n, asset_id=5, question_set_id=6) for n in range(5)],
        expected={"changed": 1, "children": 1},
        measure={"children": CHILDREN},
        old=Old(5, each(old_insert("asset_id = 5 AND question_set_id = 6", "asset_id, question_set_id", "5, 6")))),
    Scenario(
        "constraint enforcement, geofence assignment", PART, prepare=JOB,
        setup=lambda b: [],
        storm=lambda b: [assignment(b) for _ in range(5)],
        expected={"changed": 1, "children": 1},
        measure={"children": CHILDREN},
        old=Old(5, each(old_insert("name = 'night'", "name, identifier", "'night', 'GEOFENCE'")))),
    Scenario(
        "latency under lock", PART,
        setup=visit,
        storm=lambda b: [count_extras(b, n) for n in range(50)],
        expected={"changed": 50, "keys": 50, "median below 100 ms": 1},
        measure={"keys": keys_of("attendance", "extras", RECORD)},
        audited={"median below 100 ms":
                 "SELECT (percentile_cont(0.5) WITHIN GROUP (ORDER BY lock_wait_us + transaction_us) < 100000)::int "
                 "FROM interlock.audit_event WHERE aggregate = 'attendance/' || %(uuid)s AND command_type = 'json.apply'"},
        old=Old(50, each(old_extras(lambda document, n: document.update({f"k{n}": n}))))),
    Scenario(
        "lock basics, held by another", PART,
        setup=lambda b: [create_ticket(b)],
        storm=lambda b: [escalate(b) for _ in range(3)],
        expected={"changed": 3, "levels": 3},
        measure={"levels": LEVELS},
        hold=Hold(row=TICKET_ROW, redis="ticket/{b}"),
        old=Old(3, each(OLD_BUSY_LEVEL))),
    Scenario(
        "lock basics, another aggregate", PART,
        setup=lambda b: [create_ticket(b), create_ticket(b + 1)],
        storm=lambda b: [escalate(b + n % 2) for n in range(10)],
        expected={"changed": 10, "levels": 10, "meanwhile": 1},
        measure={"levels": LEVELS},
        hold=Hold(row=TICKET_ROW, meanwhile="SELECT level = 5 FROM interlock.ticket WHERE id = %(b)s + 1"),
        old=Old(10, lambda n: [OLD_BUSY_LEVEL])),
    Scenario(
        "lock basics, released after the commit", PART,
        setup=lambda b: [create_ticket(b)],
        storm=lambda b: [escalate(b) for _ in range(10)],
        expected={"changed": 10, "levels": 10},
        measure={"levels": LEVELS},
        old=Old(10, each(OLD_EARLY_RELEASE))),
]
