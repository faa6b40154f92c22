"""Another revision of this repository, built beside it. bench/run compares with it; the tests build small ones."""

import subprocess
from pathlib import Path


class Refused(Exception):
    """A revision that cannot be measured; the text says why, and where."""


def _git(root, *words):
    return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)


def commit_of(root, revision):
    found = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found.returncode != 0:
        raise Refused(f"{revision}: no revision of {root} has this name")
    return found.stdout.strip()


def name_of(root, commit):
    """For people: eight digits, and the first line of its message."""
    return _git(root, "log", "-1", "--abbrev=8", "--format=%h %s", commit).stdout.strip()


def require_clean(root, besides=()):
    """Changes that are not committed would be measured under the name of a commit. `besides`: files that are not measured."""
    changed = [line for line in _git(root, "status", "--porcelain").stdout.splitlines() if line[3:] not in besides]
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise Refused(f"{root} has changes that are not committed: "
                      f"{', '.join(line[3:] for line in changed[:5])}{more}. Commit them first")


def checked_out(root, commit, folder):
    """A git worktree of the commit in `folder`; one that is there from before is used again."""
    tree = Path(folder) / commit[:12]
    if tree.exists() and _git(tree, "rev-parse", "HEAD").stdout.strip() == commit:
        if _git(tree, "status", "--porcelain").stdout:
            raise Refused(f"{tree}, the worktree of {commit[:12]}, was changed: remove it by git worktree remove --force")
        return tree
    # --force: git may remember the place of one that was deleted with its build folder.
    made = _git(root, "worktree", "add", "--force", "--detach", str(tree), commit)
    if made.returncode != 0:
        raise Refused(f"git worktree add {tree}: {made.stderr.strip()}")
    return tree


def built(tree, steps):
    """Runs the steps of a build in the worktree; their output is kept beside it."""
    log = tree.with_suffix(".log")
    with open(log, "w", encoding="utf-8") as output:
        for words in steps:
            try:
                done = subprocess.run(words, cwd=tree, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
            except OSError as failure:
                raise Refused(f"{tree.name}: {failure}") from failure
            if done != 0:
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
                telling = [line for line in lines if "error" in line.lower()] or lines
                raise Refused(f"{tree.name} does not build: {' '.join(words)} in {tree}: exit {done}: "
                              f"{telling[0].strip() if telling else 'no output'} (all of it: {log})")
    return tree
