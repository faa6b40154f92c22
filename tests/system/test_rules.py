"""ARCHITECTURE.md's table of rules is true: every rule of the protocol has its row, the files are there, and the tests
that it names say which rule they are for."""

import re

import pytest

from harness.stack import ROOT

RULES = [f"{group}{number}" for group, count in (("O", 7), ("R", 8), ("B", 9), ("L", 4), ("K", 3))
         for number in range(1, count + 1)]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
ROWS = {cells[0]: cells[1:] for cells in
        ([cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines()
         if re.match(r"\| [ORBLK]\d \|", line))}


def named_tests(rule):
    return [path for path in re.findall(r"\b(?:unit|system|faults|races)/test_\w+\.(?:c|py)", ROWS[rule][2])]


def test_every_rule_has_a_row():
    assert sorted(ROWS) == sorted(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_the_code_of_a_rule_is_there(rule):
    names = re.findall(r"[\w/*]+\.[ch]\b", ROWS[rule][1])
    missing = [name for name in names if not any(list((ROOT / folder).glob(name)) for folder in
                                                 ("", "worker", "worker/cli", "consumers", "workflows"))]
    assert names and missing == []


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_named_by_the_tests_that_the_table_names(rule):
    paths = named_tests(rule)
    assert paths and all((ROOT / "tests" / path).exists() for path in paths), paths
    silent = [path for path in paths if not re.search(rf"\b{rule}\b", (ROOT / "tests" / path).read_text(encoding="utf-8"))]
    assert silent == [], f"nothing in them says that it is for {rule}"
