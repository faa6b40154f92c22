"""A command that ends the worker whenever it is tried (worker/quarantine.h)."""

import pytest

from harness.commands import append, create_ticket, escalate
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
    died = crash_until_it_lives(world, worker, 15)
    assert died >= 3
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
