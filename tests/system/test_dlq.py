"""Dead letters: the rows that the worker writes, and the verbs that list, show, discard, restore and redrive them."""

import pytest

from harness.commands import Message, append, create_ticket, escalate
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
    return world.database.value("""SELECT o.topic || '/' || o.partition || '/' || d.kafka_offset FROM interlock.dead_letter d
        JOIN interlock.partition_owner o ON o.id = d.partition_id WHERE d.state = 'open' ORDER BY first_failed_at DESC LIMIT 1""")


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
    world.publish(Message(b"{", "ticket/1"),
                  Message(b'{"specversion":"1.0","source":"/s","type":"ticket.escalate","data":{}}', b"\xff\x00".decode("latin1")),
                  Message(None, None))
    until("three letters", lambda: world.database.count("dead_letter") == 3)
    rows = {row[1]: row for row in world.database.rows(LETTER)}
    assert rows["not_json"][2:6] == ("ticket/1", None, None, None) and rows["not_json"][7] == 1
    assert rows["missing_id"][2:7] == (None, "/s", None, "ticket.escalate", "id is not there, or is not a text, or is empty")
    assert rows["tombstone"][2:6] == (None, None, None, None) and rows["tombstone"][7] == 0
    assert all(row[0] == "open" and row[9] == 0 and not row[10] for row in rows.values())
