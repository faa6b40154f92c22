"""A host of its own for a worker: a network namespace, joined to this one by a wire that loses and delays packets or
carries none. Lost packets are sent again by the kernels' TCP, as on a real network.

The wire is a process that holds both ends, two TUN devices; when it ends, for whatever reason, devices and namespace
are gone with it. It needs root, /dev/net/tun, `ip` and `nsenter`: `why_not` says what is missing.
"""

import concurrent.futures
import contextlib
import ctypes
import fcntl
import heapq
import itertools
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
PACKET = 65536
FAR_DEVICE = "far"


class Unavailable(Exception):
    pass


def why_not():
    """None where hosts can be made. Root alone does not tell, in a container: it tries."""
    if os.geteuid() != 0:
        return "network namespaces are made by root only"
    missing = [each for each in ("ip", "nsenter") if not shutil.which(each)]
    if missing:
        return f"there is no {missing[0]} here"
    try:
        Host().close()
        return None
    except Unavailable as reason:
        return str(reason)


# ---- the wire's process ----------------------------------------------------------------------------------

def system_call(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def open_end(device, address):
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN | IFF_NO_PI))
    for words in (["addr", "add", f"{address}/30", "dev", device], ["link", "set", device, "up", "txqueuelen", "1000"]):
        subprocess.run(["ip", *words], check=True)
    return end


class Wire:
    """Carries packets between two descriptors. Its conditions come as lines on stdin: loss, delay, carries."""

    def __init__(self, near, far, seed):
        self.others = {near: far, far: near}
        self.random = random.Random(seed)
        self.loss, self.delay, self.carries = 0.0, 0.0, 1.0
        self.under_way, self.order = [], itertools.count()

    def run(self, commands):
        poll = select.poll()
        for each in (*self.others, commands):
            poll.register(each, select.POLLIN)
        while True:
            wait = max(0.0, self.under_way[0][0] - time.monotonic()) if self.under_way else None
            for ready, _ in poll.poll(None if wait is None else 1000 * wait + 0.5):
                if ready != commands:
                    self.take(ready)
                elif not self.obey(os.read(commands, PACKET).decode()):
                    return
            self.deliver()

    def obey(self, lines):
        """False when whoever gives the commands is gone."""
        for name, value in (line.split() for line in lines.splitlines()):
            setattr(self, name, float(value))
        return bool(lines)

    def take(self, end):
        with contextlib.suppress(BlockingIOError):
            for _ in range(64):
                packet = os.read(end, PACKET)
                if self.carries and self.random.random() >= self.loss:
                    entry = (time.monotonic() + self.delay, next(self.order), self.others[end], packet)
                    heapq.heappush(self.under_way, entry)

    def deliver(self):
        while self.under_way and self.under_way[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(self.under_way)
            with contextlib.suppress(OSError):  # the device is full: a packet less
                os.write(end, packet)


def main(device, near_address, far_address, seed):
    near = open_end(device, near_address)
    system_call("unshare", CLONE_NEWNET)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    far = open_end(FAR_DEVICE, far_address)
    print("up", flush=True)
    Wire(near, far, seed).run(0)


# ---- the test's side ---------------------------------------------------------------------------------------

class Host:
    """One at a time in a process. `near` is the address at which whoever is on the new host reaches this one: relays
    listen there."""

    def __init__(self, seed=0):
        number = 4 * (os.getpid() % 16384)  # of the network for measurements, 198.18.0.0/15: a piece of four addresses
        place = f"198.18.{number // 256}"
        self.near, self.address = f"{place}.{number % 256 + 1}", f"{place}.{number % 256 + 2}"
        self.wire = subprocess.Popen([sys.executable, str(Path(__file__).resolve()), f"wire{os.getpid()}", self.near,
                                      self.address, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT)
        said = [self.wire.stdout.readline().decode()]
        if said != ["up\n"]:
            said += self.wire.stdout.read().decode().splitlines()
            self.close_wire()
            raise Unavailable(f"no host can be made here: {said[-1]}")
        self.inside = concurrent.futures.ThreadPoolExecutor(1, "host", self.enter)

    def enter(self):
        """The calling thread's sockets are on the host from now on."""
        with open(f"/proc/{self.wire.pid}/ns/net", "rb") as namespace:
            system_call("setns", namespace.fileno(), CLONE_NEWNET)

    def put(self, worker):
        """A worker that was not started yet will run there; its HTTP endpoint, on the host's loopback, is asked from
        inside, whatever the wire is like."""
        worker.arguments = ["--target", str(self.wire.pid), "--net", "--", worker.binary, *worker.arguments]
        worker.binary = shutil.which("nsenter")
        worker.get = self.asking(worker.get)
        return worker

    def asking(self, get):
        def ask(path, timeout=3):
            try:
                return self.inside.submit(get, path, timeout).result()
            except RuntimeError as gone:  # nobody can be sent inside any more
                return (0, str(gone))
        return ask

    def set(self, **conditions):
        """loss: the part of the packets; delay: seconds, one way; carries: 0 nothing at all."""
        lines = "".join(f"{name} {value}\n" for name, value in conditions.items())
        self.wire.stdin.write(lines.encode())
        self.wire.stdin.flush()

    def close(self):
        self.inside.shutdown()
        self.close_wire()

    def close_wire(self):
        self.wire.stdin.close()
        self.wire.wait(10)
        self.wire.stdout.close()


@contextlib.contextmanager
def host(seed=0):
    made = Host(seed)
    try:
        yield made
    finally:
        made.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
