"""Brokers die, come back and hand over what they lead: partitions, the cluster, groups, transactions. Rules K1-K3."""

import contextlib
import json
import statistics
import subprocess
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from check.evidence import read_topic
from brokers import cluster, gentle, wide  # noqa: F401  fixtures
from harness.broker import PrivateBroker, stack_with
from harness.cluster import GROUPS, TRANSACTIONS
from harness.commands import create_ticket, escalate, partition_of
from harness.fixtures import finish
from harness.proxy import END_TXN, Proxy
from harness.waiting import until
from trial import Trial, running

POINTS = ("after_begin_txn", "after_send_offsets", "before_commit_txn")
DELAY = 3  # seconds
REBUILDS = "interlock_producer_rebuilds_total"


# ---- what readers of the audit topic saw of it ---------------------------------------------------------------------

def times_of(bootstrap, topic, key):
    """key(message) -> when it was written, in milliseconds, of every committed record of a topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "times", "enable.auto.commit": False,
                         "auto.offset.reset": "earliest", "isolation.level": "read_committed",
                         "enable.partition.eof": True})
    times = {}
    try:
        numbers = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
        ended = set()
        while len(ended) < len(numbers):
            for each in consumer.consume(500, timeout=1):
                if each.error() is not None:
                    ended.add(each.partition())
                else:
                    times.setdefault(key(each), each.timestamp()[1])
    finally:
        consumer.close()
    return times


def note_stalls(trial):
    """The longest time without an event while commands came all the time, and how late events were."""
    def identity_of_command(message):
        body = json.loads(message.value())
        return body["source"], body["id"]

    def identity_of_event(message):
        body = json.loads(message.value())["data"]["command"]
        return body["source"], body["id"]
    world = trial.world
    asked = times_of(world.stack.bootstrap, world.topic, identity_of_command)
    answered = times_of(world.stack.bootstrap, world.audit_topic, identity_of_event)
    moments = sorted(answered.values())
    late = [answered[each] - asked[each] for each in answered if each in asked]
    trial.note(longest_stall_ms=max(b - a for a, b in zip(moments, moments[1:])),
               p50_ms=round(statistics.median(late)), p99_ms=round(statistics.quantiles(late, n=100)[98]))


# ---- brokers die ---------------------------------------------------------------------------------------------------

@pytest.mark.breaks_stack
@pytest.mark.fault(6)
@pytest.mark.seconds(400)
def test_the_broker_crashes_and_comes_back(trial):
    """The only one. How long it takes to be there again is its own business: recovery counts from then."""
    worker, = trial.workers(1)
    with gentle(trial.load()):
        trial.progress(60)
        trial.world.stack.kill("kafka")
        trial.world.stack.start("kafka")
        trial.recovered()
    worker.wait_ready()
    trial.judge()


@pytest.mark.breaks_stack
@pytest.mark.long
@pytest.mark.fault(6)
@pytest.mark.seconds(900)
@pytest.mark.parametrize("run", range(3))
def test_the_broker_crashes_again_and_again(trial, run):
    """A single broker that is stopped cleanly can lose what it acknowledged (deploy/OPERATING.md, not promised);
    that is for three of them, below."""
    stack = trial.world.stack
    workers = trial.workers(2)
    with trial.load():
        for _ in range(4):
            trial.progress(trial.random.randrange(20, 120))
            stack.kill("kafka")
            stack.start("kafka")
            trial.recovered()
    for worker in workers:
        worker.wait_ready()
    trial.note(run=run)
    trial.judge()


def victims(trial, cluster):
    """The roles of a broker for us -> who has them now."""
    world, partition = trial.world, trial.random.randrange(trial.world.partitions)
    return {
        "the leader of a command partition": lambda: cluster.leader(world.topic, partition),
        "the controller": cluster.controller,
        "the group's coordinator": lambda: cluster.coordinator(GROUPS, world.group),
        "the transactions' coordinator": lambda: cluster.coordinator(TRANSACTIONS, f"interlock.{world.group}.0.0"),
    }


@pytest.mark.long
@pytest.mark.fault(6)
@pytest.mark.seconds(900)
@pytest.mark.parametrize("run", range(3))
def test_one_of_three_brokers_is_killed(wide, cluster, run):
    """Whatever it was to us, the two others do it; each killed one comes back before the next."""
    wide.workers(2)
    took = {}
    order = list(victims(wide, cluster).items())
    wide.random.shuffle(order)
    with gentle(wide.load()):
        for what, who in order:
            wide.progress(wide.random.randrange(20, 120))
            number = until(f"somebody is {what}", who)
            died = time.monotonic()
            cluster.kill(number)
            took[what] = wide.recovered(since=died)
            wide.progress(60)
            cluster.start(number)
            cluster.wait_in_sync()
        wide.recovered()
    wide.note(run=run, recovery_of=took)
    wide.judge()


def restart_all(trial, cluster, hard):
    """One after another, each only when the one before has caught up."""
    for number in trial.random.sample(list(cluster.nodes), len(cluster.nodes)):
        trial.progress(trial.random.randrange(10, 60))
        cluster.restart(number, hard)
        cluster.wait_in_sync()
    trial.recovered()


@pytest.mark.fault(7)
@pytest.mark.seconds(400)
def test_all_brokers_are_restarted_one_after_another(wide, cluster):
    wide.workers(1)
    with gentle(wide.load()):
        restart_all(wide, cluster, hard=False)
    note_stalls(wide)
    wide.judge()


@pytest.mark.long
@pytest.mark.fault(7)
@pytest.mark.seconds(900)
@pytest.mark.parametrize("how", ["clean", "hard"])
@pytest.mark.parametrize("run", range(3))
def test_all_brokers_are_restarted_again_and_again(wide, cluster, how, run):
    """Twice around, with two workers."""
    workers = wide.workers(2)
    with gentle(wide.load()):
        for _ in range(2):
            restart_all(wide, cluster, hard=how == "hard")
    for worker in workers:
        worker.wait_ready()
    wide.note(how=how, run=run)
    note_stalls(wide)
    wide.judge()


# ---- no room ------------------------------------------------------------------------------------------------------

@pytest.fixture
def small(request, make_world, stack, tmp_path):
    """(a trial on a broker whose data lie on a small file system, that file system)"""
    broker, disk = PrivateBroker(), tmp_path / "disk"
    disk.mkdir()
    broker.settings["log.dirs"] = disk / "data"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], capture_output=True,
                             check=False)
    if mounted.returncode != 0:
        pytest.skip("file systems may not be mounted here")
    try:
        with broker:
            world = make_world(request.node.name.removeprefix("test_"), stack=stack_with(stack, broker.bootstrap))
            with running(Trial(world, 6, request.node.name)) as trial:
                yield trial, broker, disk
            finish(request, world)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def fill(path):
    """Takes all the room that is left."""
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as ballast:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    ballast.write(bytes(size))


@pytest.mark.long
@pytest.mark.fault(6)
@pytest.mark.seconds(400)
def test_the_broker_s_disk_is_full(small):
    """It ends by itself, and is started again when there is room."""
    trial, broker, disk = small
    worker, = trial.workers(1)
    with gentle(trial.load()):
        trial.progress(60)
        fill(disk / "ballast")
        until("the broker has ended", lambda: broker.process.poll() is not None, 120)
        assert worker.runs()
        (disk / "ballast").unlink()
        broker.start()
        trial.recovered()
    worker.wait_ready()
    trial.judge()


# ---- coordinators move ---------------------------------------------------------------------------------------------

def kill_it(cluster, topic, partition, leader):
    cluster.kill(leader)
    until("another coordinator", lambda: cluster.leader(topic, partition) not in (None, leader), 60)
    cluster.start(leader)


def stop_it(cluster, _topic, _partition, leader):
    cluster.restart(leader)


def elect_another(cluster, topic, partition, leader):
    cluster.lead(topic, partition, leader % len(cluster.nodes) + 1)


MOVES = {"killed": kill_it, "stopped cleanly": stop_it, "another one elected": elect_another}


def move(cluster, world, topic, how):
    """The coordinator of the world's group, or of its first worker's transactions, is another broker afterwards."""
    name = world.group if topic == GROUPS else f"interlock.{world.group}.0.0"
    partition = cluster.place(topic, name)
    leader = until("there is a coordinator", lambda: cluster.leader(topic, partition))
    MOVES[how](cluster, topic, partition, leader)
    # Not every broker knows at once.
    until("it is another broker", lambda: cluster.leader(topic, partition) not in (None, leader), 60)


def stands_at(worker, point, stopped=True):
    """Waits for it; `stopped`: until it has really stopped, or SIGCONT might come before."""
    until(f"the worker has reached {point}", lambda: f"fault point {point}, time" in worker.text(), 60)
    if stopped:
        stat = Path(f"/proc/{worker.pid}/stat")
        until("it has stopped", lambda: stat.read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T")
        worker.stopped = True


def warnings_of(worker):
    """The problems that the publisher logged, in short."""
    lines = [line.partition("publisher: ")[2] for line in worker.text().splitlines() if "warning [publish-" in line]
    return sorted({line.replace("; trying again", "")[:100] for line in lines if line})


def move_at(trial, cluster, topic, how, point, whole):
    """A worker that stands at a point of its transaction while the coordinator moves, then goes on with it. `whole`:
    all its threads do; else librdkafka's see what happens meanwhile, and the move may end before or after."""
    number = trial.random.randrange(2, 9)  # of its transactions
    action = "stop" if whole else f"delay:{1000 * DELAY}"
    worker = trial.world.worker(FAULT_POINTS=f"{point}={action}@{number}", consumers_session_timeout="20s")
    stands_at(worker, point, whole)
    goes_on = time.monotonic() + DELAY
    move(cluster, trial.world, topic, how)
    if whole:
        worker.cont()
    took = trial.recovered(since=time.monotonic() if whole else max(goes_on, time.monotonic()))
    worker.wait_ready()
    rebuilds = int(worker.metric(REBUILDS))
    said = warnings_of(worker)
    assert worker.end() == 0
    cluster.wait_in_sync()
    return {"point": point, "whole": whole, "recovery_ms": took, "rebuilds": rebuilds, "said": said}


@pytest.mark.fault(8)
@pytest.mark.seconds(400)
def test_a_coordinator_moves_in_the_middle_of_a_transaction(wide, cluster):
    """The transactions' and the group's, while the events are sent and the end is not."""
    with gentle(wide.load()):
        ways = [move_at(wide, cluster, topic, "another one elected", "before_commit_txn", True)
                for topic in (TRANSACTIONS, GROUPS)]
    wide.workers(1)
    wide.note(ways=ways)
    wide.judge()


@pytest.mark.long
@pytest.mark.fault(8)
@pytest.mark.seconds(900)
@pytest.mark.parametrize("how", MOVES)
@pytest.mark.parametrize("topic", [GROUPS, TRANSACTIONS])
def test_a_coordinator_moves_at_each_point_of_a_transaction(wide, cluster, topic, how):
    with gentle(wide.load()):
        ways = [move_at(wide, cluster, topic, how, point, whole) for point in POINTS for whole in (True, False)]
    wide.workers(1)
    wide.note(coordinator=topic, how=how, ways=ways)
    wide.judge()


# ---- the rules ------------------------------------------------------------------------------------------------------

@pytest.mark.fault(23)
@pytest.mark.seconds(240)
def test_gaps_between_offsets_hold_nothing_up_and_what_is_held_does(world):
    """PROTOCOL K1: contiguous means in the order received. The commands come in transactions, some of them aborted, so
    there are offsets at which no command will ever be; one that waits for its row keeps back those behind it."""
    world.worker(worker_park_when_blocking="0s")
    world.ask(*[create_ticket(number) for number in range(1, 21)], timeout=60)
    world.drain()
    held = partition_of("ticket/1", world.partitions)
    before = world.kafka.committed(world.group, world.topic)[held]
    producer = Producer({"bootstrap.servers": world.stack.bootstrap, "transactional.id": f"{world.name}.publisher"})
    producer.init_transactions()
    messages = []

    def transaction(end, numbers):
        producer.begin_transaction()
        sent = [escalate(number).at(held) for number in numbers]
        for each in sent:
            producer.produce(world.topic, each.value, each.key, partition=held, headers=each.headers)
        producer.flush(30)
        end()
        return sent
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        for _ in range(3):
            messages += transaction(producer.commit_transaction, range(2, 11))
            transaction(producer.abort_transaction, range(11, 21))
        until("those before the held one are acknowledged, gaps and all",
              lambda: world.kafka.committed(world.group, world.topic).get(held, 0) >= before + 9 + 1 + 11 + 10 + 11 + 9)
        blocked = transaction(producer.commit_transaction, [1])
        position = world.kafka.ends(world.topic)[held] - 2  # its marker is the last
        messages += blocked + transaction(producer.commit_transaction, range(2, 11))
        until("those behind it are applied", lambda: world.database.value(
            "SELECT min(level) FROM interlock.ticket WHERE id BETWEEN 2 AND 10") == 4)
        assert world.kafka.committed(world.group, world.topic)[held] <= position
        assert world.database.value("SELECT max(level) FROM interlock.ticket WHERE id > 10") == 0, "aborted commands"
    world.await_events(messages)
    world.ask(escalate(20).at(held))  # no marker after it: the end can be reached
    world.drain()
    world.check(ordered=False)
    assert len(world.audit.all()) == 20 + len(messages) + 1


def positions_of(world):
    """Identity of each command -> its first place on the topic."""
    found = {}
    for record in read_topic(world.stack.bootstrap, world.topic):
        body = json.loads(record.value)
        found.setdefault((body["source"], body["id"]), (record.partition, record.offset))
    return found


def published(world):
    return {tuple(json.loads(each.value)["data"]["command"][name] for name in ("source", "id"))
            for each in read_topic(world.stack.bootstrap, world.audit_topic)}


def take_id(world):
    """Begins to use the worker's transactional id: what it left open is aborted, and it is fenced."""
    Producer({"bootstrap.servers": world.stack.bootstrap,
              "transactional.id": f"interlock.{world.group}.0.0"}).init_transactions(30)


@pytest.mark.fault(1)
@pytest.mark.seconds(400)
def test_events_appear_with_their_offsets_or_not_at_all(trial):
    """PROTOCOL K2: a transaction carries the events and the offsets of the prefix. Wherever in it the worker dies, what
    readers see then is the events of exactly the commands below the group's offsets."""
    world = trial.world
    unpublished = 0
    with gentle(trial.load(duplicates=0)):
        for point in ("after_send_offsets", "before_commit_txn", "after_commit_txn"):
            worker = world.worker(ready=False, FAULT_POINTS=f"{point}=crash@{trial.random.randrange(3, 9)}")
            until("it has died", lambda worker=worker: not worker.runs(), 120)
            take_id(world)
            events = published(world)
            below = world.kafka.committed(world.group, world.topic)
            assert events == {each for each, (partition, offset) in positions_of(world).items()
                              if offset < below.get(partition, 0)}
            unpublished += world.database.count("inbox") - len(events)
        trial.workers(1)
        trial.progress(1)
    assert unpublished > 0, "it never died between PostgreSQL's commit and Kafka's"
    trial.judge()


def written_and_seen(world):
    """The values written to the audit topic and those that readers see: value -> how often."""
    def counts(committed_only):
        found = {}
        for each in read_topic(world.stack.bootstrap, world.audit_topic, committed_only):
            found[each.value] = found.get(each.value, 0) + 1
        return found
    return counts(False), counts(True)


@pytest.mark.fault(8)
@pytest.mark.seconds(240)
def test_a_fenced_producer_is_rebuilt_and_the_same_events_are_sent_again(world):
    """PROTOCOL K3: not reached and still the owner = the same events again. Somebody else begins to use its
    transactional id while it stands before the end of a transaction."""
    worker = world.worker(FAULT_POINTS="before_commit_txn=stop@2", consumers_session_timeout="30s")
    world.ask(create_ticket(1), timeout=60)
    messages = [escalate(1) for _ in range(5)]
    world.publish(*messages)
    stands_at(worker, "before_commit_txn")
    take_id(world)
    worker.cont()
    world.await_events(messages, 60)
    world.drain()
    world.check()
    assert worker.metric(REBUILDS) >= 1
    written, seen = written_and_seen(world)
    assert set(written) == set(seen) and set(seen.values()) == {1}
    assert max(written.values()) == 2, "nothing was sent twice: it was not in the middle of a transaction"


class AnswerLost:
    """From `arm` on: one transaction is ended, and whoever asked for it is never answered and may not ask again."""

    def __init__(self):
        self.armed = False
        self.ended = 0

    def on_request(self, link, key, frame):
        if not self.armed or key != END_TXN:
            return True
        self.ended += 1
        if self.ended == 1:
            link.lose_client()
            return True
        return False

    def on_answer(self, key):
        pass


@pytest.mark.fault(8)
@pytest.mark.seconds(240)
def test_a_transaction_whose_answer_was_lost_is_found_to_have_been_committed(world):
    """PROTOCOL K3: reached = done. Nothing is sent again."""
    lost = AnswerLost()
    proxy = Proxy(world.stack.bootstrap, lost)
    try:
        worker = world.worker(KAFKA_BOOTSTRAP=proxy.address, consumers_transaction_timeout="2s")
        world.ask(create_ticket(1), timeout=60)
        lost.armed = True
        messages = [escalate(1) for _ in range(5)]
        world.publish(*messages)
        world.await_events(messages, 60)
        until("the producer is rebuilt", lambda: worker.metric(REBUILDS) >= 1)
        lost.armed = False
        world.ask(escalate(1), timeout=60)
        world.drain()
        world.check()
        written, seen = written_and_seen(world)
        assert written == seen and set(seen.values()) == {1}
        assert lost.ended >= 2
    finally:
        proxy.close()
