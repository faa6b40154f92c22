"""Trials on three brokers: `from brokers import cluster, wide`. The brokers are started once for a module."""

import pytest

from harness.cluster import Cluster
from harness.fixtures import finish
from trial import Trial, running


@pytest.fixture(scope="module")
def cluster():
    with Cluster() as made:
        yield made


@pytest.fixture
def wide(request, make_world, stack, cluster):
    """A trial on three brokers, with as many partitions as its module says."""
    cluster.start_missing()
    cluster.wait_in_sync()
    partitions = {"partitions": request.module.PARTITIONS} if hasattr(request.module, "PARTITIONS") else {}
    world = make_world(request.node.name.removeprefix("test_"), stack=cluster.stack(stack), **partitions)
    with running(Trial(world, request.node.get_closest_marker("fault").args[0], request.node.name)) as trial:
        yield trial
    cluster.start_missing()
    finish(request, world)


def gentle(load):
    """Many small publications rather than few large ones."""
    load.burst, load.pause = 8, 0.1
    return load
