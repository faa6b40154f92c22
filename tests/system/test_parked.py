"""The verb parked: what waits in PostgreSQL is listed, released and cancelled (PROTOCOL L4, L5)."""

import datetime
import json
import shlex

import pytest

from harness.commands import append, create_ticket, escalate
from harness.parking import in_seconds, parked, settled
from harness.waiting import holds_for, until

AN_HOUR = 3600
BECAUSE = ("--execute", "--reason", "a test")


def wait_parked(world, *messages):
    world.publish(*messages)
    until("they are parked", lambda: parked(world) == len(messages), 20)


def listed(world, *arguments):
    done = world.verb("parked", "list", *arguments, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def act(world, verb, *arguments):
    done = world.verb("parked", verb, *arguments)
    return done.returncode, done.stdout, done.stderr


def outcome(event):
    return event.outcome, event.reason


def items(world):
    return world.database.rows("SELECT action_id, subject, outcome FROM interlock.operator_item ORDER BY at")


def test_a_parked_command_is_listed_with_its_place_its_reason_and_behind_whom_it_waits(world):
    world.worker()
    world.ask(create_ticket(1), create_ticket(2))
    early = append(1, "early", notbefore=in_seconds(AN_HOUR))
    behind = append(1, "behind", afterparked=True)
    wait_parked(world, early, behind)
    world.publish(append(2, "other", notbefore=in_seconds(2 * AN_HOUR)))
    until("three are parked", lambda: parked(world) == 3, 20)
    found = listed(world)
    assert found["count"] == 3 and found["by_reason"] == {"notbefore": 2, "behind": 1}
    first, second, third = found["parked"]
    assert (first["aggregate"], first["reason"], first["behind"], first["id"]) == \
        ("ticket/1", "notbefore", None, early.identity[1])
    assert (second["reason"], second["behind"], second["id"]) == ("behind", first["place"], behind.identity[1])
    assert first["returns"] == 0 and first["parkings"] == 1
    due = datetime.datetime.fromisoformat(first["due"].replace("Z", "+00:00"))
    assert due > datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=50)
    assert [row["place"] for row in listed(world, "--key", "ticket/2")["parked"]] == [third["place"]]
    assert listed(world, "--limit", "1")["count"] == 3 and len(listed(world, "--limit", "1")["parked"]) == 1
    text = world.verb("parked", "list").stdout
    assert "3 parked commands: 2 notbefore, 1 behind" in text and "ticket/2" in text
    shown = world.verb("parked", "show", second["place"], "--output", "json")
    assert json.loads(shown.stdout)["topic"] == world.topic
    assert "no parked command has the place 999" in world.verb("parked", "show", 999).stderr


@pytest.mark.seconds(60)
def test_a_cancelled_command_is_rejected_with_one_event_whatever_it_waits_for(world):
    world.worker()
    world.ask(create_ticket(1))
    early, behind = append(1, "early", notbefore=in_seconds(AN_HOUR)), append(1, "behind", afterparked=True)
    wait_parked(world, early, behind)
    code, out, _ = act(world, "cancel", "--id", behind.identity[1], *BECAUSE)   # the first goes on waiting
    assert code == 0 and "1 cancelled, 1 answered" in out, out
    event, = world.await_events([behind], 20)
    assert outcome(event) == ("rejected", "cancelled")
    assert event.data["version"] == {"from": 1, "to": 1} and event.subject == "ticket/1"
    (action, verb, reason), = world.database.rows("SELECT id, verb, reason FROM interlock.operator_action")
    assert (verb, reason) == ("parked cancel", "a test")
    assert items(world) == [(action, " ".join(behind.identity), "rejected: cancelled")]
    assert parked(world) == 1 and world.events_of(early) == []
    world.publish(behind)                                                       # a duplicate, as ever
    act(world, "cancel", "--all", "--expect", 1, *BECAUSE)
    settled(world)
    assert len(world.events_of(behind)) == 1 and len(world.events_of(early)) == 1
    assert world.database.value("SELECT version FROM interlock.ticket WHERE id = 1") == 1
    world.check(ordered=False)


@pytest.mark.seconds(60)
def test_those_behind_a_cancelled_command_go_on(world):
    world.worker()
    world.ask(create_ticket(1))
    early = append(1, "early", notbefore=in_seconds(AN_HOUR))
    behind = [append(1, number, afterparked=True) for number in range(5)]
    wait_parked(world, early, *behind)
    assert act(world, "cancel", "--id", early.identity[1], *BECAUSE)[0] == 0
    assert {each.outcome for each in world.await_events(behind, 30)} == {"applied"}
    settled(world)
    world.check(ordered=False)


@pytest.mark.seconds(60)
def test_a_released_command_waits_for_its_turn_and_for_no_time(world):
    world.worker()
    world.ask(create_ticket(1))
    early, behind = escalate(1, notbefore=in_seconds(AN_HOUR)), escalate(1, notbefore=in_seconds(AN_HOUR), afterparked=True)
    wait_parked(world, early, behind)
    assert act(world, "release", "--id", behind.identity[1], *BECAUSE)[0] == 0
    holds_for("it has not its turn", lambda: world.events_of(behind) == [], 2)
    code, out, _ = act(world, "release", "--id", early.identity[1], *BECAUSE)
    assert code == 0 and "1 released" in out
    assert {each.outcome for each in world.await_events([early, behind], 20)} == {"applied"}
    settled(world)
    assert [subject for _, subject, what in items(world) if what == "released"] == \
        [" ".join(behind.identity), " ".join(early.identity)]


@pytest.mark.seconds(60)
def test_a_dry_run_prints_the_command_that_does_this_and_nothing_else(world):
    world.worker()
    world.ask(create_ticket(1))
    wait_parked(world, *[append(1, number, notbefore=in_seconds(AN_HOUR)) for number in range(3)])
    code, out, _ = act(world, "cancel", "--key", "ticket/1")
    assert code == 0 and "3 would be cancelled" in out and parked(world, "cancelled_by IS NULL") == 3
    assert world.database.count("operator_action") == 0
    line = shlex.split(out[out.index("to do it:"):].splitlines()[1])
    assert line[:2] == ["interlock", "parked"] and "--expect" in line
    later = append(1, "later", notbefore=in_seconds(AN_HOUR))
    world.publish(later)
    until("a fourth is parked", lambda: parked(world) == 4, 20)
    assert world.verb(*line[1:]).returncode == 0                                # later ones are left alone
    settled_rows = world.database.rows("SELECT command_id FROM interlock.parked_command")
    assert settled_rows == [(later.identity[1],)]
    done = world.verb(*line[1:])
    assert done.returncode == 1 and "3 expected, and it would be 0 now" in done.stderr
    assert world.database.count("operator_action") == 1


@pytest.mark.parametrize("arguments, says", [
    (("cancel",), "which ones"), (("cancel", "--all", *BECAUSE), "--expect"), (("cancel", "5", "--execute"), "--reason"),
    (("cancel", "x"), "accepted is a number"), (("release", "5", "--all"), "exclude each other"),
    (("cancel", "5", "--wait", "soon"), "--wait"), (("list", "--limit", "many"), "--limit"), (("drop",), "accepted are"),
    (("list", "5"), "no operands"), (("release", "--reason-is", "x"), "--reason-is")])
def test_a_call_that_does_not_say_what_it_means_is_refused(shared, arguments, says):
    done = shared.verb("parked", *arguments)
    assert done.returncode == 1 and says in done.stderr and done.stdout == ""


def test_a_cancellation_that_is_not_answered_in_time_says_what_is_left(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    early = append(1, "early", notbefore=in_seconds(AN_HOUR))
    wait_parked(world, early)
    worker.end()
    code, out, _ = act(world, "cancel", "--key", "ticket/1", "--wait", "200ms", *BECAUSE)
    assert code == 2 and "1 are still to return" in out
    assert act(world, "cancel", "--key", "ticket/1", *BECAUSE)[1] == "nothing matches: nothing was done\n"
    worker.start().wait_ready()
    world.await_events([early], 30)
    settled(world)
    assert world.outcomes() == {"applied": 1, "rejected:cancelled": 1}
