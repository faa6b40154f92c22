"""The measurements of a run of the faults, as a table for people: `python3 tests/faults/report.py FIGURES...`."""

import json
import statistics
import sys

from rows import ROWS

BROKEN = ("holes", "doubles", "torn", "reorders", "stale")
SAME = ("row", "test", "seed", "commands", "duplicates", "rebuilds", "fenced", "parked", "resumed", "reconnects",
        "recovery_ms", "drained_ms", "rss_kib", "descriptors", "threads", "postgresql", "redis", "kafka", *BROKEN)


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def total(runs, name):
    return sum(each.get(name, 0) for each in runs)


def seconds(milliseconds):
    return f"{milliseconds / 1000:.1f}"


def recovery(runs):
    """Median and worst of all, in seconds."""
    every = [each for run in runs for each in run.get("recovery_ms", [])]
    return (seconds(statistics.median(every)), seconds(max(every))) if every else ("", "")


def line(cells):
    return "| " + " | ".join(str(each) for each in cells) + " |"


def table(figures):
    """One line a row of faults, of the runs that the checker judged; a run that its test judged for itself has no
    counts, and tells what it measured below."""
    judged = [each for each in figures if "holes" in each]
    yield line(["fault", "runs", "commands", "lost, doubled, torn, reordered, stale", "recovery s, median", "worst",
                "duplicates", "rebuilds", "parked", "resumed"])
    yield "|---" * 10 + "|"
    for number, row in sorted(ROWS.items()):
        mine = [each for each in judged if each["row"] == number]
        if mine:
            broken = "/".join(str(total(mine, name)) for name in BROKEN)
            yield line([f"{number} {row.fault}", len(mine), total(mine, "commands"), broken, *recovery(mine),
                        *[total(mine, name) for name in ("duplicates", "rebuilds", "parked", "resumed")]])
    commands, bad = total(judged, "commands"), sum(total(judged, name) for name in BROKEN)
    yield ""
    yield (f"{len(judged)} runs, {commands} commands, seeds {', '.join(sorted({str(each['seed']) for each in judged}))}: "
           f"{'/'.join(str(total(judged, name)) for name in BROKEN)} lost/doubled/torn/reordered/stale" +
           (f"; 95 % upper bound of each {3 / commands:.1e} a command" if commands and not bad else ""))
    yield (f"duplicates suppressed {total(judged, 'duplicates')}, producers rebuilt {total(judged, 'rebuilds')}, owners "
           f"fenced {total(judged, 'fenced')}, parked {total(judged, 'parked')}, resumed {total(judged, 'resumed')}, "
           f"reconnects {total(judged, 'reconnects')}; at most {max((each.get('rss_kib', 0) for each in judged), default=0)}"
           " KiB resident")


def extras(figures):
    """Further measurements of single tests."""
    for each in figures:
        own = {name: value for name, value in each.items() if name not in SAME}
        if "row" in each and own:
            yield f"{each['row']} {each['test'].removeprefix('test_')}: " + \
                  ", ".join(f"{name} {value}" for name, value in own.items())


def defences(figures):
    """One line a protection. The two halves may come from two runs; of each the last one counts."""
    halves = {}
    for each in figures:
        if "defence" in each:
            told = halves.setdefault((each["defence"], each["fault"]), {"without": "", "with": ""})
            told.update({name: each[name] for name in ("without", "with") if each[name] is not None})
    if halves:
        yield line(["defence", "fault", "without", "with"])
        yield "|---" * 4 + "|"
        for (name, fault), told in sorted(halves.items()):
            yield line([name, fault, told["without"], told["with"]])


def main():
    figures = [each for path in sys.argv[1:] for each in read(path)]
    print("\n".join([*table(figures), "", *defences(figures), "", *extras(figures)]))


if __name__ == "__main__":
    main()
