"""PostgreSQL ends at once, is locked, slow, full of sessions, read-only; its schema is broken, a right is taken away.
Every time under load, and every time the same: commands that cannot be applied are held, the worker says why, nothing is refused,
and it goes on by itself when that is over. A full disk is in test_disk_full.py, the standby in test_failover.py."""

import contextlib
import datetime
import threading

import psycopg2
import pytest

from harness.commands import create_ticket, escalate, partition_of
from harness.database import session
from harness.load import TICKETS
from harness.postgresql import make_world_on, postgresql_seed, servers  # noqa: F401
from harness.waiting import holds_for, until
from outage import goes_on, is_held_for, judge, long_or, quiet_load, stays_away
from trial import minutes

@pytest.fixture
def server(servers):  # noqa: F811
    return servers.primary(deadlock_timeout="200ms")


@pytest.fixture
def world(server, make_world_on):  # noqa: F811
    """The workers are nobody special: interlock_worker, as schema/roles.sql makes it."""
    made = make_world_on(server)
    made.server = server
    made.settings["DATABASE_URL"] = server.url(made.name, user="interlock_worker")
    return made


# ---- it ends, and comes back (row 13) ----------------------------------------------------------------------

@pytest.mark.fault(13)
@pytest.mark.seconds(240)
def test_postgresql_ends_at_once_and_comes_back(trial, server):
    """pg_ctl stop -m immediate, and a machine that loses its power: sessions, locks and prepared statements are gone,
    and what was not committed."""
    trial.workers(1)
    with quiet_load(trial):
        for _ in range(long_or(2)):
            trial.progress(trial.random.randrange(1, 80))
            trial.random.choice([server.stop_immediately, server.kill])()
            server.start()
            goes_on(trial)
    judge(trial)


@pytest.mark.long
@pytest.mark.fault(13)
@pytest.mark.seconds(240)
def test_postgresql_is_restarted_in_order(trial, server):
    trial.workers(2)
    with quiet_load(trial):
        for _ in range(3):
            trial.progress(trial.random.randrange(1, 80))
            server.stop()
            server.start()
            goes_on(trial)
    judge(trial)


@pytest.mark.long
@pytest.mark.fault(13)
@pytest.mark.seconds(180)
def test_database_sessions_are_ended(trial):
    trial.workers(2)
    with quiet_load(trial):
        for _ in range(6):
            trial.progress(40)
            assert trial.world.database.end_sessions() > 0
        goes_on(trial)
    judge(trial)


# ---- somebody holds a row --------------------------------------------------------------------------------------

@pytest.mark.long
@pytest.mark.fault(14)
@pytest.mark.seconds(90)
@pytest.mark.parametrize("redis", ["true", "false"], ids=["redis", "no redis"])
def test_a_forgotten_session_makes_one_ticket_wait(trial, redis):
    """PROTOCOL B2: of a hundred tickets one is held; a batch that holds commands of all of them does the others."""
    world = trial.world
    worker, = trial.workers(1, redis_enabled=redis)
    world.ask(*[create_ticket(number) for number in range(1, 101)])
    held = partition_of("ticket/1", world.partitions)
    with world.database.holding("UPDATE interlock.ticket SET comments = 'mine' WHERE id = 1"):
        messages = [escalate(number) for _ in range(3) for number in range(1, 101)]
        world.publish(*messages)
        until("all other tickets went on",
              lambda: world.database.value("SELECT sum(level) FROM interlock.ticket WHERE id > 1") == 3 * 99, 15)
        elsewhere = [each for each in messages if partition_of(each.key, world.partitions) != held]
        world.await_events(elsewhere, 10)
        holds_for("the held ticket waits", lambda: world.database.value(
            "SELECT level FROM interlock.ticket WHERE id = 1") == 0, 1)
    world.await_events(messages, 20)
    judge(trial)
    assert worker.metric("interlock_busy_rows_total") > 0


@contextlib.contextmanager
def other_program(world, step):
    """`step(connection, cursor)` again and again in a session of its own. Its refusals do not matter."""
    ending, troubles = threading.Event(), []

    def run():
        with session(world.database.url, autocommit=False) as connection, connection.cursor() as cursor:
            while not ending.is_set():
                try:
                    step(connection, cursor)
                    connection.commit()
                except psycopg2.Error as error:
                    troubles.append(error.pgcode)
                    connection.rollback()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield troubles
    finally:
        ending.set()
        thread.join(60)


def hold_some(trial):
    def step(_connection, cursor):
        cursor.execute("SELECT pg_sleep(0.05) FROM interlock.ticket WHERE id = ANY(%s) FOR UPDATE",
                       ([trial.random.randint(1, TICKETS) for _ in range(4)],))
    return other_program(trial.world, step)


def meet_head_on(trial):
    """As whoever builds an index and then touches rows: it has the inbox and wants tickets, a batch has tickets and
    wants the inbox. Its own patience is endless, so it is always a batch that is refused (40P01)."""
    def step(_connection, cursor):
        cursor.execute("SET LOCAL deadlock_timeout = '60s'; LOCK TABLE interlock.inbox IN SHARE MODE; "
                       "SELECT 1 FROM interlock.ticket ORDER BY id FOR UPDATE; SELECT pg_sleep(0.01)")
    return other_program(trial.world, step)


def deadlocks(world):
    world.database.execute("SELECT pg_stat_force_next_flush()")
    return world.database.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


@pytest.mark.long
@pytest.mark.fault(14)
@pytest.mark.seconds(180)
def test_rows_held_for_moments_only_delay(trial):
    """Other programs lock tickets all the time: everybody gets their turn (PROTOCOL B2)."""
    trial.workers(1, redis_enabled="false")
    with quiet_load(trial):
        with hold_some(trial):
            trial.progress(600)
        goes_on(trial)
    judge(trial)


@pytest.mark.long
@pytest.mark.fault(14)
@pytest.mark.seconds(240)
def test_a_key_that_stays_held_is_told_in_the_log_once_a_minute(trial):
    world = trial.world
    worker, = trial.workers(1, worker_park_after="1h", worker_park_when_blocking="0s")
    with quiet_load(trial):
        trial.progress(60)
        with row_one_held(world):
            until("it is told twice", lambda: worker.text().count("held keys:") == 2, 120)
            times = [datetime.datetime.fromisoformat(line.split()[0].replace("Z", "+00:00"))
                     for line in worker.text().splitlines() if "held keys:" in line]
            assert 59 <= (times[1] - times[0]).total_seconds() <= 75
        goes_on(trial)
    judge(trial)


def row_one_held(world):
    return world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE")


# ---- conditions of the whole server ----------------------------------------------------------------------------

def locked_row(trial):
    """Only what names these tickets waits."""
    world = trial.world
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id <= 5 FOR UPDATE"):
        until("they are held, or parked", lambda: world.database.count("parked_command") + sum(
            each.metric("interlock_held_keys") for each in world.workers) >= 5, 40)
        trial.progress(60)
        assert all(worker.ready() for worker in world.workers)


def locked_table(trial):
    """A migration by hand that waits for its author: nobody can do anything, and nobody's commands are to blame."""
    world = trial.world
    with world.database.holding("LOCK TABLE interlock.ticket IN ACCESS EXCLUSIVE MODE"):
        until("lanes wait", lambda: world.database.value(
            "SELECT count(*) FROM pg_locks WHERE relation = 'interlock.ticket'::regclass AND NOT granted") > 0, 40)
        before = world.database.count("audit_event")
        until("status says why (55P03)", lambda: is_held_for(world, "SQLSTATE 55P03"), 40)
        assert world.database.count("audit_event") == before


def deadlock(trial):
    world = trial.world
    before = deadlocks(world)
    with meet_head_on(trial) as troubles:
        until("batches were ended for a deadlock", lambda: deadlocks(world) >= before + 3, 60)
    assert "40P01" not in troubles                                   # so it was batches that met it


def slow_statement(trial):
    """Each statement on the history takes ten seconds; statement_timeout ends it, again and again."""
    world = trial.world
    world.database.execute("""
        CREATE FUNCTION public.be_slow() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(10); RETURN NULL; END $$;
        CREATE TRIGGER slow BEFORE INSERT ON interlock.ticket_history FOR EACH STATEMENT
            EXECUTE FUNCTION public.be_slow()""")
    until("status says why (57014)", lambda: is_held_for(world, "SQLSTATE 57014"), 60)
    world.database.execute("DROP TRIGGER slow ON interlock.ticket_history; DROP FUNCTION public.be_slow()")


def frozen(trial):
    """Its disk does not answer for ten seconds."""
    world = trial.world
    with world.server.frozen():
        holds_for("the workers live", lambda: all(each.get("/healthz")[0] == 200 for each in world.workers), 10)


def no_session_left(trial):
    """Everybody else has connected, and the worker's own sessions are lost."""
    world = trial.world
    world.database.execute("ALTER ROLE interlock_reader CONNECTION LIMIT -1")
    with contextlib.ExitStack() as others:
        free = world.server.ask("SELECT current_setting('max_connections')::int - "
                                "current_setting('superuser_reserved_connections')::int")

        def take():
            with contextlib.suppress(psycopg2.OperationalError):
                while True:
                    others.enter_context(session(world.server.url(world.name, user="interlock_reader")))

        def took_all():
            world.database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                   "WHERE usename = 'interlock_worker'")
            take()
            return world.server.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'interlock_reader'") == free
        until("no place is left", took_all, 40)
        stays_away(world, "53300")


def read_only(trial):
    world = trial.world
    world.server.set(default_transaction_read_only="on")
    stays_away(world, "read-only")
    world.server.set(default_transaction_read_only="off")


SERVER = {"a row is locked": locked_row, "a table is locked": locked_table, "deadlocks": deadlock,
          "no session is left": no_session_left, "read-only": read_only,
          "a statement takes ten seconds": slow_statement,
          "it answers nothing for ten seconds": frozen}
QUICK = ["a row is locked", "deadlocks", "no session is left", "read-only", "a statement takes ten seconds"]


@pytest.mark.fault(14)
@pytest.mark.seconds(300)
def test_whatever_is_wrong_with_the_server_holds_and_refuses_nothing(trial):
    """PROTOCOL B4: of a lock, a deadlock or a cancelled statement the whole batch, or its halves, are run again."""
    trial.workers(1, database_statement_timeout="700ms", database_lock_timeout="400ms")
    conditions = trial.random.sample(QUICK, len(QUICK)) if minutes() == 0 else list(SERVER) * 2
    with quiet_load(trial):
        trial.progress(60)
        for name in conditions:
            SERVER[name](trial)
            goes_on(trial)
    judge(trial)


@pytest.mark.long
@pytest.mark.fault(14)
@pytest.mark.seconds(240)
@pytest.mark.parametrize("condition", SERVER)
def test_one_thing_is_wrong_with_the_server_of_two_workers(trial, condition):
    trial.workers(2)
    with quiet_load(trial):
        for _ in range(2):
            trial.progress(trial.random.randrange(1, 100))
            SERVER[condition](trial)
            goes_on(trial)
    judge(trial)


# ---- a broken schema, a right taken away (row 15) ---------------------------------------------------------------

ADD_COLUMN = ("ALTER TABLE interlock.ticket ADD COLUMN comments text; "
              "GRANT SELECT, UPDATE (comments) ON interlock.ticket TO interlock_worker")
BROKEN = {
    "a column is dropped": ("ALTER TABLE interlock.ticket DROP COLUMN comments", ADD_COLUMN, "42703"),
    "a right on one table is taken away": ("REVOKE INSERT ON interlock.ticket_history FROM interlock_worker",
                                           "GRANT INSERT ON interlock.ticket_history TO interlock_worker", "42501"),
    "the right on the schema is taken away": ("REVOKE USAGE ON SCHEMA interlock FROM interlock_worker",
                                              "GRANT USAGE ON SCHEMA interlock TO interlock_worker", "42501"),
    "a table is renamed": ("ALTER TABLE interlock.inbox RENAME TO inbox_before",
                           "ALTER TABLE interlock.inbox_before RENAME TO inbox", "42P01"),
}


@pytest.mark.fault(15)
@pytest.mark.seconds(240)
def test_a_broken_schema_or_a_right_taken_away_stops_the_pool_and_refuses_nothing(trial):
    """A bad migration must not refuse a million commands: the pool takes no more work, lives, says why, and goes on
    when the schema is repaired."""
    world = trial.world
    trial.workers(1 if minutes() == 0 else 2)
    before = world.database.value("SELECT attnum FROM pg_attribute WHERE attrelid = 'interlock.ticket'::regclass AND "
                                  "attname = 'comments'")
    assert before
    with quiet_load(trial):
        for name in trial.random.sample(list(BROKEN), len(BROKEN)) * (1 if minutes() == 0 else 3):
            spoil, mend, sqlstate = BROKEN[name]
            trial.progress(trial.random.randrange(1, 60))
            world.database.execute(spoil)
            stays_away(world, f"SQLSTATE {sqlstate}")
            world.database.execute(mend)
            goes_on(trial)
    judge(trial)
