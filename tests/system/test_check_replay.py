"""I2 of the checker, the replay: every kind of aggregate run again by the model of tests/property. A wrong state is
found, one that may be either way passes, and a true run of each kind is clean."""

import random

import pytest

from check.invariants import Options, check
from check.replay import Replay
from check.story import STEP, TOPIC, Story
from harness.commands import append, command, create_job, create_ticket, escalate, job_transition, transition

UUID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
PERSON, SITE, ROOT, FENCE, MODEL, USER = 31, 5, 400, 60, 3, 77
RING = {"center_latitude": 12.97, "center_longitude": 77.59, "radius_m": 150.0, "enabled": True}
SEEDS = [
    ("job", {"id": ROOT, "identifier": "INTERNALTOUR", "client_id": 1, "created_at": 1, "modified_at": 1}),
    ("geofence", {"id": FENCE, **RING}),
    ("shift", {"id": 8, "site_id": SITE, "enabled": True, "start_minute": 540, "utc_offset_minutes": 0}),
    ("face_model", {"id": MODEL, "verification_count": 0, "successful_verifications": 0, "last_used": None}),
    ("escalation_matrix", {"id": 1, "site_id": SITE, "category": "c", "client_id": 1, "level": 1,
                           "assigned_person_id": 9, "assigned_group_id": None}),
]


def punch(direction="in", at="2026-11-24T09:05:00Z", **data):
    return command("attendance.punch", {
        "attendance_uuid": UUID, "person_id": PERSON, "site_id": SITE, "direction": direction, "at": at,
        "latitude": 12.97, "longitude": 77.59, **data})


def face_result(verified=True, distance=0.25):
    return command("attendance.record_face_result", {
        "attendance_uuid": UUID, "verified": verified, "distance": distance, "person_id": PERSON})


def profile(fraud=0.5, **data):
    return command("behaviour.update_profile", {
        "user_id": USER, "attendance_uuid": UUID, "fraud_probability": fraud, "punch_in": "2026-11-24T09:05:00Z",
        "location": {"latitude": 12.97, "longitude": 77.59}, "anomaly": {"late": 1.5},
        "face": {"verified": True, "confidence": 0.9}, **data})


def checkpoint(action, job, **data):
    return command("job.save_checkpoint", {"parent_id": ROOT, "action": action, "job_id": job, **data})


def assign(job, person=PERSON, **data):
    return command("job.save_geofence_assignment", {
        "parent_id": ROOT, "action": "create", "job_id": job, "name": f"gate {job}", "person_id": person,
        "geofence_id": FENCE, "starts_at": "2026-01-01T00:00:00Z", **data})


def add_face(number, **data):
    return command("face.add_embedding", {
        "user_id": USER, "model_id": MODEL, "embedding_id": number, "confidence": 0.75, "vector": [0.5] * 512, **data})


def verify(number, embedding, result="SUCCESS"):
    return command("face.record_verification", {"verification_id": number, "model_id": MODEL, "embedding_id": embedding,
                                                "user_id": USER, "result": result})


def json_apply(aggregate, field, *operations):
    return command("json.apply", {"aggregate": aggregate, "field": field, "operations": list(operations)})


# The commands for each kind of aggregate, with an unchanged and a refused one.
LIVES = {
    "ticket": lambda: [create_ticket(7, site_id=SITE, category="c", client_id=1), transition(7, "OPEN"),
                       transition(7, "OPEN"), escalate(7), append(7, "x"), transition(7, "NEW"),
                       escalate(7, expectedversion=1)],
    "jobneed": lambda: [create_job(100, checkpoints=2), job_transition(100, "INPROGRESS"),
                        job_transition(100, "ASSIGNED"),
                        command("job.update_checkpoint", {"parent_id": 100, "jobneed_id": 101, "status": "INPROGRESS"}),
                        command("job.set_expiry", {"jobneed_id": 100, "expires_at": "2026-11-25T08:00:00Z"}),
                        command("json.merge", {"aggregate": "jobneed/100", "field": "other_info",
                                               "value": {"a": 1.25}}),
                        command("job.autoclose", {"jobneed_id": 100, "notify": "RAISETICKETNOTIFY"})],
    "job": lambda: [checkpoint("create", 401, asset_id=1, question_set_id=1, seq=1), assign(402),
                    checkpoint("create", 403, asset_id=2, question_set_id=1, seq=2), checkpoint("edit", 401, seq=5),
                    checkpoint("create", 404, asset_id=1, question_set_id=1), checkpoint("edit", 401, seq=5),
                    checkpoint("remove", 403),
                    json_apply(f"job/{ROOT}", "other_info", {"op": "increment", "path": "/n", "by": 0.1})],
    "attendance": lambda: [assign(410), punch(), face_result(), punch("out", "2026-11-24T17:00:00Z"), punch(),
                           punch(latitude=12.5), face_result(False, 0.5),
                           json_apply(f"attendance/{UUID}", "extras", {"op": "set", "path": "/note", "value": "x"})],
    "behaviour": lambda: [profile(), profile(0.1, anomaly=None), profile(0, punch_in="2026-11-25T09:30:00Z"),
                          profile(anomaly={"big": "x" * 2000})],
    "face-user": lambda: [add_face(501), add_face(502, validated=True), add_face(501), verify(1, 501),
                          verify(2, 501, "FAILED"), verify(2, 501),
                          command("face.remove_embedding", {"user_id": USER, "model_id": MODEL, "embedding_id": 501})],
}


def story_of(kind):
    made = Story(*SEEDS)
    made.tell(*LIVES[kind]())
    return made


def snapshots(story):
    """With a snapshot from before, and without."""
    yield story.evidence
    story.know_beginning()
    yield story.evidence


def broken(evidence, words):
    found = [str(each) for each in check(evidence)]
    assert any(each.startswith("I2") and words in each for each in found), found


@pytest.mark.parametrize("kind", LIVES)
def test_a_true_story_has_no_violation(kind):
    for evidence in snapshots(story_of(kind)):
        assert [str(each) for each in check(evidence)] == []


@pytest.mark.parametrize("kind", LIVES)
def test_every_kind_is_judged_and_none_is_left_open(kind):
    story = story_of(kind)
    story.know_beginning()
    replay = Replay(story.evidence, story_commands(story))
    assert list(replay.violations()) == [] and replay.open == set() and replay.uncounted == set()
    assert any(name.startswith(kind) for name in replay.touched)


def story_commands(story):
    from check.envelope import read_all
    return read_all(story.evidence.records)[0]


# ---- rows that were changed, lost or doubled -------------------------------------------------------------------

CHANGES = [
    ("ticket", "ticket", 7, {"level": 0}, "ticket/7.level is 0; the replay makes it 1"),
    ("ticket", "ticket", 7, {"assigned_person_id": None}, "ticket/7.assigned_person_id is None; the replay makes it 9"),
    ("ticket", "ticket", 7, {"modified_by": "somebody"}, "ticket/7.modified_by is 'somebody'"),
    ("ticket", "ticket_history", (7, 3), {"details": "y"}, "ticket_history (7, 3).details is 'y'"),
    ("jobneed", "jobneed", 100, {"other_info": {"a": 1.5}}, "jobneed/100.other_info is {'a': 1.5}"),
    ("jobneed", "jobneed", 100, {"expires_at": None}, "jobneed/100.expires_at is None"),
    ("jobneed", "jobneed", 101, {"status": "ASSIGNED"}, "jobneed/101.status is 'ASSIGNED'; the replay makes it"),
    ("job", "job", 401, {"seq": 1}, "job/401.seq is 1; the replay makes it 5"),
    ("job", "job", 402, {"person_id": 2}, "job/402.person_id is 2; the replay makes it 31"),
    ("job", "job", ROOT, {"version": 2}, f"job/{ROOT}.version is 2"),
    ("attendance", "attendance", UUID, {"punch_out": None}, f"attendance/{UUID}.punch_out is None"),
    ("attendance", "attendance", UUID, {"shift_id": None}, ".shift_id is None; the replay makes it 8"),
    ("attendance", "attendance", UUID, {"extras": {}}, ".extras is {}; the replay makes it {'verified_in"),
    ("behaviour", "behaviour_profile", USER, {"fraud_risk_score": 0.15}, ".fraud_risk_score is 0.15"),
    ("behaviour", "behaviour_profile", USER, {"event_count": 2}, f"behaviour_profile/{USER}.event_count is 2"),
    ("behaviour", "behaviour_profile", USER, {"arrivals": {}}, f"behaviour_profile/{USER}.arrivals is {{}}"),
    ("behaviour", "behavioural_event", (USER, 2), {"face_verified": False}, f"({USER}, 2).face_verified"),
    ("face-user", "face_user", USER, {"version": 2}, f"face_user/{USER}.version is 2; the replay makes it 3"),
    ("face-user", "face_embedding", 502, {"is_primary": False}, "face_embedding/502.is_primary is False; the replay"),
    ("face-user", "face_model", MODEL, {"verification_count": 1}, f"face_model/{MODEL}.verification_count is 1"),
    ("face-user", "face_embedding_counter", 501, {"successful_verifications": 2}, "counter/501.successful"),
]


@pytest.mark.parametrize("kind, table, key, change, words", CHANGES,
                         ids=[f"{each[1]}.{list(each[3])[0]}" for each in CHANGES])
def test_a_row_that_is_not_what_the_commands_make_of_it_is_found(kind, table, key, change, words):
    story = story_of(kind)
    story.row(table, key).update(change)
    if kind == "job":
        story.know_beginning()  # json.apply on a root: what was in its document before has to be known
    broken(story.evidence, words)


ROWS = [("ticket", "ticket_history", (7, 2)), ("jobneed", "jobneed", 102), ("job", "job", 402),
        ("behaviour", "behavioural_event", (USER, 1)), ("face-user", "face_embedding", 502),
        ("face-user", "face_verification_log", 1)]


@pytest.mark.parametrize("kind, table, key", ROWS, ids=[each[1] for each in ROWS])
def test_a_row_that_is_lost_is_found(kind, table, key):
    story = story_of(kind)
    story.take_away(table, story.row(table, key))
    story.know_beginning()
    broken(story.evidence, " is missing; the replay makes it")


@pytest.mark.parametrize("kind, table, row", [
    ("ticket", "ticket_history", {"ticket_id": 7, "seq": 4}), ("jobneed", "jobneed", {"id": 900, "parent_id": 100}),
    ("behaviour", "behavioural_event", {"user_id": USER, "seq": 5}),
    ("face-user", "face_embedding", {"id": 9, "user_id": USER}),
], ids=lambda value: value if isinstance(value, str) and "_" in value else "")
def test_a_row_that_is_one_too_many_is_found(kind, table, row):
    story = story_of(kind)
    story.know_beginning()
    story.evidence.tables[table].append(row)
    broken(story.evidence, "a row that no command made")


def test_a_lost_update_names_the_first_command_that_is_not_there():
    story = story_of("attendance")
    story.row("attendance", UUID)["punch_out"] = None
    found = [each for each in check(story.evidence) if "punch_out is None" in each.text]
    assert [(each.position, each.aggregate) for each in found] == [((TOPIC, 0, 3), f"attendance/{UUID}")]


# ---- answers that the rules do not give --------------------------------------------------------------------------

@pytest.mark.parametrize("kind, place, changes, words", [
    ("ticket", 2, {"outcome": "applied", "version": {"from": 2, "to": 3}}, "the model says ('unchanged', None)"),
    ("ticket", 5, {"reason": "stale_object"}, "the model says ('rejected', 'invalid_transition')"),
    ("job", 4, {"reason": "not_found"}, "the model says ('rejected', 'already_exists')"),
    ("attendance", 5, {"outcome": "unchanged", "reason": None}, "the model says ('rejected', 'already_exists')"),
    ("attendance", 2, {"metadata": {"side": "out"}}, "metadata.side: the model says 'in', found 'out'"),
    ("behaviour", 3, {"reason": "too_many"}, "the model says ('rejected', 'invalid_data')"),
    ("face-user", 5, {"reason": "not_found"}, "the model says ('rejected', 'already_exists')"),
    ("jobneed", 6, {"also": []}, "job.autoclose: the id None drawn for ticket is not an id"),
])
def test_an_answer_that_the_rules_do_not_give_is_found(kind, place, changes, words):
    story = story_of(kind)
    story.know_beginning()
    story.evidence.events[place].data.update(changes)
    broken(story.evidence, words)
    first = [each for each in check(story.evidence) if each.invariant == "I2"][0]
    assert first.position == (TOPIC, 0, place) and first.command == story.evidence.events[place].identity


def test_an_event_that_tells_another_assignment_than_the_matrix_is_found():
    story = story_of("ticket")
    story.evidence.events[3].data["person"]["new"] = 10
    broken(story.evidence, "person: the model says {'old': None, 'new': 9}")


# ---- either answer is right ----------------------------------------------------------------------------------------

def look_up_story(gap):
    """A verification by an embedding that another command has just taken away; gap: from this command to that event."""
    story = Story(*SEEDS)
    story.tell(add_face(501))
    story.tell(command("face.remove_embedding", {"user_id": USER, "model_id": MODEL, "embedding_id": 501}))
    removed = story.evidence.events[-1]
    applied = story.tell(verify(1, 501))[0]
    applied.data.update(outcome="applied", reason=None, version=None, metadata={"verification_id": 1})
    row = story.evidence.audit[-1]
    row.update(outcome="applied", reason=None, version_from=None, version_to=None)
    removed.published_at = story.evidence.records[-1].at + gap
    return story


def test_a_look_up_may_miss_what_was_not_out_yet():
    assert check(look_up_story(gap=STEP).evidence) == []
    broken(look_up_story(gap=-STEP).evidence, "the model says ('rejected', 'not_found')")


def test_a_looked_up_row_that_was_changed_by_hand_is_not_judged():
    story = story_of("attendance")
    story.row("geofence", FENCE)["enabled"] = False
    broken(story.evidence, "extras is")
    story.evidence.written = {("geofence", None): len(story.evidence.events) + 1}  # a transaction after all of them
    assert check(story.evidence) == []


def test_an_aggregate_that_was_there_before_is_not_judged_without_a_snapshot_and_is_with_one():
    story = Story(("ticket", {"id": 7, "version": 4, "status": "OPEN", "level": 2, "created_at": 1, "modified_at": 1}))
    story.tell(escalate(7), transition(7, "NEW"))
    story.row("ticket", 7)["level"] = 9
    assert check(story.evidence) == []
    story.know_beginning()
    broken(story.evidence, "ticket/7.level is 9; the replay makes it 3")


def test_an_aggregate_that_no_command_changed_is_judged_as_it_stands():
    story = Story(("ticket", {"id": 7, "version": 4, "status": "OPEN", "created_at": 1, "modified_at": 1}))
    refused = story.tell(transition(7, "NEW"))[0]
    assert check(story.evidence) == []
    refused.data["reason"] = "stale_object"
    story.evidence.audit[0]["reason"] = "stale_object"
    broken(story.evidence, "the model says ('rejected', 'invalid_transition')")


def test_commands_of_one_aggregate_are_run_again_by_version_and_not_by_time():
    story = story_of("ticket")
    clocks = [event.body["time"] for event in story.evidence.events]
    for event, clock in zip(story.evidence.events, reversed(clocks)):
        event.body["time"] = clock
    assert not [each for each in check(story.evidence, Options(ordered=False)) if "model says" in each.text]


# ---- true runs -----------------------------------------------------------------------------------------------------

def seed_rows(world):
    world.database.execute("INSERT INTO interlock.job (id, identifier, client_id) VALUES (%s, 'INTERNALTOUR', 1)", ROOT)
    world.database.execute("INSERT INTO interlock.geofence (id, center_latitude, center_longitude, radius_m) "
                           "VALUES (%s, 12.97, 77.59, 150)", FENCE)
    world.database.execute("INSERT INTO interlock.shift (id, site_id, start_minute, end_minute) "
                           "VALUES (8, %s, 540, 1020)", SITE)
    world.database.execute("INSERT INTO interlock.face_model (id) VALUES (%s)", MODEL)
    world.database.execute("INSERT INTO interlock.escalation_matrix (site_id, category, client_id, level, "
                           "assigned_person_id) VALUES (%s, 'c', 1, 1, 9)", SITE)


def live(world, kind):
    """One after the other: what one command looks up of another's is then there for sure."""
    for each in LIVES[kind]():
        world.ask(each, timeout=60)


@pytest.mark.seconds(180)
def test_a_true_run_of_every_kind_is_clean_and_all_of_it_is_judged(world):
    """Two workers, one of which is killed; every command twice, each kind's commands in a shuffled order too."""
    seed_rows(world)
    world.remember_rows()
    workers = [world.worker(), world.worker()]
    for kind in LIVES:
        live(world, kind)
    workers[0].kill()
    again = [each for kind in LIVES for each in LIVES[kind]()]
    random.Random(5).shuffle(again)
    world.publish(*again, *again)
    workers[0].start().wait_ready()
    world.drain()
    evidence = world.evidence()
    assert [str(each) for each in check(evidence)] == []
    replay = Replay(evidence, story_commands(world_story(evidence)))
    assert list(replay.violations()) == []
    kinds = {name.split("/")[0] for name in replay.touched}
    assert kinds == set(LIVES) and replay.open == set(), replay.open


def world_story(evidence):
    return type("Told", (), {"evidence": evidence})


@pytest.mark.seconds(120)
@pytest.mark.parametrize("kind, statement, words", [
    ("ticket", "UPDATE interlock.ticket_history SET action = 'x' WHERE seq = 2", "ticket_history (7, 2).action is 'x'"),
    ("jobneed", "UPDATE interlock.jobneed SET remarks = 'x' WHERE id = 101", "jobneed/101.remarks is 'x'"),
    ("job", "DELETE FROM interlock.job WHERE id = 402", "job/402 is missing"),
    ("attendance", "UPDATE interlock.attendance SET face_in = false", ".face_in is False; the replay makes it True"),
    ("behaviour", "UPDATE interlock.behaviour_profile SET regularity = 0.25", ".regularity is 0.25"),
    ("face-user", "UPDATE interlock.face_embedding SET is_primary = false", "is_primary is False; the replay makes it"),
], ids=list(LIVES))
def test_a_row_changed_by_hand_in_a_real_database_is_found(world, kind, statement, words):
    seed_rows(world)
    world.remember_rows()
    world.worker()
    live(world, kind)
    world.drain()
    assert [str(each) for each in world.violations()] == []
    assert world.database.execute(statement) > 0
    first = world.violations()[0]
    assert first.invariant == "I2" and words in first.text and first.command is not None, str(first)


@pytest.mark.seconds(60)
def test_a_snapshot_goes_through_a_file(world, tmp_path):
    from check.__main__ import read_snapshot, write_snapshot
    seed_rows(world)
    world.database.execute("UPDATE interlock.job SET other_info = '{\"n\": 0.10}'")
    world.remember_rows()
    write_snapshot(tmp_path / "rows", world.rows_before)
    again = read_snapshot(tmp_path / "rows")
    assert again == world.rows_before and str(again["job"][0]["other_info"]["n"]) == "0.10"
