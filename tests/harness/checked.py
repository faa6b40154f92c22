"""`from harness.checked import checked`: the invariants hold over everything that a module did in its shared world."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def checked(shared):
    yield
    shared.drain()
    shared.check()
