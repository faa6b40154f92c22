"""Commands that PostgreSQL lost return by `interlock replay` (PROTOCOL R9, L4) under load, while the command line and the
workers die at every step of it: each is applied once, in the order of its key."""

import json
import subprocess

import pytest

from harness.commands import append, create_ticket
from harness.lost import lose, published
from harness.parking import parked, settled
from harness.waiting import until

STEPS = ("after_claim", "after_return", "after_begin", "after_fences", "after_load", "after_update", "after_inbox",
         "before_commit", "commit_sent", "pipeline_sent", "after_commit", "before_begin_txn", "after_begin_txn",
         "after_send_offsets", "mid_produce", "before_commit_txn", "after_commit_txn")
FIRST = 1001  # ticket; the load has others


def replay(world, *words, **settings):
    """The command line as a process of its own, until it ends."""
    return subprocess.run([world.binary, "replay", "--topic", world.topic, *words, "--output", "json"], text=True,
                          env=world.environment(**settings), capture_output=True, timeout=300, check=False)


def missing(world):
    done = replay(world)
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout)


class Lost:
    """Commands of some tickets, each its creation and notes, and what is sent behind them."""

    def __init__(self, world, tickets, notes):
        self.world, self.numbers, self.sent = world, range(FIRST, FIRST + tickets), []
        self.lost = [create_ticket(number) for number in self.numbers]
        for _ in range(notes):
            self.lost += [self.next(number) for number in self.numbers]
        world.ask(*self.lost)
        lose(world, [f"ticket/{number}" for number in self.numbers])

    def next(self, number):
        message = append(number, len(self.sent))
        self.sent.append(message)
        return message

    def follow(self):
        """One more of each ticket: it goes behind those that come back."""
        self.world.publish(*[self.next(number) for number in self.numbers])

    def judge(self, followers):
        database = self.world.database
        for number in self.numbers:
            notes = [int(details) for details, in database.rows(
                "SELECT details FROM interlock.ticket_history WHERE ticket_id = %s AND action = 'note' ORDER BY seq", number)]
            assert notes == sorted(notes) and len(notes) == (len(self.sent) // len(self.numbers)), f"ticket/{number}: {notes}"
            versions = database.rows("SELECT version_from, version_to FROM interlock.audit_event WHERE aggregate = %s AND "
                                     "outcome = 'applied' ORDER BY version_to", f"ticket/{number}")
            assert versions == [(n, n + 1) for n in range(len(notes) + 1)], versions
        assert dict(database.rows("SELECT outcome, count(*) FROM interlock.operator_item GROUP BY outcome")) == \
            {"put back": len(self.lost), "applied": len(self.lost)}
        assert len(self.sent) == len(self.lost) - len(self.numbers) + followers


def returned_under_load(trial, tickets, notes, steps):
    world = trial.world
    worker = world.worker()
    lost = Lost(world, tickets, notes)
    count = len(lost.lost)
    with trial.load(burst=3) as load:
        found = missing(world)
        assert found["missing"] == count and all(each["says"] == "applied" for each in found["commands"])
        words = ["--before", found["before"], "--expect", str(count), "--execute", "--reason", "a fault"]
        # It dies before its COMMIT: nothing has happened.
        assert replay(world, *words, FAULT_POINTS="redrive_put=crash").returncode == -9
        assert world.database.count("operator_action") == 0 and missing(world)["missing"] == count
        # It dies behind it: everything comes back without it, and who has seen the same list is refused.
        assert replay(world, *words, FAULT_POINTS="redrive_committed=crash").returncode == -9
        refused = replay(world, *words)
        assert refused.returncode == 1 and f"{count} expected" in refused.stderr, refused.stderr
        for step in steps:
            lost.follow()
            worker.kill()
            worker.environment["FAULT_POINTS"] = f"{step}=crash@3"
            worker.start()
            until(f"it has died at {step}, or is done", lambda: not worker.runs() or parked(world) == 0, 60, pause=0.02)
            worker.kill()
            del worker.environment["FAULT_POINTS"]
            worker.start().wait_ready()
    load.distinct.update({message.identity: message for message in [*lost.lost, *lost.sent]})
    settled(world, 240)
    world.await_events(lost.sent, 60)
    published(world)
    assert missing(world)["missing"] == 0
    lost.judge(followers=len(steps) * tickets)
    trial.note(deaths=2 * len(steps) + 2, lost=count)
    trial.judge_last(ordered=False)


@pytest.mark.fault(38)
@pytest.mark.seconds(240)
def test_lost_commands_return_while_the_command_line_and_workers_die(trial):
    """Two steps, drawn from the seed; the long tier has all of them."""
    returned_under_load(trial, 4, 4, trial.random.sample(STEPS, 2))


@pytest.mark.long
@pytest.mark.fault(38)
@pytest.mark.seconds(1800)
def test_four_hundred_lost_commands_return_while_everything_dies_at_every_step(trial):
    """40 tickets."""
    returned_under_load(trial, 40, 9, trial.random.sample(STEPS, len(STEPS)))
