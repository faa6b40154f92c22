"""P1 to P7, each with what it rests on switched off, to see it fail, and on, to see it hold.

Protections can be switched off in test builds only. A protection without a switch is broken from outside: offsets moved by hand,
delivery at least once, a lock that lies. PROTOCOL O4 (P3), K2 (P1, P4)."""

import json
import random

import pytest

from harness import sleeper
from harness.commands import Message, append, create_ticket, escalate, partition_of, transition
from harness.proxy import LateEndTxn, Proxy
from harness.waiting import NotReached, holds_for, until

OFF = [False, True]  # the failure first, the promise second: a test that could not fail proves nothing
NAMES = ["off", "on"]


def switch(on):
    return "true" if on else "false"


# ---- P1: no command is lost ---------------------------------------------------------------------------

@pytest.mark.seconds(90)
@pytest.mark.parametrize("contiguous", OFF, ids=NAMES)
def test_p1_offsets_move_over_what_is_decided_only(world, contiguous):
    """A command that waits for its row must hold back the offset. Offsets that were moved past it lose it."""
    world.worker(worker_park_when_blocking="0s")
    world.ask(create_ticket(1), create_ticket(2))
    partition = partition_of("ticket/1", world.partitions)
    waiting = escalate(1)
    others = [escalate(2).at(partition) for _ in range(20)]
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        offset = world.publish(waiting, *others)[0][1]
        until("the other ticket went on", lambda: world.database.value(
            "SELECT level FROM interlock.ticket WHERE id = 2") == 20)
        holds_for("the offset stays before what is not decided",
                  lambda: world.kafka.committed(world.group, world.topic)[partition] <= offset, 1)
        world.workers[0].kill()
        if not contiguous:
            world.kafka.move_offsets(world.group, world.topic, world.kafka.ends(world.topic))
    world.worker()
    if contiguous:
        world.await_events([waiting])
        world.drain()
        world.check(ordered=False)
    else:
        world.drain()
        lost = [each for each in world.violations(ordered=False) if each.invariant == "I1" and "0 inbox rows" in each.text]
        assert len(lost) == 1, lost


# ---- P2: no command is applied twice ---------------------------------------------------------------------

@pytest.mark.seconds(90)
@pytest.mark.parametrize("inbox", OFF, ids=NAMES)
def test_p2_the_inbox_keeps_a_command_from_being_applied_twice(world, inbox):
    world.worker(protections_inbox=switch(inbox))
    world.ask(*[create_ticket(number) for number in range(1, 11)])
    escalations = [escalate(1 + step % 10) for step in range(100)]
    world.publish(*[each for each in escalations for _ in range(3)])
    world.drain()
    total = world.database.value("SELECT sum(level) FROM interlock.ticket")
    if inbox:
        assert total == 100
        world.check()
    else:
        assert total > 100, "duplicates were not applied: nothing shows that the inbox is needed"


# ---- P3: order ---------------------------------------------------------------------------------------------

@pytest.mark.seconds(120)
@pytest.mark.parametrize("fence", OFF, ids=NAMES)
def test_p3_the_fence_refuses_a_worker_that_slept_while_offsets_were_moved(world, fence):
    assert sleeper.applied_late(world, fence) == (0 if fence else sleeper.TICKETS)


# ---- P4: an event exists exactly if its effect does, and is seen once --------------------------------------

@pytest.mark.seconds(120)
def test_p4_an_event_is_seen_once_though_workers_die(world):
    generator = random.Random(4)
    worker = world.worker(consumers_transaction_timeout="5s")
    world.ask(*[create_ticket(number) for number in range(1, 101)])
    for _ in range(12):
        seen = len(world.audit.all())
        world.publish(*[escalate(1 + step % 100) for step in range(400)])
        until("it publishes", lambda: len(world.audit.all()) >= seen + generator.randrange(1, 200), 40, pause=0.001)
        worker.kill()
        worker.start().wait_ready()
        world.drain()
    world.check()


# Late events of a lost worker are seen twice when they are delivered at least once, and not at all in a transaction:
# tests/faults/test_proxies.py.

def torn_transaction(world, guard):
    """The old end of one transaction arrives in the middle of the next one. With the same epoch it commits one half of
    it, and as the worker dies then, the other half never follows: offsets without their events, or events that are
    published again. Another worker does the rest."""
    worker = world.worker(start=False, protections_producer_guard=switch(guard))
    late = LateEndTxn(then=worker.kill)
    proxy = Proxy(world.stack.bootstrap, late)
    worker.environment["KAFKA_BOOTSTRAP"] = proxy.address
    try:
        worker.start().wait_ready()
        world.ask(*[create_ticket(number) for number in range(1, 41)])
        world.drain()
        late.arm()
        # Each burst is published in a transaction or two, and the worker dies in the second one. A ticket has one of
        # these commands only: where an event has to be published again it is not behind a later one of its ticket.
        world.publish(*[escalate(number) for number in range(1, 21)])
        until("the end of a transaction is held", lambda: late.held, 40)
        world.publish(*[escalate(number) for number in range(21, 41)])
        assert late.delivered.wait(40), "no second transaction came"
    finally:
        proxy.close()
    world.worker()
    world.drain()


@pytest.mark.seconds(120)
@pytest.mark.parametrize("guard", OFF, ids=NAMES)
def test_p4_the_guard_rebuilds_a_producer_whose_last_end_was_retried(world, guard):
    torn_transaction(world, guard)
    if guard:
        world.check()
        assert world.verb("audit", "verify").returncode == 0
    else:
        assert world.violations(), "no event came twice or was lost: nothing shows what the guard is for"


@pytest.mark.seconds(120)
def test_p4_verify_finds_and_repairs_a_torn_transaction(world):
    torn_transaction(world, guard=False)
    missing = [each for each in world.violations() if "is not on the topic" in each.text]
    found = world.verb("audit", "verify", "--output", "json")
    assert found.returncode == 3, found.stdout + found.stderr
    told = json.loads(found.stdout.splitlines()[-1])
    assert told["holes"] == len(missing) and (missing or told["doubles"] > 0)
    world.verb("audit", "verify", "--repair")
    assert len(world.violations()) > 0, "without --execute nothing is published"
    mended = world.verb("audit", "verify", "--repair", "--execute", "--reason", "torn by a test")
    assert f"{len(missing)} events published" in mended.stdout, mended.stdout + mended.stderr
    assert not [each for each in world.violations() if "is not on the topic" in each.text]
    if missing:
        assert world.verb("audit", "verify").returncode == 0
        assert not [each for each in world.violations() if each.invariant != "I4"]


# ---- P5: Redis may die, lie or forget ---------------------------------------------------------------------

LIES = {
    "off": {"redis_enabled": "false"},
    "not there": {"REDIS_URL": "redis://127.0.0.1:1"},
    "forgetful": {},
    "held by strangers": {"locks_status_change_wait": "300ms"},
    "on": {},
}


@pytest.mark.seconds(120)
@pytest.mark.parametrize("redis", [pytest.param(lie, marks=[pytest.mark.breaks_stack] * (lie == "forgetful")) for lie in LIES])
def test_p5_whatever_redis_does_nothing_changes_but_speed(world, redis):
    settings = dict(LIES[redis])
    world.worker(**settings)
    world.worker(**settings)
    world.ask(*[create_ticket(number) for number in range(1, 11)], timeout=60)
    if redis == "held by strangers":
        for number in range(1, 11):
            world.stack.redis("set", f"{world.name}:ticket/{number}", "a stranger", "px", "60000")
    escalations = [escalate(1 + step % 10).at(step % world.partitions) for step in range(300)]
    for start in range(0, 300, 50):
        world.publish(*escalations[start:start + 50])
        if redis == "forgetful":
            world.stack.redis("flushall")
    world.drain(90)
    assert world.database.value("SELECT sum(level) FROM interlock.ticket") == 300
    world.check(ordered=False)
    if redis == "held by strangers":
        world.stack.redis("del", *[f"{world.name}:ticket/{number}" for number in range(1, 11)])


@pytest.mark.seconds(120)
@pytest.mark.parametrize("row_locks", OFF, ids=NAMES)
def test_p5_correctness_rests_on_the_rows_of_postgresql(world, row_locks):
    """No Redis, commands of one ticket spread over all partitions and two processes: only row locks are left."""
    settings = {"protections_row_locks": switch(row_locks), "redis_enabled": "false", "worker_batch_max": "4"}
    world.worker(**settings)
    world.worker(**settings)
    until("both work", lambda: world.kafka.group_members(world.group) == 2)
    world.ask(*[create_ticket(number) for number in range(1, 6)])
    sent, lost = 0, 0
    for _ in range(1 if row_locks else 10):
        world.publish(*[escalate(1 + step % 5).at(step % world.partitions) for step in range(600)])
        sent += 600
        world.drain(90)
        lost = sent - world.database.value("SELECT sum(level) FROM interlock.ticket")
        if lost:
            break
    if row_locks:
        assert lost == 0
        world.check(ordered=False)
    else:
        assert lost > 0, "nothing was lost without row locks: nothing shows that they are needed"


# ---- P6: a bad command hurts nobody else -------------------------------------------------------------------

@pytest.mark.seconds(120)
def test_p6_neighbours_of_bad_commands_keep_their_speed(world):
    """The same 1,500 good commands, alone and then between 500 undecodable ones and 500 refusals."""
    world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 501)])

    def good():
        return [escalate(1 + step % 500) for step in range(1500)]

    def seconds(messages, wanted):
        started = [each.identity for each in wanted]
        world.publish(*messages)
        world.await_events(wanted, 60)
        times = world.database.row("SELECT extract(epoch FROM max(changed_at) - min(changed_at)) FROM "
                                   "interlock.audit_event WHERE command_id = ANY(%s)", [each[1] for each in started])
        return float(times[0])
    alone = good()
    base = seconds(alone, alone)
    wanted = good()
    mixed = []
    for step, message in enumerate(wanted):
        mixed.append(message)
        if step % 3 == 0:
            mixed += [Message(b'{"specversion":"1.0","id":', message.key), transition(1 + step % 500, "CLOSED")]
    crowded = seconds(mixed, wanted)
    assert crowded < 6 * base + 2, f"{base:.2f} s alone, {crowded:.2f} s among bad ones"
    world.drain()
    world.check()


# ---- P7: outages cost time only: tests/faults -------------------------------------------------------------

@pytest.mark.seconds(60)
def test_p7_a_failure_of_the_database_is_never_a_command_s_failure(world):
    """A schema that is broken under a running worker: it stops taking work and rejects nothing; after the repair it goes on."""
    world.worker()
    world.ask(create_ticket(1))
    world.database.execute("ALTER TABLE interlock.ticket RENAME COLUMN level TO level_gone")
    messages = [escalate(1), append(1, "x"), transition(1, "OPEN")]
    world.publish(*messages)
    until("it is not ready", lambda: world.workers[0].get("/readyz")[0] == 503)
    with pytest.raises(NotReached):
        world.await_events(messages, 2)
    assert world.workers[0].runs() and world.letters.all() == []
    world.database.execute("ALTER TABLE interlock.ticket RENAME COLUMN level_gone TO level")
    told = world.await_events(messages, 30)
    assert [each.outcome for each in told] == ["applied"] * 3
    world.drain()
    world.check()
