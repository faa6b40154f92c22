"""PROTOCOL R9, `interlock replay`: names the commands that PostgreSQL has lost, and brings back those alone, while the worker goes on."""

import json
import subprocess

import pytest
from jsonschema import Draft202012Validator

from harness.commands import Message, append, create_ticket, escalate
from harness.database import url_as
from harness.lost import lose, published
from harness.parking import in_seconds, parked
from harness.retention import cut_log
from harness.stack import ROOT, apply_roles
from harness.waiting import until

SCHEMA = Draft202012Validator(json.loads((ROOT / "deploy/replay.schema.json").read_text(encoding="utf-8")))


def replay(world, *words, code, **settings):
    done = world.verb("replay", *words, "--output", "json", **settings)
    assert done.returncode == code, done.stdout + done.stderr
    if not done.stdout:
        return done.stderr
    found = json.loads(done.stdout)
    SCHEMA.validate(found)
    return found


@pytest.fixture
def lossy(world):
    """20 tickets of three commands each, and what else a topic has; of five tickets PostgreSQL has lost everything."""
    apply_roles(world.database.url)                             # changes owners: before anybody uses the tables
    worker = world.worker()
    for number in range(1, 21):
        world.publish(create_ticket(number), escalate(number), append(number, "x"))
    again, early = escalate(1), escalate(2, notbefore=in_seconds(3600))
    world.publish(again, early, Message(b"{", "ticket/3"), again)
    until("all are answered", lambda: world.database.count("audit_event") == 61 and parked(world) == 1)
    lose(world, [f"ticket/{number}" for number in range(11, 16)])
    world.lost = worker
    return world


def test_missing_commands_are_named_and_brought_back_in_order_while_the_worker_goes_on(lossy):
    world = lossy
    found = replay(world, "--topic", world.topic, code=3, DATABASE_URL=url_as(world, "interlock_reader"))
    assert {name: found[name] for name in ("messages", "answered", "duplicate", "parked", "letter", "missing", "unreadable")} == {
        "messages": 64, "answered": 46, "duplicate": 1, "parked": 1, "letter": 1, "missing": 15, "unreadable": 0}
    assert len(found["commands"]) == 15 and {each["aggregate"] for each in found["commands"]} == {
        f"ticket/{number}" for number in range(11, 16)}
    text = world.verb("replay", "--topic", world.topic).stdout
    assert "15 missing" in text and "to do it:\n  interlock replay --topic" in text and "--expect 15 --execute" in text
    words = ("--topic", world.topic, "--before", found["before"], "--execute", "--reason", "failover", "--as", "anna")
    assert "14 expected" in replay(world, *words, "--expect", "14", code=1)
    assert world.database.count("operator_action") == 0 and parked(world) == 1
    refused = replay(world, *words, "--expect", "15", code=1, DATABASE_URL=url_as(world, "interlock_reader"))
    assert "interlock_operator may do this" in refused
    done = replay(world, *words, "--expect", "15", code=0, DATABASE_URL=url_as(world, "interlock_operator"))
    assert (done["put_back"], done["action"]) == (15, 1)
    until("they are answered again", lambda: world.database.value(
        "SELECT count(*) FROM interlock.audit_event WHERE aggregate ~ '^ticket/1[1-5]$' AND outcome = 'applied'") == 15)
    assert world.database.rows("SELECT DISTINCT version, level FROM interlock.ticket WHERE id BETWEEN 11 AND 15") == [(3, 1)]
    assert world.lost.runs()
    published(world)
    assert replay(world, "--topic", world.topic, code=0)["missing"] == 0
    assert "15 expected" in replay(world, *words, "--expect", "15", code=1)
    assert "15: 15 put back" in world.verb("action", "list").stdout or "put back" in world.verb("action", "show", "1").stdout


def test_a_replay_that_is_killed_before_its_commit_has_done_nothing(lossy):
    """And of two at once the second is refused: what it had counted is not missing any more."""
    world = lossy
    words = ["replay", "--topic", world.topic, "--expect", "15", "--execute", "--reason", "failover"]

    def start():
        return subprocess.Popen([world.binary, *words], env=world.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def waiting():
        return world.database.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'interlock replay' "
                                    "AND datname = current_database() AND wait_event_type = 'Lock'")
    with world.database.holding("LOCK TABLE interlock.operator_item IN EXCLUSIVE MODE"):
        with start() as killed:
            until("it is about to commit", lambda: waiting() == 1, 30)
            killed.kill()
    until("its session is gone", lambda: waiting() == 0)
    assert world.database.count("operator_action") == 0 and parked(world) == 1
    with world.database.holding("LOCK TABLE interlock.operator_item IN EXCLUSIVE MODE") as holder:
        with start() as first, start() as second:
            until("both are at it", lambda: waiting() == 2, 30)
            holder.rollback()
            codes = sorted([first.wait(60), second.wait(60)])
    assert codes == [0, 1]
    assert world.database.rows("SELECT verb, expected FROM interlock.operator_action") == [("replay", 15)]
    until("they are answered again", lambda: world.database.value(
        "SELECT count(*) FROM interlock.audit_event WHERE aggregate ~ '^ticket/1[1-5]$' AND outcome = 'applied'") == 15)


def test_ranges_and_times_choose_what_is_read(lossy):
    world = lossy
    whole = replay(world, "--topic", world.topic, code=3)
    parts = [replay(world, "--topic", world.topic, "--partition", str(number), code=3 if any(
        f"/{number}/" in each["at"] for each in whole["commands"]) else 0) for number in range(world.partitions)]
    assert sum(part["messages"] for part in parts) == whole["messages"]
    assert sum(part["missing"] for part in parts) == 15
    place = whole["commands"][0]["at"].split("/")
    one = replay(world, "--topic", world.topic, "--partition", place[1], "--from", place[2], "--to", str(int(place[2]) + 1), code=3)
    assert (one["messages"], one["missing"]) == (1, 1)
    assert replay(world, "--since", "1h", code=3)["missing"] == 15
    assert replay(world, "--since", "2999-01-01T00:00:00Z", code=0)["messages"] == 0
    assert replay(world, "--topic", world.topic, "--before", "2020-01-01T00:00:00Z", code=0)["messages"] == 0


def test_a_command_that_is_not_read_yet_is_not_missing(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    published(world)
    assert worker.end() == 0
    world.publish(escalate(1))
    found = replay(world, "--topic", world.topic, code=0)
    assert (found["answered"], found["not_read_yet"], found["missing"]) == (1, 1, 0)


def test_a_range_that_cannot_be_judged_is_refused(lossy):
    world = lossy
    words = ("--execute", "--reason", "x")
    for asked, says in (
            ((), "which ones"), (("--all", *words), "--all --execute needs --expect"), (("--topic", "nowhere"), "no partition"),
            (("--partition", "1"), "one of a --topic"), (("--topic", world.topic, "--limit", "0"), "from 1 to"),
            (("--topic", world.topic, "--limit", "14", *words), "more than --limit 14"),
            (("--topic", world.topic, "--partition", "0", "--from", "999"), "past the topic's retention"),
            (("--topic", world.topic, "x"), "unknown argument"), (("--topic", world.topic, "--execute"), "needs a --reason")):
        assert says in replay(world, *asked, code=1), asked
    world.database.execute("UPDATE interlock.partition_published SET pruned_below = published")
    found = replay(world, "--topic", world.topic, code=0)
    assert (found["pruned"], found["missing"]) == (15, 0)
    assert "below what prune took" in replay(world, "--topic", world.topic, *words, code=1)
    cut_log(world)
    assert "past the topic's retention" in replay(world, "--topic", world.topic, "--partition", "1", "--from", "0", code=1)
    assert world.database.count("operator_action") == 0 and parked(world) == 1


def test_commands_that_come_back_go_before_those_that_arrive_meanwhile(lossy):
    """Nothing returns while no worker runs: the later command of the aggregate waits behind those that were lost."""
    world = lossy
    assert world.lost.end() == 0
    assert replay(world, "--topic", world.topic, "--execute", "--reason", "failover", code=0)["put_back"] == 15
    later = escalate(11)
    world.publish(later)
    world.lost.start().wait_ready()
    until("all of it is applied", lambda: world.database.value("SELECT version FROM interlock.ticket WHERE id = 11") == 4)
    event, = world.await_events([later])
    assert (event.outcome, event.data["version"]) == ("applied", {"from": 3, "to": 4})


def test_the_dry_run_says_what_each_missing_command_would_become(lossy):
    """Decided on the rows of now, each after the missing ones of its aggregate; nothing is written, by a role that may only read."""
    world = lossy
    apply_roles(world.database.url)
    lose(world, ["ticket/4"], rows=False)
    early = escalate(5, notbefore=in_seconds(3600))
    world.publish(early)
    until("it is parked", lambda: parked(world) == 2)
    until("its position is passed", lambda: replay(world, "--topic", world.topic, code=3)["not_read_yet"] == 0)
    world.database.execute("DELETE FROM interlock.parked_command WHERE command_id = %s", early.identity[1])
    world.database.execute("DELETE FROM interlock.inbox WHERE parked AND NOT EXISTS (SELECT FROM interlock.parked_command p "
                           "WHERE p.identity = inbox.identity)")
    before = [world.database.count(table) for table in ("audit_event", "inbox", "ticket", "operator_action", "parked_command")]
    found = replay(world, "--topic", world.topic, code=3, DATABASE_URL=url_as(world, "interlock_reader"))

    def told(key):
        return [(each["decision"], each["says"], each["version"]) for each in found["commands"] if each["aggregate"] == key]

    for number in range(11, 16):  # its create is missing, too
        assert told(f"ticket/{number}") == [("decided", "applied", {"from": n, "to": n + 1}) for n in range(3)]
    assert told("ticket/4") == [("decided", "rejected: already_exists", None),
                                *[("decided", "applied", {"from": n, "to": n + 1}) for n in (3, 4)]]
    assert [each[0] for each in told("ticket/5")] == ["waits"]
    assert [world.database.count(table) for table in ("audit_event", "inbox", "ticket", "operator_action", "parked_command")] == before
    text = world.verb("replay", "--topic", world.topic).stdout
    assert "decided here against the rows of now, in a child process; nothing was written" in text
    assert "would be applied, version 0->1\n" in text and "would be rejected: already_exists\n" in text
    assert "would be parked until its notbefore\n" in text


def test_a_missing_command_that_ends_the_program_ends_a_child_alone(lossy):
    """The next child goes on with the command after it."""
    whole = replay(lossy, "--topic", lossy.topic, code=3)
    poison = next(each for each in whole["commands"] if each["aggregate"] == "ticket/12" and each["type"] == "ticket.escalate")
    found = replay(lossy, "--topic", lossy.topic, code=3, FAULT_COMMAND=poison["id"])
    told = [(each["decision"], each["says"], each["version"]) for each in found["commands"] if each["aggregate"] == "ticket/12"]
    assert told == [("decided", "applied", {"from": 0, "to": 1}), ("ends", "signal 9 in decide", None),
                    ("decided", "applied", {"from": 1, "to": 2})]
    assert [each for each in found["commands"] if each["aggregate"] != "ticket/12"] == \
        [each for each in whole["commands"] if each["aggregate"] != "ticket/12"]
