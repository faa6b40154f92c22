"""The comparison of two builds by pairs of runs: the part of a drain that counts, medians, and ratios with their spread.
bench/run measures with it; the tests have made data."""

import statistics

WINDOW = (0.15, 0.9)  # of the offsets: before it connections and caches are new, after it lanes run dry
PAIRS_MIN = 3  # the median of fewer says nothing about their spread


class Unfit(Exception):
    """The samples do not tell a rate; the text says why."""


def window(samples, total):
    """`samples`: (seconds, done, name to CPU seconds), rising; `done` of `total`. The rate between the first sample at or
    past each border of the window, and the CPU milliseconds per 1,000 there."""
    borders = []
    for share in WINDOW:
        found = next((sample for sample in samples if sample[1] >= share * total), None)
        if found is None:
            raise Unfit(f"{samples[-1][1] if samples else 0:,.0f} of {total:,} are done, {share:.0%} are needed")
        borders.append(found)
    (begun, first, before), (ended, last, after) = borders
    if last <= first or ended <= begun:
        raise Unfit(f"between {WINDOW[0]:.0%} and {WINDOW[1]:.0%} of {total:,} there are not two samples: take more")
    return {"rate": (last - first) / (ended - begun), "share": (last - first) / total,
            "cpu_ms": {name: 1e6 * (after[name] - before[name]) / (last - first) for name in after}}


def order(names, run):
    """The order of a pair: whoever comes second finds warmer services, so it alternates."""
    return tuple(names) if run % 2 == 0 else tuple(reversed(names))


def ratios(pairs, pick, one, other):
    """One's value by the other's, of each pair: what moves the machine moves both runs of a pair."""
    return [pick(pair[one]) / pick(pair[other]) for pair in pairs]


def ratio(pairs, pick, one, other):
    return statistics.median(ratios(pairs, pick, one, other))


def compared(pairs, pick, one, other):
    """The medians of both, the median of the ratios of the pairs, and the least and the greatest of these."""
    found = ratios(pairs, pick, one, other)
    return {one: statistics.median(pick(pair[one]) for pair in pairs),
            other: statistics.median(pick(pair[other]) for pair in pairs),
            "ratio": statistics.median(found), "least": min(found), "greatest": max(found)}
