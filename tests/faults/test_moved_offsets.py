"""PROTOCOL R1: the group's offsets are moved while recorded events wait. Only a commit of a worker says what was
published; what no worker published is looked up, and published from the rows where it is missing."""

import json
import time
from collections import Counter

import pytest

from harness.commands import create_ticket, escalate
from harness.fixtures import finish
from harness.waiting import until
from positions import levels, truncate

SEARCHES, RESTORED = "interlock_audit_searches_total", "interlock_restored_total"
UNPUBLISHED = {"FAULT_POINTS": "before_begin_txn=delay:600000"}  # it records, and publishes nothing
LEAVING = {"consumers_static": "false", "consumers_session_timeout": "2s"}  # so that the group is empty afterwards


def record_unpublished(world, messages, created=1, **settings):
    """Everything is recorded, and the worker dies before any of it is published."""
    worker = world.worker(**LEAVING, **settings)
    world.ask(*[create_ticket(number) for number in range(1, created + 1)])
    world.drain()
    assert worker.end() == 0
    worker.environment.update(UNPUBLISHED)
    worker.start().wait_ready()
    before = world.database.count("audit_event") + world.database.count("dead_letter")
    world.publish(*messages)
    until("all of it is recorded", lambda: world.database.count("audit_event") +
          world.database.count("dead_letter") == before + len(messages), 90)
    worker.kill()
    for name in UNPUBLISHED:
        del worker.environment[name]
    until("the group has lost it", lambda: world.kafka.group_members(world.group) == 0, 60)
    assert len(world.audit.all()) == created
    return worker


def move(world, offset):
    """To one offset of each partition, or to its end."""
    ends = world.kafka.ends(world.topic)
    world.kafka.move_offsets(world.group, world.topic,
                             {number: end if offset is None else min(offset, end) for number, end in ends.items()})


def past_the_end(world):
    return {number: end + 500 for number, end in world.kafka.ends(world.topic).items() if end > 0}


def start_and_end(world, worker):
    worker.start().wait_ready()
    world.drain()
    assert worker.end() == 0
    until("the group is empty", lambda: world.kafka.group_members(world.group) == 0, 40)


def each_once(world, count):
    until(f"{count} events are out", lambda: len(world.audit.all()) >= count, 60)
    events = Counter(each.event_id for each in world.audit.all())
    assert (len(events), set(events.values())) == (count, {1})


def verified(world, timeout=60):
    done = world.verb("audit", "verify", "--output", "json", timeout=timeout)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.fault(33)
@pytest.mark.seconds(150)
@pytest.mark.parametrize("protected", [True, False])
def test_a_recorded_event_is_published_though_the_group_was_moved_to_the_end_and_back(trial, protected):
    world = trial.world
    worker = record_unpublished(world, [escalate(1) for _ in range(900)], protections_commit_marks=str(protected).lower())
    move(world, None)
    start_and_end(world, worker)
    if protected:
        each_once(world, 901)  # nobody has to move back
    move(world, 2)
    worker.start().wait_ready()
    world.drain()
    if not protected:
        assert len(world.audit.all()) < 100, "without it the test shows nothing"
        trial.record()
        return
    each_once(world, 901)
    assert levels(world) == 900
    assert verified(world)[0] == 0
    trial.judge()


@pytest.mark.fault(33)
@pytest.mark.seconds(120)
@pytest.mark.parametrize("moved", ["past the end", "cut off", "recreated", "forgotten"])
def test_recorded_events_whose_messages_are_not_read_again_are_published_from_their_rows(trial, moved):
    """Nobody reads the messages again, or there are none any more; a dead letter is made of its message, while there is
    one."""
    world = trial.world
    letter = type(create_ticket(1))(b"{", "ticket/1")
    worker = record_unpublished(world, [escalate(1) for _ in range(40)] + [letter])
    if moved == "past the end":
        world.kafka.move_offsets(world.group, world.topic, past_the_end(world))
    elif moved == "cut off":
        truncate(world, world.topic, world.kafka.ends(world.topic))
    elif moved == "recreated":
        world.kafka.recreate(world.topic, world.partitions)
    else:
        until("the group is deleted", lambda: world.kafka.forget_group(world.group), 30, pause=0.2)
    worker.start().wait_ready()
    until("all that was recorded is published", lambda: len(world.audit.all()) == 41, 60)
    assert worker.metric(RESTORED) >= 40
    gone = moved in ("cut off", "recreated")
    if gone:
        assert "it is no longer in Kafka: it is lost" in worker.text()
    later = [create_ticket(2), escalate(2)]
    world.ask(*later)
    world.drain()
    each_once(world, 43)
    assert levels(world) == 41
    if gone:
        trial.record()
    else:
        trial.judge(letters=1)


@pytest.mark.fault(33)
@pytest.mark.seconds(150)
def test_a_worker_that_dies_while_it_publishes_what_was_recorded_leaves_the_rest_to_the_next(trial):
    """Before a Kafka transaction of it, in it, behind it, and before PostgreSQL knows."""
    world = trial.world
    worker = record_unpublished(world, [escalate(1) for _ in range(450)])
    move(world, 200)
    for point in ("before_commit_txn=crash@1", "after_commit_txn=crash@2", "mid_produce=crash@150",
                  "after_commit_txn=crash@2"):
        worker.environment["FAULT_POINTS"] = point
        worker.start()
        until(f"it dies: {point}", lambda: not worker.runs(), 60)
    del worker.environment["FAULT_POINTS"]
    worker.start().wait_ready()
    world.drain()
    each_once(world, 451)
    assert levels(world) == 450
    trial.judge()


@pytest.mark.fault(33)
@pytest.mark.seconds(150)
def test_commits_without_a_mark_cost_one_search_where_something_is_recorded_and_none_elsewhere(trial):
    """As an older version leaves them, which also knew what it had published in another place."""
    world = trial.world
    worker = world.worker(**LEAVING)
    world.ask(*[create_ticket(number) for number in range(1, 21)])
    world.drain()
    assert worker.end() == 0
    move(world, None)
    world.database.execute("UPDATE interlock.partition_owner o SET published = p.published FROM "
                           "interlock.partition_published p WHERE p.partition_id = o.id")
    world.database.execute("UPDATE interlock.partition_published SET published = 0")
    worker.start().wait_ready()
    assert worker.metric(SEARCHES) == 0
    assert worker.end() == 0
    before = world.kafka.committed(world.group, world.topic)
    worker.environment.update(UNPUBLISHED)
    worker.start().wait_ready()
    world.publish(*[escalate(1) for _ in range(30)])
    until("all of it is recorded", lambda: levels(world) == 30, 60)
    worker.kill()
    del worker.environment["FAULT_POINTS"]
    until("the group has lost it", lambda: world.kafka.group_members(world.group) == 0, 60)
    world.kafka.move_offsets(world.group, world.topic, before)
    for searches in (1, 0):
        worker.start().wait_ready()
        world.drain()
        assert worker.metric(SEARCHES) == searches
        assert worker.end() == 0
    each_once(world, 50)
    trial.judge()


@pytest.mark.fault(1)
@pytest.mark.seconds(120)
def test_after_a_crash_in_a_drain_nothing_is_searched(trial):
    """The commit of a worker says what was published, so that the next one serves every partition at once."""
    world = trial.world
    worker = world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 61)])
    world.drain()
    world.publish(*[escalate(1 + step % 60) for step in range(8000)])
    until("it is in the middle", lambda: len(world.database.rows(
        "SELECT 1 FROM interlock.audit_event LIMIT 1500")) == 1500, 60)
    worker.kill()
    worker.start().wait_ready()
    assert worker.metric(SEARCHES) == 0
    world.drain()
    assert worker.metric(SEARCHES) == 0 and worker.metric(RESTORED) == 0
    each_once(world, 8060)
    trial.judge()


@pytest.mark.fault(23)
@pytest.mark.seconds(90)
def test_an_offset_past_the_end_is_forgotten_once(trial):
    """PROTOCOL O5: only while nothing is committed. Fences that are lost later begin at what is."""
    world = trial.world
    worker = world.worker(**LEAVING)
    world.ask(*[create_ticket(number) for number in range(1, 51)])
    world.ask(*[escalate(1) for _ in range(50)])
    world.drain()
    assert worker.end() == 0
    world.kafka.move_offsets(world.group, world.topic, past_the_end(world))
    worker.start().wait_ready()
    world.drain()
    ids = "SELECT last_value FROM interlock.partition_owner_id_seq"
    used = world.database.value(ids)
    for step in range(3):
        received = worker.metric("interlock_messages_received_total")
        world.database.execute("UPDATE interlock.partition_owner SET fence = fence + 1")
        world.ask(escalate(1), escalate(2 + step))
        world.drain()
        # The two themselves, each possibly twice: once refused by the fence, and read again.
        assert worker.metric("interlock_messages_received_total") - received <= 4
    assert world.database.value(ids) == used, "a takeover uses up no number"
    each_once(world, 106)
    trial.judge()


@pytest.mark.long
@pytest.mark.fault(1)
@pytest.mark.seconds(1800)
def test_after_a_crash_in_a_drain_of_800000_every_partition_is_served_in_time(make_world, request):
    """Within the session timeout and three seconds, by what the log says of the takeovers."""
    world = make_world("drain_of_800000", partitions=12)
    try:
        worker = world.worker(consumers_session_timeout="10s")
        world.ask(*[create_ticket(number) for number in range(1, 201)])
        world.drain()
        assert worker.end() == 0
        for _ in range(40):
            world.publish(*[escalate(1 + step % 200) for step in range(20000)])
        worker.start().wait_ready()
        until("it is in the middle", lambda: world.database.value(
            "SELECT sum(published) FROM interlock.partition_published") >= 200000, 300)
        worker.kill()
        began = time.monotonic()
        worker.start()
        until("every partition is taken over", lambda: "all 12 partitions are taken over" in worker.text(), 120,
              pause=0.05)
        took = time.monotonic() - began
        assert worker.metric(SEARCHES) == 0
        print(f"--- taken over after {took:.1f} s")
        assert took < 10 + 3
        world.drain(600)
        assert worker.metric(RESTORED) == 0
        assert verified(world, timeout=900)[0] == 0
    finally:
        finish(request, world)
