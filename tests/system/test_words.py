"""tests/words: the words that it refuses where people read, and those that pass."""

import subprocess

import pytest

from harness.stack import ROOT


def refused(tmp_path, name, text, *options):
    """The lines that are printed about a tree with this file."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    done = subprocess.run([ROOT / "tests/words", *options, tmp_path], capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1 if lines else 0, "")
    return lines


def test_the_repository_passes():
    done = subprocess.run([ROOT / "tests/words"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name, text, line, words", [
    ("tests/x.c", "/* Made once.\n * It is made anew. */\n", 2, "anew"),
    ("tests/x.c", "/* Words of two lines were\n * it so. */\n", 1, "were it"),
    ("tests/x.c", 'say("all of it but "\n    "for one");\n', 1, "but for"),
    ("tests/x.py", "x = 1  # perhaps\n", 1, "perhaps"),
    ("tests/x.py", '"""One.\n\nWhat is held waits."""\n', 3, "What is"),
    ("tests/x.py", 'raise AssertionError("whosever row")\n', 1, "whosever"),
    ("tests/run", "#!/usr/bin/env bash\nsay 'told to end'\n", 2, "told to end"),
    ("workflows/A.md", "A page.\n\nShould a worker die, another goes on.\n", 3, "Should a"),
    ("workflows/A.md", "A number that is none.\n", 1, "is none"),
    ("schema/roles.sql", "-- The rows are no more.\n", 1, "no more"),
    ("tests/x.c", "/* Done. What else is refused waits. */\n", 1, "What else"),
    ("tests/x.c", "/* What stands behind it waits. */\n", 1, "What stands"),
    ("workflows/A.md", "What became of it is shown.\n", 1, "What became"),
    ("tests/x.py", "# What they look up is not locked.\n", 1, "What they"),
    ("workflows/x.c", '.description = "What increment adds."\n', 1, "What increment"),
    ("tests/x.h", "int size; /* what printing takes */\n", 1, "what printing"),
])
def test_a_stiff_word_is_named_with_its_line_and_a_better_one(tmp_path, name, text, line, words):
    found, = refused(tmp_path, name, text)
    assert found.startswith(f'{name}:{line}: "{words}": better ')


@pytest.mark.parametrize("name, text, why", [
    ("tests/unit/test_x.c", "static void it_is_made(void **state)\n", '"it" in the name of a test: better a noun'),
    ("tests/unit/test_x.c", "static void a_row_is_made_anew(void **state)\n", '"anew" in the name of a test'),
    ("tests/system/test_x.py", "def test_what_is_held_waits(world):\n", '"what is" in the name of a test'),
])
def test_a_test_is_named_with_a_noun_and_plain_words(tmp_path, name, text, why):
    found, = refused(tmp_path, name, text)
    assert found.startswith(f"{name}:1: {why}")


@pytest.mark.parametrize("name, text", [
    ("tests/x.c", "bool anew = perhaps();\n"),
    ("tests/x.c", "/* If there is none, there are no more rows, and no more than five. */\n"),
    ("tests/x.py", '"""What is it? As if it were a root: the value is None."""\n'),
    ("workflows/A.md", "`anew`\n\n```\nperhaps\n```\n"),
    ("schema/0001_engine.up.sql", "-- Its bytes are in a checksum: made anew.\n"),
    ("tests/harness/x.py", "def it_is(value):\n"),
])
def test_code_and_plain_words_pass(tmp_path, name, text):
    assert refused(tmp_path, name, text) == []
