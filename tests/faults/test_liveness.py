"""The group's coordinator is there and answers, and a member gets nothing of it: an answer was lost, or a false one
was given. PROTOCOL O7: a worker is not without partitions for longer than it may be, and does not call itself ready."""

import contextlib
import subprocess
import time

import pytest

from harness.commands import create_ticket
from harness.proxy import JOIN_GROUP, LostAnswers, Proxy, TopicDenied
from harness.waiting import holds_for, until
from harness.wires import wires
from trial import minutes

ASSIGNED = "interlock_partitions_assigned"
REBUILDS = "interlock_consumer_rebuilds_total"
# The shortest times: a drain's, and 10 s which the watchdog adds.
SHORT = {"consumers_drain_timeout": "100ms", "consumers_session_timeout": "2s", "consumers_watchdog": "1s"}


@contextlib.contextmanager
def behind(world, watch, **settings):
    """A worker that has only that way to Kafka."""
    proxy = Proxy(world.stack.bootstrap, watch)
    try:
        worker = world.worker(start=False, KAFKA_BOOTSTRAP=proxy.address, **settings)
        yield worker.start()
    finally:
        worker.kill()
        proxy.close()


def seconds_to_all(world, worker, timeout):
    """Until it has every partition, from when its group has one member."""
    began = time.monotonic()
    until("it has every partition", lambda: worker.port() and worker.metric(ASSIGNED) == world.partitions, timeout)
    return time.monotonic() - began


def lose_join(world, count, timeout, **settings):
    lost = LostAnswers(JOIN_GROUP, count)
    with behind(world, lost, **settings) as worker:
        until("the answer is lost", lambda: lost.lost > 0, 60)
        assert not worker.ready(), "it has no partition"
        took = seconds_to_all(world, worker, timeout)
        assert lost.left == 0
        worker.wait_ready()
        world.ask(*[create_ticket(number) for number in range(1, 21)], timeout=60)
        world.drain()
        world.check()
        return took


@pytest.mark.fault(29)
@pytest.mark.seconds(300)
def test_an_answer_to_joingroup_is_lost(world):
    """The connection stays. librdkafka waits for max.poll.interval.ms and 3 s, which is 303 s by its own default."""
    lose_join(world, 1, 60, **SHORT)


@pytest.mark.long
@pytest.mark.fault(29)
@pytest.mark.seconds(400)
def test_answers_to_joingroup_are_lost_two_in_a_row_with_times_as_they_are_set(world):
    assert lose_join(world, 2, 150) < 2 * (30 + 3 + 15)


@contextlib.contextmanager
def denied(world, **settings):
    """A worker that was told so while it joined as the group's leader, and holds an empty assignment since."""
    watch = TopicDenied(world.topic)
    with behind(world, watch, **settings) as worker:
        until("the leader is told that there is no such topic", lambda: watch.denied > 0, 60)
        until("the group says that nobody owns them", lambda: "no owner in the group" in worker.get("/readyz")[1], 60)
        yield worker


@pytest.mark.fault(29)
@pytest.mark.seconds(300)
@pytest.mark.parametrize("membership", ["true", pytest.param("false", marks=pytest.mark.long)])
def test_the_leader_is_told_once_that_there_is_no_such_topic(world, membership):
    """It assigns nothing to anybody, and the group is content with that. A static member that came back at once would
    get the same assignment again."""
    with denied(world, consumers_static=membership, **SHORT) as worker:
        assert not worker.ready()
        seconds_to_all(world, worker, 60)
        assert worker.metric(REBUILDS) == 1
        assert "watchdog: " in worker.text()
        worker.wait_ready()
        world.ask(*[create_ticket(number) for number in range(1, 21)], timeout=60)
        world.drain()
        world.check()


@pytest.mark.fault(29)
@pytest.mark.seconds(300)
def test_without_the_watchdog_the_empty_assignment_stays(trial):
    """For ever; here for thrice the time that the watchdog needs in a long run, and a little in the quick one."""
    with denied(trial.world, protections_watchdog="false", **SHORT) as worker:
        holds_for("it has nothing", lambda: worker.metric(ASSIGNED) == 0, 45 if minutes() else 3, pause=0.5)
    trial.defence("watchdog", "the leader of the group is told once that a topic does not exist",
                  "no partition as long as it was watched", "all of them after the time allowed")
    trial.record()


@pytest.mark.fault(29)
@pytest.mark.seconds(300)
def test_more_workers_than_partitions_are_ready(make_world):
    """The one that has nothing knows that others have everything, and takes over when they end."""
    world = make_world("spare_worker", partitions=1)
    first, second = [world.worker(**SHORT) for _ in range(2)]
    assert sorted(each.metric(ASSIGNED) for each in (first, second)) == [0, 1]
    world.ask(create_ticket(1), timeout=60)
    owner, spare = (first, second) if first.metric(ASSIGNED) else (second, first)
    owner.kill()
    until("the spare one has it", lambda: spare.metric(ASSIGNED) == 1, 60)
    world.ask(create_ticket(2), timeout=60)
    assert spare.metric(REBUILDS) == 0


# ---- nobody answers ------------------------------------------------------------------------------------------------

def says(worker, address):
    """Readiness and log: who does not answer, where, and for how long."""
    told = f"Kafka: {address} has not answered for "
    until("it says who does not answer", lambda: told in worker.get("/readyz")[1], 60)
    until("and so does its log", lambda: told in worker.text(), 60)


def lose_kafka(world, lose):
    with wires(world) as wired:
        worker = world.worker(KAFKA_BOOTSTRAP=wired.settings["KAFKA_BOOTSTRAP"])
        world.ask(create_ticket(1), timeout=60)
        lose(wired.kafka)
        says(worker, wired.kafka.address)
        wired.kafka.heal()
        worker.wait_ready()
        world.ask(create_ticket(2), timeout=60)
        world.drain()
        world.check()
        worker.kill()


@pytest.mark.fault(29)
@pytest.mark.seconds(300)
def test_a_worker_whose_kafka_is_down_says_so(world):
    def lose(kafka):
        kafka.refuse()
        kafka.cut()
    lose_kafka(world, lose)


@pytest.mark.long
@pytest.mark.fault(29)
@pytest.mark.seconds(300)
def test_a_worker_whose_kafka_is_silent_says_so(world):
    """Connections stay, and new ones are accepted."""
    lose_kafka(world, lambda kafka: kafka.silence())


@pytest.mark.fault(29)
@pytest.mark.seconds(120)
def test_publish_says_within_seconds_that_nobody_answers(world):
    """It goes on trying for half a minute."""
    with wires(world) as wired:
        wired.kafka.silence()
        environment = world.environment(KAFKA_BOOTSTRAP=wired.kafka.address)
        with subprocess.Popen([world.binary, "publish"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as publish:
            try:
                publish.stdin.write(create_ticket(1).value + b"\n")
                publish.stdin.close()
                line = publish.stderr.readline().decode()
                assert f"Kafka at {wired.kafka.address} has not answered for 2 s" in line
            finally:
                publish.kill()
