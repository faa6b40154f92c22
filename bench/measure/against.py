"""This revision and another one in turn, on one stack: a pair at a time, so that the machine is the same for both."""

from harness import comparison, revision

from .drain import drain
from .stack import ROOT, TEMPLATE, Failed

WRITTEN = ("bench/README.md", "bench/against.png", "bench/cost.png")  # by bench/run itself
SIDES = ("this", "other")
STEPS = (["cmake", "--preset", "release"], ["cmake", "--build", "build/release", "--target", "interlock"])


def prepare_revision(name, folder, given, say):
    """Builds it below `folder` as a release; its program, and the names of both sides. `given`: a build of this side, which
    may be of any revision, so its folder is its name."""
    try:
        if not given:
            revision.require_clean(ROOT, WRITTEN)
        commit = revision.commit_of(ROOT, name)
        say(f"building {revision.name_of(ROOT, commit)} (release)")
        tree = revision.built(revision.checked_out(ROOT, commit, folder), STEPS)
    except revision.Refused as refused:
        raise Failed(str(refused)) from refused
    names = {"this": given or revision.commit_of(ROOT, "HEAD")[:8], "other": commit[:8]}
    return tree / "build" / "release" / "interlock", names


def prepare_templates(stack, interlocks):
    """Side to the database that its runs begin with: each has the migrations of its own revision."""
    templates = {side: f"{TEMPLATE}_{side}" for side in interlocks}
    for side, interlock in interlocks.items():
        stack.prepare(interlock, templates[side])
    return templates


def against(stack, interlocks, programs, count, pairs, log, say, line):
    """`interlocks`: side to its program. The first pair warms the broker up and is not among those returned."""
    templates = prepare_templates(stack, interlocks)
    measured = []
    for run in range(pairs + 1):
        pair = {}
        for side in comparison.order(SIDES, run):
            pair[side] = drain(stack, interlocks[side], programs, count, log=log, template=templates[side], windowed=True)
            say(f"{f'pair {run}' if run else 'warm-up'}, {side}: {pair[side]['window']['rate']:,.0f}/s; whole: {line(pair[side])}")
        measured.append(pair)
    return measured[1:]
