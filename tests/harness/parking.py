"""Commands that wait in PostgreSQL until they are due, or until their turn comes back."""

import datetime

from .waiting import until


def in_seconds(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).isoformat()


def parked(world, where="true"):
    return world.database.value(f"SELECT count(*) FROM interlock.parked_command WHERE {where}")


def settled(world, timeout=60):
    until("nothing is parked", lambda: parked(world) == 0, timeout)
    world.drain(timeout)
