"""A stranger holds a row for minutes (PROTOCOL L3, L4)."""

import pytest

from harness.held_row import judge_neighbours

SECONDS = 300


@pytest.mark.long
@pytest.mark.fault(14)
@pytest.mark.seconds(600)
def test_for_as_long_as_a_row_is_held_the_neighbours_are_answered_within_two_seconds(trial):
    worker = trial.world.worker()
    delays, p99, copies, _status = judge_neighbours(trial.world, worker, SECONDS)
    trial.note(neighbours=len(delays), p99_ms=round(1000 * p99), longest_ms=round(1000 * delays[-1]), copies=copies)
    assert p99 <= 2
    assert copies <= SECONDS // 10
    trial.judge(ordered=False)
