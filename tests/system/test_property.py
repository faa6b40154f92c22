"""Random sequences of commands over every aggregate, the real path against the model of tests/property.

TESTS_PROPERTY_SEED and TESTS_PROPERTY_SEQUENCES choose others: `tests/run property --sequences N --seed S`.
PROTOCOL B3, in whatever batches."""

import os
import time
from collections import defaultdict

import pytest

from harness.worker import json_lines
from property.broken import RULES
from property.model import rules
from property.runner import Runner
from property.sequences import sequences

SEED = os.environ.get("TESTS_PROPERTY_SEED") or "1"
COUNT = int(os.environ.get("TESTS_PROPERTY_SEQUENCES") or 300)
AT_ONCE = 500
SHOWN = 3
INVARIANTS_AT_MOST = 1000  # sequences: the checker reads everything into memory


@pytest.fixture
def runner(world, request):
    for tail in world.tails:  # the runner reads for itself; what these keep would be everything
        tail.close()
    world.tails = []
    world.worker(**getattr(request, "param", {}))
    made = Runner(world)
    yield made
    made.close()


@pytest.mark.seconds(60 + COUNT // 2)
@pytest.mark.parametrize("runner, count", [({}, COUNT), ({"worker_batch_max": "1"}, min(COUNT, 100))],
                         ids=["batches", "one_command_a_batch"], indirect=["runner"])
def test_random_sequences_end_as_the_model_says(runner, count):
    failures, outcomes, commands, begun = [], defaultdict(set), 0, time.monotonic()
    for first in range(0, count, AT_ONCE):
        runs = runner.collect(sequences(SEED, first, min(AT_ONCE, count - first)))
        for run in runs:
            commands += len(run.messages)
            for event in sum(run.events.values(), []):
                outcomes[event.data["command"]["type"]].add(event.outcome)
        failures += runner.check(runs, shrink_at_most=max(SHOWN - len(failures), 0))
    print(f"seed {SEED}: {count} sequences, {commands} commands, {time.monotonic() - begun:.1f} s")
    assert not failures, f"{len(failures)} of {count} sequences differ\n\n" + "\n\n".join(
        each.text() for each in failures[:SHOWN])
    if count >= 300:
        thin = [type_ for type_ in rules.COMMANDS if not {"applied", "rejected"} <= outcomes[type_]]
        assert not thin, f"never both applied and rejected: {thin}"
    if count <= INVARIANTS_AT_MOST:
        # The invariants that hold for any commands. I2 replays by a model of its own, which does not know all of them.
        assert [str(each) for each in runner.world.violations(ordered=False) if each.invariant != "I2"] == []


@pytest.mark.seconds(120)
def test_a_rule_that_is_broken_in_the_model_is_noticed(runner, monkeypatch):
    runs = runner.collect(sequences("broken", 0, 500))
    assert [why for _, why in runner.judge(runs) if why] == []
    missed = []
    for name, (holder, attribute, broken) in RULES.items():
        with monkeypatch.context() as patch:
            patch.setattr(holder, attribute, broken)
            judged = (why for first in range(0, len(runs), 50) for _, why in runner.judge(runs[first:first + 50]))
            if not any(judged):
                missed.append(name)
    assert missed == []


def test_a_failure_is_shrunk_to_the_commands_that_it_takes(runner, monkeypatch):
    holder, attribute, broken = RULES["NEW -> CLOSED is allowed"]
    runs = runner.collect(sequences("shrink", 0, 300))
    monkeypatch.setattr(holder, attribute, broken)
    failures = runner.check(runs, shrink_at_most=1)
    shrunk = failures[0].shrunk
    assert 1 <= len(shrunk.commands) <= 3 and "invalid_transition" in failures[0].shrunk_why
    assert "seed shrink, sequence" in failures[0].text()


def test_a_sequence_depends_on_its_seed_and_number_alone():
    assert sequences(7, 3, 2) == [sequences(7, number, 1)[0] for number in (3, 4)]


def test_the_model_knows_every_command_that_the_program_has(world):
    told = world.verb("describe", "types", "--output", "json")
    assert {each["type"] for each in json_lines(told.stdout)} == set(rules.COMMANDS)
