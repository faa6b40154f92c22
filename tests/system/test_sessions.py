"""PROTOCOL O6: what a session rests on does not depend on the defaults of database, role and environment."""

import json

import pytest

from harness.commands import append, create_ticket, escalate
from harness.database import Database
from harness.stack import ROOT
from harness.waiting import until

NAME = "Jörg"
OTHERS = {  # another default for each term that is set
    "client_encoding": "LATIN1", "standard_conforming_strings": "off", "array_nulls": "off",
    "transform_null_equals": "on", "bytea_output": "escape", "extra_float_digits": "-3", "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard", "TimeZone": "Asia/Kolkata", "default_transaction_isolation": "repeatable read",
    "search_path": "nowhere", "row_security": "off", "synchronous_commit": "local", "client_min_messages": "error",
    "statement_timeout": "200ms", "lock_timeout": "200ms", "idle_in_transaction_session_timeout": "200ms",
    "idle_session_timeout": "300ms", "enable_indexscan": "off", "enable_nestloop": "off", "jit": "on",
}
NOT_OURS = {"session_replication_role": "replica"}
LANES = {"plan_cache_mode": "force_custom_plan", "enable_seqscan": "on", "enable_hashjoin": "on",
         "enable_mergejoin": "on", "enable_bitmapscan": "on"}


@pytest.fixture(scope="module")
def hall(make_world):
    """A world without a worker, for all tests of the module."""
    world = make_world("sessions")
    world.tickets = iter(range(1, 1000))
    yield world
    world.close()


class Defaults:
    """Defaults of a world's database, or of its user in it; gone with the test."""

    def __init__(self, world):
        self.world, self.admin, self.changed = world, Database(world.stack.database_url), []
        self.user = self.admin.value("SELECT current_user")

    def targets(self, how):
        return {"database": f'DATABASE "{self.world.name}"',
                "role": f'ROLE "{self.user}" IN DATABASE "{self.world.name}"'}[how]

    def set(self, name, value, how="database"):
        target = self.targets(how)
        self.admin.execute(f"ALTER {target} SET {name} = %s", value)
        self.changed.append(target)

    def reset(self):
        for target in set(self.changed):
            self.admin.execute(f"ALTER {target} RESET ALL")


@pytest.fixture
def defaults(hall):
    made = Defaults(hall)
    yield made
    made.reset()


# ---- bytes ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how, encoding", [("database", "LATIN1"), ("database", "SJIS"), ("role", "LATIN1"),
                                           ("PGOPTIONS", "LATIN1"), ("PGCLIENTENCODING", "SJIS")])
def test_a_name_is_stored_and_published_as_it_was_sent(hall, defaults, how, encoding):
    settings = {}
    if how.startswith("PG"):
        settings[how] = encoding if how == "PGCLIENTENCODING" else f"-c client_encoding={encoding}"
    else:
        defaults.set("client_encoding", encoding, how)
    number = next(hall.tickets)
    worker = hall.worker(**settings)
    created = hall.ask(create_ticket(number, comments=NAME), append(number, {"by": NAME}, actor=NAME))[0]
    assert created.outcome == "applied"
    stored = hall.database.row("SELECT t.comments, h.details::text FROM interlock.ticket t JOIN interlock.ticket_history h "
                               "ON h.ticket_id = t.id WHERE t.id = %s AND h.details::text LIKE '%%by%%'", number)
    assert stored[0] == NAME and json.loads(stored[1]) == {"by": NAME}
    listed = hall.verb("audit", "list", "--aggregate", f"ticket/{number}", "--output", "json", **settings)
    recorded = {row["changed_by"] for row in json.loads(listed.stdout)["events"]}
    published = {event.data["actor"] for event in hall.audit.all() if event.key == f"ticket/{number}"}
    assert NAME in recorded and recorded == published
    assert worker.end() == 0


# ---- every term ------------------------------------------------------------------------------------------------

def test_each_term_is_set_and_without_that_it_is_refused_by_name(hall, defaults):
    for name, other in {**OTHERS, **NOT_OURS}.items():
        defaults.set(name, other)
        said = hall.verb("audit", "list", protections_session_terms="false").stderr
        ours = hall.verb("audit", "list")
        if name in NOT_OURS:
            assert ours.returncode == 1 and f"{name} is {other}, it has to be" in ours.stderr, ours.stderr
        else:
            assert ours.returncode == 0, f"{name} = {other}: {ours.stderr}"
        assert f"{name} is " in said, f"{name} = {other}: {said}"
        defaults.reset()


def test_a_lane_s_terms_are_refused_by_name_without_that(hall, defaults):
    for name, other in {**OTHERS, **LANES}.items():
        if "timeout" not in name:  # with these a worker does not get as far
            defaults.set(name, other)
    worker = hall.worker(ready=False, protections_session_terms="false")
    until("it ended", lambda: not worker.runs(), 30)
    assert worker.process.returncode == 1 and "client_encoding is LATIN1, it has to be UTF8" in worker.text()


def test_a_worker_and_every_verb_do_their_work_under_the_worst_defaults(hall, defaults):
    for name, other in {**OTHERS, **LANES}.items():
        defaults.set(name, other)
    number = next(hall.tickets)
    worker = hall.worker()
    events = hall.ask(create_ticket(number, comments=NAME), escalate(number), append(number, {"by": NAME}))
    assert [each.outcome for each in events] == ["applied"] * 3
    assert worker.end() == 0
    for words in (["audit", "list"], ["audit", "verify"], ["migrate", "status"], ["migrate", "up"],
                  ["prune", "--older-than", "720h"], ["sweep", "tickets"]):
        done = hall.verb(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
    defaults.reset()
    hall.check()


def test_every_kind_of_session_sets_its_terms_before_anything_else(hall, defaults):
    """As the server's own log of statements has it."""
    log = ROOT / hall.stack.directory / "log/postgresql.log"
    begun = log.stat().st_size
    defaults.set("log_statement", "all")
    worker = hall.worker()
    hall.ask(create_ticket(next(hall.tickets)))
    until("the returner has asked", lambda: "] interlock returner " in read_from(log, begun), 20)
    assert worker.end() == 0
    for words in (["audit", "list"], ["audit", "verify"], ["migrate", "status"], ["migrate", "up"],
                  ["prune", "--older-than", "720h"], ["sweep", "tickets"], ["check"]):
        hall.verb(*words)
    first = {}
    for line in read_from(log, begun).splitlines():
        who, found, statement = line.partition(" LOG:  ")
        if found and statement.startswith(("execute", "statement")):
            first.setdefault(who.partition("[")[2], statement)
    ours = {who.partition("] ")[2].strip(): statement for who, statement in first.items() if "system-tests" not in who}
    kinds = {"interlock slot", "interlock ownership", "interlock returner", "interlock audit", "interlock-audit-verify",
             "interlock migrate", "interlock prune", "interlock sweep", "interlock check"}
    assert kinds <= set(ours) and any("lane" in who for who in ours), sorted(ours)
    for who, statement in ours.items():
        assert "set_config(" in statement and "'default_transaction_isolation','read committed'" in statement, (who, statement)


def read_from(path, begun):
    with open(path, "rb") as log:
        log.seek(begun)
        return log.read().decode("utf-8", "replace")


# ---- what a fence rests on ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["database", "role", "PGOPTIONS"])
def test_a_batch_that_waited_behind_a_takeover_writes_nothing_under_the_old_fence(hall, defaults, how):
    """PROTOCOL O4: the fence is read in a statement after the lock, by a snapshot of its own."""
    settings = {}
    if how == "PGOPTIONS":
        settings[how] = "-c default_transaction_isolation=repeatable\\ read"
    else:
        defaults.set("default_transaction_isolation", "repeatable read", how)
    number = next(hall.tickets)
    worker = hall.worker(database_lock_timeout="3500ms", **settings)
    hall.ask(create_ticket(number))
    partition, position = hall.database.row("SELECT partition_id, kafka_offset FROM interlock.inbox "
                                            "ORDER BY recorded_at DESC LIMIT 1")
    waiting = escalate(number)
    with hall.database.holding("SELECT pg_advisory_xact_lock(4812404, %s)", partition) as taker:
        hall.publish(waiting)
        until("a batch waits for its partition", lambda: hall.database.value(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 4812404 AND NOT granted") > 0, 20)
        with taker.cursor() as cursor:
            cursor.execute("UPDATE interlock.partition_owner SET fence = fence + 1, owner_token = gen_random_uuid() "
                           "WHERE id = %s RETURNING fence", (partition,))
            fence = cursor.fetchone()[0]
        taker.commit()
    assert hall.await_events([waiting])[0].outcome == "applied"
    written = hall.database.value("SELECT fence FROM interlock.inbox WHERE partition_id = %s AND kafka_offset > %s",
                                  partition, position)
    assert written > fence, "applied by the owner of before"
    assert worker.end() == 0


# ---- what cannot be set --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_in_another_encoding_is_refused_by_check_migrate_and_run(hall, encoding):
    name = f"{hall.name}_{encoding.lower()}"
    Database(hall.stack.database_url).execute(
        f"CREATE DATABASE \"{name}\" ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    url = hall.stack.url_of(name)
    done = hall.verb("migrate", "up", DATABASE_URL=url)
    assert done.returncode == 1 and encoding in done.stderr and "ENCODING 'UTF8'" in done.stderr
    assert Database(url).value("SELECT to_regnamespace('interlock') IS NULL")
    checked = hall.verb("check", DATABASE_URL=url)
    assert checked.returncode == 3 and encoding in checked.stdout and "ENCODING 'UTF8'" in checked.stdout
    worker = hall.worker(ready=False, DATABASE_URL=url)
    until("it ended", lambda: not worker.runs(), 30)
    assert worker.process.returncode == 1 and encoding in worker.text() and "ENCODING 'UTF8'" in worker.text()


def test_a_database_that_may_only_be_read_is_refused_and_named(hall, defaults):
    defaults.set("default_transaction_read_only", "on")
    for words, code in ((["migrate", "up"], 1), (["prune", "--older-than", "720h"], 1), (["check"], 3)):
        done = hall.verb(*words)
        assert done.returncode == code and "default_transaction_read_only" in done.stdout + done.stderr, done
    assert hall.verb("audit", "list").returncode == 0
    worker = hall.worker(ready=False)
    until("it says so", lambda: "default_transaction_read_only" in worker.get("/readyz")[1], 30)
    worker.kill()
