"""The operator's verbs against real services: check, status, health, audit list and show, the roles."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request

import psycopg2
import pytest

from harness.commands import command, create_ticket, escalate, transition
from harness.database import Database, session, url_as
from harness.redis_server import PrivateRedis
from harness.stack import apply_roles
from harness.waiting import until


def verb_json(world, *words, code=0, **settings):
    done = world.verb(*words, "--output", "json", **settings)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def results(world, code=0, **settings):
    return {row["check"]: (row["result"], row["says"]) for row in verb_json(world, "check", code=code, **settings)["checks"]}


# ---- help ----------------------------------------------------------------------------------------------

def test_every_verb_s_help_is_a_usage_line_and_ends_its_last_line(binary):
    listed = subprocess.run([binary, "--help"], capture_output=True, text=True, timeout=30, check=True).stdout
    verbs = re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE)
    assert "publish" in verbs and "run" in verbs
    for verb in verbs:
        help_ = subprocess.run([binary, verb, "--help"], capture_output=True, text=True, timeout=30, check=False)
        assert (help_.returncode, help_.stderr) == (0, ""), verb
        assert help_.stdout.startswith(f"usage: interlock {verb}") and help_.stdout.endswith("\n"), verb
        wrong = subprocess.run([binary, verb, "list", "--help"], env={**os.environ, "INTERLOCK_LOG_LEVEL": "loud"},
                               capture_output=True, text=True, timeout=30, check=False)
        assert (wrong.returncode, wrong.stdout) == (0, help_.stdout), wrong.stderr  # with settings that are not right


# ---- check ---------------------------------------------------------------------------------------------

def test_check_is_content_with_what_the_stack_offers(world):
    found = results(world)
    assert {name for name, (result, _) in found.items() if result == "fix"} == set()
    for name in ("settings", "postgresql", "durability", "schema", "grants", "pooler", "redis", "kafka", "commands", "audit"):
        assert found[name][0] == "ok", found


def test_check_says_what_to_do_when_nothing_answers(world):
    found = results(world, code=3, DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/x", KAFKA_BOOTSTRAP="127.0.0.1:1",
                    REDIS_URL="redis://:hunter2@127.0.0.1:1")
    for name in ("postgresql", "redis", "kafka"):
        assert found[name][0] == "fix", found
    assert "hunter2" not in json.dumps(found)


def test_check_names_topics_that_are_missing(world):
    found = results(world, code=3, kafka_topics=f"{world.name}.nowhere")
    assert found["commands"][0] == "fix" and "topics create" in found["commands"][1]


def test_check_sees_a_schema_that_is_behind_and_another_group(world):
    world.database.execute("INSERT INTO interlock.consumer_group (group_id) VALUES ('others')")
    assert "others" in results(world, code=3)["consumer group"][1]
    assert world.verb("migrate", "down", "--execute", "--reason", "test").returncode == 0
    assert "migrate up" in results(world, code=3)["schema"][1]


def test_check_sees_durability_switched_off(world):
    world.database.execute(f'ALTER DATABASE "{world.database.value("SELECT current_database()")}" SET synchronous_commit = off')
    assert results(world, code=3)["durability"][0] == "fix"


@pytest.mark.breaks_stack
def test_check_refuses_a_redis_that_evicts(world):
    before = world.stack.redis("CONFIG", "GET", "maxmemory-policy").splitlines()[1]
    world.stack.redis("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        result, says = results(world, code=3)["redis"]
        assert result == "fix" and "allkeys-lru" in says and "noeviction" in says
    finally:
        world.stack.redis("CONFIG", "SET", "maxmemory-policy", before)


def test_check_takes_locks_as_a_batch_does(world):
    def redis_of(url):
        return results(world, code=3, REDIS_URL=url, kafka_consumer_x="Kafka is left out")["redis"]

    def refused(url, *words):
        result, says = redis_of(url)
        assert result == "fix" and all(word in says for word in words), says
    with PrivateRedis() as redis:
        for user, keys, right in (("foreign", "~others:*", "+@all"), ("scriptless", "~*", "-eval"), ("kept", "~*", "-del")):
            redis.ask("ACL", "SETUSER", user, "on", ">secret", keys, "+@all", right)
        as_user = redis.url.replace("redis://", "redis://{}:secret@")
        refused(as_user.format("foreign"), "NOPERM", "redis.prefix")
        refused(as_user.format("scriptless"), "NOPERM", "eval")
        refused(as_user.format("kept"), "can't run this command", "del")
        assert redis_of(redis.url)[0] == "ok"
        redis.ask("REPLICAOF", "127.0.0.1", "1")
        refused(redis.url, "READONLY", "primary")
    with PrivateRedis(options=["--cluster-enabled", "yes"]) as redis:
        refused(redis.url, "CLUSTERDOWN", "no node serves its slots")


# ---- a running pool --------------------------------------------------------------------------------------

def test_status_and_health_of_a_running_pool(world):
    worker = world.worker()
    listen = f"127.0.0.1:{worker.port()}"
    assert isinstance(verb_json(world, "status", http_listen=listen), dict)
    assert world.verb("status", http_listen=listen).stdout.startswith("READY ")
    healthy = world.verb("health", http_listen=listen)
    assert (healthy.returncode, healthy.stdout) == (0, "healthy\nready\n")
    worker.signal(signal.SIGTSTP)
    until("it is not ready", lambda: worker.get("/readyz")[0] == 503)
    assert world.verb("health", http_listen=listen).returncode == 3
    assert world.verb("health", "--live", http_listen=listen).returncode == 0


def test_status_and_health_without_a_pool(world):
    for verb in ("status", "health"):
        for listen, words in (("127.0.0.1:1", "is it running"), ("127.0.0.1:0", "INTERLOCK_HTTP_LISTEN"), ("", "empty")):
            done = world.verb(verb, http_listen=listen)
            assert done.returncode == 1 and words in done.stderr, done.stderr


def test_a_port_in_use_is_no_reason_not_to_work_and_status_finds_every_pool(world):
    """The second worker of a host takes the next free port, says so, and is known to status."""
    first = world.worker()
    listen = f"127.0.0.1:{first.port()}"
    second = world.worker(http_listen=listen)
    assert f"because {listen} is in use" in second.text()
    assert first.port() < second.port() <= first.port() + 16
    world.ask(create_ticket(1))
    pools = verb_json(world, "status", "--all", http_listen=listen)["pools"]
    mine = {f"127.0.0.1:{each.port()}": each.pid for each in (first, second)}
    assert {each["listen"]: each["status"]["pid"] for each in pools if each["listen"] in mine} == mine
    lines = world.verb("status", "--all", http_listen=listen).stdout
    assert all(each in lines for each in mine)
    away = {"DATABASE_URL": "postgresql://127.0.0.1:1/x"}  # then the ports are asked
    pools = verb_json(world, "status", "--all", http_listen=listen, **away)["pools"]
    assert set(mine) <= {each["listen"] for each in pools}
    assert world.verb("status", "--all", http_listen="127.0.0.1:1", **away).returncode == 1


def test_probes_are_answered_while_others_send_a_byte_a_second(world):
    """With sixteen such connections, and as many as there are wanted."""
    worker = world.worker()
    slow = [socket.create_connection(("127.0.0.1", worker.port())) for _ in range(16)]
    try:
        for each in slow:
            with contextlib.suppress(OSError):
                each.sendall(b"G")
        for path in ("/healthz", "/readyz", "/metrics"):
            assert worker.get(path, timeout=20)[0] == 200
    finally:
        for each in slow:
            each.close()


def test_a_name_that_was_made_to_point_here_is_refused(world):
    """DNS rebinding: a page of another host may not read ours."""
    worker = world.worker()
    request = urllib.request.Request(f"http://127.0.0.1:{worker.port()}/status", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 403
    request = urllib.request.Request(f"http://127.0.0.1:{worker.port()}/healthz", method="HEAD")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200 and answer.read() == b""


# ---- the audit ---------------------------------------------------------------------------------------------

def listed(world, *words):
    return verb_json(world, "audit", "list", *words)["events"]


def test_audit_list_answers_by_each_question(shared):
    sent = [create_ticket(100), transition(100, "OPEN", actor="user/77"), escalate(100, actor="user/78"),
            transition(100, "CLOSED", actor="user/78")]
    for message in sent:
        shared.ask(message)
    rows = listed(shared, "--aggregate", "ticket/100")
    assert [row["operation"] for row in rows] == ["CREATION", "STATUS_CHANGE", "ESCALATION", "STATUS_CHANGE"]
    assert [(row["version_from"], row["version_to"]) for row in rows] == [(0, 1), (1, 2), (2, 3), (3, 3)]
    assert (rows[3]["outcome"], rows[3]["reason"]) == ("rejected", "invalid_transition")
    assert [row["changed_by"] for row in listed(shared, "--author", "user/78")] == ["user/78"] * 2
    assert [row["aggregate"] for row in listed(shared, "--author", "user/77", "--operation", "STATUS_CHANGE")] == ["ticket/100"]
    for words in (["--status-from", "NEW", "--status-to", "OPEN"], ["--status", "NEW:OPEN"], ["--status-from", "NEW"],
                  ["--status-to", "OPEN"]):
        assert ("NEW", "OPEN") in [(row["status_old"], row["status_new"]) for row in listed(shared, *words)]
    assert listed(shared, "--aggregate", "ticket/100", "--limit", "1") == rows[3:]
    assert listed(shared, "--aggregate", "ticket/100", "--until", rows[1]["time"]) == rows[:1]
    assert listed(shared, "--aggregate", "ticket/100", "--since", rows[1]["time"]) == rows[1:]
    assert listed(shared, "--aggregate", "ticket/100", "--since", "10min") == rows
    assert rows[0]["event_id"] in [row["event_id"] for row in listed(shared, "--operation", "CREATION")]
    assert rows[3]["event_id"] in [row["event_id"] for row in listed(shared)]
    assert "Index Scan" in shared.verb("audit", "list", "--aggregate", "ticket/100", "--plan").stdout


def test_audit_list_finds_aggregates_that_another_s_command_changed(shared):
    shared.ask(create_ticket(201), create_ticket(202))
    told = shared.ask(command("ticket.bulk_update", {"ticket_ids": [201, 202], "priority": "HIGH"}))
    assert told.event_id in [row["event_id"] for row in listed(shared, "--aggregate", "ticket/201")]
    assert told.event_id in [row["event_id"] for row in listed(shared, "--aggregate", "ticket/202")]


def test_audit_show_finds_a_command_and_its_event(shared):
    message = create_ticket(300)
    told = shared.ask(message)
    source, id_ = message.identity
    by_command = verb_json(shared, "audit", "show", "--source", source, "--id", id_)
    assert by_command == verb_json(shared, "audit", "show", told.event_id)
    assert (by_command["event_id"], by_command["command_id"], by_command["topic"]) == (told.event_id, id_, shared.topic)
    assert told.event_id in shared.verb("audit", "show", told.event_id).stdout
    unknown = shared.verb("audit", "show", "--source", source, "--id", "nobody")
    assert unknown.returncode == 1 and "no event is recorded" in unknown.stderr


# ---- roles ---------------------------------------------------------------------------------------------------

@pytest.fixture
def roles(world):
    """roles.sql, twice: it may be run again."""
    for _ in range(2):
        apply_roles(world.database.url)
    return world


def test_a_worker_lives_on_the_rights_of_its_role(roles):
    url = url_as(roles, "interlock_worker")
    roles.worker(DATABASE_URL=url)
    roles.ask(create_ticket(1))
    roles.ask(escalate(1), transition(1, "OPEN"), command("ticket.bulk_update", {"ticket_ids": [1], "priority": "HIGH"}))
    found = results(roles, DATABASE_URL=url)
    assert (found["role"], found["grants"][0]) == (("ok", "interlock_worker"), "ok")
    assert Database(url).value("SELECT interlock.merge_audit_indexes()") is not None


def test_the_roles_are_set_again_beside_those_who_use_the_tables(roles):
    """An owner that is the right one is not set, which would wait for every transaction."""
    tables = [name for name, in roles.database.rows("SELECT format('interlock.%I', relname) FROM pg_class WHERE relkind = 'r' "
                                                    "AND relnamespace = 'interlock'::regnamespace")]
    with roles.database.holding(f"LOCK TABLE {', '.join(tables)} IN ROW EXCLUSIVE MODE"):
        apply_roles(roles.database.url)


@pytest.mark.parametrize("role, statement", [
    *[("interlock_worker", each) for each in (
        "UPDATE interlock.audit_event SET outcome = 'applied'", "DELETE FROM interlock.audit_event",
        "TRUNCATE interlock.audit_event", "DELETE FROM interlock.inbox", "UPDATE interlock.inbox SET kafka_offset = 0",
        "UPDATE interlock.inbox SET fence = 9", "UPDATE interlock.inbox SET parked = true", "UPDATE interlock.inbox SET identity = body_digest",
        "DELETE FROM interlock.ticket", "UPDATE interlock.ticket SET id = 1", "DELETE FROM interlock.ticket_history",
        "UPDATE interlock.ticket_history SET seq = 1", "UPDATE interlock.partition_owner SET topic = 'x'",
        "UPDATE interlock.partition_rewind SET below = 0", "CREATE TABLE interlock.mine ()",
        "DROP TABLE interlock.ticket", "ALTER TABLE interlock.audit_event DISABLE TRIGGER ALL",
        "INSERT INTO interlock.schema_migration (number, name, checksum) VALUES (99, 'x', 'x')",
        "INSERT INTO interlock.operator_action (verb, actor, host, version, reason) VALUES ('a', 'b', 'c', 'd', 'e')",
        "UPDATE interlock.dead_letter SET reason = 'x'", "DELETE FROM interlock.dead_letter",
        "INSERT INTO interlock.pause (scope, target, action_id) VALUES ('all', '', 1)", "UPDATE interlock.pause SET resumed_by = 1",
        "DELETE FROM interlock.operator_item", "UPDATE interlock.operator_item SET outcome = 'x'")],
    *[("interlock_operator", each) for each in (
        "INSERT INTO interlock.operator_action (verb, actor, host, version, reason, db_user) VALUES ('a', 'b', 'c', 'd', 'e', 'f')",
        "INSERT INTO interlock.operator_action (verb, actor, host, version, reason, at) VALUES ('a', 'b', 'c', 'd', 'e', now())",
        "UPDATE interlock.operator_action SET reason = 'x'", "DELETE FROM interlock.operator_action",
        "DELETE FROM interlock.operator_item", "DELETE FROM interlock.operator_outbox", "DELETE FROM interlock.pause",
        "DELETE FROM interlock.dead_letter", "UPDATE interlock.dead_letter SET reason = 'x'",
        "INSERT INTO interlock.inbox (identity, body_digest, kafka_offset, fence, partition_id) "
        "VALUES (gen_random_uuid(), gen_random_uuid(), 1, 1, 1)", "UPDATE interlock.inbox SET parked = true",
        "DELETE FROM interlock.parked_command", "UPDATE interlock.parked_command SET value = ''",
        "UPDATE interlock.parked_command SET token = gen_random_uuid()", "SELECT value FROM interlock.parked_command",
        "SELECT token FROM interlock.parked_command", "UPDATE interlock.ticket SET level = 1",
        "INSERT INTO interlock.audit_event DEFAULT VALUES", "UPDATE interlock.partition_owner SET fence = 9",
        "SELECT metadata FROM interlock.audit_event",
        "SELECT interlock.take_back(1, gen_random_uuid())", "SELECT interlock.require_action(1)",
        "SELECT pg_advisory_lock(1)", "TRUNCATE interlock.operator_item")],
    *[("interlock_payload_reader", each) for each in (
        "INSERT INTO interlock.pause (scope, target, action_id) VALUES ('all', '', 1)",
        "SELECT token FROM interlock.parked_command", "SELECT vector FROM interlock.face_embedding")],
    *[("interlock_pruner", each) for each in (
        "SELECT reason FROM interlock.operator_action", "SELECT * FROM interlock.inbox", "UPDATE interlock.dead_letter SET state = 'open'",
        "SELECT interlock.take_back(1, gen_random_uuid())")],
    ("interlock_reader", "INSERT INTO interlock.operator_action (verb, actor, host, version, reason) VALUES ('a', 'b', 'c', 'd', 'e')"),
    ("interlock_reader", "INSERT INTO interlock.ticket (id) VALUES (1)"),
    *[("interlock_reader", each) for each in (
        "SELECT interlock.draw_ticket_ids(1)", "SELECT value FROM interlock.parked_command",
        "SELECT headers FROM interlock.parked_command", "SELECT token FROM interlock.parked_command",
        "SELECT * FROM interlock.parked_command", "SELECT owner_token FROM interlock.partition_owner",
        "SELECT metadata FROM interlock.audit_event",
        "SELECT vector FROM interlock.face_embedding", "SELECT p::text FROM interlock.parked_command p")],
])
def test_a_right_that_a_role_lacks_is_refused(roles, role, statement):
    roles.database.execute("INSERT INTO interlock.inbox (identity, body_digest, kafka_offset, fence, partition_id) "
                           "VALUES (gen_random_uuid(), gen_random_uuid(), 1, 1, 1)")
    with session(url_as(roles, role)) as connection, connection.cursor() as cursor, pytest.raises(psycopg2.Error) as refused:
        cursor.execute("SET default_transaction_read_only = off")
        cursor.execute(statement)
    assert refused.value.pgcode == "42501", refused.value


PUT_BACK = """SELECT interlock.put_back(%s, 'redriven', %s, gen_random_uuid(), %s, 5, 1, now(), 'ticket/7', 's', 'i', 't', NULL,
    NULL, NULL, 'bytes')"""
ACT = """INSERT INTO interlock.operator_action (verb, actor, host, version, reason) VALUES ('dlq redrive', 'anna', 'a', '0', 'test')
    RETURNING id"""


def test_an_operator_puts_a_command_back_and_takes_it_back_under_an_action_of_the_same_transaction(roles):
    identity = "6a1f4a3e-0000-4000-8000-000000000001"
    partition = roles.database.value("INSERT INTO interlock.partition_owner (topic, partition) VALUES ('other', 0) RETURNING id")
    with session(url_as(roles, "interlock_operator")) as connection, connection.cursor() as cursor:
        cursor.execute(ACT)
        former, = cursor.fetchone()
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(PUT_BACK, (former, identity, partition))
        cursor.execute("BEGIN")
        cursor.execute(ACT)
        action, = cursor.fetchone()
        cursor.execute(PUT_BACK, (action, identity, partition))
        assert cursor.fetchone() == ("parked",)
        cursor.execute(PUT_BACK, (action, identity, partition))
        assert cursor.fetchone() == ("already parked",)
        cursor.execute("COMMIT")
    assert roles.database.rows("SELECT reason, blocks, action_id FROM interlock.parked_command") == [("redriven", True, action)]
    assert roles.database.value("SELECT parked FROM interlock.inbox WHERE identity = %s", identity)
    assert roles.database.value("SELECT parked FROM interlock.parking")
    assert roles.database.rows("SELECT db_user, actor FROM interlock.operator_action WHERE id = %s", action) == [("interlock_operator", "anna")]
    with session(url_as(roles, "interlock_operator")) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(ACT)
        cursor.execute("SELECT interlock.take_back(%s, %s)", (*cursor.fetchone(), identity))
        assert cursor.fetchone() == (True,)
        cursor.execute("COMMIT")
    assert roles.database.count("parked_command") == roles.database.count("inbox") == 0
    assert roles.database.value("SELECT count(*) FROM interlock.operator_outbox") == 3


def test_each_pause_and_each_end_of_one_raises_the_epoch_that_batches_read(roles):
    with session(url_as(roles, "interlock_operator")) as connection, connection.cursor() as cursor:
        cursor.execute(ACT)
        cursor.execute("INSERT INTO interlock.pause (scope, target, action_id) VALUES ('key', 'ticket/7', %s)", cursor.fetchone())
        assert roles.database.value("SELECT pause_epoch FROM interlock.parking") == 1
        cursor.execute("UPDATE interlock.pause SET resumed_at = now()")
    assert roles.database.value("SELECT pause_epoch FROM interlock.parking") == 2


def test_the_reader_reads_the_audit(roles):
    url = url_as(roles, "interlock_reader")
    roles.worker()
    _, told = roles.ask(create_ticket(1), escalate(1))
    for words in (["list", "--operation", "ESCALATION"], ["show", told.event_id]):
        done = roles.verb("audit", *words, "--output", "json", DATABASE_URL=url)
        assert done.returncode == 0 and "metadata is not shown: interlock_reader may not" in done.stderr, done.stderr
        found = json.loads(done.stdout)
        row = found["events"][0] if "events" in found else found
        assert (row["event_id"], row["metadata"]) == (told.event_id, None)
    refused = roles.verb("audit", "verify", DATABASE_URL=url)
    assert refused.returncode == 1 and "interlock_payload_reader may do this" in refused.stderr, refused.stderr
    payload = url_as(roles, "interlock_payload_reader")
    assert roles.verb("audit", "verify", DATABASE_URL=payload).returncode == 0
    shown = roles.verb("audit", "show", told.event_id, "--output", "json", DATABASE_URL=payload)
    assert shown.stderr == "" and json.loads(shown.stdout)["metadata"], shown.stdout
    with session(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT identity, due_at, reason FROM interlock.parked_command")
        cursor.execute("SELECT id, user_id, is_primary FROM interlock.face_embedding")


def test_a_report_can_neither_run_for_ever_nor_take_all_sessions(roles):
    found = dict(roles.database.rows("SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname ~ '^interlock_'"))
    assert found == {"interlock_worker": -1, "interlock_owner": 5, "interlock_reader": 20, "interlock_pruner": 2,
                     "interlock_payload_reader": 5, "interlock_operator": 10}
    for role in ("interlock_worker", "interlock_reader", "interlock_payload_reader", "interlock_operator", "interlock_pruner"):
        with session(url_as(roles, role)) as connection, connection.cursor() as cursor:
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
                cursor.execute(f"SHOW {name}")
                assert cursor.fetchone()[0] != "0", (role, name)


def test_tables_of_a_later_migration_are_nobody_s_until_roles_sql_grants_them(roles):
    owner = url_as(roles, "interlock_owner")
    with session(owner) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE FUNCTION interlock.later() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
        cursor.execute("CREATE TABLE interlock.later_table (value integer)")
    for statement in ("SELECT interlock.later()", "SELECT * FROM interlock.later_table"):
        with session(url_as(roles, "interlock_worker")) as connection, connection.cursor() as cursor, \
                pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(statement)


def test_the_owner_migrates(roles):
    url = url_as(roles, "interlock_owner")
    for words in (("down", "--execute", "--reason", "test", "--to", "0"), ("up",), ("status",)):
        done = roles.verb("migrate", *words, DATABASE_URL=url)
        assert done.returncode == 0, done.stderr
