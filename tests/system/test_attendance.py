"""Attendance: punches, face results, geofences and shifts on real services; results that come at once; constraints."""

import uuid

import psycopg2
import pytest

from harness.commands import command
from harness.waiting import until

WAYS = {"redis": {}, "no redis": {"redis_enabled": "false"}}


@pytest.fixture
def visit():
    return str(uuid.uuid4())


@pytest.fixture(params=WAYS)
def pair(request, world):
    """A world with two workers that both own partitions; without Redis PostgreSQL's row locks have to do."""
    settings = WAYS[request.param]
    world.worker(**settings)
    world.worker(**settings)
    until("both own partitions",
          lambda: all(each.metric("interlock_partitions_assigned") > 0 for each in world.workers))
    return world


def punch(visit, person, direction, at, **data):
    return command("attendance.punch", {"attendance_uuid": visit, "person_id": person, "direction": direction, "at": at,
                                        **data})


def punch_in(visit, person, at="2026-11-24T09:00:00Z", **data):
    return punch(visit, person, "in", at, **data)


def punch_out(visit, person, at="2026-11-24T17:00:00Z", **data):
    return punch(visit, person, "out", at, **data)


def face(visit, person, distance, verified=True, **attributes):
    return command("attendance.record_face_result", {"attendance_uuid": visit, "verified": verified,
                                                     "distance": distance, "person_id": person}, **attributes)


def record(world, visit, columns):
    return world.database.row(f"SELECT {columns} FROM interlock.attendance WHERE id = %s", visit)


def outcome(event):
    return (event.outcome, event.reason)


def versions(event):
    version = event.data["version"]
    return (version["from"], version["to"]) if version else None


def scatter(messages, partitions):
    """Every message to a partition that its key did not choose."""
    return [each.at(place % partitions) for place, each in enumerate(messages)]


def judge(world):
    """The invariants hold; whether each change is the right one is said here, where the checker's model has no say."""
    world.drain()
    violations = [str(each) for each in world.violations(ordered=False) if "changes no aggregate" not in str(each)]
    assert not violations, "\n".join(violations[:20])


def put_polygon(world, number, *corners):
    world.database.execute("INSERT INTO interlock.geofence (id) VALUES (%s)", number)
    for seq, (latitude, longitude) in enumerate(corners, 1):
        world.database.execute("INSERT INTO interlock.geofence_vertex (geofence_id, seq, latitude, longitude) "
                               "VALUES (%s, %s, %s, %s)", number, seq, latitude, longitude)


def put_circle(world, number, latitude, longitude, radius_m):
    world.database.execute("INSERT INTO interlock.geofence (id, center_latitude, center_longitude, radius_m) "
                           "VALUES (%s, %s, %s, %s)", number, latitude, longitude, radius_m)


def assign(world, root, person, geofence):
    """A plan, and by a command its child that gives the person the geofence."""
    world.database.execute("INSERT INTO interlock.job (id) VALUES (%s)", root)
    told = world.ask(command("job.save_geofence_assignment", {
        "parent_id": root, "action": "create", "name": "gate", "person_id": person, "geofence_id": geofence,
        "starts_at": "2026-01-01T00:00:00Z"}))
    assert outcome(told) == ("applied", None), told.data


def put_shifts(world, site, *shifts):
    for number, start, end, offset in shifts:
        world.database.execute("INSERT INTO interlock.shift (site_id, id, start_minute, end_minute, "
                               "utc_offset_minutes) VALUES (%s, %s, %s, %s, %s)", site, number, start, end, offset)


# ---- a visit ------------------------------------------------------------------------------------------------

def test_a_visit_from_the_punch_in_to_the_second_result(shared, number, visit):
    told = shared.ask(punch_in(visit, number, site_id=3, latitude=12.5, longitude=77.25), face(visit, number, 0.25),
                      punch_out(visit, number, latitude=-90, longitude=180), face(visit, number, 0.5, verified=False),
                      face(visit, number, 0.1))
    assert [outcome(each) for each in told] == [("applied", None)] * 4 + [("unchanged", None)]
    assert [versions(each) for each in told] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 4)]
    assert [each.data["operation"] for each in told] == ["CREATION", "FLAG_SET", "FIELD_UPDATE", "FLAG_SET",
                                                         "FLAG_SET"]
    assert told[0].data["metadata"] == {"direction": "in"}
    assert told[1].data["metadata"] == {
        "side": "in", "face_in": {"old": False, "new": True}, "extras": {
            "distance_in": {"old": None, "new": 0.25}, "verified_in": {"old": None, "new": True}}}
    assert told[2].data["metadata"] == {
        "direction": "out", "punch_out": {"old": None, "new": "2026-11-24T17:00:00.000000Z"},
        "end_latitude": {"old": None, "new": -90}, "end_longitude": {"old": None, "new": 180}}
    assert told[4].data["metadata"] == {"side": None}
    assert all(each.key == each.subject == f"attendance/{visit}" for each in told)
    assert record(shared, visit, "person_id, site_id, shift_id") == (number, 3, None)
    assert record(shared, visit, "start_latitude, start_longitude, end_latitude, end_longitude, face_in, face_out, "
                  "version, punch_out - punch_in = interval '8 hours'") == (12.5, 77.25, -90, 180, True, False, 4, True)
    assert record(shared, visit, "extras")[0] == {"verified_in": True, "distance_in": 0.25, "verified_out": False,
                                                  "distance_out": 0.5}


def test_a_uuid_in_capitals_is_the_same_record(shared, number, visit):
    told = shared.ask(punch_in(visit.upper(), number).keyed(f"attendance/{visit}"), punch_out(visit, number))
    assert [outcome(each) for each in told] == [("applied", None)] * 2
    assert told[0].subject == f"attendance/{visit}"


def test_refusals_and_repetitions(shared, number, visit):
    told = shared.ask(face(visit, number, 0.5), punch_in(visit, number, site_id=3),
                      punch_in(visit, number), punch_in(visit, number, "2026-11-24T09:01:00Z"),
                      punch_in(visit, number + 1), punch_out(visit, number, "2026-11-24T08:00:00Z"),
                      face(visit, number + 1, 0.5), punch_out(visit, number), punch_out(visit, number),
                      punch_out(visit, number, "2026-11-24T18:00:00Z"))
    assert [outcome(each) for each in told] == [
        ("rejected", "not_found"), ("applied", None), ("unchanged", None),
        ("rejected", "already_exists"), ("rejected", "invalid_data"), ("rejected", "invalid_data"),
        ("rejected", "invalid_data"), ("applied", None), ("unchanged", None), ("rejected", "already_exists")]
    assert [each.data["metadata"].get("parameter") for each in told[4:7]] == ["/person_id", "/at", "/person_id"]
    assert [versions(each) for each in told] == [None, (0, 1)] + [(1, 1)] * 5 + [(1, 2)] + [(2, 2)] * 2


def test_a_punch_out_without_a_punch_in_makes_a_record_with_its_end_only(shared, number, visit):
    told = shared.ask(punch_out(visit, number, latitude=1, longitude=2), punch_out(visit, number, latitude=1, longitude=2),
                      face(visit, number, 0.5), punch_in(visit, number, "2026-11-24T18:00:00Z"), punch_in(visit, number))
    assert [outcome(each) for each in told] == [("applied", None), ("unchanged", None), ("applied", None),
                                                ("rejected", "invalid_data"), ("applied", None)]
    assert [each.data["operation"] for each in told] == ["CREATION", "FIELD_UPDATE", "FLAG_SET", "FIELD_UPDATE",
                                                         "FIELD_UPDATE"]
    assert told[2].data["metadata"]["side"] == "out"
    assert record(shared, visit, "person_id, punch_in IS NOT NULL, end_latitude, start_latitude, version") == (
        number, True, 1, None, 3)


def test_expectedversion_holds_for_a_root_with_a_uuid(shared, number, visit):
    told = shared.ask(punch_in(visit, number), face(visit, number, 0.5, expectedversion=7),
                      face(visit, number, 0.5, expectedversion=1))
    assert [outcome(each) for each in told] == [("applied", None), ("rejected", "stale_object"), ("applied", None)]


def test_extras_are_a_field_of_the_json_commands(shared, number, visit):
    about = {"aggregate": f"attendance/{visit}", "field": "extras"}
    told = shared.ask(punch_in(visit, number), command("json.merge", {**about, "value": {"device": "a-1"}}),
                      command("json.append", {**about, "key": "notes", "value": "late"}), face(visit, number, 0.5))
    assert [outcome(each) for each in told] == [("applied", None)] * 4
    assert record(shared, visit, "extras")[0] == {"device": "a-1", "notes": ["late"], "verified_in": True,
                                                  "distance_in": 0.5}


def test_the_audit_is_found_by_the_record(shared, number, visit):
    shared.ask(punch_in(visit, number), punch_out(visit, number))
    done = shared.verb("audit", "list", "--aggregate", f"attendance/{visit}", "--output", "json")
    assert done.returncode == 0 and done.stdout.count(f"attendance/{visit}") == 2, done.stdout + done.stderr


def test_a_record_in_another_s_hands_is_waited_for_and_holds_back_nobody_else(shared, number, visit):
    other = str(uuid.uuid4())
    shared.ask(punch_in(visit, number), punch_in(other, number))
    held, free = face(visit, number, 0.25), face(other, number, 0.25)
    with shared.database.holding("SELECT 1 FROM interlock.attendance WHERE id = %s FOR UPDATE", visit):
        shared.publish(held, free)
        until("the other record has its result", lambda: record(shared, other, "version") == (2,))
        assert record(shared, visit, "version") == (1,) and not shared.events_of(held)
    assert [outcome(each) for each in shared.await_events([held, free])] == [("applied", None)] * 2
    assert record(shared, visit, "version, face_in") == (2, True)


# ---- where and when ------------------------------------------------------------------------------------------

def test_a_polygon_that_a_command_gave_the_person_judges_where_the_visit_was(shared, number, visit):
    put_polygon(shared, number, (-20, 177), (-20, -178), (-16, -178), (-16, 177))  # across the antimeridian
    assign(shared, number, number, number)
    shared.ask(punch_in(visit, number, latitude=-18, longitude=-179.5), face(visit, number, 0.5),
               punch_out(visit, number, latitude=-18, longitude=176.5), face(visit, number, 0.5))
    extras = record(shared, visit, "extras")[0]
    assert (extras["start_in_geofence"], extras["end_in_geofence"]) == (True, False)


def test_a_circle_judges_by_the_great_circle(shared, number, visit):
    put_circle(shared, number, 12.9716, 77.5946, 150)
    assign(shared, number, number, number)
    shared.ask(punch_in(visit, number, latitude=12.9729, longitude=77.5946), face(visit, number, 0.5),  # 144.6 m
               punch_out(visit, number, latitude=12.9716, longitude=77.5961), face(visit, number, 0.5))  # 162.5 m
    extras = record(shared, visit, "extras")[0]
    assert (extras["start_in_geofence"], extras["end_in_geofence"]) == (True, False)


def test_without_an_enabled_geofence_nothing_is_said(shared, number, visit):
    put_circle(shared, number, 0, 0, 1000)
    assign(shared, number, number, number)
    shared.database.execute("UPDATE interlock.geofence SET enabled = false WHERE id = %s", number)
    shared.ask(punch_in(visit, number, latitude=0, longitude=0), face(visit, number, 0.5))
    assert record(shared, visit, "extras")[0] == {"verified_in": True, "distance_in": 0.5}


@pytest.mark.parametrize("at, shift", [("2026-11-24T00:20:00Z", 0), ("2026-11-24T05:45:00Z", 1),
                                       ("2026-11-24T12:30:00Z", 1), ("2026-11-24T17:00:00Z", 0)])
def test_the_nearest_shift_is_found_across_midnight(shared, number, visit, at, shift):
    # 23:30 to 7:30 and 14:00 to 22:00 in Mumbai: 18:00 and 8:30 UTC
    put_shifts(shared, number, (number, 1410, 450, 330), (number + 1, 840, 1320, 330))
    told = shared.ask(punch_in(visit, number, at, site_id=number, shift_id=1), face(visit, number, 0.5))
    assert told[1].data["metadata"]["shift_id"] == {"old": None, "new": number + shift}
    assert record(shared, visit, "shift_id") == (number + shift,)


# ---- races ---------------------------------------------------------------------------------------------------

@pytest.mark.seconds(90)
def test_a_punch_in_and_a_punch_out_result_at_once_are_both_kept(pair):
    visits = [str(uuid.uuid4()) for _ in range(50)]
    pair.ask(*[punch_in(each, 7) for each in visits])
    pair.ask(*[punch_out(each, 7) for each in visits])
    results = [face(each, 7, distance) for each in visits for distance in (0.25, 0.75)]
    told = pair.ask(*scatter(results, pair.partitions), timeout=60)
    assert all(outcome(each) == ("applied", None) for each in told)
    for place, each in enumerate(visits):
        two = told[2 * place:2 * place + 2]
        assert sorted(event.data["metadata"]["side"] for event in two) == ["in", "out"]
        assert sorted(versions(event) for event in two) == [(2, 3), (3, 4)]
        extras, face_in, face_out, version = record(pair, each, "extras, face_in, face_out, version")
        assert {extras["distance_in"], extras["distance_out"]} == {0.25, 0.75}
        assert (face_in, face_out, version) == (True, True, 4)
        for event, distance in zip(two, (0.25, 0.75)):
            assert extras["distance_" + event.data["metadata"]["side"]] == distance
    judge(pair)


@pytest.mark.seconds(90)
def test_of_many_results_of_one_record_each_side_takes_one(pair, visit):
    pair.ask(punch_in(visit, 7), punch_out(visit, 7))
    told = pair.ask(*scatter([face(visit, 7, step / 100) for step in range(60)], pair.partitions), timeout=60)
    sides = {each.data["metadata"]["side"]: each for each in told if each.outcome == "applied"}
    assert sorted(sides) == ["in", "out"] and sum(each.outcome == "unchanged" for each in told) == 58
    extras = record(pair, visit, "extras")[0]
    by_identity = {each.identity: step / 100 for step, each in enumerate(told)}
    assert {side: extras[f"distance_{side}"] for side in sides} == {
        side: by_identity[each.identity] for side, each in sides.items()}
    judge(pair)


@pytest.mark.seconds(90)
def test_of_many_punches_in_at_once_one_opens_the_record(pair):
    visits = [str(uuid.uuid4()) for _ in range(10)]
    same = [punch_in(each, 7) for each in visits[:5] for _ in range(12)]
    others = [punch_in(each, 7, f"2026-11-24T09:00:{step:02}Z") for each in visits[5:] for step in range(12)]
    told = pair.ask(*scatter(same + others, pair.partitions), timeout=60)
    for place, each in enumerate(visits):
        answers = sorted(outcome(event) for event in told[12 * place:12 * place + 12])
        refused = ("unchanged", None) if place < 5 else ("rejected", "already_exists")
        assert answers == sorted([("applied", None)] + [refused] * 11)
        assert record(pair, each, "version") == (1,)
    judge(pair)


# ---- the schema refuses what commands may not do ------------------------------------------------------------

VISIT = ("INSERT INTO interlock.attendance (id, person_id, punch_in, punch_out, {}) "
         "VALUES (gen_random_uuid(), 7, '2026-11-24', '2026-11-25', {})")


@pytest.mark.parametrize("columns, values", [
    ("start_latitude, start_longitude", "90.001, 0"), ("start_latitude, start_longitude", "'NaN', 0"),
    ("start_latitude, start_longitude", "'-Infinity', 0"), ("start_latitude, start_longitude", "0, -180.001"),
    ("start_latitude, start_longitude", "0, 'NaN'"), ("start_latitude", "0"), ("start_longitude", "0"),
    ("end_latitude, end_longitude", "-90.001, 0"), ("end_latitude, end_longitude", "0, 180.001"),
    ("end_latitude, end_longitude", "'NaN', 'NaN'"), ("end_latitude, end_longitude", "0, 'Infinity'"),
    ("end_latitude", "0"), ("end_longitude", "0"), ("shift_id", "1"), ("site_id", "0"), ("version", "-1"),
    ("extras", "NULL"), ("face_in", "NULL"), ("face_out", "NULL"),
])
def test_the_schema_refuses_columns_out_of_range(shared, columns, values):
    with pytest.raises(psycopg2.errors.IntegrityError):
        shared.database.execute(VISIT.format(columns, values))


@pytest.mark.parametrize("statement", [
    "INSERT INTO interlock.attendance (id, person_id) VALUES (gen_random_uuid(), 7)",
    "INSERT INTO interlock.attendance (id, person_id, punch_in) VALUES (gen_random_uuid(), 1, now())",
    "INSERT INTO interlock.attendance (id, person_id, punch_in) VALUES (gen_random_uuid(), NULL, now())",
    "INSERT INTO interlock.attendance (id, person_id, punch_in, punch_out) "
    "VALUES (gen_random_uuid(), 7, '2026-11-24', '2026-11-23')",
    "INSERT INTO interlock.attendance (id, person_id, punch_in, end_latitude, end_longitude) "
    "VALUES (gen_random_uuid(), 7, now(), 0, 0)",
    "INSERT INTO interlock.attendance (id, person_id, punch_out, start_latitude, start_longitude) "
    "VALUES (gen_random_uuid(), 7, now(), 0, 0)",
    "INSERT INTO interlock.attendance (id, person_id, punch_in) "
    "SELECT '0c5c7fd0-0000-4000-8000-000000000000', 7, now() FROM generate_series(1, 2)",
    "INSERT INTO interlock.geofence (id) VALUES (1)",
    "INSERT INTO interlock.geofence (id, center_latitude, center_longitude) VALUES (9, 0, 0)",
    "INSERT INTO interlock.geofence (id, radius_m) VALUES (9, 5)",
    "INSERT INTO interlock.geofence (id, center_latitude, center_longitude, radius_m) VALUES (9, 0, 0, 0)",
    "INSERT INTO interlock.geofence (id, center_latitude, center_longitude, radius_m) VALUES (9, 0, 0, 'NaN')",
    "INSERT INTO interlock.geofence (id, center_latitude, center_longitude, radius_m) VALUES (9, 0, 0, 'Infinity')",
    "INSERT INTO interlock.geofence (id, center_latitude, center_longitude, radius_m) VALUES (9, 91, 0, 5)",
    "INSERT INTO interlock.geofence (id, center_latitude, center_longitude, radius_m) VALUES (9, 0, 181, 5)",
    "INSERT INTO interlock.geofence_vertex (geofence_id, seq, latitude, longitude) VALUES (987654, 1, 0, 0)",
    "WITH fence AS (INSERT INTO interlock.geofence (id) VALUES (9) RETURNING id) "
    "INSERT INTO interlock.geofence_vertex (geofence_id, seq, latitude, longitude) SELECT id, 1, 'NaN', 0 FROM fence",
    "WITH fence AS (INSERT INTO interlock.geofence (id) VALUES (9) RETURNING id) "
    "INSERT INTO interlock.geofence_vertex (geofence_id, seq, latitude, longitude) SELECT id, 1, 0, -181 FROM fence",
    "WITH fence AS (INSERT INTO interlock.geofence (id) VALUES (9) RETURNING id) "
    "INSERT INTO interlock.geofence_vertex (geofence_id, seq, latitude, longitude) SELECT id, 1001, 0, 0 FROM fence",
    "INSERT INTO interlock.shift (site_id, id, start_minute, end_minute) VALUES (3, 1, 0, 0)",
    "INSERT INTO interlock.shift (site_id, id, start_minute, end_minute) VALUES (0, 9, 0, 0)",
    "INSERT INTO interlock.shift (site_id, id, start_minute, end_minute) VALUES (3, 9, 1440, 0)",
    "INSERT INTO interlock.shift (site_id, id, start_minute, end_minute) VALUES (3, 9, 0, -1)",
    "INSERT INTO interlock.shift (site_id, id, start_minute, end_minute, utc_offset_minutes) VALUES (3, 9, 0, 0, 841)",
    "INSERT INTO interlock.shift (site_id, id, start_minute, end_minute, utc_offset_minutes) VALUES (3, 9, 0, 0, -721)",
    "INSERT INTO interlock.shift (site_id, id, start_minute, end_minute) SELECT 3, 9, 0, 0 FROM generate_series(1, 2)",
])
def test_the_schema_refuses_rows_that_mean_nothing(shared, statement):
    with pytest.raises(psycopg2.errors.IntegrityError):
        shared.database.execute(statement)
