"""PostgreSQL servers of a test's own, to be killed, cut off, filled up: a primary, its standby, one on a small disk.

A server dies with the tests, however they end; so does its disk, which is mounted where nobody else sees it."""

import contextlib
import copy
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg2
import pytest

from .broker import free_ports
from .database import Database, session
from .stack import ROOT, ask_deploy
from .waiting import until
from .worker import run_verb
from .world import World

BIN = Path(ask_deploy("postgresql_bin"))
IS_ROOT = os.geteuid() == 0  # which PostgreSQL refuses to be
SETTINGS = {
    "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "40", "shared_buffers": "32MB",
    "max_wal_size": "256MB", "min_wal_size": "32MB", "wal_keep_size": "256MB", "jit": "off", "timezone": "UTC",
    "log_timezone": "UTC", "log_line_prefix": "%m [%p] %a ", "wal_sender_timeout": "5s", "wal_receiver_timeout": "5s",
    "wal_receiver_status_interval": "1s",
}
START_SECONDS = 60


def as_postgres(*words):
    """Never root, and killed with us."""
    who = ["--reuid=postgres", "--regid=postgres", "--init-groups"] if IS_ROOT else []
    return ["setpriv", *who, "--pdeathsig", "KILL", "--", *[str(each) for each in words]]


def run(*words):
    done = subprocess.run(as_postgres(*words), capture_output=True, text=True, timeout=120, check=False, cwd="/",
                          env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, f"{words[0]}: {done.stdout}{done.stderr}"
    return done.stdout


def own(path):
    if IS_ROOT:
        account = pwd.getpwnam("postgres")
        os.chown(path, account.pw_uid, account.pw_gid)
    return path


def children(pid):
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                if int(state[1]) == pid and state[0] != "Z":
                    found.append(int(entry.name))
    return found


class Disk:
    """A file system of so many MiB, in a mount namespace that one process keeps alive."""

    def __init__(self, folder, mebibytes):
        self.folder = folder
        self.keeper = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "setpriv", "--pdeathsig", "KILL", "--", "sh", "-c",
             f'mount -t tmpfs -o size={mebibytes}m tmpfs "$0" && echo mounted && exec sleep infinity', str(folder)],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd="/")
        assert self.keeper.stdout.readline() == b"mounted\n", "no file system could be mounted"
        self.enter = ["nsenter", f"--target={self.keeper.pid}", "--mount", "--"]
        own(self.outside)

    @property
    def outside(self):
        """Where it is seen from here."""
        return Path(f"/proc/{self.keeper.pid}/root{self.folder}")

    def fill(self):
        """Until nothing more fits."""
        with open(self.outside / "filler", "ab", buffering=0) as filler, contextlib.suppress(OSError):
            while filler.write(bytes(65536)):
                pass

    def empty(self):
        (self.outside / "filler").unlink(missing_ok=True)

    def close(self):
        self.keeper.kill()
        self.keeper.wait(10)
        self.keeper.stdout.close()


class Server:
    """One server. `seed`: the cluster that it begins as. `disk`: its data live there, its WAL does if told."""

    def __init__(self, folder, seed=None, disk=None, wal_on_disk=False, **settings):
        self.folder, self.disk, self.process = folder, disk, None
        self.environment = {}                                        # more of it, from the next start on
        self.port, = free_ports(1)
        self.log = folder / "log"
        self.settings = {**SETTINGS, "port": str(self.port), **settings}
        self.data = folder / "data"                                  # as the server sees it
        if disk:
            self.data = disk.folder / "data"
        if seed:
            self.copy(seed, wal_on_disk)
        else:
            run(BIN / "initdb", "-D", self.data, "-U", "interlock", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
                "--no-sync", "--no-instructions")

    def copy(self, seed, wal_on_disk):
        """No two servers of one seed are strangers: one may follow the other."""
        subprocess.run(["cp", "-a", seed, self.here], check=True, timeout=60)
        if self.disk and not wal_on_disk:
            subprocess.run(["cp", "-a", self.here / "pg_wal", self.folder / "wal"], check=True, timeout=60)
            shutil.rmtree(self.here / "pg_wal")
            (self.here / "pg_wal").symlink_to(self.folder / "wal")

    @property
    def here(self):
        """The data as we see them."""
        return self.disk.outside / "data" if self.disk else self.data

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def url(self, database="postgres", user="interlock"):
        return f"postgresql://{user}@{self.host}/{database}"

    def ask(self, query, *parameters):
        return Database(self.url()).value(query, *parameters)

    # ---- begin and end ----

    def start(self, wait=True):
        (self.here / "postgresql.auto.conf").write_text(
            "".join(f"{name} = '{value}'\n" for name, value in self.settings.items()), encoding="utf-8")
        (self.here / "postmaster.pid").unlink(missing_ok=True)       # of one that is dead, and waited for
        words = as_postgres(BIN / "postgres", "-D", self.data)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen((self.disk.enter if self.disk else []) + words, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, cwd="/", start_new_session=True,
                                            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **self.environment})
        return self.wait() if wait else self

    def runs(self):
        return self.process is not None and self.process.poll() is None

    def answers(self):
        try:
            return self.ask("SELECT 1") == 1
        except psycopg2.OperationalError:
            assert self.runs(), f"PostgreSQL ended:\n{self.text()[-2000:]}"
            return False

    def wait(self):
        until("PostgreSQL answers", self.answers, START_SECONDS)
        return self

    def end(self, number):
        self.process.send_signal(number)
        self.process.wait(60)

    def stop(self):
        """pg_ctl stop -m fast"""
        self.end(signal.SIGINT)

    def stop_immediately(self):
        """pg_ctl stop -m immediate: no checkpoint, no word to anybody."""
        self.end(signal.SIGQUIT)

    def kill(self):
        """As if the machine lost its power: nothing of it does one step more."""
        if not self.runs():
            return
        self.process.send_signal(signal.SIGSTOP)                     # so that it makes no more children
        for pid in children(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.end(signal.SIGKILL)

    @contextlib.contextmanager
    def frozen(self):
        """It is there and does nothing, as one whose disk does not answer."""
        stopped = [self.process.pid, *children(self.process.pid)]
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def close(self):
        self.kill()

    def text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    # ---- settings, from outside the server ----

    def set(self, **settings):
        """Changes settings that need no restart, and waits until a new session sees them."""
        self.settings.update(settings)
        (self.here / "postgresql.auto.conf").write_text(
            "".join(f"{name} = '{value}'\n" for name, value in self.settings.items()), encoding="utf-8")
        self.process.send_signal(signal.SIGHUP)
        until("the settings are known", lambda: all(
            self.ask("SELECT setting FROM pg_file_settings WHERE name = %s AND applied", name) is not None and
            self.ask("SELECT current_setting(%s)", name) == value for name, value in settings.items()), 20)


class Standby(Server):
    """Follows a primary from its seed on."""

    def __init__(self, folder, seed, primary, **settings):
        super().__init__(folder, seed, **settings)
        self.follow = f"host=127.0.0.1 port={primary.port} user=interlock application_name=standby"
        self.settings["primary_conninfo"] = self.follow
        (self.here / "standby.signal").touch()
        own(self.here / "standby.signal")

    def receives(self):
        return self.ask("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'") == 1

    def lose_primary(self):
        """Hears nothing more from its primary, which notices as little as of a cut cable, but sooner."""
        self.set(primary_conninfo="")
        until("it receives nothing", lambda: self.ask("SELECT count(*) FROM pg_stat_wal_receiver") == 0, 20)

    def find_primary(self):
        self.set(primary_conninfo=self.follow)
        until("it receives", self.receives, 30)

    def promote(self):
        assert self.ask("SELECT pg_promote()")


class Servers:
    """Makes servers, and ends them."""

    def __init__(self, seed):
        self.seed, self.made = seed, []
        self.folder = own(Path(tempfile.mkdtemp(prefix="interlock-postgresql-")))

    def place(self):
        path = self.folder / str(len(self.made))
        path.mkdir()
        return own(path)

    def add(self, made):
        self.made.append(made)
        return made

    def primary(self, **settings):
        return self.add(Server(self.place(), self.seed, **settings)).start()

    def standby(self, primary, **settings):
        made = self.add(Standby(self.place(), self.seed, primary, **settings)).start()
        until("it receives", made.receives, 30)
        return made

    def on_disk(self, mebibytes, wal_on_disk=False, **settings):
        place = self.place()
        (place / "disk").mkdir()
        disk = Disk(place / "disk", mebibytes)
        self.made.append(disk)
        small = {"max_wal_size": "48MB", "wal_keep_size": "0", **settings}
        return self.add(Server(place, self.seed, disk=disk, wal_on_disk=wal_on_disk, **small)).start()

    def close(self):
        for each in reversed(self.made):
            each.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def stack_on(stack, server):
    """The tests' Kafka and Redis, and this PostgreSQL."""
    made = copy.copy(stack)
    made.database_url = server.url()
    return made


# ---- fixtures: a module that wants them imports them --------------------------------------------------------------

TEMPLATE = "template_of_worlds"


@pytest.fixture(scope="session")
def postgresql_seed(binary):
    """A cluster with a migrated database and the roles of schema/roles.sql."""
    folder = own(Path(tempfile.mkdtemp(prefix="interlock-postgresql-seed-")))
    server = Server(folder)
    try:
        server.start()
        with session(server.url()) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {TEMPLATE}")
        done = run_verb(binary, {**os.environ, "DATABASE_URL": server.url(TEMPLATE)}, "migrate", "up")
        assert done.returncode == 0, done.stderr
        run(BIN / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", server.url(TEMPLATE), "-c",
            (ROOT / "schema/roles.sql").read_text(encoding="utf-8").replace("\\set ON_ERROR_STOP on", ""))
        server.stop()
        (server.data / "postgresql.auto.conf").write_text("", encoding="utf-8")
        yield server.data
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def servers(postgresql_seed):
    made = Servers(postgresql_seed)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def make_world_on(request, stack, binary, log_directory):
    """Makes the world of a test on a server; it is ended as the others are (fixtures.finish)."""
    made = []

    def make(server):
        name = request.node.name.removeprefix("test_")
        world = World(stack_on(stack, server), binary, f"p{os.getpid()}_{len(made) + 1}_{name}", log_directory)
        made.append(world)
        return world.make(TEMPLATE)
    yield make
    from .fixtures import finish
    for world in made:
        finish(request, world)
