"""Commands that an operator holds back (PROTOCOL L5): of a type, a tenant or a key they wait in PostgreSQL; of a topic, a
partition, or everything, nothing is read."""

import concurrent.futures
import contextlib
import json
import shlex

import pytest

from harness.commands import append, create_ticket, escalate
from harness.database import url_as
from harness.parking import in_seconds, parked, settled
from harness.pauses import BECAUSE, pause, pauses, resume
from harness.stack import apply_roles
from harness.waiting import holds_for, until

UNTIL = "--until-resumed"


def history(world, number):
    return [row[0] for row in world.database.rows("SELECT details FROM interlock.ticket_history WHERE ticket_id = %s "
                                                  "AND action = 'note' ORDER BY seq", number)]


def level(world, number):
    return world.database.value("SELECT level FROM interlock.ticket WHERE id = %s", number)


def on_pause(worker):
    cells = json.loads(worker.get("/status")[1])["cells"]
    return sum(each["on_pause"] for cell in cells for each in cell["partitions"] if each["taken"])


# ---- type, tenant, key -----------------------------------------------------------------------------------

@pytest.mark.seconds(60)
def test_a_paused_type_waits_and_what_follows_in_its_aggregate_waits_behind_it(world):
    world.worker()
    world.ask(create_ticket(1), create_ticket(2))
    number = pause(world, "--type", "ticket.escalate", UNTIL)
    paused, behind = escalate(1), append(1, "behind")
    world.publish(paused)
    until("it is parked", lambda: parked(world, "reason = 'paused'") == 1, 10)
    world.publish(behind)
    world.ask(append(2, "free"))                                    # another aggregate goes on, and so do partitions
    until("the next command is parked behind it", lambda: parked(world, "reason = 'behind'") == 1, 10)
    until("the partitions moved on", lambda: world.lag() == 0, 10)
    found, = pauses(world)
    assert (found["pause"], found["scope"], found["target"], found["order"], found["reason"]) == \
        (number, "type", "ticket.escalate", "keep", "a test")
    assert (found["commands"], found["aggregates"], found["until"]) == (2, 1, None)
    row, = world.database.rows("SELECT blocks, pause_id, due_at = 'infinity' FROM interlock.parked_command "
                               "WHERE reason = 'paused'")
    assert row == (True, number, True)
    assert resume(world, number) == 1
    world.await_events([paused, behind], 20)
    settled(world)
    assert level(world, 1) == 1 and history(world, 1) == ["behind"]
    assert pauses(world) == [] and pauses(world, "--ended")[0]["commands"] == 0
    assert world.ask(escalate(1)).outcome == "applied"
    world.check(ordered=False)


@pytest.mark.seconds(60)
def test_with_order_pass_later_commands_of_the_aggregate_go_on(world):
    world.worker()
    world.ask(create_ticket(1))
    number = pause(world, "--type", "ticket.escalate", UNTIL, "--order", "pass")
    paused = escalate(1)
    world.publish(paused)
    until("it is parked", lambda: parked(world, "reason = 'paused' AND NOT blocks") == 1, 10)
    assert world.ask(append(1, "passes")).outcome == "applied"
    resume(world, number)
    assert world.await_events([paused], 20)[0].data["version"] == {"from": 2, "to": 3}


@pytest.mark.seconds(60)
@pytest.mark.parametrize("scope, target", [("--key", "ticket/1"), ("--tenant", "acme")])
def test_a_key_and_a_tenant_are_paused_alone(world, scope, target):
    world.worker()
    world.ask(create_ticket(1), create_ticket(2))
    number = pause(world, scope, target, UNTIL)
    paused, free = escalate(1, tenant="acme"), escalate(2, tenant="other")
    world.publish(paused, free)
    world.await_events([free], 20)
    until("it is parked", lambda: parked(world, "reason = 'paused' AND tenant = 'acme'") == 1, 10)
    resume(world, number)
    world.await_events([paused], 20)
    settled(world)


@pytest.mark.seconds(60)
def test_a_parked_command_that_matches_does_not_return_and_a_return_in_flight_is_parked_again_with_its_place(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    early = escalate(1, notbefore=in_seconds(3600))
    world.publish(early)
    until("it is parked", lambda: parked(world) == 1, 10)
    place = world.database.value("SELECT place FROM interlock.parked_command")
    number = pause(world, "--type", "ticket.escalate", UNTIL)
    world.database.execute("UPDATE interlock.parked_command SET due_at = now()")
    holds_for("it is not claimed", lambda: parked(world, "returns = 0") == 1, 2)
    resume(world, number)
    world.database.execute("UPDATE interlock.parked_command SET due_at = 'infinity'")
    worker.end()
    # Its copy is on the topic when the next pause begins.
    token = world.database.value("SELECT token FROM interlock.parked_command")
    copy = escalate(1).at(None)
    copy.value, copy.identity = early.value, early.identity
    copy.headers.append(("interlock.return", str(token).encode()))
    world.database.execute("UPDATE interlock.parked_command SET returned_at = now()")
    world.publish(copy)
    # Not before its time: it waits for the pause, as long as that is its reason.
    number = pause(world, "--key", "ticket/1", UNTIL)
    worker.start().wait_ready()
    until("it was read", lambda: world.lag() == 0, 20)
    assert world.database.value("SELECT place FROM interlock.parked_command") == place
    assert world.events_of(early) == []


@pytest.mark.seconds(60)
def test_a_return_in_flight_is_parked_again_as_paused(world):
    world.worker(worker_park_after="1s", retries_default_longest="200ms")
    world.ask(create_ticket(1))
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"):
        held = append(1, "held")
        world.publish(held)
        until("it is parked", lambda: parked(world, "reason = 'held'") == 1, 20)
        place = world.database.value("SELECT place FROM interlock.parked_command")
        number = pause(world, "--key", "ticket/1", UNTIL)
        # As if it had been claimed a moment before the pause.
        row, = world.database.rows("SELECT token::text FROM interlock.parked_command")
        copy = held.at(None)
        copy.headers.append(("interlock.return", row[0].encode()))
        world.publish(copy)
        until("it waits for the pause", lambda: parked(world, f"reason = 'paused' AND pause_id = {number}") == 1, 20)
    assert world.database.value("SELECT place FROM interlock.parked_command WHERE blocks") == place
    resume(world, number)
    world.await_events([held], 20)
    settled(world)
    assert history(world, 1) == ["held"]


@pytest.mark.seconds(60)
def test_a_pause_that_has_a_time_ends_by_itself(world):
    world.worker()
    world.ask(create_ticket(1))
    pause(world, "--type", "ticket.escalate", "--for", "3s")
    paused = escalate(1)
    world.publish(paused)
    until("it is parked", lambda: parked(world, "reason = 'paused'") == 1, 10)
    world.await_events([paused], 20)
    (ended, late, by), = world.database.rows("SELECT resumed_at IS NOT NULL, extract(epoch FROM resumed_at - ends_at), "
                                             "resumed_by FROM interlock.pause")
    assert ended and 0 <= late < 3 and by is None, late             # within one second on a machine at rest
    settled(world)


@pytest.mark.seconds(60)
def test_a_resume_with_a_rate_spaces_what_returns_in_the_order_of_its_places(world):
    worker = world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 9)])
    number = pause(world, "--type", "ticket.escalate", UNTIL)
    messages = [escalate(ticket) for ticket in range(1, 9)]
    world.publish(*messages)
    until("all wait", lambda: parked(world, "reason = 'paused'") == 8, 20)
    assert worker.end() == 0                                        # so that nothing returns before it was looked at
    assert resume(world, number, "--rate", "4") == 8
    later = world.database.rows("SELECT extract(epoch FROM due_at - min(due_at) OVER ()) FROM interlock.parked_command ORDER BY place")
    assert [float(seconds) for seconds, in later] == [place / 4 for place in range(8)]
    world.worker()
    world.await_events(messages, 30)
    settled(world)


@pytest.mark.seconds(60)
def test_a_released_command_does_not_wait_for_its_pause_and_a_cancelled_one_is_rejected(world):
    world.worker()
    world.ask(create_ticket(1), create_ticket(2))
    number = pause(world, "--type", "ticket.escalate", UNTIL)
    released, cancelled = escalate(1), escalate(2)
    world.publish(released, cancelled)
    until("both wait", lambda: parked(world, "reason = 'paused'") == 2, 10)
    assert world.verb("parked", "release", "--key", "ticket/1", *BECAUSE).returncode == 0
    assert world.verb("parked", "cancel", "--key", "ticket/2", *BECAUSE).returncode == 0
    events = world.await_events([released, cancelled], 20)
    assert [(each.outcome, each.reason) for each in events] == [("applied", None), ("rejected", "cancelled")]
    assert len(pauses(world)) == 1 and number == pauses(world)[0]["pause"]
    settled(world)


# ---- in force everywhere ---------------------------------------------------------------------------------

def stopped_before_it_writes(world, worker):
    """A batch that has read the pauses, and has written nothing."""
    worker.end()
    worker.environment["FAULT_POINTS"] = "after_fences=stop@1"
    worker.start().wait_ready()
    late = escalate(1)
    world.publish(late)
    until("its batch has read the pauses", worker.at_a_fault_point, 20)
    return late


def committed(world):
    return world.database.value("SELECT count(*) FROM interlock.audit_event WHERE command_type = 'ticket.escalate'")


@pytest.mark.seconds(90)
def test_the_verb_waits_for_a_batch_that_has_read_the_pauses_and_has_not_written_yet(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    late = stopped_before_it_writes(world, worker)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        verb = pool.submit(pause, world, "--type", "ticket.escalate", UNTIL)
        until("the pause is there", lambda: world.database.count("pause") == 1, 30)
        holds_for("the verb waits", lambda: not verb.done(), 2)
        worker.cont()
        verb.result(60)
    assert committed(world) == 1                                     # before the verb ended
    world.await_events([late], 20)
    later = escalate(1)
    world.publish(later)
    until("the next one waits", lambda: parked(world, "reason = 'paused'") == 1, 20)
    assert committed(world) == 1


@pytest.mark.seconds(90)
def test_without_the_wait_a_command_that_matches_commits_after_the_verb_has_ended(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    late = stopped_before_it_writes(world, worker)
    pause(world, "--type", "ticket.escalate", UNTIL, wait="0s")
    # The oldest transaction id would not have told: the batch has none yet.
    assert world.database.rows("SELECT activity.backend_xid FROM pg_locks AS held JOIN pg_stat_activity AS activity USING (pid) "
                               "WHERE held.locktype = 'advisory' AND held.classid = 4812404 AND held.mode = 'ShareLock' "
                               "AND held.granted AND activity.datname = current_database()") == [(None,)]
    assert committed(world) == 0
    worker.cont()
    world.await_events([late], 30)
    assert committed(world) == 1                                     # after the verb ended: the failure that it prevents


@pytest.mark.seconds(60)
def test_a_pause_that_is_not_obeyed_in_time_names_who_is_in_its_way(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    with world.database.holding("SELECT pg_advisory_xact_lock_shared(4812404, 1)") as holder:
        done = world.verb("pause", "--type", "ticket.escalate", UNTIL, "--wait", "300ms", *BECAUSE)
        assert done.returncode == 2 and "not obeyed yet by: pid" in done.stdout, done.stdout
    assert worker.runs() and holder is not ...


# ---- topic, partition, everything --------------------------------------------------------------------------

@pytest.mark.seconds(90)
@pytest.mark.parametrize("scope", ["topic", "partition", "all"])
def test_of_what_is_paused_as_a_whole_nothing_is_read_and_the_pool_stays_ready(world, scope):
    worker = world.worker()
    world.ask(create_ticket(1))
    place = world.publisher.partition(create_ticket(1)) if hasattr(world.publisher, "partition") else None
    where = {"topic": ("--topic", world.topic), "partition": ("--partition", f"{world.topic}/0"),
             "all": ("--all", "--expect", str(world.partitions))}[scope]
    number = pause(world, *where, UNTIL)
    stopped = 1 if scope == "partition" else world.partitions
    until("the worker shows it", lambda: on_pause(worker) == stopped, 10)
    waiting = [append(1, index).at(0) for index in range(5)]
    world.publish(*waiting)
    if scope == "partition":
        world.ask(create_ticket(2).at(1))                           # the others go on
    holds_for("nothing of it is read", lambda: not any(world.events_of(each) for each in waiting), 2)
    assert worker.ready() and parked(world) == 0 and place in (None, place)
    resume(world, number)
    world.await_events(waiting, 20)
    settled(world)
    assert history(world, 1) == list(range(5)) and on_pause(worker) == 0
    world.check(ordered=False)


@pytest.mark.seconds(120)
def test_a_pause_survives_a_kill_a_rebalance_and_scale_to_zero(world):
    workers = [world.worker(), world.worker()]
    world.ask(create_ticket(1))
    of_topic, of_type = pause(world, "--topic", world.topic, UNTIL), pause(world, "--type", "ticket.escalate", UNTIL)
    waiting = [append(1, index) for index in range(5)]
    world.publish(*waiting, escalate(1))
    workers[0].kill()
    until("the other has everything", lambda: on_pause(workers[1]) == world.partitions, 60)
    assert workers[1].end() == 0
    world.worker()
    holds_for("nothing is read", lambda: not any(world.events_of(each) for each in waiting), 3)
    resume(world, of_topic)
    world.await_events(waiting, 30)
    until("the type waits still", lambda: parked(world, "reason = 'paused'") == 1, 20)
    resume(world, of_type)
    settled(world)
    assert level(world, 1) == 1
    world.check(ordered=False)


@pytest.mark.seconds(60)
def test_commands_in_flight_are_finished_before_the_verb_ends(world):
    world.worker(worker_park_after="1h", worker_park_when_blocking="0ms", retries_default_longest="200ms")
    world.ask(create_ticket(1))
    with contextlib.ExitStack() as held:
        held.enter_context(world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"))
        message = append(1, "in flight")
        world.publish(message)
        until("it is held", lambda: world.workers[0].metric("interlock_held_keys") == 1, 20)
        # Held it would be in flight for long: it is parked, and nothing else is.
        pause(world, "--topic", world.topic, UNTIL)
        assert parked(world, "reason = 'held'") == 1 and world.lag() == 0
    holds_for("nothing returns", lambda: world.events_of(message) == [], 3)
    resume(world, pauses(world)[0]["pause"])
    world.await_events([message], 40)
    settled(world)


# ---- the verbs -------------------------------------------------------------------------------------------

@pytest.mark.seconds(60)
def test_a_dry_run_shows_the_share_and_prints_the_command_that_does_it(world):
    world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 4)], escalate(1))
    done = world.verb("pause", "--type", "ticket.escalate", "--for", "2h")
    assert done.returncode == 0 and "1 of 4 match (25.0 %)" in done.stdout, done.stdout
    assert world.database.count("pause") == 0
    line = shlex.split(done.stdout[done.stdout.index("to do it:"):].splitlines()[1])
    assert world.verb(*line[1:]).returncode == 0
    found, = pauses(world)
    assert found["until"] is not None
    again = world.verb(*line[1:])
    assert again.returncode == 1 and "is in force" in again.stderr
    shown = world.verb("resume", found["pause"])
    assert shown.returncode == 0 and "to do it:" in shown.stdout and len(pauses(world)) == 1
    resume(world, found["pause"])
    assert "it has ended already" in world.verb("resume", found["pause"], *BECAUSE).stderr
    verbs = [row[0] for row in world.database.rows("SELECT verb FROM interlock.operator_action ORDER BY id")]
    assert verbs == ["pause", "resume"]
    assert world.database.rows("SELECT subject, outcome FROM interlock.operator_item ORDER BY at") == \
        [(f"pause {found['pause']}", "paused"), (f"pause {found['pause']}", "resumed")]


@pytest.mark.parametrize("arguments, says", [
    (("pause", UNTIL), "what?"), (("pause", "--type", "ticket.escalate"), "until when?"),
    (("pause", "--type", "ticket.explode", UNTIL), "no such type"), (("pause", "--key", "42", UNTIL), "ticket/42"),
    (("pause", "--partition", "commands", UNTIL), "TOPIC/NUMBER"), (("pause", "--all", "--type", "x", UNTIL), "what?"),
    (("pause", "--key", "ticket/1", "--for", "2h", UNTIL), "until when?"),
    (("pause", "--key", "ticket/1", UNTIL, "--order", "x"), "keep, pass"),
    (("pause", "--key", "ticket/1", UNTIL, "--execute"), "--reason"), (("pause", "--all", UNTIL, *BECAUSE), "--expect"),
    (("resume",), "one number"), (("resume", "1", "--rate", "0"), "--rate"), (("resume", "999"), "there is no pause")])
def test_a_call_that_does_not_say_what_it_means_is_refused(shared, arguments, says):
    done = shared.verb(*arguments)
    assert done.returncode == 1 and says in done.stderr and done.stdout == ""


@pytest.mark.seconds(90)
def test_worker_and_verbs_live_on_the_rights_of_their_roles(world):
    apply_roles(world.database.url)
    worker, operator = url_as(world, "interlock_worker"), url_as(world, "interlock_operator")
    world.settings["DATABASE_URL"] = operator
    world.worker(DATABASE_URL=worker)
    world.ask(create_ticket(1), create_ticket(2))
    of_topic = pause(world, "--topic", world.topic, UNTIL)
    resume(world, of_topic)
    number = pause(world, "--type", "ticket.escalate", UNTIL)
    released, cancelled, resumed = escalate(1), escalate(2), escalate(1)
    world.publish(released, cancelled)
    until("both wait", lambda: parked(world, "reason = 'paused'") == 2, 20)
    assert world.verb("parked", "release", "--key", "ticket/1", *BECAUSE).returncode == 0
    assert world.verb("parked", "cancel", "--key", "ticket/2", *BECAUSE).returncode == 0
    assert world.verb("parked", "list").returncode == 0
    world.await_events([released, cancelled], 20)
    world.publish(resumed)
    until("one more waits", lambda: parked(world, "reason = 'paused'") == 1, 20)
    resume(world, number)
    world.await_events([resumed], 20)
    assert pause(world, "--key", "ticket/1", "--for", "1s") and world.ask(escalate(1)).outcome == "applied"
    settled(world)
