"""Numbers that are true: what is unread and undecided of each partition, how old it is, and why it does not move."""

import json
import re
import signal
import subprocess
import time

import pytest
from confluent_kafka import Producer

from harness.commands import append, create_ticket, escalate
from harness.prometheus import faults, promtool
from harness.waiting import holds_for, until

BACKLOG, AGE = "interlock_partition_backlog", "interlock_partition_backlog_seconds"


def series(worker, name):
    """Labels (without the topic) -> value."""
    found = {}
    for key, value in worker.metrics().items():
        if key.split("{")[0] == name:
            labels = re.findall(r'(\w+)="([^"]*)"', key)
            found[tuple(value for label, value in labels if label != "topic")] = value
    return found


def stalled(worker):
    return set(series(worker, "interlock_partition_stalled"))


def transactional(world):
    producer = Producer({"bootstrap.servers": world.stack.bootstrap, "transactional.id": f"{world.name}.numbers"})
    producer.init_transactions(30)
    return producer


def send(world, producer, messages, partition):
    for each in messages:
        producer.produce(world.topic, each.value, each.key, headers=each.headers, partition=partition)


# ---- backlog -------------------------------------------------------------------------------------------

def test_a_backlog_is_counted_and_aged_from_the_first_undecided_message_and_gone_when_it_is_decided(world):
    worker = world.worker()
    world.ask(create_ticket(1).at(0), create_ticket(2).at(1))
    until("nothing is left", lambda: worker.metric(BACKLOG) == 0, 10)
    assert set(series(worker, BACKLOG)) == {(str(number),) for number in range(world.partitions)}
    waiting = [append(1, "waits").at(0) for _ in range(7)]
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        world.publish(*waiting)
        until("they are counted", lambda: series(worker, BACKLOG)[("0",)] == 7, 10)
        until("their age grows", lambda: series(worker, AGE)[("0",)] > 2, 10)
        assert series(worker, BACKLOG)[("1",)] == 0 and series(worker, AGE)[("1",)] == 0
        watermark = series(worker, "interlock_partition_watermark_offset")[("0",)]
        assert watermark == world.kafka.committed(world.group, world.topic)[0] == 1
    world.await_events(waiting)
    until("nothing is left", lambda: worker.metric(BACKLOG) == 0 and worker.metric(AGE) == 0, 10)
    until("the watermark is past them",
          lambda: series(worker, "interlock_partition_watermark_offset")[("0",)] == 8, 10)


def test_markers_and_aborted_messages_count_nothing_and_an_open_transaction_is_not_yet_there(world):
    """Other tools show one message for each marker, for ever."""
    worker = world.worker()
    world.ask(create_ticket(1).at(0))
    producer = transactional(world)
    ends = (producer.commit_transaction, producer.abort_transaction, producer.commit_transaction)
    for ends_at, ended in zip((2, 4, 6), ends):
        producer.begin_transaction()
        sent = [escalate(1)]
        send(world, producer, sent, 0)
        producer.flush(30)
        until("the mark before it is seen",
              lambda: place(worker, 0)["end_offset"] == ends_at and not worker.metric(BACKLOG), 10)
        holds_for("an open transaction is no backlog", lambda: worker.metric(BACKLOG) == 0, 1.5)
        ended(30)
        if ended == producer.commit_transaction:
            world.await_events(sent)
    until("the end is past the last message by its marker",
          lambda: (lambda it: it["end_offset"] == 7 and it["watermark"] == 6 and it["backlog"] == 0)(place(worker, 0)), 10)
    holds_for("it stays at nothing", lambda: worker.metric(BACKLOG) == 0, 2)


def place(worker, number):
    status = json.loads(worker.get("/status")[1])
    return next(each for each in status["cells"][0]["partitions"] if each["partition"] == number)


def test_messages_that_a_paused_worker_does_not_read_are_counted_and_no_number_is_ever_negative(world):
    worker = world.worker()
    world.ask(create_ticket(1).at(0))
    worker.signal(signal.SIGTSTP)
    until("it takes nothing further", lambda: place(worker, 0)["paused"], 10)
    world.publish(*[append(1, "unread").at(0) for _ in range(20)])
    until("they are counted", lambda: series(worker, BACKLOG)[("0",)] == 20, 20)
    until("and aged", lambda: series(worker, AGE)[("0",)] > 1, 10)
    assert min(worker.metrics().values()) >= 0


# ---- stalls --------------------------------------------------------------------------------------------

@pytest.mark.seconds(120)
def test_a_held_key_stalls_its_partition_and_no_other(world):
    worker = world.worker(worker_park_after="1h", worker_park_when_blocking="0s")
    world.ask(create_ticket(1).at(0), create_ticket(2).at(1))
    held, open_ = append(1, "held").at(0), transactional(world)
    open_.begin_transaction()
    send(world, open_, [escalate(2)], 1)
    open_.flush(30)
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        world.publish(held)
        began = time.monotonic()
        until("both are stalled", lambda: stalled(worker) == {("0", "held"), ("1", "kafka_transaction")}, 60)
        assert time.monotonic() - began > 25
        assert place(worker, 0)["stalled"] == "held" and place(worker, 2)["stalled"] is None
    world.await_events([held])
    open_.commit_transaction(30)
    until("nothing is stalled", lambda: stalled(worker) == set(), 20)


@pytest.mark.seconds(120)
def test_a_pause_is_the_reason_where_nothing_is_read(world):
    worker = world.worker()
    world.ask(create_ticket(1).at(0))
    worker.signal(signal.SIGTSTP)
    until("it takes nothing further", lambda: place(worker, 0)["paused"], 10)
    world.publish(append(1, "unread").at(0))
    until("it is stalled, because it is paused", lambda: stalled(worker) == {("0", "paused")}, 60)


# ---- the text ------------------------------------------------------------------------------------------

def test_the_metrics_are_what_prometheus_wants(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    status, text = worker.get("/metrics")
    assert status == 200 and list(faults(text)) == []
    path, why_not = promtool()
    if not path:
        pytest.skip(f"its rules hold, as far as they are ours; promtool itself: {why_not}")
    done = subprocess.run([path, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("text, says", [
    ("# HELP a_total x\n# TYPE a_total gauge\na_total 1\n", "only a counter"), ("# TYPE a gauge\na 1\n", "no help"),
    ("# HELP a x\n# TYPE a gauge\na 1\na 1\n", "twice"), ("# HELP a x\n# TYPE a gauge\nb 1\n", "own head"),
    ("# HELP a_ms x\n# TYPE a_ms gauge\na_ms 1\n", "abbreviated"), ("# HELP a x\n# TYPE a counter\na 1\n", "_total")])
def test_the_rules_refuse_what_promtool_refuses(text, says):
    assert any(says in fault for fault in faults(text))


def test_build_readiness_and_process_are_told(world, binary):
    began = time.time()
    worker = world.worker()
    metrics = worker.metrics()
    version = json.loads(subprocess.run([binary, "version", "--output", "json"], capture_output=True, text=True, timeout=20,
                                        check=True).stdout)
    schema = world.database.value("SELECT max(number) FROM interlock.schema_migration")
    assert metrics[f'interlock_build_info{{version="{version["interlock"]}",schema="{schema}",'
                   f'librdkafka="{version["librdkafka"]}"}}'] == 1
    assert metrics["interlock_ready"] == 1
    assert began - 5 < metrics["process_start_time_seconds"] < time.time()
    assert abs(metrics["process_resident_memory_bytes"] / 1024 - worker.rss_kib()) < 50 * 1024
    worker.signal(signal.SIGTSTP)
    until("it is not ready", lambda: worker.metrics()["interlock_ready"] == 0, 10)


def test_dead_letters_are_counted_by_their_cause(world):
    worker = world.worker()
    deep, tombstone = create_ticket(1), create_ticket(2)
    deep.value, tombstone.value = b"[" * 40 + b"]" * 40, None
    world.publish(deep, tombstone, deep)
    until("they are counted", lambda: worker.metric("interlock_dlq_total") == 3, 20)
    counted = {cause: value for (cause,), value in series(worker, "interlock_dlq_total").items() if value}
    assert counted == {"too_deep": 2, "tombstone": 1}
