"""Workers die, sleep and end, under load; afterwards the same judgement."""

import time

import pytest

from harness.commands import create_ticket, escalate
from harness.load import Load, judge, progress
from harness.waiting import until


# ---- workers die -------------------------------------------------------------------------------------

@pytest.mark.fault(1)
@pytest.mark.seconds(240)
@pytest.mark.parametrize("spread", [False, True], ids=["keyed", "spread"])
def test_workers_are_killed_at_random_moments(trial, spread):
    """Two workers, a fifth of the commands twice, 20 rounds (12 when commands are spread over wrong partitions)."""
    workers = trial.workers(2)
    with trial.load(spread=spread):
        for _ in range(12 if spread else 20):
            trial.progress(trial.random.randrange(1, 120))
            victim = trial.random.choice(workers)
            died = time.monotonic()
            victim.kill()
            if trial.random.random() < 0.3 and all(each.runs() for each in workers if each is not victim):
                trial.progress(1)
            victim.start()
        trial.recovered(since=died)
    for worker in workers:
        worker.wait_ready()
    trial.judge(ordered=not spread)


@pytest.mark.fault(1)
@pytest.mark.seconds(120)
def test_both_workers_are_killed_at_once(world):
    workers = [world.worker(), world.worker()]
    with Load(world) as load:
        for _ in range(5):
            progress(world, 60)
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.start()
    judge(world, load)


@pytest.mark.fault(1)
@pytest.mark.seconds(120)
def test_a_dead_worker_s_partitions_go_to_the_other(world):
    """For good: nobody starts it again."""
    settings = {"consumers_static": "false", "consumers_session_timeout": "2s"}
    workers = [world.worker(**settings), world.worker(**settings)]
    with Load(world) as load:
        progress(world, 100)
        workers[0].kill()
        until("the other has all partitions",
              lambda: workers[1].metric("interlock_partitions_assigned") == world.partitions, 40)
        progress(world, 100)
    judge(world, load)


@pytest.mark.fault(1)
@pytest.mark.seconds(150)
def test_workers_come_and_go(world):
    """Ended cleanly under load, joined by others, never fewer than one: nothing is lost, and each exit is clean."""
    settings = {"consumers_static": "false"}
    workers = [world.worker(**settings)]
    with Load(world) as load:
        for _ in range(4):
            workers.append(world.worker(**settings))
            progress(world, 60)
            assert workers.pop(0).end() == 0
            progress(world, 60)
    judge(world, load)
    assert workers[0].end() == 0


@pytest.mark.fault(1)
@pytest.mark.seconds(60)
@pytest.mark.parametrize("first", ["the command", "its duplicate"])
@pytest.mark.parametrize("copies", ["other partition", "same partition"])
def test_what_was_applied_but_not_published_is_published_after_a_crash(world, first, copies):
    """Each command has a duplicate; a held ticket keeps all of them from being published; the worker dies."""
    worker = world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 31)])
    world.drain()
    messages = [escalate(number).at(4) for number in range(2, 31)]
    again = [each.at(5 if copies == "other partition" else 4) for each in messages]
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        world.publish(escalate(1).at(4), escalate(1).at(5))
        pairs = [pair if first == "the command" else pair[::-1] for pair in zip(messages, again)]
        world.publish(*[each for pair in pairs for each in pair])
        until("all others are applied", lambda: world.database.value("SELECT sum(level) FROM interlock.ticket") == 29)
        worker.kill()
    worker.start().wait_ready()
    world.await_events(messages)
    world.drain()
    world.check(ordered=False)


# ---- a worker sleeps ------------------------------------------------------------------------------------

@pytest.mark.fault(1)
@pytest.mark.seconds(120)
@pytest.mark.parametrize("moment", range(3))
def test_a_stopped_worker_wakes_after_another_took_over(world, moment):
    settings = {"consumers_session_timeout": "2s", "database_idle_in_transaction_timeout": "3s"}
    sleeper = world.worker(**settings)
    other = world.worker(**settings)
    with Load(world, seed=moment) as load:
        progress(world, 50 + 37 * moment)
        sleeper.stop()
        until("the other has all partitions",
              lambda: other.metric("interlock_partitions_assigned") == world.partitions, 60)
        progress(world, 100)
        sleeper.cont()
        progress(world, 100)
        until("the sleeper works again, or has ended", lambda: not sleeper.runs() or sleeper.ready(), 60)
    judge(world, load)


@pytest.mark.fault(1)
@pytest.mark.seconds(120)
def test_the_only_worker_sleeps_and_wakes(world):
    worker = world.worker(consumers_session_timeout="2s")
    with Load(world) as load:
        progress(world, 50)
        worker.stop()
        until("the group lost it", lambda: world.kafka.group_members(world.group) == 0, 30, pause=0.2)
        worker.cont()
        progress(world, 100)
    judge(world, load)


