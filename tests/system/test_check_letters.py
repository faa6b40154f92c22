"""Dead letters, as the checker sees them: each position on both sides once, and to the byte what was sent."""

import copy
import hashlib

import pytest

from check.envelope import read_command
from check.invariants import check
from check.story import TOPIC, Story
from harness.commands import Message, create_ticket, escalate


@pytest.fixture
def story():
    """A ticket, escalated, and one message that is no command."""
    made = Story()
    made.tell(create_ticket(7), escalate(7))
    made.bury(made.send(Message(b"{", "x")))
    made.finish()
    assert check(made.evidence) == []
    return made


def broken(story, words):
    found = [str(each) for each in check(story.evidence)]
    assert any(each.startswith("I1") and words in each for each in found), found


def test_a_lost_dead_letter_row_is_found_and_a_second_one(story):
    rows = story.evidence.dead
    rows.append({**rows[0]})
    broken(story, f"an unreadable message has 2 dead letter rows [{TOPIC}/0 offset 2]")
    rows.clear()
    broken(story, f"an unreadable message has 0 dead letter rows [{TOPIC}/0 offset 2]")


def test_a_lost_dead_letter_is_not_made_good_by_one_of_another_message(story):
    """The numbers are right on both sides."""
    story.send(Message(b"[", "y"))
    story.finish()
    story.bury(story.evidence.records[1])
    broken(story, f"an unreadable message has no dead letter [{TOPIC}/0 offset 3]")
    broken(story, f"an unreadable message has 0 dead letter rows [{TOPIC}/0 offset 3]")
    broken(story, f"a dead letter of no unreadable message [{TOPIC}/0 offset 1]")
    broken(story, f"a dead letter row of no unreadable message [{TOPIC}/0 offset 1]")


@pytest.fixture
def letter(story):
    """Of a message with headers of its own, and one of ours from an earlier time."""
    story.bury(story.send(Message(b"{" * 100, "k" * 50, [("a", b"1"), ("interlock.attempts", b"9"), ("b", None)])))
    made = story.evidence.dead_letters[-1]
    made.headers.remove(("interlock.attempts", b"9"))
    story.finish()
    assert check(story.evidence) == []
    return made


@pytest.mark.parametrize("change, words", [
    ({"value": b"{" * 99}, "value is not the message's: 99 bytes and 100 bytes, the same up to byte 99"),
    ({"value": None}, "value is not the message's: none and 100 bytes"),
    ({"value": b"{" * 9 + b"}" + b"{" * 90}, "100 bytes and 100 bytes, the same up to byte 9"),
    ({"key": None}, "key is not the message's"), ({"key": b"k" * 49}, "key is not the message's"),
    ({"a": b"2"}, "headers are not the message's: ('a', b'2'), sent ('a', b'1')"),
    ({"b": b""}, "headers are not the message's"), ({"c": b""}, "headers are not the message's: 3, sent 2"),
], ids=range(8))
def test_a_dead_letter_that_is_not_what_was_sent_is_found(story, letter, change, words):
    alter(letter, **change)
    broken(story, words)
    assert [each.position for each in check(story.evidence)] == [(TOPIC, 0, 3)]


def alter(letter, **changes):
    for name, value in changes.items():
        if name in ("value", "key"):
            setattr(letter, name, value)
        else:
            letter.headers = [pair for pair in letter.headers if pair[0] != name]
            letter.headers.insert("abc".find(name), (name, value))


def test_of_a_dead_letter_that_was_cut_the_beginnings_are_compared(story, letter):
    told = [("interlock.truncated", b"true"), ("interlock.length", b"100"),
            ("interlock.sha256", hashlib.sha256(b"{" * 100).hexdigest().encode())]
    alter(letter, value=b"{" * 30, key=b"k" * 10)
    letter.headers = [pair for pair in letter.headers if pair[0] != "a"] + told
    assert check(story.evidence) == []
    for change, words in (({"value": b"}"}, "value is not"), ({"key": b"x"}, "key is not"),
                          ({"b": b"x"}, "headers are not"), ({"interlock.length": b"30"}, "length and sha256 are not")):
        before = copy.deepcopy(letter.__dict__)
        alter(letter, **change)
        broken(story, words)
        letter.__dict__.update(before)


def test_a_command_that_ended_the_worker_is_a_letter_also_when_it_had_been_parked(story):
    story.bury(story.send(escalate(7)), "crashed_worker")
    parked = story.send(escalate(7))
    story.evidence.inbox.append({"topic": TOPIC, "partition": 0, "offset": parked.offset, "fence": 1, "parked": False,
                                 "identity": read_command(parked).identity_uuid})
    returned = story.send(Message(parked.value, "ticket/7", [("interlock.return", b"its token")]))
    story.finish()
    broken(story, "has 0 events")
    story.bury(returned, "crashed_worker")
    assert check(story.evidence) == []


def test_a_letter_whose_state_and_event_say_different_things_is_found(story):
    """It ended the worker, and came back under another offset."""
    message = escalate(7)
    story.bury(story.send(message), "crashed_worker")
    row = story.evidence.dead[-1]
    row["of_source"], row["of_id"] = message.identity
    story.finish()
    assert check(story.evidence) == []
    row["state"] = "resolved"
    broken(story, "is resolved, and no event answers it")
    story.answer(story.send(Message(message.value, "ticket/7", [("interlock.return", b"its token")])))
    assert check(story.evidence) == []
    row["state"] = "open"
    broken(story, "is open, and an event answers it")


def test_a_letter_waits_though_another_copy_of_its_command_was_answered(story):
    """Its publisher sent it twice: the other copy is a message of its own."""
    message = escalate(7)
    story.bury(story.send(message), "crashed_worker")
    row = story.evidence.dead[-1]
    row["of_source"], row["of_id"] = message.identity
    story.answer(story.send(message))
    assert check(story.evidence) == []
