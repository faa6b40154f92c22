"""PROTOCOL O3, O4: the advisory locks of the partitions. Whoever has no business with them cannot take them; who holds one
nevertheless is named, and the worker that waits is not ready."""

import urllib.parse

import psycopg2
import pytest

from harness.commands import create_ticket, escalate
from harness.database import session
from harness.postgresql import postgresql_seed, servers, make_world_on  # noqa: F401
from harness.waiting import until

LOCK = "SELECT pg_advisory_lock(4812404, id) FROM interlock.partition_owner"
ONE = "SELECT pg_advisory_lock(4812404, min(id)) FROM interlock.partition_owner"


def url_as(url, role, application):
    parts = urllib.parse.urlparse(url)
    return parts._replace(netloc=f"{role}@{parts.hostname}:{parts.port}", query=f"application_name={application}").geturl()


def held_by_a_stranger(world, lock=LOCK):
    """By a role that may take advisory locks, and is not the worker's: such ones are not ended."""
    world.database.execute(f"""DO $$ BEGIN
        IF to_regrole('fence_stranger') IS NULL THEN CREATE ROLE fence_stranger LOGIN PASSWORD '{world.stack.password}'; END IF;
        EXCEPTION WHEN unique_violation OR duplicate_object THEN NULL; END $$""")
    world.database.execute("GRANT USAGE ON SCHEMA interlock TO fence_stranger")
    world.database.execute("GRANT SELECT ON interlock.partition_owner TO fence_stranger")
    connection = psycopg2.connect(url_as(world.database.url, "fence_stranger", "forgotten"))
    connection.autocommit = True
    connection.cursor().execute(lock)
    return connection


def says_who(world, worker, connection):
    pid = connection.info.backend_pid
    words = f"pid {pid}, role fence_stranger, application forgotten"

    def is_named():
        status, body = worker.get("/readyz")
        return status == 503 and words in body
    until("it is not ready, because of whom", is_named, 40)
    assert words in worker.text()


@pytest.mark.seconds(90)
def test_a_worker_whose_fences_are_held_is_not_ready_and_names_who_holds_them(world):
    worker = world.worker(consumers_session_timeout="30s")
    world.ask(create_ticket(1))
    stranger = held_by_a_stranger(world)
    message = escalate(1)
    world.publish(message)
    says_who(world, worker, stranger)
    assert world.events_of(message) == []
    stranger.close()
    assert world.await_events([message])[0].outcome == "applied"
    until("it is ready", worker.ready, 30)


@pytest.mark.seconds(90)
def test_a_worker_that_starts_meanwhile_names_it_too(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    assert worker.end() == 0
    stranger = held_by_a_stranger(world, ONE)
    worker = world.worker(ready=False)
    says_who(world, worker, stranger)
    stranger.close()
    worker.wait_ready()
    assert world.ask(escalate(1)).outcome == "applied"


def test_a_holder_of_the_worker_s_own_role_is_ended(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    assert worker.end() == 0
    with session(world.database.url) as forgotten:
        forgotten.cursor().execute(ONE)
        world.worker()
        assert world.ask(escalate(1)).outcome == "applied"


@pytest.mark.seconds(90)
def test_roles_without_business_there_cannot_take_advisory_locks(servers, make_world_on):  # noqa: F811
    """A server of its own: roles.sql takes the right away from everybody else in the database."""
    server = servers.primary()
    world = make_world_on(server)
    world.database.execute("CREATE ROLE somebody LOGIN")
    for role in ("interlock_reader", "interlock_pruner", "somebody"):
        for call in ("pg_advisory_lock(4812404, 1)", "pg_advisory_xact_lock_shared(4812404, 1)", "pg_try_advisory_lock(1)"):
            with session(server.url(world.name, user=role)) as connection, connection.cursor() as cursor:
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    cursor.execute(f"SELECT {call}")
    worker = world.worker(DATABASE_URL=server.url(world.name, user="interlock_worker"))
    assert world.ask(create_ticket(1)).outcome == "applied"
    assert worker.end() == 0
