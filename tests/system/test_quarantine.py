"""A command that ends the worker whenever it is tried (worker/batch/quarantine.h)."""

import pytest

from harness.commands import append, create_ticket, escalate
from harness.parking import in_seconds, parked
from harness.waiting import until


def crash_until_it_lives(world, worker, most):
    """Restarts as a supervisor does; returns how often it died."""
    for died in range(most):
        until("it has died, or reached the end", lambda: not worker.runs() or world.lag() == 0, 60, pause=0.1)
        if worker.runs():
            return died
        worker.start()
    raise AssertionError(f"it died {most} times")


@pytest.mark.seconds(120)
def test_a_command_that_ends_the_worker_goes_to_the_dead_letters_and_its_neighbours_go_on(world):
    poison = escalate(3, id="poison")
    world.publish(*[create_ticket(number) for number in range(1, 21)])
    before = [append(number, number) for number in range(1, 21)]
    after = [escalate(number) for number in range(1, 21)]
    world.publish(*before, poison, *after)
    worker = world.worker(ready=False, consumers_session_timeout="6s", FAULT_COMMAND="poison")
    # Two that nobody can be charged with, three noted; more where an owner came further than the one before it.
    assert crash_until_it_lives(world, worker, 15) >= 5
    world.await_events([*before, *after], 30)
    letter, = until("its dead letter", world.letters.all, 20)
    headers = dict(letter.headers)
    assert headers["interlock.reason"] == b"crashed_worker"
    assert letter.value == poison.value
    assert b"3 times in a row" in headers["__dlq.errors.message"]
    assert world.database.value("SELECT level FROM interlock.ticket WHERE id = 3") == 1
    assert world.database.count("crash_suspect") == 0
    assert world.events_of(poison) == []
    assert worker.metric("interlock_quarantined_total") == 1
    # A crash that is over is no reason for care.
    worker.end()
    worker.environment.pop("FAULT_COMMAND")
    worker.start().wait_ready()
    assert world.ask(escalate(3)).outcome == "applied"
    assert world.database.value("SELECT max(crashes) FROM interlock.partition_owner") == 0
    # It has its answer: read again, by a worker that could, it is not applied after later commands.
    world.drain()
    worker.end()
    world.kafka.move_offsets(world.group, world.topic, dict.fromkeys(range(world.partitions), 0))
    worker.start().wait_ready()
    world.drain()
    assert world.events_of(poison) == [] and len(world.letters.all()) == 1
    assert world.database.value("SELECT level FROM interlock.ticket WHERE id = 3") == 2


@pytest.mark.seconds(150)
def test_a_parked_command_that_ends_the_worker_when_it_comes_back_does_not_come_back_again(world):
    """The commands after it go on, and a topic that is read again brings its letter again and nothing else."""
    worker = world.worker()
    world.ask(create_ticket(1))
    poison = escalate(1, id="poison", notbefore=in_seconds(2))
    world.publish(poison)
    until("it is parked", lambda: parked(world) == 1, 10)
    behind = append(1, "behind", afterparked=True)
    world.publish(behind)
    until("the command behind it, too", lambda: parked(world) == 2, 10)
    worker.kill()
    worker.environment["FAULT_COMMAND"] = "poison"
    worker.start()
    died = 0
    while until("it has died, or what stands behind is answered",
                lambda: not worker.runs() and "died" or world.events_of(behind) and "answered", 60) == "died":
        died += 1
        assert died < 15, f"it died {died} times"
        worker.start()
    letter, = until("its dead letter", world.letters.all, 20)
    assert dict(letter.headers)["interlock.reason"] == b"crashed_worker"
    assert parked(world) == 0 and world.events_of(poison) == []
    world.drain()
    world.check()
    worker.end()
    worker.environment.pop("FAULT_COMMAND")
    world.kafka.move_offsets(world.group, world.topic, dict.fromkeys(range(world.partitions), 0))
    worker.start().wait_ready()
    world.drain()
    assert world.database.value("SELECT level FROM interlock.ticket WHERE id = 1") == 0
    assert len(world.letters.all()) == 1
    world.check()


@pytest.mark.seconds(90)
def test_kills_do_not_quarantine_what_is_harmless(world):
    """Killed six times while the same commands wait for a row: care is taken, and nobody is put aside."""
    worker = world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 6)])
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id <= 5 FOR UPDATE"):
        waiting = [escalate(number) for number in range(1, 6)]
        world.publish(*waiting)
        for _ in range(6):
            until("they are held", lambda: worker.metric("interlock_held_keys") == 5, 40)
            worker.kill()
            worker.start().wait_ready()
        assert world.database.value("SELECT max(crashes) FROM interlock.partition_owner") >= 5
    world.await_events(waiting, 40)
    world.drain()
    assert world.letters.all() == []
    world.check()


def test_an_orderly_end_counts_as_no_crash(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    for _ in range(3):
        assert worker.end() == 0
        worker.start().wait_ready()
    assert world.database.value("SELECT max(crashes) FROM interlock.partition_owner") == 0
    assert "one at a time" not in worker.text(whole=True)
