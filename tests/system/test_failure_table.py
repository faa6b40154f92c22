"""The outcome of every failure (ARCHITECTURE.md): a test per row, each with the failure really provoked in PostgreSQL where
PostgreSQL can be brought to it, else raised by a trigger with its SQLSTATE. PROTOCOL O6: the timeouts of a session."""

import contextlib
import json
import re
import threading
import urllib.parse

import psycopg2
import pytest

from harness.commands import append, create_ticket, escalate, partition_of, transition
from harness.cut import DatabaseProxy
from harness.database import Database, session
from harness.waiting import holds_for, until

CULPRIT = 3
TICKETS = range(1, 11)
OTHERS = [number for number in TICKETS if number != CULPRIT]

# The culprit shares its lane, and so its batches, with everybody else.
ONE_LANE = {"worker_lanes": "1"}


# ---- what is provoked ------------------------------------------------------------------------------------

def raising(sqlstate):
    return f"RAISE EXCEPTION 'provoked' USING ERRCODE = '{sqlstate}';"


def fails(world, body, at_commit=False):
    """From now on the body runs whenever the culprit's ticket is written, or when that is committed."""
    timing = "CREATE CONSTRAINT TRIGGER zz AFTER UPDATE ON interlock.ticket DEFERRABLE INITIALLY DEFERRED" if at_commit \
        else "CREATE TRIGGER zz BEFORE UPDATE ON interlock.ticket"
    world.database.execute(f"""
        CREATE TABLE public.failing AS SELECT {CULPRIT}::bigint AS id;
        CREATE TABLE public.elsewhere AS SELECT 1 AS id;
        CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM public.failing f WHERE f.id = NEW.id) THEN {body} END IF;
            RETURN NEW;
        END $$;
        {timing} FOR EACH ROW EXECUTE FUNCTION public.fail()""")


def mend(world):
    world.database.execute("DELETE FROM public.failing")


@contextlib.contextmanager
def failing(world, body):
    fails(world, body)
    yield
    mend(world)


ELSEWHERE = "PERFORM 1 FROM public.elsewhere FOR UPDATE;"


@contextlib.contextmanager
def deadlock(world):
    """Again and again: the worker has the ticket and wants a row of ours; we have that and want the ticket."""
    fails(world, ELSEWHERE)
    ready, ending = threading.Event(), threading.Event()

    def meet():
        with session(world.database.url, autocommit=False) as ours, ours.cursor() as cursor:
            # So it is the worker who finds the circle.
            cursor.execute("SET LOCAL deadlock_timeout = '60s'; SELECT 1 FROM public.elsewhere FOR UPDATE; SAVEPOINT ours")
            ready.set()
            while not ending.is_set():
                until("the worker waits for us", lambda: ending.is_set() or lanes_in(world, "transactionid"), 60)
                cursor.execute("SELECT 1 FROM interlock.ticket WHERE id = %s FOR UPDATE", (CULPRIT,))
                cursor.execute("ROLLBACK TO ours")
    thread = threading.Thread(target=meet, daemon=True)
    thread.start()
    assert ready.wait(20)
    yield
    ending.set()
    thread.join(30)
    mend(world)


@contextlib.contextmanager
def long_lock(world):
    fails(world, ELSEWHERE)
    with world.database.holding("SELECT 1 FROM public.elsewhere FOR UPDATE"):
        yield
    mend(world)


@contextlib.contextmanager
def busy_row(world):
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = %s FOR UPDATE", CULPRIT):
        yield


@contextlib.contextmanager
def redis_lock(world):
    world.stack.redis("set", f"{world.name}:ticket/{CULPRIT}", "somebody/0/0/0")
    yield
    world.stack.redis("del", f"{world.name}:ticket/{CULPRIT}")


# ---- what is looked at -----------------------------------------------------------------------------------

def status(worker):
    code, body = worker.get("/status")
    assert code == 200, body
    return json.loads(body)


def held(worker):
    return [each for cell in status(worker)["cells"] for each in cell["held"]["longest"]]


def readiness(worker):
    return worker.get("/readyz")


def reconnects(worker):
    return worker.metric("interlock_database_reconnects_total")


def lanes_in(world, event):
    return [row[0] for row in world.database.rows(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'lane-%%' "
        "AND wait_event = %s", event)]


def prepared(world, **settings):
    worker = world.worker(**{**ONE_LANE, "worker_park_when_blocking": "0s", **settings})
    world.ask(*[create_ticket(number) for number in TICKETS])
    world.drain()
    return worker


def level(world, number):
    return world.database.value("SELECT level FROM interlock.ticket WHERE id = %s", number)


def answered(world, messages):
    """In PostgreSQL: what comes behind a held one in its partition is published when that is answered."""
    identities = [each.identity[1] for each in messages]
    until(f"{len(messages)} commands are applied", lambda: world.database.value(
        "SELECT count(*) FROM interlock.audit_event WHERE command_id = ANY(%s) AND outcome = 'applied'",
        identities) == len(messages), 30)


def goes_on(world, worker, *messages, outcome="applied"):
    """Afterwards: everything is answered, once, in order; nothing is held; nothing is lost or put aside."""
    events = world.await_events(messages, 40)
    assert {event.outcome for event in events} == {outcome}
    until("it is ready", worker.ready, 20)
    until("nothing is held", lambda: worker.metric("interlock_held_keys") == 0 and held(worker) == [], 20)
    world.drain()
    assert world.letters.all() == []
    world.check()


# ---- transient: only the keys concerned are held back -----------------------------------------------------

TRANSIENT = {
    "a busy row": (busy_row, {}, "busy: ticket/3"),
    "a lock in Redis": (redis_lock, {"locks_status_change_wait": "1h"}, "busy: the Redis lock of ticket/3"),
    "40001": (lambda world: failing(world, raising("40001")), {}, "transient, SQLSTATE 40001: provoked"),
    "40P01": (deadlock, {}, "transient, SQLSTATE 40P01: deadlock detected"),
    "55P03": (long_lock, {"database_lock_timeout": "100ms"}, "transient, SQLSTATE 55P03: canceling statement due to lock"),
    "57014": (lambda world: failing(world, "PERFORM pg_sleep(60);"),
              {"database_lock_timeout": "100ms", "database_statement_timeout": "300ms"},
              "transient, SQLSTATE 57014: canceling statement due to statement timeout"),
}


@pytest.mark.seconds(90)
@pytest.mark.parametrize("cause", TRANSIENT)
def test_transient_holds_back_the_key_concerned_and_nobody_else(world, cause):
    """PROTOCOL B2 (a busy row), B4 (what is one command's, by halves and then singly)."""
    provoke, settings, reason = TRANSIENT[cause]
    worker = prepared(world, **settings)
    culprit, follower = escalate(CULPRIT), append(CULPRIT, "behind it")
    with provoke(world):
        others = [escalate(number) for number in OTHERS]
        world.publish(*others[:4], culprit, follower, *others[4:])
        answered(world, others)
        shown = until("it is tried again and again", lambda: [
            each for each in held(worker) if each["attempts"] > 2 and each["reason"].startswith(reason)], 40)
        assert len(shown) == 1 and shown[0]["key"] == f"ticket/{CULPRIT}" and shown[0]["commands"] == 2
        assert shown[0]["held_s"] > 0 and 0 <= shown[0]["next_try_s"] < 5
        assert worker.ready() and worker.metric("interlock_held_keys") == 1
        assert level(world, CULPRIT) == 0 and world.events_of(culprit) == []
        held_at = shown[0]["partition"], shown[0]["offset"]
    goes_on(world, worker, culprit, follower)
    assert held_at == world.database.row("SELECT o.partition, e.kafka_offset FROM interlock.audit_event e JOIN "
                                         "interlock.partition_owner o ON o.id = e.partition_id WHERE command_id = %s",
                                         culprit.identity[1])
    assert held_at[0] == partition_of(culprit.key, world.partitions)


@pytest.mark.seconds(90)
def test_attempts_choose_the_delay_and_nothing_else(world):
    """PROTOCOL B5: twenty attempts where the policy counts one, and it is neither dropped nor refused nor parked; each
    delay is the longest of the policy."""
    worker = prepared(world, worker_park_after="1h",
                      **{f"retries_{policy}_{name}": value for policy in ("default", "database_operation")
                         for name, value in (("retries", "1"), ("first", "20ms"), ("longest", "100ms"))})
    with failing(world, raising("40001")):
        culprit, follower = escalate(CULPRIT), append(CULPRIT, "behind it")
        world.publish(culprit, follower)
        shown = until("it is tried often", lambda: [each for each in held(worker) if each["attempts"] > 20], 60)
        assert shown[0]["next_try_s"] <= 1 and shown[0]["commands"] == 2
        assert world.events_of(culprit) == [] and world.letters.all() == []
        assert world.database.count("parked_command") == 0
    goes_on(world, worker, culprit, follower)


@pytest.mark.seconds(60)
def test_a_lock_that_stays_in_redis_delays_and_postgresql_decides(world):
    worker = prepared(world, locks_status_change_wait="500ms")
    world.stack.redis("set", f"{world.name}:ticket/{CULPRIT}", "somebody/0/0/0")
    goes_on(world, worker, escalate_now(world))


def escalate_now(world):
    message = escalate(CULPRIT)
    world.publish(message)
    return message


@pytest.mark.seconds(90)
@pytest.mark.parametrize("cause", ["a busy row", "40001"])
def test_a_command_that_is_held_long_is_parked_loudly_and_never_dropped(world, cause):
    provoke, settings, _ = TRANSIENT[cause]
    worker = prepared(world, **settings, worker_park_after="1s", retries_default_longest="200ms",
                      retries_database_operation_longest="200ms")
    with provoke(world):
        culprit = escalate_now(world)
        until("it is parked", lambda: world.database.count("parked_command") == 1, 20)
        until("its partition moved on", lambda: world.lag() == 0, 60)
        assert worker.metric("interlock_parked_total") >= 1
        assert "is parked: held for" in worker.text()
        until("status says so", lambda: status(worker)["parked"]["held"] == 1, 10)
        assert world.events_of(culprit) == []
    world.await_events([culprit], 60)
    until("nothing is parked", lambda: world.database.count("parked_command") == 0, 20)
    world.drain()
    assert level(world, CULPRIT) == 1
    assert world.violations(ordered=False) == []


# ---- the session is lost: connected again, and the batch again --------------------------------------------

@pytest.mark.seconds(60)
def test_a_terminated_session_costs_a_second_run(world):
    worker = prepared(world)
    fails(world, "PERFORM pg_sleep(60);")
    messages = [escalate(number) for number in TICKETS]
    world.publish(*messages)
    pid, = until("the lane is at it", lambda: lanes_in(world, "PgSleep"), 20)
    mend(world)
    assert world.database.value("SELECT pg_terminate_backend(%s)", pid)
    goes_on(world, worker, *messages)
    assert "(session, SQLSTATE" in worker.text() and reconnects(worker) > 0


@pytest.mark.seconds(60)
def test_a_connection_that_breaks_without_a_word_costs_a_second_run(world):
    address = urllib.parse.urlparse(world.database.url)
    proxy = DatabaseProxy(address.hostname, address.port)
    try:
        worker = prepared(world, DATABASE_URL=address._replace(netloc=f"{address.username}@{proxy.address}").geturl())
        fails(world, "PERFORM pg_sleep(60);")
        messages = [escalate(number) for number in TICKETS]
        world.publish(*messages)
        until("the lane is at it", lambda: lanes_in(world, "PgSleep"), 20)
        proxy.cut()
        mend(world)
        goes_on(world, worker, *messages)
        assert "(session, SQLSTATE none" in worker.text() and reconnects(worker) > 0
    finally:
        proxy.close()


@pytest.mark.seconds(60)
def test_a_session_ended_for_its_idleness_costs_a_second_run(world):
    worker = prepared(world, database_idle_in_transaction_timeout="300ms", FAULT_POINTS="after_load=delay:1500@11")
    messages = [escalate(number) for number in TICKETS]
    for message in messages:                                         # one batch each
        world.ask(message)
    goes_on(world, worker, *messages)
    assert "(session, SQLSTATE" in worker.text() and reconnects(worker) > 0


@pytest.mark.seconds(60)
def test_a_session_that_may_only_read_is_given_up_for_another_until_one_may_write(world):
    worker = prepared(world)
    with failing(world, "PERFORM set_config('transaction_read_only', 'on', true);"):
        message = escalate_now(world)
        shown = until("it is tried again and again", lambda: [each for each in held(worker) if each["attempts"] > 2], 30)
        assert shown[0]["reason"].startswith("session, SQLSTATE 25006: cannot execute")
        assert world.events_of(message) == []
    goes_on(world, worker, message)


@pytest.mark.seconds(60)
def test_a_server_that_may_only_be_read_is_waited_for(world):
    worker = prepared(world)
    admin = Database(world.stack.database_url)
    admin.execute(f'ALTER DATABASE "{world.name}" SET default_transaction_read_only = on')
    world.database.end_sessions()
    message = escalate_now(world)
    until("it says why", lambda: readiness(worker)[0] == 503 and "read-only" in readiness(worker)[1], 30)
    admin.execute(f'ALTER DATABASE "{world.name}" RESET default_transaction_read_only')
    goes_on(world, worker, message)


# ---- ambiguous: the session is lost while COMMIT is out ---------------------------------------------------

@pytest.mark.seconds(60)
@pytest.mark.parametrize("moment", ["the answer is lost", "the old one runs still", "it is ended"])
def test_a_commit_that_may_have_happened_counts_once(world, moment):
    address = urllib.parse.urlparse(world.database.url)
    proxy = DatabaseProxy(address.hostname, address.port)
    try:
        worker = prepared(world, DATABASE_URL=address._replace(netloc=f"{address.username}@{proxy.address}").geturl())
        if moment == "the answer is lost":
            proxy.arm()
        else:
            fails(world, f"PERFORM pg_sleep({3 if moment == 'the old one runs still' else 60});", at_commit=True)
        messages = [escalate(number) for number in TICKETS]
        world.publish(*messages)
        if moment == "the answer is lost":
            until("it is lost", lambda: proxy.cuts == 1, 20)
        else:
            pid, = until("the COMMIT is out", lambda: lanes_in(world, "PgSleep"), 20)
            mend(world)
            if moment == "it is ended":
                assert world.database.value("SELECT pg_terminate_backend(%s)", pid)
            else:
                proxy.cut(lanes=True)
                assert pid in lanes_in(world, "PgSleep")             # its rows are busy for those who come again
        goes_on(world, worker, *messages)
    finally:
        proxy.close()
    assert world.database.row("SELECT sum(level), count(*) FROM interlock.ticket") == (10, 10)
    assert all(len(world.events_of(each)) == 1 for each in messages)


# ---- resources, and what is ours: everything is held, and it says why -------------------------------------

RESOURCES = {
    # A sort that may not go to the disk.
    "53400": "SET LOCAL work_mem = '64kB'; SET LOCAL temp_file_limit = 0; "
             "PERFORM count(*) FROM (SELECT g FROM generate_series(1, 100000) g ORDER BY md5(g::text)) s;",
    "58P01": "PERFORM pg_read_file('nowhere');",
    "53100": raising("53100"), "53200": raising("53200"), "53300": raising("53300"), "58030": raising("58030"),
}
OURS = {
    "42P01": "PERFORM 1 FROM public.nowhere;",
    "42703": "PERFORM nothing FROM public.elsewhere;",
    "42501": "SET LOCAL ROLE pg_monitor; PERFORM 1 FROM public.elsewhere;",
    "3F000": "EXECUTE 'CREATE TABLE nowhere.at_all ()';",
    "0A000": "EXECUTE 'SELECT count(*) FROM public.elsewhere FOR UPDATE';",
    "28000": raising("28000"), "3D000": raising("3D000"),
    "54000": raising("54000"),                                       # nobody thought of it
}
CORRUPTION = {"XX000": raising("XX000"), "XX001": raising("XX001"), "XX002": raising("XX002")}
STUCK = [*[("resources", *each) for each in RESOURCES.items()], *[("ours", *each) for each in OURS.items()],
         *[("corruption", *each) for each in CORRUPTION.items()]]


def stays_away(world, worker, why, messages, before):
    """Alive, not ready, saying why; nothing is rejected or put aside, and no offset passes what waits."""
    until("it says why", lambda: readiness(worker)[0] == 503 and why in readiness(worker)[1], 20)
    assert worker.get("/healthz")[0] == 200
    holds_for("nobody is answered", lambda: world.database.count("audit_event") == before, 1)
    assert all(world.events_of(each) == [] for each in messages) and world.letters.all() == []
    assert world.lag() >= len(messages)


@pytest.mark.seconds(60)
@pytest.mark.parametrize(("kind", "sqlstate", "body"), STUCK, ids=[each[1] for each in STUCK])
def test_commands_that_postgresql_cannot_apply_are_held_probed_and_resumed(world, kind, sqlstate, body):
    worker = prepared(world)
    before = world.database.count("audit_event")
    with failing(world, body):
        messages = [escalate(CULPRIT), append(CULPRIT, "behind it")]
        world.publish(*messages)
        stays_away(world, worker, f"{kind}, SQLSTATE {sqlstate}", messages, before)
        shown = until("it is tried again and again", lambda: [each for each in held(worker) if each["attempts"] > 2], 20)
        assert shown[0]["reason"].startswith(f"{kind}, SQLSTATE {sqlstate}")
        assert 0 <= shown[0]["next_try_s"] <= 1 and shown[0]["key"] == f"ticket/{CULPRIT}"
        assert worker.metric("interlock_held_keys") == 1 and worker.metric("interlock_held_oldest_seconds") > 0
        assert "PostgreSQL at" in worker.text() and f"refuses to work ({kind}, SQLSTATE {sqlstate}" in worker.text()
    goes_on(world, worker, *messages)


@pytest.mark.seconds(60)
@pytest.mark.parametrize(("spoil", "repair", "sqlstate"), [
    ("ALTER TABLE interlock.ticket_history RENAME TO away", "ALTER TABLE interlock.away RENAME TO ticket_history", "42P01"),
    ("ALTER TABLE interlock.ticket RENAME level TO height", "ALTER TABLE interlock.ticket RENAME height TO level", "42703"),
    ("ALTER SCHEMA interlock RENAME TO away", "ALTER SCHEMA away RENAME TO interlock", "42P01"),
], ids=["a table", "a column", "the schema"])
def test_a_bad_migration_rejects_nobody(world, spoil, repair, sqlstate):
    worker = prepared(world)
    world.database.execute(spoil)
    messages = [escalate(number) for number in TICKETS]
    world.publish(*messages)
    until("it says why", lambda: readiness(worker)[0] == 503 and sqlstate in readiness(worker)[1], 20)
    holds_for("nobody is answered", lambda: all(world.events_of(each) == [] for each in messages), 1)
    assert world.letters.all() == []
    world.database.execute(repair)
    goes_on(world, worker, *messages)


@pytest.mark.seconds(60)
def test_a_plan_from_before_a_migration_is_made_again(world):
    """PostgreSQL refuses a prepared statement whose result has changed (0A000) for as long as the session lasts."""
    worker = prepared(world)
    world.ask(escalate(CULPRIT))
    world.database.execute("ALTER TABLE interlock.ticket ALTER comments TYPE varchar(5000)")
    goes_on(world, worker, escalate_now(world))


@pytest.mark.seconds(60)
def test_statements_that_are_gone_are_prepared_again(world):
    """26000: somebody ran DEALLOCATE ALL, or DISCARD ALL, on the worker's session."""
    worker = prepared(world)
    with failing(world, "DEALLOCATE ALL;"):
        message = escalate_now(world)
        until("it was refused", lambda: "SQLSTATE 26000" in worker.text(), 20)
        goes_on(world, worker, message)


@pytest.mark.seconds(60)
def test_a_role_that_may_not_log_in_is_waited_for(world):
    role = f"role_{world.name}"[:60]
    admin = Database(world.stack.database_url)
    admin.execute(f'CREATE ROLE "{role}" SUPERUSER LOGIN PASSWORD \'{world.stack.password}\'')
    address = urllib.parse.urlparse(world.database.url)
    worker = prepared(world, DATABASE_URL=address._replace(netloc=f"{role}@{address.hostname}:{address.port}").geturl())
    before = world.database.count("audit_event")
    admin.execute(f'ALTER ROLE "{role}" NOLOGIN')
    world.database.end_sessions()
    message = escalate_now(world)
    stays_away(world, worker, "not permitted to log in", [message], before)
    admin.execute(f'ALTER ROLE "{role}" LOGIN')
    goes_on(world, worker, message)


@pytest.mark.seconds(60)
def test_a_database_that_is_not_there_is_waited_for(world):
    worker = prepared(world)
    admin = Database(world.stack.database_url)
    away = f"{world.name}_away"

    def rename(old, new):
        try:
            admin.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{old}'; "
                          f'ALTER DATABASE "{old}" RENAME TO "{new}"')
        except psycopg2.Error:
            return False
        return True
    until("it is away", lambda: rename(world.name, away), 20)
    message = escalate_now(world)
    until("it says why", lambda: readiness(worker)[0] == 503 and "does not exist" in readiness(worker)[1], 30)
    assert world.events_of(message) == []
    assert rename(away, world.name)
    goes_on(world, worker, message)


# ---- the command's fault: a recorded rejection and its event, and neighbours that notice nothing ------------

FAULT = {
    "22012": ("PERFORM 1 / (NEW.id - NEW.id);", "invalid_data"),
    "22003": ("NEW.level := NEW.level + 2147483647;", "invalid_data"),
    "22P02": ("NEW.level := 'high';", "invalid_data"),
    "23514": ("NEW.level := -1;", "constraint:ticket_level_check"),
    "23502": ("NEW.status := NULL;", None),
    "23505": ("INSERT INTO interlock.ticket (id) VALUES (1);", "constraint:ticket_pkey"),
    "23503": ("CREATE TABLE public.pointing (id bigint REFERENCES interlock.ticket); "
              "INSERT INTO public.pointing VALUES (999); SET CONSTRAINTS ALL IMMEDIATE;", None),
    "P0001": ("RAISE EXCEPTION 'no';", "invalid_data"),
}


@pytest.mark.seconds(60)
@pytest.mark.parametrize("sqlstate", FAULT)
def test_a_command_s_own_fault_is_recorded_as_its_rejection(world, sqlstate):
    body, reason = FAULT[sqlstate]
    worker = prepared(world)
    with failing(world, body):
        culprit = escalate(CULPRIT)
        others = [escalate(number) for number in OTHERS]
        before, behind = append(CULPRIT, "before it"), transition(CULPRIT, "OPEN")
        world.publish(*others[:4], culprit, *others[4:])
        event = world.await_events([culprit], 30)[0]
        assert event.outcome == "rejected" and event.data["metadata"]["sqlstate"] == sqlstate
        assert event.reason == reason or reason is None, event.reason
        assert {each.outcome for each in world.await_events(others, 30)} == {"applied"}
        assert worker.ready() and level(world, CULPRIT) == 0
    world.publish(before, behind)
    goes_on(world, worker, before, behind, *others)
    assert len(world.events_of(culprit)) == 1


@pytest.mark.seconds(60)
def test_a_refusal_of_a_workflow_is_a_recorded_rejection(world):
    worker = prepared(world)
    refused = transition(CULPRIT, "CLOSED", expectedversion=7)
    others = [escalate(number) for number in OTHERS]
    world.publish(*others[:4], refused, *others[4:])
    assert world.await_events([refused], 30)[0].reason == "stale_object"
    goes_on(world, worker, *others)


# ---- what is held is visible ------------------------------------------------------------------------------

HELD_LINE = re.compile(r"held keys: 10; the longest for \d+ s: (?P<key>\S+), (?P<topic>\S+)/(?P<partition>\d+) "
                       r"at offset (?P<offset>\d+), (?P<attempts>\d+) attempts, next try in (?P<next>\d+) ms, "
                       r"(?P<commands>\d+) commands wait: (?P<reason>.*)$")


@pytest.mark.seconds(90)
def test_a_held_key_is_seen_in_status_metrics_and_log_and_gone_afterwards(world):
    worker = prepared(world)
    assert held(worker) == [] and worker.metric("interlock_held_oldest_seconds") == 0
    messages = [escalate(number) for number in TICKETS for _ in range(3)]
    with world.database.holding("SELECT 1 FROM interlock.ticket FOR UPDATE"):
        world.publish(*messages)
        until("all keys are held", lambda: worker.metric("interlock_held_keys") == 10, 20)
        until("status shows them", lambda: len(held(worker)) == 10, 10)
        assert {each["key"] for each in held(worker)} == {f"ticket/{number}" for number in TICKETS}
        assert {each["commands"] for each in held(worker)} == {3}
        screen = world.verb("status", http_listen=f"127.0.0.1:{worker.port()}").stdout
        assert screen.count("  ! key held for ") == 3 and "  ! 7 further keys are held" in screen, screen
        until("the log says so", lambda: "held keys: 10; the longest for 1" in worker.text(), 30)
        assert worker.metric("interlock_held_oldest_seconds") >= 10
        line, = [line for line in worker.text().splitlines() if "held keys:" in line]
        said = HELD_LINE.search(line)
        assert said, line
        shown, = [each for each in held(worker) if each["key"] == said["key"]]
        for name in ("topic", "partition", "offset", "commands"):
            assert said[name] == str(shown[name])
        assert 0 < int(said["attempts"]) <= shown["attempts"] and int(said["next"]) <= 5000 and "lock" in said["reason"]
        until("status gives the same reason (by turns it is the row, and a wait for it that ended)",
              lambda: any(each["key"] == said["key"] and each["reason"] == said["reason"] for each in held(worker)), 30)
        holds_for("it is said once a minute", lambda: worker.text().count("held keys:") == 1, 3)
    goes_on(world, worker, *messages)
    until("no age is left", lambda: worker.metric("interlock_held_oldest_seconds") == 0, 10)
