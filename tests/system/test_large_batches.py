"""PROTOCOL B4: a batch that takes longer than a statement may passes in halves, and is not tried whole for ever."""

import pytest

from harness.commands import command
from harness.waiting import until

TOURS, CHECKPOINTS = 60, 500


def checkpoint(tour):
    return command("job.save_checkpoint", {"parent_id": tour, "action": "create", "asset_id": 1 + CHECKPOINTS,
                                           "question_set_id": 1})


@pytest.mark.seconds(120)
def test_a_batch_whose_rows_take_longer_than_a_statement_may_is_run_in_halves(world):
    """Each tour is small enough; all of them at once are not."""
    world.database.execute("INSERT INTO interlock.job (id, identifier) SELECT n, 'INTERNALTOUR' "
                           "FROM generate_series(1, %s) n", TOURS)
    world.database.execute(
        "INSERT INTO interlock.job (id, parent_id, identifier, asset_id, question_set_id, seq) "
        "SELECT 1000 + n, 1 + n %% %s, 'INTERNALTOUR', 1 + n / %s, 1, 1 + n / %s FROM generate_series(0, %s) n",
        TOURS, TOURS, TOURS, TOURS * CHECKPOINTS - 1)
    worker = world.worker(database_statement_timeout="60ms", database_lock_timeout="30ms", worker_lanes="1",
                          worker_park_when_blocking="0s", worker_park_after="1h",
                          retries_default_longest="200ms", retries_database_operation_longest="200ms", start=False)
    commands = [checkpoint(number) for number in range(1, TOURS + 1)]
    world.publish(*commands)
    worker.start()
    events = world.await_events(commands, 90)
    assert {event.outcome for event in events} == {"applied"}
    until("it was run in halves", lambda: worker.metric("interlock_batch_splits_total") > 0, 10)
