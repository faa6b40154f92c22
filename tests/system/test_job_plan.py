"""Plans and what is left of the job commands, from the command topic to their rows and events: checkpoints and geofence
assignments of a job; assignment, expiry, mail flag, phone's sync and bulk changes of a jobneed."""

import urllib.parse

import psycopg2
import pytest

from harness.checked import checked  # noqa: F401  fixture
from harness.commands import command, create_job, job_transition
from harness.stack import apply_roles

ASSIGNED = "2026-11-24T00:00:00Z"


def put_root(world, number, identifier="INTERNALTOUR", **columns):
    """The work of the planning side."""
    columns = {"id": number, "identifier": identifier, **columns}
    world.database.execute(f"INSERT INTO interlock.job ({', '.join(columns)}) VALUES "
                           f"({', '.join(['%s'] * len(columns))})", *columns.values())


def checkpoint(parent, action="create", key=..., partition=None, **data):
    return command("job.save_checkpoint", {"parent_id": parent, "action": action, **data}, key, partition)


def place(parent, asset, **data):
    return checkpoint(parent, asset_id=asset, question_set_id=1, **data)


def geofence(parent, action="create", **data):
    return command("job.save_geofence_assignment", {"parent_id": parent, "action": action, **data})


def job(world, number, columns):
    return world.database.row(f"SELECT {columns} FROM interlock.job WHERE id = %s", number)


def jobneed(world, number, columns):
    return world.database.row(f"SELECT {columns} FROM interlock.jobneed WHERE id = %s", number)


def children(world, number, columns):
    return world.database.rows(f"SELECT {columns} FROM interlock.job WHERE parent_id = %s ORDER BY id", number)


def outcome(event):
    return (event.outcome, event.reason)


def outcomes(events):
    return [outcome(each) for each in events]


def versions(event):
    version = event.data["version"]
    return (version["from"], version["to"]) if version else None


APPLIED, UNCHANGED = ("applied", None), ("unchanged", None)
EXISTS = ("rejected", "already_exists")


# ---- checkpoints of a plan ------------------------------------------------------------------------

def test_a_checkpoint_lives_and_its_root_tells_when_and_by_whom(shared, number):
    put_root(shared, number, client_id=4)
    child = number + 1
    told = shared.ask(
        command("job.save_checkpoint", {"parent_id": number, "action": "create", "job_id": child, "asset_id": 2,
                                        "question_set_id": 3, "seq": 1, "expiry_minutes": 30, "name": "gate"},
                actor="user/5"))
    assert outcome(told) == APPLIED and versions(told) == (1, 2) and told.subject == f"job/{number}"
    assert told.data["operation"] == "CHECKPOINT_UPDATE" and told.data["metadata"] == {"job_id": child}
    assert job(shared, child, "parent_id, identifier, asset_id, question_set_id, client_id, seq, grace_minutes, "
               "expiry_minutes, name, other_info, modified_by, version") == (
        number, "INTERNALTOUR", 2, 3, 4, 1, 0, 30, "gate", {}, "user/5", 0)
    first = job(shared, number, "version, modified_at, modified_by")
    assert first[::2] == (2, "user/5") and first[1] == job(shared, child, "modified_at")[0]

    told = shared.ask(
        command("job.save_checkpoint", {"parent_id": number, "action": "edit", "job_id": child, "expiry_minutes": 45},
                actor="user/6"),
        checkpoint(number, "edit", job_id=child, expiry_minutes=45))
    assert outcomes(told) == [APPLIED, UNCHANGED] and told[0].data["operation"] == "CHECKPOINT_UPDATE"
    second = job(shared, number, "version, modified_at, modified_by")
    assert second[0] == 3 and second[1] > first[1] and second[2] == "user/6"
    assert job(shared, child, "seq, expiry_minutes") == (1, 45)

    told = shared.ask(checkpoint(number, "remove", job_id=child), checkpoint(number, "remove", job_id=child))
    assert outcomes(told) == [APPLIED, ("rejected", "not_found")] and told[0].data["operation"] == "DELETION"
    assert job(shared, child, "id") is None and job(shared, number, "version") == (4,)


def test_a_checkpoint_without_an_id_gets_one_that_is_free(shared, number):
    put_root(shared, number, "EXTERNALTOUR")
    taken = [shared.database.value("SELECT last_value FROM interlock.job_id_seq") + step for step in (1, 2, 3)]
    for each in taken:
        put_root(shared, each)
    told = shared.ask(*[place(number, asset) for asset in range(1, 5)])
    drawn = [each.data["metadata"]["job_id"] for each in told]
    assert outcomes(told) == [APPLIED] * 4 and len(set(drawn)) == 4 and not set(drawn) & set(taken)
    assert children(shared, number, "identifier") == [("EXTERNALTOUR",)] * 4


def test_removed_and_made_again_at_once_is_made_again(shared, number):
    put_root(shared, number)
    shared.ask(place(number, 1, job_id=number + 1, name="old"))
    old = job(shared, number + 1, "created_at")[0]
    told = shared.ask(checkpoint(number, "remove", job_id=number + 1), place(number, 1, job_id=number + 1),
                      checkpoint(number, "edit", job_id=number + 1, asset_id=2), place(number, 1, job_id=number + 2))
    assert outcomes(told) == [APPLIED] * 4
    assert children(shared, number, "id, asset_id, name") == [(number + 1, 2, None), (number + 2, 1, None)]
    assert job(shared, number + 1, "created_at")[0] > old


def test_two_checkpoints_that_change_places_do_so_in_one_batch_too(shared, number):
    put_root(shared, number)
    shared.ask(place(number, 1, job_id=number + 1), place(number, 2, job_id=number + 2))
    told = shared.ask(*[checkpoint(number, "edit", job_id=number + child, asset_id=asset)
                        for child, asset in ((1, 3), (2, 1), (1, 2))])
    assert outcomes(told) == [APPLIED] * 3
    assert children(shared, number, "asset_id") == [(2,), (1,)]


def test_the_template_of_a_jobneed_cannot_be_removed(shared, number):
    put_root(shared, number)
    told = shared.ask(place(number, 1, job_id=number + 1))
    shared.ask(create_job(number + 500, job_id=number + 1))
    told = shared.ask(checkpoint(number, "remove", job_id=number + 1))
    assert outcome(told) == ("rejected", "constraint:jobneed_job_id_fkey")
    assert job(shared, number + 1, "id") is not None and job(shared, number, "version") == (2,)


def test_a_root_is_not_made_by_a_command(shared, number):
    told = shared.ask(place(number, 1), checkpoint(number, "remove", job_id=1), geofence(number, "remove", job_id=1))
    assert outcomes(told) == [("rejected", "not_found")] * 3
    assert job(shared, number, "id") is None


def test_a_stale_version_changes_no_plan(shared, number):
    put_root(shared, number)
    data = {"parent_id": number, "action": "create", "asset_id": 1, "question_set_id": 1}
    told = shared.ask(command("job.save_checkpoint", data, expectedversion=0),
                      command("job.save_checkpoint", data, expectedversion=1))
    assert outcomes(told) == [("rejected", "stale_object"), APPLIED]


@pytest.mark.seconds(120)
def test_of_many_misrouted_creates_of_one_checkpoint_one_wins(world):
    for _ in range(2):
        world.worker()
    roots = range(1, 6)
    for root in roots:
        put_root(world, root)
    told = world.ask(*[place(root, 7, key=f"elsewhere-{root}-{n}", partition=n % world.partitions)
                       for n in range(12) for root in roots], timeout=60)
    for at, root in enumerate(roots):
        answers = sorted(outcomes(told[at::len(roots)]))
        assert answers == [APPLIED] + [EXISTS] * 11
        assert len(children(world, root, "id")) == 1 and job(world, root, "version") == (2,)
    world.drain()
    world.check()


@pytest.mark.seconds(120)
def test_of_many_creates_under_one_id_one_wins_whatever_the_root(world):
    for _ in range(2):
        world.worker()
    for root in range(1, 13):
        put_root(world, root)
    told = world.ask(*[place(root, 7, job_id=100 + n) for n in range(5) for root in range(1, 13)], timeout=60)
    for n in range(5):
        of_id = told[n * 12:n * 12 + 12]
        # A child of the winner's root at the same place is a twin of the later ones: every other answer is a refusal.
        assert all(each in (APPLIED, EXISTS) for each in outcomes(of_id))
        assert world.database.value("SELECT count(*) FROM interlock.job WHERE id = %s", 100 + n) == (
            outcomes(of_id).count(APPLIED))
    assert world.database.value("SELECT count(*) FROM interlock.job WHERE parent_id IS NOT NULL") == (
        outcomes(told).count(APPLIED)) >= 1
    world.drain()
    world.check()


def test_the_rights_of_the_workers_role_are_enough(world):
    apply_roles(world.database.url)
    put_root(world, 1)
    parts = urllib.parse.urlparse(world.database.url)
    world.worker(DATABASE_URL=parts._replace(netloc=f"interlock_worker@{parts.hostname}:{parts.port}").geturl())
    told = world.ask(place(1, 1, job_id=2), place(1, 2), checkpoint(1, "edit", job_id=2, seq=5),
                     checkpoint(1, "remove", job_id=2), place(1, 1, job_id=2), checkpoint(1, "remove", job_id=2),
                     geofence(1, name="n", person_id=5, geofence_id=6, starts_at=ASSIGNED))
    assert outcomes(told) == [APPLIED] * 7
    # Removed and made again within one batch, which is an update of what PostgreSQL has.
    world.ask(place(1, 1, job_id=2))
    assert outcomes(world.ask(*[each for n in range(20) for each in (
        checkpoint(1, "remove", job_id=2), place(1, 1, job_id=2, seq=n))])) == [APPLIED] * 40
    assert job(world, 2, "seq") == (19,) and job(world, 1, "version") == (49,)


# ---- geofence assignments -------------------------------------------------------------------------

def test_a_geofence_assignment_lives(shared, number):
    put_root(shared, number, "TASK", client_id=4)
    child = number + 1
    told = shared.ask(
        geofence(number, job_id=child, name="north", person_id=5, geofence_id=6, starts_at=ASSIGNED,
                 ends_at="2026-12-24T00:00:00Z", from_minute=1320, until_minute=360),
        geofence(number, name="north", person_id=7, geofence_id=6, starts_at=ASSIGNED),
        geofence(number, name="north", person_id=7, geofence_id=6, starts_at=ASSIGNED, client_id=9),
        geofence(number, "edit", job_id=child, person_id=8, from_minute=0),
        geofence(number, "edit", job_id=child, ends_at="2026-11-23T00:00:00Z"),
        geofence(number, "edit", job_id=child, person_id=1))
    assert outcomes(told) == [APPLIED, EXISTS, APPLIED, APPLIED] + [("rejected", "invalid_data")] * 2
    assert [each.data["operation"] for each in told[:4:3]] == ["FIELD_UPDATE", "FIELD_UPDATE"]
    assert told[4].data["metadata"]["parameter"] == "/ends_at"
    assert job(shared, child, "identifier, name, person_id, geofence_id, client_id, from_minute, until_minute, "
               "starts_at = %s::timestamptz" % f"'{ASSIGNED}'") == ("GEOFENCE", "north", 8, 6, 4, 0, 360, True)
    told = shared.ask(geofence(number, "remove", job_id=child))
    assert outcome(told) == APPLIED and versions(told) == (4, 5)
    assert children(shared, number, "client_id") == [(9,)]


# ---- jobneeds -------------------------------------------------------------------------------------

def test_a_jobneed_is_assigned_to_a_person_a_group_or_nobody(shared, number):
    def assign(**data):
        return command("job.assign", {"jobneed_id": number, **data})
    told = shared.ask(create_job(number), assign(assigned_person_id=7), assign(assigned_group_id=9),
                      assign(assigned_person_id=7), assign(assigned_person_id=None), assign())
    assert outcomes(told) == [APPLIED] * 3 + [UNCHANGED, APPLIED, ("rejected", "invalid_data")]
    assert told[1].data["operation"] == "ASSIGNMENT_CHANGE" and told[1].data["person"] == {"old": None, "new": 7}
    assert told[4].data["person"] == {"old": 7, "new": None} and told[4].data["group"] == {"old": 9, "new": 9}
    assert jobneed(shared, number, "assigned_person_id, assigned_group_id, version") == (None, 9, 4)


def test_an_expiry_is_set_until_the_jobneed_is_finished(shared, number):
    def expire(at):
        return command("job.set_expiry", {"jobneed_id": number, "expires_at": at})
    told = shared.ask(create_job(number, checkpoints=2), expire("2026-11-24T10:00:00Z"), expire("2026-11-24T10:00:00Z"),
                      expire("2026-11-24T07:59:59Z"), command("job.autoclose", {"jobneed_id": number}),
                      expire("2026-11-24T11:00:00Z"))
    assert outcomes(told) == [APPLIED, APPLIED, UNCHANGED, ("rejected", "invalid_data"), APPLIED,
                              ("rejected", "invalid_transition")]
    assert told[1].data["metadata"] == {"expires_at": {"old": None, "new": "2026-11-24T10:00:00.000000Z"}}
    assert told[5].data["metadata"] == {"status": "AUTOCLOSED"}
    assert jobneed(shared, number, "expires_at = '2026-11-24T10:00:00Z'") == (True,)


def test_of_ten_misrouted_marks_of_one_mail_one_applies(shared, number):
    shared.ask(create_job(number))
    told = shared.ask(*[command("job.mark_mail_sent", {"jobneed_id": number}, key=f"mail-{number}-{n}")
                        for n in range(10)])
    assert sorted(outcomes(told)) == [APPLIED] + [UNCHANGED] * 9
    assert told[0].data["operation"] == "FLAG_SET"
    assert jobneed(shared, number, "mail_sent, version") == (True, 2)


def test_a_phones_task_is_taken_over(shared, number):
    shared.ask(create_job(number, identifier="TASK", type="ADHOC"), create_job(number + 1))
    data = {"jobneed_id": number, "performed_by": 7, "started_at": "2026-11-24T09:00:00Z",
            "ended_at": "2026-11-24T09:30:00Z", "status": "COMPLETED", "remarks": "done", "alerts": True,
            "attachment_count": 3, "modified_at": "2026-11-24T09:31:00Z", "modified_by": "phone/7"}
    told = shared.ask(command("job.sync_adhoc", data), job_transition(number, "INPROGRESS"),
                      command("job.sync_adhoc", data, actor="user/7"), command("job.sync_adhoc", data),
                      command("job.sync_adhoc", {**data, "jobneed_id": number + 1}),
                      command("job.sync_adhoc", {**data, "ended_at": "2026-11-24T08:00:00Z"}))
    assert outcomes(told) == [("rejected", "invalid_transition"), APPLIED, APPLIED, UNCHANGED,
                              ("rejected", "invalid_data"), ("rejected", "invalid_data")]
    assert told[2].data["metadata"] == {
        "modified_at": "2026-11-24T09:31:00.000000Z", "modified_by": "phone/7",
        "performed_by": {"old": None, "new": 7}, "started_at": {"old": None, "new": "2026-11-24T09:00:00.000000Z"},
        "ended_at": {"old": None, "new": "2026-11-24T09:30:00.000000Z"}, "attachment_count": {"old": 0, "new": 3},
        "alerts": {"old": False, "new": True}, "status": {"old": "INPROGRESS", "new": "COMPLETED"},
        "remarks": {"old": None, "new": "done"}}
    assert told[2].data["status"] == {"old": "INPROGRESS", "new": "COMPLETED"}
    assert jobneed(shared, number, "status, performed_by, remarks, alerts, attachment_count, modified_by, "
                   "ended_at - started_at = interval '30 minutes', modified_at > started_at") == (
        "COMPLETED", 7, "done", True, 3, "user/7", True, True)


def test_several_checkpoints_change_together_or_not_at_all(shared, number):
    shared.ask(create_job(number, checkpoints=3), create_job(number + 100, checkpoints=1))

    def bulk(*changes):
        return command("job.bulk_update_checkpoints", {"parent_id": number, "checkpoints": list(changes)},
                       actor="user/5")
    good = {"jobneed_id": number + 1, "seq": 9, "status": "INPROGRESS"}
    told = shared.ask(bulk(good, {"jobneed_id": number + 101, "seq": 9}),
                      bulk(good, {"jobneed_id": number + 2, "status": "COMPLETED"}), bulk(good, good),
                      bulk({"jobneed_id": number + 2, "seq": 8}, good, {"jobneed_id": number + 3}), bulk(good))
    assert outcomes(told) == [("rejected", "not_found"), ("rejected", "invalid_transition"),
                              ("rejected", "invalid_data"), APPLIED, UNCHANGED]
    assert told[3].data["metadata"] == {"count": 2, "unchanged": 1, "checkpoints": [
        {"jobneed_id": number + 1, "seq": {"old": 1, "new": 9}, "status": {"old": "ASSIGNED", "new": "INPROGRESS"}},
        {"jobneed_id": number + 2, "seq": {"old": 2, "new": 8}}]}
    assert shared.database.rows("SELECT seq, status FROM interlock.jobneed WHERE parent_id = %s ORDER BY id", number) == [
        (9, "INPROGRESS"), (8, "ASSIGNED"), (3, "ASSIGNED")]
    assert jobneed(shared, number, "version, modified_by") == (2, "user/5")


# ---- the last line --------------------------------------------------------------------------------

JOB = "INSERT INTO interlock.job (id, parent_id, asset_id, question_set_id, identifier, name, person_id, geofence_id, " \
      "starts_at, client_id) VALUES "
FENCE = "'GEOFENCE', 'n', 5, 6, now()"


@pytest.fixture(scope="module")
def planned(shared):
    put_root(shared, 900001)
    shared.database.execute(JOB + f"(900002, 900001, 1, NULL, 'INTERNALTOUR', NULL, NULL, NULL, NULL, NULL), "
                                  f"(900003, 900001, NULL, NULL, {FENCE}, NULL)")
    yield shared
    shared.database.execute("DELETE FROM interlock.job WHERE parent_id = 900001")
    shared.database.execute("DELETE FROM interlock.job WHERE id = 900001")


@pytest.mark.parametrize("statement", [
    JOB + "(900009, 900001, 1, NULL, 'INTERNALTOUR', 'other', NULL, NULL, NULL, 3)",
    JOB + f"(900009, 900001, NULL, NULL, {FENCE}, NULL)",
    JOB + "(900009, 900001, NULL, NULL, 'GEOFENCE', NULL, 5, 6, now(), NULL)",
    JOB + "(900009, 900001, NULL, NULL, 'GEOFENCE', 'm', 1, 6, now(), NULL)",
    JOB + "(900009, 900009, NULL, NULL, 'TASK', NULL, NULL, NULL, NULL, NULL)",
    "UPDATE interlock.job SET ends_at = starts_at - interval '1 s' WHERE id = 900003",
    "UPDATE interlock.job SET from_minute = 5 WHERE id = 900003",
    "UPDATE interlock.job SET from_minute = 1440, until_minute = 1 WHERE id = 900003",
    "UPDATE interlock.job SET seq = -1 WHERE id = 900003", "UPDATE interlock.job SET expiry_minutes = -1 WHERE id = 900003",
    "INSERT INTO interlock.jobneed (id, identifier, type, starts_at, started_at, ended_at) "
    "VALUES (900001, 'TASK', 'ADHOC', now(), now(), '2000-01-01')",
], ids=["twin checkpoint", "twin name", "no name", "nobody", "own parent", "end before start", "one minute alone",
        "no minute of a day", "seq", "expiry", "ended before started"])
def test_the_schema_refuses_what_the_rules_refuse(planned, statement):
    with pytest.raises(psycopg2.errors.IntegrityError):
        planned.database.execute(statement)


@pytest.mark.parametrize("values", [
    "(900009, 900001, 1, 2, 'INTERNALTOUR', NULL, NULL, NULL, NULL, NULL)",
    f"(900009, 900001, 1, NULL, {FENCE}, NULL)", f"(900009, 900001, NULL, NULL, {FENCE}, 3)",
    "(900009, NULL, 1, NULL, 'INTERNALTOUR', 'n', NULL, NULL, NULL, NULL)",
], ids=["another question set", "geofence at a checkpoint's place", "another client", "root"])
def test_the_schema_lets_stand_what_differs(planned, values):
    planned.database.execute(JOB + values)
    planned.database.execute("DELETE FROM interlock.job WHERE id = 900009")
