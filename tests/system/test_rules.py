"""ARCHITECTURE.md's table of rules is true: every rule of consumers/PROTOCOL.md has its row, the files and functions are
there, and the tests that it names say which rule they are for."""

import re

import pytest

from harness.stack import ROOT

RULES = re.findall(r"^- \*\*([ORBLK]\d+) ", (ROOT / "consumers/PROTOCOL.md").read_text(encoding="utf-8"), re.MULTILINE)
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
FOLDERS = ("consumers", "worker", "workflows", "schema", "tests")
FILES = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.*") if path.suffix in (".c", ".h", ".py")]


def rows():
    """The text of a row; a row whose first cell is empty goes on with the one before."""
    found, rule = {}, None
    for cells in ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in TEXT.splitlines()):
        if re.fullmatch(r"[ORBLK]\d+", cells[0]):
            rule = cells[0]
            assert rule not in found, f"{rule} has two rows"
            found[rule] = cells[1:]
        elif rule and cells[0] == "" and len(cells) == 4:
            found[rule] = [f"{before} {more}".strip() for before, more in zip(found[rule], cells[1:])]
        else:
            rule = None
    return found


ROWS = rows()


def files_named(name):
    """`*` stands for a folder."""
    return [path for path in FILES if path.match(name)]


def named_tests(rule):
    return re.findall(r"\btest_\w+\.(?:c|py)", ROWS[rule][2])


def test_every_rule_has_a_row():
    assert sorted(ROWS) == sorted(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_the_code_of_a_rule_is_there(rule):
    names = re.findall(r"[\w/*]+\.[ch]\b", ROWS[rule][1])
    assert names and [name for name in names if not files_named(name)] == []
    text = "".join(path.read_text(encoding="utf-8") for name in names for path in files_named(name))
    functions = re.findall(r"`([a-z]\w+)`", ROWS[rule][1])
    assert [name for name in functions if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_named_by_the_tests_that_the_table_names(rule):
    names = named_tests(rule)
    assert names and [name for name in names if not files_named(name)] == []
    silent = [name for name in names for path in files_named(name)
              if not re.search(rf"\b{rule}\b", path.read_text(encoding="utf-8"))]
    assert silent == [], f"nothing in them says that it is for {rule}"
