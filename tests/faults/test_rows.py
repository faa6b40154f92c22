"""The table of faults and the tests agree."""

import re
from pathlib import Path

from rows import ROWS

HERE = Path(__file__).resolve().parent


def named():
    return {int(number) for path in HERE.glob("test_*.py")
            for number in re.findall(r"\bfault\((\d+)\)", path.read_text(encoding="utf-8"))}


def test_every_row_has_a_test_that_names_it():
    assert sorted(set(ROWS) - named()) == []


def test_every_test_names_a_row_that_is_there():
    assert sorted(named() - set(ROWS)) == []
