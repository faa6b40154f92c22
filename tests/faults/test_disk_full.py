"""Row 14: the disk of PostgreSQL is full. A server of the test's own keeps its data on a small file system that really
gets full."""

import contextlib
import os

import psycopg2
import pytest

from harness.postgresql import make_world_on, postgresql_seed, servers  # noqa: F401
from harness.waiting import holds_for, until
from outage import REFUSED_FOR_IT, goes_on, is_held_for, long_or, quiet_load, stays_away

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")

MEBIBYTES = 200


@pytest.fixture
def wal_on_disk():
    """Whether the WAL is on the same disk: a test's parametrize overrides it."""
    return False


@pytest.fixture
def server(servers, wal_on_disk):  # noqa: F811
    return servers.on_disk(MEBIBYTES, wal_on_disk)


@pytest.fixture
def world(server, make_world_on):  # noqa: F811
    made = make_world_on(server)
    made.server = server
    made.settings["DATABASE_URL"] = server.url(made.name, user="interlock_worker")
    return made


@pytest.mark.fault(14)
@pytest.mark.seconds(240)
def test_on_a_full_disk_everything_is_held_and_goes_on_when_there_is_room(trial, server):
    """Tables cannot grow (53100); the WAL, on a disk of its own, can."""
    world = trial.world
    trial.workers(1)
    with quiet_load(trial):
        for _ in range(long_or(1)):
            trial.progress(trial.random.randrange(20, 80))
            server.disk.fill()
            stays_away(world, "resources, SQLSTATE 53100")
            assert is_held_for(world, "SQLSTATE 53100")
            server.disk.empty()
            goes_on(trial)
    trial.judge()
    assert world.database.value(REFUSED_FOR_IT) == 0


def has_ended(server):
    """A new segment of WAL is what there is no room for."""
    with contextlib.suppress(psycopg2.Error):
        server.ask("SELECT pg_switch_wal()")
    return not server.runs()


@pytest.mark.long
@pytest.mark.fault(14)
@pytest.mark.seconds(240)
@pytest.mark.parametrize("wal_on_disk", [True], ids=["WAL"])
def test_a_server_that_ends_without_room_for_its_wal_is_waited_for(trial, server):
    """PostgreSQL panics when its WAL cannot grow, cannot recover while the disk is full, and ends. Whoever makes room
    starts it again."""
    world = trial.world
    trial.workers(1)
    with quiet_load(trial):
        trial.progress(100)
        server.disk.fill()
        until("PostgreSQL has ended", lambda: has_ended(server), 120)
        for worker in world.workers:
            until("it says that PostgreSQL does not answer", lambda worker=worker: worker.get("/readyz")[0] == 503, 40)
        holds_for("the worker lives", lambda: all(worker.get("/healthz")[0] == 200 for worker in world.workers), 1)
        server.disk.empty()
        server.start()
        goes_on(trial)
    trial.judge()
    assert world.database.value(REFUSED_FOR_IT) == 0
