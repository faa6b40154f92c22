"""The worker dies (kill -9) or sleeps (SIGSTOP) at each named point (worker/fault_point.h); afterwards nothing is lost,
doubled, reordered or half there. Needs a test build: a release has no points."""

import re
from pathlib import Path

import pytest

from harness.commands import append, create_ticket, escalate
from harness.stack import ROOT
from harness.waiting import until
from harness.load import Load, judge, progress
from harness.parking import in_seconds, settled

NAMES = re.findall(r'X\([A-Z_]+, "([a-z_]+)"\)', Path(ROOT / "worker/fault_point.h").read_text(encoding="utf-8"))
ENDS = ("in_revoke", "in_close")          # reached by a worker that ends
PARKING = ("after_claim", "after_return")
MAIN = [name for name in NAMES if name not in ENDS and name not in PARKING]


def test_every_point_is_known_here():
    assert len(NAMES) == 17 and set(ENDS) | set(PARKING) <= set(NAMES)


def test_a_point_that_cannot_be_read_ends_the_program(world):
    worker = world.worker(ready=False, FAULT_POINTS="after_commit=boom")
    until("it ends", lambda: not worker.runs(), 30)
    assert "FAULT_POINTS: cannot read after_commit=boom" in worker.text()


@pytest.mark.fault(1)
@pytest.mark.seconds(120)
@pytest.mark.parametrize("time", [1, 4])
@pytest.mark.parametrize("point", MAIN)
def test_the_worker_dies(world, point, time):
    worker = world.worker(ready=False, FAULT_POINTS=f"{point}=crash@{time}")
    with Load(world) as load:
        until("it has died", lambda: not worker.runs(), 40)
        assert f"fault point {point}, time {time}" in worker.text()
        del worker.environment["FAULT_POINTS"]
        worker.start().wait_ready()
        progress(world, 50)
    judge(world, load)


@pytest.mark.fault(1)
@pytest.mark.seconds(120)
@pytest.mark.parametrize("point", ENDS)
def test_the_worker_dies_while_it_ends(world, point):
    worker = world.worker(FAULT_POINTS=f"{point}=crash")
    with Load(world) as load:
        progress(world, 100)
        worker.term()
        until("it has died", lambda: not worker.runs(), 40)
        assert f"fault point {point}" in worker.text()
        del worker.environment["FAULT_POINTS"]
        worker.start().wait_ready()
        progress(world, 50)
    judge(world, load)


@pytest.mark.fault(1)
@pytest.mark.seconds(120)
@pytest.mark.parametrize("point,time", [("after_claim", 1), ("after_return", 1), ("after_return", 8), ("before_commit", 1),
                                        ("after_commit", 1), ("pipeline_sent", 1), ("pipeline_sent", 2)])
def test_the_worker_dies_while_commands_return(world, point, time):
    worker = world.worker(FAULT_POINTS=f"{point}=crash@{time}" if point in PARKING else "")
    world.ask(create_ticket(1))
    early = append(1, "early", notbefore=in_seconds(2))
    behind = [append(1, number, afterparked=True) for number in range(20)]
    other = [escalate(1) for _ in range(5)]
    world.publish(early, *behind, *other)
    world.await_events(other)
    if point not in PARKING:
        until("all wait", lambda: world.database.count("parked_command") == 21, 10)
        worker.kill()
        worker.environment["FAULT_POINTS"] = f"{point}=crash@{time}"
        worker.start()
    until("it has died", lambda: not worker.runs(), 40)
    del worker.environment["FAULT_POINTS"]
    worker.start().wait_ready()
    world.await_events([early, *behind], 40)
    settled(world)
    assert world.violations(ordered=False) == []
    noted = [row[0] for row in world.database.rows("SELECT details FROM interlock.ticket_history WHERE action = 'note' "
                                                   "ORDER BY seq")]
    assert noted == ["early", *range(20)]


@pytest.mark.fault(1)
@pytest.mark.seconds(150)
@pytest.mark.parametrize("point", ["after_lock", "after_load", "pipeline_sent", "after_commit", "after_begin_txn",
                                   "before_commit_txn", "after_commit_txn"])
def test_the_worker_sleeps_and_wakes_as_a_zombie(world, point):
    """Longer than its session and its locks: another one has taken over and gone on."""
    settings = {"consumers_session_timeout": "2s", "consumers_static": "false"}
    sleeper = world.worker(FAULT_POINTS=f"{point}=stop@3", **settings)
    with Load(world) as load:
        until("it sleeps", lambda: f"fault point {point}, time 3" in sleeper.text(), 40)
        other = world.worker(ready=False, **settings)
        until("the other one works", lambda: other.port() and other.metric("interlock_events_published_total") > 50, 60)
        sleeper.cont()
        progress(world, 100)
    until("both are members", lambda: not sleeper.runs() or world.kafka.group_members(world.group) == 2, 40)
    judge(world, load)
