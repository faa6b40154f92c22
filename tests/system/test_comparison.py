"""harness/comparison.py and harness/revision.py: what bench/run says of two builds, on made data and small repositories."""

import subprocess

import pytest

from harness import comparison, revision

# --- the window --------------------------------------------------------------------------------------------------


def drained(points, cpu=0.01):
    """Samples at (seconds, done), with one process that uses `cpu` s a command."""
    return [(seconds, done, {"worker": cpu * done}) for seconds, done in points]


def test_the_rate_counts_from_15_to_90_percent_and_not_what_lies_around():
    slow_start = [(0, 0), (10, 100), (11, 150), (12, 500), (13, 900)]
    slow_end = [(60, 950), (90, 1000)]
    found = comparison.window(drained(slow_start + slow_end), 1000)
    assert found["rate"] == pytest.approx((900 - 150) / (13 - 11))
    assert found["cpu_ms"]["worker"] == pytest.approx(10_000)
    assert found["share"] == pytest.approx(0.75)


def test_steps_past_the_borders_are_counted_as_they_are():
    found = comparison.window(drained([(0, 0), (1, 140), (2, 300), (3, 880), (4, 1000)]), 1000)
    assert found["rate"] == pytest.approx((1000 - 300) / (4 - 2))


def test_cpu_before_the_window_does_not_count():
    samples = [(0, 0, {"worker": 0.0}), (1, 150, {"worker": 30.0}), (2, 900, {"worker": 31.5})]
    assert comparison.window(samples, 1000)["cpu_ms"]["worker"] == pytest.approx(2000)


@pytest.mark.parametrize("points, why", [
    ([], "0 of 1,000 are done, 15% are needed"),
    ([(0, 0), (1, 500)], "500 of 1,000 are done, 90% are needed"),
    ([(0, 0), (1, 1000)], "not two samples"),
])
def test_samples_without_a_window_are_refused(points, why):
    with pytest.raises(comparison.Unfit, match=why):
        comparison.window(drained(points), 1000)


# --- pairs -------------------------------------------------------------------------------------------------------

PAIRS = [{"new": 90.0, "old": 100.0}, {"new": 190.0, "old": 200.0}, {"new": 33.0, "old": 30.0}]


def test_the_ratio_is_the_median_of_the_pairs_and_not_of_the_medians():
    found = comparison.compared(PAIRS, lambda value: value, "new", "old")
    assert found == {"new": 90.0, "old": 100.0, "ratio": pytest.approx(0.95), "least": pytest.approx(0.9),
                     "greatest": pytest.approx(1.1)}
    assert comparison.ratio(PAIRS, lambda value: value, "new", "old") == pytest.approx(0.95)


def test_the_order_of_the_two_alternates():
    assert [comparison.order(("new", "old"), run) for run in range(3)] == [("new", "old"), ("old", "new"), ("new", "old")]


# --- revisions ---------------------------------------------------------------------------------------------------


@pytest.fixture(name="repository")
def made_repository(tmp_path):
    root = tmp_path / "repository"
    root.mkdir()

    def git(*words):
        return subprocess.run(["git", "-C", root, "-c", "user.name=test", "-c", "user.email=test@localhost", *words],
                              capture_output=True, text=True, check=True).stdout.strip()
    git("init", "-q")
    (root / ".gitignore").write_text("build/\n", encoding="utf-8")
    (root / "text").write_text("one\n", encoding="utf-8")
    git("add", ".")
    git("commit", "-qm", "The first")
    first = git("rev-parse", "HEAD")
    (root / "text").write_text("two\n", encoding="utf-8")
    git("commit", "-qam", "The second")
    return root, first


def test_a_revision_is_checked_out_beside_and_used_again(repository):
    root, first = repository
    commit = revision.commit_of(root, "HEAD~1")
    assert commit == first
    assert revision.name_of(root, commit) == f"{first[:8]} The first"
    tree = revision.checked_out(root, commit, root / "build" / "against")
    assert (tree / "text").read_text(encoding="utf-8") == "one\n"
    assert revision.checked_out(root, commit, root / "build" / "against") == tree
    revision.require_clean(root)


def test_a_worktree_whose_folder_was_deleted_is_made_again(repository):
    root, first = repository
    tree = revision.checked_out(root, first, root / "build")
    subprocess.run(["rm", "-r", tree], check=True)
    assert (revision.checked_out(root, first, root / "build") / "text").exists()


@pytest.mark.parametrize("name", ["nothing", "--all", "0000000000000000000000000000000000000000", "HEAD:text"])
def test_an_unknown_revision_is_refused_by_its_name(repository, name):
    root, _ = repository
    with pytest.raises(revision.Refused) as refused:
        revision.commit_of(root, name)
    assert str(refused.value) == f"{name}: no revision of {root} has this name"


def test_a_dirty_tree_is_refused_with_its_files(repository):
    root, _ = repository
    (root / "text").write_text("three\n", encoding="utf-8")
    (root / "other").write_text("new\n", encoding="utf-8")
    with pytest.raises(revision.Refused, match=f"^{root} has changes that are not committed: text, other. Commit them first$"):
        revision.require_clean(root)


def test_files_that_are_not_measured_may_have_changed(repository):
    root, _ = repository
    (root / "text").write_text("three\n", encoding="utf-8")
    revision.require_clean(root, ("text",))
    with pytest.raises(revision.Refused, match="not committed: text"):
        revision.require_clean(root, ("other",))


def test_a_changed_worktree_is_refused_with_its_place(repository):
    root, first = repository
    tree = revision.checked_out(root, first, root / "build")
    (tree / "text").write_text("changed\n", encoding="utf-8")
    with pytest.raises(revision.Refused, match=f"{tree}, the worktree of {first[:12]}, was changed"):
        revision.checked_out(root, first, root / "build")


@pytest.mark.parametrize("steps, what", [
    ([["sh", "-c", "echo fine; echo 'a.c:3: error: no such thing'; exit 2"]], "exit 2: a.c:3: error: no such thing"),
    ([["true"], ["sh", "-c", "echo nothing"], ["false"]], "exit 1: nothing"),
    ([["no-such-program"]], "no-such-program"),
])
def test_a_revision_that_does_not_build_says_its_first_error_and_where_the_others_are(repository, steps, what):
    root, first = repository
    tree = revision.checked_out(root, first, root / "build")
    with pytest.raises(revision.Refused) as refused:
        revision.built(tree, steps)
    assert what in str(refused.value) and first[:12] in str(refused.value)
    if "exit" in what:
        assert f"(all of it: {tree.with_suffix('.log')})" in str(refused.value)


def test_a_revision_is_built_in_its_own_tree(repository):
    root, first = repository
    tree = revision.checked_out(root, first, root / "build")
    revision.built(tree, [["sh", "-c", "cat text >made"]])
    assert (tree / "made").read_text(encoding="utf-8") == "one\n"
