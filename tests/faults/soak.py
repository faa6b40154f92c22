"""Random faults from a seed, under load, for minutes. One worker, the keeper, is never ended: it is only stopped and
continued, and its servers fail; so what it uses over the time tells of leaks. Once a minute, or more often where the
whole is short, the load pauses, everything must come to rest, and is judged."""

import contextlib
import statistics
import time

from confluent_kafka import KafkaException

from check.evidence import admin_of
from harness.bounds import is_sanitized, usage
from harness.commands import partition_of
from harness.kafka import Kafka, Publisher
from harness.load import TICKETS
from harness.waiting import NotReached, holds_for, until

ROUND_SECONDS = 60
JUDGE_TRIES = 4
PATIENCE = 600  # seconds
STUCK_SECONDS = 60
SAMPLES_MIN = 10
SLOPES_SECONDS = 600  # a soak of that length or more is judged by its slopes
WARM_SHARE = 0.4  # of the samples: caches, arenas and connections are still being made
# What may be left of a slope over the rest of the run, absolute and as a part of the mean: a heap breathes.
ALLOWED = {"rss_kib": (2048, 0.05), "descriptors": (3, 0.05), "threads": (2, 0.05),
           "postgresql": (1, 0.05), "redis": (1, 0.05), "kafka": (3, 0.05)}


class Slope:
    """The straight line through what was sampled."""

    def __init__(self, points):
        kept = points[int(len(points) * WARM_SHARE):]
        times, values = [at for at, _ in kept], [value for _, value in kept]
        line = statistics.linear_regression(times, values)
        self.mean, self.count = statistics.fmean(values), len(values)
        self.span = times[-1] - times[0]
        self.growth = line.slope * self.span
        self.per_hour = line.slope * 3600

    def is_flat(self, name):
        """A rise over the run of up to 5 % of the mean passes. At rest memory is not the same twice: malloc keeps what
        the fullest moment needed and gives back only what lies at an end, librdkafka keeps buffers, and a straight line
        through a dozen such values rises by some per cent with nothing leaking. What this hides is bounded by the run's
        length: a leak grows with it, and these 5 % do not. A longer soak finds smaller ones."""
        absolute, part = ALLOWED[name]
        return self.growth <= max(absolute, part * self.mean)


def slopes_of(samples, names):
    """None for few samples: too much is still being made."""
    if len(samples) < SAMPLES_MIN:
        return {}
    return {name: Slope([(at, used[name]) for at, used in samples]) for name in names}


def complaints(samples, slopes, seconds):
    """The slopes that cannot be accepted; of a run that was to last long, also that it has none."""
    if len(samples) < SAMPLES_MIN:
        few = f"{len(samples)} samples in {seconds:.0f} s are too few for slopes, which want {SAMPLES_MIN}"
        return [few] if seconds >= SLOPES_SECONDS else []
    return [f"{name}: {each.growth:+.1f} in {each.span:.0f} s around {each.mean:.1f}"
            for name, each in slopes.items() if not each.is_flat(name)]


def round_seconds(seconds):
    """Where slopes are wanted, three times as many rounds as samples: a fault, and the rest after it, take their time."""
    return min(ROUND_SECONDS, seconds / (3 * SAMPLES_MIN)) if seconds >= SLOPES_SECONDS else ROUND_SECONDS


class Soak:
    def __init__(self, trial, faults=True, victims=2, rate=50, **settings):
        self.trial, self.world, self.random = trial, trial.world, trial.random
        self.keeper = self.world.worker(**settings)
        self.victims = [self.world.worker(**settings) for _ in range(victims)]
        self.rate, self.seconds = rate, 0
        # A broker may need minutes to come back on a machine that does other things as well.
        self.world._publisher = Publisher(self.world.stack.bootstrap, self.world.topic, self.world.partitions,
                                          partition_of, patience=PATIENCE)  # pylint: disable=protected-access
        self.begun = time.monotonic()
        self.samples = []  # (seconds, usage), of the keeper at rest
        self.counts = {}   # how often each fault happened
        stack, world = self.world.stack, self.world
        self.faults = [
            (4, self.kill), (2, self.end), (3, self.sleep), (2, world.database.end_sessions),
            (2, lambda: stack.redis("flushall")), (2, self.hold_row), (1, lambda: self.restart("redis")),
            (1, lambda: self.restart("postgresql")), (1, lambda: self.crash("postgresql")),
            (2, lambda: self.crash("kafka")), (1, lambda: self.crash("redis")),
        ] if faults else []
        self.names = ["kill", "end", "sleep", "end_sessions", "flushall", "hold_row", "restart_redis",
                      "restart_postgresql", "crash_postgresql", "crash_kafka", "crash_redis"]

    # ---- the faults ----

    def kill(self):
        victim = self.random.choice(self.victims)
        victim.kill()
        victim.start()

    def end(self):
        """Stopped and started again; a server may be away just now, so an end by force counts as well."""
        victim = self.random.choice(self.victims)
        assert victim.end(60) in (0, 2, None)
        victim.start()

    def sleep(self):
        sleeper = self.random.choice([self.keeper, *self.victims])
        sleeper.stop()
        try:
            holds_for("it sleeps", lambda: sleeper.stopped, self.random.uniform(0.2, 9), pause=0.2)
        finally:
            sleeper.cont()

    def hold_row(self):
        number = self.random.randint(1, TICKETS)
        with self.world.database.holding(f"SELECT 1 FROM interlock.ticket WHERE id = {number} FOR UPDATE"):
            holds_for("it is held", lambda: True, self.random.uniform(0.5, 5), pause=0.2)

    # A broker that is alone and asked to stop gives its partitions no leader first; a transaction that is committed after
    # that is acknowledged and logged as complete without its markers, and is aborted at the next start (Kafka 4.3.1).
    # That is a fault of its own, which `audit verify --repair` is for; here the broker crashes instead.

    def restart(self, service):
        try:
            self.world.stack.restart(service)
        except AssertionError:  # a busy machine: it may well come yet
            until(f"{service} answers", lambda: self.starts(service), PATIENCE)

    def starts(self, service):
        with contextlib.suppress(AssertionError):
            self.world.stack.start(service)
            return True

    def crash(self, service):
        self.world.broker_crashed = self.world.broker_crashed or service == "kafka"
        self.world.stack.kill(service)
        until(f"{service} answers", lambda: self.starts(service), PATIENCE)

    def one_fault(self):
        place = self.random.choices(range(len(self.faults)), [weight for weight, _ in self.faults])[0]
        self.counts[self.names[place]] = self.counts.get(self.names[place], 0) + 1
        self.faults[place][1]()

    # ---- rounds ----

    def run(self, seconds):
        self.seconds, until_end = seconds, self.begun + seconds
        while time.monotonic() < until_end:
            self.round(min(time.monotonic() + round_seconds(seconds), until_end))
        return self

    def round(self, ends):
        """Load and faults until the time, then rest, judgement, and a sample of what the keeper uses."""
        load = self.trial.load(burst=max(self.rate // 5, 1))
        load.pause = 0.2
        with load:
            while time.monotonic() < ends:
                if self.faults:
                    self.one_fault()
                with contextlib.suppress(NotReached):  # judged below, where it must come to rest
                    self.trial.progress(self.random.randrange(1, 2 * self.rate), 20)
            if self.faults:
                self.recover()
        for worker in [self.keeper, *self.victims]:
            worker.wait_ready(PATIENCE)
        try:
            self.world.drain(PATIENCE)
        except NotReached as error:
            raise AssertionError(f"{error}; {self.where_it_stands()}") from error
        violations = self.judged()
        assert not violations, f"{len(violations)} violations:\n" + "\n".join(str(each) for each in violations[:20])
        self.sample()

    def recover(self):
        """A broker that is alone and serves its group nowhere has to be started again; nothing else helps. (Kafka 4.3.1:
        the load of a former leader's epoch ends a later one's; a write then fails for good, and the log says "No
        in-memory snapshot for epoch 0".) Counted, with the answer that shows it."""
        began = time.monotonic()
        while True:
            try:
                return self.trial.recovered(STUCK_SECONDS)
            except NotReached:
                if time.monotonic() - began > PATIENCE:
                    raise
            if Kafka(self.world.stack.bootstrap).has_no_coordinator(self.world.group):
                self.counts["broker_without_coordinator"] = self.counts.get("broker_without_coordinator", 0) + 1
                self.crash("kafka")

    def judged(self):
        """A question that the broker did not answer is asked again, by another client: one that lived through a crash
        of the broker keeps asking under a leader's epoch that is over."""
        for _ in range(JUDGE_TRIES - 1):
            with contextlib.suppress(KafkaException):
                return self.world.violations()
            admin_of.cache_clear()
        return self.world.violations()

    def where_it_stands(self):
        """For whoever looks why it does not come to rest."""
        world = self.world
        fresh = Kafka(world.stack.bootstrap)
        return {"ends": world.kafka.ends(world.topic), "committed": world.kafka.committed(world.group, world.topic),
                "committed, asked again": fresh.committed(world.group, world.topic), "parked": world.held_in_parking(),
                "workers": [each.get("/status")[1] for each in world.workers]}

    def sample(self):
        """At rest. `runs`: that it was the same process all the time."""
        assert self.keeper.runs(), f"the keeper ended:\n{self.keeper.text()[-3000:]}"
        self.samples.append((time.monotonic() - self.begun, usage(self.keeper.pid, self.world.stack)))

    # ---- afterwards ----

    def note(self):
        """Figures of the run; returns what is to complain of."""
        names = [name for name in ALLOWED if name != "rss_kib" or not is_sanitized(self.keeper.binary)]
        slopes = slopes_of(self.samples, names)
        self.trial.note(soak_seconds=round(time.monotonic() - self.begun), faults=self.counts,
                        samples=len(self.samples), rewinds=self.world.database.count("partition_rewind"),
                        slopes={name: {"mean": round(each.mean, 1), "per_hour": round(each.per_hour, 1),
                                       "growth": round(each.growth, 1)} for name, each in slopes.items()},
                        series={name: [used[name] for _, used in self.samples] for name in ALLOWED})
        return complaints(self.samples, slopes, self.seconds)
