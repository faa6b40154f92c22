"""Dead letters are redriven under load (PROTOCOL L4), while the command line and the workers die at every step of it:
each command is answered once, in the order of its key, and of two operators one is refused."""

import re
import shlex
import subprocess

import pytest

from harness.commands import append, create_ticket
from harness.parking import parked, settled
from harness.waiting import holds_for, until

STEPS = ("after_claim", "after_return", "after_load", "before_commit", "commit_sent", "after_commit",
         "before_commit_txn", "after_commit_txn")
FIRST = 1001  # ticket; the load has others
BURY = """INSERT INTO interlock.dead_letter (partition_id, kafka_offset, fence, digest, reason, key, command_source,
        command_id, command_type, says, bytes, attempts)
    SELECT o.id, %s, o.fence, sha256(%s), 'crashed_worker', %s, %s, %s, 'ticket.append_history',
        'the worker ended 3 times in a row while it tried this command', %s, 1
    FROM interlock.partition_owner o WHERE o.topic = %s AND o.partition = %s"""


def bury(world, worker, messages):
    """The rows that the worker writes of commands that ended it three times, without the deaths: it then reads the
    commands as letters that are recorded, and publishes them among the dead letters."""
    assert worker.end() == 0
    for message, (partition, offset) in zip(messages, world.publish(*messages)):
        world.database.execute(BURY, offset, message.value, message.key, *message.identity, len(message.value),
                               world.topic, partition)
    worker.start().wait_ready()
    until("the dead letters are on their topic", lambda: len(world.letters.all()) == len(messages), 60)


def redrive(world, words, **settings):
    """The command line as a process of its own, until it ends."""
    return subprocess.run([world.binary, "dlq", "redrive", *words], env=world.environment(**settings), text=True,
                          capture_output=True, timeout=300, check=False)


def to_do(world, *words):
    done = redrive(world, words)
    assert done.returncode == 0, done.stderr
    line = re.search(r"^  interlock dlq redrive (.*)$", done.stdout, re.MULTILINE).group(1)
    return ["a fault" if word == "..." else word for word in shlex.split(line)]


def states(world):
    return dict(world.database.rows("SELECT state, count(*) FROM interlock.dead_letter GROUP BY state"))


def noted(world, number):
    return [row[0] for row in world.database.rows(
        "SELECT details FROM interlock.ticket_history WHERE ticket_id = %s AND action = 'note' ORDER BY seq", number)]


class Buried:
    """Commands of some keys, most of them of the first, and what is sent behind them."""

    def __init__(self, world, keys, letters, of_first):
        self.world, self.numbers, self.sent = world, range(FIRST, FIRST + keys), []
        others = list(self.numbers[1:])
        places = [FIRST] * of_first + [others[i % len(others)] for i in range(letters - of_first)]
        self.letters = [self.next(number) for number in places]
        self.after = []

    def next(self, number):
        message = append(number, len(self.sent))
        self.sent.append(message)
        return message

    def follow(self):
        """One more of each key: it goes behind those that come back."""
        more = [self.next(number) for number in self.numbers]
        self.after += more
        self.world.publish(*more)

    def judge(self):
        world = self.world
        assert states(world) == {"resolved": len(self.letters)}
        found = world.events_by_identity()
        assert all(len(found[message.identity]) == 1 for message in self.sent)
        for number in self.numbers:
            notes = noted(world, number)
            assert notes == sorted(notes), f"ticket/{number}: {notes}"
        assert dict(world.database.rows("SELECT outcome, count(*) FROM interlock.operator_item GROUP BY outcome")) == \
            {"put back": len(self.letters), "applied": len(self.letters)}


def redriven_under_load(trial, keys, letters, of_first, steps):
    world = trial.world
    worker = world.worker()
    buried = Buried(world, keys, letters, of_first)
    made = [create_ticket(number) for number in buried.numbers]
    world.ask(*made)
    world.drain()
    bury(world, worker, buried.letters)
    with trial.load(burst=3) as load:
        words = to_do(world, "--cause", "crashed_worker")
        # It dies before its COMMIT: nothing has happened.
        assert redrive(world, words, FAULT_POINTS="redrive_put=crash").returncode == -9
        assert states(world) == {"open": letters} and world.database.count("operator_action") == 0
        # It dies behind it: everything comes back without it, and who has seen the same list is refused.
        assert redrive(world, words, FAULT_POINTS="redrive_committed=crash").returncode == -9
        refused = redrive(world, words)
        assert refused.returncode == 1 and f"{letters} expected" in refused.stderr, refused.stderr
        for step in steps:
            buried.follow()
            worker.kill()
            worker.environment["FAULT_POINTS"] = f"{step}=crash@3"
            worker.start()
            until(f"it has died at {step}, or is done", lambda: not worker.runs() or parked(world) == 0, 60, pause=0.02)
            worker.kill()
            del worker.environment["FAULT_POINTS"]
            worker.start().wait_ready()
    load.distinct.update({message.identity: message for message in [*made, *buried.sent]})
    settled(world, 240)
    world.await_events(buried.sent, 60)
    buried.judge()
    trial.note(deaths=2 * len(steps) + 2, letters=letters)
    trial.judge(ordered=False, letters=letters)


@pytest.mark.fault(37)
@pytest.mark.seconds(240)
def test_letters_come_back_while_the_command_line_and_workers_die(trial):
    """Two steps, drawn from the seed; the long tier has all of them."""
    redriven_under_load(trial, 4, 16, 7, trial.random.sample(STEPS, 2))


@pytest.mark.seconds(120)
def test_the_others_follow_an_answered_canary_as_far_apart_as_the_rate_says(world):
    worker = world.worker()
    messages = [append(number, "x") for number in range(FIRST, FIRST + 5)]
    world.ask(*[create_ticket(number) for number in range(FIRST, FIRST + 5)])
    world.drain()
    bury(world, worker, messages)
    words = to_do(world, "--cause", "crashed_worker", "--canary", "1", "--rate", "0.01/s")
    worker.stop()
    with subprocess.Popen([world.binary, "dlq", "redrive", *words, "--wait", "100s"], env=world.environment()) as verb:
        try:
            until("the canary is put back", lambda: parked(world) == 1, 30)
            holds_for("nothing follows it before it is answered", lambda: parked(world) == 1, 3)
            worker.cont()
            until("the canary is answered, and the others wait", lambda: parked(world) >= 3 and states(world).get("resolved"), 30)
        finally:
            verb.kill()
    rest = [float(seconds) for seconds, in world.database.rows(
        "SELECT extract(epoch FROM due_at - lag(due_at) OVER (ORDER BY place)) FROM interlock.parked_command") if seconds]
    assert len(rest) >= 2 and all(abs(seconds - 100) < 0.001 for seconds in rest), rest


@pytest.mark.long
@pytest.mark.fault(37)
@pytest.mark.seconds(1800)
def test_five_hundred_letters_come_back_while_everything_dies_at_every_step(trial):
    """40 keys, 100 letters of one of them."""
    redriven_under_load(trial, 40, 500, 100, trial.random.sample(STEPS, len(STEPS)))
