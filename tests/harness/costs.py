"""The cost of a command by the rate at which commands come: what bench/run cost makes of its samples. The tests have
recorded ones."""

import statistics

from . import comparison
from .comparison import Unfit

DRAIN = "drain"
IDLE = 0
POINTS = (IDLE, 10, 100, 1000, 3000, 10000, DRAIN)
RATE_MAX = 1_000_000
SECONDS_MIN = 3  # fewer are over before the CPU that /proc counts in hundredths of a second tells anything
KEPT = 0.97  # of the rate; below it a backlog grows, and the latency is as long as the measurement
END = 0.7  # of the measured events, which a span at least has: the last ones come when nothing new does
PROCESSES = {"worker": "worker", "postgresql": "PostgreSQL", "kafka": "Kafka", "redis": "Redis"}


# --- options -----------------------------------------------------------------------------------------------------


def point_of(word):
    """A rate, or the drain, by the word of an option."""
    if word == DRAIN:
        return DRAIN
    if not word.isdecimal() or int(word) > RATE_MAX:
        raise Unfit(f"--rates {word}: not a rate (0, idle, to {RATE_MAX:,} commands a second), nor \"{DRAIN}\"")
    return int(word)


def check(points, seconds, pairs):
    """Refuses what cannot be measured. `pairs`: None without another revision."""
    twice = [point for point in points if points.count(point) > 1]
    if twice:
        raise Unfit(f"--rates names {twice[0]} twice")
    if seconds < SECONDS_MIN:
        raise Unfit(f"--seconds {seconds}: at least {SECONDS_MIN}")
    if pairs is not None and pairs < comparison.PAIRS_MIN:
        raise Unfit(f"--pairs {pairs}: at least {comparison.PAIRS_MIN}")


# --- one run -----------------------------------------------------------------------------------------------------


def _between(begun, ended):
    """Both are samples: at (s), events, batches, commands, publications, and cpu (name to s)."""
    seconds, events = ended["at"] - begun["at"], ended["events"] - begun["events"]
    used = {name: ended["cpu"][name] - begun["cpu"][name] for name in ended["cpu"]}
    batches = ended["batches"] - begun["batches"]
    return {"rate": events / seconds, "cores": {name: cpu / seconds for name, cpu in used.items()},
            "cpu_ms": {name: 1e6 * cpu / events for name, cpu in used.items()} if events else None,
            "batch_mean": (ended["commands"] - begun["commands"]) / batches if batches else None,
            "postgresql_per_s": batches / seconds,
            "kafka_per_s": (ended["publications"] - begun["publications"]) / seconds}


def batch_median(samples):
    """The worker counts batches and their commands: each step from a sample to the next has a mean, and the median of
    these counts every step as often as it has batches. None without a batch."""
    means = []
    for before, after in zip(samples, samples[1:]):
        batches = int(after["batches"] - before["batches"])
        means += [(after["commands"] - before["commands"]) / batches] * batches if batches else []
    return statistics.median(means) if means else None


def span(samples, first, total):
    """From the first sample with `first` events, the warm-up, to the last one before all of `total` have come."""
    last = first + END * (total - first)
    inside = [sample for sample in samples if first <= sample["events"] < total]
    if not samples or samples[-1]["events"] < last:
        raise Unfit(f"{samples[-1]['events'] if samples else 0:,.0f} of {total:,} events came, {last:,.0f} are needed")
    if len(inside) < 2 or inside[-1]["events"] < last:
        raise Unfit(f"between {first:,} and {total:,} events there are not two samples with {END:.0%} of them: take more")
    return {**_between(inside[0], inside[-1]), "batch_median": batch_median(inside)}


def idle(samples):
    if len(samples) < 2:
        raise Unfit("an idle worker has fewer than two samples")
    return {**_between(samples[0], samples[-1]), "batch_median": None}


def kept_up(result):
    return result["asked"] in (IDLE, DRAIN) or (result["rate"] >= KEPT * result["asked"] and not result["missing"])


def steady(result):
    """More than the rate: a backlog of the warm-up was worked off, and its age is in the latency."""
    return result["asked"] in (IDLE, DRAIN) or result["rate"] <= result["asked"] / KEPT


# --- several runs ------------------------------------------------------------------------------------------------


def _of(key, process=None):
    def pick(result):
        value = result.get(key)
        if value is None:
            return None
        return value if process is None else sum(value.values()) if process == "all" else value[process]
    return pick


def _milliseconds(key):
    return lambda result: None if result.get(key) is None else result[key] / 1000


# Name to (value of a run, its form).
FIGURES = {
    "events/s": (_of("rate"), "{:,.0f}"),
    **{f"cores: {name}": (_of("cores", process), "{:.3f}") for process, name in PROCESSES.items()},
    "cores: all": (_of("cores", "all"), "{:.3f}"),
    **{f"CPU ms per 1,000: {name}": (_of("cpu_ms", process), "{:,.1f}") for process, name in PROCESSES.items()},
    "CPU ms per 1,000: all": (_of("cpu_ms", "all"), "{:,.1f}"),
    "p50 ms": (_milliseconds("p50_us"), "{:,.1f}"),
    "p99 ms": (_milliseconds("p99_us"), "{:,.1f}"),
    "p99.9 ms": (_milliseconds("p999_us"), "{:,.1f}"),
    "batch, mean": (_of("batch_mean"), "{:,.1f}"),
    "batch, median": (_of("batch_median"), "{:,.1f}"),
    "PostgreSQL transactions/s": (_of("postgresql_per_s"), "{:,.0f}"),
    "Kafka transactions/s": (_of("kafka_per_s"), "{:,.0f}"),
}


def median(runs, pick):
    """None where a run has no such figure."""
    values = [pick(run) for run in runs]
    return None if None in values else statistics.median(values)


def compared(pairs, pick):
    """As comparison.compared, of this and the other; None without the figure; without ratios where the other's is 0."""
    if any(pick(pair[side]) is None for pair in pairs for side in ("this", "other")):
        return None
    if all(pick(pair["other"]) for pair in pairs):
        return comparison.compared(pairs, pick, "this", "other")
    return {side: median([pair[side] for pair in pairs], pick) for side in ("this", "other")} | {"ratio": None}


# --- text --------------------------------------------------------------------------------------------------------


def name_of(point):
    return {IDLE: "idle", DRAIN: DRAIN}[point] if point in (IDLE, DRAIN) else f"{point:,}/s"


def said_of(point, runs):
    """The name of a point, and the rates of those of its runs that did not keep up or were not steady."""
    text = name_of(point)
    for words, fits in (("not kept up", kept_up), ("not steady, a backlog of the warm-up", steady)):
        found = [run for run in runs if not fits(run)]
        if found:
            rates = " and ".join(f"{run['rate']:,.0f}/s" for run in found)
            text += f": **{words}** in {len(found)} of {len(runs)} runs: {rates}"
    missing = sum(run["missing"] for run in runs)
    return text + (f", {missing:,} events missing" if missing else "")


def _cell(value, form):
    return "" if value is None else form.format(value)


def table(results):
    """`results`: point to runs."""
    lines = ["| commands | " + " | ".join(FIGURES) + " |", "|---|" + "--:|" * len(FIGURES)]
    for point, runs in results.items():
        cells = [_cell(median(runs, pick), form) for pick, form in FIGURES.values()]
        lines.append(f"| {said_of(point, runs)} | " + " | ".join(cells) + " |")
    return lines


def comparison_table(results, names):
    """`results`: point to pairs of runs; `names`: of this and of the other revision."""
    lines = [f"| commands | | {names['other']} | {names['this']} | ratio | least to greatest |", "|---|---|--:|--:|--:|---|"]
    for point, pairs in results.items():
        behind = []
        for side in ("other", "this"):
            said = said_of(point, [pair[side] for pair in pairs])
            behind += [f"{names[side]} at {said}"] if said != name_of(point) else []
        lines += [f"| {text} | | | | | |" for text in behind]
        for name, (pick, form) in FIGURES.items():
            found = compared(pairs, pick)
            if found is None:
                continue
            ratio = (f"{found['ratio']:.3f} | {found['least']:.3f} to {found['greatest']:.3f}"
                     if found["ratio"] is not None else " | ")
            lines.append(f"| {name_of(point)} | {name} | {form.format(found['other'])} | {form.format(found['this'])} | "
                         f"{ratio} |")
    return lines
