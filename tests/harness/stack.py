"""The running stack: addresses from the environment, services stopped and started by deploy/stack."""

import fcntl
import functools
import os
import subprocess
import tempfile
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND_TIMEOUT = 240
ALONE = "other tests run on this stack: mark the test @pytest.mark.breaks_stack"


@functools.cache
def ask_deploy(function):
    """The output of a function of deploy/lib.sh: where programs and jars are."""
    done = subprocess.run(["bash", "-c", '. "$1"; "$2"', "-", ROOT / "deploy/lib.sh", function], capture_output=True,
                          text=True, check=True)
    return done.stdout.strip()


def moved(url, address):
    """The same service at another address: through a proxy."""
    parts = urllib.parse.urlparse(url)
    who = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{who}@{address}" if who else address).geturl()


def apply_roles(database_url):
    """schema/roles.sql, by psql. Roles are the whole server's, and PostgreSQL refuses two who change one at a time."""
    port = urllib.parse.urlparse(database_url).port
    with open(Path(tempfile.gettempdir()) / f"interlock-roles-{os.geteuid()}-{port}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for _ in range(5):
            done = subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", database_url, "-f", ROOT / "schema/roles.sql"],
                                  capture_output=True, text=True, timeout=60, check=False)
            # It changes the owners of tables that a worker of the test uses already, which its first lines advise against.
            if "deadlock detected" not in done.stderr:
                break
    assert done.returncode == 0, done.stderr


class Stack:
    replication = 1  # of topics
    may_break = False  # the test that runs just now is marked breaks_stack, so it has this stack for itself

    def __init__(self):
        self.bootstrap = os.environ["KAFKA_BOOTSTRAP"]
        self.database_url = os.environ["DATABASE_URL"]
        self.redis_url = os.environ["REDIS_URL"]
        self.directory = os.environ["INTERLOCK_STACK_DIR"]
        self.redis_cli = ask_deploy("redis_cli")
        # For addresses that were changed and lost it, for roles that tests make with it, and for redis-cli.
        self.password = urllib.parse.urlparse(self.database_url).password or ""
        os.environ["PGPASSWORD"] = self.password
        os.environ["REDISCLI_AUTH"] = urllib.parse.urlparse(self.redis_url).password or ""

    def control(self, *words):
        assert Stack.may_break, ALONE
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
        assert Stack.may_break or " ".join(words[:2]).lower() not in ("flushall", "config set", "script flush"), ALONE
        address = urllib.parse.urlparse(self.redis_url)
        done = subprocess.run([self.redis_cli, "-h", address.hostname, "-p", str(address.port), *words],
                              capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    def url_of(self, database):
        return urllib.parse.urlparse(self.database_url)._replace(path="/" + database).geturl()
