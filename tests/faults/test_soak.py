"""Anything, in any order, for a long time; and nothing at all, for a long time."""

import pytest

from conftest import minutes
from soak import Slope, Soak

LONG = 60 * minutes()


def test_a_slope_is_seen():
    """The judge itself: noise is flat, a leak of a page a sample is not."""
    noise = [(at, 50000 + 37 * (at * 7919 % 23)) for at in range(0, 1800, 60)]
    assert Slope(noise).is_flat("rss_kib")
    assert not Slope([(at, value + 4 * at) for at, value in noise]).is_flat("rss_kib")
    assert not Slope([(at, 30 + at // 300) for at in range(0, 1800, 60)]).is_flat("descriptors")


@pytest.mark.fault(28)
@pytest.mark.seconds(int(LONG * 2 + 300))
def test_random_faults_leave_no_trace_and_no_slope(trial):
    """20 s, which are too few for slopes, or --minutes."""
    soak = Soak(trial).run(LONG or 20)
    slopes = soak.note()
    trial.judge(within=120)
    assert slopes == []


@pytest.mark.long
@pytest.mark.fault(28)
@pytest.mark.seconds(int(LONG * 2 + 300))
def test_a_quiet_time_has_no_slope(trial):
    """A third of --minutes, without a fault."""
    soak = Soak(trial, faults=False, victims=0).run(LONG / 3)
    slopes = soak.note()
    trial.judge()
    assert slopes == []
