"""A broker for one test, with settings that the stack's broker must not have."""

import base64
import contextlib
import copy
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from .stack import ROOT, ask_deploy
from .waiting import until

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    # Few partitions: the first transaction and the first group wait for each of them to load.
    "offsets.topic.num.partitions": 2,
    "transaction.state.log.num.partitions": 2,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
}


PORTS = range(29000, 32700)  # below those that the system gives to whoever connects: while a broker is down, one of its
#                              clients could be given its port, and even be connected with itself


def is_free(port):
    with contextlib.suppress(OSError):
        socket.create_server(("127.0.0.1", port)).close()
        return True
    return False


def free_ports(count):
    """Somebody may take them before the broker does; then it says so and the test fails."""
    ports = []
    while len(ports) < count:
        port = random.SystemRandom().choice(PORTS)
        if port not in ports and is_free(port):
            ports.append(port)
    return ports


def jars():
    """Where deploy/install put them."""
    return Path(ask_deploy("kafka_jars"))


def cluster_id():
    """As all ids of Kafka: 16 random bytes in base64url, and none may look like an option."""
    return "A" + base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")[1:]


LOGS = {}  # address of each private broker -> its log


def keep_logs(stack, name, folder):
    """Copies what the servers of a stack said to `folder`, for whoever looks why a test failed; returns where."""
    private = {f"broker-{address.rpartition(':')[2]}": LOGS[address] for address in stack.bootstrap.split(",")
               if address in LOGS}
    common = {path.stem: path for path in (Path(stack.directory) / "log").glob("*.log")
              if not private or path.stem != "kafka"}
    kept = []
    for service, path in {**common, **private}.items():
        with contextlib.suppress(OSError):
            kept.append(Path(shutil.copy(path, folder / f"{name}.{service}.log")))
    return kept


class PrivateBroker:
    """`with PrivateBroker({"transactional.id.expiration.ms": 2000}) as broker`: one KRaft node at broker.bootstrap, its
    data in a temporary folder. It keeps its ports and its data over stop, kill and start, and dies with this
    process."""

    def __init__(self, settings=None, heap="384m"):
        self.folder = Path(tempfile.mkdtemp(prefix="broker-"))
        self.port, controller = free_ports(2)
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.heap, self.process = heap, None
        LOGS[self.bootstrap] = self.folder / "log"
        self.settings = {
            **SETTINGS,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "log.dirs": self.folder / "data",
            **(settings or {}),
        }

    def __enter__(self):
        try:
            self.format()
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    # ---- the process ----

    def java(self, *words):
        return ["setpriv", "--pdeathsig", "KILL", "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
                "-Xmx" + self.heap, "-Djava.net.preferIPv4Stack=true",
                f"-Dlog4j2.configurationFile={ROOT / 'deploy/kafka/log4j2.properties'}",
                "-cp", f"{jars()}/*", *[str(each) for each in words]]

    def write_settings(self):
        path = self.folder / "server.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in self.settings.items()), encoding="utf-8")
        return path

    def format_words(self):
        """Further settings of its storage at the start."""
        return []

    def format(self):
        words = self.java("kafka.tools.StorageTool", "format", "-t", cluster_id(), "-c", self.write_settings(),
                          *self.format_words())
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, timeout=90):
        """Also after stop or kill, with whatever self.settings says by then."""
        self.launch()
        until("the broker answers", self.answers, timeout, pause=0.1)
        return self

    def launch(self):
        """Returns before it answers: one of several needs the others. Its parent is the thread that calls this."""
        assert self.process is None or self.process.poll() is not None, "it runs already"
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self.java("kafka.Kafka", self.write_settings()), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)

    def answers(self):
        assert self.process.poll() is None, f"the broker ended:\n{self.text()[-3000:]}"
        with contextlib.suppress(OSError, KafkaException):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0}).list_topics(timeout=2).brokers
        return False

    def text(self):
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def signal(self, number):
        """SIGSTOP makes it silent: connections stay, nothing is answered; SIGCONT."""
        os.kill(self.process.pid, number)

    def stop(self, timeout=60):
        self.signal(signal.SIGTERM)
        self.process.wait(timeout)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait(20)

    def close(self):
        self.kill()
        LOGS.pop(self.bootstrap, None)
        shutil.rmtree(self.folder, ignore_errors=True)


def stack_with(stack, bootstrap):
    """The same PostgreSQL and Redis, another Kafka: for make_world(name, stack=...)."""
    other = copy.copy(stack)
    other.bootstrap = bootstrap
    return other
