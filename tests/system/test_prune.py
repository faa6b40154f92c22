"""PROTOCOL R8: prune takes away only what can never be seen again: below what was published, below the log's start, older
than the retention, and not parked."""

import json

import psycopg2
import pytest

from harness.commands import append, command, create_ticket, escalate
from harness.database import Database
from harness.parking import in_seconds, parked
from harness.retention import age, cut_log
from harness.stack import apply_roles
from harness.waiting import until

TICKETS = 40
REASON = ("--execute", "--reason", "a test")


def prune(world, *words, older_than="720h"):
    done = world.verb("prune", "--older-than", older_than, "--output", "json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def aged(world):
    """40 commands and two dead letters, published, old, and no longer in Kafka."""
    world.worker()
    world.ask(*[create_ticket(number) for number in range(1, TICKETS + 1)])
    bad = append(1, "")
    world.publish(*[type(bad)(b"{", f"ticket/{number}") for number in (1, 2)])
    world.drain()
    until("the published events are known", lambda: world.database.value(
        "SELECT sum(published) FROM interlock.partition_published") == TICKETS + 2)
    age(world)
    cut_log(world)
    return world


def test_identities_that_can_never_come_again_are_forgotten_and_their_audit_stays(aged):
    assert prune(aged) == {"executed": False, "inbox": TICKETS, "dead_letter": 2}
    assert aged.database.count("inbox") == TICKETS, "a dry run took rows away"
    assert prune(aged, *REASON) == {"executed": True, "inbox": TICKETS, "dead_letter": 2}
    assert (aged.database.count("inbox"), aged.database.count("dead_letter")) == (0, 0)
    assert aged.database.count("audit_event") == TICKETS
    assert prune(aged, *REASON) == {"executed": True, "inbox": 0, "dead_letter": 0}
    assert aged.ask(escalate(1)).outcome == "applied"


def test_a_duplicate_after_the_retention_is_a_new_command(world):
    """Not promised by deploy/OPERATING.md."""
    world.worker()
    world.ask(create_ticket(1))
    again = escalate(1)
    world.ask(again)
    world.drain()
    until("the published events are known", lambda: world.database.value(
        "SELECT sum(published) FROM interlock.partition_published") == 2)
    age(world)
    cut_log(world)
    assert prune(world, *REASON)["inbox"] == 2
    world.publish(again)
    until("it is applied again", lambda: world.database.value("SELECT level FROM interlock.ticket WHERE id = 1") == 2)


def test_young_rows_stay(aged):
    assert prune(aged, older_than="1001h")["inbox"] == 0


def test_rows_of_messages_that_kafka_still_has_stay(world):
    """And why: taken away by hand, a rewound group applies it twice."""
    worker = world.worker()
    world.ask(create_ticket(1), escalate(1))
    world.drain()
    age(world)
    assert prune(world, *REASON)["inbox"] == 0
    worker.end()
    world.database.execute("DELETE FROM interlock.inbox")
    world.kafka.move_offsets(world.group, world.topic, dict.fromkeys(range(world.partitions), 0))
    worker.start().wait_ready()
    until("it is applied twice", lambda: world.database.value("SELECT level FROM interlock.ticket WHERE id = 1") == 2)


def test_only_partitions_that_lost_their_records_are_pruned(world):
    world.worker()
    world.ask(*[create_ticket(number) for number in range(1, TICKETS + 1)])
    world.drain()
    until("the published events are known", lambda: world.database.value(
        "SELECT sum(published) FROM interlock.partition_published") == TICKETS)
    age(world)
    cut_log(world, partitions=[2], by=1)
    there = world.kafka.ends(world.topic)[2]
    assert prune(world, *REASON)["inbox"] == there - 1
    assert world.database.count("inbox") == TICKETS - (there - 1)


def test_rows_not_known_to_be_published_stay(aged):
    aged.database.execute("UPDATE interlock.partition_published SET published = 0")
    assert prune(aged)["inbox"] == 0


def test_rows_of_parked_commands_stay(world):
    world.worker()
    world.ask(create_ticket(1))
    early = append(1, "early", notbefore=in_seconds(3600))
    world.publish(early)
    until("it is parked", lambda: parked(world) == 1)
    world.drain()
    until("the published events are known", lambda: world.database.value(
        "SELECT sum(published) FROM interlock.partition_published") == 2)
    age(world)
    cut_log(world)
    assert prune(world, *REASON)["inbox"] == 1
    assert world.database.value("SELECT parked FROM interlock.inbox")


def test_a_worker_goes_on_while_rows_are_pruned(aged):
    messages = [escalate(1 + step % TICKETS) for step in range(400)]
    aged.publish(*messages)
    prune(aged, *REASON)
    aged.await_events(messages)
    assert aged.database.value("SELECT sum(level) FROM interlock.ticket") == 400


def test_the_pruner_s_role_suffices_and_can_do_nothing_else(aged):
    apply_roles(aged.database.url)
    url = aged.database.url.replace("://interlock:", "://interlock_pruner:")
    done = aged.verb("prune", "--older-than", "720h", *REASON, DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    assert f"{TICKETS} rows of inbox deleted" in done.stdout
    for statement in ("DELETE FROM interlock.audit_event", "UPDATE interlock.inbox SET parked = true",
                      "SELECT * FROM interlock.ticket", "DELETE FROM interlock.inbox", "DELETE FROM interlock.dead_letter",
                      "SELECT * FROM interlock.inbox"):
        with pytest.raises(Exception, match="permission denied"):
            Database(url).execute(statement)


def test_a_pruner_who_lies_about_kafka_takes_nothing_that_is_fresh_parked_or_not_published(aged):
    apply_roles(aged.database.url)
    liar = Database(aged.database.url.replace("://interlock:", "://interlock_pruner:"))
    topics, partitions, starts = zip(*[(aged.topic, number, 10 ** 9) for number in range(aged.partitions)])

    def prune_all(older_than):
        return liar.value("SELECT interlock.prune_rows('inbox', true, %s, %s, %s, %s::interval, '(0,0)', '(9999999,0)')",
                          list(topics), list(partitions), list(starts), older_than)
    for older_than in ("1 second", "-1000 days", "23 hours"):
        with pytest.raises(psycopg2.Error, match="younger than 24 hours"):
            prune_all(older_than)
    with pytest.raises(psycopg2.Error, match="nothing of audit_event is ever pruned"):
        liar.value("SELECT interlock.prune_rows('audit_event', true, '{}', '{}', '{}', '9 days', '(0,0)', '(9,0)')")
    recent = aged.ask(*[escalate(number) for number in range(1, 6)])
    aged.publish(escalate(6), command("ticket.escalate", {"ticket_id": 7}, notbefore=in_seconds(3600)))
    until("one is parked", lambda: parked(aged) == 1, 20)
    aged.workers[0].kill()
    aged.database.execute("UPDATE interlock.inbox SET recorded_at = recorded_at - interval '9 days' WHERE parked")
    kept = aged.database.count("inbox") - TICKETS
    assert prune_all("1 day") == TICKETS and aged.database.count("inbox") == kept >= len(recent) + 1


@pytest.mark.parametrize("words, says", [
    ((), "--older-than is missing"), (("--older-than", "soon"), "--older-than soon"),
    (("--older-than", "720h", "--execute"), "needs a --reason"), (("--older-than", "23h"), "younger than 24 hours"), (("--older-than", "1h", "inbox"), "unknown argument inbox"),
])
def test_a_wrong_call_is_told(world, words, says):
    done = world.verb("prune", *words)
    assert done.returncode == 1 and says in done.stderr
