"""Somebody else has our instance id or our transactional id, or the broker has forgotten it. PROTOCOL O1."""

import contextlib
import time

import pytest
from confluent_kafka import KafkaException, Producer

from harness.broker import PrivateBroker, stack_with
from harness.fixtures import finish
from harness.kafka import Tail
from harness.waiting import until
from trial import Trial, running

SOON = {"consumers_session_timeout": "2s", "consumers_transaction_timeout": "2s",
        "database_idle_in_transaction_timeout": "2s"}


def light(trial):
    load = trial.load(burst=4)
    load.pause = 0.1
    return load


def identity_of(world, slot=0):
    """The instance id and the transactional id of the only cell."""
    return f"interlock.{world.group}.{slot}.0"


# ---- somebody else's clients ----------------------------------------------------------------------------------------

@pytest.mark.fault(5)
@pytest.mark.seconds(120)
def test_a_stranger_with_our_instance_id_takes_our_place_for_a_moment(trial):
    """The member is told that it is fenced, says so, and joins again: at once, as nothing it has in flight can be
    published."""
    world = trial.world
    worker = world.worker(consumers_drain_timeout="2min", **SOON)
    with light(trial):
        trial.progress(20)
        began = time.monotonic()
        world.kafka.expel(world.group, identity_of(world), world.topic)
        until("it says what happened", lambda: "it is replaced" in worker.text() and
              "fenced by other consumer with same group.instance.id" in worker.text(), 40)
        trial.recovered(since=began)
    assert worker.runs()
    trial.judge()


class Stranger:
    """A producer with our transactional id, which writes to a topic of nobody's concern."""

    def __init__(self, world):
        self.topic = world.dlq_topic
        self.producer = Producer({"bootstrap.servers": world.stack.bootstrap, "transactional.id": identity_of(world)})
        self.producer.init_transactions(30)
        self.producer.begin_transaction()

    def commits(self):
        """False: it was fenced."""
        try:
            self.producer.produce(self.topic, b"a stranger's")
            self.producer.commit_transaction(30)
            return True
        except KafkaException as error:
            assert error.args[0].fatal() or error.args[0].txn_requires_abort(), error
            return False


@pytest.mark.fault(5)
@pytest.mark.seconds(120)
def test_a_stranger_with_our_transactional_id_and_we_fence_each_other(trial):
    """Our next transaction is refused, the producer is rebuilt and says why; then the stranger's is."""
    world = trial.world
    worker = world.worker(**SOON)
    with light(trial):
        trial.progress(20)
        for round_ in range(1, 4):
            before = worker.metric("interlock_producer_rebuilds_total")
            began = time.monotonic()
            stranger = Stranger(world)
            until("the producer is rebuilt", lambda: worker.metric("interlock_producer_rebuilds_total") > before, 30)
            trial.recovered(since=began)
            assert not stranger.commits(), "both may write at once"
    trial.note(rounds=round_)
    assert "fenced" in worker.text().lower()
    trial.judge()


# ---- one of us ------------------------------------------------------------------------------------------------------

@pytest.mark.fault(5)
@pytest.mark.seconds(180)
def test_two_of_us_with_one_slot_s_ids_do_not_both_write(trial):
    """How it comes about: the session that holds the slot ends while its process sleeps, and another process takes the
    slot, and with it instance id and transactional id. The sleeper wakes into the middle of it and moves on to a
    slot of its own."""
    world = trial.world
    first = world.worker(**SOON)
    with light(trial):
        trial.progress(20)
        first.stop()
        began = time.monotonic()
        world.database.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                            "AND application_name = 'interlock slot'")
        second = world.worker(ready=False, **SOON)
        until("the second has the slot", lambda: "run: slot 0 of group" in second.text(), 30)
        until("and works", lambda: second.port() and second.metric("interlock_events_published_total") > 0, 60)
        trial.recovered(since=began)
        first.cont()
        until("the first moved", lambda: "run: slot 1 of group" in first.text(), 60)
        until("both work", lambda: first.ready() and second.ready() and world.kafka.group_members(world.group) == 2, 60)
        trial.recovered()
    assert "slot's session is lost" in first.text()
    assert "FENCED" in first.text() or "fenced" in first.text() or "assignment 2" in first.text()
    trial.judge()


# ---- the broker forgets ---------------------------------------------------------------------------------------------

FORGETS = {"transactional.id.expiration.ms": 1500, "transaction.remove.expired.transaction.cleanup.interval.ms": 500,
           "producer.id.expiration.ms": 1500, "producer.id.expiration.check.interval.ms": 500}


@contextlib.contextmanager
def trial_on(request, make_world, stack, broker, row):
    """A trial whose world is on a broker of its own."""
    world = make_world(request.node.name.removeprefix("test_"), stack=stack_with(stack, broker.bootstrap))
    try:
        with running(Trial(world, row, request.node.name)) as made:
            yield made
    finally:
        finish(request, world)


def await_oblivion(broker, transactional_id):
    """The broker writes down what it knows of an id, and at last that it has forgotten it: the key without a value."""
    tail = Tail(broker.bootstrap, "__transaction_state")

    def is_forgotten():
        known = [each for each in tail.all() if transactional_id.encode() in each.key]
        return known and known[-1].value is None
    try:
        until("the id is forgotten", is_forgotten, 60)
    finally:
        tail.close()


@pytest.mark.fault(24)
@pytest.mark.seconds(180)
def test_a_producer_that_was_idle_past_the_life_of_its_id_is_rebuilt(request, make_world, stack):
    with PrivateBroker(FORGETS) as broker, trial_on(request, make_world, stack, broker, 24) as trial:
        world = trial.world
        worker = world.worker()
        with light(trial):
            trial.progress(20)
        world.drain()
        await_oblivion(broker, identity_of(world))
        began, before = time.monotonic(), worker.metric("interlock_producer_rebuilds_total")
        trial.recovered(since=began)
        assert worker.metric("interlock_producer_rebuilds_total") > before
        assert "INVALID_PRODUCER_ID_MAPPING" in worker.text()
        trial.judge()
