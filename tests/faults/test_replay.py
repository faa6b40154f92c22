"""Topics and offsets go back, or are gone."""

import pytest

from harness.commands import append, create_ticket, escalate, transition
from harness.load import Load, judge, progress
from harness.waiting import until

STEADY = ("ticket", "ticket_history", "jobneed", "inbox", "audit_event", "audit_also", "dead_letter")


# ---- again from the beginning ------------------------------------------------------------------------------

def steady(world):
    """What must not change: rows, without the bookkeeping of owners; and the events."""
    return world.database.fingerprint(*STEADY), [each.event_id for each in world.audit.all()]


@pytest.mark.fault(23)
@pytest.mark.seconds(150)
def test_a_rewound_group_and_a_replayed_topic_change_nothing(world):
    worker = world.worker()
    with Load(world) as load:
        world.publish(*[type(append(1, ""))(value, f"ticket/{number}") for number, value in
                        enumerate([b"{", b"", None, b"[]", b"\xff"] * 2, 1)])
        progress(world, 400)
    judge(world, load, letters=10)
    before = steady(world)
    for target in ("the beginning", "the middle", "the beginning again"):
        assert worker.end() == 0
        ends = world.kafka.ends(world.topic)
        offsets = {number: end // 2 if target == "the middle" else 0 for number, end in ends.items()}
        world.kafka.move_offsets(world.group, world.topic, offsets)
        worker.start().wait_ready()
        world.drain()
        world.check()
        assert steady(world) == before, f"after a rewind to {target}"
    replay = [message for message in load.distinct.values()]
    world.publish(*replay, *[message.at(3) for message in replay[::5]])
    world.drain()
    world.check()
    assert steady(world) == before, "after a replay of the commands"


@pytest.mark.fault(23)
@pytest.mark.seconds(90)
def test_a_group_that_was_forgotten_starts_over_and_changes_nothing(world):
    """As when its offsets expired: no committed offset at all."""
    worker = world.worker()
    with Load(world) as load:
        progress(world, 200)
    judge(world, load)
    before = steady(world)
    assert worker.end() == 0
    until("the group is empty and deleted", lambda: world.kafka.forget_group(world.group), 30, pause=0.2)
    worker.start().wait_ready()
    world.drain()
    world.check()
    assert steady(world) == before


@pytest.mark.fault(23)
@pytest.mark.seconds(120)
@pytest.mark.parametrize("worker_is", ["running", "ended"])
def test_a_topic_made_anew_is_read_from_its_beginning(world, worker_is):
    """Deleted and created under a worker: its offsets start at 0 again, and old commands sent again are still known."""
    worker = world.worker()
    old = [create_ticket(number) for number in range(1, 41)]
    world.ask(*old)
    world.drain()
    if worker_is == "ended":
        assert worker.end() == 0
    used = sum(end > 0 for end in world.kafka.ends(world.topic).values())
    world.kafka.recreate(world.topic, world.partitions)
    if worker_is == "running":
        # Offsets alone tell one topic from another: had the new one grown past the old position, nobody could see it.
        until("its partitions are taken over again", lambda: world.database.value(
            "SELECT count(*) FROM interlock.partition_owner WHERE fence > 1") >= used)
    new = [escalate(number) for number in range(1, 41)]
    world.publish(*old[:10], *new)
    if worker_is == "ended":
        worker.start()
    told = world.await_events(new, 80)
    assert [each.outcome for each in told] == ["applied"] * 40
    world.drain()
    assert world.database.row("SELECT count(*), sum(level), sum(version) FROM interlock.ticket") == (40, 40, 80)
    assert len(world.audit.all()) == 80


@pytest.mark.fault(23)
@pytest.mark.seconds(90)
def test_a_rewind_while_commands_wait_publishes_each_once(world):
    """Some commands below the rewind were published, some not."""
    worker = world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 31)])
    world.drain()
    messages = [escalate(1 + step % 30) for step in range(90)]
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 7 FOR UPDATE"):
        world.publish(*messages)
        until("all others are applied", lambda: world.database.value("SELECT sum(level) FROM interlock.ticket") == 87)
        worker.kill()
    world.kafka.move_offsets(world.group, world.topic, dict.fromkeys(range(world.partitions), 0))
    worker.start().wait_ready()
    world.await_events(messages)
    world.drain()
    world.check()


