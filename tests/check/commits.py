"""The commits of a group, in their order in Kafka's own topic, and who made them: with a transaction's
producer, or plainly, as an administrator moves offsets. A consumer is not told that, so the log is read as a follower
would.

Only over plain connections: where they are encrypted or need a password, the answer is Unreadable.
"""

import re
import socket
import struct
import time
from dataclasses import dataclass
from typing import Optional

TOPIC = "__consumer_offsets"
FETCH, FETCH_VERSION = 1, 4
FETCH_BYTES = 4 * 1024 * 1024
PLAIN = -1                              # the producer of a record outside of any transaction
COMPRESSED, TRANSACTIONAL, CONTROL = 0x07, 0x10, 0x20
COMMITTED = 1                           # the marker of a transaction: 0 for one that was given up
BATCH_HEAD = struct.Struct(">qiibIhiqqqhii")
MARK = re.compile(r"[0-9a-f-]{36}:([0-9]+)(?::arrears)?")
ANSWER_SECONDS = 20
PAUSE_SECONDS = 0.2
LEADERLESS = (5, 6, 74, 76)             # LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, epochs of another leader


class Unreadable(Exception):
    """Not to be had this way."""


class NotNow(Unreadable):
    """Its leader is about to change, or to be there again."""


@dataclass
class Commit:
    topic: str
    partition: int
    offset: Optional[int]   # None: forgotten, as when the group or the topic is deleted
    producer: int = PLAIN
    place: int = 0          # in Kafka's topic
    at: Optional[int] = None  # Unix microseconds
    mark: str = ""          # the commit's metadata

    @property
    def is_plain(self):
        return self.producer == PLAIN

    @property
    def fence(self):
        """Of the worker that committed it; None: somebody else did."""
        found = MARK.fullmatch(self.mark)
        return int(found[1]) if found else None

    @property
    def in_arrears(self):
        """Made by an owner that was still publishing what lacked on the audit topic."""
        return self.mark.endswith(":arrears")


# ---- the bytes -----------------------------------------------------------------------------------------------

class Bytes:
    """Reads one value after the other."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def number(self, form):
        size = struct.calcsize(form)
        value, = struct.unpack_from(form, self.data, self.at)
        self.at += size
        return value

    def take(self, size):
        if size < 0:
            return None
        self.at += size
        return self.data[self.at - size:self.at]

    def text(self):
        size = self.number(">h")
        return self.take(size).decode() if size >= 0 else None

    def compact_text(self):
        """Its length and one."""
        size = self.unsigned() - 1
        return self.take(size).decode() if size >= 0 else None

    def unsigned(self):
        """Seven bits a byte."""
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def varint(self):
        """Zigzag."""
        value = self.unsigned()
        return (value >> 1) ^ -(value & 1)


@dataclass
class Batch:
    base: int
    next: int
    attributes: int
    time_ms: int
    producer: int
    records: list   # (offset, time, key, value)


def read_batch(data, at):
    (base, length, _, magic, _, attributes, last, first_ms, _, producer, _, _, count) = BATCH_HEAD.unpack_from(data, at)
    if magic != 2 or attributes & COMPRESSED:
        raise Unreadable(f"{TOPIC} holds batches of format {magic}, compression {attributes & COMPRESSED}")
    reader, records = Bytes(data, at + BATCH_HEAD.size), []
    for _ in range(count):
        end = reader.varint() + reader.at
        reader.take(1)
        time_ms, offset = first_ms + reader.varint(), base + reader.varint()
        key = reader.take(reader.varint())
        value = reader.take(reader.varint())
        records.append((offset, time_ms, key, value))
        reader.at = end
    return at + 12 + length, Batch(base, base + last + 1, attributes, first_ms, producer, records)


def batches(data):
    """A fetch may end within a batch."""
    at = 0
    while at + BATCH_HEAD.size <= len(data) and at + 12 + struct.unpack_from(">i", data, at + 8)[0] <= len(data):
        at, batch = read_batch(data, at)
        yield batch


def read_key(key):
    """(group, topic, partition) of a commit; None: the record says something else."""
    reader = Bytes(key)
    if len(key) < 2 or reader.number(">h") not in (0, 1):
        return None
    return reader.text(), reader.text(), reader.number(">i")


def read_offset(value):
    """The offset and its metadata. All versions, 0 to 4, begin alike; from 3 on there is a leader's epoch, 4 is
    compact."""
    reader = Bytes(value)
    version, offset = reader.number(">h"), reader.number(">q")
    if not 0 <= version <= 4:
        raise Unreadable(f"{TOPIC} holds commits of version {version}")
    if version >= 3:
        reader.take(4)
    return offset, (reader.text() if version < 4 else reader.compact_text()) or ""


def read_commit(group, producer, record):
    place, time_ms, key, value = record
    named = read_key(key) if key is not None else None
    if named is None or named[0] != group:
        return None
    offset, mark = read_offset(value) if value is not None else (None, "")
    return Commit(named[1], named[2], offset, producer, place, 1000 * time_ms, mark)


class Log:
    """The commits of one group. Those of a transaction count when its marker comes, in the place where they lie."""

    def __init__(self, group):
        self.group, self.commits, self.open = group, [], {}

    def add(self, batch):
        if not batch.records:
            return  # taken out since
        if batch.attributes & CONTROL:
            _, _, key, _ = batch.records[0]
            if struct.unpack_from(">hh", key)[1] == COMMITTED:
                self.commits += self.open.pop(batch.producer, [])
            self.open.pop(batch.producer, None)
            return
        in_transaction = batch.attributes & TRANSACTIONAL
        producer = batch.producer if in_transaction else PLAIN
        found = [commit for commit in (read_commit(self.group, producer, each) for each in batch.records) if commit]
        if in_transaction:
            self.open.setdefault(producer, []).extend(found)
        else:
            self.commits += found

    def in_order(self):
        return sorted(self.commits, key=lambda commit: commit.place)


# ---- the broker ------------------------------------------------------------------------------------------------

def java_hash(text):
    units = text.encode("utf-16-be")
    value = 0
    for high, low in zip(units[::2], units[1::2]):
        value = (31 * value + (high << 8 | low)) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def partition_of(group, count):
    value = java_hash(group)
    return 0 if value == -(1 << 31) else abs(value) % count


class Follower:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), ANSWER_SECONDS)

    def close(self):
        self.socket.close()

    def ask(self, body):
        head = struct.pack(">hhih", FETCH, FETCH_VERSION, 1, 5) + b"check"
        self.socket.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        size, = struct.unpack(">i", self.receive(4))
        return self.receive(size)

    def receive(self, size):
        data = bytearray()
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise Unreadable("the broker ended the connection: does it want encryption or a password?")
            data += part
        return bytes(data)

    def fetch(self, partition, offset):
        """The bytes of whole and half batches from the offset on."""
        name = TOPIC.encode()
        topic = struct.pack(">ih", 1, len(name)) + name + struct.pack(">iiqi", 1, partition, offset, FETCH_BYTES)
        reader = Bytes(self.ask(struct.pack(">iiiib", -1, 100, 1, FETCH_BYTES, 0) + topic))
        reader.take(12)  # correlation, throttle, one topic
        reader.text()
        reader.take(8)   # one partition, its number
        error, _, _ = reader.number(">h"), reader.number(">q"), reader.number(">q")
        if error:
            raise (NotNow if error in LEADERLESS else Unreadable)(f"{TOPIC}/{partition} cannot be read: error {error}")
        reader.take(16 * max(reader.number(">i"), 0))
        return reader.take(reader.number(">i")) or b""


def read_commits(bootstrap, group):
    """Every commit of the group that Kafka still has, in order; Unreadable says why there are none to be had."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return read_from_leader(bootstrap, group)
        except NotNow:
            if time.monotonic() > deadline:
                raise
        time.sleep(PAUSE_SECONDS)


def read_from_leader(bootstrap, group):
    from confluent_kafka import TopicPartition
    from .evidence import admin_of, end_offsets

    metadata = admin_of(bootstrap).list_topics(timeout=20)  # not by its name: asking for it may make it
    topic = metadata.topics.get(TOPIC)
    if topic is None or not topic.partitions:
        return []
    number = partition_of(group, len(topic.partitions))
    leader = metadata.brokers.get(topic.partitions[number].leader)
    if leader is None:
        raise NotNow(f"{TOPIC}/{number} has no leader")
    place = TopicPartition(TOPIC, number)
    start, end = (end_offsets(bootstrap, [place], which=which)[(TOPIC, number)] for which in ("earliest", "latest"))
    try:
        follower = Follower(leader.host, leader.port)
    except OSError as error:
        raise NotNow(f"{leader.host}:{leader.port}: {error}") from error
    try:
        return follow(follower, number, start, end, group)
    except OSError as error:
        raise Unreadable(f"{leader.host}:{leader.port}: {error}") from error
    finally:
        follower.close()


def follow(follower, number, start, end, group):
    log = Log(group)
    while start < end:
        before = start
        for batch in batches(follower.fetch(number, start)):
            if batch.next > start:
                log.add(batch)
                start = batch.next
        if start == before:
            raise Unreadable(f"{TOPIC}/{number} could not be read beyond {start}")
    return log.in_order()
