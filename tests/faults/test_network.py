"""The network between a worker and each of the three services: cut, silent, half open, slow, lossy, reset, stormed.

A relay stands before each service (harness/relay.py); where the kernels' own retransmission matters the worker is on a
host of its own (harness/hosts.py). Timeouts are those of the settings; the quick tests shorten them to save time.
"""

import itertools
import platform
import time
from pathlib import Path

import pytest

from harness import hosts
from harness.commands import create_ticket, escalate
from harness.relay import ANSWERED, ASKED, BOTH
from harness.waiting import holds_for, until
from harness.wires import SERVICES, wires
from trial import minutes

# Timeouts that are over within a quick test.
QUICK = {"database_connect_timeout": "1s", "database_statement_timeout": "500ms", "database_lock_timeout": "200ms",
         "consumers_transaction_timeout": "6s"}
WAYS = {
    "all links fall silent": lambda relay: (relay.silence(), relay.leave_unanswered()),
    "new ones are taken and hear nothing": lambda relay: (relay.silence(), relay.reset()),
    "new ones are not answered": lambda relay: (relay.leave_unanswered(), relay.reset()),
}
CONNECT = {"x86_64": "42", "aarch64": "203"}    # the system call's number
STORM_ATTEMPTS = 40  # a second, of a whole process with four lanes: 17 were measured, 1900 without a pause between them


def slow_load(trial, **options):
    load = trial.load(burst=6, **options)
    load.pause = 0.1
    return load


def in_connect(worker):
    """The threads that are in connect(2) just now; each call is to return at once and to be waited for elsewhere."""
    number, found = CONNECT.get(platform.machine()), set()
    for task in Path(f"/proc/{worker.pid}/task").iterdir():
        try:
            if (task / "syscall").read_text(encoding="ascii").split()[0] == number:
                found.add(task.name)
        except OSError:
            pass
    return found


def nothing_sticks(worker, seconds):
    """While a service is away: the poll threads move, and no thread is in connect(2) for longer than a look or two."""
    since = {}

    def looks():
        now = time.monotonic()
        for name in set(since) - (present := in_connect(worker)):
            del since[name]
        for name in present:
            since.setdefault(name, now)
        return worker.get("/healthz")[0] == 200 and all(now - each < 1 for each in since.values())
    holds_for("no thread sticks", looks, seconds, pause=0.2)


# ---- row 9: cut off ------------------------------------------------------------------------------------

def cut_off(trial, wired, worker, service, way, seconds):
    """Returns how long it took, after the cut, until every partition went on."""
    relay = getattr(wired, service)
    trial.progress(20)
    WAYS[way](relay)
    if service == "redis":
        trial.progress(20)                                           # it goes on without locks
    nothing_sticks(worker, seconds)
    relay.heal()
    return trial.recovered(timeout=100)


@pytest.mark.fault(9)
@pytest.mark.seconds(240)
def test_each_service_is_cut_off_for_a_moment(trial):
    """All connections are reset, and who connects is taken and hears nothing; or nobody even answers his SYN."""
    with wires(trial.world) as wired:
        worker, = trial.workers(1, **wired.settings, **QUICK)
        with slow_load(trial):
            for service in SERVICES:
                for way in list(WAYS)[1:]:
                    cut_off(trial, wired, worker, service, way, 1.3)
        trial.judge()


@pytest.mark.long
@pytest.mark.fault(9)
@pytest.mark.seconds(400)
@pytest.mark.parametrize("seconds", [5, 60])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_cut_off(trial, service, way, seconds):
    with wires(trial.world) as wired:
        worker, = trial.workers(1, **wired.settings)
        with slow_load(trial):
            took = cut_off(trial, wired, worker, service, way, seconds)
        trial.note(service=service, way=way, cut_seconds=seconds, recovered_ms=took)
        trial.judge()


# ---- who was cut off has not crashed (worker/batch/quarantine.h) -----------------------------------------------------

def lose_partitions(worker, kafka, database=None):
    """Kafka is silent until the worker knows that its session is over, PostgreSQL is away for as long; then it takes its
    partitions over again."""
    lost, taken = (worker.text().count(each) for each in (" lost after ", " are taken over"))
    kafka.silence()
    if database:
        database.refuse()
        database.cut()
    until("it has lost them", lambda: worker.text().count(" lost after ") > lost, 60)
    for each in filter(None, (database, kafka)):
        each.heal()
    until("it has them again", lambda: worker.text().count(" are taken over") > taken, 60)


@pytest.mark.fault(9)
@pytest.mark.seconds(120)
def test_a_worker_that_was_cut_off_is_not_taken_for_one_that_crashed(trial):
    """Its partitions are lost again and again while their commands wait for a row: nobody has died of them."""
    world = trial.world
    with wires(world) as wired:
        worker, = trial.workers(1, KAFKA_BOOTSTRAP=wired.settings["KAFKA_BOOTSTRAP"], consumers_session_timeout="2s")
        world.ask(*[create_ticket(number) for number in range(1, 21)])
        world.drain()
        waiting = [escalate(number) for number in range(1, 21)]
        with world.database.holding("SELECT 1 FROM interlock.ticket FOR UPDATE"):
            world.publish(*waiting)
            for _ in range(3):
                until("they wait", lambda: worker.metric("interlock_held_keys") == len(waiting), 40)
                lose_partitions(worker, wired.kafka)
        assert world.database.value("SELECT max(crashes) FROM interlock.partition_owner") == 0
        assert "one at a time" not in worker.text()
        world.await_events(waiting, 60)
        trial.judge()


@pytest.mark.long
@pytest.mark.fault(9)
@pytest.mark.seconds(300)
def test_a_command_is_not_put_aside_for_a_worker_that_was_cut_off(trial):
    """After real crashes it is noted before it is tried. Then the worker is cut off in the middle of that, five times."""
    world = trial.world
    with wires(world) as wired:
        settings = {name: wired.settings[name] for name in ("KAFKA_BOOTSTRAP", "DATABASE_URL")}
        worker, = trial.workers(1, consumers_session_timeout="2s", **settings)
        world.ask(create_ticket(1))
        world.drain()
        waiting = escalate(1)
        with world.database.holding("SELECT 1 FROM interlock.ticket FOR UPDATE"):
            world.publish(waiting)
            for _ in range(4):
                until("it waits", lambda: worker.metric("interlock_held_keys") == 1, 40)
                worker.kill()
                worker.environment["FAULT_POINTS"] = "after_load=delay:1500"  # it is in a batch nearly all the time
                worker.start().wait_ready()
            for _ in range(5):
                until("it is noted", lambda: world.database.value("SELECT max(attempts) FROM interlock.crash_suspect"), 40)
                lose_partitions(worker, wired.kafka, wired.database)
        world.await_events([waiting], 60)
        trial.judge()


# ---- storms ----------------------------------------------------------------------------------------------

@pytest.mark.fault(9)
@pytest.mark.seconds(180)
def test_refused_connections_come_back_at_a_bounded_rate(trial):
    """Every connection is reset, and each new one too as soon as it was taken; then nobody listens for a while."""
    seconds, rates = 1.5 if minutes() == 0 else 20, {}
    with wires(trial.world) as wired:
        worker, = trial.workers(1, **wired.settings, **QUICK)
        with slow_load(trial):
            for service in SERVICES:
                relay = getattr(wired, service)
                trial.progress(10)
                relay.slam()
                relay.reset()
                before = len(relay.attempts)
                nothing_sticks(worker, seconds)
                rates[f"{service}_attempts_per_second"] = round((len(relay.attempts) - before) / seconds, 1)
                relay.refuse()
                nothing_sticks(worker, 0.5)
                relay.heal()
                trial.recovered()
        trial.note(**rates)
        trial.judge()
    assert all(1 / seconds <= each <= STORM_ATTEMPTS for each in rates.values()), rates


# ---- row 10: lossy and slow ---------------------------------------------------------------------------------

def need_hosts():
    missing = hosts.why_not()
    if missing:
        pytest.skip(missing)


def on_a_bad_line(trial, rounds, blackhole_seconds):
    """5 % of the packets are lost and a round trip takes 200 ms; then none arrives for a while."""
    need_hosts()
    with hosts.host(seed=trial.random.random()) as host, wires(trial.world, listen_on=host.near) as wired:
        worker = host.put(trial.world.worker(start=False, **wired.settings))
        worker.start().wait_ready()
        with slow_load(trial):
            trial.progress(10)
            for _ in range(rounds):
                host.set(loss=0.05, delay=0.1)
                began = time.monotonic()
                trial.progress(100, timeout=120)
                trial.note(seconds_for_100_on_a_bad_line=round(time.monotonic() - began, 1))
                host.set(carries=0)
                holds_for("the poll threads move", lambda: worker.get("/healthz")[0] == 200, blackhole_seconds)
                host.set(carries=1, loss=0, delay=0)
                trial.recovered(timeout=100)
        trial.judge()
        worker.kill()


@pytest.mark.fault(10)
@pytest.mark.seconds(240)
def test_packets_are_lost_and_late_and_then_none_arrives(trial):
    on_a_bad_line(trial, rounds=1, blackhole_seconds=3)


@pytest.mark.long
@pytest.mark.fault(10)
@pytest.mark.seconds(900)
def test_packets_are_lost_and_late_and_then_none_arrives_for_long(trial):
    on_a_bad_line(trial, rounds=4, blackhole_seconds=10)


# ---- row 10: half open, reset in the middle of a frame, slow readers ------------------------------------------

@pytest.mark.fault(10)
@pytest.mark.seconds(180)
def test_frames_break_off_in_the_middle(trial):
    """Half of a frame arrives, then a reset: of an answer, and of a request."""
    with wires(trial.world) as wired:
        trial.workers(1, **wired.settings, **QUICK)
        with slow_load(trial):
            for service, direction in itertools.product(SERVICES * (1 if minutes() == 0 else 10), BOTH):
                relay = getattr(wired, service)
                relay.tear(direction, count=trial.random.randrange(1, 5))
                until(f"{service}: the frames are torn", relay.torn, 40)
                trial.progress(5)
            trial.recovered()
        trial.judge()


def leave_half_open(trial, wired, service, limit, *directions):
    """Returns how long until every partition goes on, over new connections."""
    trial.progress(20)
    relay = getattr(wired, service)
    attempts = len(relay.attempts)
    relay.leave_half_open(*directions)
    took = trial.recovered(timeout=limit)
    if service != "redis":                                           # without which it goes on anyway
        assert len(relay.attempts) > attempts, "nobody connected again"
    return took


@pytest.mark.fault(10)
@pytest.mark.seconds(180)
def test_a_half_open_session_of_postgresql_is_noticed(trial):
    """Within twice the statement's time and five seconds more (database_sync): here 6 s, and then it connects."""
    with wires(trial.world) as wired:
        trial.workers(1, **wired.settings, **QUICK)
        with slow_load(trial):
            took = leave_half_open(trial, wired, "database", 4 * 6)
        trial.note(service="database", noticed_ms=took, statement_timeout_ms=500)
        trial.judge()


@pytest.mark.long
@pytest.mark.fault(10)
@pytest.mark.seconds(240)
@pytest.mark.parametrize("directions", [BOTH, (ASKED,), (ANSWERED,)], ids="-".join)
@pytest.mark.parametrize("service", SERVICES)
def test_a_half_open_connection_is_noticed(trial, service, directions):
    """With the settings as they are delivered."""
    with wires(trial.world) as wired:
        trial.workers(1, **wired.settings)
        with slow_load(trial):
            took = leave_half_open(trial, wired, service, 90, *directions)
        trial.note(service=service, directions=directions, noticed_ms=took)
        trial.judge()


SLOW = {
    "a few thousand bytes a second": lambda relay, direction: relay.slow(4000, direction),
    "every piece late": lambda relay, direction: relay.delay(0.3, direction),
}


@pytest.mark.long
@pytest.mark.fault(10)
@pytest.mark.seconds(300)
@pytest.mark.parametrize("direction", BOTH)
@pytest.mark.parametrize("way", SLOW)
@pytest.mark.parametrize("service", SERVICES)
def test_a_reader_that_is_slow(trial, service, way, direction):
    """Whoever sends to it has to wait."""
    with wires(trial.world) as wired:
        trial.workers(1, **wired.settings)
        with slow_load(trial):
            trial.progress(20)
            SLOW[way](getattr(wired, service), direction)
            trial.progress(60, timeout=120)
            getattr(wired, service).heal()
            trial.recovered(timeout=100)
        trial.note(service=service, way=way, direction=direction)
        trial.judge()


@pytest.mark.long
@pytest.mark.fault(10)
@pytest.mark.seconds(240)
def test_a_verb_whose_server_is_gone_ends(trial):
    """It waits for a lock as long as that takes, but not for a host that does not answer any more: keepalives."""
    need_hosts()
    with hosts.host() as host, wires(trial.world, listen_on=host.near) as wired:
        with trial.world.database.holding("LOCK TABLE interlock.audit_event IN ACCESS EXCLUSIVE MODE"):
            verb = host.put(trial.world.worker(start=False, **wired.settings))
            verb.arguments[-1:] = ["audit", "list"]
            verb.start()
            until("it waits for the lock", lambda: trial.world.database.value(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'interlock audit' "
                "AND wait_event_type = 'Lock'"))
            began = time.monotonic()
            host.set(carries=0)
            assert verb.wait(120) == 1, verb.text()
            trial.note(noticed_ms=round(1000 * (time.monotonic() - began)))
    trial.judge()
