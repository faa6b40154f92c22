"""Commands in the background, as several programs would publish them, and what must be true when they are done."""

import random
import threading

from .commands import append, command, create_job, create_ticket, escalate, job_transition, transition
from .waiting import until

TICKETS = 60


class Load:
    """Commands, a fifth of them sent twice, published in the background until told to stop."""

    def __init__(self, world, seed=7, burst=40, spread=False, duplicates=0.2):
        self.world, self.burst, self.spread, self.duplicates = world, burst, spread, duplicates
        self.generator = random.Random(seed)
        self.sent, self.distinct = 0, {}
        self.ending, self.pause = threading.Event(), 0.02
        self.failure = None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        world = self.world
        world.publish(*[create_ticket(number) for number in range(1, TICKETS + 1)],
                      create_job(100000, checkpoints=5), job_transition(100000, "INPROGRESS"))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def run(self):
        try:
            while not self.ending.wait(self.pause):
                self.publish_burst()
        except Exception as error:  # told to the test by stop()
            self.failure = error

    def publish_burst(self):
        messages = []
        for _ in range(self.burst):
            message = self.one()
            messages.append(message)
            self.distinct[message.identity] = message
        for message in list(messages):
            if self.generator.random() < self.duplicates:
                again = message.at(self.generator.randrange(self.world.partitions))
                messages.insert(self.generator.randrange(len(messages) + 1), again)
        self.sent += len(messages)
        self.world.publish(*messages)

    def one(self):
        number = self.generator.randint(1, TICKETS)
        message = self.generator.choice([
            lambda: escalate(number), lambda: escalate(number), lambda: append(number, {"n": self.sent}),
            lambda: transition(number, self.generator.choice(["OPEN", "ONHOLD", "RESOLVED", "NEW"])),
            lambda: command("ticket.assign", {"ticket_id": number, "assigned_person_id": self.generator.randint(2, 9)}),
            lambda: command("json.append", {"aggregate": "jobneed/100000", "field": "other_info", "key": "k",
                                            "value": self.sent, "max_length": 20}),
        ])()
        if self.spread:
            return message.at(self.generator.randrange(self.world.partitions))
        return message

    def stop(self):
        self.ending.set()
        self.thread.join(150)
        assert not self.thread.is_alive(), "the load could not be published"
        if self.failure:
            raise self.failure


def rows(world):
    return world.database.count("inbox")


def progress(world, more, timeout=60):
    """Waits until so many more commands were applied."""
    start = rows(world)
    until(f"{more} more commands are applied", lambda: rows(world) >= start + more, timeout, pause=0.005)


def judge(world, load, ordered=True, letters=0):
    world.drain(90)
    assert len(world.letters.all()) == letters
    world.check(ordered)
    assert rows(world) == len(load.distinct) + TICKETS + 2
