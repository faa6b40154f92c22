"""Fixtures of the races, on top of the harness: worlds are shared by all scenarios, which keep to ids of their own."""

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
for folder in (TESTS, TESTS / "races"):
    sys.path.insert(0, str(folder))

from harness.fixtures import *      # noqa: E402,F401,F403
from harness.fixtures import finish  # noqa: E402
from stage import Stage             # noqa: E402
from table import Table             # noqa: E402


def shared_stage(request, make_world, name, **options):
    world = make_world(name)
    stage = Stage(world, **options)
    yield stage
    stage.close()
    finish(request, world)


@pytest.fixture(scope="session")
def guarded(request, make_world):
    """Everything is on here, always: at the end the outside checker looks at all of it."""
    yield from shared_stage(request, make_world, "races_guarded")


@pytest.fixture(scope="session")
def weakened(request, make_world):
    """Layers are switched off here."""
    yield from shared_stage(request, make_world, "races_weakened")


@pytest.fixture(scope="session")
def unconstrained(request, make_world):
    """The same without constraints; the old pattern runs here too."""
    yield from shared_stage(request, make_world, "races_unconstrained", constraints=False)


@pytest.fixture(scope="session")
def table():
    return Table()
