"""Starting, and stopping: services that are not there yet, what the pool says meanwhile, signals and exit codes."""

import json
import re
import signal
import socket

import pytest

from harness.commands import command, create_ticket, escalate
from harness.waiting import holds_for, until


@pytest.mark.breaks_stack
@pytest.mark.seconds(120)
@pytest.mark.parametrize("service, word", [("postgresql", "PostgreSQL"), ("kafka", "Kafka")])
def test_a_service_that_is_not_there_is_waited_for(world, service, word):
    world.publish(create_ticket(1))
    world.stack.kill(service)  # a lone broker takes half a minute after SIGTERM
    try:
        worker = world.worker(ready=False)
        until("it answers", lambda: worker.get("/readyz")[0] == 503, 30)
        until("it says what it waits for", lambda: word.lower() in worker.get("/readyz")[1].lower(), 30)
        until("its log says it too", lambda: word.lower() in worker.text().lower(), 30)
        holds_for("it lives", worker.runs, 1)
        assert worker.get("/healthz")[0] == 200, "an outage is no reason to restart it"
    finally:
        world.stack.start(service)
    worker.wait_ready(60)
    until("the command is applied", lambda: len(world.audit.all()) == 1, 40)
    assert worker.end() == 0


@pytest.mark.breaks_stack
@pytest.mark.seconds(120)
def test_without_redis_the_pool_goes_on_degraded_and_says_so(world):
    world.stack.stop("redis")
    try:
        worker = world.worker()
        told = world.ask(create_ticket(1), escalate(1))
        assert [each.outcome for each in told] == ["applied", "applied"]
        assert worker.metric("interlock_lock_degraded_total") > 0
        assert "redis" in worker.text().lower()
    finally:
        world.stack.start("redis")
    before = worker.metric("interlock_lock_degraded_total")

    def goes_on_with_it():
        nonlocal before
        world.ask(escalate(1))
        before, last = worker.metric("interlock_lock_degraded_total"), before
        return before == last
    until("Redis is used again", goes_on_with_it, 30)


@pytest.mark.seconds(90)
def test_a_topic_that_is_not_there_is_waited_for(world):
    late = world.topic + ".late"
    worker = world.worker(ready=False, kafka_topics=late)
    until("it is not ready", lambda: worker.get("/readyz")[0] == 503, 30)
    holds_for("it lives", worker.runs, 1)
    world.kafka.create_topics({late: 2, late + ".dlq": 1})
    worker.wait_ready(70)


def test_a_schema_that_is_not_there_is_told(world):
    world.database.execute("DROP SCHEMA interlock CASCADE")
    worker = world.worker(ready=False)
    until("it ended, or is not ready and says why",
          lambda: not worker.runs() or worker.get("/readyz")[0] == 503, 30)
    if not worker.runs():
        assert worker.process.returncode == 1
    until("the log names the remedy", lambda: "migrate up" in worker.text(), 20)


def test_a_schema_that_is_behind_rejects_no_command(world):
    """A worker deployed before its migration: a command that needs the new tables waits for them."""
    assert world.verb("migrate", "down", "--execute", "--reason", "test").returncode == 0
    worker = world.worker(ready=False)
    message = command("face.record_verification", {"verification_id": 1, "model_id": 1, "user_id": 1,
                                                   "result": "SUCCESS"})
    world.publish(message)
    until("it is not ready and says what to do",
          lambda: (lambda status, text: status == 503 and "run `interlock migrate up`" in text)(*worker.get("/readyz")[:2]), 60)
    holds_for("nothing is decided", lambda: world.database.count("inbox") == 0 and worker.runs(), 1)
    assert world.verb("migrate", "up").returncode == 0
    world.database.execute("INSERT INTO interlock.face_model (id) VALUES (1)")
    assert world.await_events([message])[0].outcome == "applied"
    assert world.letters.all() == []


def test_a_second_group_on_one_schema_is_refused(world):
    """PROTOCOL O2: fences and positions are one group's."""
    first = world.worker()
    second = world.worker(ready=False, kafka_group=world.group + "-other")
    until("it ended", lambda: not second.runs(), 30)
    assert second.process.returncode == 1 and "group" in second.text()
    assert first.ready()


def test_two_workers_on_one_host_share_one_settings(world):
    first, second = world.worker(), world.worker()
    assert first.port() != second.port()
    until("both own partitions", lambda: min(first.metric("interlock_partitions_assigned"),
                                             second.metric("interlock_partitions_assigned")) > 0)


def test_a_port_in_use_is_a_warning(world):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        worker = world.worker(ready=False, http_listen=f"127.0.0.1:{taken.getsockname()[1]}")
        told = world.ask(create_ticket(1))
        assert told.outcome == "applied" and worker.runs()
        assert "in use" in worker.text().lower()
        assert worker.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_clean_end_drains_and_exits_zero(world, number):
    worker = world.worker()
    world.publish(*[create_ticket(each) for each in range(1, 301)])
    until("it is at work", lambda: world.database.count("inbox") > 0)
    worker.signal(number)
    assert worker.wait(40) == 0
    events = until("the applied commands are published", lambda: world.audit.all())
    assert world.kafka.group_members(world.group) in (0, 1)
    applied = world.database.count("inbox")
    until("every applied command has its event", lambda: len(world.audit.all()) == applied, 20)
    assert len({each.event_id for each in events}) == len(events)
    worker.start().wait_ready()
    world.drain()
    world.check()


def test_a_second_signal_ends_it_by_force(world):
    worker = world.worker(consumers_drain_timeout="60s")
    world.ask(create_ticket(1))
    with world.database.holding("LOCK TABLE interlock.ticket IN ACCESS EXCLUSIVE MODE"):
        world.publish(*[escalate(1) for _ in range(10)])
        until("all are received", lambda: worker.metric("interlock_inflight") == 10)
        worker.term()
        until("it drains", lambda: not worker.runs() or worker.get("/readyz")[0] != 200, 20)
        worker.term()
        assert worker.wait(20) == 2
    assert "10 messages were received and not published" in worker.text()
    worker.start().wait_ready()
    world.drain()
    world.check()


def test_quiet_finishes_and_takes_nothing_new(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    worker.signal(signal.SIGTSTP)
    until("it is quiet", lambda: worker.get("/readyz")[0] == 503, 20)
    world.publish(escalate(1))
    holds_for("nothing more is applied", lambda: world.database.count("inbox") == 1, 2)
    assert worker.end() == 0
    worker.start().wait_ready()
    world.drain()
    world.check()


def test_health_ready_metrics_and_status_are_served(world):
    worker = world.worker()
    world.ask(create_ticket(1), escalate(1), escalate(2))
    assert worker.get("/healthz")[0] == 200
    assert json.loads(worker.get("/readyz")[1])
    metrics = worker.metrics()
    counted = {name: value for name, value in metrics.items() if name.startswith("interlock_commands_total")}
    assert counted['interlock_commands_total{type="ticket.escalate",outcome="applied"}'] == 1
    assert counted['interlock_commands_total{type="ticket.escalate",outcome="rejected"}'] == 1
    assert worker.metric("interlock_messages_received_total") == 3
    assert worker.get("/")[0] == 200 and "<html" in worker.get("/")[1].lower()
    until("the page has the rate of the last minute",
          lambda: re.search(r"last minute</th><td>\d+\.\d commands/s", worker.get("/")[1]), 30)
    assert worker.get("/nothing")[0] == 404
