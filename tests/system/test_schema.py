"""Migrations, the immutable audit, and plans for its four questions."""

import json

import psycopg2
import pytest

from harness.commands import create_ticket, escalate, transition
from harness.database import session

def migrate(world, *words):
    done = world.verb("migrate", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def has_schema_table(world, name):
    return world.database.value("SELECT to_regclass(%s) IS NOT NULL", f"interlock.{name}")


def test_migrations_go_up_down_and_up_again(world):
    before = world.database.shape()
    assert migrate(world, "up").returncode == 0 and world.database.shape() == before, "up again changes nothing"
    steps = 0
    while has_schema_table(world, "partition_owner"):
        dry = world.verb("migrate", "down")
        assert has_schema_table(world, "partition_owner"), "without --execute it is a dry run: " + dry.stdout
        migrate(world, "down", "--execute", "--reason", "test")
        steps += 1
        assert steps <= 20, "down never ends"
    assert not has_schema_table(world, "ticket")
    migrate(world, "up")
    assert world.database.shape() == before


def test_a_migration_that_was_changed_is_refused(world):
    table, column = world.database.row(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'interlock' "
        "AND column_name ~ 'checksum|digest|sha' AND table_name ~ 'migration'")
    kind = world.database.value("SELECT data_type FROM information_schema.columns WHERE table_schema = 'interlock' "
                                "AND table_name = %s AND column_name = %s", table, column)
    fake = "'\\x00'::bytea" if kind == "bytea" else "'0'"
    world.database.execute(f"UPDATE interlock.{table} SET {column} = {fake}")
    for words in (("up",), ("status",)):
        done = world.verb("migrate", *words)
        assert "check" in (done.stdout + done.stderr).lower() or "changed" in (done.stdout + done.stderr).lower()
    assert world.verb("migrate", "up").returncode == 1
    assert world.verb("migrate", "status").returncode == 3
    assert world.verb("migrate", "status", DATABASE_URL="postgresql://127.0.0.1:1/x").returncode == 1


def test_status_tells_what_is_applied(world):
    done = migrate(world, "status")
    for name in ("engine", "ticket", "job", "face"):
        assert name in done.stdout


def test_two_migrations_at_once_wait_for_each_other(world):
    world.database.execute("DROP SCHEMA interlock CASCADE")
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(3) as pool:
        codes = [done.returncode for done in pool.map(lambda _: world.verb("migrate", "up"), range(3))]
    assert codes == [0, 0, 0]


# ---- the audit cannot be changed ----------------------------------------------------------------------

@pytest.mark.parametrize("table", ["audit_event", "audit_also"])
@pytest.mark.parametrize("statement", ["UPDATE interlock.{} SET changed_at = now()",
                                       "UPDATE interlock.{} SET kafka_offset = 1 WHERE false",
                                       "DELETE FROM interlock.{}", "TRUNCATE interlock.{}"],
                         ids=["update", "update of nothing", "delete", "truncate"])
def test_audit_rows_are_immutable_even_for_the_superuser(world, table, statement):
    world.worker()
    world.ask(create_ticket(1))
    assert world.database.value("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    before = world.database.fingerprint("audit_event", "audit_also")
    with pytest.raises(psycopg2.Error) as refused:
        world.database.execute(statement.format(table))
    assert refused.value.pgcode == "42501"
    assert world.database.fingerprint("audit_event", "audit_also") == before


# ---- the four questions ----------------------------------------------------------------------------------

QUESTIONS = {
    "by aggregate and time": ("aggregate = 'ticket/5' AND changed_at > now() - interval '1 day'",
                              "audit_event_by_value"),
    "by operation and time": ("operation = 'ESCALATION' AND changed_at > now() - interval '1 minute'",
                              "audit_event_by_time"),
    "by author and time": ("changed_by = 'user/5' AND changed_at > now() - interval '1 day'", "audit_event_by_value"),
    "by status change": ("status_old = 'NEW' AND status_new = 'OPEN' AND status_old IS DISTINCT FROM status_new "
                         "AND changed_at > now() - interval '1 day'", "audit_event_by_time"),
}


@pytest.fixture(scope="module")
def grown(make_world):
    """An audit of 30,000 rows, made by SQL from a few real ones."""
    world = make_world("grown")
    world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 11)], *[escalate(number) for number in range(1, 11)],
              *[transition(number, "OPEN", actor=f"user/{number}") for number in range(1, 11)])
    world.workers[0].end()
    columns = [row[0] for row in world.database.rows(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'interlock' "
        "AND table_name = 'audit_event' ORDER BY ordinal_position")]
    changed = {"event_id": "gen_random_uuid()", "kafka_offset": "1000000 + row_number() OVER ()",
               "aggregate": "'ticket/' || (1000 + g)", "changed_at": "a.changed_at - g * interval '1 minute'",
               "changed_by": "CASE WHEN a.changed_by IS NULL THEN NULL ELSE 'user/' || (1000 + g) END"}
    world.database.execute(f"INSERT INTO interlock.audit_event ({', '.join(columns)}) SELECT "
                           f"{', '.join(changed.get(name, 'a.' + name) for name in columns)} "
                           "FROM interlock.audit_event a, generate_series(1, 1000) g")
    world.database.execute("VACUUM ANALYZE interlock.audit_event")
    yield world
    world.close()


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_question_of_the_audit_is_answered_by_its_index(grown, question):
    condition, index = QUESTIONS[question]
    plan = grown.database.value(f"EXPLAIN (FORMAT JSON) SELECT * FROM interlock.audit_event WHERE {condition} "
                                "ORDER BY changed_at DESC LIMIT 50")
    used = {node.get("Index Name") for node in nodes(plan[0]["Plan"])}
    kinds = {node["Node Type"] for node in nodes(plan[0]["Plan"])}
    assert index in used and "Seq Scan" not in kinds, json.dumps(plan, indent=1)


@pytest.mark.parametrize("words", [["--aggregate", "ticket/5"], ["--operation", "ESCALATION"], ["--author", "user/5"],
                                   ["--status", "NEW:OPEN"]], ids=lambda words: words[0])
def test_the_program_s_own_questions_use_an_index(grown, words):
    """Seen from the server: no sequential scan of the audit happens while `audit list` runs."""
    def scans():
        with session(grown.database.url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_force_next_flush()")
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute("SELECT seq_scan FROM pg_stat_user_tables WHERE schemaname = 'interlock' "
                           "AND relname = 'audit_event'")
            return cursor.fetchone()[0]
    before = scans()
    done = grown.verb("audit", "list", *words, "--output", "json")
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
    assert scans() == before


# ---- the schema refuses what commands may not do -----------------------------------------------------------

@pytest.mark.parametrize("statement", [
    "INSERT INTO interlock.ticket (id) VALUES (-1)", "INSERT INTO interlock.ticket (id, status) VALUES (1, 'LOST')",
    "INSERT INTO interlock.ticket (id, priority) VALUES (1, 'URGENT')", "INSERT INTO interlock.ticket (id, level) VALUES (1, -1)",
    "INSERT INTO interlock.ticket (id, assigned_person_id) VALUES (1, 1)",
    "INSERT INTO interlock.ticket (id, version) VALUES (1, -1)", "INSERT INTO interlock.ticket (id, source) VALUES (1, 'ME')",
    "INSERT INTO interlock.jobneed (id, identifier, type, starts_at) VALUES (1, 'GEOFENCE', 'ADHOC', now())",
    "INSERT INTO interlock.jobneed (id, identifier, type, starts_at) VALUES (1, 'TASK', 'DAILY', now())",
    "INSERT INTO interlock.jobneed (id, identifier, type, starts_at, status) VALUES (1, 'TASK', 'ADHOC', now(), 'NEW')",
    "INSERT INTO interlock.jobneed (id, identifier, type, starts_at, expires_at) VALUES (1, 'TASK', 'ADHOC', now(), '2000-01-01')",
    "INSERT INTO interlock.jobneed (id, parent_id, identifier, type, starts_at) VALUES (1, 1, 'TASK', 'ADHOC', now())",
    "INSERT INTO interlock.job (id, grace_minutes) VALUES (1, -1)",
    "INSERT INTO interlock.face_model (id, verification_count, successful_verifications) VALUES (1, 1, 2)",
    "INSERT INTO interlock.ticket (id, jobneed_id) SELECT n, 1 FROM generate_series(1, 2) n",
])
def test_the_schema_refuses_what_the_rules_refuse(grown, statement):
    with pytest.raises(psycopg2.errors.IntegrityError):
        grown.database.execute(statement)
