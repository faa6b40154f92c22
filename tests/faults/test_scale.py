"""More of everything: cells, workers, partitions, topics, under load."""

import time

import pytest
from confluent_kafka.admin import NewPartitions

from harness.commands import partition_of
from harness.fixtures import finish
from harness.kafka import Publisher
from harness.load import TICKETS, Load
from harness.waiting import until
from storm import gentle, served, storm
from trial import minutes


@pytest.fixture
def world(request, make_world):
    """With as many partitions as the test wants."""
    made = make_world(request.node.name.removeprefix("test_"), partitions=getattr(request, "param", 6))
    yield made
    finish(request, made)


# ---- cells ---------------------------------------------------------------------------------------------------------

@pytest.mark.fault(4)
@pytest.mark.seconds(900)
def test_processes_of_two_cells_come_and_go(trial):
    """Each is two members of the group, with two producers; they die and end together."""
    workers = [trial.world.worker(start=False, consumers_count="2", worker_lanes="2", consumers_session_timeout="2s",
                                  consumers_static=str(bool(number % 2)).lower()) for number in range(3)]
    storm(trial, workers, min(180, 60 * minutes()) if minutes() else 4)
    assert trial.world.kafka.group_members(trial.world.group) == 2 * len(workers)


# ---- more workers than partitions ----------------------------------------------------------------------------------

@pytest.mark.fault(4)
@pytest.mark.seconds(200)
@pytest.mark.parametrize("world", [2], indirect=True, ids=["two partitions"])
def test_workers_without_partitions_are_ready_and_take_over_from_the_dead(trial):
    """Three for two partitions; whoever works dies (in the long tier until the one is left that was idle at first)."""
    world = trial.world
    workers = trial.workers(world.partitions + 1, consumers_static="false", consumers_session_timeout="2s")
    with gentle(trial):
        while len(alive := [each for each in workers if each.runs()]) > (1 if minutes() else 2):
            until("each partition has an owner", lambda: served(workers) == world.partitions, 60)
            until("all are ready, the idle ones too", lambda: all(each.ready() for each in alive), 60)
            busy = [each for each in alive if each.metric("interlock_partitions_assigned") > 0]
            assert len(busy) == min(world.partitions, len(alive))
            trial.progress(20)
            died = time.monotonic()
            trial.random.choice(busy).kill()
            trial.recovered(since=died)
    trial.judge()


# ---- more partitions -----------------------------------------------------------------------------------------------

REFRESH = {"INTERLOCK_KAFKA_CONSUMER_TOPIC_METADATA_REFRESH_INTERVAL_MS": "1000"}  # how soon new partitions are found


def add_partitions(trial, count):
    """Milliseconds until all of them are owned. Publishers use them from the moment they are there."""
    world = trial.world
    began = time.monotonic()
    world.kafka.admin.create_partitions([NewPartitions(world.topic, count)])[world.topic].result(30)
    until("they have leaders", lambda: len(world.kafka.partitions(world.topic)) == count and
          world.kafka.has_leaders(world.topic), 30)
    world.partitions, world._publisher = count, None  # a new one knows of them at once
    until("the new ones are owned too", lambda: served(world.workers) == count, 120, pause=0.1)
    return round(1000 * (time.monotonic() - began))


def places_of_events(trial, load):
    """Aggregate -> where the events of the load's commands lie on the audit topic."""
    places = {}
    for event in trial.world.audit.all():
        if event.identity in load.distinct:
            places.setdefault(event.subject, []).append((event.partition, event.offset))
    return places


@pytest.mark.fault(4)
@pytest.mark.seconds(300)
def test_partitions_added_to_a_live_topic_are_served_without_a_restart(trial):
    """First as deploy/OPERATING.md says, with the producers stopped and the pool drained: order per aggregate holds across
    the change. Then under load: nothing is lost, and each partition's commands keep their order; between the old
    partition of an aggregate and its new one there is no order, which is not promised either."""
    world = trial.world
    settings = {} if minutes() else REFRESH
    trial.workers(2, **settings)
    with gentle(trial) as before:
        trial.progress(150)
    world.drain()
    drained_ms = add_partitions(trial, 9)
    with gentle(trial) as after:
        trial.progress(150)
        moved = sum(partition_of(f"ticket/{number}", 6) != partition_of(f"ticket/{number}", 9)
                    for number in range(1, TICKETS + 1))
        assert moved > TICKETS / 3, "no aggregate changed its partition"
        first, then = places_of_events(trial, before), places_of_events(trial, after)
        assert set(first) & set(then)
        for aggregate in set(first) & set(then):
            assert max(first[aggregate]) < min(then[aggregate]), f"{aggregate}: its order was lost"
        live_ms = add_partitions(trial, 12)
        trial.progress(150)
        trial.recovered()
    trial.note(partitions_drained_ms=drained_ms, partitions_live_ms=live_ms,
               refresh_ms=60000 if minutes() else 1000)
    trial.judge()


# ---- more topics ---------------------------------------------------------------------------------------------------

class Beside:
    """The client with which a Load publishes to another topic."""

    def __init__(self, world, topic):
        self.partitions = 3
        world.kafka.create_topics({topic: self.partitions, topic + ".dlq": 1})
        world.more_topics.append(topic)
        self.publisher = Publisher(world.stack.bootstrap, topic, self.partitions, partition_of)

    def publish(self, *messages):
        return self.publisher.send(list(messages))


@pytest.mark.fault(4)
@pytest.mark.long
@pytest.mark.seconds(200)
def test_two_command_topics_are_served_by_one_group(trial):
    """The same aggregates come through both; a worker dies, another joins."""
    world = trial.world
    beside = Beside(world, world.topic + ".second")
    settings = {"kafka_topics": f"{world.topic},{world.more_topics[0]}", "consumers_static": "false",
                "consumers_session_timeout": "2s"}
    workers = trial.workers(2, **settings)
    with Load(beside, seed=trial.random.random(), burst=6) as second, gentle(trial):
        second.pause = 0.1
        trial.loads.append(second)
        until("all partitions of both are owned", lambda: served(workers) == world.partitions + beside.partitions, 60)
        trial.progress(100)
        workers[0].kill()
        died = time.monotonic()
        trial.progress(60)
        workers.append(world.worker(**settings))
        assert workers[1].end() == 0
        trial.progress(60)
        trial.recovered(since=died)
    answered = {record.topic for record in world.evidence().records}
    assert answered == {world.topic, world.more_topics[0]}
    trial.judge()
