"""The races in their three forms: through Interlock, the old way, and with layers switched off."""

import math
import os

import pytest

from check.model import EFFECTS
from scenarios import RACES, SCENARIOS
from scenarios.attacks import ATTACKS
from stage import layers_off
from table import COLUMNS, rows_of_page

FULL = os.environ.get("RACES_FULL") == "1"  # tests/run races --all
COMMANDS_AT_ONCE = 60   # where layers are off, so many copies of a small scenario that a loss is seen
OLD_ROUNDS = 20
ROUNDS = 5              # of what has to lose, until it does
LOOKS = 2               # at what may lose or not

by_name = {"argvalues": SCENARIOS, "ids": [each.name for each in SCENARIOS]}
representatives = [each for each in SCENARIOS if each.representative]


# ---- (a) through Interlock -----------------------------------------------------------------------------------

WAYS = {
    "as it is": {"locks_job_workflow_wait": "1s", "locks_status_change_wait": "1s", "locks_attendance_wait": "1s"},
    "no redis": {"redis_enabled": "false"},
    "two cells": {"consumers_count": "2"},
}


CASES = [(way, scenario) for way in WAYS for scenario in (SCENARIOS if way == "as it is" else ATTACKS)]


@pytest.fixture(scope="module")
def way(request, guarded):
    guarded.start(**WAYS[request.param])
    return request.param


@pytest.mark.seconds(90)
@pytest.mark.parametrize("way, scenario", CASES, indirect=["way"], ids=[f"{each.name}, {way}" for way, each in CASES])
def test_nothing_is_lost_doubled_or_mixed(guarded, way, scenario, table):
    result = guarded.run(scenario, guarded.set_up(scenario, 1), for_good=True)
    if way == "as it is":
        table.note(scenario, "with", result)
    assert result.whole, result


def beyond_the_model(events):
    """Aggregates that were changed by commands that the checker cannot replay."""
    return {name for event in events if event.data["command"]["type"] not in EFFECTS for name, _, _ in event.changes()}


@pytest.mark.seconds(120)
def test_the_outside_checker_finds_nothing(guarded):
    guarded.world.drain()
    violations = guarded.world.violations(ordered=False)
    beyond = beyond_the_model(guarded.world.audit.all())
    told = [str(each) for each in violations if not any(name in each.text for name in beyond)]
    assert not told, told[:20]
    assert guarded.world.letters.all() == []


@pytest.mark.seconds(60)
def test_no_lock_is_left_behind(guarded):
    assert guarded.world.stack.redis("--scan", "--pattern", f"{guarded.world.name}:*") == ""


# ---- (b) the old way --------------------------------------------------------------------------------------------

@pytest.mark.seconds(60)
@pytest.mark.parametrize("scenario", **by_name)
def test_the_old_pattern_loses(unconstrained, scenario, table):
    unconstrained.start(**layers_off())
    for b in unconstrained.set_up(scenario, OLD_ROUNDS):
        result = unconstrained.run_old(scenario, [b])
        table.note(scenario, "old", result)
        if not result.whole:
            print(f"{scenario.name}: {result}")
            return
    pytest.fail("the old pattern lost nothing: nothing shows what the scenario is about")


# ---- (c) the layers -----------------------------------------------------------------------------------------------

def copies(scenario, b=0):
    return math.ceil(COMMANDS_AT_ONCE / len(scenario.storm(b)))


def look(stage, column, scenarios, table, rounds):
    """Every scenario under the setting of a column; again where nothing was lost."""
    off = COLUMNS[column]
    stage.start(**layers_off(*off))
    left = list(scenarios)
    for _ in range(rounds):
        bases = stage.set_up_all([(scenario, copies(scenario)) for scenario in left])
        for scenario, firsts in zip(list(left), bases):
            result = stage.run(scenario, firsts)
            table.note(scenario, column, result)
            if not result.whole:
                left.remove(scenario)
        if not left:
            break
    return left


# The row lock's transaction is enough, and so is the Redis lock as long as nobody waits for it for too long; both
# need the retry, or who finds the other one there is dropped. A change that the database itself adds up or refuses needs nothing.
ENOUGH = ("no Redis lock", "no row lock", "no constraints", "retry + row lock + transaction")
NOT_ENOUGH = ("retry alone", "transaction alone")
FORGIVING = ("verification counters",)  # additions commute: no layer but the statement itself is needed


@pytest.mark.seconds(400 if FULL else 120)
@pytest.mark.parametrize("column", COLUMNS)
def test_layers_one_by_one(weakened, unconstrained, column, table):
    stage = unconstrained if "constraints" in COLUMNS[column] else weakened
    scenarios = SCENARIOS if FULL else representatives
    kept = look(stage, column, scenarios, table, ROUNDS if column in NOT_ENOUGH else LOOKS if FULL else 1)
    if column in ENOUGH:
        # Without SKIP LOCKED the others wait, too: they come late, and nothing is lost.
        lost = {scenario.name: table.cell(scenario, column) for scenario in scenarios
                if scenario not in kept and set(table.differences(scenario, column)) != {"meanwhile"}}
        assert not lost, lost
    if column in NOT_ENOUGH:
        surprising = [scenario.name for scenario in kept if scenario.representative and scenario.name not in FORGIVING]
        assert not surprising, f"without a loss: {surprising}"


# ---- the table ----------------------------------------------------------------------------------------------------

def test_there_are_44_races_and_6_attacks():
    """41 are the old system's own; the races 8, 9 and 10 had none there."""
    assert (len(RACES), len(ATTACKS)) == (44, 6)
    assert len({each.name for each in SCENARIOS}) == 50


@pytest.mark.skipif(not FULL, reason="tests/run races --all")
def test_the_table_is_kept(table, capsys):
    if not table.whole():
        pytest.skip("only a part of the scenarios ran")
    with capsys.disabled():
        print("", table.markdown(), sep="\n")
    table.write()


def test_the_page_has_a_row_for_every_scenario():
    rows = rows_of_page()
    assert list(rows) == [each.name for each in SCENARIOS]
    for name, cells in rows.items():
        assert all(cells), f"{name} has empty cells"
        assert cells[1] != "all" and cells[2] == "all", f"{name}: {cells[1]}, {cells[2]}"
