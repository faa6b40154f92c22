"""Members that come and go: what the tests of membership and of scale do to a group."""

import time

from harness.load import rows
from harness.waiting import holds_for, until

STEP_SECONDS = 2
STALL_SECONDS = 20  # without anything being applied: then the group only rebalances


def gentle(trial, burst=6, pause=0.1):
    """A load that leaves the processors to the rebalances."""
    load = trial.load(burst=burst)
    load.pause = pause
    return load


def served(workers):
    """Partitions that somebody owns. Whoever is ending, or stopped, has none."""
    total = 0
    for worker in workers:
        if worker.runs() and not worker.stopped and worker.port():
            try:
                total += int(worker.metric("interlock_partitions_assigned"))
            except (AssertionError, ValueError):
                pass  # it has just ended, or not begun to answer
    return total


class Storm:
    """Every step one of the workers joins or leaves: stopped, or killed. At least one runs, not counting those that
    are ending; what comes next is drawn from the trial's seed."""

    def __init__(self, trial, workers):
        self.trial, self.workers, self.random = trial, workers, trial.random
        self.ending = []  # asked to stop, not gone yet
        self.steps = {"join": 0, "end": 0, "kill": 0, "end_in_time": 0}
        self.ways = []   # to leave: both, again and again, in the seed's order
        self.applied = []  # (moment, inbox rows)

    def present(self):
        return [each for each in self.workers if each.runs() and each not in self.ending]

    def absent(self):
        return [each for each in self.workers if not each.runs()]

    def reap(self):
        for worker in list(self.ending):
            if not worker.runs():
                self.ending.remove(worker)
                # 2: something was left at the deadline, as a key whose Redis lock a killed worker still holds.
                assert worker.process.returncode in (0, 2), f"{worker.process.returncode}:\n{worker.text()[-3000:]}"
                self.steps["end_in_time"] += worker.process.returncode == 0

    def step(self):
        present, absent = self.present(), self.absent()
        if absent and (len(present) <= 1 or self.random.random() < 0.4):
            self.random.choice(absent).start()
            self.steps["join"] += 1
        elif len(present) > 1:
            self.leave(self.random.choice(present))

    def leave(self, victim):
        if not self.ways:
            self.ways = self.random.sample(["kill", "end"], 2)
        way = self.ways.pop()
        self.steps[way] += 1
        if way == "kill":
            victim.kill()
        else:
            victim.term()
            self.ending.append(victim)

    def look(self):
        self.reap()
        self.applied.append((time.monotonic(), rows(self.trial.world)))

    def blow(self, seconds):
        deadline = time.monotonic() + seconds
        self.look()
        while time.monotonic() < deadline:
            self.step()
            holds_for("the load goes on", lambda: self.trial.loads[-1].failure is None, STEP_SECONDS)
            self.look()

    def longest_stall(self):
        """Seconds in which nothing was applied."""
        longest, since, count = 0, *self.applied[0]
        for moment, more in self.applied:
            if more > count:
                since, count = moment, more
            longest = max(longest, moment - since)
        return round(longest, 1)

    def calm(self):
        """Everybody is back, and all of it is owned."""
        until("the stopped workers have ended", lambda: (self.reap(), not self.ending)[1], 60)
        for worker in self.absent():
            worker.start()
        for worker in self.workers:
            worker.wait_ready(90)
        until("every partition has one owner", lambda: served(self.workers) == self.trial.world.partitions, 60)


def storm(trial, workers, seconds, stall=STALL_SECONDS):
    """A storm under load, from start to judgement. `workers`: made, not started. `stall`: None: a figure only."""
    workers[0].start().wait_ready()
    with gentle(trial):
        trial.progress(60)
        blown = Storm(trial, workers)
        blown.blow(seconds)
        began = time.monotonic()
        blown.calm()
        trial.recovered(since=began)
    trial.note(**blown.steps, longest_stall_s=blown.longest_stall())
    trial.judge()
    assert stall is None or blown.longest_stall() < stall, f"the group only rebalances: {blown.applied}"
