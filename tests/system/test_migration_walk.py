"""Every migration, up and down, with rows of every command in every table: each one copes with the rows of the one before."""

import json

import pytest

from harness.commands import Message, command
from harness.database import Database
from harness.parking import in_seconds
from harness.stack import ROOT
from harness.waiting import until

EXAMPLES = json.loads((ROOT / "tests/examples/commands.json").read_text(encoding="utf-8"))
NEWEST = max(int(path.name[:4]) for path in (ROOT / "schema").glob("*.up.sql"))
# A command comes after those that it needs, the ones that end something last; the rest as in the file.
FIRST = ["ticket.create", "job.create", "face.add_embedding"]
LAST = ["job.transition", "job.autoclose_checkpoints", "job.autoclose", "ticket.transition", "face.remove_embedding"]
PLANNED = """
    INSERT INTO interlock.job (id, identifier, name) VALUES (6, 'INTERNALTOUR', 'rounds'), (7, 'GEOFENCE', 'fences');
    INSERT INTO interlock.face_model (id) VALUES (2);
    INSERT INTO interlock.ticket (id) VALUES (43), (44);
    INSERT INTO interlock.geofence (id, center_latitude, center_longitude, radius_m) VALUES (9, 18.5, 73.8, 100);
    INSERT INTO interlock.geofence_vertex (geofence_id, seq, latitude, longitude) VALUES (9, 1, 18.5, 73.8);
    INSERT INTO interlock.shift (site_id, id, start_minute, end_minute) VALUES (3, 4, 480, 960);
    INSERT INTO interlock.escalation_matrix (site_id, category, client_id, level, assigned_person_id)
        VALUES (3, 'lift', 4, 1, 7);"""
ENGINE = """
    INSERT INTO interlock.partition_rewind (partition_id, fence, below) SELECT id, 1, 5 FROM interlock.partition_owner;
    INSERT INTO interlock.crash_suspect (partition_id, kafka_offset, attempts) SELECT id, 5, 1 FROM interlock.partition_owner;
    INSERT INTO interlock.operator_action (verb, actor, host, version, reason) VALUES ('pause', 'anna', 'a', '0', 'a test');
    INSERT INTO interlock.operator_item (action_id, subject, outcome) SELECT id, 'pause 1', 'paused' FROM interlock.operator_action;
    INSERT INTO interlock.pause (scope, target, action_id) SELECT 'type', 'ticket.escalate', id FROM interlock.operator_action;
    INSERT INTO interlock.worker_seen (slot, host, pid, version, started_at, ready) VALUES (0, 'a', 1, '0', now(), true)
        ON CONFLICT DO NOTHING;"""


def commands():
    types = FIRST + [type_ for type_ in EXAMPLES if type_ not in FIRST + LAST] + LAST
    made = [command(type_, data) for type_ in types for data in EXAMPLES[type_]]
    first = {type_: EXAMPLES[type_][0] for type_ in EXAMPLES}
    made += [command("face.add_embedding", {**first["face.add_embedding"], "embedding_id": 4}),
             command("face.record_verification", {**first["face.record_verification"], "verification_id": 6, "embedding_id": 4}),
             command("job.save_geofence_assignment", {**first["job.save_geofence_assignment"], "parent_id": 7, "job_id": 72}),
             command("json.merge", {"aggregate": "job/72", "field": "other_info", "value": {"a": 1}})]
    return made


def dump(database):
    """Table -> number of rows, except the list of migrations."""
    tables = [name for name, in database.rows("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = "
                                              "to_regnamespace('interlock') AND relname !~ '^schema_migration'")]
    return {name: database.count(name) for name in tables}


@pytest.fixture(scope="module")
def filled(make_world):
    """A world in whose database every command was applied, and every table has rows."""
    world = make_world("walk")
    world.database.execute(PLANNED)
    worker = world.worker()
    missing = set(EXAMPLES)
    for message in commands():
        if world.ask(message).outcome != "rejected":
            missing.discard(json.loads(message.value)["type"])
    assert missing <= {"job.sync_adhoc", "job.update_checkpoint"}, missing  # of a schedule, and of a tour that has begun
    early = command("ticket.escalate", {"ticket_id": 43}, notbefore=in_seconds(300 * 86400))
    world.publish(early, Message(b"{", "ticket/43"))
    until("both are answered", lambda: world.database.count("parked_command") + world.database.count("dead_letter") == 2)
    assert worker.end() == 0
    world.database.execute(ENGINE)
    assert [name for name, count in dump(world.database).items() if count == 0] == []
    yield world
    world.close()


@pytest.fixture
def copy_of(filled):
    """Makes a copy of the database to walk in."""
    def make(name):
        Database(filled.stack.database_url).execute(f'CREATE DATABASE "{filled.name}_{name}" TEMPLATE "{filled.name}"')
        return Walked(filled, filled.stack.url_of(f"{filled.name}_{name}"))
    return make


class Walked:
    def __init__(self, world, url):
        self.world, self.url, self.database = world, url, Database(url)

    def down(self, to):
        self.run("down", "--to", to, "--execute", "--reason", "a walk")

    def up(self, to=NEWEST):
        self.run("up", "--to", to)

    def run(self, *words):
        done = self.world.verb("migrate", *words, DATABASE_URL=self.url)
        assert done.returncode == 0, f"migrate {words}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("lowest", range(NEWEST - 1, -1, -1))
def test_the_schema_goes_down_and_up_again_with_rows_of_every_command(copy_of, lowest):
    """All at once down, and up by single steps, of which the first and the last go down and up once more."""
    walked = copy_of(lowest)
    whole = walked.database.shape()
    walked.down(lowest)
    for number in range(lowest + 1, NEWEST + 1):
        walked.up(number)
        if number in (lowest + 1, NEWEST) and lowest > 0:
            shape = walked.database.shape()
            walked.down(number - 1)
            walked.up(number)
            assert walked.database.shape() == shape, f"migration {number}"
    assert walked.database.shape() == whole
    assert walked.world.verb("migrate", "status", DATABASE_URL=walked.url).returncode == 0


def test_a_schema_goes_down_by_single_steps_and_up_at_once(copy_of):
    walked = copy_of("steps")
    whole = walked.database.shape()
    for number in range(NEWEST - 1, -1, -1):
        walked.down(number)
    walked.up()
    assert walked.database.shape() == whole


@pytest.mark.seconds(90)
def test_a_worker_goes_on_behind_each_walk_that_keeps_its_tables(copy_of, filled):
    """Down to where jobs and faces are left without their columns, and up: commands meet what is left of them."""
    walked = copy_of("goes_on")
    walked.down(5)
    walked.up()
    rows = walked.database.rows("SELECT id FROM interlock.job WHERE identifier = 'GEOFENCE' AND parent_id IS NOT NULL")
    assert rows == [], "assignments without a person, or without their time"
    assert walked.database.value("SELECT count(*) FROM interlock.inbox WHERE parked") == 0, "it could never be applied"
    assert walked.database.value("SELECT count(*) FROM interlock.ticket") > 0
