"""An operator pauses a type and ends the pause again, under load and while workers die (PROTOCOL L5): nothing that matches
commits once the verb has ended, and at the end everything is as it would be without any pause."""

import collections
import itertools

import pytest

from harness.commands import append, create_ticket, escalate
from harness.parking import parked, settled
from harness.pauses import BECAUSE, pause, pauses, resume
from harness.waiting import until
from trial import minutes

TICKETS = 12
BATCH = ("after_lock", "after_begin", "after_fences", "after_load", "after_inbox", "before_commit", "commit_sent",
         "pipeline_sent", "after_commit")
PUBLISHED = ("before_begin_txn", "after_begin_txn", "after_send_offsets", "before_commit_txn", "after_commit_txn")
RETURNS = ("after_claim", "after_return")


class Load:
    """Commands of a few tickets, and the order in which each ticket has to see its own."""

    def __init__(self, trial):
        self.trial, self.world = trial, trial.world
        self.sent, self.numbers = collections.defaultdict(list), itertools.count()

    def send(self, count):
        messages = []
        for _ in range(count):
            number = self.trial.random.randint(1, TICKETS)
            message = escalate(number) if self.trial.random.random() < 0.5 else append(number, next(self.numbers))
            self.sent[number].append(message)
            messages.append(message)
        self.world.publish(*messages)
        return messages

    def judge(self):
        """Of each ticket: applied once each, in the order of the topic."""
        settled(self.world, 240)
        self.world.await_events([each for messages in self.sent.values() for each in messages], 240)
        for number, messages in self.sent.items():
            applied = [row[0] for row in self.world.database.rows(
                "SELECT command_id FROM interlock.audit_event WHERE aggregate = %s AND outcome = 'applied' AND "
                "command_type <> 'ticket.create' ORDER BY version_to", f"ticket/{number}")]
            assert applied == [message.identity[1] for message in messages], number
        self.trial.judge(ordered=False)


def committed(world):
    return world.database.value("SELECT count(*) FROM interlock.audit_event WHERE command_type = 'ticket.escalate'")


def take_turns(trial, rounds, count):
    world, load = trial.world, Load(trial)
    for _ in range(count):
        world.worker(ready=False)
    for worker in world.workers:
        worker.wait_ready()
    world.ask(*[create_ticket(number) for number in range(1, TICKETS + 1)])
    seen = 0
    for _ in range(rounds):
        load.send(20)
        number = pause(world, "--type", "ticket.escalate", "--until-resumed")
        before = committed(world)
        messages = load.send(20)
        others = [each for each in messages if b"escalate" not in each.value]
        until("something is parked for it, or behind", lambda: parked(world) > 0 or not others, 60)
        assert committed(world) == before, "a command that matches was committed after the verb had ended"
        seen += resume(world, number)
    load.judge()
    trial.note(rounds=rounds, workers=count, paused=seen)
    assert seen > 0


@pytest.mark.fault(36)
@pytest.mark.seconds(300)
def test_a_pause_is_taken_and_lifted_under_load(trial):
    take_turns(trial, 20, 3)


@pytest.mark.long
@pytest.mark.fault(36)
@pytest.mark.seconds(3600)
def test_a_pause_is_taken_and_lifted_a_thousand_times_under_load(trial):
    take_turns(trial, 1000, 8)


def die_at(world, worker, point, begin=lambda: None):
    worker.environment["FAULT_POINTS"] = f"{point}=crash@1"
    worker.start()
    begin()
    until(f"the worker has died at {point}", lambda: not worker.runs(), 90)
    assert f"fault point {point}" in worker.text()
    del worker.environment["FAULT_POINTS"]


def one_round(world, worker, parks_at, returns_at, cancels_at):
    """The worker is dead, before and afterwards."""
    number = pause(world, "--type", "ticket.escalate", "--until-resumed")
    first, behind, cancelled = escalate(1), append(1, "behind"), escalate(2)
    world.publish(first, behind, cancelled)
    die_at(world, worker, parks_at)
    worker.start().wait_ready()
    until("all of it waits", lambda: parked(world) == 3, 60)
    assert [each for message in (first, behind, cancelled) for each in world.events_of(message)] == []
    worker.kill()
    assert world.verb("parked", "cancel", "--key", "ticket/2", "--wait", "0s", *BECAUSE).returncode == 0
    die_at(world, worker, cancels_at)
    assert pauses(world)[0]["pause"] == number
    resume(world, number)
    if parked(world) > 0:
        die_at(world, worker, returns_at)
    worker.start().wait_ready()
    events = world.await_events([first, behind, cancelled], 60)
    assert [(each.outcome, each.reason) for each in events] == [("applied", None)] * 2 + [("rejected", "cancelled")]
    settled(world)
    worker.kill()


def die_in_turn(trial, rounds):
    world = trial.world
    worker = world.worker()
    world.ask(create_ticket(1), create_ticket(2))
    world.drain()
    worker.kill()
    parks, returns, cancels = (trial.random.sample(list(points), len(points)) for points in
                               (BATCH + PUBLISHED, BATCH + PUBLISHED + RETURNS, BATCH + PUBLISHED + RETURNS))
    for points in itertools.islice(zip(itertools.cycle(parks), itertools.cycle(returns), itertools.cycle(cancels)), rounds):
        one_round(world, worker, *points)
    worker.start().wait_ready()
    assert all(len(events) == 1 for events in world.events_by_identity().values())
    trial.note(deaths=3 * rounds)
    trial.judge(ordered=False)


@pytest.mark.fault(36)
@pytest.mark.seconds(300)
def test_the_worker_dies_on_the_way_of_a_pause_and_of_a_cancellation(trial):
    """Two points of each, drawn from the seed; the long tier has them all."""
    die_in_turn(trial, 2 if minutes() == 0 else 4)


@pytest.mark.long
@pytest.mark.fault(36)
@pytest.mark.seconds(3000)
def test_the_worker_dies_at_every_point_on_the_way_of_a_pause_and_of_a_cancellation(trial):
    die_in_turn(trial, len(BATCH + PUBLISHED + RETURNS))
