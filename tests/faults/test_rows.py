"""The table of faults and the tests agree."""

import re
from pathlib import Path

from harness.stack import ROOT
from rows import ROWS

HERE = Path(__file__).resolve().parent
MARKS = re.compile(r"((?:^@pytest\.mark\..*\n(?:^ .*\n)*)+)def test_", re.MULTILINE)


def text_of(path):
    return path.read_text(encoding="utf-8")


def named(quick=False):
    """The rows that some test names; `quick`: one that is in the quick tier."""
    return {int(number) for path in HERE.glob("test_*.py") for marks in MARKS.findall(text_of(path))
            if not (quick and "mark.long" in marks) for number in re.findall(r"\bfault\((\d+)\)", marks)}


def test_every_row_has_a_test_that_names_it():
    assert sorted(set(ROWS) - named(quick=True)) == []


def test_every_defence_stands_in_the_table_of_defences():
    told = {name for path in HERE.glob("*.py") for name in re.findall(r'\.defence\("([^"]+)"', text_of(path))}
    table = text_of(ROOT / "ARCHITECTURE.md")
    assert told and sorted(name for name in told if f"| {name} |" not in table) == []


def test_every_test_names_a_row_that_is_there():
    assert sorted(named() - set(ROWS)) == []
