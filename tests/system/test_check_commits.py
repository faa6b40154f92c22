"""The checker's judgement of a group's commits, and of offsets that went back: no stack is asked."""

import pytest

from check import commits
from check.commits import Commit
from check.invariants import Options, check
from check.story import TOPIC, Story
from harness.commands import create_ticket, escalate


@pytest.fixture
def story():
    """Ticket 7, created and escalated twice."""
    made = Story()
    made.tell(create_ticket(7), escalate(7), escalate(7))
    return made


def broken(story, invariant, words, options=None):
    found = [str(each) for each in check(story.evidence, options)]
    assert any(each.startswith(invariant) and words in each for each in found), found


def committed(story, *offsets, producers=(7,)):
    """The commits of partition 0, each by a producer in its turn."""
    story.evidence.commits = [Commit(TOPIC, 0, offset, producers[place % len(producers)], place, 1000 * place)
                              for place, offset in enumerate(offsets)]
    story.evidence.owners[0]["published"] = 0


def test_a_commit_below_a_later_one_is_found(story):
    committed(story, 3, 5, 4, 7, producers=(7, 8))
    broken(story, "I5", "offset 4 was committed by producer 7 after 5")


def test_a_rewind_does_not_explain_what_a_worker_committed(story):
    committed(story, 3, 5, 4, 7, producers=(7, 8))
    story.evidence.rewinds.append({"topic": TOPIC, "partition": 0, "fence": 1, "below": 5})
    broken(story, "I5", "offset 4 was committed by producer 7 after 5")


def test_a_group_that_was_moved_past_the_end_begins_again_below(story):
    committed(story, 3, 5, 7)
    story.evidence.commits[2:2] = [Commit(TOPIC, 0, 500)]
    broken(story, "I5", "offset 7 was committed by producer 7 after 500")
    story.evidence.rewinds.append({"topic": TOPIC, "partition": 0, "fence": 1, "below": 500})
    assert check(story.evidence) == []


def test_offsets_that_an_operator_moved_are_no_zombie_s(story):
    committed(story, 3, 5, 7)
    story.evidence.commits[1:1] = [Commit(TOPIC, 0, 0), Commit(TOPIC, 0, 2)]
    assert check(story.evidence) == []


def test_offsets_that_were_forgotten_begin_again(story):
    committed(story, 3, 5, None, 2, 7)
    assert check(story.evidence) == []


def test_among_plain_commits_a_rewind_explains_one_that_goes_back_and_no_second_one(story):
    committed(story, 3, 5, 1, 7, producers=(commits.PLAIN,))
    broken(story, "I5", "offset 1 was committed plainly after 5")
    story.evidence.rewinds.append({"topic": TOPIC, "partition": 0, "fence": 1, "below": 5})
    assert check(story.evidence) == []
    committed(story, 3, 5, 1, 7, 4, 7, producers=(commits.PLAIN,))
    broken(story, "I5", "offset 4 was committed plainly after 7")


MARK = "e1c4a8d2-0000-4000-8000-000000000001"


def taken_over(story, *owners, rewinds=()):
    """owners: (what follows the schema in its mark, its offsets), in the order in which they committed."""
    story.evidence.commits = [Commit(TOPIC, 0, offset, 7, place, 1000 * place, f"{MARK}:{fence}")
                              for place, (fence, offset) in enumerate(
                                  (fence, offset) for fence, offsets in owners for offset in offsets)]
    story.evidence.rewinds = [{"topic": TOPIC, "partition": 0, "fence": fence, "below": below}
                              for fence, below in rewinds]
    story.evidence.owners[0].update(published=0, fence=9)


def test_a_commit_that_a_crashed_broker_forgot_is_told_by_the_note_of_the_next_owner(story):
    crashed = Options(broker_crashed=True)
    taken_over(story, ("1", (3, 9)), ("2", (5, 10)), rewinds=[(2, 9)])
    assert check(story.evidence, crashed) == []
    broken(story, "I5", "offset 5 was committed by producer 7 after 9")
    story.evidence.rewinds = []
    broken(story, "I5", "offset 5 was committed by producer 7 after 9", crashed)


@pytest.mark.parametrize("owners, rewinds", {
    "a zombie, and the note of who came after it": ([("1", (3,)), ("2", (9,)), ("1", (5,)), ("3", (6,))], [(3, 9)]),
    "an owner of another note": ([("1", (3, 9)), ("3", (5, 10))], [(1, 9)]),
    "a later note": ([("1", (3, 9)), ("2", (5, 10))], [(3, 9)]),
    "twice under one fence": ([("1", (3, 9)), ("2", (5, 10, 6))], [(2, 9)]),
    "above what was noted": ([("1", (3, 9)), ("2", (5, 10))], [(2, 5)]),
}.values())
def test_no_other_commit_that_goes_back_is_told_by_a_note(story, owners, rewinds):
    taken_over(story, *owners, rewinds=rewinds)
    found = check(story.evidence, Options(broker_crashed=True))
    assert [each.invariant for each in found] == ["I5"] and "was committed by producer 7 after" in found[0].text


def test_a_commit_without_an_owner_s_mark_is_told_by_no_note(story):
    taken_over(story, ("1", (3, 9)), ("2", (5, 10)), rewinds=[(2, 9)])
    story.evidence.commits[2].mark = ""
    broken(story, "I5", "offset 5 was committed by producer 7 after 9", Options(broker_crashed=True))


@pytest.mark.parametrize("owners, rewinds, explained", {
    "it publishes arrears first": ([("1", (3, 9)), ("2:arrears", (5, 5)), ("2", (6,))], [(2, 9)], True),
    "it died between two takeovers": ([("1", (3, 9)), ("4", (5, 10))], [(2, 9)], True),
    "it died in its arrears": ([("1", (3, 9)), ("2:arrears", (5,)), ("3", (6,))], [(3, 9)], True),
    "nobody wrote it down": ([("1", (3, 9)), ("2:arrears", (5,)), ("3", (6,))], [], False),
    "the one after the next did": ([("1", (3, 9)), ("2:arrears", (5,)), ("3", (6,)), ("4", (7,))], [(4, 9)], False),
}.values())
def test_an_owner_that_dies_leaves_the_note_to_the_next_one(story, owners, rewinds, explained):
    taken_over(story, *owners, rewinds=rewinds)
    assert (check(story.evidence, Options(broker_crashed=True)) == []) == explained


def read_again(story, *, copy=True, rewind=(2, 9), fences=(1, 2)):
    """The second escalation was applied before the first, which came back once more."""
    first, second = story.evidence.audit[1:3]
    for row, inbox in zip((first, second), story.evidence.inbox[1:3]):
        row["fence"] = inbox["fence"] = fences[row is second]
    first["offset"], second["offset"] = second["offset"], first["offset"]
    story.evidence.owners[0]["fence"] = 9
    if copy:
        story.evidence.records[1].headers.append(("interlock.return", b"token"))
    story.evidence.rewinds = [{"topic": TOPIC, "partition": 0, "fence": rewind[0], "below": rewind[1]}]
    return [each.text for each in check(story.evidence) if each.invariant == "I4"]


def test_a_copy_of_a_parked_command_that_is_read_again_may_be_applied_after_later_offsets(story):
    assert read_again(story) == []


@pytest.mark.parametrize("how", [{"copy": False}, {"rewind": (2, 1)}, {"rewind": (3, 9)}, {"fences": (2, 2)}],
                         ids=["no copy", "below it", "after it", "of one owner"])
def test_no_other_event_may_come_after_one_of_a_later_offset(story, how):
    assert read_again(story, **how) == ["ticket/7: the event of offset 1 comes after that of 2"]
