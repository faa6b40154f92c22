"""The broker fails; services fail one after another."""

import random

import pytest

from harness.load import Load, judge, progress


# ---- services fail -------------------------------------------------------------------------------------------------

def outage(world, fail, mend=lambda: None, rounds=1, workers=2, settings=None, timeout=60):
    for _ in range(workers):
        world.worker(**(settings or {}))
    with Load(world) as load:
        for _ in range(rounds):
            progress(world, 60)
            fail()
            mend()
            progress(world, 60, timeout)
    for worker in world.workers:
        worker.wait_ready()
    judge(world, load)


@pytest.mark.fault(14)
@pytest.mark.seconds(150)
def test_the_broker_is_gone_while_a_worker_is_told_to_stop(world):
    """It must end within its deadline all the same; nothing is lost by that."""
    worker = world.worker(consumers_drain_timeout="3s")
    with Load(world) as load:
        progress(world, 60)
        load.stop()
        world.stack.kill("kafka")
        try:
            worker.term()
            assert worker.wait(40) in (0, 2)
        finally:
            world.stack.start("kafka")
    worker.start().wait_ready()
    judge(world, load)


@pytest.mark.fault(14)
@pytest.mark.seconds(150)
def test_everything_fails_in_turn(world):
    generator = random.Random(3)
    workers = [world.worker(), world.worker()]
    with Load(world, duplicates=0.3) as load:
        for fault in (lambda: world.stack.restart("redis"), world.database.end_sessions,
                      lambda: (workers[0].kill(), workers[0].start()), lambda: world.stack.restart("postgresql"),
                      lambda: (workers[1].kill(), workers[1].start()), lambda: world.stack.restart("kafka")):
            progress(world, generator.randrange(20, 80))
            fault()
        progress(world, 50)
    judge(world, load)
