"""The checker itself: every invariant broken by hand, and seen. The tests of its replay are in test_check_replay.py, and
what it sees of dead letters in test_check_letters.py."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid

import pytest
from confluent_kafka import Producer

from check import commits, evidence, rest
from check.__main__ import main as check_main
from check.envelope import Record, Unreadable, read_command
from check.evidence import AuditEvent
from check.invariants import Options, check
from check.story import TOPIC, Story
from harness.commands import Message, append, command, create_ticket, escalate, transition
from harness.stack import ROOT
from harness.waiting import until


@pytest.fixture
def story():
    """Ticket 7: created, escalated twice, two entries; one duplicate, one refusal, one unreadable message."""
    made = Story()
    again = escalate(7)
    made.tell(create_ticket(7), escalate(7), again)
    made.send(again, partition=1)
    made.tell(append(7, "first"), append(7, "second"), transition(7, "CLOSED"))
    made.bury(made.send(Message(b"{", "x")))
    made.finish()
    return made


def broken(story, invariant, words, options=None):
    found = [str(each) for each in check(story.evidence, options)]
    assert any(each.startswith(invariant) and words in each for each in found), found


def test_a_consistent_world_has_no_violation(story):
    assert check(story.evidence) == []


def test_a_lost_command_is_found(story):
    story.evidence.inbox.pop(1)
    broken(story, "I1", "0 inbox rows")


def test_a_command_without_an_event_is_found(story):
    story.evidence.events.pop(1)
    broken(story, "I1", "has 0 events")
    broken(story, "I3", "is not on the topic")


def test_an_inbox_row_of_no_command_is_found(story):
    story.evidence.inbox.append({**story.evidence.inbox[0], "identity": str(uuid.uuid4())})
    broken(story, "I1", "belongs to no command")


def test_a_lost_dead_letter_is_found(story):
    story.evidence.dead_letters.clear()
    broken(story, "I1", f"an unreadable message has no dead letter [{TOPIC}/0 offset 6]")


def test_a_doubled_event_is_found(story):
    event = story.evidence.events[2]
    story.evidence.events.append(AuditEvent(0, 99, event.key, event.body))
    broken(story, "I2", "on the topic 2 times")


def test_a_command_applied_twice_is_found(story):
    record = story.evidence.records[1]
    story.answer(record)
    broken(story, "I1", "has 2 inbox rows")
    broken(story, "I1", "has 2 events")


def test_an_event_without_its_row_is_found(story):
    story.evidence.audit.pop(2)
    broken(story, "I3", "has no audit row")


@pytest.mark.parametrize("column, value", [("outcome", "rejected"), ("aggregate", "ticket/8"), ("aggregate", None),
                                           ("version_from", 0), ("version_to", 9), ("version_to", None)])
def test_an_event_that_differs_from_its_row_is_found(story, column, value):
    story.evidence.audit[2][column] = value
    broken(story, "I3", "its row")


def test_an_inbox_row_that_is_not_where_the_audit_row_is_is_found(story):
    row = story.evidence.inbox[2]
    assert (row["offset"], row["partition"]) == (2, 0)
    row["offset"] = 0
    broken(story, "I3", f"the audit row is not where the command's inbox row is: {TOPIC}/0 offset 0 [")
    row.update(offset=2, partition=1)  # where its duplicate lies
    broken(story, "I3", f"the command's inbox row is: {TOPIC}/1 offset 2 [")
    row.update(partition=0, parked=True)
    broken(story, "I3", f"the command's inbox row is: {TOPIC}/0 offset 2, parked [")


def place_of(record):
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset, "fence": 1}


def test_a_parked_command_is_where_it_was_parked_and_then_where_it_came_back(story):
    parked = story.send(escalate(7))
    row = {**place_of(parked), "identity": read_command(parked).identity_uuid, "parked": True}
    story.evidence.inbox.append(row)
    assert not [each for each in check(story.evidence) if each.invariant == "I3"]
    story.answer(story.send(Message(parked.value, "ticket/7", [("interlock.return", b"its token")])))
    story.evidence.inbox.remove(row)
    assert check(story.evidence) == []


def test_offsets_that_stand_before_the_end_are_found(story):
    story.evidence.committed[(TOPIC, 0)] -= 1
    broken(story, "I3", "the group stands at")


def test_offsets_of_a_running_pool_are_not_judged(story):
    story.evidence.committed[(TOPIC, 0)] -= 1
    assert check(story.evidence, Options(drained=False)) == []


def test_a_gap_between_versions_is_found(story):
    for event in story.evidence.events[2:]:
        event.data["version"] = {key: value + 1 for key, value in event.data["version"].items()}
    broken(story, "I4", "is followed by")


def test_two_changes_from_one_version_are_found(story):
    story.evidence.events[2].data["version"] = {"from": 1, "to": 2}
    broken(story, "I4", "version 2 is followed by 1->2")


def test_events_in_another_order_are_found(story):
    events = story.evidence.events
    events[1].offset, events[2].offset = events[2].offset, events[1].offset
    broken(story, "I4", "version 2 comes after 3")
    assert check(story.evidence, Options(ordered=False)) == []


def test_commands_applied_in_another_order_are_found(story):
    rows = story.evidence.audit
    rows[1]["offset"], rows[2]["offset"] = rows[2]["offset"], rows[1]["offset"]
    broken(story, "I4", "comes after that of")


def test_another_body_under_a_used_id_wants_its_own_event(story):
    story.tell(escalate(7, id="used"))
    other = story.send(command("ticket.escalate", {"ticket_id": 7, "level": 9}, id="used"))
    broken(story, "I1", "was refused 0 times as id_reused")
    story.refuse_reused(other)
    assert check(story.evidence) == []


@pytest.mark.parametrize("value", [
    None, b"", b"{", b"[]", b"\xff\xfe", b'{"specversion":"1.0"}', b'{"specversion":"1.0","id":"a","id":"b"}',
    b'{"specversion":"1.0","id":"a\\u0000","source":"s","type":"t"}',
    json.dumps({"specversion": "1.0", "id": "a" * 129, "source": "s", "type": "t"}).encode(),
    json.dumps({"specversion": "1.0", "id": "a", "source": "s", "type": "t", "data": "x" * 65536}).encode(),
    b'{"specversion":"1.0","id":"a","source":"s","type":"t","data":' + b"[" * 40 + b"]" * 40 + b"}",
], ids=range(11))
def test_a_message_that_is_not_a_command_is_known_from_one_that_is(value):
    with pytest.raises(Unreadable):
        read_command(Record(TOPIC, 0, 0, None, value))


# ---- I5: what is in PostgreSQL -------------------------------------------------------------------------------

@pytest.fixture
def two_owners(story):
    """A second owner of the partitions adds two escalations."""
    story.take_over()
    story.tell(escalate(7), escalate(7))
    assert check(story.evidence) == []
    return story


def test_a_row_under_a_fence_that_was_never_given_is_found(story):
    story.evidence.inbox[1]["fence"] = 2
    broken(story, "I5", "inbox row under fence 2; those of its partition are 1 to 1")


@pytest.mark.parametrize("kind, name", [("audit", "audit row"), ("dead", "dead letter row")])
def test_a_row_of_a_partition_that_nobody_owned_is_found(story, kind, name):
    getattr(story.evidence, kind)[0]["partition"] = 5
    broken(story, "I5", f"{name} under fence 1 of a partition that nobody ever owned")


def test_a_row_under_an_old_fence_is_found_by_the_clock(two_owners):
    two_owners.fence = 1
    two_owners.answer(two_owners.send(create_ticket(8)))
    two_owners.fence = 2
    two_owners.finish()
    broken(two_owners, "I5", "written under fence 1, 4.000 s after the first row under fence 2")


def test_a_row_under_an_old_fence_is_found_by_the_versions_whatever_the_clock_says(two_owners):
    rows = two_owners.evidence.audit
    rows[-1]["fence"], rows[-1]["at"] = 1, rows[0]["at"]
    broken(two_owners, "I5", "ticket/7: version 7 was written under fence 1, version 6 under 2 before it")


def test_a_clock_that_a_batch_runs_ahead_of_is_no_old_fence(two_owners):
    rows = two_owners.evidence.audit
    rows[-3]["at"] = rows[-2]["at"] + 900
    assert check(two_owners.evidence) == []


def test_an_inbox_row_of_another_transaction_than_its_audit_row_is_found(two_owners):
    two_owners.evidence.inbox[-1]["fence"] = 1
    broken(two_owners, "I5", "under fence 2, the command's inbox row under 1")


def test_a_rewind_of_an_owner_that_never_was_is_found(story):
    story.evidence.rewinds.append({"topic": TOPIC, "partition": 0, "fence": 9, "below": 3})
    broken(story, "I5", "a rewind under fence 9")


def test_published_above_every_commit_is_found(story):
    story.evidence.owners[0]["published"] += 3
    broken(story, "I5", "published stands at")


# ---- I5: what the group committed, where it is to be read (test_check_commits.py: what it says) ---------------

def hide_commits(monkeypatch, how):
    """From the checker: they cannot be read, or their topic is not shown to who asks."""
    def unreadable(*_):
        raise commits.Unreadable("it wants a password")
    monkeypatch.setattr(evidence, "read_commits", unreadable if how == "unreadable" else lambda *_: [])


HIDDEN = {"unreadable": "it wants a password", "not shown": "the group has offsets, and no commit is to be seen"}


@pytest.mark.seconds(120)
@pytest.mark.parametrize("how", HIDDEN)
def test_commits_that_cannot_be_read_are_not_taken_for_good_ones(world, program, monkeypatch, capsys, how):
    """No test passes without them; the program says so and judges the rest."""
    assert world.violations() == []
    hide_commits(monkeypatch, how)
    with pytest.raises(AssertionError, match=f"I5: the group's offsets cannot be judged: {HIDDEN[how]}"):
        world.violations()
    monkeypatch.setattr(sys, "argv", ["check", *program.arguments])
    for code in (0, 1):
        assert check_main() == code
        told = capsys.readouterr()
        assert told.err == f"I5: the group's offsets were not judged: {HIDDEN[how]}\n" and "judged" not in told.out
        world.database.execute("UPDATE interlock.ticket SET level = 1 WHERE id = 1")


MARK = "e1c4a8d2-0000-4000-8000-000000000001"


# Batches as a broker wrote them: two commits in a transaction, its marker; a commit given up; a plain one; a tombstone.
def varint(value):
    value, out = (value << 1) ^ (value >> 63), b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def batch(base, producer, *records, attributes=0):
    body = b""
    for place, (key, value) in enumerate(records):
        each = b"\0" + varint(0) + varint(place) + varint(len(key)) + key
        each += varint(-1) if value is None else varint(len(value)) + value
        each += varint(0)
        body += varint(len(each)) + each
    head = commits.BATCH_HEAD.pack(base, 49 + len(body), 0, 2, 0, attributes, len(records) - 1, 5, 5, producer, 0, 0,
                                   len(records))
    return head + body


def key_of(group, topic, partition, version=1):
    group, topic = group.encode(), topic.encode()
    texts = b"".join(len(each).to_bytes(2, "big") + each for each in (group, topic))
    return version.to_bytes(2, "big") + texts + partition.to_bytes(4, "big")


def value_of(offset, version=3, mark=""):
    size = (len(mark) + 1).to_bytes(1, "big") if version == 4 else len(mark).to_bytes(2, "big")
    epoch = b"\xff" * 4 if version >= 3 else b""
    return version.to_bytes(2, "big") + offset.to_bytes(8, "big") + epoch + size + mark.encode() + b"\0" * 8


def marker(kind):
    return (b"\0\0" + kind.to_bytes(2, "big"), b"\0" * 6)


def test_commits_are_read_as_the_broker_wrote_them():
    mine, other = key_of("mine", TOPIC, 3), key_of("other", TOPIC, 3)
    log = commits.Log("mine")
    data = b"".join([
        batch(0, 7, (mine, value_of(10, mark=f"{MARK}:3")), (other, value_of(99)), attributes=commits.TRANSACTIONAL),
        batch(2, 8, (mine, value_of(8, version=1, mark=f"{MARK}:12:arrears")), attributes=commits.TRANSACTIONAL),
        batch(3, 9, (mine, value_of(500)), attributes=commits.TRANSACTIONAL),
        batch(4, 8, marker(1), attributes=commits.TRANSACTIONAL | commits.CONTROL),
        batch(5, 9, marker(0), attributes=commits.TRANSACTIONAL | commits.CONTROL),
        batch(6, 7, marker(1), attributes=commits.TRANSACTIONAL | commits.CONTROL),
        batch(7, commits.PLAIN, (mine, value_of(4, version=4, mark="moved")), (key_of("mine", "x", 0, version=2), b"\0")),
        batch(9, commits.PLAIN, (mine, None)),
        batch(10, 7, (mine, value_of(11)), attributes=commits.TRANSACTIONAL),
    ])
    for each in commits.batches(data + data[:30]):  # a fetch may end within one
        log.add(each)
    assert [(each.place, each.offset, each.producer, each.fence, each.in_arrears) for each in log.in_order()] == [
        (0, 10, 7, 3, False), (2, 8, 8, 12, True), (7, 4, commits.PLAIN, None, False),
        (9, None, commits.PLAIN, None, False)]


def test_a_group_s_partition_is_found_as_java_finds_it():
    assert [commits.java_hash(text) for text in ("", "a", "hello", "polygenelubricants")] == [0, 97, 99162322, -2**31]
    assert [commits.partition_of(text, 50) for text in ("a", "hello", "polygenelubricants")] == [47, 22, 0]


# ---- I6 and I7 -----------------------------------------------------------------------------------------------

def test_a_missed_deadline_is_reported_with_the_command_that_waits(story):
    story.evidence.committed[(TOPIC, 0)] = 2
    waits = read_command(story.evidence.records[2]).id
    broken(story, "I6", f"after 5 s {TOPIC}/0 stands at 2 of 7 [command /system-tests {waits}, "
                        f"{TOPIC}/0 offset 2, ticket/7]", Options(within=5))
    assert not [each for each in check(story.evidence, Options(drained=False)) if each.invariant == "I6"]


def test_a_command_that_is_parked_and_holds_others_back_is_not_at_rest(story):
    row = {"topic": TOPIC, "partition": 0, "offset": 3, "fence": 1, "command_source": "s", "command_id": "waits",
           "aggregate": "ticket/7", "blocks": True, "due_at": "2026-11-24"}
    story.evidence.parked.append(row)
    broken(story, "I6", "a command is still parked, due 2026-11-24 [command s waits", Options(within=5))
    row["blocks"] = False
    assert check(story.evidence, Options(within=5)) == []


def test_waiting_ends_with_rest_or_with_the_time():
    asked = []
    assert rest.await_rest(lambda: len(asked) > 2, 60, lambda: asked.append(1)) is not None
    assert rest.await_rest(lambda: False, 0) is None


@pytest.mark.parametrize("name, text", [
    ("rss_mib", "process 4711 used 300 MiB of memory, 299 are allowed"),
    ("descriptors", "process 4711 used 40 descriptors, 39 are allowed"),
    ("threads", "process 4711 used 12 threads, 11 are allowed"),
    ("connections", "the group used 9 connections, 8 are allowed"),
])
def test_a_value_over_its_cap_is_reported_and_nothing_else(story, name, text):
    peak = {"rss_mib": 300, "descriptors": 40, "threads": 12}
    story.evidence.usage = [rest.Usage(4711, peak), rest.Usage(None, {"connections": 9})]
    allowed = {**peak, "connections": 9}
    assert check(story.evidence, Options(caps=allowed)) == []
    found = check(story.evidence, Options(caps={**allowed, name: allowed[name] - 1}))
    assert [str(each) for each in found] == [f"I7: {text}"]


def test_a_process_that_is_gone_is_not_taken_for_a_frugal_one(story):
    observer = rest.Observer([os.getpid(), 2 ** 22 + 1], lambda query: 0)
    observer.look()
    story.evidence.usage = observer.usage()
    assert observer.processes[0].peak["descriptors"] > 2 and observer.processes[0].peak["rss_mib"] > 1
    broken(story, "I7", f"process {2 ** 22 + 1} is not there", Options(caps={"threads": 1000}))


# ---- what comes first ----------------------------------------------------------------------------------------

def test_the_first_violation_is_the_earliest_and_names_command_offset_and_aggregate(story):
    story.evidence.audit[4]["outcome"] = "rejected"
    del story.evidence.inbox[2]
    story.evidence.tables["ticket"][0]["level"] = 1
    found = check(story.evidence)
    second = read_command(story.evidence.records[2])
    assert (found[0].invariant, found[0].command, found[0].position, found[0].aggregate) == (
        "I1", second.identity, (TOPIC, 0, 2), "ticket/7")
    assert str(found[0]).endswith(f"[command /system-tests {second.id}, {TOPIC}/0 offset 2, ticket/7]")
    assert [each.at for each in found] == sorted(each.at for each in found)


def test_a_lost_update_names_the_command_whose_effect_is_not_there(story):
    story.tell(transition(7, "OPEN"))
    story.evidence.tables["ticket"][0]["level"] = 1
    found = [each for each in check(story.evidence) if "ticket/7.level is 1; the replay makes it 2" in each.text]
    assert [each.position for each in found] == [(TOPIC, 0, 2)]  # the second escalation, though others followed


@pytest.mark.seconds(300)
def test_fifty_thousand_commands_are_judged_in_seconds():
    story = Story()
    messages = [create_ticket(number) for number in range(1, 5001)]
    messages += [escalate(1 + step % 5000) for step in range(45000)]
    story.finish, finish = (lambda: None), story.finish
    story.tell(*messages)
    finish()
    began = time.process_time()
    assert check(story.evidence) == []
    took = time.process_time() - began
    print(f"{len(messages)} commands judged in {took:.1f} s of CPU")
    assert took < 60  # ten times what it takes


# ---- the real thing ------------------------------------------------------------------------------------------

class Program:
    def __init__(self, world):
        self.world = world
        self.arguments = ["--database", world.database.url, "--topics", world.topic, "--audit-topic", world.audit_topic,
                          "--group", world.group]

    def run(self, *arguments):
        """(exit code, what it said)"""
        command_line = [sys.executable, ROOT / "tests/check", *self.arguments, *[str(each) for each in arguments]]
        done = subprocess.run(command_line, capture_output=True, text=True, timeout=100, check=False)
        return done.returncode, done.stdout + done.stderr

    def finds(self, *words, arguments=()):
        code, told = self.run(*arguments)
        assert code == 1 and all(each in told for each in words), told

    def is_content(self, *arguments):
        code, told = self.run(*arguments)
        assert code == 0 and " 0 violations" in told, told


@pytest.fixture
def program(world):
    """On a run of three commands, at rest."""
    world.worker()
    world.ask(create_ticket(1), escalate(1), escalate(1))
    world.drain()
    made = Program(world)
    made.is_content()
    return made


def position_of(world, number):
    """How the checker writes where a command stands: the topic, its partition, the offset."""
    row = world.database.rows("SELECT o.topic || '/' || o.partition || ' offset ' || a.kafka_offset FROM "
                              "interlock.audit_event a JOIN interlock.partition_owner o ON o.id = a.partition_id "
                              "ORDER BY a.changed_at")
    return row[number][0]


@pytest.mark.seconds(120)
def test_the_program_finds_a_lost_inbox_row_and_a_changed_level(program):
    database = program.world.database
    database.execute("UPDATE interlock.ticket SET level = 1 WHERE id = 1")
    database.execute("DELETE FROM interlock.inbox WHERE kafka_offset = (SELECT min(kafka_offset) FROM interlock.inbox)")
    program.finds("I1: command", "0 inbox rows", position_of(program.world, 0), "ticket/1]",
                  f"I2: ticket/1.level is 1; the replay makes it 2 [command", position_of(program.world, 2))


@pytest.mark.seconds(120)
def test_the_program_finds_an_event_that_was_published_twice(program):
    world = program.world
    twice = world.audit.all()[1]
    producer = Producer({"bootstrap.servers": world.stack.bootstrap})
    producer.produce(world.audit_topic, key=twice.key, value=json.dumps(twice.body), partition=twice.partition)
    assert producer.flush(30) == 0
    program.finds("I1: command", "has 2 events", f"I2: event {twice.event_id} is on the topic 2 times",
                  position_of(world, 1))


AUDIT_ROW = """INSERT INTO interlock.audit_event (event_id, kafka_offset, fence, changed_at, partition_id, lock_wait_us,
               transaction_us, outcome, command_source, command_id, command_type, version_from, version_to, aggregate)
               SELECT gen_random_uuid(), kafka_offset + 100, {fence}, changed_at + interval '1 minute', partition_id, 0,
               0, 'applied', '/zombie', 'late', 'ticket.escalate', 3, 4, aggregate FROM interlock.audit_event LIMIT 1"""


@pytest.mark.seconds(120)
def test_the_program_finds_an_audit_row_under_an_old_fence(program):
    world = program.world
    assert world.workers[0].end() == 0
    world.workers[0].start().wait_ready()
    world.ask(escalate(1))
    world.drain()
    program.is_content()
    world.database.execute(AUDIT_ROW.format(fence=1))
    program.finds("I5: written under fence 1", "command /zombie late", "I3: audit row", "is not on the topic")


@pytest.mark.seconds(120)
def test_the_program_finds_a_fence_that_was_never_given(program):
    program.world.database.execute("ALTER TABLE interlock.inbox DISABLE TRIGGER USER; UPDATE interlock.inbox SET fence = 9")
    program.finds("I5: inbox row under fence 9; those of its partition are 1 to 1", "the command's inbox row under 9")


@pytest.mark.seconds(120)
def test_the_program_tells_an_operator_s_offsets_from_a_zombie_s(program):
    """Moved back by hand, the group does everything again and changes nothing: no zombie. Committed in a transaction,
    behind the workers' back, the same offset is one."""
    world = program.world
    assert world.workers[0].end() == 0
    world.kafka.move_offsets(world.group, world.topic, dict.fromkeys(range(world.partitions), 0))
    program.finds("I3: the group stands at 0", "which ends at 3")
    assert "I5" not in program.run()[1]
    world.workers[0].start().wait_ready()
    world.drain()
    program.is_content()
    assert world.workers[0].end() == 0
    commit_as_a_zombie(world, 1)
    world.workers[0].start().wait_ready()
    world.ask(escalate(1))
    world.drain()
    program.finds("I5: offset 1 was committed by producer")


def commit_as_a_zombie(world, offset):
    """In a transaction with a member's blessing, as a worker that nobody fenced."""
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": world.stack.bootstrap, "group.id": world.group,
                         "partition.assignment.strategy": "range"})
    producer = Producer({"bootstrap.servers": world.stack.bootstrap, "transactional.id": f"{world.name}-zombie"})
    try:
        consumer.subscribe([world.topic])
        until("it is a member", lambda: consumer.poll(0.1) or consumer.assignment(), 40)
        producer.init_transactions(30)
        producer.begin_transaction()
        partition = next(number for number, end in world.kafka.ends(world.topic).items() if end > 0)
        producer.send_offsets_to_transaction([TopicPartition(world.topic, partition, offset)],
                                             consumer.consumer_group_metadata(), 30)
        producer.commit_transaction(30)
    finally:
        consumer.close()


@pytest.mark.seconds(60)
def test_a_topic_that_grows_while_it_is_read_is_read_to_where_it_ended(world):
    """Its end for readers of committed records passes where it was, which is no open transaction. One that is open is
    still waited for."""
    bootstrap, topic, over = world.stack.bootstrap, world.topic, threading.Event()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    transactional = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{world.name}-hangs"})

    def write():
        while not over.is_set():
            producer.produce(topic, b"on and on", partition=0)
            producer.flush(30)
    producer.produce(topic, b"first", partition=0)
    assert producer.flush(30) == 0
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            assert evidence.read_topic(bootstrap, topic, timeout=10)[0].value == b"first"
        transactional.init_transactions(30)
        transactional.begin_transaction()
        transactional.produce(topic, b"never seen", partition=0)
        assert transactional.flush(30) == 0
        with pytest.raises(TimeoutError, match=f"a transaction on {topic} stays open"):
            evidence.read_topic(bootstrap, topic, timeout=1)
    finally:
        over.set()
        writer.join()
    transactional.abort_transaction(30)
    seen = [each.value for each in evidence.read_topic(bootstrap, topic, timeout=10)]
    assert seen[0] == b"first" and b"never seen" not in seen


@pytest.mark.seconds(120)
def test_the_program_waits_for_rest_and_tells_what_was_not_done(program):
    world = program.world
    program.is_content("--within", 60)
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        waiting = escalate(1)
        world.publish(waiting)
        program.finds("I6: after 0.5 s", "stands at 3 of 4", waiting.identity[1], "ticket/1]",
                      arguments=["--within", 0.5])
    program.is_content("--within", 60)


@pytest.mark.seconds(120)
def test_the_program_holds_a_worker_to_its_bounds(program):
    world = program.world
    pid = ["--pid", world.workers[0].pid]
    program.is_content(*pid, "--max-rss-mib", 4000, "--max-descriptors", 1000, "--max-threads", 200,
                       "--max-connections", 100)
    for option, text in (("--max-rss-mib", "MiB of memory"), ("--max-descriptors", "descriptors"),
                         ("--max-threads", "threads"), ("--max-connections", "connections")):
        code, told = program.run(*pid, option, 1)
        assert code == 1 and told.count("I7: ") == 1 and f"{text}, 1 are allowed" in told, told
