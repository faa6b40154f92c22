"""Who did what, and why: every verb that changes something leaves an operator action in PostgreSQL, written in the
transaction that acts where there is one."""

import psycopg2
import pytest

from harness.commands import create_ticket
from harness.database import Database, session, url_as
from harness.retention import age, cut_log
from harness.stack import apply_roles
from harness.waiting import until


def actions(world):
    """Verb, actor, reason and items of each, in their order."""
    return world.database.rows(
        "SELECT a.verb, a.actor, a.reason, coalesce(array_agg(i.subject || ': ' || i.outcome ORDER BY i.at) "
        "FILTER (WHERE i.action_id IS NOT NULL), '{}') FROM interlock.operator_action a "
        "LEFT JOIN interlock.operator_item i ON i.action_id = a.id GROUP BY a.id ORDER BY a.id")


@pytest.fixture
def roles(world):
    apply_roles(world.database.url)
    return world


def test_prune_records_what_it_deleted_and_how_far(roles):
    roles.worker()
    roles.ask(*[create_ticket(number) for number in range(1, 21)])
    roles.drain()
    until("the published events are known", lambda: roles.database.value(
        "SELECT sum(published) FROM interlock.partition_published") == 20)
    age(roles)
    cut_log(roles)
    assert roles.verb("prune", "--older-than", "720h").returncode == 0
    assert actions(roles) == [] and roles.database.value("SELECT max(pruned_below) FROM interlock.partition_published") == 0
    words = ("prune", "--older-than", "720h", "--execute", "--reason", "monthly", "--as", "anna")
    done = roles.verb(*words, DATABASE_URL=url_as(roles, "interlock_pruner"))
    assert done.returncode == 0, done.stderr
    assert actions(roles) == [("prune", "anna", "monthly", ["inbox: 20 deleted"])]
    ends = {number: end for number, end in roles.kafka.ends(roles.topic).items() if end > 0}
    assert dict(roles.database.rows("SELECT o.partition, p.pruned_below FROM interlock.partition_published p JOIN "
                                    "interlock.partition_owner o ON o.id = p.partition_id WHERE p.pruned_below > 0")) == ends
    refused = roles.verb(*words, DATABASE_URL=url_as(roles, "interlock_reader"))
    assert refused.returncode == 1 and "interlock_pruner may do this" in refused.stderr, refused.stderr


def test_repair_records_what_it_published(roles):
    roles.worker()
    told = roles.ask(create_ticket(1))
    roles.drain()
    roles.database.execute("SET session_replication_role = replica; UPDATE interlock.audit_event SET event_id = gen_random_uuid() "
                           "WHERE event_id = %s", told.event_id)
    person = f"{roles.name}_anna"
    Database(roles.stack.database_url).execute(f"CREATE ROLE {person} LOGIN PASSWORD '{roles.stack.password}' "
                                               "IN ROLE interlock_payload_reader, interlock_operator")
    words = ("audit", "verify", "--repair", "--execute", "--reason", "a hole", "--as", "anna")
    done = roles.verb(*words, DATABASE_URL=url_as(roles, person))
    assert done.returncode == 3 and "1 events published" in done.stdout, done.stdout + done.stderr
    assert actions(roles) == [("audit verify --repair", "anna", "a hole", [f"{roles.audit_topic}: 1 events published"])]
    refused = roles.verb(*words, DATABASE_URL=url_as(roles, "interlock_payload_reader"))
    assert refused.returncode == 1 and "interlock_operator" in refused.stderr, refused.stderr
    with session(url_as(roles, "interlock_operator")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT interlock.try_repair_lock()")
        assert cursor.fetchone() == (True,)
        again = roles.verb(*words)
        assert again.returncode == 1 and "another repair is running" in again.stderr
    assert len(actions(roles)) == 1


def test_a_sweep_records_what_it_published(roles):
    roles.database.execute("INSERT INTO interlock.jobneed (id, identifier, type, status, starts_at, expires_at) VALUES "
                           "(1, 'TASK', 'SCHEDULE', 'ASSIGNED', now() - interval '2 hours', now() - interval '1 hour')")
    assert roles.verb("sweep", "jobs").returncode == 0
    assert actions(roles) == []
    words = ("sweep", "jobs", "--execute", "--as", "anna", "--reason", "nightly")
    refused = roles.verb(*words, DATABASE_URL=url_as(roles, "interlock_worker"))
    assert refused.returncode == 1 and "interlock_operator may do this" in refused.stderr, refused.stderr
    assert sum(roles.kafka.ends(roles.topic).values()) == 0, "published although it could not be recorded"
    done = roles.verb(*words, DATABASE_URL=url_as(roles, "interlock_operator"))
    assert done.returncode == 0, done.stderr
    assert actions(roles) == [("sweep", "anna", "nightly", ["job.autoclose: 1 published"])]


def test_migrations_record_themselves_as_far_as_there_is_a_table_for_it(world):
    name = f"{world.name}_empty"
    Database(world.stack.database_url).execute(f'CREATE DATABASE "{name}"')
    database = Database(world.stack.url_of(name))
    newest = world.database.value("SELECT max(number) FROM interlock.schema_migration")

    def migrate(*words):
        done = world.verb("migrate", *words, DATABASE_URL=database.url)
        assert done.returncode == 0, done.stderr
    migrate("up", "--as", "anna")
    found = database.rows("SELECT a.id, a.verb, a.actor, a.reason, i.subject, i.outcome FROM interlock.operator_action a "
                          "JOIN interlock.operator_item i ON i.action_id = a.id ORDER BY a.id")
    assert [row[1:4] + row[5:] for row in found] == [("migrate up", "anna", "migrate", "applied")] * (newest - 18)
    assert found[0][4] == "0019_operators"
    migrate("down", "--to", "18", "--execute", "--reason", "back", "--as", "anna")
    assert database.value("SELECT to_regclass('interlock.operator_action')") is None
    assert database.rows("SELECT number, reason FROM interlock.schema_migration_log WHERE direction = 'down' ORDER BY id DESC "
                         "LIMIT 1") == [(19, "back")]
    migrate("up", "--reason", "again")
    assert database.value("SELECT reason FROM interlock.operator_action ORDER BY id LIMIT 1") == "again"


def test_topics_that_are_made_are_recorded_where_that_is_possible(roles):
    def create(name, **settings):
        return roles.verb("topics", "create", "--partitions", "1", "--reason", "a new one", "--as", "anna",
                          kafka_topics=f"{roles.topic},{roles.name}.{name}", **settings)
    done = create("more", DATABASE_URL=url_as(roles, "interlock_operator"))
    assert "not recorded" not in done.stderr, done.stderr
    assert actions(roles) == [("topics create", "anna", "a new one",
                               [f"{roles.name}.more: created", f"{roles.name}.more.dlq: created"])]
    done = create("without", DATABASE_URL=url_as(roles, "interlock_reader"))
    assert done.returncode != 1 and "not recorded" in done.stderr and "interlock_operator may do this" in done.stderr
    assert f"{roles.name}.without" in done.stdout
    done = create("nowhere", DATABASE_URL="postgresql://127.0.0.1:1/x")
    assert done.returncode != 1 and "not recorded: PostgreSQL at" in done.stderr, done.stderr
    for topic in ("more", "without", "nowhere"):
        roles.more_topics.append(f"{roles.name}.{topic}")
    assert len(actions(roles)) == 1


def test_an_action_is_never_changed(world):
    world.database.execute("INSERT INTO interlock.operator_action (verb, actor, host, version, reason) VALUES ('a', 'b', 'c', 'd', 'e')")
    for statement in ("UPDATE interlock.operator_action SET reason = 'x'", "DELETE FROM interlock.operator_item"):
        with pytest.raises(psycopg2.Error):
            world.database.execute(statement)
