"""What a worker uses, and what it may: `interlock describe bounds` prints the caps for its settings."""

import contextlib
import functools
import json
import os
import re
import urllib.parse
from pathlib import Path

from .worker import run_verb

TCP = re.compile(r"^\s*\d+: \S+ [0-9A-F]+:([0-9A-F]{4}) ([0-9A-F]{2}) \S+ \S+ \S+ +\d+ +\d+ (\d+)", re.MULTILINE)
ADDRESSES = ("KAFKA_BOOTSTRAP", "DATABASE_URL", "REDIS_URL")
CLOSED = {"06", "07", "0A"}  # TIME_WAIT, CLOSE, LISTEN: no connection of ours


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
    """The ports of the servers that its sockets are connected to, or being connected."""
    mine, found = sockets(pid), {}
    for table in ("tcp", "tcp6"):
        for port, state, inode in TCP.findall(Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii")):
            if inode in mine and state not in CLOSED:
                found[inode] = int(port, 16)  # a table that changes while it is read shows lines again
    return found.values()


def ports_of(stack):
    kafka = {int(each.rpartition(":")[2]) for each in stack.bootstrap.split(",")}
    return {"postgresql": {urllib.parse.urlparse(stack.database_url).port},
            "redis": {urllib.parse.urlparse(stack.redis_url).port}, "kafka": kafka}


def rss_kib(pid):
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


def usage(pid, stack):
    """What the process uses just now."""
    open_ports = list(remote_ports(pid))
    return {"rss_kib": rss_kib(pid), "descriptors": len(descriptors(pid)),
            "threads": len(os.listdir(f"/proc/{pid}/task")),
            **{name: sum(port in ports for port in open_ports) for name, ports in ports_of(stack).items()}}


def peak_rss_kib(pid):
    """The kernel's own high-water mark, which no sample misses."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1))


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
    """The most that each worker was seen to use, and where that was more than its caps."""

    def __init__(self, world):
        self.world, self.peak, self.over = world, {}, set()

    def measure(self, worker):
        used = usage(worker.pid, self.world.stack)
        with contextlib.suppress(OSError, AttributeError):
            used["rss_kib"] = max(used["rss_kib"], peak_rss_kib(worker.pid))
        allowed = caps(self.world.binary, worker)  # a test may start it by another program
        for name, value in used.items():
            self.peak[name] = max(self.peak.get(name, 0), value)
            if value > allowed.get(name, value):
                self.over.add(f"{worker.log.name}: {name} {value}, allowed are {allowed[name]}")
        return used
