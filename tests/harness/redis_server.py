"""A Redis for one test, which may be broken as the stack's must not be."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from .stack import ask_deploy
from .waiting import until


class RedisRefused(AssertionError):
    """It answered with an error."""


class PrivateRedis:
    """`with PrivateRedis() as redis`: a server on a port of the system's choice, which it keeps over kill and start;
    its data is in memory only. `environment`: for what is preloaded into it; `options`: of its command line."""

    def __init__(self, environment=None, options=()):
        self.options = options
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.environment = {**os.environ, **(environment or {})}
        self.password, self.process = None, None

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    # ---- the process ----

    def start(self):
        """Also after kill: empty, and without what was set while it ran."""
        assert self.process is None or self.process.poll() is not None, "it runs already"
        self.password = None
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", ask_deploy("redis_server"), "--port", str(self.port), "--bind", "127.0.0.1",
                 "--dir", self.folder, "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction",
                 "--lua-time-limit", "50", *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, start_new_session=True)
        until("Redis answers", self.answers, 30)
        return self

    def answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        try:
            return self.ask("PING") == "PONG"
        except OSError:
            return False

    def signal(self, number):
        """SIGSTOP: the system accepts connections for it, and nobody answers."""
        os.kill(self.process.pid, number)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait(20)

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- questions ----

    def connect(self, timeout=10):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        if self.password is not None:
            self.exchange(connection, "AUTH", self.password)
        return connection

    def ask(self, *words, timeout=10):
        with self.connect(timeout) as connection:
            return self.exchange(connection, *words)

    def send(self, *words):
        """Without waiting for the answer. The caller closes what is returned."""
        connection = self.connect()
        connection.sendall(encode(words))
        return connection

    @staticmethod
    def exchange(connection, *words):
        connection.sendall(encode(words))
        with connection.makefile("rb") as answers:
            return decode(answers)


def encode(words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


def decode(answers):
    head = answers.readline().decode().rstrip("\r\n")
    if not head:
        raise ConnectionError("Redis has closed the connection")
    kind, rest = head[0], head[1:]
    if kind == "-":
        raise RedisRefused(rest)
    if kind == ":":
        return int(rest)
    if kind == "$":
        return None if int(rest) < 0 else answers.read(int(rest) + 2)[:-2].decode()
    if kind == "*":
        return [decode(answers) for _ in range(int(rest))]
    return rest
