"""Fixtures of every folder of tests that runs on a stack, and a deadline for every test."""

import contextlib
import itertools
import os
import re
import signal
from pathlib import Path

import psycopg2
import pytest

from .broker import keep_logs
from .database import Database
from .stack import ROOT, Stack
from .worker import run_verb
from .world import World

TEST_SECONDS = 60  # for a test that names no deadline of its own: @pytest.mark.seconds(N)
SLOWNESS = 3       # deadlines are those of a quick machine; they only end what hangs


def pytest_configure(config):
    config.addinivalue_line("markers", "seconds(n): the test ends after n seconds, one way or the other")
    config.addinivalue_line("markers", "breaks_stack: stops, kills or restarts a service of the stack; nothing runs beside it")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    marker = item.get_closest_marker("seconds")
    seconds = SLOWNESS * (marker.args[0] if marker else TEST_SECONDS)

    def expired(_number, _frame):
        signal.alarm(30)  # once more, in case the clean-up hangs too
        pytest.fail(f"not finished after {seconds} s", pytrace=True)
    Stack.may_break = item.get_closest_marker("breaks_stack") is not None
    signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    try:
        return (yield)
    finally:
        signal.alarm(0)


@pytest.fixture(scope="session")
def stack():
    return Stack()


@pytest.fixture(scope="session")
def binary():
    path = Path(os.environ.get("TESTS_BINARY", ROOT / "build/dev/interlock")).resolve()
    assert os.access(path, os.X_OK), f"{path} is not there: build it, or set TESTS_BINARY"
    return str(path)


@pytest.fixture(scope="session")
def log_directory():
    path = Path(os.environ.get("TESTS_LOGS", ROOT / "build/test-logs"))
    path.mkdir(parents=True, exist_ok=True)
    if "TESTS_LOGS" not in os.environ:  # else others write there too, and tests/run took the old ones away
        for old in path.glob("*.log"):
            old.unlink()
    return path


# The template's own migrations are actions: a world begins with none, and with an audit topic that nothing is published to.
NO_ACTIONS = """SET session_replication_role = replica;
    DELETE FROM interlock.operator_outbox; DELETE FROM interlock.operator_item; DELETE FROM interlock.operator_action;
    ALTER TABLE interlock.operator_action ALTER COLUMN id RESTART"""


def make_roles(stack):
    """Those that roles.sql would make without a password: here with the stack's, which is in PGPASSWORD."""
    names = re.findall(r"'(interlock_[a-z_]+)'", (ROOT / "schema/roles.sql").read_text(encoding="utf-8"))
    for name in sorted(set(names)):
        with contextlib.suppress(psycopg2.errors.DuplicateObject, psycopg2.errors.UniqueViolation):
            Database(stack.database_url).execute(f"CREATE ROLE {name} LOGIN PASSWORD '{stack.password}'")


@pytest.fixture(scope="session")
def template(stack, binary):
    """A migrated database that worlds are copied from."""
    make_roles(stack)
    name = f"template_{os.getpid()}"  # never dropped: that waits for a checkpoint of everything
    Database(stack.database_url).execute(f"CREATE DATABASE {name}")
    environment = {**os.environ, "DATABASE_URL": stack.url_of(name)}
    done = run_verb(binary, environment, "migrate", "up")
    assert done.returncode == 0, done.stderr
    Database(stack.url_of(name)).execute(NO_ACTIONS)
    return name


@pytest.fixture(scope="session")
def make_world(stack, binary, template, log_directory):
    """Makes worlds; ends those that are left at the end. `stack`: another one than the tests' (broker.stack_with)."""
    made = []

    def make(name, **options):
        # The process id keeps a second run on the same stack apart from the first.
        unique = f"t{os.getpid()}_{len(made) + 1}_{name}"
        world = World(options.pop("stack", stack), binary, unique, log_directory, **options)
        made.append(world)
        return world.make(template)
    yield make
    for world in made:
        if not world.closed:
            world.close()


def finish(request, world):
    """Ends a world. A sanitizer's complaint fails the test; a failed test shows the ends of its workers' logs, and where
    the whole of them is kept, and what the servers said."""
    complaints = world.close()
    reports = [getattr(request.node, f"report_{when}", None) for when in ("setup", "call")]
    if complaints or any(report is not None and report.failed for report in reports):
        print(f"--- kept for a look: database and topics {world.name}")
        kept = keep_logs(world.stack, world.name, world.log_directory)
        print("--- kept logs:", *[worker.log for worker in world.workers], *kept, sep="\n    ")
        for worker in world.workers:
            print(f"--- the end of {worker.log.name}\n{worker.text(whole=True)[-4000:]}")
    else:
        world.forget()
    assert not complaints, "\n".join(complaints[:20])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    setattr(item, f"report_{report.when}", report)
    return report


@pytest.fixture
def world(request, make_world):
    """A world for one test."""
    made = make_world(request.node.name.removeprefix("test_"))
    yield made
    finish(request, made)


@pytest.fixture(scope="module")
def numbers():
    return itertools.count(1000, 1000)


@pytest.fixture
def number(numbers):
    """An id that no other test of the module uses, with room above it for children."""
    return next(numbers)


@pytest.fixture(scope="module")
def shared(request, make_world):
    """A world with one worker for all tests of a module, which must keep to ids of their own."""
    made = make_world(request.node.name.rpartition("/")[2].removeprefix("test_").removesuffix(".py"))
    made.worker()
    yield made
    finish(request, made)
