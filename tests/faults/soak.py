"""Random faults from a seed, under load, for minutes. One worker, the keeper, is never ended: it is only stopped and
continued, and its servers fail; so what it uses over the time tells of leaks. Once a minute, or more often where the
whole is short, the load pauses, everything must come to rest, and is judged."""

import contextlib
import itertools
import statistics
import time

from confluent_kafka import KafkaException

from check.evidence import admin_of
from harness.bounds import is_sanitized, usage
from harness.commands import append, create_ticket, escalate, partition_of
from harness.kafka import Kafka, Publisher
from harness.load import TICKETS
from harness.waiting import NotReached, holds_for, until

ROUND_SECONDS = 60
JUDGE_TRIES = 4
PATIENCE = 600  # seconds
STUCK_SECONDS = 60
HEAP_LOOKS = 8
SESSION_KIB = 35  # of libpq's, for each session
SAMPLES_MIN = 10
SLOPES_SECONDS = 600  # a soak of that length or more is judged by its slopes
LONGER = 1.5
WARM_SHARE = 0.4  # of the samples: caches, arenas and connections are still being made
# The slope that may be left over the rest of the run, absolute and as a part of the mean.
ALLOWED = {"rss_kib": (2048, 0), "heap_kib": (32, 0), "descriptors": (3, 0.05), "threads": (2, 0.05),
           "postgresql": (1, 0.05), "redis": (1, 0.05), "kafka": (3, 0.05)}
OF_MALLOC = ("rss_kib", "heap_kib")  # a sanitizer has an allocator of its own

# Memory has two judges. The heap's is strict: bytes that malloc handed out and that nobody freed. malloc's least chunk
# has 32 bytes, so a command that leaks one byte costs 32. Of 20,000 commands in half an hour the keeper has a quarter,
# and three fifths of these after the warm samples: 3,000 times 32 bytes are 94 KiB, three times the limit. A sound worker
# rises by about 12 KiB, ever more slowly: the texts of statements that it had not needed before.
#
# So small a limit needs comparable moments, for some of the heap follows the fullest one by design: the pool of
# deliveries, a lane's arena and its columns of parameters, libpq's buffers. The keeper has small caps and reaches them
# at the very beginning (`fill`); before each sample its sessions are replaced and apply a little (`settle`); and its
# threads have no caches of freed chunks, which malloc counts as handed out. The returner's session comes and goes with
# what is parked, so sessions are taken off; their number has a slope of its own.
#
# One rise between two samples is left out of both, the largest: a lane keeps the columns that its fullest batch of each
# statement needed, and a batch of a kind that `fill` does not make (parked again, after a broker without a coordinator)
# may come late; its first full one took 46 and 169 KiB, and the heap was flat to 20 KiB before and after. A leak rises
# in every interval. Resident memory follows the fullest moment, too, and malloc gives back only what lies at an end: a
# backlog may raise it for good although nothing leaks; its judge sees what grows again and again, as memory that is
# mapped without malloc. The height of a single rise is limited by `interlock describe bounds`, against which the watcher
# measures all the time.
KEEPER = {"worker_batch_max": "250", "consumers_in_flight_commands": "2000",
          "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
FULL_COMMANDS = 6000  # three times the keeper's cap
FULL_TICKETS = range(1001, 1061)
FULL_BYTES = 2000  # of each of these commands: more than a later one has
FULL_OTHERS = 2000  # of each other kind: small ones, refused ones, duplicates. A lane keeps what its largest batch of each
# statement needed: the first full batch of refusals costs 230 KiB, whenever it comes
NO_TICKET = 1999
SETTLE_FROM = 2001  # numbers of the tickets that are created before a sample


class Slope:
    """The straight line through what was sampled."""

    def __init__(self, points, one_step=False):
        kept = points[int(len(points) * WARM_SHARE):]
        times, values = [at for at, _ in kept], [value for _, value in kept]
        self.step = largest_rise(values) if one_step else (0, 0)
        place, rise = self.step
        line = statistics.linear_regression(times, values[:place] + [each - rise for each in values[place:]])
        self.mean, self.count = statistics.fmean(values), len(values)
        self.span = times[-1] - times[0]
        self.growth = line.slope * self.span
        self.per_hour = line.slope * 3600

    def is_flat(self, name):
        absolute, part = ALLOWED[name]
        return self.growth <= max(absolute, part * self.mean)


def largest_rise(values):
    """(place of the value after it, how much)."""
    rise, place = max((later - earlier, place) for place, (earlier, later) in
                      enumerate(itertools.pairwise(values), start=1))
    return place, max(rise, 0)


def slopes_of(samples, names):
    """None for few samples: too much is still being made."""
    if len(samples) < SAMPLES_MIN:
        return {}
    return {name: Slope([(at, used[name]) for at, used in samples], one_step=name in OF_MALLOC) for name in names}


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


def goes_on(elapsed, seconds, samples):
    """A busy machine rests longer between rounds than it works: samples that are missing may take half as long again."""
    wanting = seconds >= SLOPES_SECONDS and samples < SAMPLES_MIN
    return elapsed < (seconds * LONGER if wanting else seconds)


class Soak:
    def __init__(self, trial, faults=True, victims=2, rate=50, **settings):
        self.trial, self.world, self.random = trial, trial.world, trial.random
        self.keeper = self.world.worker(**{**KEEPER, **settings})
        self.rate, self.seconds = rate, 0
        # A broker may need minutes to come back on a machine that does other things as well.
        self.world._publisher = Publisher(self.world.stack.bootstrap, self.world.topic, self.world.partitions,
                                          partition_of, patience=PATIENCE)  # pylint: disable=protected-access
        self.extra = {}  # identity -> command that is of no load
        self.fill()
        self.victims = [self.world.worker(**settings) for _ in range(victims)]
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

    # ---- comparable moments ----

    def publish_extra(self, commands):
        self.extra.update({each.identity: each for each in commands})
        self.world.publish(*commands)

    def fill(self):
        """The keeper's pools reach the most that they may keep: backlogs of each kind for it alone."""
        self.keeper.wait_ready(PATIENCE)
        tickets = itertools.cycle(FULL_TICKETS)
        large = [append(next(tickets), {"text": "x" * FULL_BYTES}) for _ in range(FULL_COMMANDS)]
        small = [escalate(next(tickets)) for _ in range(FULL_OTHERS)]
        refused = [escalate(NO_TICKET) for _ in range(FULL_OTHERS)]
        for backlog in ([create_ticket(number) for number in FULL_TICKETS] + large, small, refused,
                        large[:FULL_OTHERS], small + refused):
            self.keeper.stop()
            try:
                self.publish_extra(backlog)
            finally:
                self.keeper.cont()
            self.world.drain(PATIENCE)

    def settle(self):
        """Every lane has a young session that applied a few small commands."""
        self.world.database.end_sessions()
        first = SETTLE_FROM + TICKETS * len(self.samples)
        self.publish_extra([create_ticket(number) for number in range(first, first + TICKETS)])
        self.world.drain(PATIENCE)

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
        self.seconds = seconds
        while goes_on(time.monotonic() - self.begun, seconds, len(self.samples)):
            left = self.begun + seconds - time.monotonic()
            self.round(time.monotonic() + min(round_seconds(seconds), left if left > 0 else ROUND_SECONDS))
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
        self.settle()
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
        self.samples.append((time.monotonic() - self.begun,
                             until("its sessions stay the same for a moment", self.used, PATIENCE)))

    def used(self):
        """None where a session came or went meanwhile."""
        sessions = usage(self.keeper.pid, self.world.stack)["postgresql"]
        heap = self.heap_kib()
        used = usage(self.keeper.pid, self.world.stack)
        return {**used, "heap_kib": round(heap - SESSION_KIB * sessions, 1)} if used["postgresql"] == sessions else None

    def heap_kib(self):
        """The least of a few looks: what its clients allocate for a moment, as to connect, is no leak."""
        looks = []

        def enough():
            looks.append(self.keeper.metrics(timeout=STUCK_SECONDS)["interlock_heap_bytes"])
            return len(looks) == HEAP_LOOKS

        until("the heap was looked at", enough, PATIENCE, pause=0.25)
        return min(looks) / 1024

    # ---- afterwards ----

    def note(self):
        """Figures of the run; returns what is to complain of."""
        names = [name for name in ALLOWED if name not in OF_MALLOC or not is_sanitized(self.keeper.binary)]
        slopes = slopes_of(self.samples, names)
        self.trial.loads[-1].distinct.update(self.extra)
        self.trial.note(soak_seconds=round(time.monotonic() - self.begun), faults=self.counts,
                        samples=len(self.samples), rewinds=self.world.database.count("partition_rewind"),
                        slopes={name: {"mean": round(each.mean, 1), "per_hour": round(each.per_hour, 1),
                                       "growth": round(each.growth, 1)} for name, each in slopes.items()},
                        series={name: [used[name] for _, used in self.samples] for name in ALLOWED})
        return complaints(self.samples, slopes, self.seconds)
