"""A stranger holds a row while the neighbours of its partition are asked: how long they wait, and how many messages the
command that is stuck makes."""

import json
import time
import uuid

from check.evidence import to_record
from confluent_kafka import Consumer, TopicPartition

from .commands import append, create_ticket
from .parking import settled
from .waiting import until

STUCK, NEIGHBOUR = 1, 2


def everything_on(world, topic):
    """Every message of the topic, as of now."""
    ends = world.kafka.ends(topic)
    consumer = Consumer({"bootstrap.servers": world.stack.bootstrap, "group.id": f"all-{uuid.uuid4()}",
                         "isolation.level": "read_uncommitted"})
    records = []
    try:
        for number, end in ends.items():
            consumer.assign([TopicPartition(topic, number, 0)])
            at = 0
            while at < end:
                for message in consumer.consume(1000, timeout=1):
                    records.append(to_record(message))
                    at = message.offset() + 1
        return records
    finally:
        consumer.close()


def copies_of(world, message):
    """How often it stands on the topic besides the first time."""
    same = [record for record in everything_on(world, world.topic)
            if record.value and json.loads(record.value).get("id") == message.identity[1]]
    return len(same) - 1


def hold_and_ask(world, worker, seconds):
    """A stranger holds one row; another aggregate of the partition is asked again and again. How long each answer took,
    the worst that the metric said, and the stuck command."""
    stuck = append(STUCK, "stuck")
    delays, worst = [], 0
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = %s FOR UPDATE", STUCK):
        until_when = time.monotonic() + seconds
        world.publish(stuck.at(0))
        while time.monotonic() < until_when:
            begun = time.monotonic()
            neighbour = append(NEIGHBOUR, len(delays)).at(0)
            world.publish(neighbour)
            until("the neighbour is answered", lambda: world.events_of(neighbour) or None, 30, pause=0.005)
            delays.append(time.monotonic() - begun)
            worst = max(worst, worker.metric("interlock_unpublished_seconds"))
        status = json.loads(worker.get("/status")[1])["parked"]
        assert world.events_of(stuck) == []
    return sorted(delays), worst, status, stuck


def judge_neighbours(world, worker, seconds):
    world.ask(create_ticket(STUCK).at(0), create_ticket(NEIGHBOUR).at(0))
    delays, worst, status, stuck = hold_and_ask(world, worker, seconds)
    p99 = delays[int(len(delays) * 0.99)]
    copies = copies_of(world, stuck)
    print(f"held for {seconds} s: {len(delays)} neighbours, p50 {delays[len(delays) // 2]:.3f} s, p99 {p99:.3f} s, "
          f"longest {delays[-1]:.3f} s, unpublished for {worst:.3f} s at most, {copies} copies")
    world.await_events([stuck], 90)
    settled(world, 90)
    return delays, p99, copies, status
