"""Protections that stand behind no single row of rows.py: each once with it and once without, with what that showed."""

import pytest

from harness.commands import append, create_ticket, escalate
from harness.parking import parked
from harness.waiting import NotReached, until


def switch(on):
    return "true" if on else "false"


# ---- parking ---------------------------------------------------------------------------------------------

def full_of_what_waits(trial, parking):
    """A row that somebody else holds, and a partition that is full of commands that wait for it: how many others behind
    them are answered."""
    world = trial.world
    world.worker(worker_park_after="1h", consumers_in_flight_commands="600", protections_parking=switch(parking))
    world.ask(create_ticket(1), create_ticket(2))
    waiting = [append(1, number).at(0) for number in range(700)]
    behind = [append(2, number).at(0) for number in range(20)]
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        world.publish(*waiting, *behind)
        if parking:
            world.await_events(behind, 40)
            until("all that waits is parked", lambda: parked(world) == 700, 40)
        else:
            until("the partition is paused", lambda: world.workers[0].metric("interlock_partitions_paused") >= 1, 40)
            with pytest.raises(NotReached):
                world.await_events(behind[-1:], 5)
        answered = sum(bool(world.events_of(each)) for each in behind)
    world.await_events(waiting + behind, 60)
    return answered


@pytest.mark.fault(22)
@pytest.mark.seconds(120)
@pytest.mark.parametrize("parking", [True, False], ids=["on", "off"])
def test_a_key_that_waits_does_not_stop_its_partition(trial, parking):
    """PROTOCOL L3, L4."""
    answered = full_of_what_waits(trial, parking)
    trial.judge(ordered=False)
    trial.defence("parking", "a row held by somebody else, its partition full of what waits for it",
                  *(f"{answered} of 20 commands behind it answered" if this == parking else None for this in (False, True)))
    assert answered == (20 if parking else 0)


# ---- quarantine ------------------------------------------------------------------------------------------

STARTS = 9


@pytest.mark.fault(19)
@pytest.mark.seconds(150)
@pytest.mark.parametrize("quarantine", [True, False], ids=["on", "off"])
def test_a_command_that_ends_the_worker_does_not_stop_its_neighbours(trial, quarantine):
    world = trial.world
    poison = escalate(3, id="poison")
    world.publish(*[create_ticket(number) for number in range(1, 6)], poison)
    after = [escalate(number) for number in range(1, 6)]
    world.publish(*after)
    worker = world.worker(ready=False, FAULT_COMMAND="poison", worker_lanes="1",
                          protections_quarantine=switch(quarantine))
    died = 0
    while died < STARTS:
        until("it has died, or reached the end", lambda: not worker.runs() or world.lag() == 0, 60, pause=0.1)
        if worker.runs():
            break
        died += 1
        worker.start()
    if quarantine:
        world.await_events(after, 30)
    answered = sum(bool(world.events_of(each)) for each in after)
    worker.kill()
    worker.environment.pop("FAULT_COMMAND")
    worker.start().wait_ready()
    world.drain()
    trial.judge(letters=1 if quarantine else 0)
    trial.defence("quarantine", "a command that ends the worker whenever it is decoded",
                  *(f"dead {died} times, {answered} of 5 neighbours answered" if this == quarantine else None
                    for this in (False, True)))
    assert (answered == 5 and died < STARTS) if quarantine else (answered < 5 and died == STARTS)


# ---- one transaction -------------------------------------------------------------------------------------

@pytest.mark.fault(1)
@pytest.mark.seconds(90)
@pytest.mark.parametrize("transaction", [True, False], ids=["on", "off"])
def test_a_worker_that_dies_between_two_statements_leaves_nothing_half_done(trial, transaction):
    """Its rows are written, its inbox rows not. One lane: without a transaction another one is somewhere else."""
    world = trial.world
    worker = world.worker(worker_lanes="1", protections_transaction=switch(transaction))
    world.ask(*[create_ticket(number) for number in range(1, 11)])
    world.drain()
    worker.kill()
    worker.environment["FAULT_POINTS"] = "after_update=crash@1"
    worker.start()
    escalations = [escalate(number) for number in range(1, 11)]
    world.publish(*escalations)
    until("it has died", lambda: not worker.runs(), 40)
    del worker.environment["FAULT_POINTS"]
    worker.start().wait_ready()
    world.await_events(escalations)
    doubled = world.database.value("SELECT sum(level) FROM interlock.ticket") - 10
    trial.defence("one transaction", "killed between the update of rows and the inbox",
                  *(f"{doubled} of 10 updates applied twice" if this == transaction else None for this in (False, True)))
    if transaction:
        trial.judge()
    assert doubled == 0 if transaction else doubled > 0
