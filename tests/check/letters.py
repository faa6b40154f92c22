"""The dead letters: one of each unreadable message and one row, told apart by the position that each names, and what
was sent to the byte. (One that is on the topic twice is I2's to tell: delivered at least once it may be.)"""

import hashlib
from collections import Counter, defaultdict
from os.path import commonprefix

from .envelope import read_all
from .violation import Violation, about_row

# The headers of a letter besides the message's own; those of a redriven message with these names are replaced.
OWN = {f"__dlq.errors.{name}" for name in ("topic", "partition", "offset", "group", "message")} | \
      {f"interlock.{name}" for name in ("reason", "first-failed-at", "attempts", "redrive-count", "truncated", "length",
                                        "sha256")}


def position(letter):
    """Of the message that it is the letter of."""
    topic, partition, offset = ((letter.header(f"__dlq.errors.{name}") or b"").decode()
                                for name in ("topic", "partition", "offset"))
    return (topic, int(partition or -1), int(offset or -1))


def every_letter(evidence, unreadable):
    messages = {record.position: record for record in unreadable}
    letters, rows = defaultdict(list), defaultdict(list)
    for letter in evidence.dead_letters:
        letters[position(letter)].append(letter)
    for row in evidence.dead:
        rows[(row["topic"], row["partition"], row["offset"])].append(row)
    for place, message in messages.items():
        if place not in letters:
            yield about_message("an unreadable message has no dead letter", message)
        if len(rows[place]) != 1:
            yield about_message(f"an unreadable message has {len(rows[place])} dead letter rows", message)
        for text in dict.fromkeys(text for letter in letters.get(place, []) for text in differences(letter, message)):
            yield about_message(f"the dead letter's {text}", message)
    for place, among in letters.items():
        if place not in messages:
            yield Violation("I1", "a dead letter of no unreadable message", position=place, at=among[0].at)
    for place, among in rows.items():
        if among and place not in messages:
            yield about_row("I1", "a dead letter row of no unreadable message", among[0])


def fates(evidence):
    """A letter that came back is resolved by the event of its command, and by nothing else. One that waits has none, but
    where its publisher sent the command twice: the other copy is a message of its own, and may be answered."""
    answered = {event.identity for event in evidence.events}
    copies = Counter(each.identity for each in read_all(evidence.records)[0]
                     if each.record.header("interlock.return") is None)
    for row in evidence.dead:
        command = (row["of_source"], row["of_id"])
        if row["reason"] != "crashed_worker" or None in command:
            continue
        if row["state"] == "resolved" and command not in answered:
            yield about_row("I1", f"the letter of command {command} is resolved, and no event answers it", row)
        waits = row["state"] in ("open", "redriving", "discarded")
        if waits and command in answered and copies[command] < 2:
            yield about_row("I1", f"the letter of command {command} is {row['state']}, and an event answers it", row)


def about_message(text, message):
    return Violation("I1", text, position=message.position, at=message.at)


def differences(letter, message):
    """One that was cut has the beginnings of value and key, some of the headers, and says what the value was."""
    is_cut = letter.header("interlock.truncated") is not None
    for name in ("value", "key"):
        found, sent = getattr(letter, name), getattr(message, name)
        if found != sent and not (is_cut and begins(sent, found)):
            same = len(commonprefix([found or b"", sent or b""]))
            yield f"{name} is not the message's: {size_of(found)} and {size_of(sent)}, the same up to byte {same}"
    found, sent = originals(letter), originals(message)
    if found != sent and not (is_cut and is_part(found, sent)):
        wrong = next((pair for pair in zip(found, sent) if pair[0] != pair[1]), (len(found), len(sent)))
        yield f"headers are not the message's: {wrong[0]}, sent {wrong[1]}"
    if is_cut:
        value = message.value or b""
        said = (letter.header("interlock.length"), letter.header("interlock.sha256"))
        if said != (b"%d" % len(value), hashlib.sha256(value).hexdigest().encode()):
            yield f"length and sha256 are not the message's value's: {said}"


def begins(sent, found):
    return sent is not None and found is not None and sent.startswith(found)


def size_of(text):
    return "none" if text is None else f"{len(text)} bytes"


def originals(record):
    return [(name, value) for name, value in record.headers if name not in OWN]


def is_part(found, sent):
    """In the order of what was sent."""
    left = iter(sent)
    return all(each in left for each in found)
