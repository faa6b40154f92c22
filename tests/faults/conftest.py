"""Fixtures of the faults, on top of the harness. `trial`: a world of its own for one fault."""

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
for folder in (TESTS, TESTS / "system", TESTS / "faults"):
    sys.path.insert(0, str(folder))

from harness.fixtures import *      # noqa: E402,F401,F403
from harness.fixtures import pytest_configure as configure_harness  # noqa: E402
from trial import Trial, minutes, running    # noqa: E402


def pytest_configure(config):
    configure_harness(config)
    config.addinivalue_line("markers", "fault(n): the row of rows.py that the test is for")
    config.addinivalue_line("markers", "long: only in the long tier, tests/run faults --minutes N")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("long") and minutes() == 0:
            item.add_marker(pytest.mark.skip(reason="long: tests/run faults --minutes N"))


@pytest.fixture
def trial(request, world):
    marker = request.node.get_closest_marker("fault")
    assert marker, "which row of rows.py is it? @pytest.mark.fault(n)"
    with running(Trial(world, marker.args[0], request.node.name)) as made:
        yield made
