"""The running stack: addresses from the environment, services stopped and started by deploy/stack."""

import os
import subprocess
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
COMMAND_TIMEOUT = 240


class Stack:
    replication = 1  # of topics

    def __init__(self):
        self.bootstrap = os.environ["KAFKA_BOOTSTRAP"]
        self.database_url = os.environ["DATABASE_URL"]
        self.redis_url = os.environ["REDIS_URL"]
        self.directory = os.environ["INTERLOCK_STACK_DIR"]

    def control(self, *words):
        done = subprocess.run([ROOT / "deploy/stack", *words, "--dir", self.directory], capture_output=True, text=True,
                              timeout=COMMAND_TIMEOUT, check=False)
        assert done.returncode == 0, f"deploy/stack {' '.join(words)}: {done.stderr}"

    def start(self, service):
        self.control("start", service)

    def stop(self, service):
        self.control("stop", service)

    def kill(self, service):
        self.control("kill", service)

    def restart(self, service):
        self.control("restart", service)

    def redis(self, *words):
        address = urllib.parse.urlparse(self.redis_url)
        done = subprocess.run(["redis-cli", "-h", address.hostname, "-p", str(address.port), *words],
                              capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    def url_of(self, database):
        return urllib.parse.urlparse(self.database_url)._replace(path="/" + database).geturl()
