"""interlock audit verify: every way in which the topic may differ from the audit rows is found and named; repair
publishes what is missing, the same bytes under the same ids, once. PROTOCOL R7."""

import json
import re
import threading

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition

from check.evidence import read_topic
from harness.commands import append, create_ticket, escalate
from harness.load import Load, progress
from harness.waiting import until

NOTHING = {"holes": 0, "doubles": 0, "mismatches": 0, "unknown": 0, "reordered": 0, "impossible": 0}
EXECUTE = ("--repair", "--execute", "--reason", "a test")
TICKETS = 4
STEPS = 3  # escalations of each


def verify(world, *arguments, timeout=60):
    """(exit code, its counts)"""
    done = world.verb("audit", "verify", *arguments, "--output", "json", timeout=timeout)
    assert done.stdout.strip(), done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def faults(told):
    return {name: told[name] for name in NOTHING}


def published(world):
    return read_topic(world.stack.bootstrap, world.audit_topic)


def id_of(record):
    return json.loads(record.value)["id"]


def bare(record):
    return (record.partition, record.key, record.value, record.headers)


def put(world, records, **settings):
    producer = Producer({"bootstrap.servers": world.stack.bootstrap, "enable.idempotence": True, **settings})
    for each in records:
        producer.produce(world.audit_topic, key=each.key, value=each.value, headers=each.headers,
                         partition=each.partition, timestamp=each.at // 1000)
        producer.poll(0)
    assert producer.flush(60) == 0


def rewrite(world, change):
    """The topic created again with the records that `change` makes of its own. Nobody may work meanwhile."""
    records = published(world)
    world.kafka.recreate(world.audit_topic, len(world.kafka.partitions(world.audit_topic)))
    put(world, change(list(records)))
    return records


@pytest.fixture
def told(world):
    """A world at rest: tickets of four events each, all of them on the topic, the worker ended."""
    world.worker()
    world.ask(*[create_ticket(number) for number in range(1, TICKETS + 1)])
    for _ in range(STEPS):
        world.ask(*[escalate(number) for number in range(1, TICKETS + 1)])
    world.drain()
    assert world.workers[0].end() == 0
    code, counts = verify(world)
    total = TICKETS * (1 + STEPS)
    assert (code, counts) == (0, {**NOTHING, "events": total, "rows": total, "repaired": 0})
    return world


# ---- what is found -------------------------------------------------------------------------------------------

def of_one_ticket(records):
    """The places of one ticket's events, in order."""
    return [place for place, each in enumerate(records) if each.key == records[-1].key]


def without(*places):
    """Of the last ticket."""
    def change(records):
        gone = [of_one_ticket(records)[place] for place in places]
        return [each for place, each in enumerate(records) if place not in gone]
    return change


def twice(records):
    return records + [records[of_one_ticket(records)[1]]]


def swapped(records):
    first, second = of_one_ticket(records)[1:3]
    records[first], records[second] = records[second], records[first]
    return records


def altered(records):
    record = records[of_one_ticket(records)[2]]
    record.value = record.value.replace(b'"outcome":"applied"', b'"outcome":"APPLIED"')
    return records


def with_a_stranger(records):
    """An event that looks like ours and that no row stands behind; and a message that is no event at all."""
    stranger, noise = (type(records[0])(**vars(records[-1])) for _ in range(2))
    stranger.value = re.sub(rb'"id":"[0-9a-f]{8}', b'"id":"00000000', stranger.value, count=1)
    stranger.value = stranger.value.replace(b'"version":{"from":', b'"versions":{"from":')
    noise.value = b"{}"
    return records + [stranger, noise]


FAULTS = {
    "the first event is missing": (without(0), {"holes": 1}, "hole"),
    "one in the middle is missing": (without(2), {"holes": 1}, "hole"),
    "the last two are missing": (without(-1, -2), {"holes": 2}, "hole"),
    "one is there twice": (twice, {"doubles": 1}, "double"),
    "two have changed places": (swapped, {"reordered": 1}, "reordered"),
    "one says something else": (altered, {"mismatches": 1}, "mismatch"),
    "one belongs to no row": (with_a_stranger, {"unknown": 1}, None),
}


BY_HAND = {
    "before the beginning": {"kafka_offset": "-1"}, "behind the end": {"kafka_offset": "1000000000"},
    "of no partition": {"partition_id": "99", "kafka_offset": "0"}, "of a fence to come": {"fence": "fence + 100"},
    "of no fence": {"fence": "0"},
}


def test_rows_that_no_message_can_stand_for_are_counted_and_named(told):
    """Whoever has the rights of a worker can add rows to the audit; what no command can have left is seen."""
    columns = [name for name, in told.database.rows(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'interlock' AND table_name = 'audit_event'")]
    made = []
    for changed in BY_HAND.values():
        changed = {"event_id": "gen_random_uuid()", **changed}
        made.append(told.database.value(
            f"WITH row AS (SELECT * FROM interlock.audit_event WHERE kafka_offset > 0 LIMIT 1) INSERT INTO interlock.audit_event "
            f"({', '.join(columns)}) SELECT {', '.join(changed.get(name, name) for name in columns)} FROM row "
            "RETURNING event_id"))
    code, counts = verify(told)
    assert (code, counts["impossible"]) == (3, len(BY_HAND)), counts
    done = told.verb("audit", "verify")
    assert done.returncode == 3
    assert set(re.findall(r"impossible event (\S+)", done.stdout)) == set(made)


def test_rows_of_a_topic_that_was_created_again_are_not_taken_for_such(told):
    told.kafka.recreate(told.topic, told.partitions)
    worker = told.worker()
    assert told.ask(escalate(1)).outcome == "applied"
    told.drain()
    assert worker.end() == 0
    assert verify(told)[1]["impossible"] == 0


def test_a_verification_that_cannot_look_ends_with_another_code_than_one_that_finds(told):
    assert told.verb("audit", "verify", DATABASE_URL="postgresql://127.0.0.1:1/x").returncode == 1
    assert told.verb("audit", "verify", KAFKA_BOOTSTRAP="127.0.0.1:1", timeout=90).returncode == 1


@pytest.mark.seconds(120)
@pytest.mark.parametrize("what", FAULTS)
def test_each_fault_is_counted_and_named(told, what):
    change, wanted, word = FAULTS[what]
    before = rewrite(told, change)
    code, counts = verify(told)
    assert (code, faults(counts)) == (3, {**NOTHING, **wanted})
    assert verify(told, "--passes", "3") == (code, counts)           # each over a part of the aggregates
    text = told.verb("audit", "verify").stdout
    after = [id_of(each) for each in published(told) if each.value != b"{}"]
    if word == "hole":
        missing = {id_of(each) for each in before} - set(after)
        assert missing and set(re.findall(r"hole +event (\S+)  command at offset \d+", text)) == missing
    elif word is not None:
        assert re.search(rf"{word} +event ({'|'.join(after)})  ", text), text


@pytest.mark.seconds(120)
def test_records_that_retention_has_deleted_are_not_a_hole(told):
    """In one partition; the others still have what is older than its oldest record."""
    records = published(told)
    last = records[of_one_ticket(records)[-1]]  # the highest of its partition
    place = TopicPartition(told.audit_topic, last.partition, last.offset)
    told.kafka.admin.delete_records([place])[TopicPartition(told.audit_topic, last.partition)].result(30)
    until("they are gone", lambda: len([each for each in published(told) if each.partition == last.partition]) == 1, 30)
    assert len(published(told)) < len(records), "nothing was deleted"
    code, counts = verify(told)
    assert (code, faults(counts)) == (0, NOTHING)
    assert verify(told, *EXECUTE)[1]["repaired"] == 0


@pytest.mark.seconds(120)
def test_since_a_time_what_was_changed_since_then_is_judged(told):
    total = TICKETS * (1 + STEPS)
    time = told.database.value("SELECT to_char(changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM "
                               "interlock.audit_event ORDER BY changed_at OFFSET %s LIMIT 1", total // 2)
    left = total - total // 2
    assert verify(told, "--since", time) == (0, {**NOTHING, "events": left, "rows": left, "repaired": 0})
    rewrite(told, without(0, -1))                                    # the oldest of a ticket and its newest
    assert verify(told)[1]["holes"] == 2
    code, counts = verify(told, "--since", time, "--passes", "2")
    assert (code, counts["holes"], counts["rows"], counts["events"]) == (3, 1, left, left - 1)
    assert "--since yesterday: accepted is a time" in told.verb("audit", "verify", "--since", "yesterday").stderr


def open_transaction(world):
    """Of somebody who is about to die, on every partition of the audit topic."""
    hanging = Producer({"bootstrap.servers": world.stack.bootstrap, "transactional.id": f"{world.name}-hangs",
                        "transaction.timeout.ms": 60000})
    hanging.init_transactions(30)
    hanging.begin_transaction()
    for partition in world.kafka.partitions(world.audit_topic):
        hanging.produce(world.audit_topic, value=b"never seen", partition=partition)
    assert hanging.flush(30) == 0
    return hanging


@pytest.mark.seconds(180)
def test_an_open_transaction_does_not_make_holes_of_what_lies_behind_it(told):
    """A reader of committed events sees nothing behind the beginning of an open transaction, though it is committed. It
    is waited for: a repair would publish all of it again."""
    hanging = open_transaction(told)
    told.workers[0].start().wait_ready()
    told.publish(*[escalate(number) for number in range(1, TICKETS + 1)])
    until("their events are committed", lambda: told.lag() == 0 and told.database.value(
        "SELECT sum(published) FROM interlock.partition_published") == TICKETS * (2 + STEPS), 60)
    timer = threading.Timer(3, hanging.abort_transaction, [30])
    timer.start()
    try:
        code, counts = verify(told, *EXECUTE)
    finally:
        timer.join()
    assert (code, counts["repaired"], faults(counts)) == (0, 0, NOTHING)
    told.check()


@pytest.mark.seconds(180)
def test_an_open_transaction_does_not_make_a_takeover_publish_again_what_lies_behind_it(told):
    """PROTOCOL R1: a worker ends between its last Kafka commit and the note of it; its offsets are moved back by
    hand. The events that the next owner looks for on the audit topic lie after somebody's open transaction."""
    worker = told.workers[0].start().wait_ready()
    hanging = open_transaction(told)
    with told.database.holding("SELECT 1 FROM interlock.partition_published FOR UPDATE"):
        told.publish(*[escalate(number) for number in range(1, TICKETS + 1)])
        until("their events are committed", lambda: told.lag() == 0, 60)
        worker.kill()
        # Its note would be made by the server after its death, as soon as it has the rows.
        until("none of its statements waits for the rows", lambda: told.database.value(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND "
            "wait_event_type = 'Lock'") == 0, 20)
    told.kafka.move_offsets(told.group, told.topic, dict.fromkeys(range(told.partitions), 0))
    worker.start()
    until("it says what it waits for", lambda: "stays open, which hides what is behind it" in worker.text(), 60)
    hanging.abort_transaction(30)
    worker.wait_ready()
    told.drain()
    told.check()


# ---- repair --------------------------------------------------------------------------------------------------

@pytest.mark.seconds(120)
def test_repair_is_a_dry_run_first_and_asks_for_a_reason(told):
    rewrite(told, without(-1, -2))
    left = len(published(told))
    dry = told.verb("audit", "verify", "--repair")
    assert dry.returncode == 3 and "2 events would be published" in dry.stdout
    for wrong in (("--repair", "--execute"), ("--execute", "--reason", "x"), ("--repair", "--execute", "--reason", "")):
        assert told.verb("audit", "verify", *wrong).returncode == 1
    assert len(published(told)) == left


@pytest.mark.seconds(120)
def test_repair_publishes_the_same_bytes_under_the_same_key_and_publishes_them_once(told):
    before = rewrite(told, without(-1, -2))
    done = told.verb("audit", "verify", *EXECUTE)
    assert done.returncode == 0 and "2 events published" in done.stdout and "reason: a test" in done.stderr, done
    assert sorted(map(bare, published(told))) == sorted(map(bare, before))
    again = told.verb("audit", "verify", *EXECUTE)
    assert again.returncode == 0 and "0 events published" in again.stdout
    assert len(published(told)) == len(before)
    told.check()


@pytest.mark.seconds(120)
def test_a_repaired_old_event_comes_after_newer_ones_and_verify_says_so(told):
    """It cannot be otherwise on a log; versions tell readers the order."""
    rewrite(told, without(1))
    code, counts = verify(told, *EXECUTE)
    assert (code, counts["holes"], counts["repaired"]) == (0, 1, 1)
    code, counts = verify(told)
    assert (code, faults(counts)) == (3, {**NOTHING, "reordered": 1})


@pytest.mark.seconds(180)
def test_a_repair_of_more_than_one_transaction_is_whole(told):
    """1,200 holes; a transaction has a thousand."""
    told.workers[0].start().wait_ready()
    told.ask(*[append(1 + step % TICKETS, step) for step in range(1200)], timeout=90)
    told.drain()
    assert told.workers[0].end() == 0
    before = rewrite(told, lambda records: records[:0])
    assert verify(told, *EXECUTE)[1]["repaired"] == len(before) > 1200
    assert sorted(map(bare, published(told))) == sorted(map(bare, before))
    code, counts = verify(told)
    assert (code, faults(counts)) == (0, NOTHING)


@pytest.mark.seconds(180)
def test_repair_while_workers_run_publishes_what_is_missing_and_nothing_else(world):
    """Under load, again and again: an event that is only on its way is not a hole."""
    world.worker()
    world.ask(*[create_ticket(number) for number in (901, 902)])
    world.drain()
    assert world.workers[0].end() == 0
    rewrite(world, lambda records: [each for each in records if b"902" not in each.key])
    world.workers[0].start().wait_ready()
    repaired = []
    with Load(world, burst=20) as load:
        load.pause = 0.1
        for _ in range(4):
            progress(world, 60)
            repaired.append(verify(world, *EXECUTE)[1]["repaired"])
    world.drain()
    assert repaired == [1, 0, 0, 0]
    code, counts = verify(world)
    assert (code, faults(counts)) == (0, NOTHING)
    world.check()


@pytest.mark.seconds(120)
def test_one_repair_at_a_time(told):
    rewrite(told, without(-1))
    with told.database.holding("SELECT pg_advisory_lock(%s, 0)", 0x416474):
        refused = told.verb("audit", "verify", *EXECUTE)
        assert refused.returncode == 1 and "another repair is running" in refused.stderr
        assert verify(told)[1]["holes"] == 1, "to look is always allowed"
    assert verify(told, *EXECUTE)[1]["repaired"] == 1


@pytest.mark.seconds(120)
def test_a_repair_that_hung_can_finish_no_more_once_another_has_begun(told):
    before = rewrite(told, without(-1))
    missing = next(each for each in before if id_of(each) not in {id_of(one) for one in published(told)})
    hung = Producer({"bootstrap.servers": told.stack.bootstrap, "transactional.id": f"interlock.{told.group}.repair"})
    hung.init_transactions(30)
    hung.begin_transaction()
    hung.produce(told.audit_topic, key=missing.key, value=missing.value, partition=missing.partition)
    assert hung.flush(30) == 0
    assert verify(told, *EXECUTE, timeout=100)[1]["repaired"] == 1
    with pytest.raises(KafkaException):
        hung.commit_transaction(30)
    assert [id_of(each) for each in published(told)].count(id_of(missing)) == 1
    assert verify(told)[0] == 0
