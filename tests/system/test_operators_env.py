"""operators.env: a dry run says where it is, and an execution by a person asks for the word. A script is never asked."""

import pytest

from harness.pauses import pauses
from harness.terminal import on_terminal
from harness.waiting import until

ENV = "production"
SAYS = "env = production: a dry run, nothing is changed"
PAUSE = ("pause", "--type", "ticket.escalate", "--until-resumed")
EXECUTE = (*PAUSE, "--execute", "--reason", "a test")
DRY_RUNS = [PAUSE, ("resume", "1"), ("parked", "release", "--all"), ("dlq", "redrive", "--all"),
            ("dlq", "discard", "--all"), ("replay", "--all"), ("action", "stop", "1"), ("migrate", "down"),
            ("prune", "--older-than", "720h"), ("audit", "verify", "--repair"), ("sweep", "tickets")]


def answering(world, answer):
    """(exit code, what the terminal got) of an execution whose question was answered."""
    with on_terminal(world.binary, world.environment(operators_env=ENV), *EXECUTE) as shown:
        until("the word is asked for", lambda: "type production to go on: " in shown.seen, 20)
        assert pauses(world) == []
        shown.type(answer)
        code, _, seen = shown.end()
    return code, seen


@pytest.mark.seconds(60)
def test_each_dry_run_begins_with_the_word(world):
    for verb in DRY_RUNS:
        said = world.verb(*verb, operators_env=ENV).stderr.splitlines()
        assert said and said[0].startswith("interlock ") and said[0].endswith(f": {SAYS}"), (verb, said)
    assert SAYS not in world.verb(*PAUSE).stderr
    assert SAYS not in world.verb("dlq", "list", operators_env=ENV).stderr


@pytest.mark.seconds(30)
def test_the_word_is_red_on_a_terminal_unless_no_color_is_set(world):
    for settings, red in ({}, True), ({"NO_COLOR": "1"}, False):
        with on_terminal(world.binary, world.environment(operators_env=ENV, **settings), *PAUSE) as shown:
            code, output, seen = shown.end()
        assert code == 0 and SAYS in seen and ("\x1b[1;31m" in seen) == red
        assert "\x1b" not in output


@pytest.mark.seconds(60)
@pytest.mark.parametrize("answer", ["staging\n", "\n", "production 2\n", "Production\n", "\x04"])
def test_another_answer_refuses_and_nothing_is_done(world, answer):
    code, seen = answering(world, answer)
    assert code == 1 and "the answer was not production: nothing was done" in seen
    assert pauses(world) == [] and world.database.value("SELECT count(*) FROM interlock.operator_action "
                                                        "WHERE verb = 'pause'") == 0


@pytest.mark.seconds(30)
def test_the_right_word_is_enough(world):
    assert answering(world, "production\n")[0] == 0
    assert len(pauses(world)) == 1


@pytest.mark.seconds(30)
def test_a_script_is_never_asked(world):
    done = world.verb(*EXECUTE, operators_env=ENV, stdin="")
    assert done.returncode == 0 and ENV not in done.stderr
    assert len(pauses(world)) == 1
