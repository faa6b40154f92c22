"""Who did what, and why: every verb that changes something leaves an operator action in PostgreSQL, written in the
transaction that acts where there is one."""

import json

import psycopg2
import pytest
from jsonschema import Draft202012Validator

from check.evidence import read_topic, to_event
from harness.commands import create_ticket
from harness.database import Database, session, url_as
from harness.retention import age, cut_log
from harness.stack import apply_roles
from harness.waiting import until


ACT = ("INSERT INTO interlock.operator_action (verb, actor, host, version, reason, filter) VALUES ('{}', 'anna', 'a', '0', "
       "'a test', '{}')")


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


def acts(world):
    records = [to_event(each) for each in read_topic(world.stack.bootstrap, world.audit_topic)]
    return [each for each in records if each.body["type"] == "interlock.operator"]


def test_the_set_up_of_a_pool_before_its_first_worker_is_no_event(world):
    world.database.execute(ACT.format("topics create", "{}"))
    world.worker()
    world.database.execute(ACT.format("dlq discard", "{}"))
    until("an event is out", lambda: world.database.count("operator_outbox") == 0)
    assert [each.body["subject"] for each in acts(world)] == ["operator/2"]


def test_each_act_is_an_event_of_the_audit_topic_that_readers_of_answers_pass_over(world):
    world.worker()
    world.database.execute(ACT.format("dlq discard", '{"cause": "too_deep"}'))
    until("its event is out and forgotten", lambda: world.database.count("operator_outbox") == 0)
    world.ask(create_ticket(1))
    found, = acts(world)
    assert (found.key, found.event_id.rsplit("/", 1)[0], found.body["subject"]) == ("operator/1", "operator/1", "operator/1")
    assert found.data["verb"] == "dlq discard" and found.data["filter"] == {"cause": "too_deep"} and found.data["expected"] is None
    assert (found.data["actor"], found.data["reason"]) == ("anna", "a test") and found.data["db_user"]
    world.database.execute("INSERT INTO interlock.operator_outbox (action_id, claimed_at) VALUES (1, now() - interval '1 minute')")
    until("it is published again", lambda: world.database.count("operator_outbox") == 0)
    first, second = acts(world)
    assert (first.body, first.key) == (second.body, second.key)
    schema = json.loads(world.verb("describe", "--json-schema").stdout)
    Draft202012Validator({"$schema": schema["$schema"], **schema["$defs"]["interlock.operator"]}).validate(
        json.loads(json.dumps(found.body, default=int)))
    verified = world.verb("audit", "verify", "--output", "json")
    assert verified.returncode == 0 and json.loads(verified.stdout)["events"] == 1, verified.stdout
    world.drain()
    world.check()


def test_a_takeover_passes_over_the_acts_of_operators(world):
    """It looks for events that no owner is known to have published; the acts lie between them."""
    world.database.execute(ACT.format("prune", "{}"))
    worker = world.worker(FAULT_POINTS="after_commit_txn=crash@2")
    until("the act is out", lambda: world.database.count("operator_outbox") == 0)
    for number in range(1, 4):
        world.publish(create_ticket(number))
        until("it is applied", lambda: world.database.count("audit_event") >= number or not worker.runs())
    until("it has died", lambda: not worker.runs())
    world.worker()
    world.drain()
    assert json.loads(world.verb("audit", "verify", "--output", "json").stdout)["doubles"] == 0
    world.check()


def test_actions_are_listed_and_shown_with_their_outcomes(world):
    assert world.verb("action", "list").stdout == "no actions\n"
    for verb in ("prune", "dlq redrive"):
        world.database.execute(ACT.format(verb, "{}"))
    world.database.execute("INSERT INTO interlock.operator_item (action_id, subject, outcome) VALUES (2, 'a/1/5', 'applied'), "
                           "(2, 'a/1/6', 'applied'), (2, E'a/1/7\\x1b[2J', 'dead again')")
    listed = world.verb("action", "list").stdout.splitlines()
    assert listed[0].startswith("2 ") and "dlq redrive" in listed[0] and "3: 2 applied, 1 dead again" in listed[0]
    assert "anna (" in listed[0] and listed[0].endswith("a test") and listed[1].startswith("1 ")
    assert listed[-1] == "next: interlock action show 2"
    assert json.loads(world.verb("action", "list", "--verb", "dlq", "--output", "json").stdout)["actions"][0]["outcomes"] == {
        "applied": 2, "dead again": 1}
    assert [world.verb("action", "list", *words).stdout for words in (("--by", "bert"), ("--verb", "dl"), ("--since", "0s"))] \
        == ["no actions\n"] * 3
    shown = world.verb("action", "show", "2").stdout
    assert shown.startswith("action 2: dlq redrive by anna") and "a/1/5  applied" in shown and "\x1b" not in shown
    assert shown.endswith("next: nothing to do\n")
    subjects = json.loads(world.verb("action", "show", "2", "--output", "json").stdout)["subjects"]
    assert [each["outcome"] for each in subjects] == ["applied", "applied", "dead again"]
    for words in (("show", "77"), ("stop", "77"), ("show", "x"), ("show",), ("list", "--limit", "x"), ("undo", "1")):
        done = world.verb("action", *words)
        assert done.returncode == 1 and done.stderr and not done.stdout, words


def test_stopping_an_action_takes_back_what_has_not_returned(roles):
    """Nobody owns the partition, so nothing returns; one of three has returned before."""
    anna = {"DATABASE_URL": url_as(roles, "interlock_operator")}
    partition = roles.database.value("INSERT INTO interlock.partition_owner (topic, partition) VALUES ('other', 0) RETURNING id")
    identities = [f"6a1f4a3e-0000-4000-8000-00000000000{number}" for number in range(3)]
    with session(anna["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(ACT.format("dlq redrive", "{}"))
        for number, identity in enumerate(identities):
            cursor.execute("SELECT interlock.put_back(1, 'redriven', %s, gen_random_uuid(), %s, %s, 1, now(), 'ticket/7', 's', "
                           "%s, 't', NULL, NULL, NULL, 'bytes')", (identity, partition, number, f"i-{number}"))
        cursor.execute("COMMIT")
    roles.database.execute("INSERT INTO interlock.dead_letter (partition_id, kafka_offset, identity, digest, reason, state, "
                           "fence) SELECT %s, 1, %s, sha256(''), 'crashed_worker', 'redriving', 1",
                           partition, identities[1])
    roles.database.execute("UPDATE interlock.parked_command SET returns = 1, returned_at = now() WHERE identity = %s", identities[0])
    dry = roles.verb("action", "stop", "1", **anna)
    assert dry.returncode == 0 and "2 commands of action 1 have not returned yet" in dry.stdout and "--expect 2" in dry.stdout
    assert roles.database.count("parked_command") == 3
    words = ("action", "stop", "1", "--execute", "--reason", "wrong ones", "--as", "bert")
    other = roles.verb(*words, "--expect", "3", **anna)
    assert other.returncode == 1 and "3 expected" in other.stderr and roles.database.count("parked_command") == 3
    refused = roles.verb(*words, DATABASE_URL=url_as(roles, "interlock_reader"))
    assert refused.returncode == 1 and "interlock_operator may do this" in refused.stderr, refused.stderr
    done = roles.verb(*words, "--expect", "2", **anna)
    assert done.returncode == 0 and "action 2: 2 commands of action 1 are taken back" in done.stdout, done.stdout + done.stderr
    assert roles.database.rows("SELECT identity::text FROM interlock.parked_command") == [(identities[0],)]
    assert roles.database.rows("SELECT state, action_id FROM interlock.dead_letter") == [("open", 2)]
    assert actions(roles)[1] == ("action stop", "bert", "wrong ones", ["other/0/1: taken back", "s i-2: taken back"])
    assert "0 commands" in roles.verb("action", "stop", "1", **anna).stdout


def test_an_action_is_never_changed(world):
    world.database.execute("INSERT INTO interlock.operator_action (verb, actor, host, version, reason) VALUES ('a', 'b', 'c', 'd', 'e')")
    for statement in ("UPDATE interlock.operator_action SET reason = 'x'", "DELETE FROM interlock.operator_item"):
        with pytest.raises(psycopg2.Error):
            world.database.execute(statement)
