"""Three brokers of a test's own, and who of them leads what: partitions, groups, transactions, the cluster itself."""

import contextlib
import re
import shutil
import socket
import struct
from pathlib import Path

from confluent_kafka import ElectionType, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from .broker import PrivateBroker, cluster_id, stack_with
from .waiting import until

GROUPS, TRANSACTIONS = "__consumer_offsets", "__transaction_state"
ALTER_PARTITION_REASSIGNMENTS, DESCRIBE_QUORUM = 45, 55

THREEFOLD = {
    "default.replication.factor": 3,
    "min.insync.replicas": 2,
    "offsets.topic.replication.factor": 3,
    "transaction.state.log.replication.factor": 3,
    "transaction.state.log.min.isr": 2,
    "share.coordinator.state.topic.replication.factor": 3,
    "share.coordinator.state.topic.min.isr": 2,
    # Who leads is the tests' business.
    "auto.leader.rebalance.enable": "false",
    "controller.quorum.election.timeout.ms": 500,
    "controller.quorum.fetch.timeout.ms": 1000,
}


class Cluster:
    """`with Cluster() as cluster`: brokers 1 to 3, each a controller too; what is stopped or killed keeps its data."""

    def __init__(self, count=3, heap="256m", settings=None):
        self.nodes = {number: PrivateBroker({"node.id": number, **THREEFOLD, **(settings or {})}, heap)
                      for number in range(1, count + 1)}
        voters = [f"{number}@{controller_of(node)}" for number, node in self.nodes.items()]
        for node in self.nodes.values():
            node.settings["controller.quorum.voters"] = ",".join(voters)
        self.bootstrap = ",".join(node.bootstrap for node in self.nodes.values())
        self.admin = None

    def __enter__(self):
        try:
            self.format()
            self.start()
            self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "socket.timeout.ms": 20000, "log_level": 0})
            return self
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    def close(self):
        for node in self.nodes.values():
            node.close()

    def format(self):
        """Formatting costs half a start: one does it, the others get a copy under their own names."""
        first, *others = self.nodes.values()
        first.format()
        for node in others:
            data = Path(node.settings["log.dirs"])
            shutil.copytree(first.settings["log.dirs"], data)
            meta = data / "meta.properties"
            text = re.sub("node.id=.*", f"node.id={node.settings['node.id']}", meta.read_text(encoding="utf-8"))
            meta.write_text(re.sub("directory.id=.*", f"directory.id={cluster_id()}", text), encoding="utf-8")

    def stack(self, stack):
        """The tests' stack with this Kafka, for make_world(stack=...)."""
        other = stack_with(stack, self.bootstrap)
        other.replication = len(self.nodes)
        return other

    # ---- processes ----

    def start(self, *numbers):
        started = [self.nodes[number] for number in numbers or self.nodes]
        for node in started:
            node.launch()
        for node in started:
            until("the broker answers", node.answers, 120, pause=0.1)

    def start_missing(self):
        missing = [number for number, node in self.nodes.items() if node.process.poll() is not None]
        if missing:
            self.start(*missing)

    def stop(self, number):
        """Controlled: it hands over what it leads before it ends."""
        self.nodes[number].stop()

    def kill(self, number):
        self.nodes[number].kill()

    def restart(self, number, hard=False):
        (self.kill if hard else self.stop)(number)
        self.start(number)

    # ---- who leads ----

    def partitions(self, topic):
        return self.admin.list_topics(topic, timeout=20).topics[topic].partitions

    def leader(self, topic, partition):
        """None: there is none, or nobody says."""
        with contextlib.suppress(KafkaException, KeyError):
            number = self.partitions(topic)[partition].leader
            return number if number > 0 else None
        return None

    def place(self, topic, name):
        """The partition of a topic of coordinators that a group or a transactional id belongs to."""
        return abs(java_hash(name)) % len(self.partitions(topic))

    def coordinator(self, topic, name):
        return self.leader(topic, self.place(topic, name))

    def controller(self):
        """The leader of the quorum; brokers name any of themselves where clients ask for the controller."""
        body = compact(compact_string("__cluster_metadata") + compact(struct.pack(">i", 0) + b"\0") + b"\0") + b"\0"
        for node in self.nodes.values():
            with contextlib.suppress(OSError):
                answer = ask(node, DESCRIBE_QUORUM, 0, body)
                # error, one topic: its name, one partition: index, error, leader
                start = 2 + 1 + 1 + len("__cluster_metadata") + 1
                return struct.unpack_from(">ihi", answer, start)[2]
        return None

    def in_sync(self):
        """Every partition has all its replicas."""
        with contextlib.suppress(KafkaException):
            topics = self.admin.list_topics(timeout=20).topics.values()
            return all(len(each.isrs) == len(each.replicas) and each.leader > 0
                       for topic in topics for each in topic.partitions.values())
        return False

    def wait_in_sync(self, timeout=120):
        until("every partition has all its replicas", self.in_sync, timeout, pause=0.1)

    def lead(self, topic, partition, number):
        """Makes a broker the leader with nobody stopped: it is put first of the replicas, then the first is elected."""
        if self.leader(topic, partition) == number:
            return
        others = [each for each in self.partitions(topic)[partition].replicas if each != number]
        self.reassign(topic, partition, [number, *others])
        place = TopicPartition(topic, partition)

        def elected():
            with contextlib.suppress(KafkaException):
                for each in self.admin.elect_leaders(ElectionType.PREFERRED, [place]).result(20).values():
                    if each is not None and each.code() != KafkaError.ELECTION_NOT_NEEDED:
                        return False
                return self.leader(topic, partition) == number
            return False
        until(f"broker {number} leads {topic}/{partition}", elected, 60, pause=0.1)

    def reassign(self, topic, partition, replicas):
        numbers = compact(*[struct.pack(">i", each) for each in replicas])
        body = struct.pack(">i", 20000) + compact(
            compact_string(topic) + compact(struct.pack(">i", partition) + numbers + b"\0") + b"\0") + b"\0"

        def accepted():
            with contextlib.suppress(OSError):
                answer = ask(self.nodes[replicas[0]], ALTER_PARTITION_REASSIGNMENTS, 0, body)
                return struct.unpack_from(">h", answer, 4)[0] == 0  # behind the time it was throttled
            return False
        until(f"the replicas of {topic}/{partition} are {replicas}", accepted, 60, pause=0.2)


def controller_of(node):
    return node.settings["controller.quorum.voters"].partition("@")[2]


def java_hash(ascii):
    """String.hashCode, signed."""
    value = 0
    for each in ascii.encode("ascii"):
        value = (31 * value + each) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


# ---- two requests that confluent_kafka has no call for, in Kafka's "flexible" encoding ----------------------------

def compact(*items):
    """An array of few items."""
    return bytes([len(items) + 1]) + b"".join(items)


def compact_string(text):
    data = text.encode()
    assert len(data) < 127
    return bytes([len(data) + 1]) + data


def ask(node, key, version, body):
    """The answer's body."""
    client = b"tests"
    head = struct.pack(">hhih", key, version, 1, len(client)) + client + b"\0"
    with socket.create_connection(("127.0.0.1", node.port), timeout=20) as connection:
        connection.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        stream = connection.makefile("rb")
        size = stream.read(4)
        frame = stream.read(struct.unpack(">i", size)[0]) if len(size) == 4 else b""
    if len(frame) < 5:
        raise OSError("no answer")
    return frame[4 + 1:]  # after the correlation id and no tags
