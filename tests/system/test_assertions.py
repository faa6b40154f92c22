"""tests/assertions: how it counts, and the share that it refuses."""

import subprocess

from harness.stack import ROOT

FOLDERS = ("worker/lane", "worker/batch", "consumers/publish", "consumers/poll")
WITH = "void x_take(struct x *x)\n{\n    assert(x->owned);\n}\n"
BY_HELPER = "static int x_give(const struct x *x,\n                  int count)\n{\n    x_assert_owner(x);\n    return count;\n}\n"
WITHOUT = "bool x_is(void)\n{\n    /* assert(false); */\n    return say(\"assert(\");\n}\n"
HELPER = "static inline void x_assert_owner(const struct x *x)\n{\n    assert(x->me);\n}\n"
DATA = "static const int table[] =\n{\n    1\n};\n"


def run(*arguments):
    done = subprocess.run([ROOT / "tests/assertions", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def tree(tmp_path, text):
    for folder in FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x.c").write_text(text, encoding="utf-8")
    return tmp_path


def test_the_repository_passes():
    assert run() == (0, "")


def test_one_function_in_three_is_enough(tmp_path):
    assert run(tree(tmp_path, WITH + WITHOUT + DATA + WITHOUT)) == (0, "")


def test_an_assertion_by_a_helper_counts_and_the_helper_does_not(tmp_path):
    root = tree(tmp_path, HELPER + BY_HELPER + WITHOUT + WITHOUT)
    assert run(root) == (0, "")
    assert run(root, "--list", "worker/lane") == (0, "worker/lane/x.c: x_is\n" * 2)


def test_fewer_are_refused_by_folder(tmp_path):
    root = tree(tmp_path, WITH + WITHOUT + WITHOUT)
    (root / "consumers/poll/y.h").write_text(HELPER + WITHOUT, encoding="utf-8")
    code, said = run(root)
    assert code == 1
    assert said == "consumers/poll: 1 of 4 functions have an assertion of their own, fewer than one in 3\n"


def test_a_folder_without_functions_is_refused(tmp_path):
    code, said = run(tmp_path)
    assert (code, len(said.splitlines())) == (1, len(FOLDERS))
