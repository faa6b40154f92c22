"""tests/citations: what it refuses in comments and documents, and what it lets pass."""

import subprocess

import pytest

from harness.stack import ROOT

TREE = {
    "consumers/PROTOCOL.md": "# The protocol\n\n| P1 | no command is lost |\n\n- **R1 Bookkeeping.** Rows.\n- **O1 Slots.** One.\n",
    "README.md": "# Pool\n\nSee [the rules](consumers/PROTOCOL.md#the-protocol).\n\n## More of it\n",
    "worker/lane/lane.h": "/* Lane: see lane.c (PROTOCOL R1). */\nvoid lane_submit(void);\n",
    "worker/lane/lane.c": '#include "worker/lane/lane.h"\n#include <librdkafka/rdkafka.h>\nvoid lane_submit(void) {}\n',
    "schema/0001_engine.up.sql": "CREATE TABLE parked_command (id int);\n",
    "tests/lane.py": '"""Of worker/lane/lane.c."""\nlane_of = 1  # lane_submit\n',
}


def refused(tmp_path, **files):
    """The lines that are printed about the tree with these files in it."""
    for name, text in {**TREE, **files.pop("files", {}), **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    done = subprocess.run([ROOT / "tests/citations", tmp_path], capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1 if lines else 0, "")
    return lines


def test_a_tree_whose_citations_exist_passes(tmp_path):
    assert refused(tmp_path) == []


def test_the_repository_passes():
    done = subprocess.run([ROOT / "tests/citations"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name, text, why", [
    ("worker/x.c", "/* As in DESIGN.md 4. */\n", "DESIGN.md is not a file of this repository"),
    ("worker/x.c", "// The rest is in lane_run.c.\n", "lane_run.c is not a file of this repository"),
    ("tests/x.py", "# Of check/lane.py.\n", "check/lane.py is not a file of this repository"),
    ("tests/run", "#!/usr/bin/env bash\n# Reads deploy/missing first.\n", "deploy/missing is not a path of this repository"),
    ("schema/0001_engine.down.sql", "-- See 0002_more.up.sql.\n", "0002_more.up.sql is not a file of this repository"),
    ("a.md", "`workflows/*/entities.c`\n", "workflows/*/entities.c is not a file of this repository"),
    ("a.md", "[rules](PROTOCOL.md)\n", "a link to PROTOCOL.md, which does not exist"),
    ("a.md", "[more](README.md#less-of-it)\n", "a link to README.md#less-of-it: the page has no such heading"),
])
def test_a_cited_file_has_to_exist(tmp_path, name, text, why):
    lines = refused(tmp_path, files={name: text})
    assert f"{name}:{1 + text.startswith('#!')}: {why}" in lines


@pytest.mark.parametrize("text, rule", [
    ("PROTOCOL R2", "R2"), ("PROTOCOL R1, R12", "R12"), ("PROTOCOL\n * L1", "L1"), ("PROTOCOL Z9", "Z9"), ("O7 says so", "O7"),
    ("P2 holds", "P2")])
def test_a_cited_rule_has_to_be_defined(tmp_path, text, rule):
    line = 1 + text.count("\n")
    assert refused(tmp_path, files={"worker/x.c": f"/* {text}. */\n"}) == [
        f"worker/x.c:{line}: consumers/PROTOCOL.md has no rule {rule}"]


@pytest.mark.parametrize("name, text", [
    ("worker/x.c", "/* Ended by lane_close. */\nint x;\n"),
    ("tests/x.py", '"""It calls lane_close."""\n'),
    ("a.md", "It is `lane_close`.\n"),
])
def test_a_name_with_a_module_s_prefix_has_to_stand_in_the_code(tmp_path, name, text):
    assert refused(tmp_path, files={name: text}) == [f"{name}:1: nothing in the code is named lane_close"]


@pytest.mark.parametrize("text, why", [
    ("## The start\n\n1. `lane_submit`, then `begin`.\n", "3: no function of the program is named begin"),
    ("## The end\n\n1. lanes: `lane` does.\n", "3: no function of the program is named lane"),
    ("## Threads\n\n`is_ready` says so.\n", "3: nothing in the program is named is_ready"),
])
def test_architecture_cites_functions_of_the_program_and_not_of_its_tests(tmp_path, text, why):
    tests = {"tests/unit/test_http.c": "static int is_ready(void);\nvoid begin(void);\nvoid lane(void);\n"}
    assert refused(tmp_path, files={**tests, "ARCHITECTURE.md": text}) == [f"ARCHITECTURE.md:{why}"]


def test_architecture_may_cite_functions_and_names_of_the_schema(tmp_path):
    text = "## The end\n\n1. `lane_submit` writes `parked_command` and `id`.\n\n## Folders\n\n`lane` is a word.\n"
    assert refused(tmp_path, files={"ARCHITECTURE.md": text}) == []


@pytest.mark.parametrize("name, text", [
    ("worker/x.c", 'const char *text = "DESIGN.md lane_close R9";\n'),
    ("worker/x.c", "/* rdkafka.h is another's; other_close may be, too: no module is named other. */\n"),
    ("worker/x.c", "/* A table parked_command, a column t.c, https://example.org/lane_run.c. */\n"),
    ("a.md", "`lane_submit`, lane.h, `lane/lane.c`, `worker/*/lane.c`, schema/0001, `schema/NNNN_name.up.sql`\n"),
    ("schema/0002_frozen.up.sql", "-- Its bytes are in a checksum: see domain.md.\n"),
])
def test_text_that_is_not_a_citation_or_cites_what_exists_passes(tmp_path, name, text):
    assert refused(tmp_path, files={name: text}) == []
