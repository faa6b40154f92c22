"""The worker dies, fails, is late or sleeps at each named point (worker/base/fault_point.h); afterwards nothing is lost,
doubled, reordered or half there. Needs a test build: a release has no points.

The quick tier meets every point once: one worker that is started again with the next point each time. The long tier
meets each point in every way it knows, several times, and then draws them from seeds."""

import re
import time
from pathlib import Path

import pytest

from harness.commands import append, create_ticket, escalate
from harness.parking import in_seconds, settled
from harness.stack import ROOT
from harness.waiting import until
from trial import minutes

HEADER = Path(ROOT / "worker/base/fault_point.h").read_text(encoding="utf-8")
POINTS = dict(re.findall(r'X\([A-Z_]+, "([a-z_]+)", (NO|YES|KAFKA)\)', HEADER))
ERRORS = {"NO": [], "YES": ["error"], "KAFKA": ["error", "error:retriable", "error:fatal"]}
ENDS = ("in_revoke", "in_close")          # reached by a worker that ends
PARKING = ("after_claim", "after_return")  # reached while parked commands come back
VERB = ("redrive_put", "redrive_committed")  # of the command line: test_redrive_steps.py, test_replay_steps.py
MAIN = [name for name in POINTS if name not in (*ENDS, *PARKING, *VERB)]
LIGHT = {"burst": 4, "pause": 0.1}        # few commands: after two deaths in a row they are run one by one for a while


def reached(worker, point, time_=None):
    return f"fault point {point}, time {time_ if time_ is not None else ''}" in worker.text()


def light_load(trial):
    load = trial.load(burst=LIGHT["burst"])
    load.pause = LIGHT["pause"]
    return load


def arm(worker, spec, seed=None):
    """For its next start; None: nothing."""
    for name, value in (("FAULT_POINTS", spec), ("FAULT_SEED", seed)):
        worker.environment.pop(name, None)
        if value is not None:
            worker.environment[name] = str(value)


def await_death(worker, point, time_):
    until(f"it has died at {point}", lambda: not worker.runs(), 60)
    assert worker.process.returncode == -9 and reached(worker, point, time_), worker.text()[-2000:]
    return time.monotonic()


def die_at(worker, point, time_):
    """Starts it, and returns when it died there."""
    arm(worker, f"{point}=crash@{time_}")
    worker.start()
    if point in ENDS:
        worker.wait_ready()
        worker.term()
    return await_death(worker, point, time_)


# ---- the points themselves -----------------------------------------------------------------------------------------

def test_every_point_is_known_here():
    assert len(POINTS) == 25 and set(ENDS) | set(PARKING) <= set(POINTS)


def test_a_point_that_cannot_be_read_ends_the_program(world):
    worker = world.worker(start=False)
    for spec in ("after_commit=boom", "in_close=error", "after_commit=error:fatal", "random=crash", "nowhere=crash"):
        arm(worker, spec)
        worker.start().wait()
        assert f"FAULT_POINTS: cannot read {spec}" in worker.text()


def test_a_seed_draws_the_same_reaches_again(world):
    """The seed of each point; printed at the start, so that a run can be repeated."""
    drawn = []
    for seed in (7, 7, 8):
        arm(world.worker(start=False), "random=delay:0:500", seed)
        worker = world.workers[-1].start().wait_ready()
        assert f"FAULT_POINTS=random=delay:0:500 FAULT_SEED={seed}" in worker.text()
        for number in range(1, 13):
            world.ask(create_ticket(1000 * len(drawn) + number))
        drawn.append({int(each) for each in re.findall(r"fault point after_commit, time (\d+)", worker.text())
                      if int(each) <= 12})
        assert worker.end() == 0
    assert drawn[0] == drawn[1] != drawn[2] and 0 < len(drawn[0]) < 12


DONE = {"after_begin": "BEGIN", "after_fences": "FROM interlock.partition_owner",
        "after_update": "INSERT INTO interlock.ticket_history", "after_inbox": "INSERT INTO interlock.inbox",
        "before_commit": "INSERT INTO interlock.audit_event",
        "commit_sent": "COMMIT"}


def test_the_server_has_done_what_a_point_says(world):
    """Between statements that are only queued, too: they are pushed out first."""
    worker = world.worker()
    world.ask(create_ticket(1))
    for point, statement in DONE.items():
        assert worker.end() == 0
        arm(worker, f"{point}=stop@1")
        world.publish(message := escalate(1))
        worker.start()
        until("it sleeps", lambda: reached(worker, point, 1), 30)
        until(f"the server's last statement is {statement}", lambda: [
            query for query, in world.database.rows(
                "SELECT query FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name LIKE 'lane-%%'") if statement in query], 10)
        worker.kill()
        arm(worker, None)
        worker.start()
        world.await_events([message])  # else it would be the command's third death, and the command quarantined


# ---- the quick tier ------------------------------------------------------------------------------------------------

@pytest.mark.fault(1)
@pytest.mark.seconds(240)
def test_the_worker_dies_at_every_point_once(trial):
    """One after another, judged once. Each start is a recovery from the death before; each gets so far that no command
    meets three deaths in a row, which would make it a suspect."""
    worker = trial.world.worker()
    points = [*MAIN, *ENDS]
    trial.random.shuffle(points)
    with light_load(trial):
        worker.end()
        for point in points:
            died = die_at(worker, point, trial.random.randint(3, 6) if point in MAIN else 1)
        arm(worker, None)
        worker.start()
        trial.recovered(since=died)
    trial.note(points=len(points))
    trial.judge()


@pytest.mark.fault(1)
@pytest.mark.seconds(120)
def test_servers_fail_at_every_point_once(trial):
    """All in one process, which goes on: sessions cut, answers lost, calls refused, a handle that is of no use."""
    faults = [(point, action) for point in MAIN for action in ERRORS[POINTS[point]]]
    times, spec = {}, []
    for point, action in faults:
        if point not in times:  # one action a point and process; the long tier has the others
            action = trial.random.choice(ERRORS[POINTS[point]])
            times[point] = 1 if point.endswith("takeover") else trial.random.randint(2, 6)
            spec.append(f"{point}={action}@{times[point]}")
    worker = trial.world.worker(FAULT_POINTS=",".join(spec))
    with light_load(trial):
        until("every point was met", lambda: all(reached(worker, *each) for each in times.items()), 60)
        trial.recovered()
    trial.note(points=len(times), spec=",".join(spec))
    assert worker.runs()
    trial.judge()


def park(world):
    """A ticket with a command that is early and a queue behind it. Returns what comes back, in order."""
    world.ask(create_ticket(1))
    early = append(1, "early", notbefore=in_seconds(2))
    behind = [append(1, number, afterparked=True) for number in range(20)]
    other = [escalate(1) for _ in range(5)]
    world.publish(early, *behind, *other)
    world.await_events(other)
    return [early, *behind]


def judge_returned(world, returned):
    world.await_events(returned, 60)
    settled(world)
    assert world.violations(ordered=False) == []
    noted = [row[0] for row in world.database.rows("SELECT details FROM interlock.ticket_history WHERE action = 'note' "
                                                   "ORDER BY seq")]
    assert noted == ["early", *range(20)]


@pytest.mark.fault(1)
@pytest.mark.seconds(120)
def test_the_worker_dies_again_and_again_while_commands_return(world):
    worker = world.worker()
    returned = park(world)
    until("all wait", lambda: world.database.count("parked_command") == 21, 10)
    worker.kill()
    for point, time_ in (("after_claim", 1), ("after_return", 8), ("before_commit", 1), ("commit_sent", 1)):
        die_at(worker, point, time_)
    arm(worker, None)
    worker.start().wait_ready()
    judge_returned(world, returned)


# ---- the long tier -------------------------------------------------------------------------------------------------

@pytest.mark.long
@pytest.mark.fault(1)
@pytest.mark.seconds(600)
@pytest.mark.parametrize("point", [*MAIN, *ENDS])
def test_the_worker_dies_here_early_and_late(trial, point):
    worker = trial.world.worker()
    with light_load(trial):
        worker.end()
        for count in (1, 2, *[trial.random.randint(3, 40) for _ in range(3)]) if point in MAIN else (1, 1, 1):
            if point.endswith("takeover"):
                count = min(count, trial.world.partitions)
            died = die_at(worker, point, count)
            arm(worker, None)
            worker.start()
            trial.recovered(since=died)
            worker.kill() if point in MAIN else worker.end()
        worker.start()
        trial.recovered()
    trial.judge()


@pytest.mark.long
@pytest.mark.fault(1)
@pytest.mark.seconds(600)
@pytest.mark.parametrize("point", [name for name in [*MAIN, "in_revoke"] if POINTS[name] != "NO"])
def test_a_server_fails_here_once_and_often(trial, point):
    """In every way it can, early and late; and the point is late by half a second."""
    worker = trial.world.worker(start=False)
    with light_load(trial):
        for action in [*ERRORS[POINTS[point]], "delay:500"]:
            for count in (1, trial.random.randint(2, 6)):
                count = 1 if point == "in_revoke" else count
                arm(worker, f"{point}={action}@{count}")
                worker.start().wait_ready()
                if point == "in_revoke":
                    worker.term()
                    assert worker.wait(60) in (0, 2)
                    continue
                until(f"{point} is met", lambda: reached(worker, point, count), 60)
                trial.recovered()
                worker.kill()
        arm(worker, None)
        worker.start()
        trial.recovered()
    trial.judge()


@pytest.mark.long
@pytest.mark.fault(1)
@pytest.mark.seconds(120)
@pytest.mark.parametrize("point,time_", [("after_claim", 1), ("after_return", 1), ("after_return", 8),
                                         ("after_load", 1), ("after_inbox", 1), ("before_commit", 1),
                                         ("commit_sent", 1), ("after_commit", 1), ("pipeline_sent", 1),
                                         ("pipeline_sent", 2)])
def test_the_worker_dies_while_commands_return(world, point, time_):
    worker = world.worker()
    returned = park(world)
    until("all wait", lambda: world.database.count("parked_command") == 21, 10)
    worker.kill()
    die_at(worker, point, time_)
    arm(worker, None)
    worker.start().wait_ready()
    judge_returned(world, returned)


@pytest.mark.long
@pytest.mark.fault(1)
@pytest.mark.seconds(7200)
def test_anything_goes_wrong_anywhere_from_a_seed(request, trial):
    """Two workers; each reach of any point may be a crash, an error, a delay. Each start has a seed of its own, drawn
    from the test's."""
    workers = trial.workers(2, start=False)
    seeds = []

    def start(worker):
        seeds.append(trial.random.randrange(1, 10 ** 6))
        arm(worker, "random=crash:2,random=error:5,random=delay:50:10", seeds[-1])
        worker.start()
        return worker
    ends = time.monotonic() + 60 * max(minutes() / 4, 1)
    with light_load(trial):
        for worker in workers:
            start(worker)
        while time.monotonic() < ends:
            until("one has died, or the time is over",
                  lambda: not all(each.runs() for each in workers) or time.monotonic() >= ends, 3600)
            for worker in workers:
                if not worker.runs():
                    start(worker)
        for worker in workers:
            worker.kill()
            arm(worker, None)
            worker.start()
        trial.recovered()
    trial.note(starts=len(seeds), seeds=seeds)
    trial.judge()


# ---- a worker sleeps at a point -----------------------------------------------------------------------------------

ZOMBIE = {"consumers_session_timeout": "1s", "consumers_static": "false", "database_idle_in_transaction_timeout": "2s",
          "consumers_transaction_timeout": "2s"}


def sleep_at(trial, point, count):
    """Longer than its session and its locks: another one has taken over and gone on."""
    sleeper = trial.world.worker(ready=False, FAULT_POINTS=f"{point}=stop@{count}", **ZOMBIE)
    with light_load(trial):
        until("it sleeps", lambda: reached(sleeper, point, count), 60)
        slept = time.monotonic()
        other = trial.world.worker(ready=False, **ZOMBIE)
        until("the other one works", lambda: other.port() and other.metric("interlock_events_published_total") > 20, 90)
        trial.note(taken_over_ms=round(1000 * (time.monotonic() - slept)))
        sleeper.cont()
        trial.recovered()
    until("the sleeper works again, or has ended", lambda: not sleeper.runs() or sleeper.ready(), 60)
    trial.judge()


@pytest.mark.long
@pytest.mark.fault(2)
@pytest.mark.seconds(240)
@pytest.mark.parametrize("point", ["after_lock", "after_begin", "after_fences", "after_load", "after_update",
                                   "after_inbox", "before_commit", "commit_sent", "pipeline_sent", "after_commit",
                                   "after_begin_txn", "mid_produce", "before_commit_txn", "after_commit_txn",
                                   "after_takeover"])
def test_the_worker_sleeps_here_and_wakes_as_a_zombie(trial, point):
    sleep_at(trial, point, 1 if point == "after_takeover" else trial.random.randint(2, 5))
