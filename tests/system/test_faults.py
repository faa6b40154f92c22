"""Everything that may happen to a worker and to what it stands on, under load; afterwards the same checks."""

import itertools
import random
import threading

import pytest

from harness.commands import append, command, create_job, create_ticket, escalate, job_transition, partition_of, transition
from harness.database import session
from harness.waiting import holds_for, until

TICKETS = 60
STEADY = ("ticket", "ticket_history", "jobneed", "inbox", "audit_event", "audit_also", "dead_letter")


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


# ---- workers die -------------------------------------------------------------------------------------

@pytest.mark.seconds(240)
@pytest.mark.parametrize("spread", [False, True], ids=["keyed", "spread"])
def test_workers_are_killed_at_random_moments(world, spread):
    """Two workers, a fifth of the commands twice, 20 rounds (12 when commands are spread over wrong partitions)."""
    generator = random.Random(20 + spread)
    workers = [world.worker(), world.worker()]
    with Load(world, spread=spread) as load:
        for _ in range(12 if spread else 20):
            progress(world, generator.randrange(1, 120))
            victim = generator.choice(workers)
            victim.kill()
            if generator.random() < 0.3:
                progress(world, 1) if all(each.runs() for each in workers if each is not victim) else None
            victim.start()
    for worker in workers:
        worker.wait_ready()
    judge(world, load, ordered=not spread)


@pytest.mark.seconds(120)
def test_both_workers_are_killed_at_once(world):
    workers = [world.worker(), world.worker()]
    with Load(world) as load:
        for _ in range(5):
            progress(world, 60)
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.start()
    judge(world, load)


@pytest.mark.seconds(120)
def test_a_dead_worker_s_partitions_go_to_the_other(world):
    """For good: nobody starts it again."""
    settings = {"consumers_static": "false", "consumers_session_timeout": "2s"}
    workers = [world.worker(**settings), world.worker(**settings)]
    with Load(world) as load:
        progress(world, 100)
        workers[0].kill()
        until("the other has all partitions",
              lambda: workers[1].metric("interlock_partitions_assigned") == world.partitions, 40)
        progress(world, 100)
    judge(world, load)


@pytest.mark.seconds(150)
def test_workers_come_and_go(world):
    """Ended cleanly under load, joined by others, never fewer than one: nothing is lost, and each exit is clean."""
    settings = {"consumers_static": "false"}
    workers = [world.worker(**settings)]
    with Load(world) as load:
        for _ in range(4):
            workers.append(world.worker(**settings))
            progress(world, 60)
            assert workers.pop(0).end() == 0
            progress(world, 60)
    judge(world, load)
    assert workers[0].end() == 0


@pytest.mark.seconds(60)
@pytest.mark.parametrize("first", ["the command", "its duplicate"])
@pytest.mark.parametrize("copies", ["other partition", "same partition"])
def test_what_was_applied_but_not_published_is_published_after_a_crash(world, first, copies):
    """Each command has a duplicate; a held ticket keeps all of them from being published; the worker dies."""
    worker = world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 31)])
    world.drain()
    messages = [escalate(number).at(4) for number in range(2, 31)]
    again = [each.at(5 if copies == "other partition" else 4) for each in messages]
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        world.publish(escalate(1).at(4), escalate(1).at(5))
        pairs = [pair if first == "the command" else pair[::-1] for pair in zip(messages, again)]
        world.publish(*[each for pair in pairs for each in pair])
        until("all others are applied", lambda: world.database.value("SELECT sum(level) FROM interlock.ticket") == 29)
        worker.kill()
    worker.start().wait_ready()
    world.await_events(messages)
    world.drain()
    world.check(ordered=False)


# ---- a worker sleeps ------------------------------------------------------------------------------------

@pytest.mark.seconds(120)
@pytest.mark.parametrize("moment", range(3))
def test_a_stopped_worker_wakes_after_another_took_over(world, moment):
    settings = {"consumers_session_timeout": "2s", "database_idle_in_transaction_timeout": "3s"}
    sleeper = world.worker(**settings)
    other = world.worker(**settings)
    with Load(world, seed=moment) as load:
        progress(world, 50 + 37 * moment)
        sleeper.stop()
        until("the other has all partitions",
              lambda: other.metric("interlock_partitions_assigned") == world.partitions, 60)
        progress(world, 100)
        sleeper.cont()
        progress(world, 100)
        until("the sleeper works again, or has ended", lambda: not sleeper.runs() or sleeper.ready(), 60)
    judge(world, load)


@pytest.mark.seconds(120)
def test_the_only_worker_sleeps_and_wakes(world):
    worker = world.worker(consumers_session_timeout="2s")
    with Load(world) as load:
        progress(world, 50)
        worker.stop()
        until("the group lost it", lambda: world.kafka.group_members(world.group) == 0, 30, pause=0.2)
        worker.cont()
        progress(world, 100)
    judge(world, load)


# ---- again from the beginning ------------------------------------------------------------------------------

def steady(world):
    """What must not change: rows, without the bookkeeping of owners; and the events."""
    return world.database.fingerprint(*STEADY), [each.event_id for each in world.audit.all()]


@pytest.mark.seconds(150)
def test_a_rewound_group_and_a_replayed_topic_change_nothing(world):
    worker = world.worker()
    with Load(world) as load:
        world.publish(*[type(append(1, ""))(value, f"ticket/{number}") for number, value in
                        enumerate([b"{", b"", None, b"[]", b"\xff"] * 2, 1)])
        progress(world, 400)
    judge(world, load, letters=10)
    before = steady(world)
    for target in ("the beginning", "the middle", "the beginning again"):
        assert worker.end() == 0
        ends = world.kafka.ends(world.topic)
        offsets = {number: end // 2 if target == "the middle" else 0 for number, end in ends.items()}
        world.kafka.move_offsets(world.group, world.topic, offsets)
        worker.start().wait_ready()
        world.drain()
        world.check()
        assert steady(world) == before, f"after a rewind to {target}"
    replay = [message for message in load.distinct.values()]
    world.publish(*replay, *[message.at(3) for message in replay[::5]])
    world.drain()
    world.check()
    assert steady(world) == before, "after a replay of the commands"


@pytest.mark.seconds(90)
def test_a_group_that_was_forgotten_starts_over_and_changes_nothing(world):
    """As when its offsets expired: no committed offset at all."""
    worker = world.worker()
    with Load(world) as load:
        progress(world, 200)
    judge(world, load)
    before = steady(world)
    assert worker.end() == 0
    until("the group is empty and deleted", lambda: world.kafka.forget_group(world.group), 30, pause=0.2)
    worker.start().wait_ready()
    world.drain()
    world.check()
    assert steady(world) == before


@pytest.mark.seconds(120)
@pytest.mark.parametrize("worker_is", ["running", "ended"])
def test_a_topic_made_anew_is_read_from_its_beginning(world, worker_is):
    """Deleted and created under a worker: its offsets start at 0 again, and old commands sent again are still known."""
    worker = world.worker()
    old = [create_ticket(number) for number in range(1, 41)]
    world.ask(*old)
    world.drain()
    if worker_is == "ended":
        assert worker.end() == 0
    used = sum(end > 0 for end in world.kafka.ends(world.topic).values())
    world.kafka.recreate(world.topic, world.partitions)
    if worker_is == "running":
        # Offsets alone tell one topic from another: had the new one grown past the old position, nobody could see it.
        until("its partitions are taken over again", lambda: world.database.value(
            "SELECT count(*) FROM interlock.partition_owner WHERE fence > 1") >= used)
    new = [escalate(number) for number in range(1, 41)]
    world.publish(*old[:10], *new)
    if worker_is == "ended":
        worker.start()
    told = world.await_events(new, 80)
    assert [each.outcome for each in told] == ["applied"] * 40
    world.drain()
    assert world.database.row("SELECT count(*), sum(level), sum(version) FROM interlock.ticket") == (40, 40, 80)
    assert len(world.audit.all()) == 80


@pytest.mark.seconds(90)
def test_a_rewind_while_commands_wait_publishes_each_once(world):
    """Some commands below the rewind were published, some not."""
    worker = world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 31)])
    world.drain()
    messages = [escalate(1 + step % 30) for step in range(90)]
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 7 FOR UPDATE"):
        world.publish(*messages)
        until("all others are applied", lambda: world.database.value("SELECT sum(level) FROM interlock.ticket") == 87)
        worker.kill()
    world.kafka.move_offsets(world.group, world.topic, dict.fromkeys(range(world.partitions), 0))
    worker.start().wait_ready()
    world.await_events(messages)
    world.drain()
    world.check()


# ---- somebody holds a row --------------------------------------------------------------------------------------

@pytest.mark.seconds(90)
@pytest.mark.parametrize("redis", ["true", "false"], ids=["redis", "no redis"])
def test_a_forgotten_session_makes_one_ticket_wait(world, redis):
    worker = world.worker(redis_enabled=redis)
    world.ask(*[create_ticket(number) for number in range(1, 101)])
    held = partition_of("ticket/1", world.partitions)
    with world.database.holding("UPDATE interlock.ticket SET comments = 'mine' WHERE id = 1"):
        messages = [escalate(number) for _ in range(3) for number in range(1, 101)]
        world.publish(*messages)
        until("all other tickets went on",
              lambda: world.database.value("SELECT sum(level) FROM interlock.ticket WHERE id > 1") == 3 * 99, 15)
        elsewhere = [each for each in messages if partition_of(each.key, world.partitions) != held]
        world.await_events(elsewhere, 10)
        holds_for("the held ticket waits", lambda: world.database.value(
            "SELECT level FROM interlock.ticket WHERE id = 1") == 0, 1)
        assert world.letters.all() == []
    world.await_events(messages, 20)
    world.drain()
    world.check()
    assert worker.metric("interlock_busy_rows_total") > 0


@pytest.mark.seconds(90)
def test_rows_held_for_moments_only_delay(world):
    """Other programs lock tickets all the time: everybody gets their turn."""
    world.worker(redis_enabled="false")
    ending = threading.Event()
    with Load(world) as load:
        until("the tickets are there", lambda: world.database.count("ticket") >= TICKETS)

        def hold():
            numbers = itertools.cycle(range(1, TICKETS + 1))
            with session(world.database.url, autocommit=False) as connection, connection.cursor() as cursor:
                while not ending.is_set():
                    cursor.execute("SELECT pg_sleep(0.05) FROM interlock.ticket WHERE id = ANY(%s) FOR UPDATE",
                                   ([next(numbers) for _ in range(4)],))
                    connection.commit()
        thread = threading.Thread(target=hold, daemon=True)
        thread.start()
        progress(world, 600)
    ending.set()
    thread.join(20)
    judge(world, load)


# ---- services fail -------------------------------------------------------------------------------------------------

@pytest.mark.seconds(120)
def test_database_sessions_are_ended(world):
    world.worker()
    world.worker()
    with Load(world) as load:
        for _ in range(6):
            progress(world, 40)
            assert world.database.end_sessions() > 0
        progress(world, 40)
    judge(world, load)


def outage(world, fail, mend=lambda: None, rounds=1, workers=2, settings=None, timeout=60):
    for _ in range(workers):
        world.worker(**(settings or {}))
    with Load(world) as load:
        for _ in range(rounds):
            progress(world, 60)
            fail()
            mend()
            progress(world, 60, timeout)
    for worker in world.workers:
        worker.wait_ready()
    judge(world, load)


@pytest.mark.seconds(150)
def test_postgresql_is_restarted(world):
    outage(world, lambda: world.stack.restart("postgresql"), rounds=2)


@pytest.mark.seconds(150)
def test_postgresql_crashes(world):
    outage(world, lambda: world.stack.kill("postgresql"), lambda: world.stack.start("postgresql"))


@pytest.mark.seconds(150)
def test_redis_is_stopped_and_comes_back_empty(world):
    """Stopped for as long as it takes to apply commands without it: they are, and that is counted."""
    def without():
        world.stack.stop("redis")
        progress(world, 100)
        until("it is counted", lambda: sum(each.metric("interlock_lock_degraded_total") for each in world.workers) > 0)
    outage(world, without, lambda: world.stack.start("redis"))


@pytest.mark.seconds(90)
def test_redis_forgets_everything_again_and_again(world):
    outage(world, lambda: world.stack.redis("flushall"), rounds=8)


@pytest.mark.seconds(150)
def test_redis_is_busy_and_full(world):
    """Out of memory for writes, then read-only in effect: no lock can be taken."""
    outage(world, lambda: world.stack.redis("config", "set", "maxmemory", "1"),
           lambda: (progress(world, 60), world.stack.redis("config", "set", "maxmemory", "0")))


@pytest.mark.seconds(150)
def test_the_broker_is_restarted(world):
    outage(world, lambda: world.stack.restart("kafka"), rounds=2)


@pytest.mark.seconds(150)
def test_the_broker_crashes(world):
    outage(world, lambda: world.stack.kill("kafka"), lambda: world.stack.start("kafka"))


@pytest.mark.seconds(150)
def test_the_broker_is_gone_while_a_worker_is_told_to_stop(world):
    """It must end within its deadline all the same; nothing is lost by that."""
    worker = world.worker(consumers_drain_timeout="3s")
    with Load(world) as load:
        progress(world, 60)
        load.stop()
        world.stack.kill("kafka")
        try:
            worker.term()
            assert worker.wait(40) in (0, 2)
        finally:
            world.stack.start("kafka")
    worker.start().wait_ready()
    judge(world, load)


@pytest.mark.seconds(150)
def test_everything_fails_in_turn(world):
    generator = random.Random(3)
    workers = [world.worker(), world.worker()]
    with Load(world, duplicates=0.3) as load:
        for fault in (lambda: world.stack.restart("redis"), world.database.end_sessions,
                      lambda: (workers[0].kill(), workers[0].start()), lambda: world.stack.restart("postgresql"),
                      lambda: (workers[1].kill(), workers[1].start()), lambda: world.stack.restart("kafka")):
            progress(world, generator.randrange(20, 80))
            fault()
        progress(world, 50)
    judge(world, load)
