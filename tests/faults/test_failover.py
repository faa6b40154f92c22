"""Row 13, the second half: PostgreSQL's machine is lost, and a standby takes over that may lack the last second."""

import collections
import contextlib
import json
import time

import pytest

from harness.commands import create_ticket, escalate
from harness.database import Database
from harness.fixtures import finish
from harness.postgresql import make_world_on, postgresql_seed, servers  # noqa: F401
from harness.waiting import NotReached, holds_for, until

MARGIN_SECONDS = 1  # between a command's time on the topic and its commit; nothing here waits longer


class Pair:
    """A primary and its standby under one URL, which is how the workers know them."""

    def __init__(self, servers, synchronous):
        self.primary = servers.primary(**({"synchronous_standby_names": "standby"} if synchronous else {}))
        self.standby = servers.standby(self.primary)
        if synchronous:
            until("the standby is a synchronous one", lambda: self.primary.ask(
                "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1, 30)

    def url(self, database):
        hosts = f"{self.primary.host},{self.standby.host}"
        return f"postgresql://interlock@{hosts}/{database}?target_session_attrs=read-write"

    def fail_over(self):
        """The moment of the failure, and what the new primary knows of the last commit it has."""
        self.primary.kill()
        failed = time.monotonic()
        self.standby.promote()
        return failed


@pytest.fixture
def synchronous():
    """Whether the standby is: a test's parametrize overrides it."""
    return False


@pytest.fixture
def pair(servers, synchronous):  # noqa: F811
    return Pair(servers, synchronous)


def world_of(pair, make):
    made = make(pair.primary)
    made.settings["DATABASE_URL"] = pair.url(made.name)
    made.database = Database(pair.url(made.name))
    until("the standby has the world", lambda: pair.standby.ask(
        "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", pair.primary.ask("SELECT pg_current_wal_lsn()::text")), 30)
    return made


@pytest.fixture
def stack_world(request, make_world):
    """On the tests' own PostgreSQL: commits that are lost there are taken away by hand."""
    made = make_world(request.node.name.removeprefix("test_"))
    yield made
    finish(request, made)


@pytest.fixture
def world(pair, make_world_on):  # noqa: F811
    return world_of(pair, make_world_on)


# ---- what is looked at -----------------------------------------------------------------------------------

def published(world):
    return {event.identity for event in world.audit.all()}


def recorded(url):
    return {tuple(row) for row in Database(url).rows("SELECT command_source, command_id FROM interlock.audit_event")}


def strangers(world, url):
    """How many published events PostgreSQL does not know. A duplicate that comes later than the loss, at a place of its
    own, makes its command known again, but not the first event."""
    known = {str(each) for each, in Database(url).rows("SELECT event_id FROM interlock.audit_event")}
    return len({event.event_id for event in world.audit.all()} - known)


def verify(world):
    done = world.verb("audit", "verify", "--output", "json")
    assert done.returncode in (0, 3) and done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


# ---- what the operator does ------------------------------------------------------------------------------

def last_commit_of(standby):
    """Unix milliseconds of the last commit that the new primary has from the old one."""
    return round(1000 * standby.ask("SELECT extract(epoch FROM pg_last_xact_replay_timestamp())::float8"))


def replay(world, workers, offsets):
    for worker in workers:
        assert not worker.runs() or worker.end() == 0
    world.kafka.move_offsets(world.group, world.topic, offsets)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.wait_ready()


def lose_a_second(trial, pair):
    """The standby falls behind by a second and a hundred commands, whose events are out."""
    trial.progress(100)
    pair.standby.lose_primary()
    began, before = time.monotonic(), len(published(trial.world))
    until("a second passes, and a hundred commands", lambda: time.monotonic() > began + 1 and
          len(published(trial.world)) > before + 100, 60)


def counts_of(world):
    return {name: count for name, count in collections.Counter(
        each.invariant for each in world.violations(ordered=False, drained=False)).items()}


# ---- a standby that lacks the last second ------------------------------------------------------------------

@pytest.mark.fault(13)
@pytest.mark.seconds(240)
def test_a_standby_that_lacks_the_last_second_takes_over_and_a_replay_brings_back_what_was_lost(trial, pair):
    """PostgreSQL promises nothing for commits that an asynchronous standby lacks, and Kafka's offsets are beyond them.
    The workers find the new primary by themselves and go on; whoever failed over sets the group back to the time of the
    last commit that is there."""
    world = trial.world
    workers = trial.workers(1)
    with trial.load(burst=8, duplicates=0.1):
        lose_a_second(trial, pair)
        failed = pair.fail_over()
        trial.progress(30)
        trial.recovered(since=failed)
    world.drain()
    lost = published(world) - recorded(pair.standby.url(world.name))
    unknown = strangers(world, pair.standby.url(world.name))
    assert unknown >= len(lost) >= 50
    code, told = verify(world)
    assert (code, told["unknown"], told["doubles"]) == (3, unknown, 0)
    assert counts_of(world)["I1"] >= len(lost)

    replay(world, workers, world.kafka.offsets_at(world.topic, last_commit_of(pair.standby) - 1000 * MARGIN_SECONDS))
    world.drain()
    assert published(world) - recorded(pair.standby.url(world.name)) == set()
    code, told = verify(world)
    assert code == 3 and told["mismatches"] + told["unknown"] == unknown and told["doubles"] == told["mismatches"]
    assert told["holes"] == 0
    trial.defence("a synchronous standby", "the primary is lost, the standby lacks a second",
                  f"{len(lost)} commands lost until their topic is read again", None)
    trial.note(lost=len(lost), told_as_mismatch=told["mismatches"], told_as_unknown=told["unknown"])
    trial.judge_last(ordered=False)


def missing(world, *words, code):
    done = world.verb("replay", *words, "--output", "json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def read_all(world):
    done = world.verb("replay", "--topic", world.topic, "--output", "json")
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout)["not_read_yet"] == 0


@pytest.mark.fault(13)
@pytest.mark.seconds(240)
def test_replay_names_what_a_failover_lost_and_brings_it_back_while_the_workers_go_on(trial, pair):
    """The workers are never stopped, and no offset is moved."""
    world = trial.world
    workers = trial.workers(1)
    with trial.load(burst=8, duplicates=0.1):
        lose_a_second(trial, pair)
        failed = pair.fail_over()
        trial.progress(30)
        trial.recovered(since=failed)
    world.drain()
    pids = [worker.pid for worker in workers]
    url = pair.standby.url(world.name)
    lost = published(world) - recorded(url)
    assert len(lost) >= 50
    # Positions are raised in PostgreSQL every 3 s; above them nothing is missing yet.
    until("the positions are there", lambda: read_all(world), 20)
    found = missing(world, "--topic", world.topic, code=3)
    assert {(each["source"], each["id"]) for each in found["commands"]} == lost and found["missing"] == len(lost)
    words = ("--topic", world.topic, "--before", found["before"], "--expect", str(len(lost)), "--execute", "--reason", "failover")
    assert missing(world, *words, code=0)["put_back"] == len(lost)
    until("all are answered", lambda: published(world) - recorded(url) == set(), 60)
    world.drain()
    assert missing(world, "--topic", world.topic, code=0)["missing"] == 0
    assert [worker.pid for worker in workers] == pids and all(worker.runs() for worker in workers)
    code, told = verify(world)
    assert code == 3 and told["holes"] == 0 and told["doubles"] == told["mismatches"]
    trial.note(lost=len(lost), put_back=len(lost))
    trial.judge_last(ordered=False)


@pytest.mark.fault(13)
@pytest.mark.seconds(120)
def test_a_lost_command_that_is_applied_again_is_published_again_though_the_worker_dies_between(stack_world):
    """PROTOCOL R1: a takeover looks on the audit topic for events that are recorded and may be published. The event of the
    commit that was lost has the same id, and must not pass for the one of the commit that took its place."""
    world = stack_world
    worker = world.worker()
    messages = [create_ticket(number) for number in range(1, 11)] + [escalate(number) for number in range(1, 11)]
    world.ask(*messages)
    world.drain()
    assert worker.end() == 0
    world.database.execute("SET session_replication_role = replica; "  # no trigger minds
                           "DELETE FROM interlock.ticket; DELETE FROM interlock.ticket_history; "
                           "DELETE FROM interlock.inbox; DELETE FROM interlock.audit_event; "
                           "UPDATE interlock.partition_published SET published = 0")
    world.kafka.move_offsets(world.group, world.topic, {number: 0 for number in range(world.partitions)})
    worker.environment["FAULT_POINTS"] = "before_begin_txn=crash"
    worker.start()
    until("it dies with nothing published", lambda: not worker.runs(), 40)
    assert recorded(world.database.url) and len(world.audit.all()) == len(messages)
    del worker.environment["FAULT_POINTS"]
    worker.start().wait_ready()
    until("everything is published again", lambda: len(world.audit.all()) == 2 * len(messages), 30)
    world.drain()
    events = sorted(world.audit.all(), key=lambda each: (each.partition, each.offset))
    last = {event.event_id: event for event in events}
    times = world.database.rows("SELECT event_id::text, to_char(changed_at AT TIME ZONE 'UTC', "
                                "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM interlock.audit_event")
    assert {(event_id, last[event_id].body["time"]) for event_id, _ in times} == set(times)
    assert len(times) == len(messages)


@pytest.mark.long
@pytest.mark.fault(13)
@pytest.mark.seconds(240)
def test_with_the_workers_stopped_the_new_primary_says_itself_where_to_read_on_and_order_holds(trial, pair):
    """`published` of a partition is written after the rows of everything below it: what the standby has of it is below
    whatever it lacks. It must be read before a worker sees the new primary, whose takeover raises it."""
    world = trial.world
    workers = trial.workers(2)
    with trial.load(burst=8):
        lose_a_second(trial, pair)
        for worker in workers:
            worker.kill()
        pair.fail_over()
    world.database = Database(pair.standby.url(world.name))
    lost = published(world) - recorded(world.database.url)
    assert len(lost) >= 50
    offsets = {number: 0 for number in range(world.partitions)}
    offsets.update(world.database.rows("SELECT o.partition, p.published FROM interlock.partition_owner o "
                                       "JOIN interlock.partition_published p ON p.partition_id = o.id"))
    assert sum(offsets.values()) > 0
    for worker in workers:
        worker.environment["DATABASE_URL"] = world.database.url
    replay(world, workers, offsets)
    with trial.load(burst=8):
        trial.progress(30)
        trial.recovered()
    code, told = verify(world)
    assert code == 3 and told["mismatches"] + told["unknown"] == len(lost)
    trial.note(lost=len(lost))
    trial.judge_last(ordered=True)


# ---- a synchronous standby -------------------------------------------------------------------------------------

def waiting_for_standby(pair):
    return [row[0] for row in Database(pair.primary.url()).rows(
        "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name LIKE 'lane-%%'")]


def give_up_waiting(pair, ways):
    """Somebody ends the waits, by the statement or by the session; the commits stand on the primary alone."""
    for way in ways:
        for pid in until("a lane waits for the standby", lambda: waiting_for_standby(pair), 30):
            pair.primary.ask(f"SELECT {way}(%s)", pid)


def alone_on_primary(world, pair):
    return recorded(pair.primary.url(world.name)) - recorded(pair.standby.url(world.name))


@pytest.mark.fault(13)
@pytest.mark.seconds(240)
@pytest.mark.parametrize("synchronous", [True], ids=["synchronous"])
def test_commits_that_a_synchronous_standby_may_lack_are_not_published_and_a_failover_loses_nothing(trial, pair):
    """PROTOCOL R6, on servers: the standby is away, waits for it are given up, so that commits are on the primary
    alone; nothing of them is published, also not when a batch finds them recorded (the second way,
    whichever it is, meets a COMMIT that only answers). Then the primary is lost."""
    world = trial.world
    trial.workers(1)
    with trial.load(burst=8):
        trial.progress(100)
        pair.standby.lose_primary()
        ways = trial.random.sample(["pg_cancel_backend", "pg_terminate_backend"], 2)
        give_up_waiting(pair, [*ways, *ways])
        until("a lane waits again", lambda: waiting_for_standby(pair), 30)
        alone = alone_on_primary(world, pair)
        assert alone and "is not confirmed by the standby: holding its events" in world.workers[0].text()
        holds_for("nothing of it is published", lambda: not alone & published(world), 1)
        failed = pair.fail_over()
        trial.progress(50)
        trial.recovered(since=failed)
    trial.note(on_the_primary_alone=len(alone))
    trial.judge()
    trial.defence("a synchronous standby", "the primary is lost, the standby lacks a second", None, "none lost")
    _, told = verify(world)
    assert {told[name] for name in ("holes", "doubles", "mismatches", "unknown")} == {0}, told


@pytest.mark.long
@pytest.mark.fault(13)
@pytest.mark.seconds(240)
@pytest.mark.parametrize("synchronous", [True], ids=["synchronous"])
def test_a_synchronous_standby_that_was_away_for_a_while_costs_time_only(trial, pair):
    """PROTOCOL R6: the wait is given up again and again; the standby comes back; everything is published once."""
    world = trial.world
    trial.workers(1)
    with trial.load(burst=8):
        for _ in range(3):
            trial.progress(60)
            pair.standby.lose_primary()
            give_up_waiting(pair, trial.random.choices(["pg_cancel_backend", "pg_terminate_backend"], k=4))
            alone = alone_on_primary(world, pair)
            holds_for("nothing of it is published", lambda: not alone & published(world), 1)
            pair.standby.find_primary()
            trial.recovered()
    trial.judge()


@pytest.mark.long
@pytest.mark.fault(13)
@pytest.mark.seconds(240)
@pytest.mark.parametrize("synchronous", [True], ids=["synchronous"])
def test_a_primary_that_falls_silent_does_not_keep_the_workers_from_the_one_that_took_over(trial, pair):
    """It takes connections and says nothing, as a machine does that is half gone: libpq would wait for it each time."""
    world = trial.world
    trial.workers(1, database_connect_timeout="1s", database_statement_timeout="1s", database_lock_timeout="500ms")
    with trial.load(burst=8):
        trial.progress(100)
        with pair.primary.frozen():
            failed = time.monotonic()
            world.database = Database(pair.standby.url(world.name))
            pair.standby.promote()
            trial.progress(50, 120)
            trial.recovered(timeout=120, since=failed)
            pair.primary.kill()
    trial.judge()


@pytest.mark.long
@pytest.mark.fault(13)
@pytest.mark.seconds(240)
@pytest.mark.parametrize("protection", ["false", "true"], ids=["without", "with"])
@pytest.mark.parametrize("synchronous", [True], ids=["synchronous"])
def test_without_the_hold_a_failover_loses_commands_that_have_an_event(trial, pair, protection):
    """PROTOCOL R6, switched off and on."""
    world = trial.world
    trial.workers(1, protections_standby=protection)
    world.ask(*[create_ticket(number) for number in range(1, 21)])
    pair.standby.lose_primary()
    world.publish(*[escalate(number) for number in range(1, 21)])
    give_up_waiting(pair, ["pg_cancel_backend"])
    until("something is on the primary alone", lambda: alone_on_primary(world, pair), 20)
    with contextlib.suppress(NotReached):                            # with it nothing comes
        until("its events come", lambda: alone_on_primary(world, pair) & published(world), 3)
    pair.fail_over()
    assert world.ask(create_ticket(21), timeout=60).outcome == "applied"
    world.drain(60)
    lost = len(published(world) - recorded(pair.standby.url(world.name)))
    told = f"{lost} of 20 commands have an event and are in no database"
    trial.defence("R6, no event before the standby has it", "the wait for it is cancelled, then the primary is lost",
                  *((told, None) if protection == "false" else (None, told)))
    assert (lost > 0) == (protection == "false")
