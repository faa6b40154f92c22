"""The resources that a worker uses, and its caps: `interlock describe bounds` prints the caps for its settings."""

import contextlib
import functools
import json
import os
import re
import urllib.parse
from pathlib import Path

from confluent_kafka.admin import AdminClient
from psycopg2.extensions import parse_dsn

from .worker import run_verb

TCP = re.compile(r"^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:([0-9A-F]{4}) ([0-9A-F]{2}) \S+ \S+ \S+ +\d+ +\d+ (\d+)",
                 re.MULTILINE)
ADDRESSES = {"KAFKA_BOOTSTRAP": "INTERLOCK_KAFKA_BOOTSTRAP", "DATABASE_URL": "INTERLOCK_DATABASE_URL",
             "REDIS_URL": "INTERLOCK_REDIS_URL"}  # each with what overrides it
LISTEN = "0A"
CLOSED = {"06", "07", LISTEN}  # TIME_WAIT, CLOSE: no connection of ours
STRANGE = "port "  # and its number: a connection to none of the servers


@functools.lru_cache
def is_sanitized(binary):
    """A sanitizer keeps what was freed for a while, and shadows the rest: memory says nothing then."""
    content = Path(binary).read_bytes()
    return any(name in content for name in (b"__asan_init", b"__tsan_init", b"__msan_init"))


def descriptors(pid):
    return os.listdir(f"/proc/{pid}/fd")


def sockets(pid):
    """The inodes of its sockets."""
    found = set()
    for number in descriptors(pid):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:
            continue  # closed meanwhile
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def remote_ports(pid):
    """The ports that its sockets are connected to, or being connected, one for each. Not those that came to it."""
    mine, found = sockets(pid), {}
    for table in ("tcp", "tcp6"):
        for local, remote, state, inode in TCP.findall(Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii")):
            if inode in mine:
                found[inode] = (local, remote, state)  # a table that changes while it is read shows lines again
    listens = {local for local, _, state in found.values() if state == LISTEN}
    return [int(remote, 16) for local, remote, state in found.values() if state not in CLOSED and local not in listens]


def environment_of(pid):
    """With which it was started."""
    content = Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "surrogateescape")
    if not content:
        raise ProcessLookupError(f"process {pid} is just beginning or has ended")
    return dict(line.split("=", 1) for line in content.split("\0") if "=" in line)


@functools.lru_cache(maxsize=None)
def advertised(bootstrap):
    """The ports of the brokers that the cluster names to whoever asks one of them."""
    brokers = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=20).brokers
    return frozenset(each.port for each in brokers.values())


def kafka_ports(bootstrap):
    return {int(each.rpartition(":")[2]) for each in bootstrap.split(",")}


def ports_of(environment, brokers):
    """Service -> the ports at which a process with this environment finds it: proxies, a server of the test's own, a
    primary and its standby. A proxy for Kafka names itself instead of the brokers; without one they are found by the
    names that they give themselves."""
    kafka, database, redis = (environment.get(over) or environment[name] for name, over in ADDRESSES.items())
    return {"postgresql": {int(each) for each in parse_dsn(database).get("port", "5432").split(",")},
            "redis": {urllib.parse.urlparse(redis).port or 6379}, "kafka": kafka_ports(kafka) | brokers}


def connections(pid, stack):
    """Service -> how many it has; what leads elsewhere is told by its port."""
    known = ports_of(environment_of(pid), kafka_ports(stack.bootstrap) | advertised(stack.bootstrap))
    counts = dict.fromkeys(known, 0)
    for port in remote_ports(pid):
        name = next((name for name, ports in known.items() if port in ports), f"{STRANGE}{port}")
        counts[name] = counts.get(name, 0) + 1
    return counts


def in_status(pid, name):
    found = re.search(name + r":\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    if found is None:
        raise ProcessLookupError(f"process {pid} has ended")
    return int(found.group(1))


def rss_kib(pid):
    return in_status(pid, "VmRSS")


def peak_rss_kib(pid):
    """The kernel's own high-water mark, which no sample misses."""
    return in_status(pid, "VmHWM")


def usage(pid, stack):
    """The resources that the process uses just now. OSError: it has ended."""
    return {"rss_kib": rss_kib(pid), "descriptors": len(descriptors(pid)),
            "threads": len(os.listdir(f"/proc/{pid}/task")), **connections(pid, stack)}


# ---- what it may ----

@functools.lru_cache(maxsize=None)
def derived(binary, settings, options):
    done = run_verb(binary, dict(settings), "describe", "bounds", "--output", "json", *options)
    assert done.returncode == 0, done.stderr
    return {name: part["total"] for name, part in json.loads(done.stdout).items()}


def caps(binary, worker):
    """The names of usage() -> the most that the worker's settings allow. Without memory where a sanitizer has its
    own."""
    settings = tuple(sorted((name, value) for name, value in worker.environment.items()
                            if name.startswith("INTERLOCK_") or name in ADDRESSES))
    options = ("--config", *worker.arguments[-1:]) if "--config" in worker.arguments else ()
    found = dict(derived(binary, settings, options))
    memory = found.pop("memory")
    return found if is_sanitized(binary) else {**found, "rss_kib": memory // 1024}


class Meter:
    """The most that each worker was seen to use, and where that was more than its caps. A connection to none of the
    servers that it was told of is too many: it would be missing from the numbers of one of them."""

    def __init__(self, world):
        self.world, self.peak, self.over = world, {}, set()
        advertised(world.stack.bootstrap)  # now, while nothing is broken yet

    def measure(self, worker):
        """OSError: it has ended."""
        used = usage(worker.pid, self.world.stack)
        with contextlib.suppress(OSError):
            used["rss_kib"] = max(used["rss_kib"], peak_rss_kib(worker.pid))
        allowed = caps(self.world.binary, worker)  # a test may start it by another program
        for name, value in used.items():
            self.peak[name] = max(self.peak.get(name, 0), value)
            most = allowed.get(name, 0 if name.startswith(STRANGE) else value)
            if value > most:
                self.over.add(f"{worker.log.name}: {name} {value}, allowed are {most}")
        return used
