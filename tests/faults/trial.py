"""One run of a fault: a world under load, the fault, and the same judgement afterwards. Everything random in it comes
from one seed (FAULTS_SEED) and the test's name, so that a run can be had again; what it measured is a line of
figures.jsonl, from which report.py makes the table."""

import collections
import contextlib
import dataclasses
import http.client
import json
import os
import random
import threading
import time
from pathlib import Path

from harness.bounds import Meter, is_sanitized, peak_rss_kib
from harness.commands import append, partition_of
from harness.load import TICKETS, Load, progress
from harness.stack import ROOT

COUNTED = {
    "duplicates": "interlock_dedupe_hits_total",
    "rebuilds": "interlock_producer_rebuilds_total",
    "fenced": "interlock_fence_rejections_total",
    "parked": "interlock_parked_total",
    "resumed": "interlock_parked_returns_total",
    "reconnects": "interlock_database_reconnects_total",
}
SAMPLE_SECONDS = 0.3
RSS_KIB = 256 * 1024  # far above what is measured, far below what one bomb that is parsed would take


def minutes():
    """Of the long tier; 0: the quick one."""
    return float(os.environ.get("FAULTS_MINUTES", "0"))


def seed():
    return os.environ.get("FAULTS_SEED", "1")


class Watcher:
    """Samples what each worker uses, and its counters, which a killed one takes with it. It knows when it could not
    look: then nothing is known of the bounds, and `judge` says so."""

    def __init__(self, world):
        self.world, self.ending = world, threading.Event()
        self.counters = {}  # (worker, its start) -> name -> the last value
        self.rounds, self.measured = collections.Counter(), set()  # by the same
        self.failure = None
        self.meter = Meter(world)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.failure is None and not self.ending.wait(SAMPLE_SECONDS):
            self.look()

    def look(self):
        try:
            for place, worker in enumerate(self.world.workers):
                if worker.runs():
                    self.sample((place, worker.pid), worker)
        except Exception as failure:  # told to the test by judge(); nobody looks any more
            self.failure = failure

    def sample(self, start, worker):
        self.rounds[start] += 1
        with contextlib.suppress(OSError):  # it has just ended
            self.meter.measure(worker)
            self.measured.add(start)
        if worker.stopped:
            return
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError, ValueError):  # it may not answer
            metrics = worker.metrics(timeout=1)
            self.counters[start] = {
                name: sum(value for key, value in metrics.items() if key.split("{")[0] == metric)
                for name, metric in COUNTED.items()}

    def stop(self):
        self.ending.set()
        self.thread.join(10)

    def stop_and_look(self):
        """Once more, at what runs at the end."""
        self.stop()
        self.look()

    def judge(self):
        """Every worker that was there in two rounds lived through the time between them, and was measured."""
        if self.failure is not None:
            raise AssertionError(f"the use of the workers could not be measured: {self.failure}") from self.failure
        assert not self.thread.is_alive(), "the use of the workers was not measured: a sample does not end"
        blind = [start for start, rounds in self.rounds.items() if rounds > 1 and start not in self.measured]
        assert not blind, f"the use of these workers was never measured: (number, process) {blind}"
        assert not self.meter.over, "\n".join(sorted(self.meter.over))

    def counted(self, name):
        return int(sum(each.get(name, 0) for each in self.counters.values()))


class Trial:
    def __init__(self, world, row, name):
        self.world, self.row, self.name = world, row, name
        self.random = random.Random(f"{seed()} {name}")
        self.watcher = Watcher(world)
        self.recoveries = []  # milliseconds
        self.extra = {}
        self.loads = []

    # ---- what runs ----

    def workers(self, count, **settings):
        return [self.world.worker(**settings) for _ in range(count)]

    def load(self, **options):
        """Commands in the background, as a context."""
        load = Load(self.world, seed=self.random.random(), **options)
        self.loads.append(load)
        return load

    def progress(self, more, timeout=60):
        progress(self.world, more, timeout)

    # ---- the fault ----

    def recovered(self, timeout=60, since=None):
        """Called when the fault is over: one command for every partition, and how long until each of them has its event.
        `since`: time.monotonic() of the moment from which it counts, where that is earlier."""
        began = since if since is not None else time.monotonic()
        tickets = {partition_of(f"ticket/{number}", self.world.partitions): number for number in range(1, TICKETS + 1)}
        probes = [append(number, {"probe": place}) for place, number in tickets.items()]
        for each in probes:
            self.loads[-1].distinct[each.identity] = each
        self.world.publish(*probes)
        self.world.await_events(probes, timeout)
        self.recoveries.append(round(1000 * (time.monotonic() - began)))
        return self.recoveries[-1]

    def note(self, **figures):
        """Figures of this fault alone."""
        self.extra.update(figures)

    def defence(self, name, fault, without, with_it):
        """A protection that was switched off and what that run showed, and the same with it: ARCHITECTURE.md's table.
        None: another run tells that half."""
        write({"defence": name, "fault": fault, "without": without, "with": with_it, "seed": seed()})

    # ---- the judgement ----

    def judge(self, ordered=True, letters=0, within=90):
        """Nothing lost, doubled, torn, reordered or written by a fenced owner; at rest again within so many seconds;
        within its bounds. `ordered` false: commands came under wrong keys or through wrong partitions."""
        began = time.monotonic()
        world = self.world
        world.drain(within)
        drained = round(1000 * (time.monotonic() - began))
        violations = world.violations(ordered=ordered)
        self.watcher.stop_and_look()
        self.record(violations, drained)
        assert not violations, f"{len(violations)} violations:\n" + "\n".join(str(each) for each in violations[:20])
        self.watcher.judge()
        assert len(world.letters.all()) == letters
        sent = set().union(*[load.distinct for load in self.loads]) if self.loads else None
        if sent is not None:
            assert world.database.count("inbox") == len(sent) + (TICKETS + 2) * len(self.loads)

    def judge_last(self, **options):
        """As judge, of the last event alone of every command: of a command that was lost and applied again there are two."""
        whole = self.world.evidence
        self.world.evidence = lambda: last_answers(whole())
        self.judge(**options)

    def memory_is_bounded(self, workers):
        peaks = [peak_rss_kib(each.pid) for each in workers]
        self.note(peak_rss_kib=max(peaks))
        assert is_sanitized(self.world.binary) or max(peaks) < RSS_KIB, peaks

    def record(self, violations=None, drained=0):
        """Without violations: a run that the test judges for itself. report.py does not count it among those judged."""
        self.watcher.stop()
        kinds = {"I1": "holes", "I2": "doubles", "I3": "torn", "I4": "reorders", "I5": "stale"}
        counts = {}
        if violations is not None:
            counts = dict.fromkeys(kinds.values(), 0)
            for each in violations:
                if each.invariant in kinds:
                    counts[kinds[each.invariant]] += 1
        write({"row": self.row, "test": self.name, "seed": seed(), "commands": self.world.database.count("inbox"),
               **counts, "recovery_ms": self.recoveries, "drained_ms": drained,
               **{name: self.watcher.counted(name) for name in COUNTED}, **self.watcher.meter.peak, **self.extra})


def last_answers(evidence):
    """As a reader sees it that takes the later event for the right one. All events of an aggregate lie in one partition."""
    last = {}
    for event in sorted(evidence.events, key=lambda each: (each.partition, each.offset)):
        last[event.identity] = event
    kept = {id(event) for event in last.values()}
    return dataclasses.replace(evidence, events=[event for event in evidence.events if id(event) in kept])


def write(figures):
    path = Path(os.environ.get("FAULTS_FIGURES", ROOT / "build/faults.jsonl"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as out:
        out.write(json.dumps(figures) + "\n")


@contextlib.contextmanager
def running(trial):
    """Ends the watcher whatever happens; tells the seed where it is looked for."""
    try:
        yield trial
    finally:
        trial.watcher.stop()
        print(f"--- FAULTS_SEED={seed()} FAULTS_MINUTES={os.environ.get('FAULTS_MINUTES', '0')} makes this run again")

