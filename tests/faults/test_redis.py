"""Redis fails, refuses, forgets and lies. It is the outer lock only: each costs speed, and is counted and told."""

import contextlib
import re
import signal
import time

import pytest

from harness.commands import command, create_job, create_ticket, escalate
from harness.fixtures import finish
from harness.redis_proxy import FloodingRedis, LyingRedis
from harness.redis_server import PrivateRedis
from harness.waiting import until

LANES = 4
DEGRADED = "interlock_lock_degraded_total"
TOLD = "going on without Redis, redis.url: 127.0.0.1:"


# ---- row 16: it fails and refuses ---------------------------------------------------------------------------

class Broken:
    """The ways in which a Redis is of no use, each as a context."""

    def __init__(self, redis):
        self.redis = redis

    @contextlib.contextmanager
    def away(self):
        """It comes back empty, scripts forgotten."""
        self.redis.kill()
        yield
        self.redis.start()

    @contextlib.contextmanager
    def full(self):
        self.redis.ask("CONFIG", "SET", "maxmemory", "1")
        yield
        self.redis.ask("CONFIG", "SET", "maxmemory", "0")

    @contextlib.contextmanager
    def busy(self):
        """In somebody's script; lua-time-limit is short, so others are told."""
        with self.redis.send("EVAL", "while true do end", 0):
            until("it is busy", lambda: "BUSY" in self.refusal("PING"), 20)
            yield
            self.redis.ask("SCRIPT", "KILL")
            until("it is free", lambda: not self.refusal("PING"), 20)

    @contextlib.contextmanager
    def locked(self):
        """Wants a password that nobody has."""
        self.redis.ask("CONFIG", "SET", "requirepass", "secret")
        self.redis.password = "secret"
        self.redis.ask("CLIENT", "KILL", "TYPE", "normal")
        yield
        self.redis.ask("CONFIG", "SET", "requirepass", "")
        self.redis.password = None

    @contextlib.contextmanager
    def read_only(self):
        self.redis.ask("REPLICAOF", "127.0.0.1", "1")
        yield
        self.redis.ask("REPLICAOF", "NO", "ONE")

    @contextlib.contextmanager
    def silent(self):
        """Connections are accepted, by the system, and nobody answers."""
        self.redis.signal(signal.SIGSTOP)
        yield
        self.redis.signal(signal.SIGCONT)

    def refusal(self, *words):
        with contextlib.suppress(OSError):
            try:
                self.redis.ask(*words, timeout=1)
            except AssertionError as refused:
                return str(refused)
        return ""


STATES = ["away", "full", "busy", "locked", "read_only", "silent"]
SAYS = {"away": "refused", "full": "OOM", "busy": "BUSY", "locked": "NOAUTH", "read_only": "READONLY",
        "silent": "no answer"}


@pytest.fixture
def redis():
    with PrivateRedis() as made:
        yield made


def degraded(workers):
    return sum(each.metric(DEGRADED) for each in workers)


def locks_taken(redis):
    """Scripts that ended well since it was started."""
    told = redis.ask("INFO", "commandstats")
    found = re.findall(r"cmdstat_eval(?:sha)?:calls=(\d+).*failed_calls=(\d+)", told)
    return sum(int(calls) - int(failed) for calls, failed in found)


def go_on_without(trial, workers, commands=60):
    """Commands are applied while Redis is of no use, and that is counted. Seconds it took."""
    before, began = degraded(workers), time.monotonic()
    trial.progress(commands)
    until("going on without it is counted", lambda: degraded(workers) > before, 30)
    return round(time.monotonic() - began, 2)


def go_back(redis, timeout=30):
    before = locks_taken(redis)
    until("locks are taken again", lambda: locks_taken(redis) > before, timeout, pause=0.1)


def lines_told(worker):
    return sum(TOLD in line for line in worker.text().splitlines())  # of its present life


def told_at_a_bounded_rate(workers, began):
    """By each lane once a minute, or every five seconds what is new, however many batches and states there were."""
    for worker in workers:
        assert 1 <= lines_told(worker) <= LANES * (1 + (time.monotonic() - began) // 5), worker.text()[-3000:]


@pytest.mark.fault(16)
@pytest.mark.seconds(150)
def test_a_redis_that_is_of_no_use_costs_speed_only(trial, redis):
    """PROTOCOL L2: without an answer a batch goes on without locks, counted. Away at the start, then in every way."""
    redis.kill()
    began = time.monotonic()
    workers = trial.workers(2, REDIS_URL=redis.url)
    with trial.load(burst=10) as load:
        load.pause = 0.05
        took = {"away at the start": go_on_without(trial, workers)}
        redis.start()
        go_back(redis)
        for state in STATES:
            with getattr(Broken(redis), state)():
                took[state] = go_on_without(trial, workers, 30)
            go_back(redis)
        trial.recovered()
    told_at_a_bounded_rate(workers, began)
    trial.note(seconds_without=took, degraded=degraded(workers))
    trial.judge()


@pytest.mark.long
@pytest.mark.fault(16)
@pytest.mark.seconds(300)
@pytest.mark.parametrize("state", STATES)
def test_a_redis_that_is_of_no_use_for_long_under_load(trial, redis, state):
    """With copies under wrong keys, so that batches of two workers meet; one of them is killed in it."""
    began = time.monotonic()
    workers = trial.workers(2, REDIS_URL=redis.url)
    with trial.load(spread=True):
        trial.progress(300)
        with getattr(Broken(redis), state)():
            took = go_on_without(trial, workers, 1000)
            until("the log says why", lambda: any(SAYS[state] in each.text() for each in workers), 30)
            workers[0].kill()
            workers[0].start()
            trial.progress(1000)
        since = time.monotonic()
        go_back(redis)
        trial.recovered(since=since)
    told_at_a_bounded_rate(workers, began)
    trial.note(seconds_without=took, degraded=degraded(workers))
    trial.judge(ordered=False)


# ---- row 17: it lies and forgets ------------------------------------------------------------------------------

PATIENT = {"redis_command_timeout": "20s", "redis_connect_timeout": "20s"}  # this machine is slow, and not the server


@pytest.mark.fault(17)
@pytest.mark.seconds(120)
def test_a_lock_that_is_granted_twice_and_forgotten_changes_nothing(trial, redis):
    """PROTOCOL L2: two workers on the same tickets, each told that it has every lock it asks for, and Redis emptied
    again and again, scripts and counters with it: PostgreSQL alone decides."""
    with LyingRedis(redis.url) as lying:
        workers = trial.workers(2, REDIS_URL=lying.url, **PATIENT)
        with trial.load(spread=True, burst=20):
            for words in (("FLUSHALL",), ("SCRIPT", "FLUSH"), ("CONFIG", "RESETSTAT")) * 5:
                trial.progress(40)
                redis.ask(*words)
            until("a lock is granted twice", lambda: lying.lies > 0, 30)
            trial.recovered()
        assert degraded(workers) == 0
        trial.note(granted_twice=lying.lies, busy=sum(each.metric("interlock_busy_rows_total") for each in workers))
    trial.judge(ordered=False)


# Small batches that take a while between reading and writing, so that many meet.
MEETING = {"worker_batch_max": "10", "worker_batch_linger": "0ms", "retries_default_first": "5ms", "retries_default_longest": "50ms",
           "retries_lock_acquisition_first": "5ms", "retries_lock_acquisition_longest": "50ms", "FAULT_POINTS": "after_load=delay:3", **PATIENT}
JOBS, STEP = 3, 300


def note(number):
    return command("json.append", {"aggregate": f"jobneed/{1 + number % JOBS}", "field": "other_info", "key": "k",
                                   "value": number})


def meet(world, redis, honest, row_locks, rounds):
    """Two workers, few jobs, every command through any partition, until updates are lost or the rounds are over. A
    job's array has no unique index that would notice. How many are missing from the rows, and of how many."""
    with LyingRedis(redis.url, honest=honest) as between:
        workers = [world.worker(REDIS_URL=between.url, protections_row_locks=row_locks, **MEETING) for _ in range(2)]
        until("both work", lambda: world.kafka.group_members(world.group) == 2)
        world.ask(*[create_job(number) for number in range(1, JOBS + 1)])
        sent = lost = 0
        while rounds > 0 and lost == 0:
            world.publish(*[note(number).at(number % world.partitions) for number in range(sent, sent + STEP)])
            rounds, sent = rounds - 1, sent + STEP
            world.drain(90)
            lost = sent - world.database.value("SELECT sum(jsonb_array_length(other_info->'k')) FROM interlock.jobneed")
        assert between.lies > 0, "nobody met anybody"
        assert degraded(workers) == 0
    return lost, sent


@pytest.mark.long
@pytest.mark.fault(17)
@pytest.mark.seconds(180)
def test_races_that_row_locks_stop_and_that_redis_alone_stops(trial, redis, make_world, request):
    """The same attack three times. Without row locks a lying Redis loses updates; an honest one stops that, for as long
    as it answers; with row locks nothing is lost whatever Redis says."""
    open_world, guarded = make_world("without both"), make_world("Redis alone")
    without = meet(open_world, redis, honest=False, row_locks="false", rounds=20)
    alone = meet(guarded, redis, honest=True, row_locks="false", rounds=1)
    rows = meet(trial.world, redis, honest=False, row_locks="true", rounds=1)
    for world in (open_world, guarded):
        finish(request, world)
    assert without[0] > 0, "nothing was lost without row locks: nothing shows that they are needed"
    assert (alone[0], rows[0]) == (0, 0)
    told = ["{} of {} updates lost".format(*each) for each in (without, alone, rows)]
    trial.defence("row locks", "a Redis that grants a lock to two workers", told[0], told[2])
    trial.defence("Redis lock", "two workers on the same rows, no row locks", told[0], told[1])
    trial.judge(ordered=False)


# ---- row 31: it floods ---------------------------------------------------------------------------------------

@pytest.mark.fault(31)
@pytest.mark.parametrize("flood", FloodingRedis.FLOODS)
def test_a_redis_that_floods_costs_time_only(trial, flood):
    """PROTOCOL L2: what it may send is bounded in bytes and time. Nobody dies of it, and no command is blamed."""
    with FloodingRedis(flood) as redis:
        worker, = trial.workers(1, REDIS_URL=redis.url)
        before, pid = worker.rss_kib(), worker.pid
        with trial.load(burst=10):
            took = go_on_without(trial, [worker], 60)
        until("it flooded more than once", lambda: redis.scripts > 1, 30)
        trial.recovered()
        assert worker.runs() and worker.pid == pid
        assert worker.rss_kib() - before < 64 * 1024, "its bytes were kept"
        trial.note(seconds_without=took, floods=redis.scripts, bytes_sent=redis.sent)
    assert trial.world.letters.all() == []
    trial.judge()


def crash(worker):
    worker.wait_ready()
    worker.kill()
    worker.start()


@pytest.mark.fault(31)
@pytest.mark.seconds(120)
@pytest.mark.parametrize("quarantine", [True, False])
def test_commands_that_are_run_with_care_do_without_redis(world, quarantine):
    """Where two owners in a row ended, the next one may not end because of Redis while a command is noted."""
    with LyingRedis(world.stack.redis_url, honest=True) as redis:
        worker = world.worker(REDIS_URL=redis.url, protections_quarantine=str(quarantine).lower())
        world.ask(*[create_ticket(number) for number in range(1, 4)])
        assert redis.scripts > 0
        world.drain()
        for _ in range(3):
            crash(worker)
        worker.wait_ready()
        if quarantine:
            assert "run one at a time" in worker.text()
        before = redis.scripts
        told = world.ask(*[escalate(number) for number in range(1, 4)])
        assert [each.outcome for each in told] == ["applied"] * 3
        # With the protection off it is asked for every batch.
        assert (redis.scripts == before) == quarantine
        assert worker.metric(DEGRADED) == 0
        worker.end()
    world.check()
