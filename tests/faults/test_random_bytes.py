"""Random bytes from every side at a running worker: the command topic, its HTTP port, the answers of Redis. tests/fuzz is
the same of each reader alone, a million times as fast."""

import contextlib
import random
import socket
import threading
import urllib.parse

import pytest

from check.envelope import Unreadable, read_command
from check.evidence import read_topic
from harness.commands import Message, binary, event, structured
from harness.load import TICKETS, Load
from harness.relay import Relay, Watcher
from harness.stack import moved
from harness.waiting import until
from trial import minutes

PIECES = [b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b"null", b"-", b"1e9", b"\\u0000", b"\\ud800", b"\x00", b"\xff",
          b"\xc3\xa9", b"9223372036854775808", b'"data":', b'"id":"x",', b"ticket", b"0"]


def mutate(generator, raw):
    """Near enough to what is right to get far into the readers."""
    raw = bytearray(raw)
    for _ in range(generator.choice([1, 1, 1, 2, 5, 20])):
        at = generator.randrange(len(raw) + 1)
        change = generator.randrange(6)
        if change == 0 and raw:
            raw[at % len(raw)] ^= 1 << generator.randrange(8)
        elif change == 1 and raw:
            raw[at % len(raw)] = generator.randrange(256)
        elif change == 2:
            raw[at:at] = generator.choice(PIECES)
        elif change == 3:
            del raw[at:at + generator.randrange(1, 9)]
        elif change == 4:
            raw[at:at] = raw[at:at + generator.randrange(40)]
        else:
            del raw[at:]
    return bytes(raw)


class Noise(Load):
    """A third of the messages is bytes: drawn, or good messages with something wrong in value, key or headers."""

    def publish_burst(self):
        messages = [self.strange() if self.generator.random() < 0.3 else self.one() for _ in range(self.burst)]
        self.sent += len(messages)
        self.world.publish(*messages)

    def strange(self):
        draw = self.generator
        number = draw.randint(1, TICKETS)
        if draw.random() < 0.2:
            size = draw.choice([0, 1, 2, 30, 300, 5000, 70000])
            return Message(draw.randbytes(size), f"ticket/{number}", [(f"ce_{draw.random()}", draw.randbytes(9))])
        data = {"ticket_id": number}
        good = draw.choice([lambda: structured(event("ticket.escalate", data), f"ticket/{number}"),
                            lambda: binary("ticket.escalate", data), lambda: self.one()])()
        value, headers = good.value, list(good.headers)
        if draw.random() < 0.8:
            value = mutate(draw, value)
        if draw.random() < 0.3:
            place = draw.randrange(len(headers))
            headers[place] = (headers[place][0], mutate(draw, headers[place][1]))
        if draw.random() < 0.1:
            headers.append((draw.choice(["ce_id", "ce_type", "ce_data", "content-type", "traceparent", "interlock.parked"]),
                            draw.randbytes(draw.choice([0, 3, 200]))))
        return Message(value, good.key, headers)


def readable(world):
    """(commands, letters) of the topic, by the checker's reading."""
    commands, letters = set(), 0
    for each in read_topic(world.stack.bootstrap, world.topic):
        try:
            commands.add(read_command(each).identity)
        except Unreadable:
            letters += 1
    return commands, letters


def knock(worker, generator):
    """Bytes at the HTTP port: near a request, or none."""
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
    noise = mutate(generator, request) if generator.random() < 0.7 else generator.randbytes(generator.randrange(9000))
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", worker.port()), 2) as link:
        link.settimeout(0.2)
        link.sendall(noise)
        link.recv(4096)


@contextlib.contextmanager
def knocking(generator, worker):
    ending, knocks = threading.Event(), []

    def run():
        while not ending.wait(0.01):
            knock(worker, generator)
            knocks.append(1)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield knocks
    finally:
        ending.set()
        thread.join(10)


class Garbled(Watcher):
    """A part of the answers is something else."""

    def __init__(self, generator, part):
        self.generator, self.part, self.garbled = generator, part, 0

    def answered(self, _link, piece):
        if self.generator.random() >= self.part:
            return piece
        self.garbled += 1
        return mutate(self.generator, piece) or b"\r\n"


@pytest.mark.fault(26)
@pytest.mark.seconds(300)
def test_bytes_from_every_side(trial):
    """It stays up, answers what is a command and lays aside the rest; good commands among them are applied."""
    world, rounds = trial.world, 40 if minutes() else 5
    redis = urllib.parse.urlparse(world.stack.redis_url)
    of_redis, of_http, of_kafka = (random.Random(trial.random.random()) for _ in range(3))  # a thread each
    garbled = Garbled(of_redis, 0.05)
    relay = Relay(redis.hostname, redis.port, garbled)
    try:
        worker = world.worker(REDIS_URL=moved(world.stack.redis_url, relay.address))
        pid = worker.pid
        with knocking(of_http, worker) as knocks, Noise(world, seed=of_kafka.random(), burst=20) as load:
            for _ in range(rounds):
                trial.progress(100)
        world.drain(90)
        commands, letters = readable(world)
        until("each has its event", lambda: commands <= set(world.events_by_identity()), 30)
        assert worker.runs() and worker.pid == pid
        assert letters > load.sent / 20 and garbled.garbled > 0 and len(knocks) > 10
        until("it is ready", worker.ready, 30)
        trial.memory_is_bounded([worker])
        trial.note(messages=load.sent, letters=letters, requests=len(knocks), garbled=garbled.garbled)
        trial.judge(ordered=False, letters=letters)
    finally:
        relay.close()
