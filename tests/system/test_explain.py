"""`interlock explain`: one test for each verdict, on the real stack: the verdict is the first line, the next step the last."""

import json
import re
import time

import pytest

from check.evidence import read_topic
from harness.commands import Message, command, create_ticket, escalate, transition
from harness.database import url_as
from harness.parking import in_seconds
from harness.retention import age, cut_log
from harness.stack import apply_roles
from harness.waiting import until

HOLD = "SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"


def explain(world, *words, verdict, code=None, **settings):
    """The answer as JSON; the text has it too."""
    done = world.verb("explain", *words, "--output", "json", **settings)
    found = json.loads(done.stdout)
    assert found["verdict"] == verdict, found
    answered = verdict in ("applied", "unchanged", "rejected", "forgotten", "nothing waits")
    assert done.returncode == (code if code is not None else 0 if answered else 3), done.stderr
    assert found["answered"] == answered and found["next"]
    return found


def of(message):
    source, id_ = message.identity
    return "--source", source, "--id", id_


def becomes(world, message, verdict):
    """Looks until the verdict is this one."""
    def is_there():
        done = world.verb("explain", *of(message), "--output", "json")
        return done.stdout and json.loads(done.stdout)["verdict"] == verdict
    until(f"explain says {verdict}", is_there, 30, pause=0.2)
    return explain(world, *of(message), verdict=verdict)


def published(world):
    until("the published events are known", lambda: world.lag() == 0 and world.database.value(
        "SELECT count(*) FROM interlock.audit_event a JOIN interlock.partition_published p USING (partition_id) "
        "WHERE a.kafka_offset >= p.published") == 0)


# ---- answered ----------------------------------------------------------------------------------------------

def test_applied_unchanged_and_rejected(shared):
    changed, same, missing = create_ticket(1), transition(1, "NEW"), escalate(404)
    stale = escalate(1, expectedversion=7)
    invalid = transition(1, "NOWHERE")
    events = shared.ask(changed, same, missing, stale, invalid)
    published(shared)
    found = explain(shared, *of(changed), verdict="applied")
    assert "ticket/1 version 0->1, CREATION; its event is published" in found["says"] and found["aggregate"] == "ticket/1"
    assert any("lock wait" in line for line in found["story"]) and found["next"].endswith("interlock explain --key ticket/1")
    assert explain(shared, events[0].event_id, verdict="applied")["says"].partition(": ")[2] == found["says"].partition(": ")[2]
    place = f"{found['topic']}/{found['partition']}/{found['offset']}"
    assert explain(shared, "--at", place, verdict="applied")["event"] == events[0].event_id
    assert explain(shared, *of(same), verdict=events[1].outcome)["event"] == events[1].event_id
    assert "not_found, no row was found" in explain(shared, *of(missing), verdict="rejected")["says"]
    refused = explain(shared, *of(stale), verdict="rejected")
    assert "stale_object, its row had version 1" in refused["says"]
    refused = explain(shared, *of(invalid), verdict="rejected")
    assert any(line.startswith("refused because: ") and "/status" in line for line in refused["story"]), refused
    text = shared.verb("explain", *of(changed)).stdout.splitlines()
    assert re.match(r"applied \d+ s ago: ticket/1 version 0->1, CREATION; its event is published$", text[0]) and text[-1].startswith("next: ")
    began = time.monotonic()
    assert shared.verb("explain", *of(changed), KAFKA_BOOTSTRAP="127.0.0.1:1").returncode == 0, "Kafka was asked, too"
    assert time.monotonic() - began < 5


def test_a_duplicate_is_found_by_its_position(shared):
    message = create_ticket(2)
    shared.ask(message)
    shared.publish(message)
    published(shared)
    at = max(each.offset for each in read_topic(shared.stack.bootstrap, shared.topic) if each.key == b"ticket/2")
    partition = next(each.partition for each in read_topic(shared.stack.bootstrap, shared.topic) if each.key == b"ticket/2")
    found = explain(shared, "--at", f"{shared.topic}/{partition}/{at}", verdict="applied")
    assert found["aggregate"] == "ticket/2" and found["offset"] == at - 1


def test_an_aggregate_with_its_last_answers(shared):
    shared.ask(create_ticket(3), escalate(3), escalate(3))
    found = explain(shared, "--key", "ticket/3", "--last", "2", verdict="nothing waits")
    assert found["says"].startswith("ticket/3 is at version 3") and len(found["story"]) == 2
    assert explain(shared, "--key", "ticket/3999", verdict="not found")["next"]


def test_a_reader_may_explain_and_is_told_what_it_may_not_see(world):
    apply_roles(world.database.url)
    world.worker()
    message = escalate(404)
    world.ask(message)
    published(world)
    found = explain(world, *of(message), verdict="rejected", DATABASE_URL=url_as(world, "interlock_reader"))
    assert "the reason in detail is for interlock_payload_reader" in found["story"]


# ---- on its way ----------------------------------------------------------------------------------------------

def test_not_read_yet(world):
    first, second = create_ticket(1), escalate(1)
    world.publish(first, second)
    found = explain(world, *of(second), verdict="not read yet")
    assert found["says"].startswith("1 messages before it; no worker that is seen owns its partition")
    assert found["next"].startswith("interlock run")
    assert explain(world, *of(second), "--scan", "0", verdict="not found")["looked"][0].startswith("not looked at")
    worker = world.worker()
    published(world)
    worker.end()


def test_in_flight(world):
    world.worker(FAULT_POINTS="before_commit=delay:20000@1")
    message = create_ticket(1)
    world.publish(message)
    assert "before it" in becomes(world, message, "in flight")["says"]


def test_held_and_by_whom(world):
    world.worker(worker_park_after="1h")
    world.ask(create_ticket(1))
    with world.database.holding(HOLD) as holder:
        message = escalate(1)
        world.publish(message)
        found = becomes(world, message, "held")
        assert found["says"].startswith("ticket/1 for ") and f"pid {holder.info.backend_pid} (system-tests, idle in transaction" in \
            "".join(found["story"])
        assert_audit_names(world, message, holder)


def assert_audit_names(world, message, holder):
    """`audit show` of a command that is not recorded: the holder in the words of explain, before the pointer to it."""
    done = world.verb("audit", "show", *of(message))
    assert done.returncode == 1 and done.stdout == ""
    assert re.search(rf"recorded for it: its row is locked by pid {holder.info.backend_pid} \(system-tests, idle in transaction "
                     r"for \d+ s\): interlock explain, with the same words", done.stderr), done.stderr


def test_a_table_that_is_locked_is_a_row_that_is_held(world):
    world.worker(worker_park_after="1h")
    world.ask(create_ticket(1))
    with world.database.holding("LOCK TABLE interlock.ticket IN ACCESS EXCLUSIVE MODE") as holder:
        message = escalate(1)
        world.publish(message)
        found = becomes(world, message, "held")
        assert f"locked by pid {holder.info.backend_pid} (system-tests, idle in transaction" in "".join(found["story"]), found


def test_a_reader_is_told_who_holds_a_row_and_nobody_is_named_who_holds_another(world):
    apply_roles(world.database.url)
    world.worker(worker_park_after="1s", retries_default_longest="200ms")
    world.ask(create_ticket(1), create_ticket(2))
    reader = {"DATABASE_URL": url_as(world, "interlock_reader")}
    other = "SELECT 1 FROM interlock.ticket WHERE id = 2 FOR UPDATE"
    with world.database.holding(HOLD) as holder, world.database.holding(other) as stranger:
        message = escalate(1)
        world.publish(message)
        story = "".join(becomes(world, message, "parked held")["story"])
        assert f"pid {holder.info.backend_pid} " in story and f"pid {stranger.info.backend_pid} " not in story
        story = "".join(explain(world, *of(message), verdict="parked held", **reader)["story"])
        assert f"locked by pid {holder.info.backend_pid} (system-tests)" in story, story
        done = world.verb("audit", "show", *of(message), **reader)
        assert f"its row is locked by pid {holder.info.backend_pid} (system-tests):" in done.stderr, done.stderr


def test_answered_but_not_published(world):
    world.worker(FAULT_POINTS="before_begin_txn=delay:20000@1")
    message = create_ticket(1)
    world.publish(message)
    until("it is committed", lambda: world.database.count("audit_event") == 1)
    found = becomes(world, message, "answered but not published")
    assert "applied" in found["says"] and found["says"].endswith("; it is about to be")


def test_answered_and_nobody_there_to_publish_it(world):
    worker = world.worker(FAULT_POINTS="after_commit=crash@1")
    message = create_ticket(1)
    world.publish(message)
    until("it has died", lambda: not worker.runs())
    world.database.execute("DELETE FROM interlock.worker_seen")
    assert "no worker owns its partition" in explain(world, *of(message), verdict="answered but not published")["says"]


# ---- parked, paused, dead --------------------------------------------------------------------------------------

def test_parked_early_held_and_behind(world):
    world.worker(worker_park_after="1s", retries_default_longest="200ms")
    world.ask(create_ticket(1))
    early = escalate(1, notbefore=in_seconds(3600))
    world.publish(early)
    found = becomes(world, early, "parked early")
    assert "due " in found["says"] and "in 00:59" in found["says"]
    with world.database.holding(HOLD) as holder:
        held, behind = escalate(1), transition(1, "OPEN")
        world.publish(held)
        found = becomes(world, held, "parked held")
        assert f"locked by pid {holder.info.backend_pid} (system-tests" in "".join(found["story"])
        assert_audit_names(world, held, holder)
        world.publish(behind)
        found = becomes(world, behind, "parked behind")
        assert found["says"] == f"ticket/1, behind {' '.join(held.identity)} (held)"
        assert found["next"].endswith("interlock explain --key ticket/1")
        listed = explain(world, "--key", "ticket/1", verdict="parked notbefore")
        assert "3 commands wait" in listed["says"] and len(listed["story"]) == 4


PAUSE = """WITH a AS (INSERT INTO interlock.operator_action (verb, actor, host, version, reason)
    VALUES ('pause', 'anna', 'a', '0', 'matrix is wrong') RETURNING id)
    INSERT INTO interlock.pause (scope, target, action_id, ends_at) SELECT %s, %s, id, now() + interval '1 hour' FROM a"""


def test_paused_by_whom_and_until(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    early = escalate(1, notbefore=in_seconds(3600))
    world.publish(early)
    becomes(world, early, "parked early")
    assert worker.end() == 0
    world.database.execute(PAUSE, "type", "ticket.escalate")
    world.database.execute("UPDATE interlock.parked_command SET reason = 'paused', pause_id = 1, blocks = true")
    found = explain(world, *of(early), verdict="paused")
    assert "type ticket.escalate by anna: matrix is wrong, until 20" in found["says"] and found["next"] == "interlock resume 1"
    world.database.execute(PAUSE, "topic", world.topic)
    message = create_ticket(2)
    world.publish(message)
    found = explain(world, *of(message), verdict="paused")
    assert found["says"].startswith(f"topic {world.topic} by anna") and found["next"] == "interlock resume 2"


def test_a_dead_letter(world):
    world.worker()
    world.publish(Message(b"{", "ticket/1"))
    until("it is recorded", lambda: world.database.count("dead_letter") == 1)
    partition, offset = world.database.row("SELECT o.partition, d.kafka_offset FROM interlock.dead_letter d JOIN "
                                           "interlock.partition_owner o ON o.id = d.partition_id")
    place = f"{world.topic}/{partition}/{offset}"
    found = explain(world, "--at", place, verdict="dead letter")
    assert found["says"].startswith("(open) since ") and "not_json" in found["says"] and found["next"] == f"interlock dlq show {place}"


# ---- gone ------------------------------------------------------------------------------------------------------

def test_forgotten_by_whom(world):
    worker = world.worker()
    message = create_ticket(1)
    world.ask(message, create_ticket(2))
    published(world)
    assert worker.end() == 0
    age(world)
    cut_log(world)
    done = world.verb("prune", "--older-than", "720h", "--execute", "--reason", "monthly", "--as", "anna")
    assert done.returncode == 0, done.stderr
    found = explain(world, *of(message), verdict="forgotten")
    assert "applied" in found["says"] and "action 1 by anna" in found["says"] and found["says"].endswith("monthly")
    # Of an unreadable message no audit row stays.
    world.database.execute("UPDATE interlock.partition_published SET pruned_below = 50, published = 50")
    place = f"{world.topic}/{found['partition']}/30"
    assert "below what was pruned: action 1 by anna" in explain(world, "--at", place, verdict="forgotten")["says"]


def test_not_found_says_where_it_looked(world):
    world.worker()
    message = create_ticket(1)
    world.ask(message)
    published(world)
    found = explain(world, "--source", "/demo", "--id", "demo-2", verdict="not found")
    looked = "".join(found["looked"])
    assert "looked at PostgreSQL" in looked and f"messages of 6 partitions of {world.topic}" in looked
    assert "has offsets" in "".join(explain(world, "--at", f"{world.topic}/0/99", verdict="not read yet")["looked"])
    assert explain(world, "00000000-0000-4000-8000-000000000000", verdict="not found")
    found = explain(world, "--source", "/demo", "--id", "demo-2", verdict="not found", code=1, KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert "could not look at Kafka" in "".join(found["looked"]) and found["next"] == "interlock check"
    # A message that was passed, and that PostgreSQL has lost: not answered, and it says so.
    world.database.execute("SET session_replication_role = replica; DELETE FROM interlock.audit_event; DELETE FROM interlock.inbox")
    assert explain(world, *of(message), verdict="not found")["next"].startswith("interlock replay")


@pytest.mark.parametrize("words, says", [
    ((), "ask by --source"), (("--source", "a"), "ask by --source"), (("x",), "an event's id"), (("--at", "a/b"), "topic/partition/offset"),
    (("--at", "a/b/c"), "topic/partition/offset"), (("--key", "ticket/1", "--at", "a/1/2"), "ask by"),
    (("--source", "a", "--id", "b", "--scan", "x"), "take a number"), (("--nope",), "unknown option")])
def test_a_question_that_is_not_one(shared, words, says):
    done = shared.verb("explain", *words)
    assert done.returncode == 1 and says in done.stderr and done.stdout == ""


def test_without_postgresql_nothing_is_said(shared):
    done = shared.verb("explain", "--source", "a", "--id", "b", DATABASE_URL="postgresql://127.0.0.1:1/x")
    assert done.returncode == 1 and done.stdout == "" and "cannot be reached" in done.stderr
