"""Dead letters: the rows that the worker writes, and the verbs that list, show, discard, restore and redrive them."""

import json
import re
import shlex
import subprocess

import pytest
from jsonschema import Draft202012Validator

from harness.commands import Message, append, create_ticket, escalate
from harness.database import url_as
from harness.retention import cut_log
from harness.stack import ROOT, apply_roles
from harness.terminal import on_terminal
from harness.waiting import until

LETTER = """SELECT state, reason, key, command_source, command_id, command_type, says, bytes, attempts, redrives,
    identity IS NOT NULL FROM interlock.dead_letter ORDER BY first_failed_at"""


def crash_until(what, worker, condition, most=15):
    """Restarts as a supervisor does; returns how often it died."""
    died = 0
    while until(f"it has died, or {what}", lambda: not worker.runs() and "died" or condition() and "done", 60,
                pause=0.1) == "died":
        died += 1
        assert died <= most, f"it died {died} times"
        worker.start()
    return died


def poison_letter(world, message, worker):
    """Publishes the message, which ends the worker, and waits for its letter; returns the letter's id."""
    before = world.database.count("dead_letter")
    world.publish(message)
    crash_until("its letter is there", worker, lambda: world.database.count("dead_letter") > before)
    return world.database.value("""SELECT o.topic || '/' || o.partition || '/' || d.kafka_offset
        FROM interlock.dead_letter d JOIN interlock.partition_owner o ON o.id = d.partition_id
        WHERE d.state = 'open' ORDER BY first_failed_at DESC LIMIT 1""")


# ---- rows ----------------------------------------------------------------------------------------------

@pytest.mark.seconds(120)
def test_the_row_of_a_command_that_ended_the_worker_has_its_names(world):
    world.publish(create_ticket(3))
    poison = escalate(3, id="poison")
    worker = world.worker(ready=False, consumers_session_timeout="6s", FAULT_COMMAND="poison")
    poison_letter(world, poison, worker)
    (row,) = world.database.rows(LETTER)
    assert row == ("open", "crashed_worker", "ticket/3", "/system-tests", "poison", "ticket.escalate",
                   "the worker ended 3 times in a row while it tried this command", len(poison.value), row[8], 0, True)
    assert world.database.count("crash_suspect") == 0


def test_the_row_of_an_unreadable_message_has_what_could_be_read(world):
    world.worker()
    nameless = b'{"specversion":"1.0","source":"/s","type":"ticket.escalate","data":{}}'
    world.publish(Message(b"{", "ticket/1"), Message(nameless, b"\xff\x00".decode("latin1")),
                  Message(None, None))
    until("three letters", lambda: world.database.count("dead_letter") == 3)
    rows = {row[1]: row for row in world.database.rows(LETTER)}
    assert rows["not_json"][2:6] == ("ticket/1", None, None, None) and rows["not_json"][7] == 1
    assert rows["missing_id"][2:7] == \
        (None, "/s", None, "ticket.escalate", "id is not there, or is not a text, or is empty")
    assert rows["tombstone"][2:6] == (None, None, None, None) and rows["tombstone"][7] == 0
    assert all(row[0] == "open" and row[9] == 0 and not row[10] for row in rows.values())


# ---- list, show ----------------------------------------------------------------------------------------

BAD = [("not_json", b"{", "ticket/1"), ("tombstone", None, "ticket/2"), ("not_an_object", b"[]", "ticket/1")]


@pytest.fixture
def letters(world):
    """Three letters that cannot be read; returns the ids by cause."""
    world.worker()
    world.publish(*[Message(value, key) for _, value, key in BAD])
    until("three letters", lambda: world.database.count("dead_letter") == len(BAD))
    world.drain()
    return dict(world.database.rows("""SELECT d.reason, o.topic || '/' || o.partition || '/' || d.kafka_offset
        FROM interlock.dead_letter d JOIN interlock.partition_owner o ON o.id = d.partition_id"""))


def dlq(world, *words, code=0, **settings):
    done = world.verb("dlq", *words, **settings)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def dlq_json(world, *words, code=0):
    return json.loads(dlq(world, *words, "--output", "json", code=code).stdout)


def to_do(text, reason="a test"):
    """The command that a dry run printed, as words after `interlock`."""
    words = shlex.split(re.search(r"^  interlock (.*)$", text, re.MULTILINE).group(1))
    return [reason if word == "..." else word for word in words]


def act(world, dry, code=0):
    done = world.verb(*to_do(dry.stdout))
    assert done.returncode == code, done.stdout + done.stderr
    return done


def states(world):
    return dict(world.database.rows("SELECT state, count(*) FROM interlock.dead_letter GROUP BY state"))


def test_list_shows_open_letters_and_counts_the_others(world, letters):
    listed = dlq(world, "list", KAFKA_BOOTSTRAP="127.0.0.1:1")  # PostgreSQL alone
    first, _, head, *rows, _, following = listed.stdout.splitlines()
    assert first == "3 open dead letters"
    assert head.split() == ["LETTER", "FAILED", "CAUSE", "KEY", "TYPE", "SAYS"]
    assert {row.split()[0] for row in rows} == set(letters.values())
    assert following == f"next: interlock dlq show {rows[0].split()[0]}"
    found = dlq_json(world, "list", "--cause", "tombstone")
    assert found["found"] == 1 and found["states"]["open"] == 3
    assert found["letters"][0]["letter"] == letters["tombstone"]
    grouped = dlq_json(world, "list", "--group-by", "key")
    assert {row["key"]: row["count"] for row in grouped["groups"]} == {"ticket/1": 2, "ticket/2": 1}
    schema = json.loads((ROOT / "deploy/dlq-list.schema.json").read_text(encoding="utf-8"))
    for document in (found, grouped, dlq_json(world, "list", "--state", "all")):
        Draft202012Validator(schema).validate(document)
    assert dlq(world, "list", "--check", code=3).stdout.startswith("3 open dead letters")
    assert dlq_json(world, "list", "--limit", "1")["found"] == 3
    assert dlq_json(world, "list", letters["not_json"])["letters"][0]["cause"] == "not_json"
    assert dlq_json(world, "list", "--before", "1h")["found"] == 0
    world.database.execute("UPDATE interlock.dead_letter SET state = 'resolved'")
    assert dlq(world, "list", "--check").stdout == "no open dead letters; 3 resolved are not shown (--state all)\n"


def test_show_says_where_the_bytes_are_and_shows_them_on_demand_only(world, letters):
    letter = letters["not_json"]
    shown = dlq(world, "show", letter).stdout
    assert "in the command topic, digest compared" in shown and "not_json" in shown and "data " not in shown
    assert shown.splitlines()[-1].startswith("next: an edited copy")
    assert dlq_json(world, "show", letter, "--data")["data"] == "{"
    raw = world.log_directory / f"{world.name}.raw"
    dlq(world, "show", letter, "--raw", str(raw))
    assert raw.read_bytes() == b"{"
    assert dlq(world, "show", "nowhere/1/2", code=1).stderr.startswith("interlock dlq show: no such letter")
    dlq(world, "show", "nonsense", code=1)


def test_show_finds_the_bytes_among_the_dead_letters_and_says_when_they_are_gone(world, letters):
    letter = letters["not_json"]
    cut_log(world)
    shown = dlq_json(world, "show", letter, "--data")
    assert (shown["message"], shown["data"]) == ("dead letters", "{")
    cut_log(world, topic=world.dlq_topic)
    gone = dlq(world, "show", letter, code=1)
    assert "gone from both topics" in gone.stdout and "gone from both topics" in gone.stderr


# ---- discard, restore ----------------------------------------------------------------------------------

def test_discard_and_restore_change_the_state_alone_and_are_recorded(world, letters):
    dry = dlq(world, "discard", "--key", "ticket/1")
    assert dry.stdout.startswith("2 letters would be discarded") and states(world) == {"open": 3}
    done = act(world, dry)
    assert re.match(r"action \d+ by \S+: 2 letters discarded", done.stdout)
    assert states(world) == {"open": 1, "discarded": 2}
    action, verb, reason, expected = world.database.row(
        "SELECT id, verb, reason, expected FROM interlock.operator_action WHERE verb = 'dlq discard'")
    assert (verb, reason, expected) == ("dlq discard", "a test", 2)
    assert world.database.value("""SELECT count(*) FROM interlock.operator_item
        WHERE action_id = %s AND outcome = 'discarded'""", action) == 2
    assert "discarded; a test" in dlq(world, "show", letters["not_json"]).stdout
    act(world, dlq(world, "restore", "--all"))
    assert states(world) == {"open": 3}


def test_an_act_on_another_number_than_the_one_that_was_seen_is_refused(world, letters):
    dry = dlq(world, "discard", "--key", "ticket/1")
    world.database.execute("UPDATE interlock.dead_letter SET state = 'resolved' WHERE reason = 'not_json'")
    assert "2 expected" in act(world, dry, code=1).stderr
    assert states(world) == {"open": 2, "resolved": 1} and world.database.count("operator_item") == 0


@pytest.mark.parametrize("words, says", [
    (["discard"], "which ones? Give a filter, or --all"),
    (["discard", "--all", "--cause", "not_json"], "--all and a filter exclude each other"),
    (["discard", "--all", "--execute", "--reason", "x"], "--all --execute needs --expect"),
    (["discard", "--cause", "not_json", "--execute"], "--execute needs a --reason"),
    (["discard", "--cause", "not_json", "--expect", "many"], "--expect many: accepted is the number"),
    (["discard", "--cause", "nothing", "--execute", "--reason", "x"], "no letter matches: nothing was done"),
    (["discard", "--cause", "not_json", "--execute", "--reason", ""], "--reason is missing or empty"),
])
def test_an_act_without_a_filter_or_a_reason_is_refused(world, words, says):
    assert says in dlq(world, *words, code=1).stderr
    assert world.database.count("operator_action") == 0


# ---- redrive -------------------------------------------------------------------------------------------

@pytest.fixture
def poisoned(world):
    """ticket 3, and a letter of a command that ended the worker; the worker lives, and would apply it now."""
    world.publish(create_ticket(3))
    world.poison = escalate(3, id="poison")
    worker = world.worker(ready=False, consumers_session_timeout="6s", FAULT_COMMAND="poison")
    world.letter = poison_letter(world, world.poison, worker)
    worker.end()
    worker.environment.pop("FAULT_COMMAND")
    worker.start().wait_ready()
    world.drain()
    return world


def answered(world, *words, code=0):
    """Redrives as an operator does: looks, then types what the dry run printed."""
    done = world.verb(*to_do(dlq(world, "redrive", *words).stdout), timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.seconds(150)
def test_a_redriven_command_is_applied_once_and_its_letter_is_resolved(poisoned):
    world = poisoned
    world.ask(append(3, "meanwhile"))
    dry = dlq(world, "redrive", "--cause", "crashed_worker")
    assert f"  {world.letter}  ticket/3  would be applied, version 2->3; 1 of ticket/3 applied since it failed " \
        "(versions 2-2)" in dry.stdout
    assert "1 letter: 1 would be put back, 0 left out" in dry.stdout and states(world) == {"open": 1}
    assert world.database.count("operator_action") == 0 and world.events_of(world.poison) == []
    done = act(world, dry)
    assert re.fullmatch(r"action 1 by \S+: 1 applied\n1 of 1 answered\n", done.stdout)
    event, = world.await_events([world.poison])
    assert event.outcome == "applied" and states(world) == {"resolved": 1}
    assert world.database.rows("SELECT subject, outcome FROM interlock.operator_item ORDER BY at") == \
        [(world.letter, "put back"), (world.letter, "applied")]
    world.drain()
    assert world.database.count("parked_command") == 0
    # A second time there is nothing to do, and it is said why.
    again = dlq(world, "redrive", world.letter, "--execute", "--reason", "again", code=1)
    assert "nothing to put back" in again.stderr and "resolved by action 1" in again.stderr
    assert "next: nothing to do" in dlq(world, "show", world.letter).stdout
    world.check()


@pytest.mark.seconds(150)
def test_a_letter_that_still_ends_the_program_is_found_in_a_child_and_left_out(poisoned):
    world = poisoned
    dry = dlq(world, "redrive", "--all", FAULT_COMMAND="poison")
    assert "still ends the program (signal 9 in decide): left out" in dry.stdout
    assert "1 letter: 0 would be put back, 1 left out" in dry.stdout
    refused = dlq(world, "redrive", world.letter, "--execute", "--reason", "x", code=1, FAULT_COMMAND="poison")
    assert "still ends the program" in refused.stderr and states(world) == {"open": 1}


@pytest.mark.seconds(200)
def test_a_command_that_is_dead_again_costs_one_death_and_has_a_hop_limit(poisoned):
    world = poisoned
    worker, = world.workers
    for hop in range(1, 4):
        worker.end()
        worker.environment["FAULT_COMMAND"] = "poison"
        worker.start().wait_ready()
        letter = dlq_json(world, "list")["letters"][0]["letter"]
        words = ("--no-child", "--execute", "--reason", "try", "--wait", "0s")
        assert "not answered yet" in dlq(world, "redrive", letter, *words, code=2).stdout
        assert crash_until("it is a letter again", worker, lambda hop=hop: world.database.value(
            "SELECT max(redrives) FROM interlock.dead_letter") == hop) == 1
    found = dlq_json(world, "list", "--state", "all")
    assert sorted((each["state"], each["redrives"]) for each in found["letters"]) == \
        [("open", 3), ("replaced", 0), ("replaced", 1), ("replaced", 2)]
    newest = next(each for each in found["letters"] if each["state"] == "open")
    assert (newest["key"], newest["id"], newest["says"]) == \
        ("ticket/3", "poison", "the worker ended again while it tried this command")
    until("each letter is published", lambda: len(world.letters.all()) == 4)  # its row comes before it
    counts = [dict(letter.headers)["interlock.redrive-count"] for letter in world.letters.all()]
    assert counts == [b"0", b"1", b"2", b"3"]
    refused = dlq(world, "redrive", newest["letter"], "--execute", "--reason", "try", code=1)
    assert "redriven 3 times already: dlq.max_redrives = 3; --max-redrives N allows more" in refused.stderr
    worker.end()
    worker.environment.pop("FAULT_COMMAND")
    worker.start().wait_ready()
    assert "1 of 1 answered" in answered(world, newest["letter"], "--max-redrives", "4").stdout
    world.drain()
    assert world.database.value("SELECT level FROM interlock.ticket WHERE id = 3") == 1
    assert dlq(world, "show", letter).stdout.count("dead again") == 1


@pytest.mark.seconds(120)
def test_letters_that_cannot_be_read_are_left_out_and_an_edited_copy_takes_their_place(world, letters):
    assert "still unreadable: not_json: left out" in dlq(world, "redrive", letters["not_json"]).stdout
    world.ask(create_ticket(1))
    copy = world.log_directory / f"{world.name}.copy"
    edited = escalate(1, id="edited")
    copy.write_bytes(edited.value)
    done = answered(world, letters["not_json"], "--with", str(copy))
    assert "1 applied" in done.stdout
    event, = world.await_events([edited])
    assert event.outcome == "applied"
    assert states(world) == {"open": 2, "replaced": 1}
    # The id is the copy's own.
    words = (letters["not_an_object"], "--with", str(copy), "--execute", "--reason", "x")
    assert "the copy has the id of a command that is known" in dlq(world, "redrive", *words, code=1).stderr
    copy.write_bytes(b"{")
    assert "the copy cannot be read" in dlq(world, "redrive", *words, code=1).stderr


@pytest.mark.seconds(150)
def test_a_redrive_that_waits_for_answers_says_how_many_there_are(poisoned):
    world = poisoned
    for worker in world.workers:
        worker.end()
    with on_terminal(world.binary, world.environment(), "dlq", "redrive", world.letter, "--execute", "--reason", "mine",
                     "--wait", "100s") as shown:
        until("the terminal has a line", lambda: "\rinterlock dlq redrive: answered: 0 of 1 (" in shown.seen, 20)
        world.worker()
        code, output, seen = shown.end(100)
    assert code == 0 and "1 of 1 answered" in output and "\r" not in output
    assert seen.rpartition("\n")[2].startswith("\rinterlock dlq redrive: ") and seen.endswith(" \r")


@pytest.mark.seconds(150)
def test_of_two_operators_the_second_is_refused(poisoned):
    world = poisoned
    for worker in world.workers:
        worker.end()
    dry = dlq(world, "redrive", "--all")
    words = (world.letter, "--execute", "--reason", "mine")
    held = dlq(world, "redrive", *words, "--as", "anna", "--wait", "0s", code=2)
    assert "by anna: no answer yet" in held.stdout and states(world) == {"redriving": 1}
    assert "1 expected" in act(world, dry, code=1).stderr
    assert "redriving by action 1" in dlq(world, "redrive", *words, code=1).stderr
    world.worker()
    world.await_events([world.poison])
    world.drain()
    world.check()


@pytest.mark.seconds(200)
def test_a_second_command_of_the_aggregate_is_decided_after_the_first(poisoned):
    world = poisoned
    worker, = world.workers
    worker.end()
    worker.environment["FAULT_COMMAND"] = "poison 2"
    worker.start()
    second = escalate(3, id="poison 2")
    poison_letter(world, second, worker)
    worker.end()
    worker.environment.pop("FAULT_COMMAND")
    worker.start().wait_ready()
    dry = dlq(world, "redrive", "--key", "ticket/3", "--canary", "1", "--rate", "10/s")
    assert "version 1->2" in dry.stdout and "version 2->3" in dry.stdout
    done = act(world, dry)
    assert done.stdout.count("1 applied") == 2 and "2 of 2 answered" in done.stdout
    first, last = world.await_events([world.poison, second])
    assert first.data["version"]["to"] == last.data["version"]["from"]
    world.drain()
    world.check()


@pytest.mark.seconds(150)
def test_the_role_of_operators_redrives_and_the_role_of_readers_may_only_look(poisoned):
    world = poisoned
    apply_roles(world.database.url)
    for role in ("interlock_reader", "interlock_operator"):
        dry = dlq(world, "redrive", world.letter, DATABASE_URL=url_as(world, role))
        assert f"{world.letter}  ticket/3  would be applied, version 1->2" in dry.stdout
    refused = world.verb(*to_do(dry.stdout), DATABASE_URL=url_as(world, "interlock_reader"))
    assert refused.returncode == 1 and "interlock_operator may do this" in refused.stderr
    assert states(world) == {"open": 1}
    done = world.verb(*to_do(dry.stdout), DATABASE_URL=url_as(world, "interlock_operator"))
    assert done.returncode == 0 and "1 of 1 answered" in done.stdout, done.stderr
    assert world.database.value("SELECT db_user FROM interlock.operator_action") == "interlock_operator"


@pytest.mark.seconds(300)
def test_of_two_operators_at_the_same_moment_one_is_refused(poisoned):
    """Both have looked, and both wait for the letter's row, which a third session holds."""
    world = poisoned
    environment = world.environment()
    words = [world.binary, *to_do(dlq(world, "redrive", world.letter).stdout)]
    with world.database.holding("SELECT 1 FROM interlock.dead_letter FOR UPDATE"):
        both = [subprocess.Popen([*words, "--as", name], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True) for name in ("anna", "bert")]
        until("both wait for the row", lambda: world.database.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 2, 90)
    told = [process.communicate(timeout=120) for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], told
    first = [process.returncode for process in both].index(0)
    assert "1 of 1 answered" in told[first][0]
    assert re.search(r"(redriving|resolved) by action 1|1 expected, 0 found|another number", told[1 - first][1]), told
    world.await_events([world.poison])
    world.drain()
    assert world.database.count("operator_action") == 1
    world.check()


@pytest.mark.seconds(240)
def test_a_redrive_stops_at_the_first_that_is_dead_again_unless_it_is_to_keep_going(world):
    world.publish(create_ticket(3).at(0), create_ticket(4).at(0))
    worker = world.worker(ready=False, consumers_session_timeout="6s", FAULT_COMMAND="poison")
    poison_letter(world, escalate(3, id="poison").at(0), worker)
    worker.end()
    worker.environment["FAULT_COMMAND"] = "poison 2"
    worker.start().wait_ready()
    other = escalate(4, id="poison 2").at(0)
    poison_letter(world, other, worker)
    worker.end()
    worker.environment["FAULT_COMMAND"] = "poison"
    worker.start().wait_ready()

    def redrive(*words):
        words = [world.binary, "dlq", "redrive", "--all", "--no-child", "--canary", "1", *words, "--expect", "2", "--execute",
                 "--reason", "both", "--wait", "90s"]
        with subprocess.Popen(words, env=world.environment(), stdout=subprocess.PIPE, text=True) as process:
            assert crash_until("the verb has ended", worker, lambda: process.poll() is not None) >= 1
            return process.returncode, process.stdout.read()
    code, text = redrive()
    assert code == 3 and "0 of 2 answered, 1 dead again, 1 not put back" in text, text
    assert world.events_of(other) == []
    code, text = redrive("--keep-going")
    assert code == 3 and "1 of 2 answered, 1 dead again" in text, text
    world.await_events([other])
    assert states(world) == {"replaced": 2, "open": 1, "resolved": 1}
