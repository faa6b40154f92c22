"""Memory, descriptors, threads and connections stay under the caps that `interlock describe bounds` derives from the
settings, whatever comes in and whatever queues up. Every trial is measured against them (trial.py); here are the
bombs."""

import contextlib
import json
import os
import signal
from unittest import mock

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from harness.bounds import Meter, caps, environment_of
from harness.commands import Message, append, command, create_job, create_ticket, partition_of
from harness.stack import ROOT
from harness.waiting import until
from harness.wires import wires
from trial import Watcher, minutes

TICKETS, JOBS = 300, 330
SMALL = {"consumers_in_flight_bytes": "1MiB", "consumers_in_flight_commands": "2048", "worker_lanes": "1",
         "worker_batch_max": "500"}
SCALE = 4 if minutes() else 1


# ---- what is sent ----------------------------------------------------------------------------------------------

def large(number):
    """The most that a command may be: 64 KiB."""
    return append(number, {"text": "x" * 64000})


def deep(number):
    details = {"a": 1}
    for _ in range(13):
        details = {"k": [details]}
    return append(number, details)


def wide(number):
    return append(number, {f"k{place}": place for place in range(4000)})


def bulk(number):
    """Few bytes, and 48 KiB of event."""
    return command("ticket.bulk_update", {"ticket_ids": list(range(1, TICKETS + 1)),
                                          "priority": "HIGH" if number % 2 else "MEDIUM"})


def merge(number, value):
    job = f"jobneed/{100000 + number % JOBS}"
    return command("json.merge", {"aggregate": job, "field": "other_info", "value": value})


def heavy(number):
    """Few bytes, for a row of 54 KiB."""
    return merge(number, {"a": number})


BOMBS = {
    "large": lambda: [large(1 + n % TICKETS) for n in range(300 * SCALE)],
    "deep": lambda: [deep(1 + n % TICKETS) for n in range(1500 * SCALE)],
    "wide": lambda: [wide(1 + n % TICKETS) for n in range(200 * SCALE)],
    "bulk": lambda: [bulk(n // 2) for n in range(150 * SCALE)],
    "heavy": lambda: [heavy(n) for n in range(400 * SCALE)],
}


def rows(world, bomb):
    made = [create_ticket(number) for number in range(1, TICKETS + 1)]
    if bomb == "heavy":
        made += [create_job(100000 + number) for number in range(JOBS)]
    world.publish(*made)
    if bomb == "heavy":
        world.publish(*[merge(number, {f"k{place}": "y" * 50 for place in range(900)}) for number in range(JOBS)])
    world.drain(120)


def publish(world, messages):
    for first in range(0, len(messages), 100):  # each lot is waited for
        world.publish(*messages[first:first + 100])


# ---- what makes it queue up --------------------------------------------------------------------------------------

@contextlib.contextmanager
def nothing_fails(_world):
    yield


@contextlib.contextmanager
def a_row_is_held(world):
    """The first of each partition: what stands behind waits for it."""
    first = {partition_of(f"ticket/{number}", world.partitions): number for number in range(TICKETS, 0, -1)}
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = ANY(%s) FOR UPDATE", list(first.values())):
        yield


@contextlib.contextmanager
def postgresql_sleeps(world):
    """SIGSTOP to every session of this database: nothing is answered, nothing is closed."""
    pids = [pid for pid, in world.database.rows("SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
                                                "AND pid <> pg_backend_pid()")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def the_audit_topic_refuses(world):
    """No event is small enough for it; the markers of a transaction are."""
    def limit(size):
        change = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, world.audit_topic, incremental_configs=[change])
        admin = world.kafka.new_admin()
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(30)
    limit(120)
    try:
        yield
    finally:
        limit(1048588)


QUEUES = {"nothing": nothing_fails, "a row": a_row_is_held, "PostgreSQL": postgresql_sleeps,
          "the audit topic": the_audit_topic_refuses}


def full(worker):
    """Received what it may, or all that there is."""
    seen = []

    def steady():
        metrics = worker.metrics(timeout=20)
        seen.append((metrics["interlock_inflight"], metrics["interlock_batches_total"]))
        return len(seen) > 8 and len(set(seen[-8:])) == 1
    return steady


def bomb(trial, kind, queue, settings):
    world = trial.world
    worker = world.worker(**{"worker_park_when_blocking": "0s", **settings})
    rows(world, kind)
    with QUEUES[queue](world):
        worker.stop()  # so that all of it is there at once when it wakes
        publish(world, BOMBS[kind]())
        worker.cont()
        with contextlib.suppress(AssertionError):  # it may well be busy for as long as it lasts
            until("it has taken what it can", full(worker), 20, pause=0.25)
        trial.watcher.meter.measure(worker)
    until("all of it is through", world.is_drained, 240, pause=0.2)
    trial.watcher.meter.measure(worker)
    peak, allowed = trial.watcher.meter.peak, caps(world.binary, worker)
    trial.note(bomb=kind, queued_by=queue, **{f"cap_{name}": value for name, value in allowed.items()})
    trial.judge(within=240)
    return worker, peak, allowed


@pytest.mark.fault(19)
@pytest.mark.seconds(300)
@pytest.mark.parametrize("kind, queue", [("bulk", "the audit topic"), ("heavy", "nothing")])
def test_bombs_stay_under_the_caps_of_small_settings(trial, kind, queue):
    worker, peak, allowed = bomb(trial, kind, queue, SMALL)
    if "rss_kib" in allowed:
        assert peak["rss_kib"] < allowed["rss_kib"] < 450 * 1024
    # The limits were at work: a batch of heavy rows was split, the waiting events of a partition were given up.
    if kind == "heavy":
        assert worker.metric("interlock_batch_splits_total") > 0
    else:
        assert "need more memory than allowed" in worker.text()


@pytest.mark.long
@pytest.mark.fault(19)
@pytest.mark.seconds(900)
@pytest.mark.parametrize("queue", sorted(QUEUES))
@pytest.mark.parametrize("kind", sorted(BOMBS))
@pytest.mark.parametrize("settings", [SMALL, {}], ids=["small", "default"])
def test_every_bomb_stays_under_the_caps(trial, settings, kind, queue):
    bomb(trial, kind, queue, settings)


@pytest.mark.long
@pytest.mark.fault(19)
@pytest.mark.seconds(600)
def test_a_flood_of_empty_messages_stays_under_the_caps(trial):
    """Eight bytes each on the wire, and half a KiB each in librdkafka: dead letters, all of them."""
    worker = trial.world.worker(**SMALL)
    flood = [Message(None, None, [], place % trial.world.partitions) for place in range(100000)]
    trial.world.publish(*flood)
    trial.world.drain(400)
    trial.watcher.meter.measure(worker)
    trial.judge(letters=len(flood), within=400)


# ---- the derivation ------------------------------------------------------------------------------------------------

def bounds(world, **settings):
    done = world.verb("describe", "bounds", "--output", "json", **settings)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_caps_follow_from_the_settings(world):
    common = bounds(world)
    for kind, part in common.items():
        assert part["total"] == sum(line["each"] * line["times"] for line in part["lines"]), kind
    assert common["postgresql"]["total"] == 7 and common["redis"]["total"] == 4
    two = bounds(world, consumers_count=2, worker_lanes=8)
    assert two["postgresql"]["total"] == 2 + 2 * (8 + 1) and two["redis"]["total"] == 16
    assert bounds(world, redis_enabled="false")["redis"]["total"] == 0
    for more in ({"consumers_in_flight_bytes": "64MiB"}, {"worker_batch_max": 2000},
                 {"consumers_in_flight_commands": 50000}):
        assert bounds(world, **more)["memory"]["total"] > common["memory"]["total"] + 20 * 1024 * 1024
    text = world.verb("describe", "bounds").stdout
    assert f"MemoryMax): {common['memory']['total']}" in text


def test_the_unit_allows_what_the_default_settings_need(world):
    """deploy/interlock.service: its limits are the derived ones, with room, and not much more."""
    common = {kind: part["total"] for kind, part in bounds(world).items()}
    text = (ROOT / "deploy/interlock.service").read_text(encoding="utf-8")
    unit = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    for key, needed, unit_of in (("MemoryMax", common["memory"], 1024 ** 2), ("LimitNOFILE", common["descriptors"], 1),
                                 ("TasksMax", common["threads"], 1)):
        allowed = int(unit[key].rstrip("M")) * unit_of
        assert needed <= allowed <= 8 * needed, (key, needed, allowed)


def test_a_meter_sees_what_is_over(world):
    """The judge itself: a worker under caps that are smaller than what it needs."""
    worker = world.worker()
    meter = Meter(world)
    meter.measure(worker)
    assert not meter.over and meter.peak["postgresql"] >= 5 and meter.peak["kafka"] >= 3 and meter.peak["threads"] > 10
    worker.environment["INTERLOCK_WORKER_LANES"] = "1"
    meter.measure(worker)
    assert any("postgresql" in each for each in meter.over)


def test_a_meter_counts_what_goes_through_proxies(world):
    """As much as without them; and what it cannot place is over, not left out."""
    with wires(world) as wired:
        worker = world.worker(**wired.settings)
        world.ask(create_ticket(1))  # a lane connects to Redis for its first command
        meter = Meter(world)
        used = meter.measure(worker)
        assert not meter.over and used["postgresql"] >= 5 and used["kafka"] >= 3 and used["redis"] >= 1
        told = {**environment_of(worker.pid), "DATABASE_URL": world.database.url}
        with mock.patch("harness.bounds.environment_of", lambda _: told):
            meter.measure(worker)
        assert any(f"port {wired.database.port} " in each for each in meter.over)
        worker.kill()


@pytest.mark.parametrize("broken, told", [("settings", "could not be measured.*INTERLOCK_WORKER_LANES"),
                                          ("samples", "was never measured")])
def test_a_watcher_tells_that_it_could_not_look(world, broken, told):
    """The judge itself: without caps, and where nothing of a process can be read."""
    worker = world.worker()
    if broken == "settings":
        worker.environment["INTERLOCK_WORKER_LANES"] = "none"
    hidden = {"samples": mock.patch.object(Meter, "measure", side_effect=OSError)}.get(broken, contextlib.nullcontext())
    with hidden:
        watcher = Watcher(world)
        until("it has looked", lambda: watcher.failure or max(watcher.rounds.values(), default=0) > 1, 20)
        watcher.stop_and_look()
    with pytest.raises(AssertionError, match=f"(?s){told}"):
        watcher.judge()


def test_a_watcher_is_content_with_what_it_measured(world):
    worker = world.worker()
    watcher = Watcher(world)
    until("it has looked", lambda: watcher.measured, 20)
    watcher.stop_and_look()
    watcher.judge()
    assert watcher.measured == {(0, worker.pid)} and watcher.meter.peak["kafka"] >= 3
