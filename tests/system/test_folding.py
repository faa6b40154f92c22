"""The number of commands in a transaction changes no outcome, row or event. PROTOCOL B3."""

import random

import pytest

from harness.commands import append, command, create_job, create_ticket, escalate, job_transition, transition

TIMES = {"time", "id", "lock_wait_us", "transaction_us"}


def script(seed, count=400):
    """The same commands, ids included, for every world; a tenth of them twice."""
    generator = random.Random(seed)
    messages = [create_ticket(number) for number in range(1, 9)] + [create_job(100, checkpoints=3)]
    for step in range(count):
        number = generator.randint(1, 9)
        messages.append(generator.choice([
            lambda: escalate(number), lambda: append(number, {"n": step}),
            lambda: transition(number, generator.choice(["OPEN", "ONHOLD", "RESOLVED", "CLOSED", "NEW"])),
            lambda: escalate(number, expectedversion=generator.randint(1, 20)),
            lambda: command("ticket.bulk_update", {"ticket_ids": [number, 10 - number] if number != 5 else [5],
                                                   "priority": generator.choice(["LOW", "HIGH"])}),
            lambda: create_ticket(number),
            lambda: job_transition(100, generator.choice(["INPROGRESS", "COMPLETED"])),
            lambda: command("job.update_checkpoint", {"jobneed_id": 101 + step % 3, "parent_id": 100, "seq": step,
                                                      "status": generator.choice(["INPROGRESS", "COMPLETED", None])}),
            lambda: command("json.append", {"aggregate": "jobneed/100", "field": "other_info", "key": "k", "value": step,
                                            "max_length": 7}),
            lambda: command("job.autoclose", {"jobneed_id": 100, "notify": "AUTOCLOSENOTIFY"}),
        ])())
        if generator.random() < 0.1:
            messages.append(generator.choice(messages))
    return messages


def untimed(value):
    """An event or a row without what no two runs share."""
    if isinstance(value, dict):
        return {name: untimed(each) for name, each in value.items() if name not in TIMES}
    return [untimed(each) for each in value] if isinstance(value, list) else value


def told(world):
    events = sorted(world.audit.all(), key=lambda each: (each.partition, each.offset))
    per_aggregate = {}
    for each in events:
        per_aggregate.setdefault(each.key, []).append(untimed(each.body))
    columns = {"ticket": "id, version, assigned_person_id, level, escalated, status, priority, comments, history_count",
               "jobneed": "id, version, parent_id, seq, status, remarks, other_info::text",
               "ticket_history": "ticket_id, seq, action, details::text, previous_state::text"}
    rows = {table: world.database.rows(f"SELECT {names} FROM interlock.{table} ORDER BY 1, 2")
            for table, names in columns.items()}
    return per_aggregate, rows


@pytest.mark.seconds(120)
@pytest.mark.parametrize("seed", range(2))
def test_batches_of_one_and_of_a_thousand_give_the_same_rows_and_events(make_world, seed):
    messages = [each.at(0) for each in script(seed)]
    results = []
    for size in ("1", "7", "1000"):
        world = make_world(f"folding_{size}", partitions=1)
        world.publish(*messages)
        world.worker(worker_batch_max=size, worker_lanes="1")
        world.drain(60)
        world.await_events(messages)
        world.check(ordered=False)
        results.append(told(world))
        assert world.workers[0].end() == 0
        assert world.close() == []
        world.forget()
    for other in results[1:]:
        assert other[1] == results[0][1]
        assert other[0] == results[0][0]
