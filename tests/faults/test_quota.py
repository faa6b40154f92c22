"""A producer's quota, and a line that is as slow: each publication has to fit into the time of one transaction.
PROTOCOL K3."""

import time

import pytest

from harness.commands import append, create_ticket
from harness.quota import quota
from harness.relay import ASKED
from harness.waiting import until
from harness.wires import wires

REBUILDS = "interlock_producer_rebuilds_total"
SHRINKS = "interlock_publication_shrinks_total"
THROTTLED = "interlock_throttled_seconds_total"
TICKETS = 20


def flow(trial, worker, commands, timeout):
    """Until that many commands have their events; what grew meanwhile."""
    world = trial.world
    world.ask(*[create_ticket(number) for number in range(1, TICKETS + 1)], timeout=60)
    before = worker.metrics()
    messages = [append(place % TICKETS + 1, {"place": place}) for place in range(commands)]
    began = time.monotonic()
    world.publish(*messages)
    until("every command has its event", lambda: len(world.audit.all()) >= TICKETS + commands, timeout, pause=0.2)
    took = time.monotonic() - began
    world.drain()
    after = worker.metrics()
    grown = {name: after[name] - before[name] for name in (REBUILDS, SHRINKS, THROTTLED)}
    trial.note(seconds=round(took, 1), rebuilds=int(grown[REBUILDS]), shrinks=int(grown[SHRINKS]),
               throttled_seconds=round(grown[THROTTLED], 1), commands_a_second=round(commands / took))
    return grown


def judge(trial):
    violations = trial.world.violations()
    trial.record(violations)
    assert not violations, "\n".join(str(each) for each in violations[:20])


@pytest.mark.fault(30)
@pytest.mark.seconds(300)
def test_events_flow_at_the_rate_of_a_quota(trial):
    """A megabyte passes at once, what is behind it at the quota's rate."""
    worker = trial.world.worker()
    with quota(trial.world.stack.bootstrap, 100_000):
        grown = flow(trial, worker, 1800, 180)
    assert grown[THROTTLED] > 0, "the broker did not make it wait"
    assert grown[REBUILDS] <= 1
    judge(trial)


@pytest.mark.long
@pytest.mark.fault(30)
@pytest.mark.seconds(900)
@pytest.mark.parametrize("rate", [100_000, 300_000, 1_000_000])
def test_a_backlog_flows_at_the_rate_of_a_quota(trial, rate):
    worker = trial.world.worker()
    with quota(trial.world.stack.bootstrap, rate):
        grown = flow(trial, worker, rate * 40 // 300, 600)
    assert grown[THROTTLED] > 0
    assert grown[REBUILDS] <= 1
    judge(trial)


@pytest.mark.long
@pytest.mark.fault(30)
@pytest.mark.seconds(900)
def test_a_quota_that_comes_into_a_backlog_costs_one_producer(trial):
    """Publications are at their largest then."""
    worker = trial.world.worker()
    flow(trial, worker, 20_000, 300)
    trial.world.audit.items.clear()
    with quota(trial.world.stack.bootstrap, 300_000):
        before = worker.metric(REBUILDS)
        messages = [append(place % TICKETS + 1, {"again": place}) for place in range(10_000)]
        trial.world.publish(*messages)
        until("every command has its event", lambda: len(trial.world.audit.all()) >= 10_000, 300, pause=0.5)
        assert worker.metric(REBUILDS) - before <= 1
    trial.world.drain()
    judge(trial)


@pytest.mark.fault(30)
@pytest.mark.seconds(300)
def test_a_line_that_is_too_slow_for_a_whole_publication_carries_smaller_ones(trial):
    """Nothing tells the worker of it but the time that passes."""
    with wires(trial.world) as wired:
        worker = trial.world.worker(KAFKA_BOOTSTRAP=wired.settings["KAFKA_BOOTSTRAP"], consumers_transaction_timeout="2s")
        wired.kafka.slow(40_000, ASKED)
        grown = flow(trial, worker, 250, 180)
    assert grown[SHRINKS] > 0
    judge(trial)


@pytest.mark.fault(30)
@pytest.mark.seconds(120)
def test_a_producer_s_queue_that_is_smaller_than_a_publication_is_waited_for(trial):
    """The operator's own setting of librdkafka."""
    worker = trial.world.worker(kafka_producer_queue_buffering_max_messages=20)
    grown = flow(trial, worker, 500, 60)
    assert grown[REBUILDS] == 0
    judge(trial)
