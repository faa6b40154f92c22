"""Topics and offsets go back, or are gone; what is known of both is asked for and not guessed."""

import datetime
import json
import re
import subprocess
from collections import Counter

import pytest

from harness.broker import jars
from harness.commands import create_ticket, escalate
from harness.proxy import Proxy, arrives
from harness.waiting import until
from positions import levels, steady, truncate
from storm import gentle, served

FETCH, OFFSET_COMMIT, OFFSET_FETCH = 1, 8, 9  # of Kafka's requests
REWINDS, OUT_OF_RANGE = "interlock_offset_rewinds_total", "interlock_offsets_out_of_range_total"


# ---- again from the beginning, or from some time -------------------------------------------------------------------

@pytest.mark.fault(23)
@pytest.mark.seconds(200)
def test_a_rewound_group_and_a_replayed_topic_change_nothing(trial):
    """The log and a metric say that offsets went back."""
    world = trial.world
    worker = world.worker(consumers_static="false")  # which leaves the group when it ends
    with gentle(trial, burst=40) as load:
        world.publish(*[type(create_ticket(1))(value, f"ticket/{number}") for number, value in
                        enumerate([b"{", b"", None, b"[]", b"\xff"] * 2, 1)])
        trial.progress(250)
    trial.judge(letters=10)
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
        assert worker.metric(REWINDS) == world.partitions and "went back" in worker.text()
    replay = list(load.distinct.values())
    world.publish(*replay, *[message.at(3) for message in replay[::5]])
    world.drain()
    world.check()
    assert steady(world) == before, "after a replay of the commands"


def reset_by_time(world, moment):
    """CHECKLIST's command, with the class behind kafka-consumer-groups.sh."""
    words = ["--bootstrap-server", world.stack.bootstrap, "--group", world.group, "--topic", world.topic,
             "--reset-offsets", "--to-datetime", moment, "--execute"]
    done = subprocess.run(["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars()}/*",
                           "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", *words],
                          capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0 and world.topic in done.stdout, done.stdout + done.stderr


@pytest.mark.fault(23)
@pytest.mark.seconds(200)
def test_a_replay_from_a_time_applies_nothing_again(trial):
    """As an operator would, after PostgreSQL lost its last second: the workers stopped, the group set back by time."""
    world = trial.world
    worker = world.worker(consumers_static="false")  # which leaves the group when it ends
    with gentle(trial):
        trial.progress(90)
        world.drain()
        middle = world.kafka.ends(world.topic)  # every message up to here is older than
        moment = datetime.datetime.now(datetime.timezone.utc)
        trial.progress(90)
    trial.judge()
    before = steady(world)
    assert worker.end() == 0
    until("the group is empty", lambda: world.kafka.group_members(world.group) == 0, 40)
    reset_by_time(world, moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z")
    back = world.kafka.committed(world.group, world.topic)
    assert all(middle[number] <= back[number] for number in middle)
    assert sum(back.values()) < sum(world.kafka.ends(world.topic).values()), "no offset was moved"
    worker.start().wait_ready()
    world.drain()
    world.check()
    assert steady(world) == before


@pytest.mark.fault(23)
@pytest.mark.seconds(90)
def test_a_group_that_was_forgotten_starts_over_and_changes_nothing(trial):
    """As when its offsets expired: no committed offset at all."""
    world = trial.world
    worker = world.worker(consumers_static="false")  # which leaves the group when it ends
    with gentle(trial):
        trial.progress(150)
    trial.judge()
    before = steady(world)
    assert worker.end() == 0
    until("the group is empty and deleted", lambda: world.kafka.forget_group(world.group), 30, pause=0.2)
    worker.start().wait_ready()
    world.drain()
    world.check()
    assert steady(world) == before
    assert worker.metric(REWINDS) == world.partitions and "went back" in worker.text()


@pytest.mark.fault(23)
@pytest.mark.seconds(120)
def test_commits_that_the_broker_forgot_are_noticed_and_nothing_is_published_twice(trial):
    """A lone broker that crashed may answer with an older commit, which is a worker's own."""
    world = trial.world
    worker = world.worker(consumers_static="false")  # which leaves the group when it ends
    with gentle(trial):
        trial.progress(60)
        world.drain()
        older = world.kafka.committed(world.group, world.topic)
        trial.progress(90)
    trial.judge()
    before = steady(world)
    assert worker.end() == 0
    mark = world.database.value("SELECT id || ':1' FROM interlock.schema_identity")
    world.kafka.move_offsets(world.group, world.topic, older, mark)
    worker.start().wait_ready()
    world.drain()
    world.check()
    assert steady(world) == before
    assert worker.metric(REWINDS) == world.partitions and "went back" in worker.text()


@pytest.mark.fault(23)
@pytest.mark.seconds(90)
def test_a_rewind_while_commands_wait_publishes_each_once(trial):
    """Some commands below the rewind were published, some not."""
    world = trial.world
    worker = world.worker(worker_park_when_blocking="0s")
    world.ask(*[create_ticket(number) for number in range(1, 31)])
    world.drain()
    messages = [escalate(1 + step % 30) for step in range(90)]
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 7 FOR UPDATE"):
        world.publish(*messages)
        until("all others are applied", lambda: levels(world) == 87)
        worker.kill()
    world.kafka.move_offsets(world.group, world.topic, dict.fromkeys(range(world.partitions), 0))
    worker.start().wait_ready()
    world.await_events(messages)
    trial.judge()


# ---- gone ----------------------------------------------------------------------------------------------------------

@pytest.mark.fault(23)
@pytest.mark.seconds(120)
@pytest.mark.parametrize("worker_is", ["running", "ended"])
def test_a_topic_that_was_created_again_is_read_from_its_beginning(trial, worker_is):
    """Deleted and created under a worker: its offsets start at 0 again, and old commands sent again are still known."""
    world = trial.world
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
    trial.record()


@pytest.fixture
def tells_ids(trial):
    """Where the worker's library tells the ids of topics."""
    library = re.search(r"librdkafka (\d+)\.(\d+)", trial.world.verb("version").stdout).groups()
    if tuple(map(int, library)) < (2, 3):
        pytest.skip("librdkafka tells the ids of topics from 2.3 on")


@pytest.mark.fault(23)
@pytest.mark.seconds(90)
@pytest.mark.parametrize("protected", [True, False])
def test_a_topic_created_again_and_longer_than_the_old_position_is_read_from_its_beginning(trial, tells_ids, protected):
    """No offset tells it from the former one: its id does. Events that were recorded for the former one, and waited behind a
    held command to be published, are published from their rows."""
    world = trial.world
    worker = world.worker(consumers_session_timeout="30s", worker_park_when_blocking="0ms", worker_park_after="10min",
                          protections_topic_ids=str(protected).lower())
    world.ask(*[create_ticket(number) for number in range(1, 61)])
    world.drain()
    with world.database.holding("SELECT FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        world.publish(*[escalate(number) for number in range(1, 61)])
        until("all others are recorded", lambda: levels(world) == 59, 30)
        position = world.kafka.ends(world.topic)
        worker.stop()  # it sees nothing of what happens in between
        world.kafka.recreate(world.topic, world.partitions)
        new = [create_ticket(number) for number in range(101, 501)]
        world.publish(*new)
        assert all(end > position[number] for number, end in world.kafka.ends(world.topic).items() if position[number])
        worker.cont()
        if protected:
            told = world.await_events(new, 60)
    if not protected:
        world.drain()
        skipped = 460 - world.database.count("ticket")
        assert skipped == sum(position.values()), "the records below the old position"
        trial.record()
        return
    assert {each.outcome for each in told} == {"applied"}
    world.drain()
    assert (levels(world), len(world.audit.all())) == (59, 519), "the held command was lost with its topic"
    assert worker.metric("interlock_restored_total") > 0
    said = re.findall(r"the topic was created again, its id was (\S+) and is (\S+): it is read", worker.text())
    assert len(set(said)) == 1 and said[0][0] != said[0][1]
    assert world.database.rows("SELECT DISTINCT topic_id FROM interlock.partition_owner") == [(said[0][1],)]
    assert worker.end() == 0
    worker.start().wait_ready()
    assert worker.metric("interlock_messages_received_total") == 0
    trial.record()


@pytest.mark.fault(23)
@pytest.mark.seconds(60)
def test_a_commit_for_a_former_topic_does_not_say_where_to_begin(trial, tells_ids):
    """A worker commits once more after its topic was created again, and dies before it notices."""
    world = trial.world
    worker = world.worker(consumers_static="false")
    world.ask(*[create_ticket(number) for number in range(1, 61)])
    world.drain()
    assert worker.end() == 0
    before = steady(world)
    world.database.execute("UPDATE interlock.partition_owner SET topic_id = 'former'")
    for received in (60, 0):
        worker.start().wait_ready()
        until("it has read what it has to", lambda: worker.metric("interlock_messages_received_total") == received, 30)
        world.drain()
        assert ("its id was former and is" in worker.text()) == (received > 0)
        assert worker.end() == 0
    assert steady(world) == before
    trial.record()


class HeldFetch:
    """A question for messages is on its way, and stays there until `release`."""

    def __init__(self):
        self.armed, self.held = False, []

    def on_request(self, link, key, frame):
        if self.armed and key == FETCH:
            self.held.append((link, frame))
            return False
        return True

    def on_answer(self, key):
        pass

    def release(self):
        self.armed = False
        assert all([arrives(link, frame) for link, frame in self.held])


@pytest.mark.fault(23)
@pytest.mark.seconds(150)
def test_records_truncated_before_they_were_read_are_reported_and_the_rest_is_applied(trial):
    """PROTOCOL O5: an offset that is out of range ends the ownership, the partition is taken over again and read from
    what is there. First under a running worker, then under none. The records that were cut off are lost, as the retention of the
    topic wanted: a metric and the log say so. Nothing is applied again."""
    world = trial.world
    held = HeldFetch()
    proxy = Proxy(world.stack.bootstrap, held)
    try:
        worker = world.worker(KAFKA_BOOTSTRAP=proxy.address)
        world.ask(*[create_ticket(number) for number in range(1, 41)])
        world.drain()
        held.armed = True
        until("it asks for more", lambda: held.held, 30)  # one broker, one question at a time
        kept = publish_and_truncate(world)
        held.release()
        world.await_events(kept, 60)
        world.drain()
        assert worker.metric(OUT_OF_RANGE) >= 1 and "out of range" in worker.text()
        assert worker.end() == 0
    finally:
        proxy.close()
    kept += publish_and_truncate(world)
    worker.environment["KAFKA_BOOTSTRAP"] = world.stack.bootstrap
    worker.start()
    world.await_events(kept, 60)
    world.drain()
    assert worker.metric(OUT_OF_RANGE) >= 1 and "out of range" in worker.text()
    events = world.audit.all()
    assert Counter(each.event_id for each in events).most_common(1)[0][1] == 1
    assert {each.outcome for each in events} == {"applied"}
    assert (len(events), levels(world)) == (120, 80), "40 tickets, and twice 40 commands that were not cut off"
    trial.record()


def publish_and_truncate(world):
    """Eighty commands, of which the first forty are gone at once. Returns the others."""
    lost, rest = ([escalate(number) for number in range(1, 41)] for _ in range(2))
    world.publish(*lost)
    middle = world.kafka.ends(world.topic)
    world.publish(*rest)
    truncate(world, world.topic, middle)
    return rest


# ---- what is committed (PROTOCOL O5) -------------------------------------------------------------------------------

class NoOffsets:
    """Questions for committed offsets get no answer, until `answer`."""

    def __init__(self):
        self.asked, self.answering = 0, False

    def answer(self):
        self.answering = True

    def on_request(self, _connection, key, _frame):
        self.asked += key == OFFSET_FETCH
        return self.answering or key != OFFSET_FETCH

    def on_answer(self, key):
        pass


@pytest.mark.fault(23)
@pytest.mark.seconds(120)
def test_only_a_definite_none_starts_at_the_beginning(trial):
    """PROTOCOL O5: a question for committed offsets that is not answered is asked again, and nothing is read meanwhile.
    The inbox is empty, as after its retention: whoever guessed and read from the beginning would do all of it again."""
    world = trial.world
    former = world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 31)], *[escalate(number) for number in range(1, 31)])
    world.drain()
    assert former.end() == 0
    world.database.execute("DELETE FROM interlock.inbox")
    silence = NoOffsets()
    proxy = Proxy(world.stack.bootstrap, silence)
    try:
        worker = world.worker(ready=False, KAFKA_BOOTSTRAP=proxy.address)
        until("it asks again", lambda: silence.asked >= 3, 60)
        until("it says so", lambda: "committed offsets" in worker.text(), 60)
        assert worker.get("/readyz")[0] == 503 and worker.metric("interlock_messages_received_total") == 0
        silence.answer()
        worker.wait_ready()
        late = escalate(1)
        assert world.ask(late).outcome == "applied"
        assert worker.metric("interlock_messages_received_total") == 1
        assert levels(world) == 31 and len(world.audit.all()) == 61
    finally:
        proxy.close()
    trial.record()


# ---- what is published (PROTOCOL R1, R7) ---------------------------------------------------------------------------

class DiesAtCommit:
    """The worker dies when its events are out and their offsets are on their way."""

    def __init__(self):
        self.worker, self.armed = None, False

    def on_request(self, _link, key, _frame):
        if not (self.armed and key == OFFSET_COMMIT):
            return True
        self.worker.kill()
        return False

    def on_answer(self, key):
        pass


@pytest.mark.fault(1)
@pytest.mark.seconds(120)
def test_events_that_are_out_without_their_offsets_are_not_published_again(trial):
    """PROTOCOL R1: what is recorded at or above `published` is looked up on the audit topic first. In at-least-once
    mode nothing else keeps it from being there twice after a crash."""
    world = trial.world
    dies = DiesAtCommit()
    proxy = Proxy(world.stack.bootstrap, dies)
    try:
        worker = dies.worker = world.worker(kafka_delivery="at_least_once", KAFKA_BOOTSTRAP=proxy.address)
        world.ask(create_ticket(1))
        world.drain()
        dies.armed = True
        world.publish(*[escalate(1) for _ in range(50)])
        until("it has died", lambda: not worker.runs(), 60)
        until("they are out", lambda: len(world.audit.all()) > 1, 30)
        assert world.lag() == 50
    finally:
        proxy.close()
    worker.environment["KAFKA_BOOTSTRAP"] = world.stack.bootstrap
    worker.start().wait_ready()
    trial.judge()


RAISES = ("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' AND "
          "query_start > %s AND query LIKE 'UPDATE interlock.partition_published p SET published%%'")


@pytest.mark.fault(2)
@pytest.mark.seconds(150)
def test_a_late_report_of_a_former_owner_about_published_events_is_refused(trial):
    """PROTOCOL R1. It sleeps between Kafka's commit and its own note of it in PostgreSQL; another takes over, and the
    offsets are moved back. The late note, under the old fence, would hide the rewind from the next takeover."""
    world = trial.world
    settings = {"consumers_session_timeout": "2s", "consumers_static": "false"}
    sleeper = world.worker(**settings)
    world.ask(create_ticket(1))
    world.drain()
    assert sleeper.end() == 0
    sleeper.environment["FAULT_POINTS"] = "after_commit_txn=stop@1"
    world.publish(*[escalate(1) for _ in range(50)])
    sleeper.start()
    until("it sleeps", lambda: "fault point after_commit_txn" in sleeper.text(), 60)
    sleeper.stopped = True
    other = world.worker(ready=False, **settings)
    until("the other one has all of it", lambda: served([other]) == world.partitions and other.ready(), 60)
    world.drain()
    assert other.end() == 0
    world.kafka.move_offsets(world.group, world.topic, dict.fromkeys(range(world.partitions), 0))
    published = "SELECT sum(published) FROM interlock.partition_published"
    with world.database.holding("LOCK TABLE interlock.inbox IN ACCESS EXCLUSIVE MODE"):
        other.start()
        until("the rewind is noted", lambda: world.database.value(published) == 0, 60)
        now = world.database.value("SELECT now()")
        sleeper.cont()
        until("the sleeper has written what it knew; at the latest when it owns something again", lambda:
              world.database.value(RAISES, now) or "assignment 2: all" in sleeper.text(), 60)
        assert world.database.value(published) == 0
    trial.judge()
    assert world.database.value("SELECT count(*) FROM interlock.partition_rewind WHERE below > 0") >= 1


def verified(world, *words):
    done = world.verb("audit", "verify", *words, "--output", "json")
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.fault(12)
@pytest.mark.seconds(120)
def test_a_hole_is_what_should_be_on_the_topic_and_is_not(trial):
    """PROTOCOL R7: not what is recorded and not published yet, nor what the topic has forgotten since. A real one is
    found, and published once, whoever asks for it again."""
    world = trial.world
    worker = world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 31)])
    world.drain()
    assert worker.end() == 0
    worker.environment["FAULT_POINTS"] = "before_begin_txn=crash@1"
    world.publish(*[escalate(number) for number in range(1, 31)])
    worker.start()
    until("it has died before it published", lambda: not worker.runs(), 60)
    recorded = world.database.count("audit_event")
    assert recorded > 30 and len(world.audit.all()) == 30
    code, told = verified(world)
    assert (code, told["holes"]) == (0, 0), told
    del worker.environment["FAULT_POINTS"]
    worker.start().wait_ready()
    world.drain()
    trial.judge()
    until("PostgreSQL knows of all that is published", lambda: world.database.value(
        "SELECT sum(published) FROM interlock.partition_published") == sum(world.kafka.ends(world.topic).values()), 30)

    ends = world.kafka.ends(world.audit_topic)
    truncate(world, world.audit_topic, {number: end // 2 for number, end in ends.items()})
    code, told = verified(world)
    assert (code, told["holes"]) == (0, 0), told

    # The event of a command that nobody published: below `published`, younger than the topic's oldest record.
    columns = world.database.value("SELECT string_agg(column_name, ', ' ORDER BY ordinal_position) FROM "
                                   "information_schema.columns WHERE table_schema = 'interlock' AND "
                                   "table_name = 'audit_event' AND "
                                   "column_name NOT IN ('event_id', 'fence', 'changed_at', 'command_id')")
    world.database.execute(f"INSERT INTO interlock.audit_event (event_id, fence, changed_at, command_id, {columns}) "
                           f"SELECT gen_random_uuid(), fence + 1, now(), 'never published', {columns} "
                           "FROM interlock.audit_event LIMIT 1")
    code, told = verified(world)
    assert (code, told["holes"]) == (3, 1), told
    assert len(world.audit.all()) == 60
    for _ in range(2):
        verified(world, "--repair", "--execute", "--reason", "a test")
        until("it is there", lambda: len(world.audit.all()) == 61, 20)
    assert verified(world)[1]["holes"] == 0
